//! Rules that change, keep or drop label sets.
//!
//! A [`RelabelRule`] is checked and compiled when the configuration is read, so that
//! applying it cannot fail. The texts of [`RelabelError`] are Prometheus'.

use std::borrow::Cow;
use std::fmt;

use md5::{Digest, Md5};

use super::LabelsBuilder;
use super::pattern::Pattern;
use crate::compat::letter_case::{to_lower, to_upper};
use crate::compat::name::NameValidation;
use crate::compat::quote::quote;
use crate::compat::regex::{Regex, RegexError};

const DEFAULT_SEPARATOR: &str = ";";
const DEFAULT_REGEX: &str = "(.*)";
const DEFAULT_REPLACEMENT: &str = "$1";

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RelabelAction {
    /// Sets the target label where the regex matches.
    #[default]
    Replace,
    /// Drops sets where the regex does not match.
    Keep,
    /// Drops sets where the regex matches.
    Drop,
    /// Drops sets where the sources are not equal to the target label.
    KeepEqual,
    /// Drops sets where the sources are equal to the target label.
    DropEqual,
    /// Sets the target label to a hash of the sources.
    HashMod,
    /// Copies labels whose names match to other names.
    LabelMap,
    /// Removes labels whose names match.
    LabelDrop,
    /// Removes labels whose names do not match.
    LabelKeep,
    /// Sets the target label to the sources in lower case.
    Lowercase,
    /// Sets the target label to the sources in upper case.
    Uppercase,
}

impl RelabelAction {
    const ALL: [RelabelAction; 11] = [
        RelabelAction::Replace,
        RelabelAction::Keep,
        RelabelAction::Drop,
        RelabelAction::KeepEqual,
        RelabelAction::DropEqual,
        RelabelAction::HashMod,
        RelabelAction::LabelMap,
        RelabelAction::LabelDrop,
        RelabelAction::LabelKeep,
        RelabelAction::Lowercase,
        RelabelAction::Uppercase,
    ];

    /// Reads an action's name, in any case.
    ///
    /// # Errors
    /// There is no such action.
    pub fn from_config(text: &str) -> Result<RelabelAction, RelabelError> {
        let folded = to_lower(text);
        RelabelAction::ALL
            .into_iter()
            .find(|action| action.as_str() == folded)
            .ok_or_else(|| RelabelError::UnknownAction(text.to_owned()))
    }

    /// Returns the action's name in a configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            RelabelAction::Replace => "replace",
            RelabelAction::Keep => "keep",
            RelabelAction::Drop => "drop",
            RelabelAction::KeepEqual => "keepequal",
            RelabelAction::DropEqual => "dropequal",
            RelabelAction::HashMod => "hashmod",
            RelabelAction::LabelMap => "labelmap",
            RelabelAction::LabelDrop => "labeldrop",
            RelabelAction::LabelKeep => "labelkeep",
            RelabelAction::Lowercase => "lowercase",
            RelabelAction::Uppercase => "uppercase",
        }
    }
}

impl fmt::Display for RelabelAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A rule as it is written, before it is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelabelConfig {
    /// The labels whose values are joined; `None` where not written, which differs
    /// from an empty list to some actions.
    pub source_labels: Option<Vec<String>>,
    /// What stands between the values.
    pub separator: String,
    /// The expression that the joined value (or a label's name) has to match as a
    /// whole; `None` where not written.
    pub regex: Option<String>,
    /// The modulus of the hash.
    pub modulus: u64,
    /// The label that is set.
    pub target_label: String,
    /// The template of the value (or of a label's name).
    pub replacement: String,
    /// What is done.
    pub action: RelabelAction,
    /// Which names of labels are valid.
    pub name_validation: NameValidation,
}

impl Default for RelabelConfig {
    fn default() -> RelabelConfig {
        RelabelConfig {
            source_labels: None,
            separator: DEFAULT_SEPARATOR.to_owned(),
            regex: None,
            modulus: 0,
            target_label: String::new(),
            replacement: DEFAULT_REPLACEMENT.to_owned(),
            action: RelabelAction::default(),
            name_validation: NameValidation::default(),
        }
    }
}

/// A rule that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelabelError {
    /// The action is written as nothing.
    #[error("relabel action cannot be empty")]
    EmptyAction,
    /// There is no such action.
    #[error("unknown relabel action {}", quote(.0))]
    UnknownAction(String),
    /// The expression does not compile.
    #[error(transparent)]
    Regex(#[from] RegexError),
    /// A hash needs a modulus.
    #[error("relabel configuration for hashmod requires non-zero modulus")]
    ZeroModulus,
    /// The action needs a target label.
    #[error("relabel configuration for {0} action requires 'target_label' value")]
    MissingTarget(RelabelAction),
    /// The target label is no valid name.
    #[error("{} is invalid 'target_label' for {action} action", quote(.target))]
    InvalidTarget {
        /// The name.
        target: String,
        /// The action.
        action: RelabelAction,
    },
    /// The action takes no replacement.
    #[error("'replacement' can not be set for {0} action")]
    ReplacementNotTaken(RelabelAction),
    /// The replacement is no valid name.
    #[error("{} is invalid 'replacement' for {} action", quote(.0), RelabelAction::LabelMap)]
    InvalidReplacement(String),
    /// The action compares labels and takes nothing else.
    #[error("{0} action requires only 'source_labels' and `target_label`, and no other fields")]
    OnlyLabels(RelabelAction),
    /// The action looks at names and takes nothing else.
    #[error("{0} action requires only 'regex', and no other fields")]
    OnlyRegex(RelabelAction),
}

/// What rules say of a label set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a dropped set must not be used"]
pub enum Verdict {
    /// The set, as changed, goes on.
    Keep,
    /// The set is to be forgotten.
    Drop,
}

/// A rule that was checked and compiled.
#[derive(Clone)]
pub struct RelabelRule {
    config: RelabelConfig,
    regex: Regex,
    /// The same condition as a test of text, where the engine is not needed.
    pattern: Option<Pattern>,
}

impl RelabelRule {
    /// Checks and compiles a rule.
    ///
    /// # Errors
    /// The expression does not compile, or the fields do not go together.
    pub fn new(config: RelabelConfig) -> Result<RelabelRule, RelabelError> {
        let pattern = config.regex.as_deref().unwrap_or(DEFAULT_REGEX);
        let regex = Regex::new_anchored(pattern)?;
        validate(&config)?;
        // What only compiles between the anchors has no test of its own.
        let pattern = Pattern::new(pattern).ok();
        Ok(RelabelRule {
            config,
            regex,
            pattern,
        })
    }

    /// Returns the rule as it was written.
    pub fn config(&self) -> &RelabelConfig {
        &self.config
    }

    fn matches(&self, value: &str) -> bool {
        match &self.pattern {
            Some(pattern) => pattern.matches(value),
            None => self.regex.is_match(value),
        }
    }

    fn apply(&self, labels: &mut LabelsBuilder) -> Verdict {
        let config = &self.config;
        let target = config.target_label.as_str();
        match config.action {
            RelabelAction::Keep => keep_if(self.matches(&self.joined(labels))),
            RelabelAction::Drop => keep_if(!self.matches(&self.joined(labels))),
            RelabelAction::KeepEqual => {
                keep_if(labels.get(target).unwrap_or("") == self.joined(labels))
            }
            RelabelAction::DropEqual => {
                keep_if(labels.get(target).unwrap_or("") != self.joined(labels))
            }
            RelabelAction::Replace => {
                self.replace(labels);
                Verdict::Keep
            }
            RelabelAction::Lowercase => {
                let value = to_lower(&self.joined(labels));
                labels.set(target, &value);
                Verdict::Keep
            }
            RelabelAction::Uppercase => {
                let value = to_upper(&self.joined(labels));
                labels.set(target, &value);
                Verdict::Keep
            }
            RelabelAction::HashMod => {
                let hash = hash_of(&self.joined(labels));
                // Zero is refused when the rule is checked.
                let shard = hash.checked_rem(config.modulus).unwrap_or(0);
                labels.set(target, itoa::Buffer::new().format(shard));
                Verdict::Keep
            }
            RelabelAction::LabelMap => {
                self.map_names(labels);
                Verdict::Keep
            }
            RelabelAction::LabelDrop => {
                labels.retain(|name, _| !self.matches(name));
                Verdict::Keep
            }
            RelabelAction::LabelKeep => {
                labels.retain(|name, _| self.matches(name));
                Verdict::Keep
            }
        }
    }

    /// Returns the values of the source labels, joined.
    fn joined<'l>(&self, labels: &'l LabelsBuilder) -> Cow<'l, str> {
        let sources = self.config.source_labels.as_deref().unwrap_or_default();
        let value = |name: &String| labels.get(name).unwrap_or("");
        match sources {
            [] => Cow::Borrowed(""),
            [only] => Cow::Borrowed(value(only)),
            several => {
                let values: Vec<&str> = several.iter().map(value).collect();
                Cow::Owned(values.join(&self.config.separator))
            }
        }
    }

    fn replace(&self, labels: &mut LabelsBuilder) {
        let RelabelConfig {
            target_label,
            replacement,
            ..
        } = &self.config;
        let value = self.joined(labels);
        if !self.matches(&value) {
            return;
        }
        let target = self.expanded(target_label, &value);
        if !self.config.name_validation.is_label_name(&target) {
            return;
        }
        let replacement = self.expanded(replacement, &value);
        labels.set(&target, &replacement);
    }

    /// Returns a template filled in for a value that matches.
    fn expanded<'t>(&self, template: &'t str, value: &str) -> Cow<'t, str> {
        if !template.contains('$') {
            return Cow::Borrowed(template);
        }
        if self.config.regex.is_none() && template == DEFAULT_REPLACEMENT {
            return Cow::Owned(value.to_owned());
        }
        let mut text = String::new();
        if let Some(captures) = self.regex.captures(value) {
            captures.expand(template, &mut text);
        }
        Cow::Owned(text)
    }

    fn map_names(&self, labels: &mut LabelsBuilder) {
        let mapped: Vec<(String, String)> = labels
            .visit_order()
            .into_iter()
            .filter(|(name, _)| self.matches(name))
            .map(|(name, value)| {
                let name = self.regex.replace_all(name, &self.config.replacement);
                (name, value.to_owned())
            })
            .collect();
        for (name, value) in mapped {
            labels.set(&name, &value);
        }
    }
}

impl PartialEq for RelabelRule {
    fn eq(&self, other: &RelabelRule) -> bool {
        self.config == other.config
    }
}

impl Eq for RelabelRule {}

impl fmt::Debug for RelabelRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

/// Applies rules in order, up to the first that drops the set.
pub fn relabel(rules: &[RelabelRule], labels: &mut LabelsBuilder) -> Verdict {
    for rule in rules {
        if rule.apply(labels) == Verdict::Drop {
            return Verdict::Drop;
        }
    }
    Verdict::Keep
}

fn keep_if(condition: bool) -> Verdict {
    if condition {
        Verdict::Keep
    } else {
        Verdict::Drop
    }
}

/// Returns the last eight bytes of the MD5 of a value, as Prometheus hashes it.
fn hash_of(value: &str) -> u64 {
    let digest = Md5::digest(value.as_bytes());
    digest[8..]
        .iter()
        .fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

/// Checks that the fields go together; the order decides which mistake is told.
fn validate(config: &RelabelConfig) -> Result<(), RelabelError> {
    use RelabelAction::{
        DropEqual, HashMod, KeepEqual, LabelDrop, LabelKeep, LabelMap, Lowercase, Replace,
        Uppercase,
    };
    let RelabelConfig {
        target_label,
        replacement,
        action,
        name_validation,
        ..
    } = config;
    let action = *action;
    let invalid_target = || RelabelError::InvalidTarget {
        target: target_label.clone(),
        action,
    };
    if config.modulus == 0 && action == HashMod {
        return Err(RelabelError::ZeroModulus);
    }
    let sets_fixed_target = matches!(action, Lowercase | Uppercase | KeepEqual | DropEqual);
    let needs_target = sets_fixed_target || matches!(action, Replace | HashMod);
    if needs_target && target_label.is_empty() {
        return Err(RelabelError::MissingTarget(action));
    }
    if action == Replace {
        let valid = if target_label.contains('$') {
            is_name_template(*name_validation, target_label)
        } else {
            name_validation.is_label_name(target_label)
        };
        if !valid {
            return Err(invalid_target());
        }
    }
    if sets_fixed_target && !name_validation.is_label_name(target_label) {
        return Err(invalid_target());
    }
    if sets_fixed_target && replacement != DEFAULT_REPLACEMENT {
        return Err(RelabelError::ReplacementNotTaken(action));
    }
    if action == LabelMap && !is_name_template(*name_validation, replacement) {
        return Err(RelabelError::InvalidReplacement(replacement.clone()));
    }
    if action == HashMod && !name_validation.is_label_name(target_label) {
        return Err(invalid_target());
    }
    let plain = config.modulus == 0
        && config.separator == DEFAULT_SEPARATOR
        && replacement == DEFAULT_REPLACEMENT;
    // That the expression was written counts, even when it is the default.
    if matches!(action, DropEqual | KeepEqual) && (config.regex.is_some() || !plain) {
        return Err(RelabelError::OnlyLabels(action));
    }
    if matches!(action, LabelDrop | LabelKeep)
        && (config.source_labels.is_some() || !target_label.is_empty() || !plain)
    {
        return Err(RelabelError::OnlyRegex(action));
    }
    Ok(())
}

/// Tells whether a text with references such as `${1}` can become a label's name.
fn is_name_template(validation: NameValidation, template: &str) -> bool {
    match validation {
        NameValidation::Utf8 => validation.is_label_name(template),
        NameValidation::Legacy => Regex::new(r"^(?:(?:[a-zA-Z_]|\$(?:\{\w+\}|\w+))+\w*)+$")
            .is_ok_and(|names| names.is_match(template)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Labels;

    fn run(change: impl FnOnce(&mut RelabelConfig), pairs: &[(&str, &str)]) -> Option<Labels> {
        let mut config = RelabelConfig::default();
        change(&mut config);
        let rule = RelabelRule::new(config).unwrap();
        let mut labels = LabelsBuilder::from_labels(&Labels::from_pairs(pairs.iter().copied()));
        match relabel(&[rule], &mut labels) {
            Verdict::Keep => Some(labels.labels()),
            Verdict::Drop => None,
        }
    }

    fn refusal(change: impl FnOnce(&mut RelabelConfig)) -> String {
        let mut config = RelabelConfig::default();
        change(&mut config);
        RelabelRule::new(config).unwrap_err().to_string()
    }

    fn sources(names: &[&str]) -> Option<Vec<String>> {
        Some(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn replace_expands_target_and_replacement() {
        let labels = run(
            |config| {
                config.source_labels = sources(&["a", "b"]);
                config.regex = Some("(.+);(.+)".into());
                config.target_label = "${1}_x".into();
                config.replacement = "$2-$1".into();
            },
            &[("a", "one"), ("b", "two")],
        );
        let expected = [("a", "one"), ("b", "two"), ("one_x", "two-one")];
        assert_eq!(labels, Some(Labels::from_pairs(expected)));
    }

    #[test]
    fn an_empty_replacement_removes_the_label() {
        let labels = run(
            |config| {
                config.target_label = "a".into();
                config.replacement = String::new();
            },
            &[("a", "1"), ("b", "2")],
        );
        assert_eq!(labels, Some(Labels::from_pairs([("b", "2")])));
    }

    #[test]
    fn keep_and_drop_look_at_the_whole_value() {
        for (action, value, kept) in [
            (RelabelAction::Keep, "api", true),
            (RelabelAction::Keep, "api2", false),
            (RelabelAction::Drop, "api", false),
            (RelabelAction::Drop, "api2", true),
        ] {
            let labels = run(
                |config| {
                    config.action = action;
                    config.source_labels = sources(&["job"]);
                    config.regex = Some("api".into());
                },
                &[("job", value)],
            );
            assert_eq!(labels.is_some(), kept, "{action} {value}");
        }
    }

    #[test]
    fn hashmod_takes_the_last_eight_bytes_of_md5() {
        let labels = run(
            |config| {
                config.action = RelabelAction::HashMod;
                config.source_labels = sources(&["c"]);
                config.target_label = "d".into();
                config.separator = ";".into();
                config.modulus = 1000;
            },
            &[("c", "baz")],
        );
        assert_eq!(
            labels.and_then(|labels| labels.get("d").map(str::to_owned)),
            Some("976".into())
        );
    }

    #[test]
    fn rules_that_cannot_be_are_refused_in_prometheus_words() {
        assert_eq!(
            refusal(|config| config.action = RelabelAction::HashMod),
            "relabel configuration for hashmod requires non-zero modulus"
        );
        assert_eq!(
            refusal(|_| ()),
            "relabel configuration for replace action requires 'target_label' value"
        );
        assert_eq!(
            refusal(|config| config.regex = Some("(".into())),
            "error parsing regexp: missing closing ): `^(?s:()$`"
        );
        assert_eq!(
            refusal(|config| {
                config.action = RelabelAction::KeepEqual;
                config.target_label = "a".into();
                config.regex = Some("(.*)".into());
            }),
            "keepequal action requires only 'source_labels' and `target_label`, and no other fields"
        );
        assert_eq!(
            RelabelAction::from_config("Nope").unwrap_err().to_string(),
            "unknown relabel action \"Nope\""
        );
    }
}
