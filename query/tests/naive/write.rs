//! Queries written from bytes: each byte is one choice, and when they are used up the
//! first choice is taken, which ends every expression.

/// Depth below which only leaves are written.
const MAX_DEPTH: u32 = 5;

const METRICS: &[&str] = &[
    "m_total",
    "g",
    "x",
    "{a=\"p\"}",
    "g{b!=\"\"}",
    "x{a=~\"p|q\"}",
    "none",
];
const MODIFIERS: &[&str] = &[
    "",
    "",
    "",
    " offset 1m",
    " offset -30s",
    " @ 600",
    " @ start()",
    " @ end() offset 15s",
];
const RANGES: &[&str] = &["1m", "15s", "5m", "100s", "10m"];
const SUBQUERIES: &[&str] = &["[2m:20s]", "[5m:]", "[1m:15s]", "[90s:7s]"];
const NUMBERS: &[&str] = &[
    "1", "0", "-1", "0.5", "2", "NaN", "Inf", "-Inf", "1e300", "-0.0",
];
const GROUPINGS: &[&str] = &[
    "",
    "by (a) ",
    "by (a, none) ",
    "without (a) ",
    "without () ",
    "by (__name__) ",
];
const MATCHINGS: &[&str] = &[
    "",
    "on (a, b) ",
    "ignoring (b) ",
    "on (a) group_left () ",
    "on (a) group_left (b) ",
    "ignoring (b) group_right (a) ",
    "on () ",
    "on (a, b) fill (0) ",
    "fill_left (1) ",
    "on (a) group_left () fill_right (-1) ",
];
const AGGREGATIONS: &[&str] = &[
    "sum ", "avg ", "min ", "max ", "count ", "group ", "stddev ", "stdvar ",
];
const OVER_RANGE: &[&str] = &[
    "rate",
    "increase",
    "delta",
    "irate",
    "idelta",
    "changes",
    "resets",
    "deriv",
    "sum_over_time",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "count_over_time",
    "present_over_time",
    "absent_over_time",
    "last_over_time",
    "first_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "mad_over_time",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
    "ts_of_min_over_time",
    "ts_of_max_over_time",
];
const OF_NUMBER: &[&str] = &[
    "abs",
    "ceil",
    "floor",
    "sqrt",
    "exp",
    "deg",
    "rad",
    "sgn",
    "-",
    "timestamp",
    "absent",
];

/// Writes an expression that is an instant vector or a scalar.
pub(crate) fn query(bytes: &[u8]) -> String {
    let mut writer = Writer {
        bytes,
        text: String::new(),
        is_added: false,
    };
    match writer.choose(12) {
        1 => writer.scalar(0),
        _ => writer.vector(0),
    }
    writer.text
}

struct Writer<'a> {
    bytes: &'a [u8],
    text: String,
    /// Whether what is written is added up. The last bits of a sum depend on the order of
    /// what is added; over a range that of groups and of the series of a subquery is found
    /// once for all steps, in Prometheus too, while the interpreter finds it at each.
    is_added: bool,
}

impl Writer<'_> {
    fn choose(&mut self, among: usize) -> usize {
        let Some((&byte, rest)) = self.bytes.split_first() else {
            return 0;
        };
        self.bytes = rest;
        usize::from(byte) % among
    }

    fn put(&mut self, from: &[&str]) {
        let piece = from[self.choose(from.len())];
        self.text.push_str(piece);
    }

    fn text(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn scalar(&mut self, depth: u32) {
        match self.choose(if depth < MAX_DEPTH { 6 } else { 1 }) {
            1 => {
                self.text("scalar(");
                self.vector(depth + 1);
                self.text(")");
            }
            2 => self.text("time()"),
            3 => {
                self.text("(");
                self.scalar(depth + 1);
                self.put(&[
                    " + ",
                    " - ",
                    " * ",
                    " / ",
                    " % ",
                    " ^ ",
                    " > bool ",
                    " == bool ",
                ]);
                self.scalar(depth + 1);
                self.text(")");
            }
            _ => self.put(NUMBERS),
        }
    }

    fn vector(&mut self, depth: u32) {
        match self.choose(if depth < MAX_DEPTH { 14 } else { 1 }) {
            1..5 => {
                let function = OVER_RANGE[self.choose(OVER_RANGE.len())];
                self.text(function);
                self.text("(");
                self.matrix(depth + 1);
                self.text(")");
            }
            5 => {
                let behind = match self.choose(2) {
                    0 => {
                        self.text("quantile_over_time(");
                        self.scalar(depth + 1);
                        self.text(", ");
                        None
                    }
                    _ => {
                        self.text("predict_linear(");
                        Some(())
                    }
                };
                self.matrix(depth + 1);
                if behind.is_some() {
                    self.text(", ");
                    self.scalar(depth + 1);
                }
                self.text(")");
            }
            6 | 7 if !self.is_added => self.aggregation(depth),
            8 | 9 => self.operation(depth),
            10 => {
                self.put(OF_NUMBER);
                self.text("(");
                self.vector(depth + 1);
                self.text(")");
            }
            11 => self.limited(depth),
            12 => self.relabelled(depth),
            13 => {
                self.text("vector(");
                self.scalar(depth + 1);
                self.text(")");
            }
            _ => {
                self.put(METRICS);
                self.put(MODIFIERS);
            }
        }
    }

    fn aggregation(&mut self, depth: u32) {
        match self.choose(5) {
            1 => {
                self.text("quantile ");
                self.put(GROUPINGS);
                self.text("(");
                // Prometheus takes an aggregation for the same at all steps if what
                // is aggregated is, so that a number that changes would not be seen.
                self.put(NUMBERS);
                self.text(", ");
            }
            2 => {
                self.text("count_values ");
                self.put(GROUPINGS);
                self.text("(");
                self.put(&["\"v\", ", "\"a\", "]);
            }
            _ => {
                self.put(AGGREGATIONS);
                self.put(GROUPINGS);
                self.text("(");
            }
        }
        self.is_added = true;
        self.vector(depth + 1);
        self.is_added = false;
        self.text(")");
    }

    fn matrix(&mut self, depth: u32) {
        if depth < MAX_DEPTH && !self.is_added && self.choose(3) == 1 {
            self.text("(");
            self.vector(depth + 1);
            self.text(")");
            self.put(SUBQUERIES);
        } else {
            self.put(METRICS);
            self.text("[");
            self.put(RANGES);
            self.text("]");
        }
        self.put(MODIFIERS);
    }

    fn operation(&mut self, depth: u32) {
        let sides = self.choose(4);
        self.text("(");
        match sides {
            1 => self.scalar(depth + 1),
            _ => self.vector(depth + 1),
        }
        if sides == 0 {
            self.put(&[" and ", " or ", " unless "]);
            self.put(&["", "on (a) ", "ignoring (b) "]);
        } else {
            self.put(&[
                " + ",
                " - ",
                " * ",
                " / ",
                " % ",
                " ^ ",
                " atan2 ",
                " > ",
                " == ",
                " != ",
                " <= ",
                " > bool ",
                " == bool ",
            ]);
        }
        if sides == 3 {
            self.put(MATCHINGS);
        }
        match sides {
            2 => self.scalar(depth + 1),
            _ => self.vector(depth + 1),
        }
        self.text(")");
    }

    fn limited(&mut self, depth: u32) {
        let limits = self.choose(4);
        self.text(["clamp_min(", "clamp_max(", "clamp(", "round("][limits]);
        self.vector(depth + 1);
        for _ in 0..[1, 1, 2, 1][limits] {
            self.text(", ");
            self.scalar(depth + 1);
        }
        self.text(")");
    }

    fn relabelled(&mut self, depth: u32) {
        let joins = self.choose(2) == 1;
        self.text(if joins {
            "label_join("
        } else {
            "label_replace("
        });
        self.vector(depth + 1);
        if joins {
            self.text(", \"j\", \"-\", \"a\", \"b\")");
        } else {
            self.put(&[", \"a\"", ", \"dst\"", ", \"__name__\""]);
            self.put(&[", \"$1\"", ", \"\"", ", \"x$1\""]);
            self.put(&[", \"a\"", ", \"b\""]);
            self.put(&[", \"(.*)\")", ", \"(p).*\")"]);
        }
    }
}
