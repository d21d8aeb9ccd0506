//! What a request to delete entries finds, as the store wants it.

use kymo_query::logql::{EntryBatch, Pipeline, parse_log};
use kymo_storage::logs::{EntryFilter, StoredEntry};
use kymo_storage::model::{Labels, Matcher};
use parking_lot::Mutex;
use std::sync::Arc;

/// Reads a request: the streams, and what finds entries among theirs where it does not mean
/// all of them.
///
/// # Errors
/// The text is no query for entries.
pub(crate) fn parse(query: &str) -> Result<(Vec<Matcher>, Option<EntryFilter>), String> {
    let log = parse_log(query).map_err(|error| error.to_string())?;
    if log.stages.is_empty() {
        return Ok((log.matchers, None));
    }
    let pipeline = Pipeline::new(&log).map_err(|error| error.to_string())?;
    let state = Mutex::new((pipeline, EntryBatch::default()));
    let finds = move |stream: &Labels, entry: StoredEntry<'_>| {
        let (pipeline, batch) = &mut *state.lock();
        batch.clear();
        batch.push(0, entry.t_ns, &[], entry.metadata.iter().copied());
        let metadata = batch.entry(0).metadata;
        pipeline.keeps(stream, entry.t_ns, entry.line, metadata)
    };
    Ok((log.matchers, Some(Arc::new(finds))))
}

/// Makes the filter of a request again.
///
/// # Errors
/// As [`parse`].
pub(crate) fn compile(query: &str) -> Result<EntryFilter, String> {
    let (_, filter) = parse(query)?;
    Ok(filter.unwrap_or_else(|| Arc::new(|_: &Labels, _: StoredEntry<'_>| true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_finds_what_its_query_would_find() {
        let entry = |line: &'static [u8], metadata: &'static [(&str, &str)]| StoredEntry {
            stream: 0,
            t_ns: 5,
            line,
            metadata,
        };
        let labels = Labels::from_pairs([("app", "a")]);
        let (matchers, all) = parse(r#"{app="a"}"#).unwrap();
        assert_eq!(matchers.len(), 1);
        assert!(all.is_none());
        let (_, some) = parse(r#"{app="a"} |= "bob" | json | n > 5 | user="x""#).unwrap();
        let some = some.unwrap();
        assert!(some(
            &labels,
            entry(br#"{"n":7,"s":"bob"}"#, &[("user", "x")])
        ));
        assert!(!some(&labels, entry(br#"{"n":7,"s":"bob"}"#, &[])));
        assert!(!some(
            &labels,
            entry(br#"{"n":5,"s":"bob"}"#, &[("user", "x")])
        ));
        assert!(compile(r#"{app="a"}"#).unwrap()(&labels, entry(b"x", &[])));
        assert!(compile("up").is_err());
        assert!(parse("count_over_time({app=\"a\"}[1m])").is_err());
    }
}
