//! What is asked, in the language of each system.

use super::lines::{LineKind, START_NS, STEP_NS, trace_id};

/// A query over all that was pushed.
pub(super) struct Asked {
    /// How the table calls it.
    pub(super) text: &'static str,
    pub(super) logql: String,
    /// The same for VictoriaLogs, where it has one.
    pub(super) logsql: Option<String>,
    /// Whether it counts, a minute a step.
    pub(super) counts: bool,
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
        start_ns,
        end_ns,
    };
    let trace = trace_id(lines / 3);
    let mut all = vec![
        asked(
            "a needle that is not there",
            r#"{env="prod"} |= "no-such-needle-4711""#,
            Some(r#"{env="prod"} "no-such-needle-4711""#),
            false,
        ),
        asked(
            "count of all, by the minute",
            r#"sum(count_over_time({env="prod"}[1m]))"#,
            Some(r#"{env="prod"} | stats count() as n"#),
            true,
        ),
    ];
    if matches!(kind, LineKind::Json | LineKind::Logfmt) {
        all.push(asked(
            "a trace id in all streams",
            &format!(r#"{{env="prod"}} |= "{trace}""#),
            Some(&format!(r#"{{env="prod"}} "{trace}""#)),
            false,
        ));
    }
    if kind != LineKind::Nginx {
        all.push(asked(
            "count of lines with ERROR by app",
            r#"sum by (app)(count_over_time({env="prod"} |= "ERROR" [1m]))"#,
            Some(r#"{env="prod"} level:ERROR | stats by (app) count() as n"#)
                .filter(|_| kind == LineKind::Json),
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
            None,
            false,
        )),
        LineKind::Nginx => all.push(asked(
            "a filter on a pattern",
            r#"{app="analytics"} | pattern `<_> "<method> <path> <_>" <status> <_>` | status >= 500"#,
            None,
            false,
        )),
        LineKind::Plain => {}
    }
    all
}
