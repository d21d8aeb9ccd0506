//! Times as pushes have them, in nanoseconds.

/// Returns a time of RFC 3339.
pub(crate) fn rfc3339(text: &str) -> Option<i64> {
    let time: jiff::Timestamp = text.trim().parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

/// Returns a number since the epoch. Whether it counts seconds, or thousandths, millionths
/// or billionths of one, is told by its size: each is good for some thousand years.
pub(crate) fn since_epoch(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse::<i64>() {
        let unit_ns = match number.unsigned_abs() {
            0..100_000_000_000 => 1_000_000_000,
            100_000_000_000..100_000_000_000_000 => 1_000_000,
            100_000_000_000_000..100_000_000_000_000_000 => 1_000,
            _ => 1,
        };
        return number.checked_mul(unit_ns);
    }
    // A fraction is one of seconds, unless the number is too large for that.
    let number: f64 = text.parse().ok()?;
    let size = number.abs();
    let units = [(1e11, 1e9), (1e14, 1e6), (1e17, 1e3)];
    let unit = units.into_iter().find(|(below, _)| size < *below);
    let unit_ns = unit.map_or(1.0, |(_, unit_ns)| unit_ns);
    let t_ns = (number * unit_ns).round();
    (t_ns.abs() < 9.2e18).then_some(t_ns as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_all_their_units() {
        let t_ns = 1_795_323_604_000_000_000;
        assert_eq!(rfc3339("2026-11-22T05:00:04Z"), Some(t_ns));
        assert_eq!(
            rfc3339("2026-11-22T06:00:04.000000001+01:00"),
            Some(t_ns + 1)
        );
        assert_eq!(rfc3339("yesterday"), None);
        for text in [
            "1795323604",
            "1795323604000",
            "1795323604000000",
            "1795323604000000000",
            "1795323604.0",
            "1.795323604e12",
        ] {
            assert_eq!(since_epoch(text), Some(t_ns), "{text}");
        }
        assert_eq!(since_epoch("-1.5"), Some(-1_500_000_000));
        assert_eq!(since_epoch("NaN"), None);
        assert_eq!(since_epoch("1e300"), None);
        assert_eq!(since_epoch("x"), None);
    }
}
