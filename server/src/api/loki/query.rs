//! Evaluating queries: `query` and `query_range`.

use std::sync::Arc;

use axum::response::Response;
use http::HeaderMap;
use kymo_query::Cancel;
use kymo_query::logql::ast::Expr;
use kymo_query::logql::{
    Direction, LogQlError, LogQueryOptions, LogRangeQuery, LogResult, LogStats, parse,
    parse_instant,
};
use kymo_query::rules::Language;

use super::error::{LokiError, LokiResult};
use super::limits::{check_entries, check_span, check_windows};
use super::params::{
    Bounds, check_decoded, interval, is_forward, limit, ordered_bounds, step, time_or,
};
use super::result::{EncodingFlags, Form, respond};
use super::stats::{self, Cost};
use crate::api::call::Call;
use crate::app::{App, Core};
use crate::clock;
use crate::work::queries::Done;
use crate::work::query_log::{Logged, Origin};

const NS_PER_MS: i64 = 1_000_000;
/// What Grafana's page of logs says of itself; it wants a part rather than an error.
const DRILLDOWN: &str = "Source=grafana-lokiexplore-app";

impl From<LogQlError> for LokiError {
    fn from(error: LogQlError) -> LokiError {
        let text = error.to_string();
        match error {
            LogQlError::Matching(_) | LogQlError::Unevaluable(_) | LogQlError::Storage(_) => {
                LokiError::internal(text)
            }
            LogQlError::Timeout(_) => LokiError::timeout(),
            LogQlError::Canceled(_) => LokiError::canceled(text),
            LogQlError::NoMemory => LokiError::no_memory(),
            LogQlError::TooMuchMemory { .. } => {
                LokiError::bad(format!("{text}, or raise --memory.limit"))
            }
            _ => LokiError::bad(text),
        }
    }
}

/// `/loki/api/v1/query_range`: entries, or numbers at many times.
pub(crate) async fn range(headers: HeaderMap, call: Call) -> LokiResult {
    let asked = Asked::range(&call, &headers)?;
    answer(&call, asked).await
}

/// `/loki/api/v1/query`: numbers at one time.
pub(crate) async fn instant(headers: HeaderMap, call: Call) -> LokiResult {
    let params = &call.params;
    check_decoded(params)?;
    check_form(&headers)?;
    limit(params)?;
    let t_ns = time_or(params, "time", clock::now_ns()).map_err(LokiError::bad)?;
    is_forward(params)?;
    let expr = parse_instant(params.get("query"))?;
    check_windows(&call.app.flags.log_queries, &expr)?;
    let asked = Asked::new(&call, &headers, expr, When::Instant(t_ns));
    answer(&call, asked).await
}

/// When a query is evaluated.
#[derive(Debug, Clone, Copy)]
enum When {
    Instant(i64),
    Range(LogRangeQuery),
}

/// A query with its parameters checked.
#[derive(Debug)]
pub(super) struct Asked {
    text: String,
    pub(super) expr: Expr,
    when: When,
    options: LogQueryOptions,
    flags: EncodingFlags,
}

impl Asked {
    fn new(call: &Call, headers: &HeaderMap, expr: Expr, when: When) -> Asked {
        let expr = expr.with_rounded_sizes();
        let mut tags = headers.get_all("x-query-tags").iter();
        let flags = EncodingFlags::of(headers);
        let partial = tags.any(|tags| tags.to_str().is_ok_and(|tags| tags.contains(DRILLDOWN)));
        Asked {
            text: call.params.get("query").to_owned(),
            expr,
            when,
            options: LogQueryOptions {
                now_ns: clock::now_ns(),
                max_series: 0,
                partial_series: partial,
                categorize_labels: flags.categorize(),
            },
            flags,
        }
    }

    /// Reads the parameters of a query over a range.
    pub(super) fn range(call: &Call, headers: &HeaderMap) -> Result<Asked, LokiError> {
        let expr = || parse(call.params.get("query")).map_err(LokiError::from);
        Asked::range_of(call, headers, expr)
    }

    /// The same for a query that is read in another way.
    pub(super) fn range_of(
        call: &Call,
        headers: &HeaderMap,
        expr: impl FnOnce() -> Result<Expr, LokiError>,
    ) -> Result<Asked, LokiError> {
        let (params, flags) = (&call.params, &call.app.flags.log_queries);
        check_form(headers)?;
        let now_ns = clock::now_ns();
        let bounds = ordered_bounds(params, now_ns)?;
        let limit = limit(params)?;
        let direction = match is_forward(params)? {
            true => Direction::Forward,
            false => Direction::Backward,
        };
        let step_ns = step(params, bounds)?;
        let interval_ns = interval(params)?;
        let expr = expr()?;
        if matches!(expr, Expr::Log(_)) {
            check_entries(flags, limit)?;
        }
        check_windows(flags, &expr)?;
        let bounds = check_span(flags, bounds, now_ns)?;
        let (Bounds { start_ns, end_ns }, step_ns) = on_steps(&expr, bounds, step_ns);
        let query = LogRangeQuery {
            start_ns,
            end_ns,
            step_ns,
            interval_ns,
            limit: limit as usize,
            direction,
        };
        Ok(Asked::new(call, headers, expr, When::Range(query)))
    }

    /// The newest, or oldest, entries of a range.
    pub(super) fn entries(text: &str, expr: Expr, query: LogRangeQuery, categorize: bool) -> Asked {
        Asked {
            text: text.to_owned(),
            expr: expr.with_rounded_sizes(),
            when: When::Range(query),
            options: LogQueryOptions {
                now_ns: clock::now_ns(),
                max_series: 0,
                partial_series: false,
                categorize_labels: categorize,
            },
            flags: EncodingFlags::default(),
        }
    }

    fn run(&self, core: &Core, cancel: &Cancel) -> Result<LogResult, LogQlError> {
        let (engine, logs) = (&core.log_engine, &*core.logs);
        match &self.when {
            When::Instant(t_ns) => engine.instant(logs, &self.expr, *t_ns, &self.options, cancel),
            When::Range(query) => engine.range(logs, &self.expr, query, &self.options, cancel),
        }
    }

    fn logged(&self, origin: Origin, error: Option<String>, cost: &Cost) -> Logged {
        let (start_ns, end_ns, step_ns) = match &self.when {
            When::Instant(t_ns) => (*t_ns, *t_ns, 0),
            When::Range(query) => (query.start_ns, query.end_ns, query.step_ns),
        };
        let mut stats = Vec::new();
        stats::push(&mut stats, cost);
        Logged {
            language: Language::LogQl,
            query: self.text.clone(),
            start_ms: start_ns.div_euclid(NS_PER_MS),
            end_ms: end_ns.div_euclid(NS_PER_MS),
            step_ms: step_ns / NS_PER_MS,
            error,
            stats,
            origin,
        }
    }
}

async fn answer(call: &Call, asked: Asked) -> Result<Response, LokiError> {
    let flags = asked.flags.clone();
    let (result, cost) = run(call, asked).await?;
    let mut form = Form {
        flags,
        warnings: result.warnings,
        stats: Vec::new(),
        memory: Some(result.memory),
    };
    stats::push(&mut form.stats, &cost);
    Ok(respond(result.value, form))
}

/// Moves the range of a query for numbers to multiples of its step, which is a whole number
/// of milliseconds: so the same query, asked again a little later, has the same times.
fn on_steps(expr: &Expr, bounds: Bounds, step_ns: i64) -> (Bounds, i64) {
    let step_ns = match step_ns / NS_PER_MS * NS_PER_MS {
        0 => step_ns,
        whole => whole,
    };
    if matches!(expr, Expr::Log(_)) {
        return (bounds, step_ns);
    }
    let over = bounds.end_ns.rem_euclid(step_ns);
    let bounds = Bounds {
        start_ns: bounds
            .start_ns
            .saturating_sub(bounds.start_ns.rem_euclid(step_ns)),
        end_ns: match over {
            0 => bounds.end_ns,
            over => bounds.end_ns.saturating_add(step_ns - over),
        },
    };
    (bounds, step_ns)
}

/// Refuses to answer in a form that there is not, where it is asked for by name.
fn check_form(headers: &HeaderMap) -> Result<(), LokiError> {
    let accept = headers.get(http::header::ACCEPT);
    match accept.is_some_and(|accept| accept.as_bytes() == b"application/vnd.apache.parquet") {
        true => Err(LokiError::bad(
            "support for Parquet encoded responses is disabled. Ask for application/json",
        )),
        false => Ok(()),
    }
}

type Ran = Done<Result<LogResult, LogQlError>>;

/// Evaluates a query on the pool.
pub(super) async fn run(call: &Call, asked: Asked) -> Result<(LogResult, Cost), LokiError> {
    run_for(&call.app, call.core()?, call.origin.clone(), asked).await
}

/// The same for whoever has no call any more.
pub(super) async fn run_for(
    app: &Arc<App>,
    core: &Arc<Core>,
    origin: Origin,
    asked: Asked,
) -> Result<(LogResult, Cost), LokiError> {
    let timeout = app.flags.query.timeout;
    let asked = Arc::new(asked);
    let (running, core) = (Arc::clone(&asked), Arc::clone(core));
    let job = move |cancel: &Cancel| {
        let _entered = core.active_queries.enter(&running.text, clock::now_ms());
        match running.run(&core, cancel) {
            // What is kept is there to save work, not to be in its way.
            Err(LogQlError::NoMemory) if core.cache.give_way() => running.run(&core, cancel),
            outcome => outcome,
        }
    };
    let logging = Arc::clone(app);
    let then = move |done: &Ran| {
        if logging.query_log.is_on() {
            let error = done.result.as_ref().err().map(ToString::to_string);
            let logged = asked.logged(origin, error, &cost(done));
            logging.query_log.write(&logged, clock::now_ms());
        }
    };
    let done = app.queries.query(timeout, job, then).await?;
    let cost = cost(&done);
    let of_logs = &app.metrics.log_queries;
    of_logs.observe(cost.queued, cost.ran, cost.bytes, cost.lines);
    Ok((done.result?, cost))
}

fn cost(done: &Ran) -> Cost {
    // What a query that failed has read is not known.
    let stats = match &done.result {
        Ok(result) => result.stats,
        Err(_) => LogStats::default(),
    };
    Cost {
        queued: done.queued,
        ran: done.ran,
        bytes: stats.bytes,
        lines: stats.lines,
        kept_lines: stats.post_filter_lines,
        metadata_bytes: stats.metadata_bytes,
        returned: stats.entries,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_at_multiples_of_the_step() {
        let moved = |query: &str, (start_ns, end_ns), step_ns| {
            let bounds = Bounds { start_ns, end_ns };
            let (bounds, step_ns) = on_steps(&parse(query).unwrap(), bounds, step_ns);
            (bounds.start_ns, bounds.end_ns, step_ns)
        };
        let s = 1_000_000_000;
        let rate = r#"sum(rate({a="b"}[5m])) + 1"#;
        assert_eq!(moved(rate, (7 * s, 31 * s), 10 * s), (0, 40 * s, 10 * s));
        assert_eq!(
            moved(rate, (10 * s, 30 * s), 10 * s),
            (10 * s, 30 * s, 10 * s)
        );
        assert_eq!(moved(rate, (-s, s), 10 * s), (-10 * s, 10 * s, 10 * s));
        let most = i64::MAX;
        assert_eq!(moved(rate, (-most, most), 7 * s).1, most);
        // A step has whole milliseconds.
        assert_eq!(moved(rate, (0, s), 1_500_000), (0, s, 1_000_000));
        assert_eq!(moved(rate, (0, 7), 3), (0, 9, 3));
        assert_eq!(moved("vector(1)", (7 * s, 31 * s), 10 * s).0, 0);
        let entries = r#"{a="b"}"#;
        assert_eq!(moved(entries, (7, 31), 10 * s), (7, 31, 10 * s));
    }

    #[test]
    fn errors_have_the_status_of_their_kind() {
        let status = |error: LogQlError| LokiError::from(error).status.as_u16();
        assert_eq!(status(LogQlError::OnlyMatchers), 400);
        assert_eq!(status(LogQlError::InstantEntries), 400);
        assert_eq!(status(LogQlError::Matching("many".to_owned())), 500);
        assert_eq!(status(LogQlError::Timeout("a test")), 504);
        assert_eq!(status(LogQlError::Canceled("a test")), 499);
        assert_eq!(status(LogQlError::NoMemory), 503);
        let error = LokiError::from(LogQlError::TooMuchMemory { limit_bytes: 5 });
        assert_eq!(error.status, 400);
        assert!(error.text.ends_with("or raise --memory.limit"));
    }
}
