use std::ops::ControlFlow;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::fs::Dir;
use crate::fs::memory::MemoryDir;
use crate::model::{Labels, NanoRange};

/// Cases of each property; some thousand of each were tried once.
const CASES: u32 = 32;

const T_NS: i64 = 1_785_578_400_123_456_789;

/// An entry of a test: stream, time, line, metadata.
type Entry = (u32, i64, Vec<u8>, Vec<(String, String)>);

fn labels(stream: u32) -> Labels {
    Labels::from_pairs([("app", format!("app{stream}")), ("env", "prod".to_owned())])
}

fn dir() -> Arc<dyn Dir> {
    Arc::new(MemoryDir::new("logs"))
}

fn write(dir: &Arc<dyn Dir>, name: &str, entries: &[Entry]) -> PartReader {
    let mut writer = PartWriter::create(dir, name, Effort::Flush).unwrap();
    for (stream, t_ns, line, metadata) in entries {
        let stream = writer.stream(&labels(*stream));
        let metadata = metadata.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        writer.push(stream, *t_ns, line, metadata).unwrap();
    }
    let meta = writer.finish().unwrap().unwrap();
    let reader = PartReader::open(dir, name).unwrap();
    assert_eq!(reader.meta(), meta);
    assert_eq!(meta.rows, entries.len() as u64);
    reader
}

/// Reads what a filter takes, with the streams as the test numbers them.
fn read(reader: &PartReader, filter: &RowFilter<'_>) -> Vec<Entry> {
    let mut found = Vec::new();
    for group in 0..reader.groups().len() {
        let read = reader.group(group).unwrap().read(filter, |row| {
            let app = reader.streams()[row.stream as usize].get("app").unwrap();
            let stream = app.trim_start_matches("app").parse().unwrap();
            let pairs = row.metadata.iter();
            let metadata = pairs.map(|&(n, v)| (n.to_owned(), v.to_owned())).collect();
            found.push((stream, row.t_ns, row.line.to_vec(), metadata));
            Ok::<(), PartError>(())
        });
        read.unwrap();
    }
    found.sort_by_key(|entry| (entry.0, entry.1));
    found
}

fn sorted(entries: &[Entry]) -> Vec<Entry> {
    let mut entries = entries.to_vec();
    entries.sort_by_key(|entry| (entry.0, entry.1));
    entries
}

/// Writes lines of one stream often enough that skeletons are worth it.
fn check_lines(lines: &[&[u8]]) {
    let entries = (0..40).flat_map(|_| lines.iter()).enumerate();
    let entries: Vec<Entry> = entries
        .map(|(i, line)| (0, T_NS + i as i64 * 1000, line.to_vec(), Vec::new()))
        .collect();
    let reader = write(&dir(), "a", &entries);
    assert_eq!(read(&reader, &RowFilter::all()), entries);
}

#[test]
fn lines_come_back_byte_for_byte() {
    check_lines(&[
        br#"{"level":"info","msg":"done","status":200,"took":1.50,"ok":true,"none":null}"#,
        br#"{ "level" : "warn",  "msg":"a \"b\" \u00e9 \n","status":-0,"took":1.0e5}"#,
        br#"{"a":1,"a":2,"a":"3","b":{"c":{"d":[1,{"e":"]"}]}},"n":12345678901234567890}"#,
        br#"{"a":00}"#,
        br#"{"a":"unfinished"#,
        br#"{"a":1} trailing"#,
        b"",
        b" ",
        b"{",
        b"{}",
        br#"level=info msg="x y" took=1.5s status=200 empty="" odd="a\"b""#,
        b"level=info  msg=twice msg=spaces",
        br#"10.0.0.1 - - [01/Aug/2026:10:00:00 +0000] "GET /a/1 HTTP/1.1" 200 12 "-" "curl/8.1""#,
        b"Aug  1 10:00:00 host sshd[123]: Failed password for root from 1.2.3.4 port 22 ssh2",
        b"2026-08-01T10:00:00.123Z something happened",
        b"\x00\xff\xfe binary \x1b[31m",
        "grüße 日本 \u{fffd}".as_bytes(),
    ]);
    let huge = vec![b'x'; 256 << 10];
    let mut half = huge.clone();
    half.extend(br#"{"a":1}"#);
    let numbered: Vec<u8> = (0..40_000)
        .flat_map(|i| format!("{i} ").into_bytes())
        .collect();
    let entries: Vec<Entry> = [huge, half, numbered]
        .into_iter()
        .map(|line| (0, T_NS, line, Vec::new()))
        .collect();
    assert_eq!(
        read(&write(&dir(), "a", &entries), &RowFilter::all()),
        entries
    );
}

#[test]
fn entries_of_one_time_stay_in_order_over_groups() {
    // More than one group by rows.
    let entries: Vec<Entry> = (0..70_000u32)
        .map(|i| {
            (
                i % 3,
                T_NS + i64::from(i / 1000),
                format!("line {i}").into_bytes(),
                Vec::new(),
            )
        })
        .collect();
    let reader = write(&dir(), "a", &entries);
    assert!(reader.groups().len() > 1);
    assert_eq!(read(&reader, &RowFilter::all()), sorted(&entries));
    let counted: u64 = (0..reader.groups().len())
        .flat_map(|group| reader.counts(group).unwrap().counts)
        .map(|count| count.rows)
        .sum();
    assert_eq!(counted, 70_000);
}

#[test]
fn a_writer_refuses_what_is_out_of_order_and_leaves_nothing() {
    let dir = dir();
    let mut writer = PartWriter::create(&dir, "a", Effort::Merge).unwrap();
    let stream = writer.stream(&labels(1));
    assert_eq!(stream, writer.stream(&labels(1)));
    writer.push(stream, 5, b"x", []).unwrap();
    let error = writer.push(stream, 4, b"x", []).unwrap_err();
    assert!(
        error.to_string().contains("times of a stream ascend"),
        "{error}"
    );
    let error = writer.push(9, 4, b"x", []).unwrap_err();
    assert!(error.to_string().contains("no labels"), "{error}");
    drop(writer);
    assert!(dir.files().unwrap().is_empty());
    let writer = PartWriter::create(&dir, "a", Effort::Merge).unwrap();
    assert_eq!(writer.finish().unwrap(), None);
    assert!(dir.files().unwrap().is_empty());
}

#[test]
fn a_damaged_part_is_named_with_its_place() {
    let memory = MemoryDir::new("logs");
    let dir: Arc<dyn Dir> = Arc::new(memory.clone());
    let entries: Vec<Entry> = (0..100)
        .map(|i| (0, i, format!("{{\"a\":{i}}}").into_bytes(), Vec::new()))
        .collect();
    write(&dir, "a", &entries);
    let bytes = dir.read("a", 1 << 20).unwrap();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        memory.put("b", damaged);
        let result = PartReader::open(&dir, "b").and_then(|reader| {
            let group = reader.group(0)?;
            reader.counts(0)?;
            group.filters()?;
            for column in 0..group.n_columns() as u32 {
                group.column(column)?;
            }
            let mut n = 0;
            group.read(&RowFilter::all(), |row| {
                assert_eq!(row.line, entries[n].2);
                n += 1;
                Ok::<(), PartError>(())
            })
        });
        match result {
            Err(PartError::Corrupt { path, .. }) => assert!(path.ends_with("b")),
            Err(PartError::Version { found, .. }) => assert_ne!(found, 2),
            // Four bytes of the header and eight of the trailer mean nothing.
            other => assert!(
                other.is_ok() && (at < 16 || at > bytes.len() - 17),
                "{at}: {other:?}"
            ),
        }
    }
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        "[a-c ]{0,6}".prop_map(|text| format!("\"{text}\"")),
        "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?(e[0-9])?",
        Just("true".to_owned()),
        Just("null".to_owned()),
        Just("[1,\"x\"]".to_owned()),
        "\"(\\\\n|\\\\u00e9|[a-f0-9]{8}|\\\\\"){1,2}\"",
    ];
    let key = prop_oneof!["[a-c]{1,2}", Just("_".to_owned()), Just("x.y".to_owned())];
    let json = prop::collection::vec((key, value, " {0,1}"), 0..4).prop_map(|fields| {
        let fields = fields
            .iter()
            .map(|(key, value, space)| format!("\"{key}\":{space}{value}"));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(",")).into_bytes()
    });
    let logfmt = prop::collection::vec(("[a-c]{1,2}", "[a-c0-9.]{0,4}|\"[a-c \\\\]{0,4}\""), 0..4)
        .prop_map(|pairs| {
            let pairs = pairs.iter().map(|(key, value)| format!("{key}={value}"));
            pairs.collect::<Vec<_>>().join(" ").into_bytes()
        });
    prop_oneof![
        4 => json,
        3 => logfmt,
        3 => "(from|to|at)( [a-c]{1,3}| [0-9]{1,4}| \"[a-c ]{0,4}\"){0,4}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let metadata = prop::collection::btree_map(
        "(trace|level|detected_level)",
        "[a-c]{0,2}|[0-9a-f]{16}",
        0..3,
    );
    let entry = (0u32..4, 0i64..3, line(), metadata, 1usize..30);
    prop::collection::vec(entry, 1..30).prop_map(|entries| {
        let mut t_ns = T_NS;
        let mut all = Vec::new();
        for (stream, step, line, metadata, times) in entries {
            let metadata: Vec<(String, String)> = metadata.into_iter().collect();
            for _ in 0..times {
                t_ns += step * 1_000_000;
                all.push((stream, t_ns, line.clone(), metadata.clone()));
            }
        }
        all
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn any_entries_come_back(entries in entries()) {
        let reader = write(&dir(), "a", &entries);
        prop_assert_eq!(read(&reader, &RowFilter::all()), sorted(&entries));
    }

    #[test]
    fn stretches_have_the_rows_of_their_times(entries in entries(), cuts in prop::collection::btree_set(0i64..40, 2..6)) {
        let reader = write(&dir(), "a", &entries);
        let cuts: Vec<i64> = cuts.into_iter().map(|cut| T_NS + cut * 1_000_000).collect();
        let mut stretches = Vec::new();
        for stream in 0..reader.streams().len() as u32 {
            // Every second one, from one cut to in front of the next.
            let pairs = cuts.windows(2).step_by(2);
            stretches.extend(pairs.map(|pair| Stretch {
                stream,
                first_ns: pair[0],
                last_ns: pair[1] - 1,
            }));
        }
        let mut found = vec![(0, 0); stretches.len()];
        for group in 0..reader.groups().len() {
            let group = reader.group(group).unwrap();
            let visit = |page: &Page<'_, '_>, rows: std::ops::Range<usize>, at: usize| {
                let (n, bytes): &mut (usize, u32) = &mut found[at];
                *n += rows.len();
                *bytes += page.line_lens()?[rows].iter().sum::<u32>();
                Ok::<(), PartError>(())
            };
            group.stretches(&stretches, visit).unwrap();
        }
        for (stretch, found) in stretches.iter().zip(found) {
            let is_in = |entry: &&Entry| {
                labels(entry.0) == reader.streams()[stretch.stream as usize]
                    && (stretch.first_ns..=stretch.last_ns).contains(&entry.1)
            };
            let of_stretch: Vec<&Entry> = entries.iter().filter(is_in).collect();
            let bytes: usize = of_stretch.iter().map(|entry| entry.2.len()).sum();
            prop_assert_eq!(found, (of_stretch.len(), bytes as u32));
        }
    }

    #[test]
    fn a_filter_takes_what_it_says(
        entries in entries(),
        streams in prop::collection::btree_set(0u32..4, 0..4),
        range in (0i64..40, 0i64..40),
        pick: (prop::sample::Index, prop::sample::Index, prop::sample::Index),
        other in "[a-c\":,= 0-9]{1,3}",
    ) {
        let reader = write(&dir(), "a", &entries);
        let number = |wanted: &u32| reader.streams().iter().position(|found| *found == labels(*wanted));
        let mut numbers: Vec<u32> = streams.iter().filter_map(number).map(|n| n as u32).collect();
        numbers.sort_unstable();
        let range = NanoRange { start_ns: T_NS + range.0 * 1_000_000, end_ns: T_NS + range.1 * 1_000_000 };
        // A part of a line, or some other text.
        let line = &pick.0.get(&entries).2;
        let [a, b] = [pick.1, pick.2].map(|index| index.index(line.len() + 1));
        let needles = [vec![Needle::new(&line[a.min(b)..a.max(b)])], vec![Needle::new(other.as_bytes()), Needle::new(b"a")]];
        for (streams, needles) in [(Some(&numbers[..]), &needles[..0]), (None, &needles[..1]), (Some(&numbers[..]), &needles[..])] {
            let filter = RowFilter { streams, range, needles, ..RowFilter::all() };
            let is_wanted = |entry: &&Entry| {
                streams.is_none_or(|streams| streams.iter().any(|&n| reader.streams()[n as usize] == labels(entry.0)))
                    && range.contains(entry.1)
                    && needles.iter().all(|any| any.iter().any(|needle| needle.is_in(&entry.2)))
            };
            let expected: Vec<Entry> = entries.iter().filter(is_wanted).cloned().collect();
            prop_assert_eq!(read(&reader, &filter), sorted(&expected));
        }
    }

    #[test]
    fn a_merge_has_what_its_parts_have(first in entries(), second in entries()) {
        let dir = dir();
        let parts = [write(&dir, "a", &first), write(&dir, "b", &second)];
        let mut writer = PartWriter::create(&dir, "c", Effort::Merge).unwrap();
        let keep = |_: &PartReader, row: RowRef<'_>| !row.line.len().is_multiple_of(5);
        let parts: Vec<&PartReader> = parts.iter().collect();
        merge(&parts, &mut writer, keep, &mut || ControlFlow::Continue(())).unwrap();
        let meta = writer.finish().unwrap();
        let mut expected = first;
        expected.extend(second);
        expected.retain(|entry| !entry.2.len().is_multiple_of(5));
        let expected = sorted(&expected);
        match meta {
            None => prop_assert!(expected.is_empty()),
            Some(meta) => {
                prop_assert_eq!(meta.rows, expected.len() as u64);
                prop_assert_eq!(read(&PartReader::open(&dir, "c").unwrap(), &RowFilter::all()), expected);
            }
        }
    }
}
