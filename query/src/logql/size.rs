//! Sizes in bytes: `2KB` is 2000, `2KiB` 2048, as the `go-humanize` library has it.

/// The most that a `u64` holds, as the nearest float.
const MAX: f64 = u64::MAX as f64;

/// Reads a size. Fractions of a byte are cut off; commas between digits are passed over.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let number_len = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(number_len);
    let number = kymo_storage::compat::float::parse(&number.replace(',', "")).ok()?;
    let size = number * factor(&unit.trim().to_lowercase())?;
    (size < MAX).then_some(size as u64)
}

fn factor(unit: &str) -> Option<f64> {
    let (base, prefix) = match unit.strip_suffix('b').unwrap_or(unit) {
        "" => return Some(1.0),
        prefix => match prefix.strip_suffix('i') {
            Some(prefix) => (1024f64, prefix),
            None => (1000f64, prefix),
        },
    };
    let power = ["k", "m", "g", "t", "p", "e"]
        .iter()
        .position(|p| *p == prefix)?;
    Some(base.powi(power as i32 + 1))
}

/// Writes a size with the largest decimal unit that keeps it at one or more: at most one
/// decimal below ten, none above, as `go-humanize` rounds.
pub(crate) fn format(bytes: u64) -> String {
    if bytes < 10 {
        return format!("{bytes}B");
    }
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let value = bytes as f64;
    let power = (value.ln() / 1000f64.ln()).floor();
    let scaled = (value / 1000f64.powf(power) * 10.0 + 0.5).floor() / 10.0;
    let unit = units.get(power as usize).copied().unwrap_or("EB");
    match scaled < 10.0 {
        true => format!("{scaled:.1}{unit}"),
        false => format!("{scaled:.0}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_both_kinds() {
        let cases = [
            ("5", Some(5)),
            ("1k", Some(1000)),
            ("2KB", Some(2000)),
            ("2KiB", Some(2048)),
            ("1.5B", Some(1)),
            ("2,048", Some(2048)),
            ("1.5 MiB", Some(1_572_864)),
            ("16EiB", None),
            ("5i", None),
            ("5x", None),
            ("", None),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text), want, "{text}");
        }
    }

    #[test]
    fn sizes_are_written_short() {
        let cases = [
            (0, "0B"),
            (9, "9B"),
            (10, "10B"),
            (999, "999B"),
            (1000, "1.0kB"),
            (1024, "1.0kB"),
            (20_000, "20kB"),
            (1_572_864, "1.6MB"),
            (u64::MAX, "18EB"),
        ];
        for (bytes, want) in cases {
            assert_eq!(format(bytes), want);
        }
    }
}
