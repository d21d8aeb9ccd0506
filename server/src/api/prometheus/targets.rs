//! What is scraped, and what the targets said about their metrics.

use std::collections::BTreeMap;

use kymo_ingest::scrape::{Metadata, PoolStatus, TargetStatus};
use kymo_query::promql::parse_selector;
use kymo_storage::compat::time::Instant;
use kymo_storage::model::Labels;
use serde::{Serialize, Serializer};

use super::bounds::{atoi, parse_bool};
use crate::api::call::Call;
use crate::http::answer::{Answer, ApiResult};
use crate::http::error::ApiError;
use crate::urls::Urls;

/// How Go prints a time that was never set.
const NEVER: &str = "0001-01-01T00:00:00Z";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Targets<'a> {
    active_targets: Vec<Active<'a>>,
    dropped_targets: Vec<Dropped<'a>>,
    dropped_target_counts: Option<BTreeMap<&'a str, usize>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Active<'a> {
    discovered_labels: LabelMap<'a>,
    labels: LabelMap<'a>,
    scrape_pool: &'a str,
    scrape_url: &'a str,
    global_url: String,
    last_error: &'a str,
    last_scrape: String,
    last_scrape_duration: f64,
    health: &'static str,
    scrape_interval: &'a str,
    scrape_timeout: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dropped<'a> {
    discovered_labels: LabelMap<'a>,
    scrape_pool: &'a str,
}

/// Labels as a JSON object, in their order.
struct LabelMap<'a>(&'a Labels);

impl Serialize for LabelMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0)
    }
}

/// `/api/v1/targets`
pub(crate) async fn targets(call: Call) -> ApiResult {
    let state = call.params.get("state").to_lowercase();
    let shown = |wanted: &str| matches!(state.as_str(), "" | "any") || state == wanted;
    let pool = call.params.get("scrapePool");
    let pools = call.core()?.scraping.targets();
    let asked = |status: &&PoolStatus| pool.is_empty() || status.job == pool;
    let mut found = Targets {
        active_targets: Vec::new(),
        dropped_targets: Vec::new(),
        dropped_target_counts: None,
    };
    if shown("active") {
        for status in pools.iter().filter(asked) {
            let active = status.active.iter();
            let entries = active.map(|target| entry(&status.job, target, &call.app.urls));
            found.active_targets.extend(entries);
        }
    }
    if shown("dropped") {
        for status in pools.iter().filter(asked) {
            let dropped = status.dropped.iter().map(|labels| Dropped {
                discovered_labels: LabelMap(labels),
                scrape_pool: &status.job,
            });
            found.dropped_targets.extend(dropped);
        }
        let counts = pools.iter().map(|p| (p.job.as_str(), p.dropped_count));
        found.dropped_target_counts = Some(counts.collect());
    }
    Answer::value(&found)
}

fn entry<'a>(job: &'a str, target: &'a TargetStatus, urls: &Urls) -> Active<'a> {
    Active {
        discovered_labels: LabelMap(&target.discovered_labels),
        labels: LabelMap(&target.labels),
        scrape_pool: job,
        scrape_url: &target.url,
        global_url: urls.reachable(&target.url),
        last_error: &target.last_error,
        last_scrape: match target.last_scrape_ns {
            Some(ns) => Instant {
                unix_s: ns.div_euclid(1_000_000_000),
                nanos: ns.rem_euclid(1_000_000_000) as u32,
            }
            .rfc3339_nano(),
            None => NEVER.to_owned(),
        },
        last_scrape_duration: target.last_scrape_duration.as_secs_f64(),
        health: target.health.as_str(),
        scrape_interval: &target.interval,
        scrape_timeout: &target.timeout,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ScrapePoolNames {
    scrape_pools: Vec<String>,
}

/// `/api/v1/scrape_pools`
pub(crate) async fn scrape_pools(call: Call) -> ApiResult {
    let pools = call.core()?.scraping.targets();
    Answer::value(&ScrapePoolNames {
        scrape_pools: pools.into_iter().map(|pool| pool.job).collect(),
    })
}

#[derive(Serialize)]
struct TargetMetadata<'a> {
    target: LabelMap<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metric: Option<&'a str>,
    #[serde(rename = "type")]
    kind: &'static str,
    help: &'a str,
    unit: &'a str,
}

/// `/api/v1/targets/metadata`: what each target said.
pub(crate) async fn target_metadata(call: Call) -> ApiResult {
    let limit = number(&call, "limit", "limit must be a number")?;
    let matchers = match call.params.get("match_target") {
        "" => Vec::new(),
        text => parse_selector(text, &call.app.flags.promql_features())
            .map_err(|error| ApiError::parameter("match_target", error))?,
    };
    let metric = call.params.get("metric");
    let targets = call.core()?.scraping.metadata();
    let mut found = Vec::new();
    for target in &targets {
        // The limit is looked at between targets only, as in Prometheus.
        if limit.is_some_and(|limit| found.len() >= limit) {
            break;
        }
        let fits =
            |m: &kymo_storage::model::Matcher| m.matches(target.labels.get(m.name()).unwrap_or(""));
        if !matchers.iter().all(fits) {
            continue;
        }
        let asked = |family: &&Metadata| metric.is_empty() || family.family == metric;
        found.extend(
            target
                .families
                .iter()
                .filter(asked)
                .map(|family| TargetMetadata {
                    target: LabelMap(&target.labels),
                    metric: metric.is_empty().then_some(family.family.as_str()),
                    kind: family.kind.as_str(),
                    help: &family.help,
                    unit: &family.unit,
                }),
        );
    }
    Answer::value(&found)
}

#[derive(Serialize, PartialEq, Eq)]
struct FamilyMetadata<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    unit: &'a str,
    help: &'a str,
}

/// `/api/v1/metadata`: what is known of metric families, over all targets. With `all=true`
/// also what is stored of those that no target exposes now.
pub(crate) async fn metadata(call: Call) -> ApiResult {
    let limit = number(&call, "limit", "limit must be a number")?;
    let per_metric = number(
        &call,
        "limit_per_metric",
        "limit_per_metric must be a number",
    )?;
    let metric = call.params.get("metric");
    let core = call.core()?;
    let targets = core.scraping.metadata();
    let stored = match parse_bool(call.params.get("all")) {
        Ok(true) => core
            .store
            .metadata(Some(metric).filter(|metric| !metric.is_empty())),
        _ => Vec::new(),
    };
    let mut found: BTreeMap<&str, Vec<FamilyMetadata<'_>>> = BTreeMap::new();
    for family in targets.iter().flat_map(|target| &target.families) {
        if !metric.is_empty() && family.family != metric {
            continue;
        }
        let entry = FamilyMetadata {
            kind: family.kind.as_str(),
            unit: &family.unit,
            help: &family.help,
        };
        let entries = found.entry(&family.family).or_default();
        let full = per_metric.is_some_and(|most| most > 0 && entries.len() >= most);
        if !full && !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    // What no target says now was said by one that is gone, or by a sender.
    for (family, stored) in &stored {
        found.entry(family).or_insert_with(|| {
            vec![FamilyMetadata {
                kind: stored.kind.as_str(),
                unit: &stored.unit,
                help: &stored.help,
            }]
        });
    }
    let most = limit.unwrap_or(usize::MAX);
    let found: BTreeMap<_, _> = found.into_iter().take(most).collect();
    Answer::value(&found)
}

/// Reads an optional number; a negative one is none.
fn number(call: &Call, name: &str, complaint: &str) -> Result<Option<usize>, ApiError> {
    match call.params.get(name) {
        "" => Ok(None),
        text => {
            let number = atoi(text).map_err(|_cause| ApiError::bad_data(complaint))?;
            Ok(usize::try_from(number).ok())
        }
    }
}
