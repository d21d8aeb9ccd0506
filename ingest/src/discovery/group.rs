//! Groups of targets, as sources find them and as files and answers write them.

use std::collections::BTreeMap;
use std::fmt;

use kymo_storage::compat::quote::quote;
use serde_json::Value;

/// Labels by name.
pub type LabelMap = BTreeMap<String, String>;

/// The label that holds a target's address.
const ADDRESS: &str = "__address__";

/// Addresses with labels: an entry of `static_configs`, of a file, of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetGroup {
    /// Values of `__address__`, one target each.
    pub targets: Vec<String>,
    /// Labels of all of them.
    pub labels: LabelMap,
}

/// Tells groups of a source apart; what it prints stands in error texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId {
    /// The file, URL or name that the group comes from.
    pub origin: String,
    /// Which of the groups of its origin it is, where there may be several.
    pub index: Option<usize>,
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "{}:{index}", self.origin),
            None => f.write_str(&self.origin),
        }
    }
}

/// A group of targets that a source found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Which group it is.
    pub id: GroupId,
    /// The labels of each target, `__address__` among them.
    pub targets: Vec<LabelMap>,
    /// Labels of all targets that do not have them already.
    pub labels: LabelMap,
}

impl Group {
    /// Returns the group without targets, which removes it where it is known.
    pub(super) fn gone(id: GroupId) -> Group {
        Group {
            id,
            targets: Vec::new(),
            labels: LabelMap::new(),
        }
    }

    /// Returns the group that a file or an answer wrote, with one label more.
    pub(super) fn found(id: GroupId, written: TargetGroup, name: &str, value: &str) -> Group {
        let TargetGroup {
            targets,
            mut labels,
        } = written;
        labels.insert(name.to_owned(), value.to_owned());
        let target = |address| LabelMap::from([(ADDRESS.to_owned(), address)]);
        Group {
            id,
            targets: targets.into_iter().map(target).collect(),
            labels,
        }
    }
}

/// Numbers the groups that `origin` has now, and adds an empty one for each that it had
/// more before.
pub(super) fn numbered(
    origin: &str,
    written: Vec<TargetGroup>,
    before: usize,
    label: &str,
) -> Vec<Group> {
    let id = |index| GroupId {
        origin: origin.to_owned(),
        index: Some(index),
    };
    let now = written.len();
    let found = written.into_iter().enumerate();
    let found = found.map(|(index, group)| Group::found(id(index), group, label, origin));
    found
        .chain((now..before).map(|index| Group::gone(id(index))))
        .collect()
}

impl TargetGroup {
    /// Reads a list of groups from JSON; `null` is an empty one.
    ///
    /// # Errors
    /// What is wrong with it, in the words of Go's reader where it has some.
    pub fn read_json(text: &[u8]) -> Result<Vec<TargetGroup>, String> {
        let value: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let items = match value {
            Value::Null => Vec::new(),
            Value::Array(items) => items,
            other => return Err(wrong(&other, "[]*targetgroup.Group")),
        };
        items.into_iter().map(read_group).collect()
    }
}

fn read_group(value: Value) -> Result<TargetGroup, String> {
    let fields = match value {
        Value::Null => return Err("nil target group item found".to_owned()),
        Value::Object(fields) => fields,
        other => return Err(wrong(&other, "targetgroup.Group")),
    };
    let mut group = TargetGroup::default();
    for (name, value) in fields {
        // Go finds the fields of a struct whatever their case.
        if name.eq_ignore_ascii_case("targets") {
            group.targets = match value {
                Value::Null => Vec::new(),
                Value::Array(items) => items.into_iter().map(text).collect::<Result<_, _>>()?,
                other => return Err(wrong(&other, "[]string")),
            };
        } else if name.eq_ignore_ascii_case("labels") {
            group.labels = match value {
                Value::Null => LabelMap::new(),
                Value::Object(pairs) => pairs.into_iter().map(label).collect::<Result<_, _>>()?,
                other => return Err(wrong(&other, "model.LabelSet")),
            };
        } else {
            return Err(format!("json: unknown field {}", quote(&name)));
        }
    }
    Ok(group)
}

fn label((name, value): (String, Value)) -> Result<(String, String), String> {
    if name.is_empty() {
        return Err(format!("{} is not a valid label name", quote(&name)));
    }
    Ok((name, text(value)?))
}

fn text(value: Value) -> Result<String, String> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text),
        other => Err(wrong(&other, "string")),
    }
}

fn wrong(value: &Value, wanted: &str) -> String {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    format!("json: cannot unmarshal {kind} into Go value of type {wanted}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_a_list_or_refused(text in r#"[\[\]{}:,"a\\ntargetslabels0 ]{0,60}"#) {
            // What is taken has no label without a name; nothing breaks on the way.
            if let Ok(groups) = TargetGroup::read_json(text.as_bytes()) {
                prop_assert!(groups.iter().all(|group| !group.labels.contains_key("")));
            }
        }
    }

    #[test]
    fn groups_are_read_as_go_reads_them() {
        let text = br#"[{"targets":["a:1",null],"labels":{"x":"y","z":null}},{"Targets":null}]"#;
        let groups = TargetGroup::read_json(text).unwrap();
        assert_eq!(groups[0].targets, ["a:1", ""]);
        assert_eq!(groups[0].labels["x"], "y");
        assert_eq!(groups[0].labels["z"], "");
        assert_eq!(groups[1], TargetGroup::default());
        assert_eq!(TargetGroup::read_json(b"null").unwrap(), []);
    }

    #[test]
    fn what_is_no_list_of_groups_is_refused() {
        let object = "json: cannot unmarshal object into Go value of type []*targetgroup.Group";
        for (text, complaint) in [
            ("{}", object),
            ("[null]", "nil target group item found"),
            (r#"[{"target":[]}]"#, "json: unknown field \"target\""),
            (
                r#"[{"targets":"a"}]"#,
                "json: cannot unmarshal string into Go value of type []string",
            ),
            (
                r#"[{"targets":[1]}]"#,
                "json: cannot unmarshal number into Go value of type string",
            ),
            (r#"[{"labels":{"":"v"}}]"#, "\"\" is not a valid label name"),
        ] {
            assert_eq!(
                TargetGroup::read_json(text.as_bytes()).unwrap_err(),
                complaint
            );
        }
        assert!(TargetGroup::read_json(b"[").is_err());
        assert!(TargetGroup::read_json(&vec![b'['; 100_000]).is_err());
    }

    #[test]
    fn groups_that_are_no_more_come_empty() {
        let one = TargetGroup {
            targets: vec!["h:1".to_owned()],
            labels: LabelMap::new(),
        };
        let groups = numbered("f.json", vec![one], 3, "__meta_filepath");
        let ids: Vec<String> = groups.iter().map(|group| group.id.to_string()).collect();
        assert_eq!(ids, ["f.json:0", "f.json:1", "f.json:2"]);
        assert_eq!(groups[0].labels["__meta_filepath"], "f.json");
        assert_eq!(groups[0].targets[0]["__address__"], "h:1");
        assert!(groups[1].targets.is_empty() && groups[2].targets.is_empty());
    }
}
