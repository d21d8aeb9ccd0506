//! Native histograms as templates see them: a pointer to a struct that prints itself.

use std::sync::Arc;

use kymo_storage::model::histogram::{Buckets, FloatHistogram};

use super::alert::SampleValue;
use super::exec::pointer;
use super::function::Function;
use super::value::{IntType, List, NamedType, Shape, Struct, Type, UintType, Value};

const FLOATS: Type = Type::Named(&FLOAT_LIST);
const SPANS: Type = Type::Named(&SPAN_LIST);

/// `histogram.FloatHistogram`
static HISTOGRAM: NamedType = NamedType {
    methods: &METHODS,
    stringer_on_pointer: true,
    ..NamedType::plain(
        "histogram.FloatHistogram",
        Shape::Struct(&[
            ("CounterResetHint", Type::Uint(UintType::Uint8)),
            ("Schema", Type::Int(IntType::Int32)),
            ("ZeroThreshold", Type::Float),
            ("ZeroCount", Type::Float),
            ("Count", Type::Float),
            ("Sum", Type::Float),
            ("PositiveSpans", SPANS),
            ("NegativeSpans", SPANS),
            ("PositiveBuckets", FLOATS),
            ("NegativeBuckets", FLOATS),
            ("CustomValues", FLOATS),
        ]),
    )
};

static METHODS: [Function; 1] = [Function::pure("String", &[], |arguments| {
    Ok(match arguments[0].pointee() {
        Value::Struct(histogram) => histogram.text().unwrap_or("").into(),
        _ => Value::from(""),
    })
})];

static FLOAT_LIST: NamedType = NamedType::plain("[]float64", Shape::List(Type::Float));

static SPAN_LIST: NamedType = NamedType::plain("[]histogram.Span", Shape::List(Type::Named(&SPAN)));

static SPAN: NamedType = NamedType::plain(
    "histogram.Span",
    Shape::Struct(&[
        ("Offset", Type::Int(IntType::Int32)),
        ("Length", Type::Uint(UintType::Uint32)),
    ]),
);

impl From<&FloatHistogram> for SampleValue {
    fn from(histogram: &FloatHistogram) -> SampleValue {
        // What a histogram holds nests three deep; nothing limits its size but its own.
        SampleValue(value(histogram).unwrap_or(Value::Invalid))
    }
}

fn value(histogram: &FloatHistogram) -> Result<Value, String> {
    let fields = vec![
        Value::Uint(histogram.counter_reset_hint as u64, UintType::Uint8),
        Value::Int(i64::from(histogram.schema), IntType::Int32),
        Value::Float(histogram.zero_threshold),
        Value::Float(histogram.zero_count),
        Value::Float(histogram.count),
        Value::Float(histogram.sum),
        spans(&histogram.positive)?,
        spans(&histogram.negative)?,
        floats(histogram.positive.counts())?,
        floats(histogram.negative.counts())?,
        floats(&histogram.custom_bounds)?,
    ];
    let fields = Struct::new(&HISTOGRAM, fields, Some(histogram.to_string()))?;
    Ok(pointer(Value::Struct(Arc::new(fields))))
}

fn floats(values: &[f64]) -> Result<Value, String> {
    let items = values.iter().copied().map(Value::Float).collect();
    Ok(Value::List(Arc::new(List::new(&FLOAT_LIST, items)?)))
}

fn spans(buckets: &Buckets) -> Result<Value, String> {
    let mut items = Vec::new();
    for span in buckets.spans() {
        let fields = vec![
            Value::Int(i64::from(span.offset), IntType::Int32),
            Value::Uint(u64::from(span.length), UintType::Uint32),
        ];
        items.push(Value::Struct(Arc::new(Struct::new(&SPAN, fields, None)?)));
    }
    Ok(Value::List(Arc::new(List::new(&SPAN_LIST, items)?)))
}
