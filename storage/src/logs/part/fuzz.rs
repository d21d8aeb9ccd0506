//! A damaged part: the body of the fuzz target `log_part`, and of tests that run its seeds
//! and random damage on every build.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use super::head::{Head, Place};
use super::layout::{self, Footer};
use super::zstd::Inflater;
use super::{Effort, Needle, PartError, PartReader, PartWriter, RowFilter, Stretch, merge};
use crate::codec::crc;
use crate::fs::Dir;
use crate::fs::memory::MemoryDir;
use crate::model::{Labels, NanoRange};

const T_NS: i64 = 1_785_578_400_123_456_789;

/// A good part, taken apart.
struct Good {
    file: Vec<u8>,
    footer: Footer,
    head: Head,
}

static GOOD: LazyLock<Good> = LazyLock::new(|| match good() {
    Ok(good) => good,
    Err(error) => unreachable!("memory does not fail: {error}"),
});

/// A part with every kind of lines and encodings.
fn good() -> Result<Good, PartError> {
    let dir: Arc<dyn Dir> = Arc::new(MemoryDir::new("logs"));
    let mut writer = PartWriter::create(&dir, "a", Effort::Flush)?;
    for i in 0..120u64 {
        let t_ns = T_NS + i as i64 * 1_000_003;
        let stream = writer.stream(&Labels::from_pairs([("app", (i % 3).to_string())]));
        let id = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let line = match i % 6 {
            0 | 1 => format!(
                r#"{{"ts":{},"id":"{id:016x}","took":{}.{},"msg":"text {}"}}"#,
                t_ns / 1_000_000,
                i % 7,
                i % 10,
                ["one", "two\\n", "three"][i as usize % 3],
            ),
            2 | 3 => format!(
                "level=info dev=dev-{i:03} uuid=0123e567-e89b-12d3-a456-{:012x}",
                id >> 16
            ),
            4 => format!(
                "worker {i} said \"{}\" again",
                char::from(b'a' + (i % 26) as u8)
            ),
            _ => format!("nothing like {:?}", id.to_le_bytes()),
        };
        let metadata = [("detected_level", "info"), ("trace", "abc")];
        let metadata = metadata.into_iter().take(i as usize % 3);
        writer.push(stream, t_ns, line.as_bytes(), metadata)?;
    }
    writer.finish()?;
    let file = dir.read("a", 1 << 20)?;
    let footer = layout::open(Path::new("a"), &file)?;
    let info = &footer.groups[0];
    let stored = &file[info.at as usize + info.head.at..];
    let bytes = Inflater::default().take(&mut &stored[..], info.head_len);
    let head = bytes.and_then(|bytes| Head::decode(&bytes, footer.streams.len()));
    match head {
        Ok(head) => Ok(Good { file, footer, head }),
        Err(error) => Err(PartError::corrupt(Path::new("a"), 0, error.to_string())),
    }
}

/// Damages a part as `data` says, opens it and asks it everything.
///
/// The input is pieces of four bytes: where (0 sections of rows, 1 the head of the group, 2
/// the footer, which get the right checksums, 3 the whole file at the end), at which offset,
/// and what is mixed into the byte there.
///
/// # Panics
/// When the part breaks a promise; that is what it is for.
pub fn check_part(data: &[u8]) {
    let good = &*GOOD;
    let info = &good.footer.groups[0];
    let damage = |of: u8, bytes: &mut [u8]| {
        for patch in data.chunks_exact(4).filter(|patch| patch[0] % 4 == of) {
            let at = usize::from(u16::from_le_bytes([patch[1], patch[2]])) % bytes.len();
            bytes[at] ^= patch[3];
        }
    };
    let start = info.at as usize;
    let mut group = good.file[start..start + info.head.at].to_vec();
    damage(0, &mut group);
    let repaired = |place: Place| Place {
        crc: crc::ieee(&[&group[place.at..place.at + place.len]]),
        ..place
    };
    let mut head = good.head.clone();
    for (_, place) in &mut head.columns {
        *place = repaired(*place);
    }
    head.times = repaired(head.times);
    head.skeleton_codes = repaired(head.skeleton_codes);
    head.shape_codes = repaired(head.shape_codes);
    let mut footer = good.footer.clone();
    let info = &mut footer.groups[0];
    info.counts = repaired(info.counts);
    info.filters = repaired(info.filters);
    let mut stored = vec![0];
    head.encode(&mut stored);
    damage(1, &mut stored);
    info.head_len = stored.len() - 1;
    info.head = Place::append(&stored, &mut group);
    info.len = group.len();

    let mut file = layout::header();
    file.extend_from_slice(&group);
    let mut stored = vec![0];
    footer.encode(&mut stored);
    damage(2, &mut stored);
    let trailer = layout::trailer(file.len() as u64, &stored, stored.len() - 1);
    file.extend_from_slice(&stored);
    file.extend_from_slice(&trailer);
    damage(3, &mut file);
    let memory = MemoryDir::new("logs");
    memory.put("b", file);
    let dir: Arc<dyn Dir> = Arc::new(memory);
    let damaged = match PartReader::open(&dir, "b") {
        Ok(part) => ask(&dir, &part),
        Err(error) => vec![error],
    };
    for error in damaged {
        match error {
            PartError::Corrupt { path, .. } => assert!(path.ends_with("b")),
            PartError::Version { .. } | PartError::Input { .. } => {}
            other => unreachable!("{other}"),
        }
    }
}

/// Asks a part everything and returns the errors.
fn ask(dir: &Arc<dyn Dir>, part: &PartReader) -> Vec<PartError> {
    let mut errors = Vec::new();
    let needles = [
        "one",
        "",
        "3",
        "level=info",
        "0123e567-e89b",
        "\"took\":3",
        "zz",
    ];
    let needles = needles.map(|text| vec![Needle::new(text.as_bytes())]);
    for group in 0..part.groups().len() {
        errors.extend(part.counts(group).err());
        let group = match part.group(group) {
            Ok(group) => group,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        let mut filters = vec![RowFilter::all()];
        filters.extend(needles.iter().map(|needle| RowFilter {
            needles: std::slice::from_ref(needle),
            ..RowFilter::all()
        }));
        filters.push(RowFilter {
            streams: Some(&[1]),
            range: NanoRange {
                start_ns: T_NS + 20_000_000,
                end_ns: T_NS + 90_000_000,
            },
            ..RowFilter::all()
        });
        for filter in filters {
            let mut rows = 0;
            let read = group.read(&filter, |_| {
                rows += 1;
                Ok::<(), PartError>(())
            });
            assert!(rows <= group.info().rows);
            errors.extend(read.err());
        }
        let stretch = Stretch {
            stream: 1,
            first_ns: T_NS + 20_000_000,
            last_ns: T_NS + 90_000_000,
        };
        let counted = group.stretches(&[stretch], |page, rows, _| {
            assert!(rows.end <= page.rows().len());
            page.line_lens().map(|_| ())
        });
        errors.extend(counted.err());
    }
    if let Ok(mut writer) = PartWriter::create(dir, "c", Effort::Flush) {
        let pace = &mut || ControlFlow::Continue(());
        errors.extend(merge(&[part], &mut writer, |_, _| true, pace).err());
    }
    errors
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn seeds_hold() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/log_part");
        let seeds = std::fs::read_dir(dir).unwrap();
        let mut n = 0;
        for seed in seeds.map(|seed| seed.unwrap().path()) {
            if seed
                .extension()
                .is_some_and(|extension| extension == "seed")
            {
                check_part(&std::fs::read(seed).unwrap());
                n += 1;
            }
        }
        assert!(n > 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn damage_is_told_and_bounded(data in prop::collection::vec(any::<u8>(), 0..40)) {
            check_part(&data);
        }
    }
}
