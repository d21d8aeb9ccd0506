//! Every route of the API beside the Prometheus that is installed (Debian's 2.42), with the
//! same configuration and the same data: status, content type, and JSON to the last value.
//!
//! What differs is listed with its reason, and must differ: an entry that no longer does
//! fails the test, as does a difference without an entry.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kymo_tests::{Answer, Client, Kymo, Peer, WriteBody, wait_until};
use serde_json::Value;

/// What times of cases begin with; it stands for a recent one, since a server that has
/// stored something of now takes nothing of long ago.
const BASE: &str = "1700000";
const LIMIT: Duration = Duration::from_secs(60);

const CONFIG: &str = "\
global:
  scrape_interval: 1y
  evaluation_interval: 1y
  external_labels: {cluster: c}
rule_files: [rules.yml]
scrape_configs:
- job_name: front
  static_configs:
  - targets: ['127.0.0.1:29481', '127.0.0.1:29482']
    labels: {tier: web}
  relabel_configs:
  - {source_labels: [__address__], regex: '.*:29482', action: drop}
";

const RULES: &str = "\
groups:
- name: g
  rules:
  - {record: 'a:b', expr: 'sum(load)', labels: {x: y}}
  - {alert: Down, expr: 'up == 0', for: 5m, annotations: {text: '{{ $value }}'}}
";

/// How answers compare.
#[derive(Debug, Clone, Copy)]
enum Compare {
    /// To the last value.
    Exactly,
    /// Keys and types; values are those of the process or of the moment.
    Keys,
    /// As keys, but for these, which came after 2.42.
    More(&'static [&'static str]),
    /// Not at all, for this reason.
    Differs(&'static str),
}

use Compare::{Differs, Exactly, Keys, More};

/// What targets have had since: three labels for their histograms, too.
const ACTIVE_TARGETS: &[&str] = &[
    "droppedTargetCounts",
    "__always_scrape_classic_histograms__",
    "__convert_classic_histograms_to_nhcb__",
    "__scrape_native_histograms__",
];

const TARGETS: &[&str] = &[
    "droppedTargetCounts",
    "droppedTargets.scrapePool",
    "__always_scrape_classic_histograms__",
    "__convert_classic_histograms_to_nhcb__",
    "__scrape_native_histograms__",
];

/// Why texts about times differ.
const CAPITAL: &str = "2.42 begins the text with a capital letter";

struct Case {
    method: &'static str,
    target: &'static str,
    form: &'static str,
    compare: Compare,
}

const fn get(target: &'static str, compare: Compare) -> Case {
    Case {
        method: "GET",
        target,
        form: "",
        compare,
    }
}

const fn post(target: &'static str, form: &'static str, compare: Compare) -> Case {
    Case {
        method: "POST",
        target,
        form,
        compare,
    }
}

const fn other(method: &'static str, target: &'static str, compare: Compare) -> Case {
    Case {
        method,
        target,
        form: "",
        compare,
    }
}

const CASES: &[Case] = &[
    // Queries at one time.
    get("/api/v1/query?query=load&time=1700000600", Exactly),
    get(
        "/api/v1/query?query=sum%20by%20(zone)%20(load)&time=1700000600.5",
        Exactly,
    ),
    get("/api/v1/query?query=1%2B1&time=4", Exactly),
    get(
        "/api/v1/query?query=%22text%22&time=2023-11-14T22:20:00Z",
        Exactly,
    ),
    get("/api/v1/query?query=load[2m1s]&time=1700000600", Exactly),
    get("/api/v1/query?query=nosuch&time=1700000600", Exactly),
    get("/api/v1/query", Differs("2.42 gives the mistake a place")),
    get("/api/v1/query?query=sum(", Exactly),
    get(
        "/api/v1/query?query=load%20%2B%20on(zone)%20load&time=1700000600",
        Differs("the two series are named in the other order"),
    ),
    get("/api/v1/query?query=load&time=tomorrow", Differs(CAPITAL)),
    get("/api/v1/query?query=load&timeout=x", Exactly),
    get(
        "/api/v1/query?query=load&time=1700000600&stats=true",
        More(&["samplesRead"]),
    ),
    post("/api/v1/query", "query=load&time=1700000600", Exactly),
    post(
        "/api/v1/query?query=nosuch",
        "query=load&time=1700000600",
        Exactly,
    ),
    other("PUT", "/api/v1/query?query=load", Exactly),
    other("DELETE", "/api/v1/query?query=load", Exactly),
    // Queries at many times.
    get(
        "/api/v1/query_range?query=load&start=1700000000&end=1700000600&step=60",
        Exactly,
    ),
    get(
        "/api/v1/query_range?query=avg_over_time(load[2m1s])&start=1700000000&end=1700000600&step=1m",
        Exactly,
    ),
    get(
        "/api/v1/query_range?query=1&start=1700000000&end=1700000000&step=60",
        Exactly,
    ),
    get(
        "/api/v1/query_range?query=load&start=1700000600&end=1700000000&step=60",
        Exactly,
    ),
    get(
        "/api/v1/query_range?query=load&start=1700000000&end=1700000600&step=0",
        Exactly,
    ),
    get(
        "/api/v1/query_range?query=load&start=1&end=1700000600&step=1",
        Exactly,
    ),
    get(
        "/api/v1/query_range?query=load&end=1700000600&step=60",
        Exactly,
    ),
    get(
        "/api/v1/query_range?query=load&start=1700000000&step=60",
        Exactly,
    ),
    get(
        "/api/v1/query_range?query=load&start=1700000000&end=1700000600",
        Exactly,
    ),
    get(
        "/api/v1/query_range?query=load[5m]&start=1700000000&end=1700000600&step=60",
        Differs("2.42 does not name the parameter"),
    ),
    post(
        "/api/v1/query_range",
        "query=load&start=1700000000&end=1700000600&step=60",
        Exactly,
    ),
    // Other calls about queries.
    get(
        "/api/v1/query_exemplars?query=load&start=1700000000&end=1700000600",
        Exactly,
    ),
    get(
        "/api/v1/query_exemplars?query=sum(&start=1700000000&end=1700000600",
        Exactly,
    ),
    get("/api/v1/query_exemplars?query=load&start=5&end=4", Exactly),
    post(
        "/api/v1/query_exemplars",
        "query=test&start=1700000000000&end=1700000600000",
        Exactly,
    ),
    get("/api/v1/format_query?query=sum(load)by(zone)", Exactly),
    get("/api/v1/format_query?query=sum(", Exactly),
    post("/api/v1/format_query", "query=load%2Bload", Exactly),
    get(
        "/api/v1/parse_query?query=load",
        Differs("2.42 has no such call"),
    ),
    // Labels and series.
    get("/api/v1/labels", Exactly),
    get("/api/v1/labels?match[]=load", Exactly),
    get(
        "/api/v1/labels?match[]=load&start=1700000000&end=1700000600",
        Exactly,
    ),
    get("/api/v1/labels?match[]={", Exactly),
    get("/api/v1/labels?match[]={x=~%22.*%22}", Exactly),
    get("/api/v1/labels?start=x", Differs(CAPITAL)),
    post("/api/v1/labels", "match[]=load", Exactly),
    get("/api/v1/label/zone/values", Exactly),
    get(
        "/api/v1/label/zone/values?match[]=load{host=%22h1%22}",
        Exactly,
    ),
    get("/api/v1/label/__name__/values", Exactly),
    get("/api/v1/label/nosuch/values", Exactly),
    get(
        "/api/v1/label/0abc/values",
        Differs("names of labels may be any text since 3.0"),
    ),
    get("/api/v1/label/zone/values?end=x", Differs(CAPITAL)),
    post("/api/v1/label/zone/values", "", Exactly),
    get("/api/v1/series?match[]=load", Exactly),
    get(
        "/api/v1/series?match[]=load{host=%22h1%22}&match[]=other",
        Exactly,
    ),
    get("/api/v1/series", Exactly),
    get("/api/v1/series?match[]={", Exactly),
    get("/api/v1/series?match[]=load&end=x", Differs(CAPITAL)),
    post("/api/v1/series", "match[]=load", Exactly),
    other(
        "DELETE",
        "/api/v1/series?match[]=load",
        Differs("2.42 has the method and says that it is not implemented"),
    ),
    // Targets, rules, alerts.
    get("/api/v1/targets", More(TARGETS)),
    get("/api/v1/targets?state=active", More(ACTIVE_TARGETS)),
    get("/api/v1/targets?state=dropped", More(TARGETS)),
    get("/api/v1/targets?state=any", More(TARGETS)),
    get(
        "/api/v1/targets?state=nosuch",
        More(&["droppedTargetCounts"]),
    ),
    get("/api/v1/targets/metadata", Exactly),
    get("/api/v1/targets/metadata?limit=x", Exactly),
    get("/api/v1/targets/metadata?match_target={", Exactly),
    get("/api/v1/targets/metadata?metric=nosuch&limit=1", Exactly),
    get("/api/v1/scrape_pools", Exactly),
    get("/api/v1/metadata", Exactly),
    get("/api/v1/metadata?metric=nosuch", Exactly),
    get("/api/v1/metadata?limit=x", Exactly),
    get("/api/v1/rules", Keys),
    get("/api/v1/rules?type=alert", Keys),
    get("/api/v1/rules?type=record", Keys),
    get("/api/v1/rules?type=nosuch", Exactly),
    get("/api/v1/alerts", Exactly),
    get("/api/v1/alertmanagers", Exactly),
    post("/api/v1/rules", "", Exactly),
    // About the server.
    get("/api/v1/status/config", Keys),
    get(
        "/api/v1/status/flags",
        Differs("the flags are those of 3.14"),
    ),
    get(
        "/api/v1/status/runtimeinfo",
        More(&["GOMEMLIMIT", "hostname", "serverTime"]),
    ),
    get("/api/v1/status/buildinfo", Keys),
    get("/api/v1/status/tsdb", Keys),
    get("/api/v1/status/walreplay", Keys),
    get("/api/v1/status/nosuch", Exactly),
    get("/version", Keys),
    // Administration; nothing is matched, so nothing is lost for later cases.
    post(
        "/api/v1/admin/tsdb/delete_series?match[]=nosuch",
        "",
        Exactly,
    ),
    post("/api/v1/admin/tsdb/delete_series", "", Exactly),
    post("/api/v1/admin/tsdb/delete_series?match[]={", "", Exactly),
    post(
        "/api/v1/admin/tsdb/delete_series?match[]=nosuch&start=x",
        "",
        Differs(CAPITAL),
    ),
    other("PUT", "/api/v1/admin/tsdb/clean_tombstones", Exactly),
    post("/api/v1/admin/tsdb/clean_tombstones", "", Exactly),
    post("/api/v1/admin/tsdb/snapshot", "", Keys),
    post("/api/v1/admin/tsdb/snapshot?skip_head=x", "", Exactly),
    get("/api/v1/admin/tsdb/snapshot", Exactly),
    // Between servers.
    post("/api/v1/read", "", Exactly),
    get("/api/v1/read", Exactly),
    get("/api/v1/write", Exactly),
    get(
        "/federate?match[]=load",
        Differs("the way names are escaped is told since 3.0"),
    ),
    get(
        "/federate",
        Differs("the way names are escaped is told since 3.0"),
    ),
    get("/federate?match[]={", Exactly),
    post("/federate?match[]=load", "", Exactly),
    // Paths around the API.
    get("/-/healthy", Exactly),
    get("/-/ready", Exactly),
    other("HEAD", "/-/healthy", Exactly),
    other("HEAD", "/-/ready", Exactly),
    get("/-/reload", Exactly),
    get("/-/quit", Exactly),
    post("/-/reload", "", Exactly),
    get("/", Differs("2.42 leads to its old page")),
    get(
        "/graph",
        Differs("the page for queries has moved since 3.0"),
    ),
    get("/api/v1/nosuch", Exactly),
    get("/api/v1", Exactly),
    get("/api/v1/query/", Exactly),
    get("//api/v1/query?query=1", Exactly),
    get("/nosuch", Exactly),
    get(
        "/consoles/nosuch.html",
        Differs("there are no consoles, so no file is named"),
    ),
    get(
        "/debug/pprof/cmdline",
        Differs("profiles are those of Go's runtime"),
    ),
    get("/debug/nosuch", Exactly),
    other("OPTIONS", "/api/v1/query", Exactly),
    other("HEAD", "/api/v1/query?query=1", Exactly),
];

#[test]
fn every_route_answers_as_the_installed_prometheus_does() {
    let dir = tempfile::tempdir().unwrap();
    write_files(dir.path());
    let peer_dir = tempfile::tempdir().unwrap();
    write_files(peer_dir.path());
    let args = [
        "--config.file=prometheus.yml",
        "--web.enable-remote-write-receiver",
        "--web.enable-admin-api",
        "--web.enable-lifecycle",
        "--enable-feature=exemplar-storage",
    ];
    // Debian's has one data directory for all that are started without this.
    let peer_args = [&args[..], &["--storage.tsdb.path=data"]].concat();
    let Some(prometheus) = Peer::start("prometheus", peer_dir.path(), &peer_args) else {
        return;
    };
    prometheus.wait_ready();
    let kymo = Kymo::start_in(dir.path(), &args);
    let base = recent_base();
    let (ours, theirs) = (kymo.client(), prometheus.client());
    for client in [ours, theirs] {
        load(client, base);
        wait_until("targets are listed", LIMIT, || {
            let targets = client.get("/api/v1/targets").json();
            targets["data"]["activeTargets"][0].is_object()
        });
    }
    let mut wrong = Vec::new();
    for case in CASES {
        let answers = [ours, theirs].map(|client| ask(client, case, base));
        let difference = difference(&answers[0], &answers[1], case.compare);
        let name = format!("{} {} {}", case.method, case.target, case.form);
        match (case.compare, difference) {
            (Differs(reason), None) => wrong.push(format!("{name}: no difference: {reason}")),
            (Differs(_), Some(_)) | (_, None) => {}
            (_, Some(difference)) => wrong.push(format!("{name}: {difference}")),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differences:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn write_files(dir: &Path) {
    fs::write(dir.join("prometheus.yml"), CONFIG).unwrap();
    fs::write(dir.join("rules.yml"), RULES).unwrap();
}

/// Returns the thousands of seconds of a time some half an hour ago.
fn recent_base() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap() / 1000 - 2
}

fn load(client: Client, base: i64) {
    let mut body = WriteBody::new();
    for (i, (name, host, zone)) in [
        ("load", "h1", "a"),
        ("load", "h2", "a"),
        ("load", "h3", "b"),
        ("other", "h1", "<&>"),
    ]
    .into_iter()
    .enumerate()
    {
        let samples: Vec<(i64, f64)> = (0..40)
            .map(|j| {
                let t_ms = (base * 1000 + j * 15) * 1000 + i as i64;
                (t_ms, (i as i64 * 100 + j * j % 17) as f64 / 4.0)
            })
            .collect();
        let labels = [("__name__", name), ("host", host), ("zone", zone)];
        body.push_series(&labels, &samples);
    }
    let headers = [
        ("Content-Type", "application/x-protobuf"),
        ("Content-Encoding", "snappy"),
        ("X-Prometheus-Remote-Write-Version", "0.1.0"),
    ];
    let answer = client.call("POST", "/api/v1/write", &headers, &body.encode());
    assert_eq!(answer.status, 204, "{answer:?}");
}

fn ask(client: Client, case: &Case, base: i64) -> Answer {
    let recent = |text: &str| text.replace(BASE, &base.to_string());
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let headers: &[_] = if case.form.is_empty() { &[] } else { &form };
    let (target, form) = (recent(case.target), recent(case.form));
    client.call(case.method, &target, headers, form.as_bytes())
}

/// Says what differs first; `None` where nothing does.
fn difference(ours: &Answer, theirs: &Answer, compare: Compare) -> Option<String> {
    if ours.status != theirs.status {
        return Some(format!("status {} and {}", shown(ours), shown(theirs)));
    }
    for name in ["content-type", "location", "allow"] {
        let (a, b) = (header(ours, name), header(theirs, name));
        if a != b {
            return Some(format!("{name} {a:?} and {b:?}"));
        }
    }
    let json = |answer: &Answer| serde_json::from_slice::<Value>(&answer.body).ok();
    match (json(ours), json(theirs)) {
        (Some(mut a), Some(b)) => match compare {
            Keys => keys_differ(&a, &b, "$"),
            More(keys) => {
                let n_removed = without(&mut a, keys);
                let missing = (n_removed < keys.len()).then(|| format!("{keys:?} are not there"));
                missing.or_else(|| keys_differ(&a, &b, "$"))
            }
            _ => (!same(&a, &b)).then(|| format!("{} and {}", shown(ours), shown(theirs))),
        },
        _ => (ours.body != theirs.body).then(|| format!("{} and {}", shown(ours), shown(theirs))),
    }
}

/// Removes keys at any depth, `a.b` only below `a`; returns how many there were.
fn without(value: &mut Value, keys: &[&str]) -> usize {
    match value {
        Value::Object(map) => {
            let remove = |key: &&str| match key.split_once('.') {
                Some((above, key)) => map.get_mut(above).map_or(0, |v| without(v, &[key])),
                None => usize::from(map.remove(*key).is_some()),
            };
            let found: usize = keys.iter().map(remove).sum();
            found
                + map
                    .values_mut()
                    .map(|value| without(value, keys))
                    .sum::<usize>()
        }
        Value::Array(items) => items.iter_mut().map(|item| without(item, keys)).sum(),
        _ => 0,
    }
}

/// Compares values. Floats may differ in their last digits, since 3.0 sums otherwise.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let has = |(key, a): (&String, &Value)| b.get(key).is_some_and(|b| same(a, b));
            a.len() == b.len() && a.iter().all(has)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::String(x), Value::String(y)) => match (x.parse::<f64>(), y.parse::<f64>()) {
            (Ok(x), Ok(y)) => x == y || (x - y).abs() <= 1e-9 * x.abs().max(y.abs()),
            _ => x == y,
        },
        _ => a == b,
    }
}

fn header(answer: &Answer, name: &str) -> Option<String> {
    let value = answer.header(name)?.to_lowercase();
    Some(value.replace(' ', ""))
}

fn shown(answer: &Answer) -> String {
    let text: String = answer.text().chars().take(300).collect();
    format!("{} {text:?}", answer.status)
}

/// Compares keys and types; of lists the first items.
fn keys_differ(a: &Value, b: &Value, path: &str) -> Option<String> {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = |map: &serde_json::Map<String, Value>| -> BTreeSet<String> {
                map.keys().cloned().collect()
            };
            let (of_a, of_b) = (keys(a), keys(b));
            if of_a != of_b {
                let ours: Vec<_> = of_a.difference(&of_b).collect();
                let theirs: Vec<_> = of_b.difference(&of_a).collect();
                return Some(format!(
                    "{path}: only ours {ours:?}, only theirs {theirs:?}"
                ));
            }
            a.iter()
                .find_map(|(key, value)| keys_differ(value, &b[key], &format!("{path}.{key}")))
        }
        (Value::Array(a), Value::Array(b)) => match (a.first(), b.first()) {
            (Some(a), Some(b)) => keys_differ(a, b, &format!("{path}[0]")),
            (None, None) => None,
            _ => Some(format!("{path}: {} and {} items", a.len(), b.len())),
        },
        _ => {
            let same = std::mem::discriminant(a) == std::mem::discriminant(b);
            (!same).then(|| format!("{path}: {a} and {b}"))
        }
    }
}
