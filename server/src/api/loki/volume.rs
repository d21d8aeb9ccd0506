//! How many bytes there are, by label sets or by labels.

use std::collections::BTreeMap;

use kymo_storage::logs::StreamVolume;
use kymo_storage::model::{Labels, MatchOp, Matcher};

use super::error::LokiError;
use super::json::{push_labels, push_seconds};
use super::params::{Bounds, DEFAULT_LIMIT, count, number};
use crate::http::params::Params;

/// Checks that a limit that is given is one, which comes before all other parameters.
pub(super) fn check_limit(params: &Params) -> Result<(), LokiError> {
    match number(params, "limit", 0)? {
        ..0 => Err(LokiError::bad("limit must be a positive value")),
        _ => Ok(()),
    }
}

/// Reads how many label sets are asked for.
pub(super) fn limit(params: &Params) -> Result<u32, LokiError> {
    match number(params, "limit", 0)? {
        0 => Ok(DEFAULT_LIMIT),
        _ => count(params, "limit", DEFAULT_LIMIT),
    }
}

/// Reads whether labels are added up, instead of label sets.
pub(super) fn is_by_labels(params: &Params) -> Result<bool, LokiError> {
    match params.get("aggregateBy") {
        "" | "series" => Ok(false),
        "labels" => Ok(true),
        _ => Err(LokiError::bad("invalid aggregation option")),
    }
}

/// What is asked about volume.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// None: all streams.
    pub(super) matchers: Vec<Matcher>,
    targets: Vec<String>,
    by_labels: bool,
    pub(super) limit: usize,
}

impl Asked {
    /// Asks for so many label sets, or labels, of the streams that `matchers` select.
    pub(super) fn new(
        params: &Params,
        matchers: Vec<Matcher>,
        limit: u32,
        by_labels: bool,
    ) -> Result<Asked, LokiError> {
        let targets = params.get("targetLabels").split(',');
        let targets: Vec<String> = targets
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        let mut asked = Asked {
            matchers,
            targets,
            by_labels,
            limit: limit.max(1) as usize,
        };
        for target in &asked.targets {
            // Streams without the label say nothing about it.
            if !asked.matchers.iter().any(|known| known.name() == target) {
                let present = Matcher::new(MatchOp::Regex, target, ".+");
                let present = present.map_err(|error| LokiError::bad(error.to_string()))?;
                asked.matchers.push(present);
            }
        }
        Ok(asked)
    }

    /// Adds up the volume of streams, which is that of one time.
    pub(super) fn add(&self, sums: &mut Sums, t_ms: i64, volumes: &[StreamVolume]) {
        for volume in volumes {
            let wanted = volume.labels.iter().filter(|(name, _)| self.wants(name));
            if self.by_labels {
                for (name, _) in wanted {
                    sums.add(Labels::empty(), name, t_ms, volume.bytes);
                }
            } else {
                sums.add(Labels::from_pairs(wanted), "", t_ms, volume.bytes);
            }
        }
    }

    /// Tells whether a label counts: those that are named, else all.
    fn wants(&self, name: &str) -> bool {
        if !self.targets.is_empty() {
            return self.targets.iter().any(|target| target == name);
        }
        let all = self.by_labels || self.matchers.is_empty();
        all || self.matchers.iter().any(|matcher| matcher.name() == name)
    }

    /// Returns the greatest sums first, as many as are asked for.
    fn ranked(&self, sums: Sums) -> Vec<Volume> {
        let mut volumes: Vec<Volume> = sums.by_key.into_values().collect();
        // Stable: those alike stay in order of their labels.
        volumes.sort_by_key(|volume| std::cmp::Reverse(volume.points.values().sum::<u64>()));
        volumes.truncate(self.limit);
        volumes
    }

    /// Appends the data of an answer: a vector, or a matrix where there are steps.
    pub(super) fn push_data(&self, out: &mut Vec<u8>, sums: Sums, is_range: bool) {
        let kind: &[u8] = if is_range { b"matrix" } else { b"vector" };
        out.extend_from_slice(b"{\"resultType\":\"");
        out.extend_from_slice(kind);
        out.extend_from_slice(b"\",\"result\":[");
        for (i, volume) in self.ranked(sums).iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"metric\":");
            match volume.name.as_str() {
                "" => push_labels(out, &volume.labels),
                name => push_labels(out, [(name, "")]),
            }
            let points = volume.points.iter();
            if is_range {
                out.extend_from_slice(b",\"values\":[");
                for (i, (&t_ms, &bytes)) in points.enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    push_point(out, t_ms, bytes);
                }
                out.push(b']');
            } else if let Some((&t_ms, &bytes)) = volume.points.first_key_value() {
                out.extend_from_slice(b",\"value\":");
                push_point(out, t_ms, bytes);
            }
            out.push(b'}');
        }
        out.push(b']');
    }
}

/// Bytes by label set, or by label, and time.
#[derive(Debug, Clone, Default)]
pub(super) struct Sums {
    by_key: BTreeMap<(String, Labels), Volume>,
}

#[derive(Debug, Clone)]
struct Volume {
    /// The label, where labels are added up.
    name: String,
    labels: Labels,
    points: BTreeMap<i64, u64>,
}

impl Sums {
    fn add(&mut self, labels: Labels, name: &str, t_ms: i64, bytes: u64) {
        let key = (name.to_owned(), labels);
        let volume = match self.by_key.get_mut(&key) {
            Some(volume) => volume,
            None => {
                let begun = Volume {
                    name: name.to_owned(),
                    labels: key.1.clone(),
                    points: BTreeMap::new(),
                };
                self.by_key.entry(key).or_insert(begun)
            }
        };
        *volume.points.entry(t_ms).or_default() += bytes;
    }
}

/// Splits a range at multiples of a step, for each of which there is a point at its end.
pub(super) fn pieces(bounds: Bounds, step_ns: i64) -> Vec<Bounds> {
    let mut pieces = Vec::new();
    let mut start_ns = bounds.start_ns;
    while start_ns < bounds.end_ns {
        let next_ns = start_ns
            .saturating_sub(start_ns.rem_euclid(step_ns))
            .saturating_add(step_ns);
        let end_ns = next_ns.min(bounds.end_ns);
        pieces.push(Bounds { start_ns, end_ns });
        start_ns = end_ns;
    }
    pieces
}

fn push_point(out: &mut Vec<u8>, t_ms: i64, bytes: u64) {
    out.push(b'[');
    push_seconds(out, t_ms);
    out.extend_from_slice(format!(",\"{bytes}\"]").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(name: &str, value: &str) -> Matcher {
        Matcher::new(MatchOp::Equal, name, value).unwrap()
    }

    fn asked(query: &str, matchers: Vec<Matcher>) -> Result<Asked, LokiError> {
        let params = Params::decode(Some(query), None);
        let (limit, by_labels) = (limit(&params)?, is_by_labels(&params)?);
        Asked::new(&params, matchers, limit.min(1000), by_labels)
    }

    /// What a store with three streams says.
    fn volumes() -> (tempfile::TempDir, Vec<StreamVolume>) {
        use kymo_storage::logs::{LogStore, LogStoreOptions};
        use kymo_storage::model::{LogEntry, NanoRange, StreamBatch};
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = LogStore::open(&LogStoreOptions::new(dir.path())).unwrap();
        let batch = |labels: &[(&str, &str)], len| StreamBatch {
            labels: Labels::from_pairs(labels.iter().copied()),
            entries: vec![LogEntry {
                t_ns: 5,
                line: vec![b'x'; len].into(),
                metadata: Default::default(),
            }],
        };
        let batches = [
            batch(&[("app", "a"), ("env", "x<y")], 5),
            batch(&[("app", "b"), ("env", "p")], 9),
            batch(&[("app", "c")], 9),
        ];
        store.push(&batches).unwrap();
        let volumes = store.volumes(&[], NanoRange::ALL).unwrap();
        (dir, volumes)
    }

    fn json(asked: &Asked, is_range: bool) -> String {
        let (_dir, volumes) = volumes();
        let (mut sums, mut out) = (Sums::default(), Vec::new());
        asked.add(&mut sums, 1500, &volumes);
        if is_range {
            asked.add(&mut sums, 3000, &volumes);
        }
        asked.push_data(&mut out, sums, is_range);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_labels_are_those_of_the_selector_or_the_targets() {
        let wants = |asked: &Asked| ["app", "env", "zone"].map(|name| asked.wants(name));
        let plain = asked("", vec![matcher("env", "p"), matcher("env", "p")]).unwrap();
        assert_eq!(wants(&plain), [false, true, false]);
        assert_eq!(wants(&asked("", Vec::new()).unwrap()), [true; 3]);
        let targets = asked("targetLabels=app,,zone", vec![matcher("app", "a")]).unwrap();
        assert_eq!(wants(&targets), [true, false, true]);
        // Who asks about a label gets those that have it.
        assert_eq!(targets.matchers.len(), 2);
        assert_eq!(targets.matchers[1].name(), "zone");
        let labels = asked("aggregateBy=labels", vec![matcher("env", "p")]).unwrap();
        assert_eq!(wants(&labels), [true; 3]);
        assert_eq!(
            asked("aggregateBy=x", Vec::new()).unwrap_err(),
            LokiError::bad("invalid aggregation option")
        );
        assert!(asked("limit=-1", Vec::new()).is_err());
        assert_eq!(asked("limit=0", Vec::new()).unwrap().limit, 100);
        assert_eq!(asked("limit=5000", Vec::new()).unwrap().limit, 1000);
    }

    #[test]
    fn the_greatest_come_first_and_those_alike_by_name() {
        let two = asked("limit=2", Vec::new()).unwrap();
        let expected = concat!(
            r#"{"resultType":"vector","result":["#,
            r#"{"metric":{"app":"b","env":"p"},"value":[1.5,"9"]},"#,
            r#"{"metric":{"app":"c"},"value":[1.5,"9"]}]"#
        );
        assert_eq!(json(&two, false), expected);
        let all = asked("", Vec::new()).unwrap();
        let expected = r#"{"metric":{"app":"a","env":"x\u003cy"},"values":[[1.5,"5"],[3,"5"]]}"#;
        assert!(json(&all, true).contains(expected), "{}", json(&all, true));
    }

    #[test]
    fn labels_are_summed_up_by_name() {
        let labels = asked("aggregateBy=labels", Vec::new()).unwrap();
        let expected = concat!(
            r#"{"resultType":"vector","result":["#,
            r#"{"metric":{"app":""},"value":[1.5,"23"]},"#,
            r#"{"metric":{"env":""},"value":[1.5,"14"]}]"#
        );
        assert_eq!(json(&labels, false), expected);
    }

    #[test]
    fn pieces_end_at_multiples_of_the_step() {
        let bounds = |start_ns, end_ns| Bounds { start_ns, end_ns };
        assert_eq!(
            pieces(bounds(7, 31), 10),
            [
                bounds(7, 10),
                bounds(10, 20),
                bounds(20, 30),
                bounds(30, 31)
            ]
        );
        assert_eq!(pieces(bounds(-5, 0), 10), [bounds(-5, 0)]);
        assert_eq!(pieces(bounds(5, 5), 10), []);
    }
}
