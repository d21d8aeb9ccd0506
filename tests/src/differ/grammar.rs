//! Queries that Prometheus 2.42 and 3.14 answer alike, written from bytes: each byte is
//! one choice, and when they are used up the first choice is taken, which ends every
//! expression. Leaving bytes out gives smaller queries.
//!
//! What differs between the two and is therefore not written:
//!
//! - Ranges and lookback are open to the left since 3.0. All edges of windows lie at half
//!   seconds, or at whole ones with samples that are never there; subqueries, whose
//!   samples are at whole seconds, have edges at half ones.
//! - `atan2` keeps the name of a metric in 2.42: it stands between scalars only.
//! - Equal values come in another order out of `topk`: it takes none of them or all, or
//!   is applied to series that have no equal values.
//! - `predict_linear` loses samples of ranges that are pinned with `@` in 2.42.
//! - The deviation of an infinite value is 0 in 2.42, as of other single values.
//! - `holt_winters` has another name: see [`for_old`].
//! - `rate` and `increase` guess zero of a counter otherwise: they get counters far away
//!   from it.
//! - Sums and means compensate rounding since 3.0. What jumps at a value (comparisons,
//!   `floor`, `topk`) is applied to what both compute to the same bit: see [`Care`].

/// Depth below which only leaves are written.
const MAX_DEPTH: u32 = 5;

/// What must be true of the values of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Care {
    /// Nothing.
    Free,
    /// Both compute the same bits.
    Exact,
    /// And they are multiples of a quarter, so that all orders of addition agree.
    Quarters,
}

use Care::{Exact, Free, Quarters};

/// Where a subquery is evaluated: at half seconds or at whole ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Half,
    Whole,
}

/// Whether the order of the answer to an instant query is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// It is not.
    Any,
    /// Values rise or fall; equal ones in any order.
    Sorted,
}

/// A query as it is written for 3.14.
#[derive(Debug, Clone)]
pub struct Query {
    /// Its text.
    pub text: String,
    /// The order of its answer.
    pub order: Order,
    /// Whether it can be asked over a range.
    pub has_range: bool,
}

/// Writes a query.
pub fn query(bytes: &[u8]) -> Query {
    let mut writer = Writer {
        bytes,
        text: String::new(),
        pins: true,
    };
    let (mut order, mut has_range) = (Order::Any, true);
    match writer.choose(16) {
        1 => {
            order = Order::Sorted;
            writer.put(&["sort(", "sort_desc("]);
            writer.vector(0, Exact, At::Half);
            writer.text.push(')');
        }
        2 => {
            order = Order::Sorted;
            writer.put(&["topk(", "bottomk("]);
            writer.put(&["1", "3", "100", "0", "-1", "2.9"]);
            // Equal values have no order: these series have none.
            writer.text.push_str(", ");
            writer.put(&["x", "c_total"]);
            writer.put(MATCHERS);
            writer.text.push(')');
        }
        3 => writer.scalar(0, Free, At::Half),
        4 => {
            has_range = false;
            writer.matrix(0, Free, At::Half, Counters::Any);
        }
        _ => writer.vector(0, Free, At::Half),
    }
    Query {
        text: writer.text,
        order,
        has_range,
    }
}

/// Returns the query in the words of 2.42.
pub fn for_old(text: &str) -> String {
    text.replace("double_exponential_smoothing(", "holt_winters(")
}

/// Which series a range function may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counters {
    /// All.
    Any,
    /// Those of which nobody guesses when they were zero.
    FarFromZero,
}

const METRICS: &[&str] = &[
    "c_total",
    "neg_total",
    "r_total",
    "g",
    "x",
    "h_bucket",
    "meta",
    "single",
    "none",
];
const QUARTERS: &[&str] = &["c_total", "neg_total", "r_total", "g", "h_bucket", "meta"];
const MATCHERS: &[&str] = &[
    "",
    "",
    "",
    "",
    "",
    "",
    "{a=\"p\"}",
    "{a!=\"p\"}",
    "{a=~\"p|q\"}",
    "{b=\"\"}",
    "{b!~\"1|\"}",
    "{job=\"j\",a!~\"r.*\"}",
    "{b=~\".+\"}",
];
const RANGES: &[&str] = &["1m", "15s", "40s", "5m", "2m30s", "10m", "1h"];
const STEPS: &[&str] = &["15s", "", "20s", "7s", "1m", "2m"];
const PINS: &[&str] = &[
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    " @ 1700000700.5",
    " @ start()",
    " @ end()",
    " @ 1700001333.5",
];
const OFFSETS: &[&str] = &["1m", "-45s", "3m", "17s"];
const HALF_OFFSETS: &[&str] = &["500ms", "10s500ms", "-2s500ms"];
const NUMBERS: &[&str] = &[
    "1", "0", "-1", "0.5", "2", "100", "-0.25", "NaN", "Inf", "-Inf", "1e3",
];
const SMALL: &[&str] = &["1", "0", "-1", "2", "3", "4"];
const GROUPINGS: &[&str] = &[
    "",
    "by (a) ",
    "by (a, b) ",
    "without (a) ",
    "by (job, none) ",
    "without () ",
    "by (__name__) ",
    "by () ",
];
const MATCHINGS: &[&str] = &[
    "",
    "",
    "on (a, b) ",
    "ignoring (job) ",
    "on (a) group_left () ",
    "on (a, b) group_left (zone) ",
    "ignoring (job, b) group_right () ",
    "on () ",
];
const SET_MATCHINGS: &[&str] = &["", "on (a) ", "ignoring (job) ", "on () "];

/// Range functions of the same bits in both.
const EXACT_OVER: &[&str] = &[
    "last_over_time",
    "max_over_time",
    "min_over_time",
    "count_over_time",
    "present_over_time",
    "changes",
    "resets",
    "idelta",
    "absent_over_time",
    "irate",
];
/// Those whose results are quarters if their samples are.
const QUARTERS_OVER: &[&str] = &[
    "last_over_time",
    "max_over_time",
    "min_over_time",
    "count_over_time",
    "present_over_time",
    "changes",
    "resets",
    "idelta",
    "sum_over_time",
];
const FREE_OVER: &[&str] = &[
    "rate",
    "increase",
    "delta",
    "irate",
    "idelta",
    "sum_over_time",
    "avg_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "deriv",
    "last_over_time",
    "max_over_time",
    "min_over_time",
    "count_over_time",
    "changes",
    "resets",
    "present_over_time",
    "absent_over_time",
];
const MATH: &[&str] = &[
    "abs", "sqrt", "exp", "ln", "log2", "log10", "sin", "cos", "tan", "atan", "asinh", "tanh",
    "deg", "rad", "sgn", "acos", "asin", "acosh", "atanh", "sinh", "cosh",
];
const DATES: &[&str] = &[
    "minute",
    "hour",
    "day_of_week",
    "day_of_month",
    "day_of_year",
    "days_in_month",
    "month",
    "year",
];

struct Writer<'a> {
    bytes: &'a [u8],
    text: String,
    /// Whether the next range vector may be pinned to a time.
    pins: bool,
}

impl Writer<'_> {
    fn choose(&mut self, among: usize) -> usize {
        match self.bytes.split_first() {
            Some((&byte, rest)) => {
                self.bytes = rest;
                usize::from(byte) % among
            }
            None => 0,
        }
    }

    fn put(&mut self, from: &[&str]) {
        let piece = from[self.choose(from.len())];
        self.text.push_str(piece);
    }

    fn scalar(&mut self, depth: u32, care: Care, at: At) {
        match self.choose(if depth < MAX_DEPTH { 6 } else { 1 }) {
            1 => {
                self.text.push_str("scalar(");
                self.vector(depth + 1, care, at);
                self.text.push(')');
            }
            2 if care == Free => self.put(&["time()", "pi()"]),
            3 => {
                let care = if care == Free { Exact } else { care };
                self.text.push('(');
                self.scalar(depth + 1, care, at);
                self.put(&[" > bool ", " == bool ", " <= bool ", " != bool "]);
                self.scalar(depth + 1, care, at);
                self.text.push(')');
            }
            4 => {
                self.text.push('(');
                self.scalar(depth + 1, care, at);
                match care {
                    Free => self.put(&[" + ", " - ", " * ", " / ", " ^ ", " atan2 "]),
                    Exact => self.put(&[" + ", " - ", " * ", " / ", " % "]),
                    Quarters => self.put(&[" + ", " - "]),
                }
                self.scalar(depth + 1, care, at);
                self.text.push(')');
            }
            _ if care == Quarters => self.put(SMALL),
            _ => self.put(NUMBERS),
        }
    }

    fn selector(&mut self, care: Care, counters: Counters, range: Option<&str>) {
        match (counters, care) {
            (Counters::FarFromZero, _) => self.put(&["c_total", "neg_total"]),
            (_, Quarters) => self.put(QUARTERS),
            _ => self.put(METRICS),
        }
        self.put(MATCHERS);
        if let Some(range) = range {
            self.text.push('[');
            self.text.push_str(range);
            self.text.push(']');
        }
        if std::mem::replace(&mut self.pins, true) {
            self.put(PINS);
        }
        if self.choose(5) == 1 {
            self.text.push_str(" offset ");
            self.put(OFFSETS);
        }
    }

    fn matrix(&mut self, depth: u32, care: Care, at: At, counters: Counters) {
        let range = RANGES[self.choose(RANGES.len())];
        if depth >= MAX_DEPTH || self.choose(3) != 1 {
            return self.selector(care, counters, Some(range));
        }
        let may_pin = std::mem::replace(&mut self.pins, true);
        match counters {
            Counters::FarFromZero => self.selector(care, counters, None),
            Counters::Any => {
                self.text.push('(');
                self.vector(depth + 1, care, At::Whole);
                self.text.push(')');
            }
        }
        // A subquery without a step, and so of whole minutes.
        let step = STEPS[self.choose(STEPS.len())];
        self.text.push_str(&format!("[{range}:{step}]"));
        let pinned = may_pin && self.choose(6) == 1;
        if pinned {
            self.text.push_str(" @ 1700000900.5");
        }
        if at == At::Half || pinned {
            if self.choose(4) == 1 {
                self.text.push_str(" offset ");
                self.put(OFFSETS);
            }
        } else {
            self.text.push_str(" offset ");
            self.put(HALF_OFFSETS);
        }
    }

    fn vector(&mut self, depth: u32, care: Care, at: At) {
        let choice = self.choose(if depth < MAX_DEPTH { 20 } else { 1 });
        match choice {
            1..6 => self.over_range(depth, care, at),
            6..9 => self.aggregation(depth, care, at),
            9..12 => self.operation(depth, care, at),
            12 => self.call("abs(", depth, care, at, ")"),
            13 => self.elementwise(depth, care, at),
            14 => self.relabel(depth, care, at),
            15 => self.sets(depth, care, at),
            16 => self.call("-(", depth, care, at, ")"),
            17 => self.special(depth, care, at),
            18 => self.call("absent(", depth, Free, at, ")"),
            _ => self.selector(care, Counters::Any, None),
        }
    }

    fn call(&mut self, open: &str, depth: u32, care: Care, at: At, close: &str) {
        self.text.push_str(open);
        self.vector(depth + 1, care, at);
        self.text.push_str(close);
    }

    fn over_range(&mut self, depth: u32, care: Care, at: At) {
        if care == Free && self.choose(6) == 1 {
            return self.with_parameters(depth, at);
        }
        let functions = match care {
            Free => FREE_OVER,
            Exact => EXACT_OVER,
            Quarters => QUARTERS_OVER,
        };
        let function = functions[self.choose(functions.len())];
        self.text.push_str(function);
        self.text.push('(');
        let counters = match function {
            "rate" | "increase" => Counters::FarFromZero,
            _ => Counters::Any,
        };
        // What counts jumps must see the same values.
        let care = match function {
            "changes" | "resets" | "irate" | "idelta" => care.max(Exact),
            _ => care,
        };
        self.matrix(depth + 1, care, at, counters);
        self.text.push(')');
    }

    fn with_parameters(&mut self, depth: u32, at: At) {
        match self.choose(3) {
            0 => {
                self.text.push_str("quantile_over_time(");
                self.put(&["0.5", "0", "1", "0.9", "-1", "2", "NaN"]);
                self.text.push_str(", ");
                self.matrix(depth + 1, Free, at, Counters::Any);
            }
            1 => {
                self.text.push_str("predict_linear(");
                self.pins = false;
                self.matrix(depth + 1, Free, at, Counters::Any);
                self.text.push_str(", ");
                self.put(&["60", "0", "-3600", "0.5"]);
            }
            _ => {
                self.text.push_str("double_exponential_smoothing(");
                self.matrix(depth + 1, Free, at, Counters::Any);
                self.text.push_str(", ");
                self.put(&["0.5", "0.1", "0.9"]);
                self.text.push_str(", ");
                self.put(&["0.5", "0.1", "0.9"]);
            }
        }
        self.text.push(')');
    }

    fn aggregation(&mut self, depth: u32, care: Care, at: At) {
        let mut inner = care;
        let mut parameter = None;
        match (self.choose(12), care) {
            (1, Free) => self.text.push_str("avg "),
            (10, Free) => return self.spread(),
            (2, _) => {
                self.text.push_str("count_values ");
                inner = Exact.max(care);
                parameter = Some(&["\"v\"", "\"a\"", "\"job\""][..]);
            }
            (3, Free | Exact) => {
                self.text.push_str("quantile ");
                parameter = Some(&["0.5", "0", "1", "0.9", "-1", "2", "NaN"][..]);
            }
            (4 | 5, _) => {
                self.put(&["topk ", "bottomk "]);
                inner = Exact.max(care);
                // Ties have no order: none or all are taken.
                parameter = Some(&["1000", "0", "-3"][..]);
            }
            (6, _) => self.text.push_str("count "),
            (7, _) => self.text.push_str("group "),
            (8..10, Free) => self.text.push_str("sum "),
            (8..10, _) => {
                self.text.push_str("sum ");
                inner = Quarters;
            }
            _ => self.put(&["min ", "max "]),
        }
        self.put(GROUPINGS);
        self.text.push('(');
        if let Some(parameter) = parameter {
            self.put(parameter);
            self.text.push_str(", ");
        }
        self.vector(depth + 1, inner, at);
        self.text.push(')');
    }

    /// Standard deviations, of numbers that are finite.
    fn spread(&mut self) {
        self.put(&["stddev ", "stdvar "]);
        self.put(GROUPINGS);
        self.text.push('(');
        let close = match self.choose(3) {
            0 => "",
            1 => {
                self.text.push_str("rate(");
                "[2m])"
            }
            _ => {
                self.text.push_str("max_over_time(");
                "[1m])"
            }
        };
        self.put(&["c_total", "neg_total"]);
        self.put(MATCHERS);
        self.text.push_str(close);
        self.text.push(')');
    }

    fn operation(&mut self, depth: u32, care: Care, at: At) {
        let compares = self.choose(3) == 1;
        let care = if compares { care.max(Exact) } else { care };
        let sides = self.choose(4);
        // Without parentheses what binds tighter comes first.
        let in_parens = compares || care != Free || self.choose(4) != 1;
        if in_parens {
            self.text.push('(');
        }
        if sides == 1 {
            self.scalar(depth + 1, care, at);
        } else {
            self.vector(depth + 1, care, at);
        }
        match (compares, care) {
            (true, _) => self.put(&[
                " > ",
                " == ",
                " != ",
                " < ",
                " >= bool ",
                " <= ",
                " == bool ",
            ]),
            (_, Free) => self.put(&[" + ", " - ", " * ", " / ", " ^ "]),
            (_, Exact) => self.put(&[" + ", " - ", " * ", " / ", " % "]),
            (_, Quarters) => self.put(&[" + ", " - "]),
        }
        if sides == 2 {
            self.scalar(depth + 1, care, at);
        } else {
            if sides != 1 {
                self.put(MATCHINGS);
            }
            self.vector(depth + 1, care, at);
        }
        if in_parens {
            self.text.push(')');
        }
    }

    fn sets(&mut self, depth: u32, care: Care, at: At) {
        self.text.push('(');
        self.vector(depth + 1, care, at);
        self.put(&[" and ", " or ", " unless "]);
        self.put(SET_MATCHINGS);
        self.vector(depth + 1, care, at);
        self.text.push(')');
    }

    fn elementwise(&mut self, depth: u32, care: Care, at: At) {
        if care == Free && self.choose(2) == 1 {
            self.put(MATH);
            // Far from zero a little rounding is a whole turn.
            return self.call("(", depth, Exact, at, ")");
        }
        let inner = care.max(Exact);
        match self.choose(6) {
            0 => {
                self.put(&["ceil", "floor", "sgn"]);
                self.call("(", depth, inner, at, ")");
            }
            1 if care != Quarters => {
                self.call("round(", depth, inner, at, ", ");
                self.put(&["1", "0.1", "5", "-2", "0"]);
                self.text.push(')');
            }
            2 => {
                self.call("clamp(", depth, inner, at, ", ");
                self.scalar(depth + 1, inner, at);
                self.text.push_str(", ");
                self.scalar(depth + 1, inner, at);
                self.text.push(')');
            }
            3 => {
                self.put(&["clamp_min", "clamp_max"]);
                self.call("(", depth, inner, at, ", ");
                self.scalar(depth + 1, inner, at);
                self.text.push(')');
            }
            4 => {
                self.put(DATES);
                self.call("(", depth, inner, at, ")");
            }
            _ if care == Quarters => self.call("abs(", depth, care, at, ")"),
            _ => self.call("timestamp(", depth, Exact, at, ")"),
        }
    }

    fn relabel(&mut self, depth: u32, care: Care, at: At) {
        if self.choose(2) == 1 {
            self.call("label_join(", depth, care, at, ", ");
            self.put(&["\"j\"", "\"a\"", "\"job\""]);
            self.text.push_str(", ");
            self.put(&["\"-\"", "\"\""]);
            self.put(&[", \"a\", \"b\")", ", \"b\")", ")", ", \"none\", \"job\")"]);
            return;
        }
        self.call("label_replace(", depth, care, at, ", ");
        self.put(&["\"dst\"", "\"a\"", "\"b\"", "\"__name__\""]);
        self.text.push_str(", ");
        self.put(&["\"$1\"", "\"x-$1$2\"", "\"\"", "\"${1}y\""]);
        self.text.push_str(", ");
        self.put(&["\"a\"", "\"b\"", "\"job\"", "\"none\""]);
        self.text.push_str(", ");
        self.put(&["\"(.*)\"", "\"(p|q)\"", "\"(.)(.*)\"", "\"\""]);
        self.text.push(')');
    }

    fn special(&mut self, depth: u32, care: Care, at: At) {
        match self.choose(4) {
            1 if care == Free => {
                self.text.push_str("histogram_quantile(");
                self.put(&["0.9", "0.5", "0", "1", "-1", "1.5", "NaN"]);
                self.text.push_str(", ");
                self.put(&[
                    "h_bucket",
                    "sum by (le) (h_bucket)",
                    "sum by (a, le) (increase(h_bucket[5m]))",
                    "rate(h_bucket[2m])",
                ]);
                self.text.push(')');
            }
            2 => {
                self.text.push_str("vector(");
                self.scalar(depth + 1, care, at);
                self.text.push(')');
            }
            3 if care == Free => {
                self.put(DATES);
                self.text.push_str("()");
            }
            _ => {
                self.text.push_str("last_over_time(");
                self.matrix(depth + 1, care, at, Counters::Any);
                self.text.push(')');
            }
        }
    }
}
