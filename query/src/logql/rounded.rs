//! Sizes as Loki's API compares with them.
//!
//! The parts of a Loki hand a selection of entries on as text, in which a size is written with
//! two digits of a decimal unit. So whoever asks over its API for `size > 1KiB` gets what is
//! larger than `1.0kB`. Conditions behind `unwrap` are no part of that text and stay as they
//! are, and so do durations and numbers, which are written as they are.

use crate::logql::ast::{Expr, LabelFilter, LogExpr, MetricExpr, Stage};
use crate::logql::size;

impl Expr {
    /// Rounds the sizes that labels of entries are compared with as Loki's API does.
    #[must_use]
    pub fn with_rounded_sizes(mut self) -> Expr {
        match &mut self {
            Expr::Log(log) => round_stages(log),
            Expr::Metric(metric) => round_ranges(metric),
        }
        self
    }
}

fn round_ranges(expr: &mut MetricExpr) {
    let mut left = vec![expr];
    while let Some(expr) = left.pop() {
        match expr {
            MetricExpr::Range(range) => round_stages(&mut range.log),
            MetricExpr::Vector(vector) => left.push(&mut vector.inner),
            MetricExpr::Binary(binary) => left.extend([&mut binary.lhs, &mut binary.rhs]),
            MetricExpr::LabelReplace(replace) => left.push(&mut replace.inner),
            MetricExpr::VectorLiteral(_) | MetricExpr::Literal(_) => {}
        }
    }
}

fn round_stages(log: &mut LogExpr) {
    let filters = log.stages.iter_mut().filter_map(|stage| match stage {
        Stage::LabelFilter(filter) => Some(filter),
        _ => None,
    });
    let mut left: Vec<&mut LabelFilter> = filters.collect();
    while let Some(filter) = left.pop() {
        match filter {
            LabelFilter::And(a, b) | LabelFilter::Or(a, b) => left.extend([&mut **a, &mut **b]),
            LabelFilter::Bytes(_, _, bytes) => *bytes = rounded(*bytes),
            _ => {}
        }
    }
}

fn rounded(bytes: u64) -> u64 {
    // What is written can be read, but for what is more than there is.
    size::parse(&size::format(bytes)).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::logql::parse;

    proptest! {
        #[test]
        fn what_is_rounded_is_round(bytes: u64, shift in 0..64) {
            let once = super::rounded(bytes >> shift);
            prop_assert_eq!(super::rounded(once), once);
        }
    }

    fn rounded(query: &str) -> String {
        parse(query).unwrap().with_rounded_sizes().to_string()
    }

    #[test]
    fn sizes_have_two_digits() {
        for (size, shown) in [
            ("1KiB", "1000B"),
            ("1050B", "1100B"),
            ("1234B", "1200B"),
            ("1.25MiB", "1300000B"),
            ("2MiB", "2100000B"),
            ("999B", "999B"),
            ("15.5KB", "16000B"),
            ("0B", "0B"),
        ] {
            let as_written = parse(&format!("{{a=\"b\"}} | size > {shown}")).unwrap();
            let query = format!("{{a=\"b\"}} | size > {size}");
            assert_eq!(rounded(&query), as_written.to_string(), "{size}");
        }
    }

    #[test]
    fn sizes_are_rounded_wherever_entries_are_selected() {
        for query in [
            r#"{a="b"} | json | (x > 1KiB or y < 1KiB and z = 1KiB) | size != 1KiB"#,
            r#"label_replace(sum(rate({a="b"} | x >= 1KiB [1m])) + 1, "a", "b", "c", "d")"#,
        ] {
            let wanted = parse(&query.replace("1KiB", "1KB")).unwrap().to_string();
            assert_eq!(rounded(query), wanted);
        }
    }

    #[test]
    fn other_values_and_what_stands_behind_unwrap_stay() {
        for query in [
            r#"{a="b"} | x > 1024 and y > 1.0505s"#,
            r#"sum_over_time({a="b"} | unwrap v | size > 1KiB [1m])"#,
        ] {
            assert_eq!(rounded(query), parse(query).unwrap().to_string());
        }
    }
}
