//! Imports of text into a store, and what is in it then.

use std::fmt::Write as _;

use kymo_storage::StoreOptions;
use kymo_storage::model::{Matcher, TimeRange};

use super::*;

/// Every sample of a store, one a line, in order.
fn content(store: &MetricStore) -> String {
    let all: [Matcher; 0] = [];
    let selection = store.select_sorted(&all, TimeRange::ALL).unwrap();
    let (mut times, mut values, mut text) = (Vec::new(), Vec::new(), String::new());
    for index in 0..selection.len() {
        selection.read(index, &mut times, &mut values).unwrap();
        let labels = selection.labels(index);
        for (t_ms, value) in times.iter().zip(&values) {
            writeln!(text, "{labels} {value} {t_ms}").unwrap();
        }
    }
    text
}

fn store(dir: &Path) -> MetricStore {
    MetricStore::open(&StoreOptions::new(dir)).unwrap().0
}

/// Imports texts, and returns what is printed and how it ends.
fn take(
    store: &MetricStore,
    texts: &[&str],
    format: Option<Format>,
) -> (String, Result<(), String>) {
    let dir = tempfile::tempdir().unwrap();
    let names = (0..texts.len()).map(|number| dir.path().join(format!("in-{number}")));
    let sources: Vec<PathBuf> = names.collect();
    for (source, text) in sources.iter().zip(texts) {
        std::fs::write(source, text).unwrap();
    }
    let mut out = Vec::new();
    let done = import(store, dir.path(), &sources, format, &mut out);
    let out = String::from_utf8(out).unwrap();
    (out, done.map_err(|error| format!("{error:#}")))
}

#[test]
fn both_texts_in_any_order_become_blocks_once() {
    let dir = tempfile::tempdir().unwrap();
    let kept = store(dir.path());
    // Days apart, newest first, one time twice.
    let open_metrics = "# TYPE a counter\na_total{b=\"c\"} 3 1610000000\n\
        a_total{b=\"c\"} 1 1600000000\na_total{b=\"c\"} 2 1600000015.5\n\
        a_total{b=\"c\"} 9 1600000000\n# EOF\n";
    let export = "{\"metric\":{\"__name__\":\"up\"},\"values\":[1,\"Infinity\"],\
        \"timestamps\":[1600000020000,1600000010000]}\n\
        {\"metric\":{\"__name__\":\"a_total\",\"b\":\"c\"},\"values\":[4],\
        \"timestamps\":[1610000000000]}\n";
    let expected = "\
{__name__=\"a_total\", b=\"c\"} 1 1600000000000
{__name__=\"a_total\", b=\"c\"} 2 1600000015500
{__name__=\"a_total\", b=\"c\"} 3 1610000000000
{__name__=\"up\"} inf 1600000010000
{__name__=\"up\"} 1 1600000020000
";
    let (out, done) = take(&kept, &[open_metrics, export], None);
    assert_eq!(done, Ok(()), "{out}");
    assert!(
        out.starts_with("7 samples read: 5 stored in 2 blocks, 2 repeated; 0 lines refused\n"),
        "{out}"
    );
    assert_eq!(content(&kept), expected);

    let (out, done) = take(&kept, &[open_metrics, export], None);
    assert_eq!(done, Ok(()));
    assert_eq!(
        out,
        "7 samples read: 0 stored in 0 blocks, 7 repeated; 0 lines refused\n"
    );
    assert_eq!(kept.blocks().len(), 2);
    assert_eq!(content(&kept), expected);
}

#[test]
fn what_is_missing_of_an_earlier_import_is_added() {
    let dir = tempfile::tempdir().unwrap();
    let kept = store(dir.path());
    // Also what is only in the head is there already.
    let mut appender = kept.appender();
    let labels = kymo_storage::model::Labels::from_pairs([("__name__", "b")]);
    let series = appender.series(&labels).unwrap();
    appender.append(series, 1_600_000_001_000, 7.0).unwrap();
    appender.commit().unwrap();
    let half = "a 1 1600000000\nc 1 1600000000\n# EOF\n";
    assert_eq!(take(&kept, &[half], None).1, Ok(()));
    let whole = "a 1 1600000000\na 2 1600000001\nb 5 1600000001\nb 6 1600000002\n\
        bb 1 1600000000\nc 1 1600000000\n# EOF\n";
    let (out, done) = take(&kept, &[whole], Some(Format::OpenMetrics));
    assert_eq!(done, Ok(()));
    assert!(
        out.starts_with("6 samples read: 3 stored in 1 blocks, 3 repeated"),
        "{out}"
    );
    let expected = "\
{__name__=\"a\"} 1 1600000000000
{__name__=\"a\"} 2 1600000001000
{__name__=\"b\"} 7 1600000001000
{__name__=\"b\"} 6 1600000002000
{__name__=\"bb\"} 1 1600000000000
{__name__=\"c\"} 1 1600000000000
";
    assert_eq!(content(&kept), expected);
}

#[test]
fn refused_lines_are_counted_by_reason_and_the_rest_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let kept = store(dir.path());
    let text = "a 1 1600000000\nb 1\nc{ 1 1\n{\"a\":1}\nd 1 1e16\ne{f=\"g\",f=\"h\"} 1 1\n\
        z 1 1600000000\n";
    let (out, done) = take(&kept, &[text], None);
    let error = done.unwrap_err();
    assert_eq!(error, "6 lines were refused; everything else is stored");
    assert!(
        out.starts_with("2 samples read: 2 stored in 1 blocks, 0 repeated; 6 lines"),
        "{out}"
    );
    for part in [
        "refused: 2 lines not in the format; the first is ",
        "in-0: line 3: ",
        "1 lines without a timestamp",
        "in-0: line 2: expected timestamp for series got none",
        "1 lines with a timestamp out of range",
        "1 lines with labels that no series has",
        "line 8: data does not end with # EOF",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert_eq!(content(&kept).lines().count(), 2);

    // All or nothing: the good line in front of the bad one is not stored.
    let file = dir.path().join("half.om");
    std::fs::write(&file, "y 1 1600000000\nb 1\n# EOF\n").unwrap();
    let error = import_open_metrics(&kept, dir.path(), &file, &[]).unwrap_err();
    let end = "half.om: line 2: expected timestamp for series got none";
    assert!(format!("{error:#}").ends_with(end), "{error:#}");
    assert_eq!(content(&kept).lines().count(), 2);
}

#[test]
fn hostile_bytes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let kept = store(dir.path());
    for text in [
        "{\"metric\":",
        "\u{0}\u{0}",
        "{\"metric\":{}}\n{",
        "# EOF\n# EOF\nup 1 1\n",
        "\n",
    ] {
        let (out, done) = take(&kept, &[text], None);
        assert!(done.is_err(), "{text:?}: {out}");
        assert!(out.starts_with("0 samples read"), "{text:?}: {out}");
    }
    assert!(kept.blocks().is_empty());
    let (_, done) = take(&kept, &["# EOF\n"], Some(Format::Prometheus));
    assert!(done.is_err());
}

#[test]
fn the_last_of_several_words_is_the_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.om");
    std::fs::write(&file, "# EOF\n").unwrap();
    let words = |words: &[&Path]| ImportArgs {
        format: None,
        words: words.iter().map(|word| word.to_path_buf()).collect(),
    };
    let one = words(&[&file]);
    let (sources, path) = one.sources_and_path().unwrap();
    assert_eq!((sources, path), (&[file.clone()][..], Path::new("data/")));
    let several = words(&[&file, &file, dir.path()]);
    let (sources, path) = several.sources_and_path().unwrap();
    assert_eq!((sources.len(), path), (2, dir.path()));
    let error = words(&[dir.path(), &file]).sources_and_path().unwrap_err();
    assert!(
        error.to_string().contains("a.om\" is no data directory"),
        "{error}"
    );
}
