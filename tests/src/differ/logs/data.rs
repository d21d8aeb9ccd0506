//! Streams by chance: lines of every form that a parser knows, and lines that are nearly so.
//!
//! Each seed has a time of its own, so that one server holds what many seeds make.

use serde_json::{Value, json};

use super::super::random::Random;

/// Nanoseconds of a second.
pub const NS: i64 = 1_000_000_000;
/// Seconds between the first and the last entry of a seed.
pub const SPAN_S: i64 = 1_200;
/// Time of the first seed, in seconds since the epoch.
const EPOCH_S: i64 = 1_700_000_000;
/// Distance of two seeds.
const SEED_S: i64 = 6 * 3_600;
/// Seeds that have different times.
const SEEDS: u64 = 4_000;
/// Entries of a stream.
const ENTRIES: i64 = 40;

/// Entries by stream, as a push has them.
#[derive(Debug, Clone)]
pub struct Data {
    /// Second of the first entry.
    pub start_s: i64,
    streams: Vec<Value>,
}

type Line = fn(&mut Random) -> String;

impl Data {
    /// Makes data that a seed repeats.
    pub fn new(seed: u64) -> Data {
        let start_s = EPOCH_S + (seed % SEEDS) as i64 * SEED_S;
        let mut data = Data {
            start_s,
            streams: Vec::new(),
        };
        let mut random = Random::new(seed ^ 0x10c5);
        let forms: [(&str, Line); 7] = [
            ("json", json_line),
            ("logfmt", logfmt_line),
            ("nginx", nginx_line),
            ("plain", plain_line),
            ("packed", packed_line),
            ("num", number_line),
            ("odd", odd_line),
        ];
        let mut n = 0;
        for (app, line) in forms {
            for env in ["prod", "dev"] {
                n += 1;
                if env == "dev" && random.once_in(3) {
                    continue;
                }
                let mut labels = json!({"app": app, "env": env});
                if random.once_in(2) {
                    labels["level"] = json!(random.pick(&["info", "warn", ""]));
                }
                data.push(&mut random, n, labels, line);
            }
        }
        data
    }

    fn push(&mut self, random: &mut Random, n: i64, labels: Value, line: Line) {
        let mut values = Vec::new();
        for entry in 0..ENTRIES {
            // The stream's number in the last digits: no two streams share a moment.
            let jitter = random.below(SPAN_S as u64 / ENTRIES as u64) as i64;
            let at_s = self.start_s + entry * (SPAN_S / ENTRIES) + jitter;
            let part = random.pick(&[0, 0, 0, 500_000_000, 123_456_000]);
            let t_ns = at_s * NS + part + n;
            values.push(json!([t_ns.to_string(), line(random), metadata(random)]));
        }
        self.streams
            .push(json!({"stream": labels, "values": values}));
    }

    /// Returns the body of a push.
    pub fn push_body(&self) -> String {
        json!({ "streams": self.streams }).to_string()
    }
}

fn metadata(random: &mut Random) -> Value {
    let mut pairs = serde_json::Map::new();
    let names = ["trace_id", "user", "status", "app", "dur", "pod", "a-b"];
    for name in names {
        if random.once_in(5) {
            let value = random.pick(&["4bf9", "ann", "200", "1.5s", "x y", "", "é", "7"]);
            pairs.insert(name.to_owned(), json!(value));
        }
    }
    Value::Object(pairs)
}

const LEVELS: &[&str] = &["info", "error", "warn", "debug", "ERROR", ""];
const DURATIONS: &[&str] = &[
    "12ms", "1.5s", "1m30s", "0", "3", "1d", "bad", "250µs", "-2s",
];
const SIZES: &[&str] = &[
    "2KB", "1.5MiB", "512", "10 MB", "bad", "1,024", "0B", "3GiB", "2,060", "1060", "14.9KB",
    "1.58MB", "1002",
];
const NUMBERS: &[&str] = &[
    "1",
    "0",
    "-3",
    "2.5",
    "200",
    "404",
    "500",
    "1e3",
    "NaN",
    "+Inf",
    "0x10",
    "bad",
    "007",
    "1e400",
    "12345678901234567890",
    "0.1",
    "1_000",
];
const JSON_NUMBERS: &[&str] = &[
    "1",
    "0",
    "-3",
    "2.5",
    "200",
    "404",
    "1e3",
    "1E+2",
    "12345678901234567890",
    "0.1",
    "1e400",
    "-0.0",
    "1.50",
];
const WORDS: &[&str] = &[
    "alpha", "beta", "err", "error", "failed", "ok", "GET", "POST", "user", "timeout", "née",
    "日本", "\\", "{}", "a=b", "%41", "<_>", "foo",
];
const ADDRESSES: &[&str] = &[
    "10.0.0.1",
    "192.168.1.77",
    "172.16.5.4",
    "2001:db8::1",
    "::1",
    "300.1.1.1",
    "10.0.0.255",
    "fe80::1%eth0",
];
const PATHS: &[&str] = &[
    "/",
    "/api/v1/items?id=7",
    "/static/a b.css",
    "/日本",
    "/login",
];

fn words(random: &mut Random) -> String {
    let n = random.below(5);
    let words: Vec<&str> = (0..n).map(|_| random.pick(WORDS)).collect();
    words.join(random.pick(&[" ", " ", "  ", "\t", ": "]))
}

fn json_string(random: &mut Random) -> String {
    match random.below(8) {
        0 => r#""a \"quoted\" word""#.to_owned(),
        1 => r#""line\nbreak\ttab""#.to_owned(),
        2 => r#""\u00e9\u4e2d\ud83d\ude00""#.to_owned(),
        3 => r#""half \ud83d""#.to_owned(),
        4 => r#""slash \/ back \\ ""#.to_owned(),
        5 => r#""""#.to_owned(),
        6 => json!(random.pick(LEVELS)).to_string(),
        _ => json!(words(random)).to_string(),
    }
}

fn json_value(random: &mut Random, depth: u32) -> String {
    match random.below(if depth < 3 { 12 } else { 8 }) {
        0 => "null".to_owned(),
        1 => random.pick(&["true", "false"]).to_owned(),
        2 | 3 => random.pick(JSON_NUMBERS).to_owned(),
        4 => json!(random.pick(ADDRESSES)).to_string(),
        5 => json!(random.pick(NUMBERS)).to_string(),
        6 | 7 => json_string(random),
        8 | 9 => json_object(random, depth + 1),
        _ => {
            let n = random.below(4);
            let items: Vec<String> = (0..n).map(|_| json_value(random, depth + 1)).collect();
            format!("[{}]", items.join(random.pick(&[",", ", "])))
        }
    }
}

const KEYS: &[&str] = &[
    "a",
    "b",
    "c",
    "a_b",
    "a.b",
    "a b",
    "app",
    "env",
    "level",
    "status",
    "trace_id",
    "user",
    "1st",
    "",
    "-",
    "é",
    "msg",
    "a\\nb",
    "\\u0061",
    "A",
    "nested",
    "service_name",
    "pod",
];

/// Returns a key. One that is blank is within others only: outside Loki's parser takes it
/// once it has met another one.
fn json_key(random: &mut Random, depth: u32) -> &'static str {
    match random.pick(KEYS) {
        "" if depth == 0 => "-",
        key => key,
    }
}

fn json_object(random: &mut Random, depth: u32) -> String {
    let mut members = Vec::new();
    if depth == 0 {
        members.push(format!(r#""level":"{}""#, random.pick(LEVELS)));
        members.push(format!(r#""status":{}"#, random.pick(JSON_NUMBERS)));
        members.push(format!(r#""dur":"{}""#, random.pick(DURATIONS)));
        members.push(format!(r#""size":"{}""#, random.pick(SIZES)));
        members.push(format!(r#""ip":"{}""#, random.pick(ADDRESSES)));
        members.push(format!(r#""n":{}"#, random.pick(JSON_NUMBERS)));
        members.push(format!(r#""msg":{}"#, json_string(random)));
        members.push(format!(r#""nested":{}"#, json_value(random, 2)));
        members.push(format!(r#""list":[{}]"#, json_value(random, 1)));
        let keep = 1 + random.below(members.len() as u64) as usize;
        let at = random.below(members.len() as u64) as usize;
        members.rotate_left(at);
        members.truncate(keep);
    }
    for _ in 0..random.below(4) {
        let key = json_key(random, depth);
        members.push(format!(r#""{key}":{}"#, json_value(random, depth)));
    }
    let (colon, comma) = random.pick(&[(":", ","), (":", ","), (": ", ", "), (" : ", " ,\n")]);
    let members: Vec<String> = members
        .into_iter()
        .map(|member| member.replacen("\":", &format!("\"{colon}"), 1))
        .collect();
    format!("{{{}}}", members.join(comma))
}

/// Cuts a line or puts something into it, sometimes.
fn harmed(random: &mut Random, line: String) -> String {
    if !random.once_in(6) {
        return line;
    }
    let mut chars: Vec<char> = line.chars().collect();
    let at = random.below(chars.len() as u64 + 1) as usize;
    match random.below(5) {
        0 => chars.truncate(at),
        1 if at < chars.len() => {
            chars.remove(at);
        }
        2 => chars.insert(at.min(2), ' '),
        3 => chars.extend("} tail".chars()),
        _ => chars.insert(at, random.pick(&['"', '\\', ',', '=', '{', '\u{1}'])),
    }
    chars.into_iter().collect()
}

fn json_line(random: &mut Random) -> String {
    let line = json_object(random, 0);
    harmed(random, line)
}

fn logfmt_value(random: &mut Random) -> String {
    match random.below(9) {
        0 => String::new(),
        1 => "\"\"".to_owned(),
        2 => r#""a \"quoted\" word""#.to_owned(),
        3 => r#""line\nbreak \u00e9 \x41""#.to_owned(),
        4 => format!("{:?}", words(random)),
        5 => random.pick(ADDRESSES).to_owned(),
        6 => "\u{fffe}".to_owned(),
        _ => random.pick(NUMBERS).to_owned(),
    }
}

fn logfmt_line(random: &mut Random) -> String {
    let mut pairs = vec![
        format!("level={}", random.pick(LEVELS)),
        format!("status={}", random.pick(NUMBERS)),
        format!("dur={}", random.pick(DURATIONS)),
        format!("size=\"{}\"", random.pick(SIZES)),
        format!("ip={}", random.pick(ADDRESSES)),
        format!("msg=\"{}\"", random.pick(&["all well", "é = 1", "", "x"])),
        format!("n={}", random.pick(NUMBERS)),
    ];
    let at = random.below(pairs.len() as u64) as usize;
    pairs.rotate_left(at);
    pairs.truncate(1 + random.below(7) as usize);
    for _ in 0..random.below(5) {
        let key = random.pick(KEYS);
        let pair = match random.below(7) {
            0 => key.to_owned(),
            1 => format!("{key}="),
            2 => "=x".to_owned(),
            3 => format!("{key}\"x"),
            _ => format!("{key}={}", logfmt_value(random)),
        };
        pairs.push(pair);
    }
    let line = pairs.join(random.pick(&[" ", " ", "  ", "\t"]));
    harmed(random, line)
}

fn nginx_line(random: &mut Random) -> String {
    let line = format!(
        "{} - {} [10/Oct/2023:13:55:{:02} +0000] \"{} {} HTTP/1.1\" {} {} {}",
        random.pick(ADDRESSES),
        random.pick(&["-", "ann", "bob smith"]),
        random.below(60),
        random.pick(&["GET", "POST", "-"]),
        random.pick(PATHS),
        random.pick(NUMBERS),
        random.below(5_000),
        random.pick(DURATIONS),
    );
    harmed(random, line)
}

fn plain_line(random: &mut Random) -> String {
    match random.below(9) {
        0 => String::new(),
        1 => format!(
            "\u{1b}[31m{}\u{1b}[0m {}",
            random.pick(LEVELS),
            words(random)
        ),
        2 => format!("client {} said {}", random.pick(ADDRESSES), words(random)),
        3 => format!("{}\n  at {}", words(random), words(random)),
        4 => format!(" [{}] {} ", random.pick(LEVELS), words(random)),
        5 => format!("{} took {}", random.pick(WORDS), random.pick(DURATIONS)),
        _ => words(random),
    }
}

fn packed_line(random: &mut Random) -> String {
    let entry = match random.below(5) {
        0 => json!(logfmt_line(random)).to_string(),
        1 => json!(json_object(random, 1)).to_string(),
        2 => json_value(random, 2),
        _ => json!(words(random)).to_string(),
    };
    let mut members = vec![format!(r#""_entry":{entry}"#)];
    for _ in 0..random.below(4) {
        let key = json_key(random, 0);
        members.push(format!(r#""{key}":{}"#, json_value(random, 2)));
    }
    let at = random.below(members.len() as u64) as usize;
    members.rotate_left(at);
    if random.once_in(8) {
        members.retain(|member| !member.starts_with(r#""_entry"#));
    }
    let line = format!("{{{}}}", members.join(","));
    harmed(random, line)
}

fn number_line(random: &mut Random) -> String {
    let tenth = random.below(10_000) as f64 / 10.0;
    format!(
        "v={tenth} n={} dur={}ms size={}KB kind={}",
        random.below(100),
        random.below(3_000),
        random.below(64),
        random.pick(&["a", "b", "c"]),
    )
}

fn odd_line(random: &mut Random) -> String {
    match random.below(10) {
        0 => "[1,2,{\"a\":3}]".to_owned(),
        1 => "\"just a string\"".to_owned(),
        2 => "null".to_owned(),
        3 => "42".to_owned(),
        4 => format!("{{\"deep\":{}1{}}}", "{\"a\":".repeat(12), "}".repeat(12)),
        5 => "{\"a\":1} {\"a\":2}".to_owned(),
        6 => "\u{feff}{\"a\":1}".to_owned(),
        7 => "   ".to_owned(),
        8 => json_line(random),
        _ => "{".to_owned(),
    }
}
