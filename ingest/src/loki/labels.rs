//! Labels of a stream: read from their text or given as pairs, and `service_name`.

use std::borrow::Cow;

use kymo_storage::compat::name::is_legacy_label_name;
use kymo_storage::compat::quote;
use kymo_storage::model::{Labels, METRIC_NAME};

/// The label that says which service a stream is of.
pub(crate) const SERVICE_NAME: &str = "service_name";

/// Its value where nothing names the service.
const UNKNOWN_SERVICE: &str = "unknown_service";

/// Bytes of the labels of a stream that are read.
const MAX_TEXT_BYTES: usize = 1 << 24;

/// Names and values in any order.
pub(crate) type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Labels of a stream as a store has them.
#[derive(Debug)]
pub(crate) struct StreamLabels {
    /// In order of names, without empty values, with `service_name` where it is added.
    pub(crate) labels: Labels,
    /// A name that comes twice.
    pub(crate) duplicate: Option<String>,
}

/// Puts pairs in order, leaves empty values out and adds `service_name` from the first of
/// `service_labels` that there is, where there are any.
pub(crate) fn stream_labels(pairs: &mut Pairs<'_>, service_labels: &[String]) -> StreamLabels {
    pairs.retain(|(_, value)| !value.is_empty());
    let has = |name: &str| pairs.iter().find(|(one, _)| one == name);
    if !service_labels.is_empty() && has(SERVICE_NAME).is_none() {
        let named = service_labels.iter().find_map(|name| has(name));
        let service = named.map_or(UNKNOWN_SERVICE.into(), |(_, value)| value.clone());
        pairs.push((SERVICE_NAME.into(), service));
    }
    pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
    let twice = pairs.windows(2).find(|two| two[0].0 == two[1].0);
    let duplicate = twice.map(|two| two[0].0.clone().into_owned());
    if duplicate.is_some() {
        pairs.dedup_by(|later, first| later.0 == first.0);
    }
    let sorted = pairs.iter().map(|(name, value)| (&**name, &**value));
    StreamLabels {
        labels: Labels::from_sorted(sorted),
        duplicate,
    }
}

/// Checks the names of labels that did not come as text.
///
/// # Errors
/// What is wrong, as in a text.
pub(crate) fn check_names(pairs: &Pairs<'_>) -> Result<(), String> {
    let bad = pairs.iter().find(|(name, _)| !is_legacy_label_name(name));
    let Some((name, _)) = bad else {
        return Ok(());
    };
    let name_char = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let at = name.find(|c| !name_char(c)).unwrap_or(0);
    Err(match name.chars().nth(at) {
        Some(c) => format!(
            "parse error: unexpected character inside braces: {} in the label name {}",
            quote_char(c),
            quote::quote(name)
        ),
        None => "parse error: a label name is empty".to_owned(),
    })
}

fn quote_char(c: char) -> String {
    match c {
        '\'' => "'\\''".to_owned(),
        c => format!("'{c}'"),
    }
}

/// Reads labels as in `{app="auth", env="prod"}`. A metric's name may stand in front.
///
/// # Errors
/// Where it is none, and why.
pub(crate) fn parse(text: &str) -> Result<Pairs<'_>, String> {
    if text.len() > MAX_TEXT_BYTES {
        let size = text.len() >> 20;
        return Err(format!("labels size {size} MiB exceeds limit of 16"));
    }
    let mut text = Text { text, at: 0 };
    let mut pairs = Pairs::new();
    if let Some(name) = text.name() {
        pairs.push((METRIC_NAME.into(), name.into()));
    }
    if text.peek().is_none() && !pairs.is_empty() {
        return Ok(pairs);
    }
    text.expect('{', "\"{\"")?;
    loop {
        if text.take('}') {
            break;
        }
        let Some(name) = text.name() else {
            return Err(text.unexpected("identifier or \"}\""));
        };
        text.expect('=', "\"=\"")?;
        pairs.push((name.into(), text.string()?));
        if !text.take(',') && text.peek() != Some('}') {
            return Err(text.unexpected("\",\" or \"}\""));
        }
    }
    match text.peek() {
        None => Ok(pairs),
        Some(_) => Err(text.unexpected("end of input")),
    }
}

struct Text<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Text<'a> {
    /// Returns the next character that is no blank, in front of which `at` then is.
    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        self.at += rest.len() - trimmed.len();
        trimmed.chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn expect(&mut self, wanted: char, called: &str) -> Result<(), String> {
        match self.take(wanted) {
            true => Ok(()),
            false => Err(self.unexpected(called)),
        }
    }

    fn name(&mut self) -> Option<&'a str> {
        self.peek()?;
        let rest = &self.text[self.at..];
        let name_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let len = rest.bytes().position(|byte| !name_byte(byte));
        let name = &rest[..len.unwrap_or(rest.len())];
        if name.is_empty() || name.as_bytes()[0].is_ascii_digit() {
            return None;
        }
        self.at += name.len();
        Some(name)
    }

    fn string(&mut self) -> Result<Cow<'a, str>, String> {
        let Some(quote @ ('"' | '\'' | '`')) = self.peek() else {
            return Err(self.unexpected("string"));
        };
        let rest = &self.text[self.at..];
        let mut escaped = false;
        let end = rest.bytes().skip(1).position(|byte| {
            let ends = byte == quote as u8 && !escaped;
            escaped = byte == b'\\' && !escaped && quote != '`';
            ends
        });
        let Some(end) = end else {
            return Err(self.error(format_args!("unterminated quoted string")));
        };
        let literal = &rest[..end + 2];
        let inner = &literal[1..=end];
        let value = match inner.contains(['\\', '\n']) && quote != '`' {
            false => inner.into(),
            true => {
                let value = quote::unquote(literal);
                let value = value.map_err(|error| self.error(format_args!("{error}")))?;
                String::from_utf8_lossy(&value).into_owned().into()
            }
        };
        self.at += literal.len();
        Ok(value)
    }

    fn unexpected(&mut self, expected: &str) -> String {
        match self.peek() {
            None => self.error(format_args!(
                "unexpected end of input in label set, expected {expected}"
            )),
            Some(c @ ('{' | '}' | '=' | ',' | '"' | '\'' | '`')) => self.error(format_args!(
                "unexpected \"{c}\" in label set, expected {expected}"
            )),
            Some(c) if c.is_ascii_alphanumeric() || c == '_' => self.error(format_args!(
                "unexpected identifier in label set, expected {expected}"
            )),
            Some(c) => self.error(format_args!(
                "unexpected character inside braces: {}",
                quote_char(c)
            )),
        }
    }

    fn error(&self, what: std::fmt::Arguments<'_>) -> String {
        format!("1:{}: parse error: {what}", self.at + 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn services() -> Vec<String> {
        super::super::limits::DEFAULT_SERVICE_LABELS
            .map(str::to_owned)
            .to_vec()
    }

    fn of(text: &str) -> Result<String, String> {
        let mut pairs = parse(text)?;
        Ok(stream_labels(&mut pairs, &services()).labels.to_string())
    }

    #[test]
    fn labels_are_put_in_order_and_have_a_service() {
        let service = |name| format!(r#"{{a="1", app="x", service_name="{name}"}}"#);
        assert_eq!(of(r#"{app="x",a='1',}"#).unwrap(), service("x"));
        assert_eq!(
            of(r#"{ a = "1" , app=`x`, service_name="y" , empty="" }"#).unwrap(),
            service("y")
        );
        assert_eq!(of("{}").unwrap(), r#"{service_name="unknown_service"}"#);
        // The first of the list, not of the stream; an empty one is none.
        assert_eq!(
            of(r#"{job="j", service="", container="c"}"#).unwrap(),
            r#"{container="c", job="j", service_name="c"}"#
        );
        assert_eq!(
            of(r#"{a="q\"\\é\n"}"#).unwrap(),
            r#"{a="q\"\\é\n", service_name="unknown_service"}"#
        );
        let mut pairs = parse(r#"{a="1"}"#).unwrap();
        assert_eq!(
            stream_labels(&mut pairs, &[]).labels.to_string(),
            r#"{a="1"}"#
        );
    }

    #[test]
    fn what_comes_twice_is_named() {
        let mut pairs = parse(r#"{b="1", a="1", b="2"}"#).unwrap();
        let labels = stream_labels(&mut pairs, &[]);
        assert_eq!(labels.duplicate.as_deref(), Some("b"));
        assert_eq!(labels.labels.to_string(), r#"{a="1", b="1"}"#);
    }

    #[test]
    fn mistakes_are_placed() {
        let error = |text| of(text).unwrap_err();
        assert_eq!(
            error(r#"{a-b="1"}"#),
            "1:3: parse error: unexpected character inside braces: '-'"
        );
        assert_eq!(
            error(r#"{="1"}"#),
            "1:2: parse error: unexpected \"=\" in label set, expected identifier or \"}\""
        );
        assert_eq!(
            error(r#"{a="1"#),
            "1:4: parse error: unterminated quoted string"
        );
        assert!(error(r#"{a=1}"#).contains("expected string"));
        assert!(error(r#"{a="1" b="2"}"#).contains("expected \",\" or \"}\""));
        assert!(error(r#"{a="1"}x"#).contains("end of input"));
        assert!(error("").contains("expected \"{\""));
        assert!(error(r#"{a="\q"}"#).starts_with("1:4: parse error: "));
        assert!(
            check_names(&vec![("a-b".into(), "1".into())])
                .unwrap_err()
                .contains("'-'")
        );
        assert!(check_names(&vec![("".into(), "1".into())]).is_err());
        assert!(check_names(&vec![("1a".into(), "1".into())]).is_err());
        assert!(check_names(&vec![("_a1".into(), "1".into())]).is_ok());
    }

    proptest! {
        #[test]
        fn labels_as_they_are_printed_are_read(pairs in proptest::collection::btree_map("[a-zA-Z_][a-zA-Z0-9_]{0,8}", ".+", 0..6)) {
            let labels = Labels::from_pairs(&pairs);
            let printed = labels.to_string();
            let mut read = parse(&printed).unwrap();
            prop_assert_eq!(stream_labels(&mut read, &[]).labels, labels);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[{}a=\"'`\\\\,é \n-]{0,20}") {
            let _ = parse(&text);
        }
    }
}
