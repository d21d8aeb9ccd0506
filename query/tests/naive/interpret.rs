//! A second engine, as simple as the language allows: it walks the tree once for each
//! step and keeps whole vectors of labels and numbers.

use std::collections::{BTreeMap, HashMap};

use kymo_query::promql::ast::{
    AggregateExpr, AggregateOp, BinaryExpr, BinaryOp, Call, Cardinality, Expr, ExprKind,
    StartOrEnd, TimeModifiers, VectorMatching, VectorSelector,
};
use kymo_storage::compat::regex::Regex;

use super::functions::{Window, of_number, of_window};
use super::model::{
    Data, Kahan, Labels, Samples, Value, mean, newest, quantile, set, window, without_name,
};

/// Step of subqueries that name none, and the usual lookback.
const DEFAULT_STEP_MS: i64 = 60_000;
const LOOKBACK_MS: i64 = 300_000;

/// A query being answered.
pub(crate) struct Interpreter<'a> {
    pub(crate) data: &'a Data,
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    pub(crate) step_ms: i64,
}

/// A value, or why there is none.
type Answer = Result<Value, String>;

impl Interpreter<'_> {
    /// Evaluates an expression at all steps: series with their points, by labels.
    pub(crate) fn range(&self, expr: &Expr) -> Result<BTreeMap<Labels, Samples>, String> {
        let mut series: BTreeMap<Labels, Samples> = BTreeMap::new();
        let mut t_ms = self.start_ms;
        while t_ms <= self.end_ms {
            let vector = match self.at(expr, t_ms)? {
                Value::Scalar(value) => vec![(Labels::new(), value)],
                Value::Vector(vector) => vector,
                other => return Err(format!("no range of {other:?}")),
            };
            for (labels, value) in vector {
                series.entry(labels).or_default().push((t_ms, value));
            }
            t_ms += self.step_ms.max(1);
        }
        Ok(series)
    }

    /// Evaluates an expression at one time.
    pub(crate) fn at(&self, expr: &Expr, t_ms: i64) -> Answer {
        match &expr.kind {
            ExprKind::Number(number) => Ok(Value::Scalar(number.value)),
            ExprKind::String(text) => Ok(Value::Text(text.clone())),
            ExprKind::Paren(inner) => self.at(inner, t_ms),
            ExprKind::Unary(unary) => match self.at(&unary.expr, t_ms)? {
                value if !unary.negative => Ok(value),
                Value::Scalar(value) => Ok(Value::Scalar(-value)),
                value => each(value, |v| Some(-v)),
            },
            ExprKind::VectorSelector(selector) => {
                let at_ms = self.time(&selector.time, t_ms);
                let found = self.selected(selector).filter_map(|(labels, samples)| {
                    let (_, value) = newest(samples, LOOKBACK_MS, at_ms)?;
                    Some((labels.clone(), value))
                });
                Ok(Value::Vector(found.collect()))
            }
            ExprKind::MatrixSelector(matrix) => {
                let end_ms = self.time(&matrix.selector.time, t_ms);
                let found = self.selected(&matrix.selector);
                let found = found.map(|(labels, samples)| {
                    (labels.clone(), window(samples, matrix.range_ms, end_ms))
                });
                Ok(Value::Matrix(found.filter(|s| !s.1.is_empty()).collect()))
            }
            ExprKind::Subquery(subquery) => {
                let end_ms = self.time(&subquery.time, t_ms);
                let step_ms = match subquery.step_ms {
                    0 => DEFAULT_STEP_MS,
                    step_ms => step_ms,
                };
                let open_ms = end_ms - subquery.range_ms;
                let mut at_ms = (open_ms.div_euclid(step_ms) + 1) * step_ms;
                let mut series: Vec<(Labels, Samples)> = Vec::new();
                while at_ms <= end_ms {
                    for (labels, value) in vector(self.at(&subquery.expr, at_ms)?) {
                        match series.iter_mut().find(|s| s.0 == labels) {
                            Some((_, samples)) => samples.push((at_ms, value)),
                            None => series.push((labels, vec![(at_ms, value)])),
                        }
                    }
                    at_ms += step_ms;
                }
                Ok(Value::Matrix(series))
            }
            ExprKind::Binary(binary) => self.binary(binary, t_ms),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, t_ms),
            ExprKind::Call(call) => self.call(call, t_ms),
        }
    }

    fn time(&self, time: &TimeModifiers, t_ms: i64) -> i64 {
        let at_ms = match (time.at_ms, time.at_bound) {
            (Some(at_ms), _) => at_ms,
            (None, Some(StartOrEnd::Start)) => self.start_ms,
            (None, Some(StartOrEnd::End)) => self.end_ms,
            (None, None) => t_ms,
        };
        at_ms - time.offset_ms
    }

    fn selected<'a>(
        &'a self,
        selector: &'a VectorSelector,
    ) -> impl Iterator<Item = &'a (Labels, Samples)> {
        self.data.iter().filter(|(labels, _)| {
            selector.matchers.iter().all(|matcher| {
                let value = labels.get(matcher.name()).map_or("", String::as_str);
                matcher.matches(value)
            })
        })
    }

    fn call(&self, call: &Call, t_ms: i64) -> Answer {
        let is_range = |arg: &&Expr| {
            matches!(
                arg.kind,
                ExprKind::MatrixSelector(_) | ExprKind::Subquery(_)
            )
        };
        if let Some(range) = call.args.iter().find(is_range) {
            return self.over_range(call, range, t_ms);
        }
        let mut args = Vec::new();
        for arg in &call.args {
            args.push(self.at(arg, t_ms)?);
        }
        let numbers: Vec<f64> = args.iter().filter_map(number).collect();
        let texts: Vec<&str> = args.iter().filter_map(text).collect();
        let limit = |at: usize| numbers.get(at).copied().unwrap_or(f64::NAN);
        match (call.func, args.first().cloned()) {
            ("time", _) => Ok(Value::Scalar(t_ms as f64 / 1000.0)),
            ("vector", _) => Ok(Value::Vector(vec![(Labels::new(), limit(0))])),
            ("scalar", Some(value)) => Ok(Value::Scalar(match vector(value).as_slice() {
                [(_, value)] => *value,
                _ => f64::NAN,
            })),
            ("absent", Some(value)) => Ok(Value::Vector(match vector(value).is_empty() {
                true => vec![(fixed_labels(&call.args[0]), 1.0)],
                false => Vec::new(),
            })),
            ("timestamp", Some(value)) => match &call.args[0].kind {
                ExprKind::VectorSelector(selector) => {
                    let at_ms = self.time(&selector.time, t_ms);
                    let found = self.selected(selector).filter_map(|(labels, samples)| {
                        let (sample_ms, _) = newest(samples, LOOKBACK_MS, at_ms)?;
                        Some((without_name(labels), sample_ms as f64 / 1000.0))
                    });
                    unique(found.collect())
                }
                _ => each(value, |_| Some(t_ms as f64 / 1000.0)),
            },
            ("clamp", Some(value)) => each(value, |v| {
                (limit(1) >= limit(0) || limit(0).is_nan() || limit(1).is_nan())
                    .then(|| larger(limit(0), smaller(limit(1), v)))
            }),
            ("clamp_min", Some(value)) => each(value, |v| Some(larger(limit(0), v))),
            ("clamp_max", Some(value)) => each(value, |v| Some(smaller(limit(0), v))),
            ("round", Some(value)) => {
                let inverse = 1.0 / numbers.first().copied().unwrap_or(1.0);
                each(value, |v| Some((v * inverse + 0.5).floor() / inverse))
            }
            ("sort" | "sort_desc", Some(value)) => Ok(value),
            ("label_replace", Some(value)) => {
                let regex =
                    Regex::new(&format!("^(?s:{})$", texts[3])).map_err(|e| e.to_string())?;
                let replaced = vector(value).into_iter().map(|(mut labels, v)| {
                    let source = labels.get(texts[2]).cloned().unwrap_or_default();
                    if let Some(captures) = regex.captures(&source) {
                        let mut expanded = String::new();
                        captures.expand(texts[1], &mut expanded);
                        set(&mut labels, texts[0], &expanded);
                    }
                    (labels, v)
                });
                unique(replaced.collect())
            }
            ("label_join", Some(value)) => {
                let joined = vector(value).into_iter().map(|(mut labels, v)| {
                    let get = |name: &&str| labels.get(*name).cloned().unwrap_or_default();
                    let parts: Vec<String> = texts[2..].iter().map(get).collect();
                    set(&mut labels, texts[0], &parts.join(texts[1]));
                    (labels, v)
                });
                unique(joined.collect())
            }
            (func, Some(value)) => each(value, |v| of_number(func, v)),
            (func, None) => panic!("unknown function {func}"),
        }
    }

    fn over_range(&self, call: &Call, range: &Expr, t_ms: i64) -> Answer {
        let mut numbers = Vec::new();
        for arg in &call.args {
            if !std::ptr::eq(arg, range) {
                numbers.extend(number(&self.at(arg, t_ms)?));
            }
        }
        let (time, range_ms) = match &range.kind {
            ExprKind::MatrixSelector(matrix) => (&matrix.selector.time, matrix.range_ms),
            ExprKind::Subquery(subquery) => (&subquery.time, subquery.range_ms),
            other => panic!("{other:?}"),
        };
        let Value::Matrix(series) = self.at(range, t_ms)? else {
            panic!("no matrix");
        };
        if call.func == "absent_over_time" {
            return Ok(Value::Vector(match series.is_empty() {
                true => vec![(fixed_labels(range), 1.0)],
                false => Vec::new(),
            }));
        }
        let keeps_name = matches!(call.func, "last_over_time" | "first_over_time");
        let mut made = Vec::new();
        for (labels, samples) in &series {
            let window = Window {
                samples,
                range_ms,
                end_ms: self.time(time, t_ms),
                now_ms: t_ms,
                numbers: &numbers,
            };
            if let Some(value) = of_window(call.func, &window) {
                let labels = match keeps_name {
                    true => labels.clone(),
                    false => without_name(labels),
                };
                made.push((labels, value));
            }
        }
        unique(made)
    }

    fn aggregate(&self, aggregate: &AggregateExpr, t_ms: i64) -> Answer {
        let param = match &aggregate.param {
            Some(param) => Some(self.at(param, t_ms)?),
            None => None,
        };
        let mut groups: Vec<(Labels, Vec<(Labels, f64)>)> = Vec::new();
        for (labels, value) in vector(self.at(&aggregate.expr, t_ms)?) {
            let mut key = labels.clone();
            // The value is a label of the series before they are grouped.
            let value_label = match aggregate.op {
                AggregateOp::CountValues => param.as_ref().and_then(text),
                _ => None,
            };
            if let Some(name) = value_label {
                set(&mut key, name, &kymo_storage::compat::float::f(value));
            }
            let grouping = &aggregate.grouping;
            if aggregate.without {
                key.retain(|name, _| name != "__name__" && !grouping.contains(name));
            } else {
                key.retain(|name, _| grouping.contains(name) || Some(name.as_str()) == value_label);
            }
            match groups.iter_mut().find(|group| group.0 == key) {
                Some((_, members)) => members.push((labels, value)),
                None => groups.push((key, vec![(labels, value)])),
            }
        }
        let q = param.as_ref().and_then(number).unwrap_or(f64::NAN);
        let mut made = Vec::new();
        for (key, members) in groups {
            let values: Vec<f64> = members.iter().map(|m| m.1).collect();
            let best = |better: fn(f64, f64) -> bool| {
                let first = values[0];
                let better = |best: f64, v: &f64| {
                    if better(*v, best) || best.is_nan() {
                        *v
                    } else {
                        best
                    }
                };
                values.iter().fold(first, better)
            };
            made.push((
                key,
                match aggregate.op {
                    AggregateOp::Sum => {
                        let first = Kahan::new(values[0]);
                        values[1..].iter().fold(first, |k, &v| k.add(v)).total()
                    }
                    AggregateOp::Avg => mean(&values),
                    AggregateOp::Count | AggregateOp::CountValues => values.len() as f64,
                    AggregateOp::Min => best(|v, best| v < best),
                    AggregateOp::Max => best(|v, best| v > best),
                    AggregateOp::Group => 1.0,
                    AggregateOp::Stdvar => spread(&values),
                    AggregateOp::Stddev => spread(&values).sqrt(),
                    AggregateOp::Quantile => quantile(q, &values),
                    other => panic!("{other:?}"),
                },
            ));
        }
        unique(made)
    }

    fn binary(&self, binary: &BinaryExpr, t_ms: i64) -> Answer {
        let op = binary.op;
        let (lhs, rhs) = (self.at(&binary.lhs, t_ms)?, self.at(&binary.rhs, t_ms)?);
        match (lhs, rhs) {
            (Value::Scalar(l), Value::Scalar(r)) => Ok(Value::Scalar(arithmetic(op, l, r))),
            (Value::Scalar(l), vector) => with_scalar(binary, vector, |v| (l, v)),
            (vector, Value::Scalar(r)) => with_scalar(binary, vector, |v| (v, r)),
            (lhs, rhs) => {
                let matching = binary.matching.clone().unwrap();
                let (lhs, rhs) = (vector(lhs), vector(rhs));
                if op.is_set() {
                    return Ok(Value::Vector(sets(op, &matching, lhs, rhs)));
                }
                match_one(binary, &matching, lhs, rhs)
            }
        }
    }
}

/// Population variance, updated value by value.
fn spread(values: &[f64]) -> f64 {
    let (mut mean, mut squares) = (values[0], 0.0);
    if !mean.is_finite() {
        return f64::NAN;
    }
    for (at, &value) in values.iter().enumerate().skip(1) {
        let delta = value - mean;
        mean += delta / (at + 1) as f64;
        squares += delta * (value - mean);
    }
    squares / values.len() as f64
}

fn vector(value: Value) -> Vec<(Labels, f64)> {
    match value {
        Value::Vector(vector) => vector,
        other => panic!("no vector: {other:?}"),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Scalar(value) => Some(*value),
        _ => None,
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// Changes every value of a vector, whose metric then means something else.
fn each(value: Value, change: impl Fn(f64) -> Option<f64>) -> Answer {
    let changed = vector(value).into_iter();
    let changed = changed.filter_map(|(labels, v)| Some((without_name(&labels), change(v)?)));
    unique(changed.collect())
}

/// Refuses a vector that has the same labels twice.
fn unique(vector: Vec<(Labels, f64)>) -> Answer {
    let mut seen = HashMap::new();
    for (labels, _) in &vector {
        if seen.insert(labels.clone(), ()).is_some() {
            return Err("vector cannot contain metrics with the same labelset".to_owned());
        }
    }
    Ok(Value::Vector(vector))
}

/// The labels that the matchers of a selector fix.
fn fixed_labels(expr: &Expr) -> Labels {
    let matchers = match &expr.kind {
        ExprKind::VectorSelector(selector) => &selector.matchers,
        ExprKind::MatrixSelector(matrix) => &matrix.selector.matchers,
        _ => return Labels::new(),
    };
    let mut labels = Labels::new();
    let mut seen = Vec::new();
    for matcher in matchers.iter().filter(|m| m.name() != "__name__") {
        if matcher.op().as_str() == "=" && !seen.contains(&matcher.name()) {
            set(&mut labels, matcher.name(), matcher.value());
            seen.push(matcher.name());
        } else {
            labels.remove(matcher.name());
        }
    }
    labels
}

fn larger(a: f64, b: f64) -> f64 {
    match (a, b) {
        _ if a == f64::INFINITY || b == f64::INFINITY => f64::INFINITY,
        _ if a.is_nan() || b.is_nan() => f64::NAN,
        _ if a == 0.0 && b == 0.0 => {
            if a.is_sign_negative() {
                b
            } else {
                a
            }
        }
        _ => {
            if a > b {
                a
            } else {
                b
            }
        }
    }
}

fn smaller(a: f64, b: f64) -> f64 {
    -larger(-a, -b)
}

fn arithmetic(op: BinaryOp, l: f64, r: f64) -> f64 {
    match op {
        BinaryOp::Add => l + r,
        BinaryOp::Sub => l - r,
        BinaryOp::Mul => l * r,
        BinaryOp::Div => l / r,
        BinaryOp::Mod => l % r,
        BinaryOp::Pow => l.powf(r),
        BinaryOp::Atan2 => l.atan2(r),
        op => f64::from(u8::from(holds(op, l, r))),
    }
}

fn holds(op: BinaryOp, l: f64, r: f64) -> bool {
    match op {
        BinaryOp::Eq => l == r,
        BinaryOp::Ne => l != r,
        BinaryOp::Lt => l < r,
        BinaryOp::Le => l <= r,
        BinaryOp::Gt => l > r,
        BinaryOp::Ge => l >= r,
        op => panic!("{op:?}"),
    }
}

fn with_scalar(binary: &BinaryExpr, value: Value, sides: impl Fn(f64) -> (f64, f64)) -> Answer {
    let op = binary.op;
    if op.is_comparison() && !binary.return_bool {
        let mut kept = vector(value);
        kept.retain(|(_, v)| holds(op, sides(*v).0, sides(*v).1));
        return Ok(Value::Vector(kept));
    }
    each(value, |v| Some(arithmetic(op, sides(v).0, sides(v).1)))
}

/// The labels by which two series find each other.
fn signature(matching: &VectorMatching, labels: &Labels) -> Labels {
    let mut key = labels.clone();
    match matching.on {
        true => key.retain(|name, _| matching.labels.contains(name)),
        false => key.retain(|name, _| name != "__name__" && !matching.labels.contains(name)),
    }
    key
}

fn sets(
    op: BinaryOp,
    matching: &VectorMatching,
    lhs: Vec<(Labels, f64)>,
    rhs: Vec<(Labels, f64)>,
) -> Vec<(Labels, f64)> {
    let among = |side: &[(Labels, f64)], of: &Labels| {
        let wanted = signature(matching, of);
        side.iter()
            .any(|(labels, _)| signature(matching, labels) == wanted)
    };
    match op {
        BinaryOp::And => lhs.into_iter().filter(|(l, _)| among(&rhs, l)).collect(),
        BinaryOp::Unless => lhs.into_iter().filter(|(l, _)| !among(&rhs, l)).collect(),
        _ => {
            let more: Vec<_> = rhs.into_iter().filter(|(l, _)| !among(&lhs, l)).collect();
            lhs.into_iter().chain(more).collect()
        }
    }
}

fn match_one(
    binary: &BinaryExpr,
    matching: &VectorMatching,
    lhs: Vec<(Labels, f64)>,
    rhs: Vec<(Labels, f64)>,
) -> Answer {
    let has_fill = matching.fill_left.or(matching.fill_right).is_some();
    if (lhs.is_empty() || rhs.is_empty()) && !has_fill {
        return Ok(Value::Vector(Vec::new()));
    }
    let swapped = matching.card == Cardinality::OneToMany;
    let (many, one) = if swapped { (rhs, lhs) } else { (lhs, rhs) };
    let (fill_many, fill_one) = match swapped {
        true => (matching.fill_right, matching.fill_left),
        false => (matching.fill_left, matching.fill_right),
    };
    let mut ones: BTreeMap<Labels, (Labels, f64)> = BTreeMap::new();
    for (labels, value) in one {
        let key = signature(matching, &labels);
        if ones.insert(key, (labels, value)).is_some() {
            return Err("found duplicate series for the match group".to_owned());
        }
    }
    let one_to_one = matching.card == Cardinality::OneToOne;
    let mut made = Vec::new();
    let mut matched: Vec<Labels> = Vec::new();
    let mut groups: Vec<(Labels, Labels)> = Vec::new();
    let mut pairs: Vec<(Labels, f64, Labels, f64, Labels)> = Vec::new();
    for (labels, value) in many {
        let key = signature(matching, &labels);
        match (ones.get(&key), fill_one) {
            (Some((one_labels, one)), _) => {
                pairs.push((labels, value, one_labels.clone(), *one, key));
            }
            (None, Some(fill)) => pairs.push((labels, value, key.clone(), fill, key)),
            (None, None) => {}
        }
    }
    if let Some(fill) = fill_many {
        let met: Vec<Labels> = pairs.iter().map(|pair| pair.4.clone()).collect();
        for (key, (labels, value)) in &ones {
            if !met.contains(key) {
                pairs.push((key.clone(), fill, labels.clone(), *value, key.clone()));
            }
        }
    }
    for (many_labels, many, one_labels, one, key) in pairs {
        let (l, r) = if swapped { (one, many) } else { (many, one) };
        let op = binary.op;
        let filters = op.is_comparison() && !binary.return_bool;
        let mut labels = match filters {
            true => many_labels.clone(),
            false => without_name(&many_labels),
        };
        if one_to_one {
            match matching.on {
                true => labels.retain(|name, _| matching.labels.contains(name)),
                false => labels.retain(|name, _| !matching.labels.contains(name)),
            }
        }
        for name in &matching.include {
            set(
                &mut labels,
                name,
                one_labels.get(name).map_or("", String::as_str),
            );
        }
        if one_to_one {
            if matched.contains(&key) {
                return Err("multiple matches for labels".to_owned());
            }
            matched.push(key);
        } else {
            let of = (key, labels.clone());
            if groups.contains(&of) {
                return Err("multiple matches for labels: grouping labels must ensure".to_owned());
            }
            groups.push(of);
        }
        if filters {
            if holds(op, l, r) {
                made.push((labels, l));
            }
        } else {
            made.push((labels, arithmetic(op, l, r)));
        }
    }
    unique(made)
}
