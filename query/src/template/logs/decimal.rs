//! Decimal numbers of any length, for the functions that promise exact fractions.
//!
//! A number is digits times a power of ten. Sums and products are exact; quotients have
//! sixteen places. Floats become the shortest decimals that read back as them.

/// More digits than this no sum or product of two floats has.
const MAX_DIGITS: usize = 1400;

/// The places of a quotient.
const PLACES: i32 = 16;

/// A decimal number: `digits * 10^exponent`.
#[derive(Debug, Clone)]
pub(super) struct Decimal {
    negative: bool,
    /// The most significant first, without leading zeros; empty is zero.
    digits: Vec<u8>,
    exponent: i32,
}

impl Decimal {
    pub(super) fn from_float(value: f64) -> Result<Decimal, String> {
        if !value.is_finite() {
            let value = kymo_storage::compat::float::g(value);
            return Err(format!("Cannot create a Decimal from {value}"));
        }
        let text = format!("{:e}", value.abs());
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let places = mantissa
            .split_once('.')
            .map_or(0, |(_, places)| places.len());
        let digits = mantissa
            .bytes()
            .filter(u8::is_ascii_digit)
            .map(|b| b - b'0');
        let exponent: i32 = exponent.parse().unwrap_or(0);
        Ok(Decimal {
            negative: value < 0.0,
            digits: trimmed(digits.collect()),
            exponent: exponent - places as i32,
        })
    }

    /// Returns the nearest float.
    pub(super) fn to_float(&self) -> f64 {
        let digits: String = self.digits.iter().map(|d| char::from(b'0' + d)).collect();
        let sign = if self.negative { "-" } else { "" };
        let text = format!("{sign}0{digits}e{}", self.exponent);
        // Zero has no sign here.
        let value: f64 = text.parse().unwrap_or(0.0);
        if self.digits.is_empty() { 0.0 } else { value }
    }

    pub(super) fn negated(&self) -> Decimal {
        Decimal {
            negative: !self.negative,
            ..self.clone()
        }
    }

    pub(super) fn add(&self, other: &Decimal) -> Result<Decimal, String> {
        let exponent = self.exponent.min(other.exponent);
        let a = self.scaled(exponent)?;
        let b = other.scaled(exponent)?;
        let (negative, digits) = if self.negative == other.negative {
            (self.negative, sum(&a, &b))
        } else if less(&a, &b) {
            (other.negative, difference(&b, &a))
        } else {
            (self.negative, difference(&a, &b))
        };
        Decimal::bounded(negative, digits, exponent)
    }

    pub(super) fn mul(&self, other: &Decimal) -> Result<Decimal, String> {
        Decimal::bounded(
            self.negative != other.negative,
            product(&self.digits, &other.digits),
            self.exponent + other.exponent,
        )
    }

    pub(super) fn div(&self, other: &Decimal) -> Result<Decimal, String> {
        if other.digits.is_empty() {
            return Err("decimal division by 0".to_owned());
        }
        // Both are scaled so that the whole quotient has the places that are wanted.
        let shift = self.exponent - other.exponent + PLACES;
        let dividend = shifted(&self.digits, shift.max(0))?;
        let divisor = shifted(&other.digits, (-shift).max(0))?;
        let (mut quotient, rest) = quotient(&dividend, &divisor);
        // Half rounds away from zero.
        if !less(&sum(&rest, &rest), &divisor) {
            quotient = sum(&quotient, &[1]);
        }
        Decimal::bounded(self.negative != other.negative, quotient, -PLACES)
    }

    fn bounded(negative: bool, digits: Vec<u8>, exponent: i32) -> Result<Decimal, String> {
        if digits.len() > MAX_DIGITS || exponent.unsigned_abs() > MAX_DIGITS as u32 {
            return Err(TOO_LONG.to_owned());
        }
        Ok(Decimal {
            negative,
            digits,
            exponent,
        })
    }

    /// Returns the digits at a smaller exponent.
    fn scaled(&self, exponent: i32) -> Result<Vec<u8>, String> {
        shifted(&self.digits, self.exponent - exponent)
    }
}

const TOO_LONG: &str = "number has too many digits";

fn shifted(digits: &[u8], by: i32) -> Result<Vec<u8>, String> {
    let by = usize::try_from(by).unwrap_or(0);
    if digits.len() + by > 2 * MAX_DIGITS {
        return Err(TOO_LONG.to_owned());
    }
    let mut digits = digits.to_vec();
    if !digits.is_empty() {
        digits.extend(std::iter::repeat_n(0, by));
    }
    Ok(digits)
}

fn trimmed(digits: Vec<u8>) -> Vec<u8> {
    let zeros = digits.iter().take_while(|&&digit| digit == 0).count();
    digits[zeros..].to_vec()
}

fn less(a: &[u8], b: &[u8]) -> bool {
    (a.len(), a) < (b.len(), b)
}

fn sum(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(a.len().max(b.len()) + 1);
    let mut carry = 0;
    let (mut a, mut b) = (a.iter().rev(), b.iter().rev());
    loop {
        let (x, y) = (a.next(), b.next());
        if x.is_none() && y.is_none() && carry == 0 {
            break;
        }
        let digit = x.unwrap_or(&0) + y.unwrap_or(&0) + carry;
        out.push(digit % 10);
        carry = digit / 10;
    }
    out.reverse();
    trimmed(out)
}

/// Subtracts the smaller `b`.
fn difference(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(a.len());
    let mut borrow = 0;
    let mut b = b.iter().rev();
    for x in a.iter().rev() {
        let mut digit = *x as i8 - *b.next().unwrap_or(&0) as i8 - borrow;
        borrow = i8::from(digit < 0);
        digit += 10 * borrow;
        out.push(digit as u8);
    }
    out.reverse();
    trimmed(out)
}

fn product(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut out = vec![0u32; a.len() + b.len()];
    for (i, x) in a.iter().rev().enumerate() {
        for (j, y) in b.iter().rev().enumerate() {
            out[i + j] += u32::from(*x) * u32::from(*y);
        }
    }
    let mut carry = 0;
    for digit in &mut out {
        *digit += carry;
        carry = *digit / 10;
        *digit %= 10;
    }
    trimmed(out.iter().rev().map(|digit| *digit as u8).collect())
}

/// Divides; returns the whole quotient and the rest.
fn quotient(dividend: &[u8], divisor: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut out = Vec::with_capacity(dividend.len());
    let mut rest: Vec<u8> = Vec::new();
    for digit in dividend {
        if !rest.is_empty() || *digit != 0 {
            rest.push(*digit);
        }
        let mut times = 0;
        while !less(&rest, divisor) {
            rest = difference(&rest, divisor);
            times += 1;
        }
        out.push(times);
    }
    (trimmed(out), rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compute(
        a: f64,
        b: f64,
        operation: fn(&Decimal, &Decimal) -> Result<Decimal, String>,
    ) -> f64 {
        let (a, b) = (Decimal::from_float(a), Decimal::from_float(b));
        operation(&a.unwrap(), &b.unwrap()).unwrap().to_float()
    }

    #[test]
    fn fractions_are_exact() {
        assert_eq!(compute(0.1, 0.2, Decimal::add), 0.3);
        assert_eq!(compute(0.3, -0.1, Decimal::add), 0.2);
        assert_eq!(compute(0.1, 3.0, Decimal::mul), 0.3);
        assert_eq!(compute(1.0, 3.0, Decimal::div), 0.3333333333333333);
        assert_eq!(compute(2.0, 1e7, Decimal::div), 2e-7);
        assert_eq!(compute(-7.0, 2.0, Decimal::div), -3.5);
        assert_eq!(compute(1e300, 1e300, Decimal::mul), f64::INFINITY);
        assert_eq!(compute(0.0, 5.0, Decimal::div), 0.0);
        let zero = Decimal::from_float(0.0).unwrap();
        let error = zero.div(&zero).unwrap_err();
        assert_eq!(error, "decimal division by 0");
        assert!(Decimal::from_float(f64::NAN).is_err());
    }

    proptest! {
        #[test]
        fn whole_numbers_compute_as_integers(a in -1_000_000i64..1_000_000, b in -1_000_000i64..1_000_000) {
            let (x, y) = (a as f64, b as f64);
            prop_assert_eq!(compute(x, y, Decimal::add), (a + b) as f64);
            prop_assert_eq!(compute(x, y, Decimal::mul), (a * b) as f64);
        }

        #[test]
        fn any_floats_come_to_an_end(a in any::<f64>(), b in any::<f64>()) {
            if let (Ok(a), Ok(b)) = (Decimal::from_float(a), Decimal::from_float(b)) {
                for operation in [Decimal::add, Decimal::mul, Decimal::div] {
                    let _ = operation(&a, &b);
                }
            }
        }
    }
}
