//! Labels of samples: what a target exposes, the target's own, and the limits.

use kymo_storage::compat::name::NameValidation;
use kymo_storage::compat::quote::quote;
use kymo_storage::model::{Labels, LabelsBuilder, METRIC_NAME, RelabelRule, Verdict, relabel};

use super::config::{ScrapeConfig, ScrapeLimits};

/// Prefix of an exposed label that gave way to one of the target.
const EXPORTED: &str = "exported_";

/// Applies rules; `false` means that they drop what has these labels.
pub(super) fn keeps(rules: &[RelabelRule], labels: &mut LabelsBuilder) -> bool {
    relabel(rules, labels) == Verdict::Keep
}

/// Returns the labels under which an exposed series is stored; `None` where the
/// job's rules drop it. `exposed` is used up; `emptied` names the labels that were
/// exposed with an empty value.
pub(super) fn of_sample(
    config: &ScrapeConfig,
    target: &Labels,
    exposed: &mut LabelsBuilder,
    emptied: &[String],
) -> Option<Labels> {
    // To rules, what was exposed stands before what is set from here on: where two
    // labels are mapped to one name, that decides which of them it keeps.
    exposed.rebase();
    if config.honor_labels {
        for (name, value) in target {
            // What the target exposes is honored even where it is nothing.
            if exposed.get(name).is_none() && !emptied.iter().any(|empty| empty == name) {
                exposed.set(name, value);
            }
        }
    } else {
        let mut conflicts = Vec::new();
        for (name, value) in target {
            if let Some(old) = exposed.get(name) {
                conflicts.push((name, old.to_owned()));
            }
            exposed.set(name, value);
        }
        rename(exposed, conflicts);
    }
    if !keeps(&config.metric_relabel, exposed) {
        return None;
    }
    let labels = exposed.labels();
    (!labels.is_empty()).then_some(labels)
}

/// Stores exposed values that the target overrode under free names, the shortest
/// first.
fn rename(labels: &mut LabelsBuilder, mut conflicts: Vec<(&str, String)>) {
    conflicts.sort_by_key(|(name, _)| name.len());
    for (name, value) in conflicts {
        let mut free = format!("{EXPORTED}{name}");
        while labels.get(&free).is_some() {
            free.insert_str(0, EXPORTED);
        }
        labels.set(&free, &value);
    }
}

/// Returns the labels of a synthetic series.
pub(super) fn of_report(target: &Labels, name: &str) -> Labels {
    let mut labels = LabelsBuilder::from_labels(target);
    labels.set(METRIC_NAME, name);
    labels.labels()
}

/// Checks names.
///
/// # Errors
/// Prometheus' text for a missing or invalid name.
pub(super) fn check_names(labels: &Labels, validation: NameValidation) -> Result<(), String> {
    let name = labels.metric_name();
    if name.is_empty() {
        return Err("missing metric name (__name__ label)".to_owned());
    }
    let valid = |label: &str| label == METRIC_NAME || validation.is_label_name(label);
    if !validation.is_metric_name(name) || !labels.iter().all(|(label, _)| valid(label)) {
        return Err(format!("invalid metric name or label names: {labels}"));
    }
    Ok(())
}

/// Checks the limits on labels.
///
/// # Errors
/// Prometheus' text for the first limit that is exceeded.
pub(super) fn check_limits(labels: &Labels, limits: &ScrapeLimits) -> Result<(), String> {
    let over = |len: usize, limit: u64| limit > 0 && len as u64 > limit;
    let metric = cut(labels.metric_name());
    let count = labels.len();
    if over(count, limits.labels) {
        let limit = limits.labels;
        return Err(format!(
            "label_limit exceeded (metric: {metric}, number of labels: {count}, limit: {limit})"
        ));
    }
    if limits.label_name_bytes == 0 && limits.label_value_bytes == 0 {
        return Ok(());
    }
    for (name, value) in labels {
        if over(name.len(), limits.label_name_bytes) {
            let (len, limit) = (name.len(), limits.label_name_bytes);
            let name = cut(name);
            return Err(format!(
                "label_name_length_limit exceeded (metric: {metric}, label name: {name}, \
                 length: {len}, limit: {limit})"
            ));
        }
        if over(value.len(), limits.label_value_bytes) {
            let (len, limit) = (value.len(), limits.label_value_bytes);
            let (name, value) = (cut(name), quote(cut(value)));
            return Err(format!(
                "label_value_length_limit exceeded (metric: {metric}, label name: {name}, \
                 value: {value}, length: {len}, limit: {limit})"
            ));
        }
    }
    Ok(())
}

/// Cuts a text to fifty characters, as error texts do.
fn cut(text: &str) -> &str {
    let end = text.char_indices().nth(50).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kymo_storage::model::{RelabelAction, RelabelConfig};

    use super::*;

    fn mutate(honor: bool, target: &[(&str, &str)], exposed: &[(&str, &str)]) -> String {
        let config = ScrapeConfig {
            honor_labels: honor,
            ..ScrapeConfig::new("a", Duration::from_secs(1), Duration::from_secs(1))
        };
        let target = Labels::from_pairs(target.iter().copied());
        let exposed = Labels::from_pairs(exposed.iter().copied());
        let mut exposed = LabelsBuilder::from_labels(&exposed);
        of_sample(&config, &target, &mut exposed, &[])
            .unwrap()
            .to_string()
    }

    #[test]
    fn conflicting_labels_are_renamed_or_win() {
        let target = [("job", "t"), ("instance", "i")];
        let exposed = [("__name__", "m"), ("job", "e"), ("exported_job", "x")];
        assert_eq!(
            mutate(false, &target, &exposed),
            "{__name__=\"m\", exported_exported_job=\"e\", exported_job=\"x\", instance=\"i\", job=\"t\"}"
        );
        assert_eq!(
            mutate(true, &target, &exposed),
            "{__name__=\"m\", exported_job=\"x\", instance=\"i\", job=\"e\"}"
        );
    }

    #[test]
    fn the_shorter_of_two_conflicts_is_renamed_first() {
        let both = [("foo", "t"), ("exported_foo", "t2")];
        let exposed = [("__name__", "m"), ("foo", "e"), ("exported_foo", "e2")];
        assert_eq!(
            mutate(false, &both, &exposed),
            "{__name__=\"m\", exported_exported_exported_foo=\"e2\", exported_exported_foo=\"e\", exported_foo=\"t2\", foo=\"t\"}"
        );
    }

    /// Prometheus parses a line into labels first and starts its builder from them, so
    /// only the target's labels are "set"; a mapping reads those behind the others.
    #[test]
    fn of_two_labels_mapped_to_one_name_the_same_one_wins_as_in_prometheus() {
        let rule = RelabelRule::new(RelabelConfig {
            regex: Some("(?:a|z|job)(.*)".to_owned()),
            replacement: "to$1".to_owned(),
            action: RelabelAction::LabelMap,
            ..RelabelConfig::default()
        });
        let config = ScrapeConfig {
            metric_relabel: vec![rule.unwrap()],
            ..ScrapeConfig::new("a", Duration::from_secs(1), Duration::from_secs(1))
        };
        for (target, expected) in [(&[][..], "of z"), (&[("job", "of job")][..], "of job")] {
            let target = Labels::from_pairs(target.iter().copied());
            let mut exposed = LabelsBuilder::new();
            // The order of the line, which is not that of the names.
            for (name, value) in [("__name__", "m"), ("z", "of z"), ("a", "of a")] {
                exposed.set(name, value);
            }
            let labels = of_sample(&config, &target, &mut exposed, &[]).unwrap();
            assert_eq!(labels.get("to"), Some(expected));
        }
    }

    #[test]
    fn limits_have_prometheus_texts() {
        let labels = Labels::from_pairs([("__name__", "m"), ("l", "a\"value"), ("long_name", "v")]);
        let limits = |labels, names, values| ScrapeLimits {
            labels,
            label_name_bytes: names,
            label_value_bytes: values,
            ..ScrapeLimits::default()
        };
        for (limits, expected) in [
            (limits(3, 9, 7), None),
            (
                limits(2, 0, 0),
                Some("label_limit exceeded (metric: m, number of labels: 3, limit: 2)"),
            ),
            (
                limits(0, 8, 0),
                Some(
                    "label_name_length_limit exceeded (metric: m, label name: long_name, length: 9, limit: 8)",
                ),
            ),
            (
                limits(0, 0, 6),
                Some(
                    "label_value_length_limit exceeded (metric: m, label name: l, value: \"a\\\"value\", length: 7, limit: 6)",
                ),
            ),
        ] {
            let found = check_limits(&labels, &limits).err();
            assert_eq!(found.as_deref(), expected);
        }
    }

    #[test]
    fn names_are_checked_by_scheme() {
        let dotted = Labels::from_pairs([("__name__", "m"), ("a.b", "c")]);
        assert_eq!(check_names(&dotted, NameValidation::Utf8), Ok(()));
        assert_eq!(
            check_names(&dotted, NameValidation::Legacy),
            Err("invalid metric name or label names: {__name__=\"m\", \"a.b\"=\"c\"}".to_owned())
        );
        let nameless = Labels::from_pairs([("a", "b")]);
        assert!(check_names(&nameless, NameValidation::Utf8).is_err());
    }
}
