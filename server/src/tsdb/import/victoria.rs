//! The lines of VictoriaMetrics' `/api/v1/export`: each has a series, its values and their
//! times.
//!
//! ```text
//! {"metric":{"__name__":"up","job":"api"},"values":[1,null],"timestamps":[1700000000000,…]}
//! ```
//!
//! JSON has no word for some values: what is not a number comes as `null`, infinity as
//! `"Infinity"`, and from old releases as a bare `+Inf`. A line is taken whole or not
//! at all.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use anyhow::Context;
use kymo_storage::compat::float::GO_NAN_BITS;
use kymo_storage::model::Labels;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use super::TIMES;
use super::input::{Input, Line};
use super::run::Point;
use super::sorter::Sorter;
use super::tally::{Reason, Tally};

/// Longest line that is taken, as VictoriaMetrics' own import bounds it.
pub(super) const MAX_LINE_BYTES: usize = 100 << 20;

/// Tells whether a text begins as an export does: with an object whose first member has
/// a name and a colon. OpenMetrics has no colon behind a quoted name.
pub(super) fn begins_like_it(beginning: &[u8]) -> bool {
    let text = beginning.trim_ascii_start();
    let Some(text) = text.strip_prefix(b"{") else {
        return false;
    };
    let Some(text) = text.trim_ascii_start().strip_prefix(b"\"") else {
        return false;
    };
    let name_len = text.iter().position(|&byte| byte == b'"');
    let behind = name_len.and_then(|len| text.get(len + 1..));
    behind.is_some_and(|text| text.trim_ascii_start().starts_with(b":"))
}

/// Reads an input into `sorter`.
pub(super) fn read(input: Input, sorter: &mut Sorter, tally: &mut Tally) -> anyhow::Result<()> {
    let name = input.name.clone();
    let mut lines = input.into_lines(MAX_LINE_BYTES);
    let mut points = Vec::new();
    loop {
        let number = lines.number() + 1;
        let line = lines.next_line();
        let line = line.with_context(|| format!("read {name} behind line {}", number - 1))?;
        let found = match line {
            None => return Ok(()),
            Some(Line::TooLong) => {
                let detail = format!(
                    "more than {MAX_LINE_BYTES} bytes; export with max_rows_per_line=100000"
                );
                Err((Reason::TooLong, detail))
            }
            Some(Line::Text(text)) if text.trim_ascii().is_empty() => continue,
            Some(Line::Text(text)) => read_line(text, &mut points),
        };
        match found {
            Ok(labels) => {
                sorter.add(labels, &points)?;
                tally.samples(points.len(), &name, number);
            }
            Err((reason, detail)) => tally.refuse(reason, &name, number, &detail)?,
        }
    }
}

/// A line; members that are not named here are passed over.
#[derive(Deserialize)]
struct Exported {
    metric: BTreeMap<String, String>,
    values: Vec<Value>,
    timestamps: Vec<i64>,
}

/// Reads a line: returns its labels, and replaces the content of `points`.
fn read_line(text: &[u8], points: &mut Vec<Point>) -> Result<Labels, (Reason, String)> {
    points.clear();
    let line: Exported = parse(text).map_err(|error| (Reason::Syntax, error.to_string()))?;
    let (n, m) = (line.values.len(), line.timestamps.len());
    if n != m {
        return Err((Reason::Lengths, format!("{n} values and {m} timestamps")));
    }
    if line.metric.contains_key("") {
        return Err((Reason::Labels, "a label has no name".to_owned()));
    }
    let labels = Labels::from_pairs(&line.metric);
    if labels.is_empty() {
        return Err((Reason::Labels, "there are no labels".to_owned()));
    }
    if let Some(t_ms) = line.timestamps.iter().find(|t_ms| !TIMES.contains(t_ms)) {
        return Err((Reason::Time, format!("a time is {t_ms} ms")));
    }
    let values = line.values.iter().map(|value| value.0);
    points.extend(line.timestamps.iter().copied().zip(values));
    Ok(labels)
}

fn parse(text: &[u8]) -> serde_json::Result<Exported> {
    let parsed = serde_json::from_slice(text);
    match (parsed, quote_words(text)) {
        (Err(_), Cow::Owned(text)) => serde_json::from_slice(&text),
        (parsed, _) => parsed,
    }
}

/// Puts quotes around bare words for values that JSON has no number for.
fn quote_words(text: &[u8]) -> Cow<'_, [u8]> {
    let mut quoted = Vec::new();
    // What is in front of `copied` is in `quoted`.
    let (mut at, mut copied) = (0, 0);
    while at < text.len() {
        if text[at] == b'"' {
            at += string_len(&text[at..]);
            continue;
        }
        let is_word = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'+' | b'-');
        let len = text[at..].iter().take_while(|byte| is_word(byte)).count();
        let word = &text[at..at + len];
        if std::str::from_utf8(word).is_ok_and(|word| special(word).is_some()) {
            quoted.extend_from_slice(&text[copied..at]);
            quoted.push(b'"');
            quoted.extend_from_slice(word);
            quoted.push(b'"');
            copied = at + len;
        }
        at += len.max(1);
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    quoted.extend_from_slice(&text[copied..]);
    Cow::Owned(quoted)
}

/// Returns how long the string is that `text` begins with, quotes included.
fn string_len(text: &[u8]) -> usize {
    let mut len = 1;
    while let Some(byte) = text.get(len) {
        match byte {
            b'"' => return len + 1,
            b'\\' => len += 2,
            _ => len += 1,
        }
    }
    text.len()
}

/// Returns the value that JSON has no number for.
fn special(text: &str) -> Option<f64> {
    let (is_negative, word) = match text.strip_prefix(['+', '-']) {
        Some(word) => (text.starts_with('-'), word),
        None => (false, text),
    };
    let is = |known: &str| word.eq_ignore_ascii_case(known);
    if is("nan") {
        return Some(f64::from_bits(GO_NAN_BITS));
    }
    (is("inf") || is("infinity")).then_some(match is_negative {
        true => f64::NEG_INFINITY,
        false => f64::INFINITY,
    })
}

/// A value as an export writes it.
struct Value(f64);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Value, D::Error> {
        from.deserialize_any(ValueVisitor).map(Value)
    }
}

struct ValueVisitor;

impl Visitor<'_> for ValueVisitor {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, null, \"NaN\", \"Infinity\" or \"-Infinity\"")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<f64, E> {
        Ok(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_unit<E: Error>(self) -> Result<f64, E> {
        Ok(f64::from_bits(GO_NAN_BITS))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<f64, E> {
        special(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels as text, and times with the bits of their values.
    type Found = (String, Vec<(i64, u64)>);

    fn line(text: &str) -> Result<Found, (Reason, String)> {
        let mut points = Vec::new();
        let labels = read_line(text.as_bytes(), &mut points)?;
        let points = points.iter().map(|(t_ms, value)| (*t_ms, value.to_bits()));
        Ok((labels.to_string(), points.collect()))
    }

    #[test]
    fn values_that_json_has_no_number_for_are_read() {
        let (labels, points) = line(
            r#"{"metric":{"__name__":"up","job":"a\"b","empty":""},
                "values":[1,-0.0,1e300,null,"Infinity","-Infinity","NaN","+Inf",-7],
                "timestamps":[-1,0,1700000000000,3,4,5,6,7,8],"later":{}}"#,
        )
        .unwrap();
        assert_eq!(labels, r#"{__name__="up", job="a\"b"}"#);
        let nan = f64::from_bits(GO_NAN_BITS);
        let (up, down) = (f64::INFINITY, f64::NEG_INFINITY);
        let values = [1.0, -0.0, 1e300, nan, up, down, nan, up, -7.0];
        let times = [-1, 0, 1_700_000_000_000, 3, 4, 5, 6, 7, 8];
        let expected = times.into_iter().zip(values.map(f64::to_bits));
        assert_eq!(points, expected.collect::<Vec<_>>());
    }

    #[test]
    fn bare_words_of_old_releases_are_read_and_those_in_labels_stay() {
        let (labels, points) = line(
            r#"{"metric":{"a":"+Inf","b\\":"\",NaN]"},"values":[+Inf,-Inf,NaN,1e+3,null],
                "timestamps":[1,2,3,4,5]}"#,
        )
        .unwrap();
        assert_eq!(labels, r#"{a="+Inf", "b\\"="\",NaN]"}"#);
        let values = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1000.0, f64::NAN];
        let found = points.iter().map(|(_, bits)| f64::from_bits(*bits));
        assert_eq!(
            found.map(|value| value.to_string()).collect::<Vec<_>>(),
            values.map(|value| value.to_string())
        );
        for text in [
            r#"{"metric":{"a":"b"},"values":[Info],"timestamps":[1]}"#,
            "\"",
            "+Inf",
            "\"\\",
        ] {
            assert_eq!(line(text).unwrap_err().0, Reason::Syntax, "{text}");
        }
    }

    #[test]
    fn a_line_that_is_wrong_is_refused_with_the_reason() {
        for (text, reason, part) in [
            ("{", Reason::Syntax, "EOF"),
            ("[]", Reason::Syntax, ""),
            (
                r#"{"metric":{"a":"b"},"values":[]}"#,
                Reason::Syntax,
                "`timestamps`",
            ),
            (
                r#"{"metric":{"a":"b"},"values":[1,2],"timestamps":[1]}"#,
                Reason::Lengths,
                "2 values and 1 timestamps",
            ),
            (
                r#"{"metric":{"a":"b"},"values":["one"],"timestamps":[1]}"#,
                Reason::Syntax,
                "\"one\"",
            ),
            (
                r#"{"metric":{"a":"b"},"values":[1],"timestamps":[1.5]}"#,
                Reason::Syntax,
                "1.5",
            ),
            (
                r#"{"metric":{"a":""},"values":[1],"timestamps":[1]}"#,
                Reason::Labels,
                "no labels",
            ),
            (
                r#"{"metric":{"":"b"},"values":[1],"timestamps":[1]}"#,
                Reason::Labels,
                "no name",
            ),
            (
                r#"{"metric":{"a":"b"},"values":[1],"timestamps":[9223372036854775807]}"#,
                Reason::Time,
                "9223372036854775807",
            ),
        ] {
            let (found, detail) = line(text).unwrap_err();
            assert_eq!(found, reason, "{text}");
            assert!(detail.contains(part), "{text}: {detail}");
        }
    }

    #[test]
    fn an_export_is_told_from_openmetrics() {
        for text in ["{\"metric\":{", " \n{ \"values\" : [", "{\"metric\":"] {
            assert!(begins_like_it(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "up 1 2",
            "{\"my.name\",a=\"b\"} 1 2",
            "{\"x\"} 1",
            "# EOF",
            "{a=\"b\"} 1",
        ] {
            assert!(!begins_like_it(text.as_bytes()), "{text}");
        }
    }
}
