//! Lines of logs like those of a platform for the internet of things: the same ones for
//! every run, from a number alone.
//!
//! Thirty streams: ten applications with three instances each. Lines of JSON have ids of
//! traces and requests that occur once, durations with a long tail, and about 350 bytes.

use std::io::Write as _;

/// How the lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LineKind {
    /// An object of fourteen fields.
    Json,
    /// The same fields as pairs.
    Logfmt,
    /// The combined format of web servers.
    Nginx,
    /// Sentences with numbers in them.
    Plain,
}

impl LineKind {
    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            LineKind::Json => "json",
            LineKind::Logfmt => "logfmt",
            LineKind::Nginx => "nginx",
            LineKind::Plain => "plain",
        }
    }
}

/// Names of the applications.
pub const APPS: [&str; 10] = [
    "analytics",
    "api",
    "auth",
    "billing",
    "device-gateway",
    "ingest",
    "notifier",
    "rules",
    "scheduler",
    "twin",
];

/// Instances of an application.
pub const INSTANCES: u64 = 3;

/// Number of the streams.
pub const STREAMS: u64 = APPS.len() as u64 * INSTANCES;

/// Nanoseconds from one line to the next, on average.
pub const STEP_NS: i64 = 3_600_000;

/// Time of the first line.
pub const START_NS: i64 = 1_785_578_400_000_000_000;

/// Returns the labels of a stream.
pub fn labels(stream: u64) -> [(&'static str, String); 3] {
    let app = APPS[(stream / INSTANCES) as usize % APPS.len()];
    let instance = stream % INSTANCES;
    [
        ("app", app.to_owned()),
        ("env", "prod".to_owned()),
        ("instance", format!("{app}-{instance}")),
    ]
}

/// A line without its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineHead {
    /// Number of its stream.
    pub stream: u64,
    /// When it happened, in nanoseconds since the epoch.
    pub t_ns: i64,
    /// Its level, in small letters.
    pub level: &'static str,
}

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }
}

/// Returns the id of the trace of line `number`, as it stands in the line.
pub fn trace_id(number: u64) -> String {
    let mut random = Random(number.wrapping_mul(0x5851_f42d_4c95_7f2d));
    format!("{:016x}{:016x}", random.next(), random.next())
}

const MESSAGES: [&str; 12] = [
    "telemetry batch accepted",
    "request completed",
    "cache refreshed for tenant",
    "device state synchronised with twin",
    "rule evaluated",
    "invoice line written",
    "session token renewed",
    "downstream call returned",
    "retry scheduled after timeout",
    "message published to broker",
    "query planned and executed",
    "certificate checked",
];
const CALLERS: [&str; 6] = [
    "ingest/handler.go:214",
    "http/server.go:98",
    "store/batch.go:441",
    "rules/engine.go:77",
    "mqtt/session.go:310",
    "twin/sync.go:152",
];
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
const TENANTS: [&str; 8] = [
    "acme",
    "nordwind",
    "helios",
    "stadtwerke",
    "gridline",
    "aquanet",
    "solaria",
    "windpark",
];
const REGIONS: [&str; 3] = ["eu-central-1", "eu-west-1", "us-east-1"];
const AGENTS: [&str; 4] = [
    "curl/8.5.0",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
    "okhttp/4.12.0",
    "kube-probe/1.31",
];

/// Appends line `number` and returns the rest of it.
pub fn write(kind: LineKind, number: u64, out: &mut Vec<u8>) -> LineHead {
    let mut random = Random(number ^ 0x1234_5678);
    let stream = random.below(STREAMS);
    let t_ns = START_NS + number as i64 * STEP_NS + random.below(STEP_NS as u64) as i64;
    let level = match random.below(100) {
        0..3 => "error",
        3..10 => "warn",
        10..20 => "debug",
        _ => "info",
    };
    let head = LineHead {
        stream,
        t_ns,
        level,
    };
    let status = match level {
        "error" => [500, 502, 503, 504][random.below(4) as usize],
        "warn" => [400, 404, 409, 429][random.below(4) as usize],
        _ => [200, 200, 200, 201, 202, 204][random.below(6) as usize],
    };
    // Most are fast, one in a thousand takes seconds.
    let tail = 1 + 1_000_000 / (1 + random.below(100_000));
    let micros = 800 + random.below(40_000) + tail.min(3_000_000);
    let (device, bytes) = (random.below(20_000), 200 + random.below(4_000));
    let (message, caller) = (random.pick(&MESSAGES), random.pick(&CALLERS));
    let (method, tenant) = (random.pick(&METHODS), random.pick(&TENANTS));
    let (region, agent) = (random.pick(&REGIONS), random.pick(&AGENTS));
    let (trace, request) = (trace_id(number), random.next() >> 16);
    let time = clock(t_ns);
    let (millis, rest) = (micros / 1000, micros % 1000);
    let upper = level.to_ascii_uppercase();
    // Writing to a vector does not fail.
    let _ = match kind {
        LineKind::Json => write!(
            out,
            r#"{{"ts":"{time}Z","level":"{upper}","caller":"{caller}","msg":"{message}","trace_id":"{trace}","request_id":"req-{request:012x}","tenant":"{tenant}","region":"{region}","device_id":"dev-{device:05}","method":"{method}","path":"/api/v1/devices/{device}/telemetry","status":{status},"duration_ms":{millis}.{rest:03},"bytes":{bytes}}}"#
        ),
        LineKind::Logfmt => write!(
            out,
            r#"ts={time}Z level={upper} caller={caller} msg="{message}" trace_id={trace} request_id=req-{request:012x} tenant={tenant} region={region} device_id=dev-{device:05} method={method} path=/api/v1/devices/{device}/telemetry status={status} duration={millis}.{rest:03}ms bytes={bytes}"#
        ),
        LineKind::Nginx => write!(
            out,
            r#"10.{}.{}.{} - - [01/Aug/2026:{} +0000] "{method} /api/v1/devices/{device}/telemetry HTTP/1.1" {status} {bytes} "-" "{agent}" {millis}.{rest:03}"#,
            device % 8,
            device / 250,
            device % 250,
            &time[11..19]
        ),
        LineKind::Plain => write!(
            out,
            "{} {upper} [worker-{}] {message}: device dev-{device:05} of tenant {tenant} took {millis}.{rest:03} ms, {bytes} bytes, request {request:012x}",
            time.replace('T', " "),
            device % 16
        ),
    };
    head
}

/// Returns a time of the first day as it is written in lines.
fn clock(t_ns: i64) -> String {
    let of_day = (t_ns - START_NS) as u64 / 1000;
    let (seconds, micros) = (of_day / 1_000_000, of_day % 1_000_000);
    let (hours, seconds) = (10 + seconds / 3600, seconds % 3600);
    format!(
        "2026-08-01T{hours:02}:{:02}:{:02}.{micros:06}",
        seconds / 60,
        seconds % 60
    )
}
