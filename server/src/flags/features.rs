//! Names behind `--enable-feature`.

use kymo_query::promql::Features;

/// Features that may be switched on; the last one always is, as in Prometheus.
const FEATURES: [&str; 9] = [
    CONCURRENT_RULES,
    EXEMPLARS,
    EXPERIMENTAL_FUNCTIONS,
    EXTENDED_RANGE_SELECTORS,
    BINOP_FILL_MODIFIERS,
    DELAYED_NAME_REMOVAL,
    PER_STEP_STATS,
    SEARCH,
    "promql-duration-expr",
];

const EXPERIMENTAL_FUNCTIONS: &str = "promql-experimental-functions";
const EXTENDED_RANGE_SELECTORS: &str = "promql-extended-range-selectors";
const BINOP_FILL_MODIFIERS: &str = "promql-binop-fill-modifiers";

/// Keeps the names of metrics until the end of a query.
pub(crate) const DELAYED_NAME_REMOVAL: &str = "promql-delayed-name-removal";

/// Counts samples by step where a client asks for all statistics.
pub(super) const PER_STEP_STATS: &str = "promql-per-step-stats";

/// Has the calls that search names and values.
const SEARCH: &str = "search-api";

/// Evaluates independent rules of a group at the same time.
pub(super) const CONCURRENT_RULES: &str = "concurrent-rule-eval";

/// Keeps exemplars.
pub(super) const EXEMPLARS: &str = "exemplar-storage";

/// Tells whether a feature was switched on.
pub(crate) fn has(switched_on: &[String], name: &str) -> bool {
    switched_on.iter().any(|feature| feature == name)
}

/// Tells whether a feature is known.
pub(super) fn is_known(name: &str) -> bool {
    FEATURES.contains(&name)
}

/// Returns the optional parts of PromQL among the features that were switched on.
pub(crate) fn promql_features(switched_on: &[String]) -> Features {
    let on = |name| has(switched_on, name);
    let mut features = Features::default();
    features.experimental_functions |= on(EXPERIMENTAL_FUNCTIONS);
    features.extended_range_selectors |= on(EXTENDED_RANGE_SELECTORS);
    features.binop_fill_modifiers |= on(BINOP_FILL_MODIFIERS);
    features
}
