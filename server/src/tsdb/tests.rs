//! What the commands print, compared with what promtool prints of the same samples.

use std::ffi::OsString;

use kymo_storage::model::Labels;

use super::*;

/// Samples of which promtool prints the texts below, but for what it calls the block, for
/// equal counts, which it leaves in any order, and for `Total`, which is younger.
fn filled() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = MetricStore::open(&StoreOptions::new(dir.path())).unwrap();
    let mut appender = store.appender();
    for job in ["a", "b", "c"] {
        for host in 0..2 {
            let host = format!("host-{host}");
            let labels = [
                ("__name__", "http_total"),
                ("instance", &host),
                ("job", job),
                ("path", "/x y\"z"),
            ];
            let series = appender.series(&Labels::from_pairs(labels)).unwrap();
            for k in 0..if job == "c" { 3 } else { 9 } {
                let t_ms = 1_600_000_000_000 + k * 15_000;
                appender.append(series, t_ms, k as f64 * 1.5).unwrap();
            }
        }
    }
    let up = Labels::from_pairs([("__name__", "up"), ("job", "a")]);
    let up = appender.series(&up).unwrap();
    appender.append(up, 1_600_000_000_001, f64::NAN).unwrap();
    appender.append(up, 1_600_000_015_000, 1e21).unwrap();
    appender.commit().unwrap();
    store.close().unwrap();
    dir
}

fn output(dir: &Path, args: &[&str]) -> Result<String, String> {
    let args = ["kymo tsdb"].iter().chain(args).map(OsString::from);
    let place = dir.as_os_str().to_owned();
    let line = CommandLine::try_parse_from(args.chain([place])).map_err(|e| e.to_string())?;
    let mut out = Vec::new();
    execute(&line, &mut out).map_err(|error| format!("{error:#}"))?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn samples_are_dumped_as_promtool_does() {
    let dir = filled();
    let all = output(dir.path(), &["dump"]).unwrap();
    assert_eq!(all.lines().count(), 4 * 9 + 2 * 3 + 2);
    let text = output(
        dir.path(),
        &[
            "dump",
            "--match={job=\"c\",instance=\"host-1\"}",
            "--match=up",
            "--match={__name__=~\"u.*\"}",
            "--min-time=1600000000001",
        ],
    );
    let expected = "\
{__name__=\"http_total\", instance=\"host-1\", job=\"c\", path=\"/x y\\\"z\"} 1.5 1600000015000
{__name__=\"http_total\", instance=\"host-1\", job=\"c\", path=\"/x y\\\"z\"} 3 1600000030000
{__name__=\"up\", job=\"a\"} NaN 1600000000001
{__name__=\"up\", job=\"a\"} 1e+21 1600000015000
";
    assert_eq!(text.unwrap(), expected);
    let json = output(dir.path(), &["dump", "--format=seriesjson", "--match=up"]);
    assert_eq!(json.unwrap(), "{\"__name__\":\"up\",\"job\":\"a\"}\n");
    let open = output(dir.path(), &["dump-openmetrics", "--match=up"]).unwrap();
    let expected = "\
up{job=\"a\"} NaN 1600000000.001
up{job=\"a\"} 1e+21 1600000015.000
# EOF
";
    assert_eq!(open, expected);
}

#[test]
fn labels_are_analysed_as_promtool_does() {
    let dir = filled();
    let text = output(dir.path(), &["analyze", "--limit=3"]).unwrap();
    let expected = "\
Block ID: head
Duration: 2m0.001s
Total Series: 7
Label names: 4
Postings (unique label pairs): 8
Postings entries (total label pairs): 26

Label pairs most involved in churning:
1 __name__=http_total
1 job=c
1 path=/x y\"z

Label names most involved in churning:
2 __name__
2 job
1 instance

Most common label pairs:
6 __name__=http_total
6 path=/x y\"z
3 instance=host-0

Label names with highest cumulative label value length:
12 __name__
12 instance
6 path

Highest cardinality labels:
3 job
2 __name__
2 instance

Highest cardinality metric names:
6 http_total
1 up
";
    assert_eq!(text, expected);
    let one = output(dir.path(), &["analyze", "--match=up"]).unwrap();
    assert!(one.contains("Total Series: 1\n"), "{one}");
}

#[test]
fn directories_that_cannot_be_opened_are_named_with_the_reason() {
    let dir = filled();
    let missing = dir.path().join("missing");
    let error = output(&missing, &["dump"]).unwrap_err();
    assert!(error.contains("missing\": No such file"), "{error}");
    assert!(!missing.exists());

    let other = dir.path().join("other");
    std::fs::create_dir_all(other.join("chunks_head")).unwrap();
    let error = output(&other, &["dump"]).unwrap_err();
    assert!(error.contains("there is no file VERSION in it"), "{error}");
    assert!(error.contains("one of Prometheus"), "{error}");

    let options = StoreOptions::new(dir.path());
    let (_held, _) = MetricStore::open(&options).unwrap();
    let error = output(dir.path(), &["analyze"]).unwrap_err();
    assert!(
        error.contains("is in use by a server; stop the server first"),
        "{error}"
    );

    let wrong = output(dir.path(), &["dump", "--match=up{"]).unwrap_err();
    assert!(wrong.contains("parse error"), "{wrong}");
}

#[test]
fn a_dump_in_openmetrics_imported_again_is_the_same_store() {
    let dir = filled();
    let (store, _) = MetricStore::open(&StoreOptions::new(dir.path())).unwrap();
    let mut appender = store.appender();
    let odd = Labels::from_pairs([("__name__", "my.name"), ("a", "\t\n\\ä"), ("b c", "d")]);
    let odd = appender.series(&odd).unwrap();
    appender.append(odd, 1_600_000_000_123, -0.0).unwrap();
    appender.commit().unwrap();
    store.close().unwrap();
    let dumped = output(dir.path(), &["dump-openmetrics"]).unwrap();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("dumped.om.zst");
    std::fs::write(&file, zstd::encode_all(dumped.as_bytes(), 1).unwrap()).unwrap();
    let again = place.path().join("data");
    let report = output(&again, &["import", file.to_str().unwrap()]).unwrap();
    assert!(
        report.starts_with("45 samples read: 45 stored in 1 blocks, 0 repeated"),
        "{report}"
    );
    let samples = |dir: &Path| output(dir, &["dump"]).unwrap();
    assert_eq!(samples(&again), samples(dir.path()));
    // Into the store it came from: all of it is there.
    let report = output(dir.path(), &["import", file.to_str().unwrap()]).unwrap();
    assert!(
        report.contains("45 samples read: 0 stored in 0 blocks, 45 repeated"),
        "{report}"
    );
}
