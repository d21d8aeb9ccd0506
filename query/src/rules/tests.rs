//! Groups over series in memory: what is stored, what is sent, what comes back.

use std::cell::Cell;

use kymo_storage::metrics::SeriesRef;
use kymo_storage::model::{Labels, LabelsBuilder};
use parking_lot::Mutex;

use super::*;
use crate::promql::{Features, PointValue, QueryOptions, Value, parse_expr, parse_metric};
use crate::{Cancel, Engine, EngineOptions};

const STEP_S: i64 = 10;
const NS: i64 = 1_000_000_000;

/// Data, what was sent, and a clock that tests move.
struct Bench {
    data: MemoryRules,
    sent: Mutex<Vec<(i64, Alert)>>,
    now_s: Cell<i64>,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            data: MemoryRules::default(),
            sent: Mutex::default(),
            now_s: Cell::new(0),
        }
    }

    fn set(&self, series: &str, value: f64) {
        let labels = parse_metric(series).unwrap();
        let t_ms = self.now_s.get() * 1_000;
        self.data.series.write().push(&labels, t_ms, value);
    }

    fn evaluate(&self, group: &Group) -> Vec<Result<usize, RuleError>> {
        let now_s = self.now_s.get();
        let (engine, cancel) = (Engine::new(EngineOptions::default()), Cancel::new());
        let evaluation = Evaluation {
            engine: &engine,
            source: &self.data,
            logs: None,
            cancel: &cancel,
            at_ns: now_s * NS,
        };
        let collector = Collector {
            data: &self.data,
            sent: &self.sent,
            now_s,
        };
        group.evaluate(&evaluation, &collector)
    }

    fn step(&self) {
        self.now_s.set(self.now_s.get() + STEP_S);
    }

    /// Returns the live series of a selector as `labels value`, sorted.
    fn live(&self, query: &str) -> Vec<String> {
        let engine = Engine::new(EngineOptions::default());
        let t_ms = self.now_s.get() * 1_000;
        let (options, cancel) = (QueryOptions::default(), Cancel::new());
        let result = engine.instant(&self.data, query, t_ms, &options, &cancel);
        let Value::Vector(samples) = result.unwrap().value else {
            panic!("a vector expected");
        };
        let mut live: Vec<String> = samples
            .iter()
            .map(|sample| {
                let PointValue::Float(value) = sample.value else {
                    panic!("a number expected");
                };
                let labels = &sample.labels;
                let rest = LabelsBuilder::from_labels(labels)
                    .remove("__name__")
                    .labels();
                let rest = match rest.is_empty() {
                    true => String::new(),
                    false => rest.to_string(),
                };
                format!("{}{rest} {value}", labels.metric_name())
            })
            .collect();
        live.sort();
        live
    }
}

/// What a group writes to in these tests.
struct Collector<'a> {
    data: &'a MemoryRules,
    sent: &'a Mutex<Vec<(i64, Alert)>>,
    now_s: i64,
}

impl RuleSink for Collector<'_> {
    fn begin<'s>(&'s self, rule: Option<&'s Rule>) -> Box<dyn RuleWriter + 's> {
        self.data.begin(rule)
    }

    fn send(&self, _rule: &Rule, alerts: Vec<Alert>) {
        let sent = alerts.into_iter().map(|alert| (self.now_s, alert));
        self.sent.lock().extend(sent);
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Pairs {
    let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    pairs.iter().map(owned).collect()
}

fn rule(name: &str, expr: &str, labels: &[(&str, &str)], kind: RuleKind) -> RuleDefinition {
    RuleDefinition {
        name: name.to_owned(),
        expr: parse_expr(expr, &Features::default()).unwrap().into(),
        labels: pairs(labels),
        kind,
    }
}

fn record(name: &str, expr: &str) -> RuleDefinition {
    rule(name, expr, &[], RuleKind::Recording)
}

fn alert(name: &str, expr: &str, for_s: i64, keep_s: i64) -> RuleDefinition {
    let settings = AlertSettings {
        for_ms: for_s * 1_000,
        keep_firing_for_ms: keep_s * 1_000,
        annotations: Vec::new(),
    };
    rule(name, expr, &[], RuleKind::Alerting(settings))
}

fn definition(rules: Vec<RuleDefinition>) -> GroupDefinition {
    GroupDefinition {
        name: "g".to_owned(),
        language: Language::PromQl,
        interval_ms: Some(STEP_S * 1_000),
        query_offset_ms: None,
        limit: 0,
        labels: Vec::new(),
        rules,
    }
}

fn group(rules: Vec<RuleDefinition>) -> Group {
    let settings = GroupSettings {
        resend_delay_ms: 30_000,
        ..GroupSettings::default()
    };
    Group::new("f.yml", definition(rules), &settings, Restore::Nothing)
}

/// `p` pending, `F` firing, `.` nothing; the series must agree with the alerts.
fn state(bench: &Bench, rule: &Rule) -> char {
    let alerts = rule.active_alerts();
    let series = bench.live("ALERTS");
    let since = bench.live("ALERTS_FOR_STATE");
    assert_eq!((series.len(), since.len()), (alerts.len(), alerts.len()));
    let Some(alert) = alerts.first() else {
        assert_eq!(rule.state(), AlertState::Inactive);
        return '.';
    };
    let word = alert.state.as_str();
    assert!(
        series[0].contains(&format!("alertstate=\"{word}\"")),
        "{series:?}"
    );
    assert!(
        since[0].ends_with(&format!(" {}", alert.active_at_ns / NS)),
        "{since:?}"
    );
    assert_eq!(rule.state(), alert.state);
    match alert.state {
        AlertState::Pending => 'p',
        AlertState::Firing => 'F',
        AlertState::Inactive => panic!("an inactive alert is not active"),
    }
}

#[test]
fn an_alert_goes_from_pending_to_firing_to_resolved() {
    let cases = [
        // for, keep_firing_for, the series at each step, the state after it
        (0, 0, "1011", "F.FF"),
        (20, 0, "11110011", "ppFF..pp"),
        (20, 0, "1101110", "pp.ppF."),
        (20, 20, "11100010", "ppFFF.p."),
        (20, 20, "111011001", "ppFFFFFFF"),
        (0, 30, "10000", "FFFF."),
        (1_000, 20, "1100", "pp.."),
    ];
    for (for_s, keep_s, input, expected) in cases {
        let bench = Bench::new();
        let group = group(vec![alert("A", "x > 0", for_s, keep_s)]);
        let states: String = input
            .chars()
            .map(|found| {
                bench.set("x{job=\"a\"}", f64::from(u8::from(found == '1')));
                assert!(matches!(bench.evaluate(&group)[..], [Ok(_)]));
                let state = state(&bench, &group.rules()[0]);
                bench.step();
                state
            })
            .collect();
        assert_eq!(states, expected, "for {for_s} s, keep {keep_s} s, {input}");
    }
}

#[test]
fn alerts_are_sent_at_once_again_after_the_delay_and_when_they_end() {
    let bench = Bench::new();
    let group = group(vec![alert("A", "x > 0", 10, 0)]);
    for step in 0..=110 {
        bench.set("x", f64::from(u8::from((2..=8).contains(&step))));
        bench.evaluate(&group);
        bench.step();
    }
    let sent: Vec<(i64, &str, i64)> = {
        let sent = bench.sent.lock();
        let line = |(at_s, alert): &(i64, Alert)| {
            (
                *at_s,
                alert.state.as_str(),
                alert.ends_at_ns().unwrap() / NS - at_s,
            )
        };
        sent.iter().map(line).collect()
    };
    // Firing at 30 s. The delay has to be over, so that 40 s lie between sendings. It
    // ends at 90 s and is repeated for a quarter of an hour.
    let resolved: Vec<(i64, &str, i64)> = (0..=22)
        .map(|n| (90 + 40 * n, "inactive", -40 * n))
        .collect();
    assert_eq!(sent[..2], [(30, "firing", 120), (70, "firing", 120)]);
    assert_eq!(sent[2..], resolved[..]);
    let first = &bench.sent.lock()[0].1;
    assert_eq!(
        (first.active_at_ns, first.fired_at_ns),
        (20 * NS, Some(30 * NS))
    );
    assert!(group.rules()[0].active_alerts().is_empty());
}

#[test]
fn labels_and_annotations_of_alerts_come_from_the_result_and_the_rule() {
    let bench = Bench::new();
    let mut definition = definition(vec![rule(
        "A",
        "x > 0",
        &[("job", ""), ("severity", "page"), ("alertname", "ignored")],
        RuleKind::Alerting(AlertSettings {
            annotations: pairs(&[("empty", ""), ("plain", "text }}")]),
            ..AlertSettings::default()
        }),
    )]);
    definition.labels = pairs(&[("team", "a"), ("severity", "info")]);
    let group = Group::new("f", definition, &GroupSettings::default(), Restore::Nothing);
    bench.set("x{job=\"a\", zone=\"z\"}", 1.5);
    bench.evaluate(&group);
    let alerts = group.rules()[0].active_alerts();
    assert_eq!(
        alerts[0].labels.to_string(),
        "{alertname=\"A\", severity=\"page\", team=\"a\", zone=\"z\"}"
    );
    assert_eq!(
        *alerts[0].annotations,
        pairs(&[("empty", ""), ("plain", "text }}")])
    );
    assert_eq!(alerts[0].value, 1.5);
    assert_eq!(
        bench.live("ALERTS"),
        [
            "ALERTS{alertname=\"A\", alertstate=\"firing\", severity=\"page\", team=\"a\", zone=\"z\"} 1"
        ]
    );
}

#[test]
fn texts_of_alerts_are_templates_and_a_failure_stands_in_its_place() {
    let bench = Bench::new();
    let mut definition = definition(vec![rule(
        "A",
        "x > 0",
        &[
            ("zone", "{{ $labels.zone | toUpper }}"),
            ("none", "{{ $labels.none }}"),
        ],
        RuleKind::Alerting(AlertSettings {
            annotations: pairs(&[
                (
                    "asked",
                    "{{ with query `y` }}{{ . | first | value }}{{ end }}",
                ),
                (
                    "from",
                    "{{ $externalLabels.cluster }} {{ $externalURL }} {{ pathPrefix }}",
                ),
                ("text", "{{ $labels.__name__ }} is {{ $value | humanize }}"),
                ("wrong", "{{ query `up{` }}"),
            ]),
            ..AlertSettings::default()
        }),
    )]);
    definition.labels = pairs(&[("team", "a")]);
    let settings = GroupSettings {
        external_labels: Labels::from_pairs([("cluster", "c")]),
        external_url: "http://kymo.test/k".to_owned(),
        path_prefix: "/k".to_owned(),
        ..GroupSettings::default()
    };
    let group = Group::new("f", definition, &settings, Restore::Nothing);
    bench.set("x{zone=\"z\"}", 1_500.0);
    bench.set("y", 7.0);
    bench.evaluate(&group);
    let alerts = group.rules()[0].active_alerts();
    let labels = "{alertname=\"A\", team=\"a\", zone=\"Z\"}";
    assert_eq!(alerts[0].labels.to_string(), labels);
    let texts: Vec<&str> = alerts[0]
        .annotations
        .iter()
        .map(|(_, text)| text.as_str())
        .collect();
    assert_eq!(texts[..3], ["7", "c http://kymo.test/k /k", "x is 1.5k"]);
    let start = "<error expanding template: error executing template __alert_A: template: \
                 __alert_A:1:";
    let end = "executing \"__alert_A\" at <query `up{`>: error calling query: 1:4: parse error: \
               unexpected end of input inside braces>";
    assert!(
        texts[3].starts_with(start) && texts[3].ends_with(end),
        "{}",
        texts[3]
    );
    // As in Prometheus, the series begin with the labels as written.
    assert_eq!(
        bench.live("ALERTS"),
        [
            "ALERTS{alertname=\"A\", alertstate=\"firing\", none=\"{{ $labels.none }}\", \
          team=\"a\", zone=\"Z\"} 1"
        ]
    );
}

#[test]
fn alerts_that_become_one_are_an_error_that_keeps_the_state() {
    let bench = Bench::new();
    let group = group(vec![rule(
        "A",
        "x > 0",
        &[("job", "")],
        RuleKind::Alerting(AlertSettings::default()),
    )]);
    bench.set("x{job=\"a\"}", 1.0);
    bench.evaluate(&group);
    bench.step();
    bench.set("x{job=\"a\"}", 1.0);
    bench.set("x{job=\"b\"}", 1.0);
    let outcome = bench.evaluate(&group).remove(0);
    assert!(matches!(outcome, Err(RuleError::DuplicateAlerts)));
    let rule = &group.rules()[0];
    assert_eq!(rule.active_alerts().len(), 1);
    let status = rule.status();
    assert_eq!(status.health, Health::Bad);
    assert_eq!(
        status.last_error.as_deref(),
        Some("vector contains metrics with the same labelset after applying alert labels")
    );
}

#[test]
fn a_limit_forgets_all_alerts_and_stores_no_series() {
    let bench = Bench::new();
    let mut definition = definition(vec![alert("A", "x > 0", 0, 0), record("r", "x")]);
    definition.limit = 1;
    let group = Group::new("f", definition, &GroupSettings::default(), Restore::Nothing);
    bench.set("x{job=\"a\"}", 1.0);
    assert!(bench.evaluate(&group).iter().all(Result::is_ok));
    assert_eq!((bench.live("ALERTS").len(), bench.live("r").len()), (1, 1));
    bench.step();
    bench.set("x{job=\"b\"}", 1.0);
    let errors: Vec<String> = bench
        .evaluate(&group)
        .into_iter()
        .map(|outcome| outcome.unwrap_err().to_string())
        .collect();
    assert_eq!(
        errors,
        [
            "exceeded limit of 1 with 2 alerts",
            "exceeded limit of 1 with 2 series"
        ]
    );
    assert!(group.rules()[0].active_alerts().is_empty());
    bench.step();
    bench.set("x{job=\"b\"}", 0.0);
    bench.set(
        "x{job=\"a\"}",
        f64::from_bits(kymo_storage::model::STALE_NAN_BITS),
    );
    assert!(bench.evaluate(&group).iter().all(Result::is_ok));
    assert!(bench.live("ALERTS").is_empty());
    assert_eq!(bench.live("r"), ["r{job=\"b\"} 0"]);
}

#[test]
fn recorded_series_have_the_rules_labels_and_end_with_their_cause() {
    let bench = Bench::new();
    let group = group(vec![
        rule(
            "r",
            "x",
            &[("zone", ""), ("kind", "sum")],
            RuleKind::Recording,
        ),
        record("s", "1 + 1"),
        record("t", "sum(r) * s"),
    ]);
    bench.set("x{job=\"a\", zone=\"z\"}", 1.0);
    bench.set("x{job=\"b\"}", 2.0);
    assert!(bench.evaluate(&group).iter().all(Result::is_ok));
    assert_eq!(
        bench.live("{__name__=~\"[rst]\"}"),
        [
            "r{job=\"a\", kind=\"sum\"} 1",
            "r{job=\"b\", kind=\"sum\"} 2",
            "s 2",
            "t 6"
        ]
    );
    bench.step();
    bench.set(
        "x{job=\"a\", zone=\"z\"}",
        f64::from_bits(kymo_storage::model::STALE_NAN_BITS),
    );
    bench.set("x{job=\"c\"}", 3.0);
    bench.evaluate(&group);
    assert_eq!(
        bench.live("{__name__=~\"[rst]\"}"),
        [
            "r{job=\"b\", kind=\"sum\"} 2",
            "r{job=\"c\", kind=\"sum\"} 3",
            "s 2",
            "t 10"
        ]
    );
}

#[test]
fn a_rule_that_fails_does_not_stop_the_others() {
    let bench = Bench::new();
    let group = group(vec![
        rule("r", "x", &[("job", "")], RuleKind::Recording),
        record("text", "\"text\""),
        record("fine", "vector(1)"),
    ]);
    bench.set("x{job=\"a\"}", 1.0);
    bench.set("x{job=\"b\"}", 2.0);
    let outcomes = bench.evaluate(&group);
    let texts: Vec<String> = outcomes
        .iter()
        .map(|outcome| {
            outcome
                .as_ref()
                .map_or_else(ToString::to_string, ToString::to_string)
        })
        .collect();
    assert_eq!(
        texts,
        [
            "vector contains metrics with the same labelset after applying rule labels",
            "rule result is not a vector or scalar",
            "1",
        ]
    );
    let health: Vec<Health> = group
        .rules()
        .iter()
        .map(|rule| rule.status().health)
        .collect();
    assert_eq!(health, [Health::Bad, Health::Bad, Health::Good]);
    assert_eq!(bench.live("{__name__=~\"r|fine\"}"), ["fine 1"]);
}

#[test]
fn an_offset_moves_queries_and_results() {
    let bench = Bench::new();
    let mut definition = definition(vec![record("r", "x"), alert("A", "x == 1", 0, 0)]);
    definition.query_offset_ms = Some(10_000);
    let group = Group::new("f", definition, &GroupSettings::default(), Restore::Nothing);
    bench.set("x", 1.0);
    bench.step();
    bench.set("x", 2.0);
    bench.evaluate(&group);
    // Both are stored at the time before.
    bench.now_s.set(0);
    assert_eq!(bench.live("timestamp(r) or r"), [" 0"]);
    assert_eq!(bench.live("r"), ["r 1"]);
    assert_eq!(bench.live("ALERTS").len(), 1);
    let alert = &group.rules()[1].active_alerts()[0];
    assert_eq!(alert.active_at_ns, STEP_S * NS);
}

#[test]
fn a_new_version_of_a_group_keeps_what_is_still_there() {
    let bench = Bench::new();
    let old = group(vec![
        record("gone", "x"),
        record("kept", "x"),
        alert("A", "x > 0", 10, 0),
    ]);
    for _ in 0..2 {
        bench.set("x", 1.0);
        bench.evaluate(&old);
        bench.step();
    }
    let new = group(vec![alert("A", "x >= 1", 20, 0), record("kept", "x * 2")]);
    new.copy_from(&old);
    // The alert fired after 10 s, but is to wait for 20 s now, of which 20 s are over.
    bench.set("x", 1.0);
    bench.evaluate(&new);
    assert_eq!(state(&bench, &new.rules()[0]), 'F');
    assert_eq!(new.rules()[0].active_alerts()[0].active_at_ns, 0);
    assert_eq!(bench.live("kept"), ["kept 2"]);
    assert!(bench.live("gone").is_empty());

    bench.step();
    new.abandon();
    let orphan_sink = Collector {
        data: &bench.data,
        sent: &bench.sent,
        now_s: bench.now_s.get(),
    };
    new.end_orphans(bench.now_s.get() * NS, &orphan_sink)
        .unwrap();
    assert!(bench.live("{__name__=~\"kept|ALERTS.*\"}").is_empty());
}

#[test]
fn a_firing_alert_waits_again_when_its_rule_asks_for_more_patience() {
    let bench = Bench::new();
    let old = group(vec![alert("A", "x > 0", 0, 0)]);
    bench.set("x", 1.0);
    bench.evaluate(&old);
    bench.step();
    let new = group(vec![alert("A", "x > 0", 20, 0)]);
    new.copy_from(&old);
    let mut states = String::new();
    for _ in 0..3 {
        bench.set("x", 1.0);
        bench.evaluate(&new);
        states.push(state(&bench, &new.rules()[0]));
        bench.step();
    }
    assert_eq!(states, "pFF");
    let sent: Vec<i64> = bench.sent.lock().iter().map(|(at_s, _)| *at_s).collect();
    assert_eq!(sent, [0, 20], "sent again as if it had never fired");
}

/// Runs a rule until `down_min`, and another process from `up_min` on.
fn restarted(for_min: i64, steps: &str, down_min: i64, up_min: i64) -> (Bench, Group) {
    let bench = Bench::new();
    let rules = || vec![alert("A", "x > 0", for_min * 60, 0)];
    let first = group(rules());
    for (minute, found) in (0..=down_min).zip(steps.chars().cycle()) {
        bench.now_s.set(minute * 60);
        bench.set("x", f64::from(u8::from(found == '1')));
        bench.evaluate(&first);
    }
    let settings = GroupSettings::default();
    let second = Group::new("f.yml", definition(rules()), &settings, Restore::Later);
    for minute in [up_min, up_min + 1] {
        bench.now_s.set(minute * 60);
        bench.set("x", 1.0);
        bench.evaluate(&second);
        assert_eq!(
            bench.data.series.read().len(),
            if down_min >= for_min { 4 } else { 3 },
            "nothing is written before it is restored"
        );
    }
    let options = RestoreOptions {
        outage_tolerance_ms: 3_600_000,
        grace_period_ms: 600_000,
    };
    let now_ns = bench.now_s.get() * NS;
    assert!(second.restore(&bench.data, now_ns, &options).is_empty());
    (bench, second)
}

#[test]
fn alerts_go_on_after_a_restart_where_they_were() {
    let cases = [
        // for, input, down and up at minute; active since; fires at minute
        ("waiting: the outage does not count", 30, "1", 10, 14, 5, 35),
        (
            "nearly firing: the grace period is kept",
            30,
            "1",
            25,
            29,
            10,
            40,
        ),
        ("firing: it fires again", 20, "1", 25, 29, 0, 31),
        (
            "away for too long: it begins anew",
            30,
            "1",
            10,
            90,
            90,
            120,
        ),
        ("over before: it begins anew", 30, "110", 8, 10, 10, 40),
        ("waits for little: it begins anew", 5, "1", 4, 6, 6, 11),
    ];
    for (what, for_min, input, down, up, active_min, fires_min) in cases {
        let (bench, group) = restarted(for_min, input, down, up);
        let rule = &group.rules()[0];
        assert!(rule.is_restored());
        let alert = &rule.active_alerts()[0];
        assert_eq!(alert.active_at_ns / NS / 60, active_min, "{what}");
        let mut minute = up + 1;
        while rule.state() != AlertState::Firing {
            minute += 1;
            assert!(minute < 200, "{what}: it never fires");
            bench.now_s.set(minute * 60);
            bench.set("x", 1.0);
            bench.evaluate(&group);
            assert_eq!(bench.live("ALERTS_FOR_STATE").len(), 1, "{what}");
        }
        assert_eq!(minute, fires_min, "{what}");
    }
}

/// A writer that refuses some series.
struct Picky<'a>(&'a MemoryRules);

struct PickyWriter<'a>(Box<dyn RuleWriter + 'a>);

impl RuleSink for Picky<'_> {
    fn begin<'s>(&'s self, rule: Option<&'s Rule>) -> Box<dyn RuleWriter + 's> {
        Box::new(PickyWriter(self.0.begin(rule)))
    }
}

impl RuleWriter for PickyWriter<'_> {
    fn append(
        &mut self,
        series: &mut Option<SeriesRef>,
        labels: &Labels,
        t_ms: i64,
        value: &PointValue,
    ) -> Result<(), String> {
        if labels.get("job") == Some("bad") {
            return Err("out of order sample".to_owned());
        }
        self.0.append(series, labels, t_ms, value)
    }

    fn end(&mut self, labels: &Labels, t_ms: i64) {
        self.0.end(labels, t_ms);
    }

    fn commit(self: Box<Self>) -> Result<(), String> {
        self.0.commit()
    }
}

#[test]
fn samples_that_are_not_stored_make_a_rule_bad_and_others_are_kept() {
    let bench = Bench::new();
    let group = group(vec![record("r", "x")]);
    bench.set("x{job=\"bad\"}", 1.0);
    bench.set("x{job=\"good\"}", 1.0);
    let (engine, cancel) = (Engine::new(EngineOptions::default()), Cancel::new());
    let evaluation = Evaluation {
        engine: &engine,
        source: &bench.data,
        logs: None,
        cancel: &cancel,
        at_ns: 0,
    };
    let outcomes = group.evaluate(&evaluation, &Picky(&bench.data));
    assert!(matches!(outcomes[..], [Ok(2)]));
    let status = group.rules()[0].status();
    assert_eq!(status.health, Health::Bad);
    assert_eq!(status.last_error.as_deref(), Some("out of order sample"));
    assert_eq!(bench.live("r"), ["r{job=\"good\"} 1"]);
}
