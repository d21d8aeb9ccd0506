//! What templates can call on a time.

use super::duration::{DURATION, nanos};
use super::layout::{DAYS, MONTHS};
use super::{Civil, TIME, Time, Zone};
use crate::template::function::Function;
use crate::template::value::{IntType, NamedType, Shape, Type, Value};

/// `time.Month`
static MONTH: NamedType = NamedType {
    name: "time.Month",
    shape: Shape::Int(IntType::Int),
    methods: &[Function::pure("String", &[], |arguments| {
        Ok(month_name(&arguments[0]).into())
    })],
    stringer: Some(month_name),
    stringer_on_pointer: false,
};

/// `time.Weekday`
static WEEKDAY: NamedType = NamedType {
    name: "time.Weekday",
    shape: Shape::Int(IntType::Int),
    methods: &[Function::pure("String", &[], |arguments| {
        Ok(weekday_name(&arguments[0]).into())
    })],
    stringer: Some(weekday_name),
    stringer_on_pointer: false,
};

const INT: Type = Type::Int(IntType::Int);
static ONE_TIME: [Type; 1] = [Type::Named(&TIME)];
static ONE_DURATION: [Type; 1] = [Type::Named(&DURATION)];

pub(super) static METHODS: [Function; 24] = [
    Function::pure("String", &[], |arguments| {
        Ok(time(&arguments[0]).to_string().into())
    }),
    Function::pure("Format", &[Type::String], |arguments| {
        let layout = match &arguments[1] {
            Value::String(layout) => layout.to_str().into_owned(),
            _ => String::new(),
        };
        Ok(time(&arguments[0]).format(&layout).into())
    }),
    Function::pure("Unix", &[], |arguments| {
        Ok(Value::int64(time(&arguments[0]).unix()))
    }),
    Function::pure("UnixMilli", &[], |arguments| {
        Ok(Value::int64(time(&arguments[0]).unix_ms()))
    }),
    Function::pure("UnixMicro", &[], |arguments| {
        Ok(Value::int64(
            time(&arguments[0]).unix_nanos().div_euclid(1000),
        ))
    }),
    Function::pure("UnixNano", &[], |arguments| {
        Ok(Value::int64(time(&arguments[0]).unix_nanos()))
    }),
    Function::pure("UTC", &[], |arguments| {
        Ok(Value::Time(time(&arguments[0]).in_zone(Zone::Utc)))
    }),
    // The local time of templates is UTC.
    Function::pure("Local", &[], |arguments| {
        Ok(Value::Time(time(&arguments[0]).in_zone(Zone::Utc)))
    }),
    Function::pure("Add", &ONE_DURATION, |arguments| {
        let nanos = i128::from(nanos(&arguments[1]));
        Ok(Value::Time(time(&arguments[0]).plus(nanos)))
    }),
    Function::pure("AddDate", &[INT, INT, INT], |arguments| {
        let by = |index: usize| match arguments[index] {
            // Beyond this no year has a name.
            Value::Int(by, _) => by.clamp(-1_000_000, 1_000_000),
            _ => 0,
        };
        Ok(Value::Time(add_date(
            &time(&arguments[0]),
            by(1),
            by(2),
            by(3),
        )))
    }),
    Function::pure("Sub", &ONE_TIME, |arguments| {
        let span = time(&arguments[0]).total_nanos() - time(&arguments[1]).total_nanos();
        let clamped = span.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
        Ok(Value::Number(clamped as i64, &DURATION))
    }),
    Function::pure("After", &ONE_TIME, |arguments| {
        let (a, b) = (time(&arguments[0]), time(&arguments[1]));
        Ok(Value::Bool(a.total_nanos() > b.total_nanos()))
    }),
    Function::pure("Before", &ONE_TIME, |arguments| {
        let (a, b) = (time(&arguments[0]), time(&arguments[1]));
        Ok(Value::Bool(a.total_nanos() < b.total_nanos()))
    }),
    Function::pure("Equal", &ONE_TIME, |arguments| {
        let (a, b) = (time(&arguments[0]), time(&arguments[1]));
        Ok(Value::Bool(a.total_nanos() == b.total_nanos()))
    }),
    Function::pure("IsZero", &[], |arguments| {
        let zero = time(&arguments[0]).total_nanos() == Time::ZERO.total_nanos();
        Ok(Value::Bool(zero))
    }),
    Function::pure("Year", &[], |arguments| {
        Ok(Value::int(civil(&arguments[0]).year))
    }),
    Function::pure("Month", &[], |arguments| {
        Ok(Value::Number(civil(&arguments[0]).month, &MONTH))
    }),
    Function::pure("Day", &[], |arguments| {
        Ok(Value::int(civil(&arguments[0]).day))
    }),
    Function::pure("Hour", &[], |arguments| {
        Ok(Value::int(civil(&arguments[0]).hour))
    }),
    Function::pure("Minute", &[], |arguments| {
        Ok(Value::int(civil(&arguments[0]).minute))
    }),
    Function::pure("Second", &[], |arguments| {
        Ok(Value::int(civil(&arguments[0]).second))
    }),
    Function::pure("Nanosecond", &[], |arguments| {
        Ok(Value::int(i64::from(time(&arguments[0]).nanos)))
    }),
    Function::pure("Weekday", &[], |arguments| {
        Ok(Value::Number(civil(&arguments[0]).weekday, &WEEKDAY))
    }),
    Function::pure("YearDay", &[], |arguments| {
        Ok(Value::int(civil(&arguments[0]).year_day))
    }),
];

fn time(value: &Value) -> Time {
    match value.pointee() {
        Value::Time(time) => time.clone(),
        _ => Time::ZERO,
    }
}

fn civil(value: &Value) -> Civil {
    time(value).civil()
}

fn add_date(time: &Time, years: i64, months: i64, days: i64) -> Time {
    let mut civil = time.civil();
    let month = civil.month - 1 + months;
    civil.year += years + month.div_euclid(12);
    civil.month = month.rem_euclid(12) + 1;
    civil.day += days;
    Time::from_civil(&civil, time.nanos, time.zone.clone())
}

fn month_name(value: &Value) -> String {
    named(value, &MONTHS, 1, "%!Month")
}

fn weekday_name(value: &Value) -> String {
    named(value, &DAYS, 0, "%!Weekday")
}

fn named(value: &Value, names: &[&str], first: i64, unknown: &str) -> String {
    let number = nanos(value);
    let name = usize::try_from(number.wrapping_sub(first))
        .ok()
        .and_then(|index| names.get(index));
    match name {
        Some(name) => (*name).to_owned(),
        None => format!("{unknown}({number})"),
    }
}
