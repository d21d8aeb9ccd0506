//! Go's forms of printing and reading an `f64`.
//!
//! Every `push_*` function appends to a `String` or `Vec<u8>`; the shortest forms
//! allocate nothing else. The shortest digits that read back as the same value come from
//! `zmij`; what differs between the forms is only where the point stands and when an
//! exponent is written. Fixed precisions are rounded from the exact value.
//!
//! | form | where Prometheus uses it |
//! |---|---|
//! | [`push_api`] | sample values of the HTTP API |
//! | [`push_f`] (`'f', -1`) | PromQL printer, `count_values`, value strings |
//! | [`push_g`] (`'g', -1`) | `%v` in messages |
//! | [`push_e`] (`'e', -1`) | values of alerts |
//! | [`push_exposition`] | the text exposition format |
//! | [`push_openmetrics`] | OpenMetrics, and `le` and `quantile` labels |

mod digits;
mod parse;

use super::TextSink;
use digits::Digits;

pub use parse::{ParseFloatError, ParseFloatReason, parse};

/// The NaN that Go's `math.NaN` returns, which reading `NaN` yields.
pub const GO_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// Whole numbers below this print exactly as an integer does.
const WHOLE_LIMIT: f64 = 9_007_199_254_740_992.0;

/// From this decimal exponent on the shortest `'g'` form has an exponent.
const GENERAL_LIMIT: i32 = 6;

/// Appends a sample value as the HTTP API prints it (without the quotes): plain
/// decimal, but with an exponent where the magnitude is below 1e-6 or from 1e21 on.
pub fn push_api(out: &mut impl TextSink, value: f64) {
    if push_whole(out, value) || push_special(out, value) {
        return;
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    if !text.as_bytes().contains(&b'e') {
        // Both print plain decimals between 1e-5 and 1e16; only a whole number has
        // a fraction too many here.
        out.push_text(text.strip_suffix(".0").unwrap_or(text));
        return;
    }
    let digits = Digits::from_text(text);
    let magnitude = value.abs();
    if !(1e-6..1e21).contains(&magnitude) {
        digits.push_exponent(out);
    } else {
        digits.push_plain(out);
    }
}

/// Appends a value in Go's form `'f', -1`: all digits, never an exponent.
pub fn push_f(out: &mut impl TextSink, value: f64) {
    if !push_whole(out, value) && !push_special(out, value) {
        Digits::shortest(value).push_plain(out);
    }
}

/// Appends a value in Go's form `'g', -1` (also `%v`): with an exponent below 1e-4 and
/// from 1e+06 on.
pub fn push_g(out: &mut impl TextSink, value: f64) {
    if push_special(out, value) {
        return;
    }
    Digits::shortest(value).push_general(out, GENERAL_LIMIT);
}

/// Appends a value in Go's form `'e', -1`: always an exponent of at least two digits.
pub fn push_e(out: &mut impl TextSink, value: f64) {
    if !push_special(out, value) {
        Digits::shortest(value).push_exponent(out);
    }
}

/// Appends a value as the text exposition format has it: `'g', -1`, and zero without
/// its sign.
pub fn push_exposition(out: &mut impl TextSink, value: f64) {
    push_g(out, if value == 0.0 { 0.0 } else { value });
}

/// Appends a value as OpenMetrics has it, and as Prometheus normalises the labels
/// `le` and `quantile`: `'g', -1`, with `.0` behind a whole number.
pub fn push_openmetrics(out: &mut impl TextSink, value: f64) {
    if value == 0.0 {
        out.push_text("0.0");
        return;
    }
    if push_special(out, value) {
        return;
    }
    let whole_in_plain = Digits::shortest(value).push_general(out, GENERAL_LIMIT);
    if whole_in_plain {
        out.push_text(".0");
    }
}

/// Appends a value with `precision` digits behind the point (`%.2f`).
pub fn push_f_precision(out: &mut impl TextSink, value: f64, precision: usize) {
    if !push_special(out, value) {
        out.push_text(&format!("{value:.precision$}"));
    }
}

/// Appends a value with an exponent and `precision` digits behind the point (`%.2e`).
pub fn push_e_precision(out: &mut impl TextSink, value: f64, precision: usize) {
    if !push_special(out, value) {
        let text = format!("{value:.precision$e}");
        digits::push_rust_exponent(out, &text);
    }
}

/// Appends a value with `precision` significant digits (`%.4g`): trailing zeros are
/// dropped, an exponent stands where it is below -4 or not below the precision.
pub fn push_g_precision(out: &mut impl TextSink, value: f64, precision: usize) {
    if push_special(out, value) {
        return;
    }
    let precision = precision.max(1);
    let text = format!("{value:.*e}", precision - 1);
    Digits::from_text(&text).push_general_precision(out, precision);
}

/// Returns what [`push_api`] appends.
pub fn api(value: f64) -> String {
    collect(|out| push_api(out, value))
}

/// Returns what [`push_f`] appends.
pub fn f(value: f64) -> String {
    collect(|out| push_f(out, value))
}

/// Returns what [`push_g`] appends.
pub fn g(value: f64) -> String {
    collect(|out| push_g(out, value))
}

/// Returns what [`push_e`] appends.
pub fn e(value: f64) -> String {
    collect(|out| push_e(out, value))
}

/// Returns what [`push_exposition`] appends.
pub fn exposition(value: f64) -> String {
    collect(|out| push_exposition(out, value))
}

/// Returns what [`push_openmetrics`] appends.
pub fn openmetrics(value: f64) -> String {
    collect(|out| push_openmetrics(out, value))
}

fn collect(push: impl FnOnce(&mut String)) -> String {
    let mut out = String::with_capacity(24);
    push(&mut out);
    out
}

/// Appends a whole number that fits 53 bits, which is most counters. Negative zero
/// is left to the general path.
#[inline]
fn push_whole(out: &mut impl TextSink, value: f64) -> bool {
    if value.abs() >= WHOLE_LIMIT || value.trunc() != value {
        return false;
    }
    if value == 0.0 && value.is_sign_negative() {
        return false;
    }
    // In range by the test above, so the cast is exact.
    out.push_text(itoa::Buffer::new().format(value as i64));
    true
}

/// Appends NaN or an infinity.
#[inline]
fn push_special(out: &mut impl TextSink, value: f64) -> bool {
    if value.is_finite() {
        return false;
    }
    out.push_text(if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "+Inf"
    } else {
        "-Inf"
    });
    true
}

#[cfg(test)]
mod tests;
