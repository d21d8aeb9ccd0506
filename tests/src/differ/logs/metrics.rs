//! Queries that give numbers.

use super::grammar::Writer;

/// Depth below which only range aggregations are written.
const MAX_DEPTH: usize = 4;

const RANGES: &[&str] = &["5m", "1m", "30s", "10m", "1h", "90s", "1m30s", "7s", "1d"];

const ODD_RANGES: &[&str] = &["0s", "1.5h", "5", "", "-5m", "100ms"];

const NUMBERS: &[&str] = &["1", "2", "0", "0.5", "-1", "100", "1e3", "+2", "3"];

impl Writer<'_> {
    pub(super) fn vector(&mut self, depth: usize) {
        match self.choose(if depth < MAX_DEPTH { 14 } else { 2 }) {
            0..=3 => self.range_aggregation(),
            4..=7 => self.aggregation(depth),
            8..=10 => self.operation(depth),
            11 => self.relabel(depth),
            12 => match self.choose(3) {
                0 => {
                    self.push("vector(");
                    self.put_or(&["1", "0", "2.5", "1e3"], &["-1", "+1"]);
                    self.push(")");
                }
                _ => self.put(NUMBERS),
            },
            _ => {
                self.push("(");
                self.vector(depth + 1);
                self.push(")");
            }
        }
    }

    fn range_aggregation(&mut self) {
        match self.choose(9) {
            0..=3 => {
                self.put(&[
                    "count_over_time(",
                    "rate(",
                    "bytes_over_time(",
                    "bytes_rate(",
                ]);
                self.range(false);
                self.push(")");
                if self.once_in(30) {
                    self.grouping();
                }
            }
            4 => {
                self.push("absent_over_time(");
                let unwraps = self.once_in(3);
                self.range(unwraps);
                self.push(")");
            }
            _ => {
                const FREE: &[&str] = &[
                    "avg_over_time(",
                    "min_over_time(",
                    "max_over_time(",
                    "first_over_time(",
                    "last_over_time(",
                    "stddev_over_time(",
                    "stdvar_over_time(",
                    "quantile_over_time(",
                ];
                const FIXED: &[&str] = &["sum_over_time(", "rate(", "rate_counter("];
                let is_fixed = self.once_in(3);
                let name = match is_fixed {
                    true => FIXED[self.choose(FIXED.len())],
                    false => FREE[self.choose(FREE.len())],
                };
                self.push(name);
                if name.starts_with("quantile") != self.once_in(40) {
                    self.put_or(&["0.5", "0.99", "0", "1", "0.1", "2"], &["-0.1", "1e400"]);
                    self.push(", ");
                }
                let unwraps = !self.once_in(40);
                self.range(unwraps);
                self.push(")");
                if self.once_in(if is_fixed { 30 } else { 3 }) {
                    self.push(" ");
                    self.grouping();
                }
            }
        }
    }

    fn bracket(&mut self) {
        self.push("[");
        self.put_or(RANGES, ODD_RANGES);
        self.push("]");
        if self.once_in(8) {
            self.push(" offset ");
            self.put_or(
                &["1m", "-1m", "30s", "10m", "-2m", "1.5m"],
                &["1h", "0s", "5"],
            );
        }
    }

    /// Writes entries with a range, and what becomes a number of them.
    fn range(&mut self, unwraps: bool) {
        // The bracket stands in one of four places.
        let place = self.choose(5);
        self.selector();
        if place == 1 {
            self.bracket();
        }
        self.stages(3);
        if place == 2 {
            self.push(" ");
            self.bracket();
            self.stages(2);
        }
        if unwraps {
            if !self.once_in(3) {
                self.put(&[" | json", " | logfmt"]);
            }
            if place == 3 {
                self.push(" ");
                self.bracket();
            }
            self.push(" | unwrap ");
            match self.choose(6) {
                0..=2 => self.unwrapped_label(&["n", "v", "status"]),
                3 | 4 => {
                    self.put(&["duration(", "duration_seconds("]);
                    self.unwrapped_label(&["dur"]);
                    self.push(")");
                }
                _ => {
                    self.push("bytes(");
                    self.unwrapped_label(&["size"]);
                    self.push(")");
                }
            }
            match self.choose(5) {
                0..=2 => self.push(" | __error__=\"\""),
                3 => {}
                _ => {
                    self.push(" | ");
                    self.label_filter(1);
                }
            }
        } else if self.choose(4) > 0 {
            self.push(" | __error__=\"\"");
        }
        if place == 0 || place == 4 || place == 3 && !unwraps {
            self.push(" ");
            self.bracket();
        }
    }

    fn unwrapped_label(&mut self, usual: &[&str]) {
        match self.once_in(4) {
            true => self.label(),
            false => self.put(usual),
        }
    }

    fn grouping(&mut self) {
        self.put(&["by (", "without ("]);
        for n in 0..self.choose(4) {
            if n > 0 {
                self.push(", ");
            }
            self.label();
        }
        self.push(")");
    }

    fn aggregation(&mut self, depth: usize) {
        const PLAIN: &[&str] = &["sum", "avg", "min", "max", "count", "stddev", "stdvar"];
        match self.choose(8) {
            0..=4 => {
                self.put(PLAIN);
                match self.choose(4) {
                    0 => {}
                    1 | 2 => {
                        self.push(" ");
                        self.grouping();
                    }
                    _ => {
                        self.push("(");
                        if self.once_in(40) {
                            self.push("3, ");
                        }
                        self.vector(depth + 1);
                        self.push(") ");
                        return self.grouping();
                    }
                }
                self.push(" (");
            }
            5 | 6 => {
                self.put_or(&["topk", "bottomk"], &["approx_topk"]);
                if self.once_in(3) {
                    self.push(" ");
                    self.grouping();
                }
                self.push("(");
                // Loki takes any of equal values: it gets all of them, or values that differ.
                if self.once_in(3) {
                    self.put_or(&["3", "1", "2"], &["0", "1.5", "-1"]);
                    self.push(", ");
                    self.put(&["sum_over_time", "max_over_time", "avg_over_time"]);
                    return self.push("({app=\"num\"} | logfmt | keep v, n | unwrap v [5m]))");
                }
                self.push("1000");
                self.push(", ");
            }
            _ => {
                self.put(&["sort", "sort_desc"]);
                if self.once_in(20) {
                    self.grouping();
                }
                self.push("(");
            }
        }
        self.vector(depth + 1);
        self.push(")");
    }

    fn operation(&mut self, depth: usize) {
        const ARITHMETIC: &[&str] = &["+", "-", "*", "/", "%", "^"];
        const COMPARISONS: &[&str] = &["==", "!=", ">", ">=", "<", "<="];
        const SETS: &[&str] = &["and", "or", "unless"];
        let before = self.text.len();
        self.vector(depth + 1);
        let left = self.text[before..].to_owned();
        self.push(" ");
        let is_set = match self.choose(4) {
            0 | 1 => {
                self.put(ARITHMETIC);
                false
            }
            2 => {
                self.put(COMPARISONS);
                if self.once_in(2) {
                    self.push(" bool");
                }
                false
            }
            _ => {
                self.put(SETS);
                true
            }
        };
        self.push(" ");
        if self.once_in(3) {
            self.put(&["on (", "ignoring ("]);
            for n in 0..self.choose(3) {
                if n > 0 {
                    self.push(",");
                }
                self.label();
            }
            self.push(") ");
            if self.once_in(if is_set { 20 } else { 3 }) {
                self.put(&["group_left ", "group_right "]);
                if self.once_in(2) {
                    self.push("(");
                    self.label();
                    self.push(") ");
                }
            }
        }
        match self.choose(4) {
            // Both sides are the same, so that something matches.
            0 => self.push(&left),
            1 => self.put(NUMBERS),
            _ => self.vector(depth + 1),
        }
    }

    fn relabel(&mut self, depth: usize) {
        self.push("label_replace(");
        self.vector(depth + 1);
        self.push(", ");
        self.put_or(
            &["\"x\"", "\"app\"", "\"level\""],
            &["\"é\"", "\"1x\"", "\"\""],
        );
        self.push(", ");
        self.put(&[
            "\"$1\"",
            "\"a-$1-$2\"",
            "\"\"",
            "\"${1}x\"",
            "\"$x\"",
            "\"v\"",
            "\"$0\"",
        ]);
        self.push(", ");
        self.put(&[
            "\"app\"",
            "\"level\"",
            "\"missing\"",
            "\"status\"",
            "\"env\"",
        ]);
        self.push(", ");
        self.put_or(
            &[
                "\"(.*)\"",
                "\"(.)(.*)\"",
                "\"json\"",
                "\"(?P<x>p.*)\"",
                "\"j.*|(n).*\"",
            ],
            &["\"\"", "\"(\"", "\"(?i)J(.*)\""],
        );
        self.push(")");
    }
}
