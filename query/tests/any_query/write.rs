//! Queries written from bytes: each byte is one choice, and when they are used up the
//! first choice is taken, which ends every expression.

use kymo_query::promql::ast::ValueType;
use kymo_query::promql::functions;

/// Depth below which only leaves are written.
const MAX_DEPTH: u32 = 7;

const SELECTORS: &[&str] = &[
    "m_total",
    "n",
    "h_bucket",
    "none",
    "target_info",
    "{instance=\"a\"}",
    "{__name__=~\"m.*|n\"}",
    "nh",
    "n{job!=\"\",instance=~\"a|b\"}",
];
const EDGES: &[&str] = &["", "", "", " anchored", " smoothed"];
const AT: &[&str] = &[
    "",
    "",
    "",
    " @ 300",
    " @ start()",
    " @ end()",
    " @ -1.5",
    " @ 9223372036854775",
    " @ -9223372036854775",
    " @ 4e15",
];
const DURATIONS: &[&str] = &[
    "5m",
    "1m",
    "15s",
    "1ms",
    "2m30s",
    "1h",
    "292y",
    "0.0001",
    "9223372036",
    "(step())",
    "(range() + 1)",
    "(5m * 3 ^ 2)",
    "(1y * 292)",
    "(1 / 3 % 0.2)",
    "max_of(step(), 1m)",
];
const SIGNS: &[&str] = &["", "-"];
const NUMBERS: &[&str] = &[
    "1",
    "0",
    "-1",
    "0.5",
    "NaN",
    "Inf",
    "-Inf",
    "1e308",
    "-1e308",
    "5e-324",
    "9e18",
    "-9e18",
    "9223372036854775807",
    "0x10",
    "1m",
    "-0.0",
];
const STRINGS: &[&str] = &[
    "\"a\"",
    "\"\"",
    "\"instance\"",
    "\"le\"",
    "\"__name__\"",
    "\"(.*)\"",
    "\"$1$1\"",
    "\"${1}-$0\"",
    "\"\\xff\"",
    "\"é\"",
    "\"(\"",
];
const ARITHMETIC: &[&str] = &["+", "-", "*", "/", "%", "^", "atan2", "== bool", "< bool"];
const OPERATORS: &[&str] = &[
    "+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", ">=", "<=", "and", "or", "unless",
    "> bool", "== bool", "</", ">/",
];
const MATCHINGS: &[&str] = &[
    "",
    "",
    "on (instance)",
    "on ()",
    "ignoring (job, le)",
    "on (instance) group_left",
    "on (instance, job) group_left (data)",
    "ignoring (le) group_right (job)",
    "fill (0)",
    "on (instance) fill_left (NaN)",
    "on (instance) group_left () fill_right (-1)",
];
const AGGREGATIONS: &[&str] = &[
    "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar",
];
const WITH_NUMBER: &[&str] = &["topk", "bottomk", "limitk", "limit_ratio", "quantile"];
const GROUPINGS: &[&str] = &[
    "",
    "by ()",
    "by (instance)",
    "without (le)",
    "by (job, __name__, none)",
    "without ()",
];

/// Writes a query; it may still be refused, for instance for its durations.
pub(crate) fn query(bytes: &[u8]) -> String {
    let mut writer = Writer {
        bytes,
        text: String::new(),
    };
    let kind = writer.pick(&[
        ValueType::Vector,
        ValueType::Vector,
        ValueType::Vector,
        ValueType::Scalar,
        ValueType::Matrix,
    ]);
    writer.expr(kind, 0);
    writer.text
}

struct Writer<'a> {
    bytes: &'a [u8],
    text: String,
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

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.choose(from.len())]
    }

    fn put(&mut self, from: &[&str]) {
        let piece = self.pick(from);
        self.text.push_str(piece);
    }

    fn put_modifiers(&mut self) {
        self.put(AT);
        if self.choose(4) == 1 {
            self.text.push_str(" offset ");
            self.put(SIGNS);
            self.put(DURATIONS);
        }
    }

    fn expr(&mut self, kind: ValueType, depth: u32) {
        match kind {
            ValueType::Scalar => self.scalar(depth),
            ValueType::Vector => self.vector(depth),
            ValueType::Matrix => self.matrix(depth),
            ValueType::String => self.put(STRINGS),
        }
    }

    fn scalar(&mut self, depth: u32) {
        match self.choose(if depth < MAX_DEPTH { 4 } else { 1 }) {
            1 => self.call(ValueType::Scalar, depth),
            2 => self.operation(ValueType::Scalar, depth),
            _ => self.put(NUMBERS),
        }
    }

    fn vector(&mut self, depth: u32) {
        match self.choose(if depth < MAX_DEPTH { 8 } else { 1 }) {
            1..4 => self.call(ValueType::Vector, depth),
            4 => self.operation(ValueType::Vector, depth),
            5 | 6 => self.aggregation(depth),
            7 => {
                self.text.push_str("-(");
                self.vector(depth + 1);
                self.text.push(')');
            }
            _ => {
                self.put(SELECTORS);
                self.put(EDGES);
                self.put_modifiers();
            }
        }
    }

    fn matrix(&mut self, depth: u32) {
        if depth < MAX_DEPTH && self.choose(3) == 1 {
            self.text.push('(');
            self.vector(depth + 1);
            self.text.push_str(")[");
            self.put(DURATIONS);
            self.text.push(':');
            if self.choose(2) == 1 {
                self.put(DURATIONS);
            }
            self.text.push(']');
        } else {
            self.put(SELECTORS);
            self.text.push('[');
            self.put(DURATIONS);
            self.text.push(']');
            self.put(EDGES);
        }
        self.put_modifiers();
    }

    fn call(&mut self, kind: ValueType, depth: u32) {
        let of_kind: Vec<_> = functions()
            .iter()
            .filter(|f| f.return_type == kind)
            .collect();
        let function = self.pick(&of_kind);
        let mut types = function.arg_types.to_vec();
        if let (Some(&last), true) = (types.last(), function.variadic != 0) {
            types.pop();
            let more = self.choose(if function.variadic == 1 { 2 } else { 3 });
            types.extend(std::iter::repeat_n(last, more));
        }
        self.text.push_str(function.name);
        self.text.push('(');
        for (at, kind) in types.into_iter().enumerate() {
            if at > 0 {
                self.text.push_str(", ");
            }
            // The second argument of `info` may only be matchers.
            if function.name == "info" && at == 1 {
                self.text.push_str("{data=~\".*\"}");
            } else {
                self.expr(kind, depth + 1);
            }
        }
        self.text.push(')');
    }

    fn operation(&mut self, kind: ValueType, depth: u32) {
        let (l, r) = match kind {
            ValueType::Scalar => (kind, kind),
            _ => self.pick(&[
                (ValueType::Vector, ValueType::Vector),
                (ValueType::Vector, ValueType::Scalar),
                (ValueType::Scalar, ValueType::Vector),
            ]),
        };
        self.text.push('(');
        self.expr(l, depth + 1);
        self.text.push_str(") ");
        match kind {
            ValueType::Scalar => self.put(ARITHMETIC),
            _ => self.put(OPERATORS),
        }
        self.text.push(' ');
        if l == r && kind == ValueType::Vector {
            self.put(MATCHINGS);
        }
        self.text.push_str(" (");
        self.expr(r, depth + 1);
        self.text.push(')');
    }

    fn aggregation(&mut self, depth: u32) {
        let parameter = match self.choose(3) {
            0 => None,
            1 => Some(ValueType::Scalar),
            _ => Some(ValueType::String),
        };
        match parameter {
            None => self.put(AGGREGATIONS),
            Some(ValueType::Scalar) => self.put(WITH_NUMBER),
            Some(_) => self.text.push_str("count_values"),
        }
        self.text.push(' ');
        self.put(GROUPINGS);
        self.text.push_str(" (");
        if let Some(kind) = parameter {
            self.expr(kind, depth + 1);
            self.text.push_str(", ");
        }
        self.vector(depth + 1);
        self.text.push(')');
    }
}
