//! What a server answers to a query for logs.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::client::Reply;

/// One entry with the labels of its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Nanoseconds since the epoch.
    pub(super) t_ns: i64,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) line: String,
}

/// What a query gives.
#[derive(Debug)]
pub(super) enum Outcome {
    Entries(Vec<Entry>),
    /// Numbers, as they were sent.
    Numbers(Value),
}

/// An answer to a query.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) result: Outcome,
    pub(super) warnings: Vec<String>,
    /// What the query has cost, as it was sent.
    pub(super) summary: Value,
}

#[derive(Deserialize)]
struct Envelope {
    data: Data,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    result_type: String,
    result: Value,
    #[serde(default)]
    stats: Value,
}

/// One stream of an answer, or of a message of a tail.
#[derive(Debug, Deserialize)]
pub(super) struct Stream {
    stream: BTreeMap<String, String>,
    /// Time, line, and what else there is about an entry.
    values: Vec<Vec<Value>>,
}

/// A message of a tail.
#[derive(Debug, Default, Deserialize)]
pub(super) struct TailMessage {
    #[serde(default)]
    pub(super) streams: Option<Vec<Stream>>,
    #[serde(default)]
    pub(super) dropped_entries: Option<Vec<Dropped>>,
}

/// An entry that a tail was too slow for.
#[derive(Debug, Deserialize)]
pub(super) struct Dropped {
    pub(super) labels: Value,
    pub(super) timestamp: Value,
}

impl Answer {
    /// Reads an answer.
    ///
    /// # Errors
    /// It is an error of the server, in its words, or cannot be understood.
    pub(super) fn read(reply: &Reply) -> Result<Answer, String> {
        if reply.status / 100 != 2 {
            let text = String::from_utf8_lossy(&reply.body);
            let text = text.trim();
            return Err(match text {
                "" => format!("the server answered {}", reply.status_text),
                _ => format!("the server answered {}: {text}", reply.status_text),
            });
        }
        let wrong = |error: &dyn std::fmt::Display| {
            format!("the answer is none of a server for logs: {error}")
        };
        let envelope: Envelope =
            serde_json::from_slice(&reply.body).map_err(|error| wrong(&error))?;
        let Data {
            result_type,
            result,
            stats,
        } = envelope.data;
        let result = match result_type.as_str() {
            "streams" => {
                let streams: Vec<Stream> =
                    serde_json::from_value(result).map_err(|error| wrong(&error))?;
                Outcome::Entries(entries(streams)?)
            }
            _ => Outcome::Numbers(result),
        };
        Ok(Answer {
            result,
            warnings: envelope.warnings,
            summary: stats.get("summary").cloned().unwrap_or_default(),
        })
    }
}

/// Takes streams apart into entries, in their order.
///
/// # Errors
/// A value is no entry.
pub(super) fn entries(streams: Vec<Stream>) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    for Stream { stream, values } in streams {
        for value in values {
            let text = |index: usize| value.get(index).and_then(Value::as_str);
            let t_ns = text(0).and_then(|text| text.parse().ok());
            let (Some(t_ns), Some(line)) = (t_ns, text(1)) else {
                let shown = Value::Array(value);
                return Err(format!(
                    "the answer has an entry without time or line: {shown}"
                ));
            };
            entries.push(Entry {
                t_ns,
                labels: stream.clone(),
                line: line.to_owned(),
            });
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn read(status: u16, body: &'static str) -> Result<Answer, String> {
        Answer::read(&Reply {
            status,
            status_text: format!("{status} Words"),
            body: Bytes::from_static(body.as_bytes()),
        })
    }

    #[test]
    fn streams_become_entries() {
        let answer = read(
            200,
            r#"{"status":"success","warnings":["w"],"data":{"resultType":"streams","result":[
               {"stream":{"a":"b"},"values":[["1","x"],["2","y",{"parsed":{}}]]}],
               "stats":{"summary":{"execTime":1}}}}"#,
        )
        .unwrap();
        let Outcome::Entries(entries) = answer.result else {
            panic!("no entries");
        };
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[1].t_ns, entries[1].line.as_str()), (2, "y"));
        assert_eq!(entries[0].labels["a"], "b");
        assert_eq!(answer.warnings, ["w"]);
        assert_eq!(answer.summary["execTime"], 1);
    }

    #[test]
    fn errors_are_the_words_of_the_server() {
        assert_eq!(
            read(400, "parse error at line 1, col 2\n").unwrap_err(),
            "the server answered 400 Words: parse error at line 1, col 2"
        );
        assert_eq!(read(502, "").unwrap_err(), "the server answered 502 Words");
        assert!(
            read(200, "<html>")
                .unwrap_err()
                .starts_with("the answer is none")
        );
        let body =
            r#"{"data":{"resultType":"streams","result":[{"stream":{},"values":[[1,"x"]]}]}}"#;
        assert!(
            read(200, body)
                .unwrap_err()
                .contains("without time or line")
        );
    }
}
