//! Which names of metrics and labels are valid, and how names are escaped for readers
//! that know only the old alphabet.

use std::fmt::Write;

/// Which names are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NameValidation {
    /// Any non-empty UTF-8 text.
    #[default]
    Utf8,
    /// Letters, digits and underscores, not starting with a digit; metric names also
    /// have colons.
    Legacy,
}

impl NameValidation {
    /// Returns the scheme that a configuration calls `legacy` or `utf8`.
    pub fn from_config(text: &str) -> Option<NameValidation> {
        match text {
            "utf8" => Some(NameValidation::Utf8),
            "legacy" => Some(NameValidation::Legacy),
            _ => None,
        }
    }

    /// Returns the scheme's name in a configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            NameValidation::Utf8 => "utf8",
            NameValidation::Legacy => "legacy",
        }
    }

    /// Tells whether `name` may be a metric's name.
    pub fn is_metric_name(self, name: &str) -> bool {
        match self {
            NameValidation::Utf8 => !name.is_empty(),
            NameValidation::Legacy => is_legacy_metric_name(name),
        }
    }

    /// Tells whether `name` may be a label's name.
    pub fn is_label_name(self, name: &str) -> bool {
        match self {
            NameValidation::Utf8 => !name.is_empty(),
            NameValidation::Legacy => is_legacy_label_name(name),
        }
    }
}

/// Tells whether `name` is a metric name of the old alphabet.
pub fn is_legacy_metric_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .enumerate()
            .all(|(at, byte)| is_legacy_char(char::from(byte), at))
}

/// Tells whether `name` is a label name of the old alphabet.
pub fn is_legacy_label_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    match bytes.split_first() {
        Some((first, rest)) => {
            (first.is_ascii_alphabetic() || *first == b'_')
                && rest
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        }
        None => false,
    }
}

fn is_legacy_char(c: char, at: usize) -> bool {
    c.is_ascii_alphabetic() || c == '_' || c == ':' || (c.is_ascii_digit() && at > 0)
}

/// How names are escaped for a reader that does not take all of UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum EscapingScheme {
    /// `allow-utf-8`: names go out as they are.
    #[default]
    AllowUtf8,
    /// `underscores`: what is not in the old alphabet becomes an underscore.
    Underscores,
    /// `dots`: dots become `_dot_`, underscores and all else two underscores.
    Dots,
    /// `values`: `U__` in front, other characters as their code point in hex.
    Values,
}

impl EscapingScheme {
    /// Returns the scheme of a content type's `escaping=` parameter.
    pub fn from_parameter(text: &str) -> Option<EscapingScheme> {
        match text {
            "allow-utf-8" => Some(EscapingScheme::AllowUtf8),
            "underscores" => Some(EscapingScheme::Underscores),
            "dots" => Some(EscapingScheme::Dots),
            "values" => Some(EscapingScheme::Values),
            _ => None,
        }
    }

    /// Returns the scheme's name in a content type.
    pub fn as_str(self) -> &'static str {
        match self {
            EscapingScheme::AllowUtf8 => "allow-utf-8",
            EscapingScheme::Underscores => "underscores",
            EscapingScheme::Dots => "dots",
            EscapingScheme::Values => "values",
        }
    }

    /// Escapes a name. The empty name stays empty.
    pub fn escape(self, name: &str) -> String {
        let legacy = is_legacy_metric_name(name);
        match self {
            EscapingScheme::AllowUtf8 => name.to_owned(),
            EscapingScheme::Underscores | EscapingScheme::Values if legacy => name.to_owned(),
            _ if name.is_empty() => String::new(),
            EscapingScheme::Underscores => name
                .char_indices()
                .map(|(at, c)| if is_legacy_char(c, at) { c } else { '_' })
                .collect(),
            EscapingScheme::Dots => {
                let mut escaped = String::with_capacity(name.len() + 8);
                for (at, c) in name.char_indices() {
                    match c {
                        '.' => escaped.push_str("_dot_"),
                        c if c != '_' && is_legacy_char(c, at) => escaped.push(c),
                        _ => escaped.push_str("__"),
                    }
                }
                escaped
            }
            EscapingScheme::Values => {
                let mut escaped = String::with_capacity(name.len() + 8);
                escaped.push_str("U__");
                for (at, c) in name.char_indices() {
                    if c == '_' {
                        escaped.push_str("__");
                    } else if is_legacy_char(c, at) {
                        escaped.push(c);
                    } else {
                        // Writing to a String cannot fail.
                        let _ = write!(escaped, "_{:x}_", u32::from(c));
                    }
                }
                escaped
            }
        }
    }

    /// Undoes [`EscapingScheme::escape`] as far as the scheme allows. What was not
    /// escaped by the scheme comes back as it is.
    pub fn unescape(self, name: &str) -> String {
        match self {
            EscapingScheme::AllowUtf8 | EscapingScheme::Underscores => name.to_owned(),
            EscapingScheme::Dots => name.replace("_dot_", ".").replace("__", "_"),
            EscapingScheme::Values => name
                .strip_prefix("U__")
                .and_then(unescape_values)
                .unwrap_or_else(|| name.to_owned()),
        }
    }
}

fn unescape_values(escaped: &str) -> Option<String> {
    let mut name = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.find('_') {
        name.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest.find('_')?;
        let code = &rest[..end];
        rest = &rest[end + 1..];
        if code.is_empty() {
            name.push('_');
            continue;
        }
        // Prometheus stops at the sixth digit, so the last plane of Unicode, which it
        // does escape, is not read back.
        if code.len() > 5 {
            return None;
        }
        let mut value = 0;
        for byte in code.bytes() {
            // Prometheus folds case before it looks, which lets 0x10-0x19 pass as
            // digits too.
            let folded = char::from(byte | 0x20);
            value = value * 16 + folded.to_digit(16)?;
        }
        name.push(char::from_u32(value)?);
    }
    name.push_str(rest);
    Some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn legacy_names_start_with_a_letter_or_underscore() {
        let legacy = NameValidation::Legacy;
        assert!(legacy.is_metric_name("a:b_1") && !legacy.is_label_name("a:b_1"));
        assert!(legacy.is_label_name("_1") && !legacy.is_label_name("1a"));
        assert!(!legacy.is_label_name("") && !legacy.is_metric_name("é"));
        assert!(
            NameValidation::Utf8.is_label_name("é b") && !NameValidation::Utf8.is_label_name("")
        );
    }

    #[test]
    fn each_scheme_escapes_its_way() {
        let name = "http.é_total";
        for (scheme, escaped) in [
            (EscapingScheme::AllowUtf8, name),
            (EscapingScheme::Underscores, "http___total"),
            (EscapingScheme::Dots, "http_dot_____total"),
            (EscapingScheme::Values, "U__http_2e__e9___total"),
        ] {
            assert_eq!(scheme.escape(name), escaped);
        }
    }

    #[test]
    fn broken_escapes_come_back_as_they_are() {
        for text in [
            "U__a_",
            "U___zz_",
            "U___1234567_",
            "U___d800_",
            "a_b",
            "U__é_",
        ] {
            assert_eq!(EscapingScheme::Values.unescape(text), text);
        }
        assert_eq!(EscapingScheme::Values.unescape("U___1F600_"), "😀");
    }

    proptest! {
        #[test]
        fn values_read_back(name in "[^\u{100000}-\u{10ffff}]{0,20}") {
            let escaped = EscapingScheme::Values.escape(&name);
            prop_assert!(name.is_empty() || is_legacy_metric_name(&escaped));
            // A plain name that looks escaped is taken for one.
            if !name.starts_with("U__") || !is_legacy_metric_name(&name) {
                prop_assert_eq!(EscapingScheme::Values.unescape(&escaped), name);
            }
        }

        #[test]
        fn unescaping_never_panics(name in "(U__)?[_a-f0-9é\u{10}-\u{1f}]{0,20}") {
            for scheme in [EscapingScheme::Dots, EscapingScheme::Values] {
                let _ = scheme.unescape(&name);
            }
        }
    }
}
