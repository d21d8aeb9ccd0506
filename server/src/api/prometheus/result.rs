//! Writing the value of a query as JSON, in pieces.
//!
//! A result is written while the client takes it: at no time is more than one piece
//! of text in memory, and series that were written are freed.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use kymo_query::{MemoryGrant, PointValue, QueryResult, Series, Value, VectorSample};
use kymo_storage::compat::{float, time};
use kymo_storage::model::histogram::FloatHistogram;

use super::histogram::push_histogram;
use crate::http::answer::{json_response, push_head, push_tail};
use crate::http::json::{Escape, push_labels, push_string};

/// Bytes of text after which a piece ends; writing one takes well under a
/// millisecond, compressed or not.
const PIECE_BYTES: usize = 64 << 10;

/// Answers with a query's result. `stats` is finished JSON; `notes` are warnings of
/// the server itself.
pub(super) fn respond(result: QueryResult, stats: Option<Vec<u8>>, notes: Vec<String>) -> Response {
    let mut writer = ResultWriter::new(result, stats, notes);
    let first = writer.next_piece().unwrap_or_default();
    if writer.is_done() {
        return json_response(Body::from(first));
    }
    json_response(Body::new(ResultBody {
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
        let piece = match self.first.take() {
            Some(first) => Some(first),
            None => self.writer.next_piece(),
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(Bytes::from(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.writer.is_done()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// What is left to be written.
enum Rest {
    Vector(vec::IntoIter<VectorSample>),
    Matrix {
        series: vec::IntoIter<Series>,
        /// The series being written and the index of its next point.
        current: Option<(Series, usize)>,
    },
    /// Nothing of the value.
    Nothing,
}

/// Turns a result into pieces of text.
struct ResultWriter {
    /// What the value holds of the memory of queries, until the last of it is written.
    _memory: Arc<MemoryGrant>,
    /// Text in front of the rest, until it was handed out.
    head: Vec<u8>,
    rest: Rest,
    items: usize,
    /// Text behind the rest; `None` once it was handed out.
    tail: Option<Vec<u8>>,
}

impl ResultWriter {
    fn new(result: QueryResult, stats: Option<Vec<u8>>, notes: Vec<String>) -> ResultWriter {
        let QueryResult {
            value,
            mut warnings,
            infos,
            memory,
            ..
        } = result;
        warnings.extend(notes);
        let mut head = Vec::new();
        push_head(&mut head);
        head.extend_from_slice(b"{\"resultType\":\"");
        head.extend_from_slice(value.type_name().as_bytes());
        head.extend_from_slice(b"\",\"result\":");
        let mut tail = Vec::new();
        let rest = match value {
            Value::Vector(samples) => Rest::Vector(samples.into_iter()),
            Value::Matrix(series) => Rest::Matrix {
                series: series.into_iter(),
                current: None,
            },
            Value::Scalar { t_ms, value } => {
                head.push(b'[');
                time::push_api(&mut head, t_ms);
                head.extend_from_slice(b",\"");
                float::push_f(&mut head, value);
                head.extend_from_slice(b"\"]");
                Rest::Nothing
            }
            Value::String { t_ms, value } => {
                head.push(b'[');
                time::push_api(&mut head, t_ms);
                head.push(b',');
                push_string(&mut head, &value, Escape::Html);
                head.push(b']');
                Rest::Nothing
            }
            _ => Rest::Nothing,
        };
        if !matches!(rest, Rest::Nothing) {
            head.push(b'[');
            tail.push(b']');
        }
        if let Some(stats) = stats {
            tail.extend_from_slice(b",\"stats\":");
            tail.extend_from_slice(&stats);
        }
        tail.push(b'}');
        push_tail(&mut tail, &warnings, &infos);
        ResultWriter {
            _memory: memory,
            head,
            rest,
            items: 0,
            tail: Some(tail),
        }
    }

    fn is_done(&self) -> bool {
        self.tail.is_none()
    }

    fn next_piece(&mut self) -> Option<Vec<u8>> {
        self.tail.as_ref()?;
        let mut piece = std::mem::take(&mut self.head);
        if self.items > 0 {
            // Not the first, so that it will be a whole one.
            piece.reserve(PIECE_BYTES + PIECE_BYTES / 16);
        }
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
        match &mut self.rest {
            Rest::Nothing => false,
            Rest::Vector(samples) => {
                let Some(sample) = samples.next() else {
                    return false;
                };
                push_comma(piece, &mut self.items);
                push_sample(piece, &sample);
                true
            }
            Rest::Matrix { series, current } => {
                let Some((open, next)) = current else {
                    let Some(series) = series.next() else {
                        return false;
                    };
                    push_comma(piece, &mut self.items);
                    piece.extend_from_slice(b"{\"metric\":");
                    push_labels(piece, &series.labels);
                    *current = Some((series, 0));
                    return true;
                };
                let points = open.floats.timestamps.iter().zip(&open.floats.values);
                let n_floats = points.len();
                for (t_ms, value) in points.skip(*next) {
                    if piece.len() >= PIECE_BYTES {
                        return true;
                    }
                    begin_point(piece, b",\"values\":[", *next);
                    *next += 1;
                    push_point(piece, *t_ms, *value);
                    if *next == n_floats {
                        piece.push(b']');
                    }
                }
                for sample in open.histograms.iter().skip(next.saturating_sub(n_floats)) {
                    if piece.len() >= PIECE_BYTES {
                        return true;
                    }
                    begin_point(piece, b",\"histograms\":[", *next - n_floats);
                    *next += 1;
                    push_histogram_point(piece, sample.t_ms, &sample.histogram);
                    if *next == n_floats + open.histograms.len() {
                        piece.push(b']');
                    }
                }
                piece.push(b'}');
                *current = None;
                true
            }
        }
    }
}

fn push_comma(piece: &mut Vec<u8>, items: &mut usize) {
    if *items > 0 {
        piece.push(b',');
    }
    *items += 1;
}

fn push_sample(piece: &mut Vec<u8>, sample: &VectorSample) {
    piece.extend_from_slice(b"{\"metric\":");
    push_labels(piece, &sample.labels);
    match &sample.value {
        PointValue::Float(value) => {
            piece.extend_from_slice(b",\"value\":");
            push_point(piece, sample.t_ms, *value);
        }
        PointValue::Histogram(histogram) => {
            piece.extend_from_slice(b",\"histogram\":");
            push_histogram_point(piece, sample.t_ms, histogram);
        }
        _ => {}
    }
    piece.push(b'}');
}

/// Writes what stands before point `at` of a list: its key and bracket, or a comma.
fn begin_point(piece: &mut Vec<u8>, key: &[u8], at: usize) {
    match at {
        0 => piece.extend_from_slice(key),
        _ => piece.push(b','),
    }
}

fn push_histogram_point(piece: &mut Vec<u8>, t_ms: i64, histogram: &FloatHistogram) {
    piece.push(b'[');
    time::push_api(piece, t_ms);
    piece.push(b',');
    push_histogram(piece, histogram);
    piece.push(b']');
}

fn push_point(piece: &mut Vec<u8>, t_ms: i64, value: f64) {
    piece.push(b'[');
    time::push_api(piece, t_ms);
    piece.extend_from_slice(b",\"");
    float::push_api(piece, value);
    piece.extend_from_slice(b"\"]");
}

#[cfg(test)]
mod tests {
    use super::*;
    use kymo_query::{Cancel, Engine, EngineOptions, MemorySource, QueryOptions};
    use kymo_storage::model::Labels;
    use kymo_storage::model::histogram::Buckets;

    /// A series with a float and then histograms, and one of histograms alone.
    fn engine_and_source() -> (Engine, MemorySource) {
        let mut source = MemorySource::new();
        let histogram = |count| FloatHistogram {
            count,
            sum: 2.5,
            positive: Buckets::from_layout([0].into(), vec![count]).unwrap(),
            ..FloatHistogram::default()
        };
        let [a, b] = ["a", "b"].map(|i| Labels::from_pairs([("__name__", "h"), ("i", i)]));
        source.push(&a, 0, 7.0);
        for (t_ms, count) in [(1_000, 1.0), (2_000, 2.0)] {
            source.push_histogram(&a, t_ms, histogram(count));
        }
        source.push_histogram(&b, 0, histogram(3.0));
        (Engine::new(EngineOptions::default()), source)
    }

    fn text(result: QueryResult) -> String {
        let mut writer = ResultWriter::new(result, None, Vec::new());
        let pieces = std::iter::from_fn(|| writer.next_piece());
        String::from_utf8(pieces.flatten().collect()).unwrap()
    }

    #[test]
    fn histograms_stand_beside_values() {
        let (engine, source) = engine_and_source();
        let (options, cancel) = (QueryOptions::default(), Cancel::new());
        let result = engine.range(&source, "h", 0, 2_000, 1_000, &options, &cancel);
        let text = text(result.unwrap());
        let expected = concat!(
            r#"{"metric":{"__name__":"h","i":"a"},"values":[[0,"7"]],"histograms":["#,
            r#"[1,{"count":"1","sum":"2.5","buckets":[[0,"0.5","1","1"]]}],"#,
            r#"[2,{"count":"2","sum":"2.5","buckets":[[0,"0.5","1","2"]]}]]},"#,
            r#"{"metric":{"__name__":"h","i":"b"},"histograms":["#,
        );
        assert!(text.contains(expected), "{text}");
        let at_end = r#"[2,{"count":"3","sum":"2.5","buckets":[[0,"0.5","1","3"]]}]]}]}}"#;
        assert!(text.ends_with(at_end), "{text}");
    }

    #[test]
    fn an_element_is_a_value_or_a_histogram() {
        let (engine, source) = engine_and_source();
        let (options, cancel) = (QueryOptions::default(), Cancel::new());
        let result = engine.instant(&source, "h", 0, &options, &cancel);
        let text = text(result.unwrap());
        let expected = concat!(
            r#"{"metric":{"__name__":"h","i":"a"},"value":[0,"7"]},"#,
            r#"{"metric":{"__name__":"h","i":"b"},"histogram":[0,"#,
            r#"{"count":"3","sum":"2.5","buckets":[[0,"0.5","1","3"]]}]}"#,
        );
        assert!(text.contains(expected), "{text}");
    }
}
