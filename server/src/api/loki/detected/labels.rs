//! Labels that say something about streams, and those that only tell them apart.

/// Labels that are always shown.
const ALWAYS: [&str; 4] = ["cluster", "namespace", "instance", "pod"];

/// Tells whether a label is shown: not where all its values are numbers or UUIDs, unless
/// they are no more than 0 and 1.
pub(super) fn is_shown(name: &str, values: &[String]) -> bool {
    if values.is_empty() {
        return false;
    }
    let is_switch = values.len() <= 2 && values.iter().all(|value| value == "0" || value == "1");
    ALWAYS.contains(&name) || is_switch || !values.iter().all(|value| is_id(value))
}

fn is_id(value: &str) -> bool {
    kymo_storage::compat::float::parse(value).is_ok() || is_uuid(value)
}

/// Tells whether a text is a UUID, with or without dashes, braces or `urn:uuid:`.
fn is_uuid(text: &str) -> bool {
    let bare = text
        .strip_prefix("urn:uuid:")
        .or_else(|| {
            text.strip_prefix('{')
                .and_then(|text| text.strip_suffix('}'))
        })
        .unwrap_or(text);
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match bare.len() {
        32 => is_hex(bare),
        36 => {
            let parts: Vec<&str> = bare.split('-').collect();
            let lengths = parts.iter().map(|part| part.len());
            lengths.eq([8, 4, 4, 4, 12]) && parts.iter().all(|part| is_hex(part))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_ids_are_left_out() {
        let shown = |name: &str, values: &[&str]| {
            let values: Vec<String> = values.iter().map(|&value| value.to_owned()).collect();
            is_shown(name, &values)
        };
        assert!(shown("app", &["a", "b"]));
        assert!(shown("mixed", &["a", "5"]));
        assert!(shown("on", &["0", "1"]));
        assert!(shown("on", &["1"]));
        assert!(shown("pod", &["7"]));
        assert!(!shown("shard", &["7"]));
        assert!(!shown("n", &["0", "1", "2"]));
        assert!(!shown("app", &[]));
        let id = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
        assert!(!shown("id", &[id, "5"]));
        assert!(!shown("id", &["f47ac10b58cc4372a5670e02b2c3d479"]));
        assert!(shown("id", &["f47ac10b-58cc-4372-a567-0e02b2c3d47"]));
        assert!(shown("id", &["f47ac10b-58cc-4372-a567-0e02b2c3d47x"]));
    }
}
