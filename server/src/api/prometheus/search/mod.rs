//! Searching metric names, names of labels and their values: `/api/v1/search/*`.
//!
//! The answer is a text of JSON lines: batches of results, then a line that tells whether
//! there are more. It is off unless `--enable-feature=search-api` is given. An answer has
//! at most `--web.search.max-limit` results, so it is made whole.
//!
//! Upstream source: `web/api/v1/search.go` of Prometheus.

mod score;

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use kymo_storage::StorageError;
use kymo_storage::compat::quote::quote;
use kymo_storage::metrics::MetricStore;
use kymo_storage::model::{Matcher, TimeRange};
use serde::Serialize;

use super::bounds::{atoi, match_sets, parse_bool, time_value};
use crate::api::call::Call;
use crate::clock;
use crate::http::error::{ApiError, ErrorKind};
use crate::http::json::escape_html;
pub(super) use score::MEASURES;
use score::{Filter, Measure};

/// The feature that switches the calls on.
pub(super) const FEATURE: &str = "search-api";

const DEFAULT_LIMIT: usize = 100;
const DEFAULT_BATCH: usize = 100;
const MAX_TERMS: usize = 32;
/// How far back is searched where nothing is said.
const RANGE_MS: i64 = 3_600_000;

/// `/api/v1/search/metric_names`
pub(crate) async fn metric_names(call: Call) -> Result<Response, ApiError> {
    let search = Search::of(&call, "metric_names")?;
    let with_metadata = flag(&call, "include_metadata", false)?;
    let mut known = HashMap::new();
    if with_metadata {
        for target in call.core()?.scraping.metadata() {
            for family in target.families {
                known.entry(family.family.clone()).or_insert(family);
            }
        }
    }
    let found = search
        .run(&call, |store, sets, range| {
            store.label_values("__name__", sets, range, 0)
        })
        .await?;
    let results = search.limited(&found).iter().map(|found| {
        let mut result = NameResult {
            name: &found.value,
            score: search.shown(found),
            ..NameResult::default()
        };
        if let Some(family) = known.get(&found.value) {
            result.kind = family.kind.as_str();
            result.help = &family.help;
            result.unit = &family.unit;
        }
        result
    });
    search.respond(results.collect(), found.len())
}

/// `/api/v1/search/label_names`
pub(crate) async fn label_names(call: Call) -> Result<Response, ApiError> {
    let search = Search::of(&call, "label_names")?;
    let found = search
        .run(&call, |store, sets, range| {
            store.label_names(sets, range, 0)
        })
        .await?;
    let results = search.limited(&found).iter().map(|found| NameResult {
        name: &found.value,
        score: search.shown(found),
        ..NameResult::default()
    });
    search.respond(results.collect(), found.len())
}

/// `/api/v1/search/label_values`
pub(crate) async fn label_values(call: Call) -> Result<Response, ApiError> {
    let search = Search::of(&call, "label_values")?;
    let label = match call.params.get("label") {
        "" => {
            return Err(ApiError::bad_data("missing required parameter \"label\""));
        }
        label => label.to_owned(),
    };
    let found = search
        .run(&call, move |store, sets, range| {
            store.label_values(&label, sets, range, 0)
        })
        .await?;
    let results = search.limited(&found).iter().map(|found| ValueResult {
        value: &found.value,
        score: search.shown(found),
    });
    search.respond(results.collect(), found.len())
}

#[derive(Default, Serialize)]
struct NameResult<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(rename = "type", skip_serializing_if = "str::is_empty")]
    kind: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    help: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    unit: &'a str,
}

#[derive(Serialize)]
struct ValueResult<'a> {
    value: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
}

#[derive(Serialize)]
struct Batch<'a, T> {
    results: &'a [T],
}

#[derive(Serialize)]
struct Trailer {
    status: &'static str,
    has_more: bool,
}

/// A value that fits.
#[derive(Debug, Clone)]
struct Found {
    value: String,
    score: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
    BestFirst,
}

/// A search with its parameters checked.
struct Search {
    filter: Option<Filter>,
    sets: Vec<Vec<Matcher>>,
    range: TimeRange,
    order: Order,
    limit: usize,
    batch: usize,
    with_score: bool,
}

impl Search {
    fn of(call: &Call, what: &str) -> Result<Search, ApiError> {
        let flags = &call.app.flags;
        if !super::features::has(flags, FEATURE) {
            return Err(ApiError::new(ErrorKind::Unavailable, "search API disabled"));
        }
        let params = &call.params;
        if let Some(defect) = params.defect() {
            return Err(ApiError::bad_data(format!(
                "error parsing form values: {defect}"
            )));
        }
        let now_ms = clock::now_ms();
        let range = TimeRange::new(
            time_value(params, "start", now_ms - RANGE_MS).map_err(ApiError::bad_data)?,
            time_value(params, "end", now_ms).map_err(ApiError::bad_data)?,
        );
        if range.end_ms < range.start_ms {
            let text = "end timestamp must not be before start timestamp";
            return Err(ApiError::bad_data(text));
        }
        let sets = match_sets(call).map_err(ApiError::bad_data)?;
        let n_terms = params.all("search[]").count();
        if n_terms > MAX_TERMS {
            return Err(ApiError::bad_data(format!(
                "too many search[] terms: got {n_terms}, maximum is {MAX_TERMS}"
            )));
        }
        let threshold = match params.get("fuzz_threshold") {
            "" => 0,
            text => match atoi(text).ok().and_then(|n| u8::try_from(n).ok()) {
                Some(percent) if percent <= 100 => percent,
                _ => return Err(invalid("fuzz_threshold", text, "must be 0-100")),
            },
        };
        let name = params.get("fuzz_alg");
        let measure = Measure::from_name(name).ok_or_else(|| {
            ApiError::bad_data(format!(
                "unsupported fuzz_alg {}: must be one of [{}]",
                quote(name),
                MEASURES.join(" ")
            ))
        })?;
        let case_sensitive = flag(call, "case_sensitive", true)?;
        let with_score = flag(call, "include_score", false)?;
        let order = order(call, what, n_terms > 0)?;
        let max = flags.web.search_max_limit;
        let limit = match params.get("limit") {
            "" if max > 0 => DEFAULT_LIMIT.min(max),
            "" => DEFAULT_LIMIT,
            text => {
                let limit = positive("limit", text)?;
                if max > 0 && limit > max {
                    return Err(ApiError::bad_data(format!(
                        "limit {limit} exceeds the configured maximum ({max}, see \
                         --web.search.max-limit)"
                    )));
                }
                limit
            }
        };
        let batch = match params.get("batch_size") {
            "" => DEFAULT_BATCH,
            text => positive("batch_size", text)?,
        };
        Ok(Search {
            filter: Filter::new(params.all("search[]"), measure, threshold, !case_sensitive),
            sets,
            range,
            order,
            limit,
            batch,
            with_score,
        })
    }

    /// Looks values up on the query pool, and keeps the first that fit: one more than the
    /// limit, if there are so many.
    async fn run(
        &self,
        call: &Call,
        look_up: impl FnOnce(
            &MetricStore,
            &[Vec<Matcher>],
            TimeRange,
        ) -> Result<Vec<String>, StorageError>
        + Send
        + 'static,
    ) -> Result<Vec<Found>, ApiError> {
        let store = Arc::clone(&call.core()?.store);
        let (filter, order) = (self.filter.clone(), self.order);
        let (sets, range) = (self.sets.clone(), self.range);
        let most = self.limit.saturating_add(1);
        call.lookup(move || {
            let values = look_up(&store, &sets, range)?;
            Ok(chosen(values, filter.as_ref(), order, most))
        })
        .await
    }

    fn shown(&self, found: &Found) -> Option<f64> {
        self.with_score.then_some(found.score)
    }

    /// Returns what is shown of what was found.
    fn limited<'a>(&self, found: &'a [Found]) -> &'a [Found] {
        found.get(..self.limit).unwrap_or(found)
    }

    /// Writes results, of `n_found` that there are.
    fn respond<T: Serialize>(&self, results: Vec<T>, n_found: usize) -> Result<Response, ApiError> {
        let mut out = Vec::new();
        if results.is_empty() {
            push_line(&mut out, &Batch::<T> { results: &[] })?;
        }
        for results in results.chunks(self.batch) {
            push_line(&mut out, &Batch { results })?;
        }
        let trailer = Trailer {
            status: "success",
            has_more: n_found > results.len(),
        };
        push_line(&mut out, &trailer)?;
        let mut response = Body::from(out).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-ndjson; charset=utf-8"),
        );
        Ok(response)
    }
}

fn push_line<T: Serialize>(out: &mut Vec<u8>, value: &T) -> Result<(), ApiError> {
    let line = serde_json::to_vec(value).map_err(|error| ApiError::internal(error.to_string()))?;
    out.extend_from_slice(&escape_html(&line));
    out.push(b'\n');
    Ok(())
}

/// Chooses the first values that fit, of values that are sorted.
fn chosen(values: Vec<String>, filter: Option<&Filter>, order: Order, most: usize) -> Vec<Found> {
    let fits = |value: String| {
        let score = match filter {
            Some(filter) => filter.score(&value)?,
            None => 1.0,
        };
        Some(Found { value, score })
    };
    match order {
        Order::Ascending => values.into_iter().filter_map(fits).take(most).collect(),
        Order::Descending => values
            .into_iter()
            .rev()
            .filter_map(fits)
            .take(most)
            .collect(),
        Order::BestFirst => {
            let mut found: Vec<Found> = values.into_iter().filter_map(fits).collect();
            // Stable, so that values of equal scores stay sorted.
            found.sort_by(|a, b| b.score.total_cmp(&a.score));
            found.truncate(most);
            found
        }
    }
}

fn order(call: &Call, what: &str, has_terms: bool) -> Result<Order, ApiError> {
    let (by, direction) = (call.params.get("sort_by"), call.params.get("sort_dir"));
    let wrong = |text: &str| Err(ApiError::bad_data(text));
    match (by, direction) {
        ("", "") | ("alpha", "" | "asc") => Ok(Order::Ascending),
        ("", _) => wrong("sort_dir is only valid when sort_by is set"),
        ("score", direction) if !direction.is_empty() => {
            wrong("sort_dir is not supported for sort_by=score")
        }
        (_, direction) if !matches!(direction, "" | "asc" | "dsc") => {
            Err(invalid("sort_dir", direction, "must be \"asc\" or \"dsc\""))
        }
        ("score", _) if !has_terms => wrong("sort_by=score requires search[] to be set"),
        ("score", _) => Ok(Order::BestFirst),
        ("alpha", _) => Ok(Order::Descending),
        (by, _) => Err(ApiError::bad_data(format!(
            "invalid sort_by {} for {what}: must be \"alpha\" or \"score\"",
            quote(by)
        ))),
    }
}

fn flag(call: &Call, name: &str, absent: bool) -> Result<bool, ApiError> {
    match call.params.get(name) {
        "" => Ok(absent),
        text => parse_bool(text).map_err(|_cause| invalid(name, text, "must be boolean")),
    }
}

fn positive(name: &str, text: &str) -> Result<usize, ApiError> {
    match atoi(text).ok().and_then(|n| usize::try_from(n).ok()) {
        Some(number) if number > 0 => Ok(number),
        _ => Err(invalid(name, text, "must be a positive integer")),
    }
}

fn invalid(name: &str, text: &str, rule: &str) -> ApiError {
    ApiError::bad_data(format!("invalid {name} {}: {rule}", quote(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_fit_are_chosen_in_order() {
        let values = || ["cpu", "cup", "up", "xcup"].map(str::to_owned).to_vec();
        let filter = Filter::new(["cup"].into_iter(), Measure::Subsequence, 0, false);
        let names = |order, filter: Option<&Filter>, most| -> Vec<String> {
            let found = chosen(values(), filter, order, most);
            found.into_iter().map(|found| found.value).collect()
        };
        assert_eq!(names(Order::Ascending, None, 2), ["cpu", "cup"]);
        assert_eq!(names(Order::Descending, None, 2), ["xcup", "up"]);
        assert_eq!(
            names(Order::Descending, filter.as_ref(), 9),
            ["xcup", "cup"]
        );
        assert_eq!(names(Order::BestFirst, filter.as_ref(), 9), ["cup", "xcup"]);
    }
}
