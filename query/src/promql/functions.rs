//! Every function of PromQL: its name, its types, and whether it must be enabled.
//!
//! The table is what the checker, the printer of the tree and the evaluation agree
//! on. It says nothing of how a function computes.

use crate::promql::ast::ValueType;

/// A function as a query sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function {
    /// Its name; case matters.
    pub name: &'static str,
    /// Types of the arguments in order. Of a variadic function the last one may be
    /// left out or repeated.
    pub arg_types: &'static [ValueType],
    /// 0: exactly the listed arguments. A positive number: all but the last are
    /// required, and at most that many may follow them. -1: any number may follow.
    pub variadic: i32,
    /// What it returns.
    pub return_type: ValueType,
    /// Whether it is refused unless experimental functions are enabled.
    pub experimental: bool,
}

/// Finds a function by its exact name.
pub fn function(name: &str) -> Option<&'static Function> {
    let at = FUNCTIONS.binary_search_by(|f| f.name.cmp(name)).ok()?;
    FUNCTIONS.get(at)
}

/// Returns all functions in order of name.
pub fn functions() -> &'static [Function] {
    &FUNCTIONS
}

const S: ValueType = ValueType::Scalar;
const V: ValueType = ValueType::Vector;
const M: ValueType = ValueType::Matrix;
const T: ValueType = ValueType::String;
const STABLE: bool = false;
const EXPERIMENTAL: bool = true;

const fn row(
    name: &'static str,
    arg_types: &'static [ValueType],
    variadic: i32,
    return_type: ValueType,
    experimental: bool,
) -> Function {
    Function {
        name,
        arg_types,
        variadic,
        return_type,
        experimental,
    }
}

#[rustfmt::skip]
static FUNCTIONS: [Function; 90] = [
    row("abs", &[V], 0, V, STABLE),
    row("absent", &[V], 0, V, STABLE),
    row("absent_over_time", &[M], 0, V, STABLE),
    row("acos", &[V], 0, V, STABLE),
    row("acosh", &[V], 0, V, STABLE),
    row("asin", &[V], 0, V, STABLE),
    row("asinh", &[V], 0, V, STABLE),
    row("atan", &[V], 0, V, STABLE),
    row("atanh", &[V], 0, V, STABLE),
    row("avg_over_time", &[M], 0, V, STABLE),
    row("ceil", &[V], 0, V, STABLE),
    row("changes", &[M], 0, V, STABLE),
    row("clamp", &[V, S, S], 0, V, STABLE),
    row("clamp_max", &[V, S], 0, V, STABLE),
    row("clamp_min", &[V, S], 0, V, STABLE),
    row("cos", &[V], 0, V, STABLE),
    row("cosh", &[V], 0, V, STABLE),
    row("count_over_time", &[M], 0, V, STABLE),
    row("day_of_month", &[V], 1, V, STABLE),
    row("day_of_week", &[V], 1, V, STABLE),
    row("day_of_year", &[V], 1, V, STABLE),
    row("days_in_month", &[V], 1, V, STABLE),
    row("deg", &[V], 0, V, STABLE),
    row("delta", &[M], 0, V, STABLE),
    row("deriv", &[M], 0, V, STABLE),
    row("double_exponential_smoothing", &[M, S, S], 0, V, EXPERIMENTAL),
    row("end", &[], 0, S, EXPERIMENTAL),
    row("exp", &[V], 0, V, STABLE),
    row("first_over_time", &[M], 0, V, STABLE),
    row("floor", &[V], 0, V, STABLE),
    row("histogram_avg", &[V], 0, V, STABLE),
    row("histogram_count", &[V], 0, V, STABLE),
    row("histogram_fraction", &[S, S, V], 0, V, STABLE),
    row("histogram_quantile", &[S, V], 0, V, STABLE),
    row("histogram_quantiles", &[V, T, S, S], 9, V, EXPERIMENTAL),
    row("histogram_stddev", &[V], 0, V, STABLE),
    row("histogram_stdvar", &[V], 0, V, STABLE),
    row("histogram_sum", &[V], 0, V, STABLE),
    row("hour", &[V], 1, V, STABLE),
    row("idelta", &[M], 0, V, STABLE),
    row("increase", &[M], 0, V, STABLE),
    row("info", &[V, V], 1, V, EXPERIMENTAL),
    row("irate", &[M], 0, V, STABLE),
    row("label_join", &[V, T, T, T], -1, V, STABLE),
    row("label_replace", &[V, T, T, T, T], 0, V, STABLE),
    row("last_over_time", &[M], 0, V, STABLE),
    row("ln", &[V], 0, V, STABLE),
    row("log10", &[V], 0, V, STABLE),
    row("log2", &[V], 0, V, STABLE),
    row("mad_over_time", &[M], 0, V, EXPERIMENTAL),
    row("max_of", &[S, S], 0, S, EXPERIMENTAL),
    row("max_over_time", &[M], 0, V, STABLE),
    row("min_of", &[S, S], 0, S, EXPERIMENTAL),
    row("min_over_time", &[M], 0, V, STABLE),
    row("minute", &[V], 1, V, STABLE),
    row("month", &[V], 1, V, STABLE),
    row("pi", &[], 0, S, STABLE),
    row("predict_linear", &[M, S], 0, V, STABLE),
    row("present_over_time", &[M], 0, V, STABLE),
    row("quantile_over_time", &[S, M], 0, V, STABLE),
    row("rad", &[V], 0, V, STABLE),
    row("range", &[], 0, S, EXPERIMENTAL),
    row("rate", &[M], 0, V, STABLE),
    row("resets", &[M], 0, V, STABLE),
    row("round", &[V, S], 1, V, STABLE),
    row("scalar", &[V], 0, S, STABLE),
    row("sgn", &[V], 0, V, STABLE),
    row("sin", &[V], 0, V, STABLE),
    row("sinh", &[V], 0, V, STABLE),
    row("sort", &[V], 0, V, STABLE),
    row("sort_by_label", &[V, T], -1, V, EXPERIMENTAL),
    row("sort_by_label_desc", &[V, T], -1, V, EXPERIMENTAL),
    row("sort_desc", &[V], 0, V, STABLE),
    row("sqrt", &[V], 0, V, STABLE),
    row("start", &[], 0, S, EXPERIMENTAL),
    row("start_timestamp", &[V], 0, V, EXPERIMENTAL),
    row("stddev_over_time", &[M], 0, V, STABLE),
    row("stdvar_over_time", &[M], 0, V, STABLE),
    row("step", &[], 0, S, EXPERIMENTAL),
    row("sum_over_time", &[M], 0, V, STABLE),
    row("tan", &[V], 0, V, STABLE),
    row("tanh", &[V], 0, V, STABLE),
    row("time", &[], 0, S, STABLE),
    row("timestamp", &[V], 0, V, STABLE),
    row("ts_of_first_over_time", &[M], 0, V, EXPERIMENTAL),
    row("ts_of_last_over_time", &[M], 0, V, EXPERIMENTAL),
    row("ts_of_max_over_time", &[M], 0, V, EXPERIMENTAL),
    row("ts_of_min_over_time", &[M], 0, V, EXPERIMENTAL),
    row("vector", &[S], 0, V, STABLE),
    row("year", &[V], 1, V, STABLE),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_so_that_all_are_found() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
        for f in functions() {
            assert_eq!(function(f.name), Some(f));
        }
        assert_eq!(function("Rate"), None);
        assert_eq!(function(""), None);
    }

    #[test]
    fn seventeen_functions_are_experimental() {
        assert_eq!(functions().iter().filter(|f| f.experimental).count(), 17);
    }
}
