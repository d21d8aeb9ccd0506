//! What this server can do: `/api/v1/features`.
//!
//! The categories and names are Prometheus'. What is said follows from the tables of the
//! language, the switches of this process and what it was built with.

use std::collections::BTreeMap;

use kymo_query::promql::{self, WordKind};
use kymo_query::template::alert;

use super::search::{self, MEASURES};
use crate::api::call::Call;
use crate::app::App;
use crate::config::DISCOVERY_KINDS;
use crate::flags::{Fate, Flags};
use crate::http::answer::{Answer, ApiResult};
use crate::http::error::ApiError;

type Category = BTreeMap<String, bool>;

/// `/api/v1/features`
pub(crate) async fn features(call: Call) -> ApiResult {
    let json = serde_json::to_vec(&all(&call.app))
        .map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(Answer::json(json))
}

fn all(app: &App) -> BTreeMap<&'static str, Category> {
    let flags = &app.flags;
    let on = |feature: &str| has(flags, feature);
    BTreeMap::from([
        ("api", api(flags)),
        (
            "otlp_receiver",
            category([
                ("delta_conversion", on("otlp-deltatocumulative")),
                ("native_delta_ingestion", on("otlp-native-delta-ingestion")),
            ]),
        ),
        (
            "prometheus",
            category([
                ("agent_mode", false),
                ("auto_reload_config", is_set(flags, "config.auto-reload")),
                ("server_mode", true),
                // Labels are kept as one string of bytes, which is what it says there.
                ("stringlabels", true),
            ]),
        ),
        ("promql", promql(flags)),
        ("promql_functions", functions(flags)),
        ("promql_operators", operators(flags)),
        (
            "rules",
            category([
                ("concurrent_rule_eval", on("concurrent-rule-eval")),
                ("keep_firing_for", true),
                ("query_offset", true),
            ]),
        ),
        (
            "scrape",
            category([
                ("extra_scrape_metrics", true),
                (
                    "start_timestamp_zero_ingestion",
                    on("created-timestamp-zero-ingestion"),
                ),
                ("type_and_unit_labels", on("type-and-unit-labels")),
            ]),
        ),
        (
            "service_discovery_providers",
            category(DISCOVERY_KINDS.iter().map(|&kind| (kind, true))),
        ),
        (
            "templating_functions",
            category(alert::function_names().map(|name| (name, true))),
        ),
        (
            "tsdb",
            category([
                ("delayed_compaction", on("delayed-compaction")),
                ("exemplar_storage", on("exemplar-storage")),
                ("histograms_st_encoding", on("histograms-st-encoding")),
                ("isolation", true),
                ("native_histograms", true),
                ("st_storage", on("st-storage")),
                ("use_uncached_io", on("use-uncached-io")),
                // Chunks of this encoding are read in blocks that are imported.
                ("xor2_encoding", true),
            ]),
        ),
        // Which of Prometheus' pages the paths of the web interface are those of, where
        // there is one.
        (
            "ui",
            category([
                ("ui_v2", false),
                ("ui_v3", kymo_assets::missing().is_none()),
            ]),
        ),
    ])
}

fn api(flags: &Flags) -> Category {
    let mut category = category([
        ("admin", flags.web.enable_admin_api),
        ("exclude_alerts", true),
        ("label_values_match", true),
        ("lifecycle", flags.web.enable_lifecycle),
        ("openapi_3.1", true),
        ("openapi_3.2", true),
        (
            "otlp_write_receiver",
            is_set(flags, "web.enable-otlp-receiver"),
        ),
        ("query_stats", true),
        ("query_warnings", true),
        ("remote_write_receiver", flags.web.enable_remote_write),
        ("search", has(flags, search::FEATURE)),
        ("time_range_labels", true),
        ("time_range_series", true),
    ]);
    category.extend(MEASURES.map(|name| (format!("search_fuzz_alg_{name}"), true)));
    category
}

fn promql(flags: &Flags) -> Category {
    let enabled = flags.promql_features();
    let mut category = category([
        ("at_modifier", true),
        (
            "delayed_name_removal",
            has(flags, "promql-delayed-name-removal"),
        ),
        ("duration_expr", enabled.duration_expr),
        ("negative_offset", true),
        ("per_query_lookback_delta", true),
        ("per_step_stats", flags.counts_per_step()),
        ("subqueries", true),
        ("type_and_unit_labels", has(flags, "type-and-unit-labels")),
    ]);
    let words = promql::words(&enabled).filter(|word| word.kind == WordKind::Keyword);
    category.extend(words.map(|word| (word.text.to_owned(), word.enabled)));
    category
}

fn operators(flags: &Flags) -> Category {
    promql::words(&flags.promql_features())
        .filter(|word| word.kind != WordKind::Keyword)
        .map(|word| (word.text.to_owned(), word.enabled))
        .collect()
}

fn functions(flags: &Flags) -> Category {
    let with_experimental = flags.promql_features().experimental_functions;
    promql::functions()
        .iter()
        .map(|f| (f.name.to_owned(), !f.experimental || with_experimental))
        .collect()
}

fn category<'a>(entries: impl IntoIterator<Item = (&'a str, bool)>) -> Category {
    entries
        .into_iter()
        .map(|(name, has)| (name.to_owned(), has))
        .collect()
}

/// Tells whether a feature was asked for that Kymo has.
pub(super) fn has(flags: &Flags, feature: &str) -> bool {
    let mut fates = flags.feature_fates();
    fates.any(|(name, fate)| name == feature && matches!(fate, Some(Fate::Works | Fate::Always)))
}

/// Tells whether a switch of the command line is on.
fn is_set(flags: &Flags, flag: &str) -> bool {
    let mut table = flags.table.iter();
    table.any(|(name, value)| name == flag && value == "true")
}
