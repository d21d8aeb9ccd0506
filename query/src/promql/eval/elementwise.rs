//! Functions of one value: tables of what is computed.

use std::f64::consts::PI;

use crate::promql::time::Civil;

pub(super) type Math = fn(f64) -> f64;
pub(super) type DatePart = fn(&Civil) -> i64;

/// Returns the function of that name from numbers to numbers.
pub(super) fn math(func: &str) -> Option<Math> {
    Some(match func {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => f64::exp,
        "sqrt" => f64::sqrt,
        "ln" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" => f64::asinh,
        "acosh" => f64::acosh,
        "atanh" => f64::atanh,
        "rad" => |v| v * PI / 180.0,
        "deg" => |v| v * 180.0 / PI,
        "sgn" => |v| {
            if v < 0.0 {
                -1.0
            } else if v > 0.0 {
                1.0
            } else {
                v
            }
        },
        _ => return None,
    })
}

/// Returns the part of a moment that a function of that name gives.
pub(super) fn date_part(func: &str) -> Option<DatePart> {
    Some(match func {
        "minute" => |t| t.minute,
        "hour" => |t| t.hour,
        "day_of_week" => |t| t.weekday,
        "day_of_month" => |t| t.day,
        "day_of_year" => |t| t.year_day,
        "days_in_month" => Civil::days_in_month,
        "month" => |t| t.month,
        "year" => |t| t.year,
        _ => return None,
    })
}

/// Converts to an integer as Go does on amd64: what does not fit is the smallest.
pub(super) fn go_int(value: f64) -> i64 {
    if value >= i64::MIN as f64 && value < i64::MAX as f64 {
        value as i64
    } else {
        i64::MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_compute_what_they_are_called() {
        let cases = [
            ("abs", -2.5, 2.5),
            ("ceil", 1.2, 2.0),
            ("floor", -1.2, -2.0),
            ("sgn", -7.0, -1.0),
            ("sgn", 0.0, 0.0),
            ("deg", PI, 180.0),
            ("rad", 180.0, PI),
            ("log2", 8.0, 3.0),
            ("sqrt", 9.0, 3.0),
        ];
        for (func, value, expected) in cases {
            assert_eq!(math(func).unwrap()(value), expected, "{func}({value})");
        }
        assert!(math("sgn").unwrap()(f64::NAN).is_nan());
    }

    #[test]
    fn numbers_beyond_integers_are_the_smallest() {
        assert_eq!(go_int(1.9), 1);
        assert_eq!(go_int(-1.9), -1);
        assert_eq!(go_int(f64::NAN), i64::MIN);
        assert_eq!(go_int(1e300), i64::MIN);
    }
}
