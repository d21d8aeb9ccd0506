//! Writing the value of a query as JSON, in pieces.
//!
//! A result is written while the client takes it, one piece of text at a time. With
//! `categorize-labels` an entry carries the labels that are its own.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use kymo_query::MemoryGrant;
use kymo_query::logql::{LogLine, LogSample, LogSeries, LogStream, LogValue};
use kymo_storage::compat::float;

use super::answer::{json_body, push_head};
use super::json::{push_labels, push_line, push_seconds};
use crate::http::json::{Escape, push_strings};

/// Bytes of text after which a piece ends.
const PIECE_BYTES: usize = 64 << 10;
const FLAGS_HEADER: &str = "x-loki-response-encoding-flags";
const CATEGORIZE: &str = "categorize-labels";

/// What a client wants of the form of an answer, known or not: it is told again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct EncodingFlags(BTreeSet<String>);

impl EncodingFlags {
    /// Reads the flags of a request.
    pub(super) fn of(headers: &HeaderMap) -> EncodingFlags {
        let flags = headers
            .get(FLAGS_HEADER)
            .and_then(|value| value.to_str().ok());
        let flags = flags.unwrap_or("").split(',');
        // Blanks around a flag belong to it.
        let flags = flags.filter(|flag| !flag.is_empty());
        EncodingFlags(flags.map(str::to_owned).collect())
    }

    /// Tells whether labels are wanted by where they come from.
    pub(super) fn categorize(&self) -> bool {
        self.0.contains(CATEGORIZE)
    }

    /// Appends the member that tells them, where there are any.
    pub(super) fn push_member(&self, out: &mut Vec<u8>) {
        if self.0.is_empty() {
            return;
        }
        out.extend_from_slice(b",\"encodingFlags\":");
        let flags: Vec<String> = self.0.iter().cloned().collect();
        push_strings(out, &flags, Escape::Html);
    }
}

/// How an answer is written, beside its value.
#[derive(Debug, Clone, Default)]
pub(super) struct Form {
    pub(super) flags: EncodingFlags,
    pub(super) warnings: Vec<String>,
    /// Finished JSON.
    pub(super) stats: Vec<u8>,
    /// What the value holds of the memory of queries.
    pub(super) memory: Option<Arc<MemoryGrant>>,
}

fn name(value: &LogValue) -> &'static str {
    match value {
        LogValue::Streams(_) => "streams",
        LogValue::Matrix(_) => "matrix",
        LogValue::Vector(_) => "vector",
        LogValue::Scalar { .. } => "scalar",
    }
}

/// Answers with a value.
pub(super) fn respond(value: LogValue, form: Form) -> Response {
    let mut writer = ResultWriter::new(value, form);
    let first = writer.next_piece().unwrap_or_default();
    if writer.tail.is_none() {
        return json_body(Body::from(first));
    }
    json_body(Body::new(ResultBody {
        first: Some(first),
        writer,
    }))
}

struct ResultBody {
    first: Option<Vec<u8>>,
    writer: ResultWriter,
}

impl http_body::Body for ResultBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let first = self.first.take();
        let piece = first.or_else(|| self.writer.next_piece());
        Poll::Ready(piece.map(|piece| Ok(Frame::data(Bytes::from(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.writer.tail.is_none()
    }
}

/// What is left to be written.
enum Rest {
    /// Streams, and the one that was begun with the index of its next entry.
    Streams(vec::IntoIter<LogStream>, Option<(LogStream, usize)>),
    Matrix(vec::IntoIter<LogSeries>),
    Vector(vec::IntoIter<LogSample>),
    Nothing,
}

/// Turns a result into pieces of text.
struct ResultWriter {
    _memory: Option<Arc<MemoryGrant>>,
    categorize: bool,
    head: Vec<u8>,
    rest: Rest,
    items: usize,
    /// Text behind the rest; `None` once it was handed out.
    tail: Option<Vec<u8>>,
}

impl ResultWriter {
    fn new(value: LogValue, form: Form) -> ResultWriter {
        let mut head = Vec::new();
        push_head(&mut head, &form.warnings);
        head.extend_from_slice(b"{\"resultType\":\"");
        head.extend_from_slice(name(&value).as_bytes());
        head.push(b'"');
        // Numbers have no categories, whatever is asked for.
        if matches!(value, LogValue::Streams(_)) {
            form.flags.push_member(&mut head);
        }
        head.extend_from_slice(b",\"result\":[");
        let rest = match value {
            LogValue::Streams(streams) => Rest::Streams(streams.into_iter(), None),
            LogValue::Matrix(series) => Rest::Matrix(series.into_iter()),
            LogValue::Vector(samples) => Rest::Vector(samples.into_iter()),
            LogValue::Scalar { t_ms, value } => {
                // Milliseconds here, and seconds everywhere else.
                head.extend_from_slice(format!("{t_ms},\"").as_bytes());
                float::push_f(&mut head, value);
                head.push(b'"');
                Rest::Nothing
            }
        };
        let mut tail = b"],\"stats\":".to_vec();
        tail.extend_from_slice(&form.stats);
        tail.extend_from_slice(b"}}\n");
        ResultWriter {
            _memory: form.memory,
            categorize: form.flags.categorize(),
            head,
            rest,
            items: 0,
            tail: Some(tail),
        }
    }

    fn next_piece(&mut self) -> Option<Vec<u8>> {
        self.tail.as_ref()?;
        let mut piece = std::mem::take(&mut self.head);
        while piece.len() < PIECE_BYTES {
            if !self.push_more(&mut piece) {
                piece.extend(self.tail.take()?);
                break;
            }
        }
        Some(piece)
    }

    /// Appends a little more of the value; false once all of it is written.
    fn push_more(&mut self, piece: &mut Vec<u8>) -> bool {
        let (items, categorize) = (&mut self.items, self.categorize);
        match &mut self.rest {
            Rest::Nothing => false,
            Rest::Streams(left, current) => {
                let (stream, mut next) = match current.take() {
                    Some(begun) => begun,
                    None => {
                        let Some(stream) = left.next() else {
                            return false;
                        };
                        push_comma(piece, items);
                        piece.extend_from_slice(b"{\"stream\":");
                        push_labels(piece, stream.labels.iter());
                        piece.extend_from_slice(b",\"values\":[");
                        (stream, 0)
                    }
                };
                while let Some(entry) = stream.entries.get(next) {
                    if piece.len() >= PIECE_BYTES {
                        *current = Some((stream, next));
                        return true;
                    }
                    if next > 0 {
                        piece.push(b',');
                    }
                    push_entry(piece, entry, categorize);
                    next += 1;
                }
                piece.extend_from_slice(b"]}");
                true
            }
            Rest::Matrix(left) => {
                let Some(series) = left.next() else {
                    return false;
                };
                push_comma(piece, items);
                piece.extend_from_slice(b"{\"metric\":");
                push_labels(piece, series.labels.iter());
                piece.extend_from_slice(b",\"values\":[");
                for (i, point) in series.points.iter().enumerate() {
                    if i > 0 {
                        piece.push(b',');
                    }
                    push_point(piece, *point);
                }
                piece.extend_from_slice(b"]}");
                true
            }
            Rest::Vector(left) => {
                let Some(sample) = left.next() else {
                    return false;
                };
                push_comma(piece, items);
                piece.extend_from_slice(b"{\"metric\":");
                push_labels(piece, sample.labels.iter());
                piece.extend_from_slice(b",\"value\":");
                push_point(piece, (sample.t_ms, sample.value));
                piece.push(b'}');
                true
            }
        }
    }
}

/// Appends an entry as a pair, or as a triple with the labels that are its own.
pub(super) fn push_entry(out: &mut Vec<u8>, entry: &LogLine, categorize: bool) {
    out.extend_from_slice(format!("[\"{}\",", entry.t_ns).as_bytes());
    push_line(out, &entry.line);
    if categorize {
        out.extend_from_slice(b",{");
        let sections = [
            ("structuredMetadata", &entry.labels.metadata),
            ("parsed", &entry.labels.parsed),
        ];
        let mut sections = sections.iter().filter(|(_, labels)| !labels.is_empty());
        let mut push = |out: &mut Vec<u8>, comma: &str| {
            let Some((name, labels)) = sections.next() else {
                return;
            };
            out.extend_from_slice(format!("{comma}\"{name}\":").as_bytes());
            push_labels(out, labels.iter());
        };
        push(out, "");
        push(out, ",");
        out.push(b'}');
    }
    out.push(b']');
}

fn push_comma(piece: &mut Vec<u8>, items: &mut usize) {
    if *items > 0 {
        piece.push(b',');
    }
    *items += 1;
}

fn push_point(piece: &mut Vec<u8>, (t_ms, value): (i64, f64)) {
    piece.push(b'[');
    push_seconds(piece, t_ms);
    piece.extend_from_slice(b",\"");
    float::push_f(piece, value);
    piece.extend_from_slice(b"\"]");
}

#[cfg(test)]
mod tests {
    use kymo_query::logql::{LabelSet, LineLabels};

    use super::*;

    fn set(pairs: &[(&str, &str)]) -> LabelSet {
        LabelSet::from_pairs(pairs.iter().copied())
    }

    fn entry(t_ns: i64, line: &str, metadata: &[(&str, &str)], parsed: &[(&str, &str)]) -> LogLine {
        LogLine {
            t_ns,
            line: line.into(),
            labels: Arc::new(LineLabels {
                stream: set(&[("app", "a")]),
                metadata: set(metadata),
                parsed: set(parsed),
            }),
        }
    }

    fn stream(entries: Vec<LogLine>) -> LogValue {
        LogValue::Streams(vec![LogStream {
            labels: set(&[("app", "a")]),
            entries,
        }])
    }

    fn result(value: LogValue, categorize: bool) -> String {
        let flags = match categorize {
            true => EncodingFlags([CATEGORIZE.to_owned()].into()),
            false => EncodingFlags::default(),
        };
        let form = Form {
            flags,
            stats: b"{}".to_vec(),
            ..Form::default()
        };
        let mut writer = ResultWriter::new(value, form);
        let pieces = std::iter::from_fn(|| writer.next_piece());
        let text = String::from_utf8(pieces.flatten().collect()).unwrap();
        let (_, behind) = text.split_once("\"data\":").unwrap();
        let (result, end) = behind.split_once(",\"stats\":").unwrap();
        assert_eq!(end, "{}}}\n");
        result.to_owned()
    }

    #[test]
    fn entries_are_pairs_or_triples() {
        let entries = vec![
            entry(2, "<two>", &[("level", "info")], &[("n", "1")]),
            entry(1, "one", &[], &[]),
            entry(0, "", &[], &[("n", "")]),
        ];
        let expected = concat!(
            r#"{"resultType":"streams","result":[{"stream":{"app":"a"},"values":"#,
            r#"[["2","\u003ctwo\u003e"],["1","one"],["0",""]]}]"#,
        );
        assert_eq!(result(stream(entries.clone()), false), expected);
        let expected = concat!(
            r#"{"resultType":"streams","encodingFlags":["categorize-labels"],"#,
            r#""result":[{"stream":{"app":"a"},"values":[["2","\u003ctwo\u003e","#,
            r#"{"structuredMetadata":{"level":"info"},"parsed":{"n":"1"}}],"#,
            r#"["1","one",{}],["0","",{"parsed":{"n":""}}]]}]"#,
        );
        assert_eq!(result(stream(entries), true), expected);
        let numbers = r#"{"resultType":"matrix","result":[]"#;
        assert_eq!(result(LogValue::Matrix(Vec::new()), true), numbers);
        let empty = r#"{"resultType":"streams","result":[]"#;
        assert_eq!(result(LogValue::Streams(Vec::new()), false), empty);
    }

    #[test]
    fn numbers_are_texts_and_times_seconds() {
        let series = || LogSeries {
            labels: set(&[("a", "b")]),
            points: vec![(1500, f64::NAN), (2000, f64::INFINITY)],
        };
        assert_eq!(
            result(LogValue::Matrix(vec![series(), series()]), false),
            concat!(
                r#"{"resultType":"matrix","result":["#,
                r#"{"metric":{"a":"b"},"values":[[1.5,"NaN"],[2,"+Inf"]]},"#,
                r#"{"metric":{"a":"b"},"values":[[1.5,"NaN"],[2,"+Inf"]]}]"#,
            )
        );
        let sample = LogSample {
            labels: set(&[("a", "b")]),
            t_ms: 1500,
            value: 0.1,
        };
        assert_eq!(
            result(LogValue::Vector(vec![sample]), false),
            r#"{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1.5,"0.1"]}]"#
        );
        let scalar = LogValue::Scalar {
            t_ms: 1_795_324_500_000,
            value: 1e21,
        };
        assert_eq!(
            result(scalar, false),
            r#"{"resultType":"scalar","result":[1795324500000,"1000000000000000000000"]"#
        );
    }

    #[test]
    fn long_answers_come_in_pieces_and_make_one_text() {
        let line = "x".repeat(1000);
        let entries = (0..300).map(|i| entry(i, &line, &[], &[])).collect();
        let form = Form {
            stats: b"{}".to_vec(),
            warnings: vec!["cut".to_owned()],
            ..Form::default()
        };
        let mut writer = ResultWriter::new(stream(entries), form);
        let pieces: Vec<Vec<u8>> = std::iter::from_fn(|| writer.next_piece()).collect();
        assert!(pieces.len() > 3);
        assert!(pieces.iter().all(|piece| piece.len() < 2 * PIECE_BYTES));
        let json: serde_json::Value = serde_json::from_slice(&pieces.concat()).unwrap();
        let values = &json["data"]["result"][0]["values"];
        assert_eq!(values.as_array().unwrap().len(), 300);
        assert_eq!(json["warnings"][0], "cut");
    }

    #[test]
    fn flags_are_a_list_in_a_header_and_told_again() {
        let flags = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(FLAGS_HEADER, http::HeaderValue::from_static(value));
            let flags = EncodingFlags::of(&headers);
            let mut out = Vec::new();
            flags.push_member(&mut out);
            (flags.categorize(), String::from_utf8(out).unwrap())
        };
        let told = |text: &str| format!(",\"encodingFlags\":[{text}]");
        let expected = (true, told(r#""categorize-labels""#));
        assert_eq!(flags("categorize-labels"), expected);
        let expected = (true, told(r#""categorize-labels","x""#));
        assert_eq!(flags("x,categorize-labels,,x"), expected);
        // A blank is a part of the flag.
        let expected = (false, told(r#"" categorize-labels","x""#));
        assert_eq!(flags("x, categorize-labels"), expected);
        assert_eq!(flags("categorize"), (false, told(r#""categorize""#)));
        assert_eq!(flags(""), (false, String::new()));
        let none = EncodingFlags::of(&HeaderMap::new());
        assert_eq!(none, EncodingFlags::default());
    }

    #[test]
    fn flags_are_told_with_streams_only() {
        let form = Form {
            flags: EncodingFlags([CATEGORIZE.to_owned()].into()),
            ..Form::default()
        };
        let mut writer = ResultWriter::new(LogValue::Matrix(Vec::new()), form);
        let text = String::from_utf8(writer.next_piece().unwrap()).unwrap();
        assert!(
            text.contains(r#""resultType":"matrix","result":[]"#),
            "{text}"
        );
    }
}
