//! How fast parts of logs are written and searched, on one thread, and what takes how many
//! bytes: lines of JSON with ids that occur once, of thirty streams.
//! `cargo run --release -p kymo-storage --example part_speed [LINES] [NEEDLE]...`.
#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;
use std::time::Instant;

use kymo_storage::logs::part::{Effort, Needle, PartError, PartReader, PartWriter, RowFilter};
use kymo_storage::model::Labels;

/// Entries of a part.
const PART: u64 = 1 << 17;

/// What is looked for where nothing is given.
const NEEDLES: [&str; 14] = [
    "no-such-needle-4711",
    "ERROR",
    "4bf92f35",
    "4b92e1350a",
    "b92f3",
    "4711",
    "471",
    "47110815",
    "1234567890123456",
    "\"status\":503,\"duration_ms\":7",
    "\"bytes\":4711}",
    "devices/4711/",
    "T10:12:34.5",
    "seldom seen word",
];

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn line(number: u64, out: &mut Vec<u8>) -> std::io::Result<(u64, i64)> {
    let mut random = Random(number);
    let of_day_us = number * 3600 + random.below(3600);
    let (second, micros) = (of_day_us / 1_000_000, of_day_us % 1_000_000);
    let (device, micros_took) = (random.below(20_000), 800 + random.below(40_000));
    write!(
        out,
        r#"{{"ts":"2026-08-01T{:02}:{:02}:{:02}.{micros:06}Z","level":"{}","caller":"http/server.go:{}","msg":"{} of tenant {} {}","trace_id":"{:016x}{:016x}","request_id":"req-{:012x}","device_id":"dev-{device:05}","path":"/api/v1/devices/{device}/telemetry","status":{},"duration_ms":{}.{:03},"bytes":{}}}"#,
        second / 3600 % 24,
        second / 60 % 60,
        second % 60,
        ["INFO", "INFO", "WARN", "DEBUG", "ERROR"][random.below(5) as usize],
        random.below(40),
        [
            "request done",
            "session renewed",
            "rule \\\"a\\\" evaluated"
        ][random.below(3) as usize],
        ["acme", "nordwind", "helios"][random.below(3) as usize],
        ["at once", "after retry", "from cache of words", "twice"][random.below(4) as usize],
        random.next(),
        random.next(),
        random.next() >> 16,
        [200, 200, 204, 404, 503][random.below(5) as usize],
        micros_took / 1000,
        micros_took % 1000,
        200 + random.below(9000),
    )?;
    let start_ns = 1_785_542_400_000_000_000;
    Ok((random.below(30), start_ns + of_day_us as i64 * 1000))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let n: u64 = arguments.next().map_or(Ok(1_000_000), |n| n.parse())?;
    let own: Vec<String> = arguments.collect();
    let dir = std::env::temp_dir().join(format!("kymo-part-speed-{}", std::process::id()));
    std::fs::create_dir(&dir)?;
    let result = measure(&dir, n, &own);
    std::fs::remove_dir_all(&dir)?;
    result
}

fn measure(dir: &std::path::Path, n: u64, own: &[String]) -> Result<(), Box<dyn Error>> {
    let labels = |stream: u64| Labels::from_pairs([("app", format!("app-{stream}"))]);
    let (mut parts, mut text) = (Vec::new(), Vec::new());
    let (mut bytes, mut stored, mut seconds) = (0, 0, 0.0);
    for start in (0..n).step_by(PART as usize) {
        let path = dir.join(start.to_string());
        let mut writer = PartWriter::create_path(&path, Effort::Flush)?;
        let mut numbers = Vec::new();
        for number in start..n.min(start + PART) {
            text.clear();
            let (stream, t_ns) = line(number, &mut text)?;
            numbers.push((stream, t_ns, text.clone()));
        }
        numbers.sort_by_key(|(_, t_ns, _)| *t_ns);
        let begun = Instant::now();
        for (stream, t_ns, line) in &numbers {
            let stream = writer.stream(&labels(*stream));
            writer.push(stream, *t_ns, line, [("detected_level", "info")])?;
            bytes += line.len();
        }
        writer.finish()?;
        seconds += begun.elapsed().as_secs_f64();
        let part = PartReader::open_path(&path)?;
        stored += part.meta().file_bytes;
        parts.push(part);
    }
    println!(
        "{n} lines, {} MB, in {} MB; {:.2} M lines/s written",
        bytes / 1_000_000,
        stored / 1_000_000,
        n as f64 / seconds / 1e6
    );
    let mut sizes: BTreeMap<String, usize> = BTreeMap::new();
    for part in &parts {
        for group in 0..part.groups().len() {
            for (name, len) in part.group(group)?.sizes() {
                *sizes.entry(name).or_default() += len;
            }
        }
    }
    let sizes: Vec<String> = sizes
        .iter()
        .map(|(name, len)| format!("{name} {}", len / 1000))
        .collect();
    println!("kB: {}", sizes.join(", "));
    text.clear();
    line(n / 3, &mut text)?;
    let found = text.windows(12).position(|part| part == b"\"trace_id\":\"");
    let trace = String::from_utf8(text[found.unwrap_or(0) + 12..][..32].to_vec())?;
    let mut needles: Vec<&str> = own.iter().map(String::as_str).collect();
    if needles.is_empty() {
        needles.extend(NEEDLES);
        needles.extend([
            &trace[..],
            &trace[5..20],
            &trace[4..12],
            "4bf92f3577b34da6a3ce929d0e0e4736",
        ]);
    }
    for text in needles {
        let sets = [vec![Needle::new(text.as_bytes())]];
        let (mut times, mut found) = (Vec::new(), 0);
        for _ in 0..3 {
            found = 0;
            let begun = Instant::now();
            for part in &parts {
                for group in 0..part.groups().len() {
                    let filter = RowFilter {
                        needles: &sets,
                        ..RowFilter::all()
                    };
                    part.group(group)?.pages(&filter, |_, rows| {
                        found += rows.len();
                        Ok::<(), PartError>(())
                    })?;
                }
            }
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        println!("{:9.2} ms {found:9} lines  {text}", times[0]);
    }
    Ok(())
}
