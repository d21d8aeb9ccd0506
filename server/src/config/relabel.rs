//! Lists of relabelling rules: `relabel_configs` and their like.

use kymo_storage::compat::name::NameValidation;
use kymo_storage::compat::quote::quote;
use kymo_storage::model::{RelabelAction, RelabelConfig, RelabelError, RelabelRule};

use super::error::ConfigError;
use super::fields::{Fields, Problems, list, string, uint_from_number};
use super::yaml::{self, Node};

/// The name that complaints give a rule.
const GO_TYPE: &str = "relabel.plain";

/// Reads a list of rules from a text of its own.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_rules(
    text: &str,
    name_validation: NameValidation,
) -> Result<Vec<RelabelRule>, ConfigError> {
    let document = yaml::parse(text)?;
    let mut problems = Problems::default();
    let what = "relabeling rule";
    let rules = read(&document.root, what, name_validation, &mut problems);
    problems.settle(rules)
}

/// Reads a list of rules; null is an empty one. `what` is the name that complaints
/// give an empty rule, such as `target relabeling rule in scrape config`.
pub(super) fn read(
    node: &Node,
    what: &str,
    name_validation: NameValidation,
    problems: &mut Problems,
) -> Vec<RelabelRule> {
    list(node, "[]*relabel.Config", problems)
        .iter()
        .filter_map(|item| {
            if item.is_null() {
                problems.value(item.at, format!("empty or null {what}"));
                return None;
            }
            read_rule(item, name_validation, problems)
        })
        .collect()
}

/// Reads one rule; `None` where it is wrong.
fn read_rule(
    node: &Node,
    name_validation: NameValidation,
    problems: &mut Problems,
) -> Option<RelabelRule> {
    let mut found = Problems::default();
    let config = read_config(node, name_validation, &mut found);
    // A rule that could not be read whole is not judged as a whole.
    let mut rule = None;
    if found.is_empty() {
        match RelabelRule::new(config) {
            Ok(good) => rule = Some(good),
            Err(error) => found.value(position(node, &error), error.to_string()),
        }
    }
    problems.append(found);
    rule
}

fn read_config(
    node: &Node,
    name_validation: NameValidation,
    problems: &mut Problems,
) -> RelabelConfig {
    let mut config = RelabelConfig {
        name_validation,
        ..RelabelConfig::default()
    };
    let mut fields = Fields::open(node, GO_TYPE, problems);
    if let Some(node) = fields.take("source_labels") {
        config.source_labels = Some(read_names(node, problems));
    }
    for (name, text) in [
        ("separator", &mut config.separator),
        ("target_label", &mut config.target_label),
        ("replacement", &mut config.replacement),
    ] {
        *text = fields.string_or(name, text, problems);
    }
    if let Some(node) = fields.take_with_null("regex") {
        config.regex = string(node, problems);
    }
    if let Some(node) = fields.take("modulus") {
        config.modulus = uint_from_number(node, "uint64", problems).unwrap_or(0);
    }
    match fields.take_with_null("action") {
        Some(node) if node.is_null() => {
            problems.value(node.at, RelabelError::EmptyAction.to_string());
        }
        _ => {
            if let Some(action) = fields.parsed("action", problems, RelabelAction::from_config) {
                config.action = action;
            }
        }
    }
    fields.finish(problems);
    config
}

fn read_names(node: &Node, problems: &mut Problems) -> Vec<String> {
    let items = list(node, "model.LabelNames", problems);
    let mut names = Vec::with_capacity(items.len());
    for item in items {
        let Some(name) = string(item, problems) else {
            continue;
        };
        if name.is_empty() && !item.is_null() {
            problems.value(
                item.at,
                format!("{} is not a valid label name", quote(&name)),
            );
        }
        names.push(name);
    }
    names
}

/// Returns the place of the field that an error is about.
fn position(node: &Node, error: &RelabelError) -> super::yaml::Position {
    node.position_of(match error {
        RelabelError::Regex(_) => "regex",
        RelabelError::ZeroModulus => "modulus",
        RelabelError::InvalidTarget { .. } => "target_label",
        RelabelError::InvalidReplacement(_) | RelabelError::ReplacementNotTaken(_) => "replacement",
        _ => "action",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        let error = parse_rules(text, NameValidation::Utf8).unwrap_err();
        let problem = &error.problems()[0];
        format!("{}: {}", problem.at.line, problem.message)
    }

    #[test]
    fn what_is_not_written_keeps_its_default_and_null_is_nothing() {
        let text = "- target_label: a\n  regex: ~\n  separator:\n";
        let expected = RelabelConfig {
            target_label: "a".into(),
            regex: Some(String::new()),
            separator: String::new(),
            ..RelabelConfig::default()
        };
        let rules = parse_rules(text, NameValidation::Utf8).unwrap();
        assert_eq!(rules[0].config(), &expected);
        assert!(parse_rules("", NameValidation::Utf8).unwrap().is_empty());
    }

    #[test]
    fn mistakes_have_the_line_of_their_field() {
        for (text, expected) in [
            ("- foo: 1", "1: field foo not found in type relabel.plain"),
            (
                "- source_labels: job",
                "1: cannot unmarshal !!str `job` into model.LabelNames",
            ),
            (
                "- target_label: a\n  regex: '('",
                "2: error parsing regexp: missing closing ): `^(?s:()$`",
            ),
            ("- action: ~", "1: relabel action cannot be empty"),
            (
                "- target_label: a\n  action: nope",
                "2: unknown relabel action \"nope\"",
            ),
            (
                "- source_labels: ['']\n  target_label: a",
                "1: \"\" is not a valid label name",
            ),
            (
                "- target_label: a\n- action: hashmod",
                "2: relabel configuration for hashmod requires non-zero modulus",
            ),
        ] {
            assert_eq!(complaint(text), expected);
        }
    }
}
