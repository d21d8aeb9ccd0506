//! How failures are told.

use std::fmt::Write as _;

use kymo_query::rules::Pairs;
use kymo_storage::compat::name::is_legacy_label_name;
use kymo_storage::compat::quote::push_quoted;

/// What is shown of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Show {
    /// Everything that was expected, and everything that was found.
    Both,
    /// What is in one and not in the other.
    Difference,
}

/// Labels and annotations of an alert.
pub(super) type AlertTexts = (Pairs, Pairs);

/// Prints a set of labels as Prometheus does.
pub(super) fn pairs(pairs: &Pairs) -> String {
    let mut text = String::from("{");
    for (at, (name, value)) in pairs.iter().enumerate() {
        if at > 0 {
            text.push_str(", ");
        }
        match is_legacy_label_name(name) {
            true => text.push_str(name),
            false => push_quoted(&mut text, name),
        }
        text.push('=');
        push_quoted(&mut text, value);
    }
    text.push('}');
    text
}

/// Prints expected and found alerts, indented as promtool does.
pub(super) fn alerts(expected: &[AlertTexts], found: &[AlertTexts], show: Show) -> String {
    if show == Show::Both {
        let (expected, found) = (list(expected), list(found));
        return format!("        exp:{expected}, \n        got:{found}");
    }
    let mut text = String::from("        diff:");
    let mut side = |mark: &str, these: &[AlertTexts], those: &[AlertTexts]| {
        for (labels, annotations) in these.iter().filter(|one| !those.contains(one)) {
            let (labels, annotations) = (pairs(labels), pairs(annotations));
            let _ = write!(
                text,
                "\n            {mark} Labels:{labels}\n            {mark} Annotations:{annotations}"
            );
        }
    };
    side("-", expected, found);
    side("+", found, expected);
    text
}

fn list(alerts: &[AlertTexts]) -> String {
    if alerts.is_empty() {
        return "[]".to_owned();
    }
    let mut text = String::from("[");
    for (at, (labels, annotations)) in alerts.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        let (labels, annotations) = (pairs(labels), pairs(annotations));
        let _ = write!(
            text,
            "{comma}\n            {at}:\n              Labels:{labels}\n              \
             Annotations:{annotations}"
        );
    }
    text.push_str("\n            ]");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(labels: &[(&str, &str)], text: &str) -> AlertTexts {
        let own = |&(n, v): &(&str, &str)| (n.to_owned(), v.to_owned());
        let annotations = vec![("text".to_owned(), text.to_owned())];
        (labels.iter().map(own).collect(), annotations)
    }

    #[test]
    fn alerts_are_listed_as_promtool_lists_them() {
        let (a, b) = (alert(&[("a", "b")], "x"), alert(&[("a.b", "c")], "y"));
        let text = alerts(&[a.clone(), b.clone()], &[], Show::Both);
        let expected = "        exp:[
            0:
              Labels:{a=\"b\"}
              Annotations:{text=\"x\"},
            1:
              Labels:{\"a.b\"=\"c\"}
              Annotations:{text=\"y\"}
            ], \n        got:[]";
        assert_eq!(text, expected);
        let text = alerts(&[a.clone(), b], &[a], Show::Difference);
        assert!(
            text.contains("- Labels:{\"a.b\"=\"c\"}") && !text.contains("{a=\"b\"}"),
            "{text}"
        );
    }
}
