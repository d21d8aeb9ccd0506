//! Patterns of lines, by level.
//!
//! They are mined when they are asked for, over whatever range, instead of while lines
//! arrive: nothing has to be kept, and nothing is lost after three hours. Of more than a
//! million lines every n-th group is read and stands for n.

use std::collections::BTreeMap;

use kymo_query::Cancel;
use kymo_query::logql::{
    EntryBatch, LogSelection, LogSource, Pattern, PatternMiner, parse_matchers,
};
use kymo_storage::model::{Matcher, NanoRange};

use super::answer::{finished, push_head};
use super::error::{LokiError, LokiResult};
use super::logs;
use super::params::{NS_PER_S, bounds, step};
use crate::api::call::Call;
use crate::clock;
use crate::http::json::{Escape, push_string};

/// Lines that are read for one answer, or a group more.
const MAX_LINES: usize = 1_000_000;
/// Shortest time that lines are counted in.
const MIN_STEP_NS: i64 = 10 * NS_PER_S;
/// Metadata with the level of an entry.
const LEVEL: &str = "detected_level";
/// The level of an entry that has none.
const NO_LEVEL: &str = "unknown";

/// `/loki/api/v1/patterns`
pub(crate) async fn patterns(call: Call) -> LokiResult {
    let bounds = bounds(&call.params, clock::now_ns())?;
    let step_ns = step(&call.params, bounds)?.max(MIN_STEP_NS);
    let matchers = parse_matchers(call.params.get("query"))?;
    let store = logs(&call)?;
    let timeout = call.app.flags.query.timeout;
    let job = move |cancel: &Cancel| mine(&*store, &matchers, bounds.into(), step_ns, cancel);
    let done = call.app.queries.query(timeout, job, |_| ()).await?;
    Ok(finished(json(&done.result?), None))
}

/// Mines the patterns of what is selected, those with most lines first.
fn mine(
    source: &dyn LogSource,
    matchers: &[Matcher],
    range: NanoRange,
    step_ns: i64,
    cancel: &Cancel,
) -> Result<Vec<(String, Pattern)>, LokiError> {
    let failed = |error: kymo_query::SourceError| LokiError::internal(error.to_string());
    let set = source
        .select(&LogSelection::new(matchers, range))
        .map_err(failed)?;
    let lines: usize = set.groups().iter().map(|group| group.entries).sum();
    let every = lines.div_ceil(MAX_LINES).max(1);
    let mut miners: BTreeMap<String, PatternMiner> = BTreeMap::new();
    let mut batch = EntryBatch::default();
    for index in (0..set.groups().len()).step_by(every) {
        cancel
            .check("patterns")
            .map_err(|_stopped| LokiError::timeout())?;
        set.read(index, &mut batch).map_err(failed)?;
        for entry in batch.iter() {
            let level = entry.metadata.get(LEVEL).unwrap_or(NO_LEVEL);
            let has_room = miners.len() < MAX_LEVELS;
            let miner = match miners.get_mut(level) {
                Some(miner) => miner,
                None if has_room => miners
                    .entry(level.to_owned())
                    .or_insert_with(|| PatternMiner::new(step_ns)),
                None => continue,
            };
            miner.learn(entry.line, entry.t_ns, every as u64);
        }
    }
    let mut found: Vec<(String, Pattern)> = miners
        .iter()
        .flat_map(|(level, miner)| {
            let patterns = miner.patterns().into_iter();
            patterns.map(|pattern| (level.clone(), pattern))
        })
        .collect();
    found.sort_by_key(|(_, pattern)| std::cmp::Reverse(pattern.lines));
    Ok(found)
}

/// Levels that are told apart; who pushes may invent any.
const MAX_LEVELS: usize = 32;

fn json(found: &[(String, Pattern)]) -> Vec<u8> {
    let mut out = Vec::new();
    push_head(&mut out, &[]);
    out.push(b'[');
    for (i, (level, pattern)) in found.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"pattern\":");
        push_string(&mut out, &pattern.text, Escape::Html);
        out.extend_from_slice(b",\"level\":");
        push_string(&mut out, level, Escape::Html);
        out.extend_from_slice(b",\"samples\":[");
        for (i, (start_ns, lines)) in pattern.samples.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let seconds = start_ns.div_euclid(NS_PER_S);
            out.extend_from_slice(format!("{comma}[{seconds},{lines}]").as_bytes());
        }
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(b"]}");
    out
}

#[cfg(test)]
mod tests {
    use kymo_query::logql::MemoryLogSource;
    use kymo_storage::model::{Labels, MatchOp};

    use super::*;

    #[test]
    fn patterns_are_counted_by_level_and_step() {
        let mut source = MemoryLogSource::new();
        let labels = Labels::from_pairs([("app", "a")]);
        for i in 0..3 {
            let line = format!("user {i} has come in");
            let level = [(LEVEL, "info")];
            source.push(&labels, i * 8 * NS_PER_S, line.as_bytes(), level);
        }
        source.push(&labels, 0, b"the disk is < 5 full", []);
        let matchers = [Matcher::new(MatchOp::Equal, "app", "a").unwrap()];
        let cancel = Cancel::new();
        let found = mine(&source, &matchers, NanoRange::ALL, 10 * NS_PER_S, &cancel);
        let text = String::from_utf8(json(&found.unwrap())).unwrap();
        let expected = concat!(
            r#"{"status":"success","data":["#,
            r#"{"pattern":"user \u003c_\u003e has come in","level":"info","samples":[[0,2],[10,1]]},"#,
            r#"{"pattern":"the disk is \u003c 5 full","level":"unknown","samples":[[0,1]]}]}"#,
        );
        assert_eq!(text, expected);
        cancel.cancel();
        assert!(mine(&source, &matchers, NanoRange::ALL, 1, &cancel).is_err());
    }
}
