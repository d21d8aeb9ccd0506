//! What is asked, in the language of each system.

use super::lines::{LineKind, START_NS, STEP_NS, trace_id};

/// How the table calls the query that every line counts in.
pub(super) const ALL: &str = "count of all, by the minute";

/// A query over all that was pushed.
pub(super) struct Asked {
    /// How the table calls it.
    pub(super) text: &'static str,
    pub(super) logql: String,
    /// The same for VictoriaLogs, where it has one.
    pub(super) logsql: Option<String>,
    /// Whether it counts, a minute a step.
    pub(super) counts: bool,
    /// Whether the sum of the counts is the same in every system.
    pub(super) sums: bool,
    pub(super) start_ns: i64,
    pub(super) end_ns: i64,
}

/// Returns the queries that make sense for lines of a kind.
pub(super) fn of(kind: LineKind, lines: u64) -> Vec<Asked> {
    let (start_ns, end_ns) = (START_NS, START_NS + (lines as i64 + 1) * STEP_NS);
    let asked = |text, logql: &str, logsql: Option<&str>, counts| Asked {
        text,
        logql: logql.to_owned(),
        logsql: logsql.map(str::to_owned),
        counts,
        sums: counts && logql.starts_with("sum"),
        start_ns,
        end_ns,
    };
    // VictoriaLogs takes JSON apart when it is pushed and has no search over all fields: it
    // is asked for less, the one field where the text would be.
    let field = |name: &str, text: &str| match kind {
        LineKind::Json => format!(r#"{{env="prod"}} {name}:"{text}""#),
        _ => format!(r#"{{env="prod"}} "{text}""#),
    };
    let trace = trace_id(lines / 3);
    let mut all = vec![
        asked(
            "a needle that is not there",
            r#"{env="prod"} |= "no-such-needle-4711""#,
            Some(&field("msg", "no-such-needle-4711")),
            false,
        ),
        asked(
            ALL,
            r#"sum(count_over_time({env="prod"}[1m]))"#,
            Some(r#"{env="prod"} | stats count() as n"#),
            true,
        ),
    ];
    if matches!(kind, LineKind::Json | LineKind::Logfmt) {
        all.push(asked(
            "a trace id in all streams",
            &format!(r#"{{env="prod"}} |= "{trace}""#),
            Some(&field("trace_id", &trace)),
            false,
        ));
    }
    if kind != LineKind::Nginx {
        all.push(asked(
            "count of lines with ERROR by app",
            r#"sum by (app)(count_over_time({env="prod"} |= "ERROR" [1m]))"#,
            Some(&format!(
                "{} | stats by (app) count() as n",
                field("level", "ERROR")
            )),
            true,
        ));
    }
    match kind {
        LineKind::Json => {
            all.push(asked(
                "a filter on two fields",
                r#"{app="analytics"} | json | status >= 500 | duration_ms > 800"#,
                Some(r#"{app="analytics"} status:>=500 duration_ms:>800"#),
                false,
            ));
            all.push(asked(
                "a quantile of a field",
                r#"quantile_over_time(0.95, {app="billing"} | json | unwrap duration_ms [1m]) by (app)"#,
                Some(r#"{app="billing"} | stats by (app) quantile(0.95, duration_ms) as q"#),
                true,
            ));
        }
        LineKind::Logfmt => all.push(asked(
            "a filter on two fields",
            r#"{app="analytics"} | logfmt | status >= 500 | duration > 800ms"#,
            Some(
                r#"{app="analytics"} | unpack_logfmt fields (status, duration) | filter status:>=500 duration:>800ms"#,
            ),
            false,
        )),
        LineKind::Nginx => all.push(asked(
            "a filter on a pattern",
            r#"{app="analytics"} | pattern `<_> "<method> <path> <_>" <status> <_>` | status >= 500"#,
            Some(
                r#"{app="analytics"} | extract '"<method> <path> <_>" <status> <_>' | filter status:>=500"#,
            ),
            false,
        )),
        LineKind::Plain => {}
    }
    all
}
