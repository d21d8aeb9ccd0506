//! Sizes as people write them: `1.5 MiB`, `2KB`, `2,048`.

use kymo_storage::compat::float;

/// Reads a size in bytes. A fraction of a byte is cut off.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let len = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(len);
    let number = match number.contains(',') {
        true => float::parse(&number.replace(',', "")),
        false => float::parse(number),
    };
    let number = number.map_err(|error| error.to_string())?;
    let unit = unit.trim().to_lowercase();
    let Some(factor) = unit_bytes(&unit) else {
        return Err(format!("unhandled size name: {unit}"));
    };
    let size = number * factor;
    if size >= u64::MAX as f64 {
        return Err(format!("too large: {text}"));
    }
    Ok(size as u64)
}

fn unit_bytes(unit: &str) -> Option<f64> {
    let (prefix, base) = match unit.strip_suffix('b').unwrap_or(unit) {
        prefix if prefix.ends_with('i') => (&prefix[..prefix.len() - 1], 1024f64),
        prefix => (prefix, 1000f64),
    };
    let power = match prefix {
        "" if base == 1000.0 => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        "e" => 6,
        _ => return None,
    };
    Some(base.powi(power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let cases = [
            ("1024", 1024),
            ("2KB", 2000),
            ("2 kib", 2048),
            ("2,048", 2048),
            ("1.5B", 1),
            ("1.5MiB", 1_572_864),
            ("3k", 3000),
            ("1Pi", 1 << 50),
        ];
        for (text, size) in cases {
            assert_eq!(parse_size(text), Ok(size), "{text}");
        }
        let refused = |text| parse_size(text).unwrap_err();
        assert_eq!(refused("1XB"), "unhandled size name: xb");
        assert_eq!(
            refused("x"),
            "strconv.ParseFloat: parsing \"\": invalid syntax"
        );
        assert_eq!(refused("20EB"), "too large: 20EB");
    }
}
