//! Labels of a stream: read from their text or given as pairs, and `service_name`.

use std::borrow::Cow;

use kymo_storage::compat::name::is_legacy_label_name;
use kymo_storage::compat::quote;
use kymo_storage::model::Labels;

use super::label_text;

/// The label that says which service a stream is of.
pub(crate) const SERVICE_NAME: &str = "service_name";

/// Its value where nothing names the service.
const UNKNOWN_SERVICE: &str = "unknown_service";

/// Labels of streams that a Loki makes of others; they are of no service.
const INTERNAL: [&str; 2] = ["__aggregated_metric__", "__pattern__"];

/// Bytes of the labels of a stream that are read.
const MAX_TEXT_BYTES: usize = 1 << 24;

/// Names and values in any order.
pub(crate) type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Labels of a stream as a store has them.
#[derive(Debug)]
pub(crate) struct StreamLabels {
    /// In order of names, without empty values, with `service_name` where it is added.
    pub(crate) labels: Labels,
    /// A name that comes twice, and all labels as they came.
    pub(crate) duplicate: Option<(String, String)>,
}

/// Puts pairs in order, leaves empty values out and adds `service_name` from the first of
/// `service_labels` that there is, where there are any.
pub(crate) fn stream_labels(pairs: &mut Pairs<'_>, service_labels: &[String]) -> StreamLabels {
    pairs.retain(|(_, value)| !value.is_empty());
    let has = |name: &str| pairs.iter().find(|(one, _)| one == name);
    let is_internal = INTERNAL.iter().any(|name| has(name).is_some());
    if !service_labels.is_empty() && has(SERVICE_NAME).is_none() && !is_internal {
        let named = service_labels.iter().find_map(|name| has(name));
        let service = named.map_or(UNKNOWN_SERVICE.into(), |(_, value)| value.clone());
        pairs.push((SERVICE_NAME.into(), service));
    }
    pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
    let twice = pairs.windows(2).find(|two| two[0].0 == two[1].0);
    let twice = twice.map(|two| &two[0]);
    // A name of nothing is never the first one.
    let twice = twice.or_else(|| pairs.first().filter(|(name, _)| name.is_empty()));
    let duplicate = twice.map(|(name, _)| (name.clone().into_owned(), shown(pairs)));
    if duplicate.is_some() {
        pairs.dedup_by(|later, first| later.0 == first.0);
    }
    let sorted = pairs.iter().map(|(name, value)| (&**name, &**value));
    StreamLabels {
        labels: Labels::from_sorted(sorted),
        duplicate,
    }
}

/// Writes labels as a set of them is written.
fn shown(pairs: &Pairs<'_>) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        text.push_str(if text.is_empty() { "{" } else { ", " });
        match is_legacy_label_name(name) {
            true => text.push_str(name),
            false => quote::push_quoted(&mut text, name),
        }
        text.push('=');
        quote::push_quoted(&mut text, value);
    }
    text.push('}');
    text
}

/// Returns labels that did not come as text, with names that a text may have.
///
/// # Errors
/// What is wrong, as if they were written as text.
pub(crate) fn named(pairs: Pairs<'_>) -> Result<Pairs<'_>, String> {
    if pairs.iter().all(|(name, _)| is_legacy_label_name(name)) {
        return Ok(pairs);
    }
    let mut sorted = pairs;
    sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut text = String::new();
    for (name, value) in &sorted {
        text.push_str(if text.is_empty() { "{" } else { ", " });
        text.push_str(name);
        text.push('=');
        quote::push_quoted(&mut text, value);
    }
    text.push('}');
    let read = label_text::read(&text)?.into_iter();
    let owned = read.map(|(name, value)| (name.into_owned().into(), value.into_owned().into()));
    Ok(owned.collect())
}

/// Reads labels as in `{app="auth", env="prod"}`.
///
/// # Errors
/// Where it is none, and why.
pub(crate) fn parse(text: &str) -> Result<Pairs<'_>, String> {
    if text.len() > MAX_TEXT_BYTES {
        let size = text.len() >> 20;
        return Err(format!("labels size {size} MiB exceeds limit of 16"));
    }
    match usual(text) {
        Some(pairs) => Ok(pairs),
        None => label_text::read(text),
    }
}

/// Reads the form in which senders write; `None` is for all others, wrong ones too.
fn usual(text: &str) -> Option<Pairs<'_>> {
    let mut text = Text { text, at: 0 };
    let mut pairs = Pairs::new();
    text.take('{').then_some(())?;
    while !text.take('}') {
        let name = text.name()?;
        text.take('=').then_some(())?;
        pairs.push((name.into(), text.string()?));
        if !text.take(',') && text.peek() != Some('}') {
            return None;
        }
    }
    text.peek().is_none().then_some(pairs)
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

    /// Reads a text in double quotes, or one without anything to undo.
    fn string(&mut self) -> Option<Cow<'a, str>> {
        let Some(quote @ ('"' | '\'' | '`')) = self.peek() else {
            return None;
        };
        let rest = &self.text[self.at..];
        let mut escaped = false;
        let end = rest.bytes().skip(1).position(|byte| {
            let ends = byte == quote as u8 && !escaped;
            escaped = byte == b'\\' && !escaped && quote != '`';
            ends
        })?;
        let literal = &rest[..end + 2];
        let inner = &literal[1..=end];
        let value = match inner.contains(['\\', '\n']) && quote != '`' {
            false => inner.into(),
            true => {
                let value = quote::unquote(literal).ok()?;
                String::from_utf8_lossy(&value).into_owned().into()
            }
        };
        self.at += literal.len();
        Some(value)
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
        let internal = r#"{__pattern__="1"}"#;
        assert_eq!(of(internal).unwrap(), internal);
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
        let shown = r#"{a="1", b="1", b="2"}"#;
        assert_eq!(labels.duplicate, Some(("b".to_owned(), shown.to_owned())));
        assert_eq!(labels.labels.to_string(), r#"{a="1", b="1"}"#);
    }

    #[test]
    fn an_empty_name_is_one_that_comes_twice() {
        let mut pairs = parse(r#"{""="1"}"#).unwrap();
        let found = stream_labels(&mut pairs, &[]).duplicate;
        assert_eq!(found, Some((String::new(), r#"{""="1"}"#.to_owned())));
    }

    #[test]
    fn labels_of_a_map_are_judged_as_text() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            named(pairs.iter().map(|&(n, v)| (n.into(), v.into())).collect())
        };
        let error = |pairs| of(pairs).unwrap_err();
        assert_eq!(
            error(&[("b", "1"), ("a-b", "x\"y")]),
            "1:3: parse error: unexpected character inside braces: '-'"
        );
        assert_eq!(
            error(&[("a b", "1")]),
            "1:4: parse error: unexpected identifier \"b\" in label set, expected \"=\""
        );
        assert_eq!(
            error(&[("", "1")]),
            "1:2: parse error: unexpected \"=\" in label set, expected identifier or \"}\""
        );
        let same = of(&[("b", "1"), ("a", "")]).unwrap();
        assert_eq!(
            same,
            [("b".into(), "1".into()), ("a".into(), "".into())]
                as [(Cow<'_, str>, Cow<'_, str>); 2]
        );
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
