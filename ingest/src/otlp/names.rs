//! Names of metrics, units and labels as Prometheus has them.
//!
//! The rules are those of OpenTelemetry's specification of compatibility, as Prometheus'
//! own translator follows them: what a name may not contain becomes an underscore, the
//! unit and the type are told at its end. A strategy may leave out either.

use super::settings::{Settings, Strategy};

/// What decides the ending of a metric's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// A gauge: `_ratio` where the unit is 1.
    Gauge,
    /// A sum that only rises: `_total`.
    Monotonic,
    /// Anything else.
    Plain,
}

/// Returns the words of a unit that names of metrics use.
fn word_of_unit(unit: &str) -> &str {
    match unit {
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tibibytes",
        "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "1" => "",
        "%" => "percent",
        other => other,
    }
}

/// Returns the word for what a rate is by.
fn word_of_divisor(unit: &str) -> &str {
    match unit {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        other => other,
    }
}

/// Returns the words of a unit: what is measured, and `per_` by what.
fn unit_words(unit: &str) -> (&str, String) {
    let (main, divisor) = unit.split_once('/').unwrap_or((unit, ""));
    // An annotation such as `{request}` is no unit.
    let told = |part: &str| !part.is_empty() && !part.contains(['{', '}']);
    let (main, divisor) = (main.trim(), divisor.trim());
    let main = if told(main) { word_of_unit(main) } else { "" };
    let per = match told(divisor) {
        true => word_of_divisor(divisor),
        false => "",
    };
    let per = match per {
        "" => String::new(),
        word => format!("per_{word}"),
    };
    (main, per)
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

/// Returns a word of a unit with nothing in it that a name may not contain.
fn clean_unit(word: &str) -> String {
    let mut clean = String::with_capacity(word.len());
    for c in word.chars() {
        match is_name_char(c) {
            true => clean.push(c),
            false if clean.ends_with('_') => {}
            false => clean.push('_'),
        }
    }
    match clean.strip_prefix('_') {
        Some(rest) => rest.to_owned(),
        None => clean,
    }
}

/// Returns a unit as metadata tells it, cleaned unless `is_utf8`.
pub(super) fn unit_name(unit: &str, is_utf8: bool) -> String {
    let (main, per) = unit_words(unit);
    let (main, per) = match is_utf8 {
        true => (main.to_owned(), per),
        false => (clean_unit(main), clean_unit(&per)),
    };
    let joined = match (main.is_empty(), per.is_empty()) {
        (false, false) => format!("{main}_{per}"),
        (false, true) => main,
        _ => per,
    };
    let joined = joined.strip_prefix('_').unwrap_or(&joined);
    joined.strip_suffix('_').unwrap_or(joined).to_owned()
}

/// Returns the name of a metric.
///
/// # Errors
///
/// Nothing of it can be kept.
pub(super) fn metric_name(
    settings: &Settings,
    name: &str,
    unit: &str,
    ending: Ending,
) -> Result<String, String> {
    let strategy = settings.strategy;
    if !strategy.escapes() {
        return Ok(match strategy.adds_suffixes() {
            true => name_with_suffixes(name, unit, ending),
            false => name.to_owned(),
        });
    }
    let built = match strategy.adds_suffixes() {
        true => name_of_words(name, unit, ending),
        false => escaped_name(name),
    };
    let quoted = kymo_storage::compat::quote::quote;
    if built.is_empty() {
        return Err(format!(
            "normalization for metric {} resulted in empty name",
            quoted(name)
        ));
    }
    if built != name && built.chars().all(|c| c == '_') {
        return Err(format!(
            "normalization for metric {} resulted in invalid name {}",
            quoted(name),
            quoted(&built)
        ));
    }
    Ok(built)
}

/// Puts a name together of its words, of those of its unit and of its type.
fn name_of_words(name: &str, unit: &str, ending: Ending) -> String {
    let words = name.split(|c| !is_name_char(c));
    let mut words: Vec<String> = words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    let (main, per) = unit_words(unit);
    let (mut main, mut per) = (clean_unit(main), clean_unit(&per));
    if words.contains(&main) {
        main.clear();
    }
    if per == "per_" {
        per.clear();
    } else {
        per = per.strip_suffix('_').unwrap_or(&per).to_owned();
        if words.contains(&per) {
            per.clear();
        }
    }
    if !per.is_empty() {
        main = main.strip_suffix('_').unwrap_or(&main).to_owned();
    }
    words.extend([main, per].into_iter().filter(|word| !word.is_empty()));
    let last = match ending {
        Ending::Monotonic => Some("total"),
        Ending::Gauge if unit == "1" => Some("ratio"),
        _ => None,
    };
    if let Some(last) = last {
        words.retain(|word| word != last);
        words.push(last.to_owned());
    }
    not_a_digit_first(words.join("_"))
}

/// Replaces what a name may not contain; underscores stay as they are.
fn escaped_name(name: &str) -> String {
    let parts = name.split(|c| !is_name_char(c) && c != '_');
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    not_a_digit_first(parts.join("_"))
}

fn not_a_digit_first(name: String) -> String {
    match name.starts_with(|c: char| c.is_ascii_digit()) {
        true => format!("_{name}"),
        false => name,
    }
}

/// Adds unit and type to a name that is kept as it is.
fn name_with_suffixes(name: &str, unit: &str, ending: Ending) -> String {
    let mut name = name.to_owned();
    let last = match ending {
        Ending::Gauge if unit == "1" => Some("ratio"),
        Ending::Monotonic => Some("total"),
        _ => None,
    };
    let (main, per) = unit_words(unit);
    // Endings that are there already move behind the unit.
    for ending in last.into_iter().chain(Some(per.as_str())) {
        trim_ending(&mut name, ending);
    }
    if !main.is_empty() && !name.ends_with(main) {
        name.push('_');
        name.push_str(main);
    }
    for ending in [per.as_str()].into_iter().chain(last) {
        if !ending.is_empty() {
            name.push('_');
            name.push_str(ending);
        }
    }
    name
}

/// Takes an ending off a name, and the character before it, whichever it is.
fn trim_ending(name: &mut String, ending: &str) {
    if ending.is_empty() || !name.ends_with(ending) || name.len() <= ending.len() + 1 {
        return;
    }
    // The character before may have several bytes; of these the original cuts one off.
    // Text stays text here.
    let end = name.len() - ending.len();
    name.truncate(end);
    name.pop();
}

/// Returns the name of a label.
///
/// # Errors
///
/// Nothing of it can be kept.
pub(super) fn label_name(settings: &Settings, label: &str) -> Result<String, String> {
    if label.is_empty() {
        return Err("label name is empty".to_owned());
    }
    let quoted = kymo_storage::compat::quote::quote;
    let only_underscores = |text: &str| text.bytes().all(|byte| byte == b'_');
    if !settings.strategy.escapes() {
        return match only_underscores(label) {
            true => Err(format!(
                "label name {} contains only underscores",
                quoted(label)
            )),
            false => Ok(label.to_owned()),
        };
    }
    let mut name = escaped_label(label, settings.preserve_multiple_underscores);
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert_str(0, "key_");
    } else if settings.underscore_sanitization && name.starts_with('_') && !name.starts_with("__") {
        name.insert_str(0, "key");
    }
    match only_underscores(&name) {
        true => Err(format!(
            "normalization for label name {} resulted in invalid name {}",
            quoted(label),
            quoted(&name)
        )),
        false => Ok(name),
    }
}

/// Returns a label's name of letters, digits and single underscores.
///
/// # Errors
///
/// Nothing of it can be kept.
pub(crate) fn sanitized_label_name(label: &str) -> Result<String, String> {
    let settings = Settings {
        strategy: Strategy::UnderscoreEscapingWithSuffixes,
        underscore_sanitization: false,
        preserve_multiple_underscores: false,
        ..Settings::default()
    };
    label_name(&settings, label)
}

fn escaped_label(label: &str, keeps_runs: bool) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    if keeps_runs {
        return label.chars().map(clean).collect();
    }
    let inner = label
        .strip_prefix("__")
        .and_then(|rest| rest.strip_suffix("__"));
    let mut name = String::with_capacity(label.len());
    // Whether a run goes on is told by characters, not by the underscores in front of
    // a reserved name.
    let mut in_run = false;
    if inner.is_some() {
        name.push_str("__");
    }
    for c in inner.unwrap_or(label).chars().map(clean) {
        if c != '_' || !in_run {
            name.push(c);
        }
        in_run = c == '_';
    }
    if inner.is_some() {
        name.push_str("__");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::super::settings::Strategy;
    use super::*;

    fn with(strategy: Strategy) -> Settings {
        Settings {
            strategy,
            ..Settings::default()
        }
    }

    fn name(strategy: Strategy, name: &str, unit: &str, ending: Ending) -> String {
        metric_name(&with(strategy), name, unit, ending).unwrap_or_else(|error| error)
    }

    #[test]
    fn names_have_their_unit_and_type_at_the_end() {
        use Ending::{Gauge, Monotonic, Plain};
        let cases = [
            (
                "http.server.duration",
                "s",
                Plain,
                "http_server_duration_seconds",
            ),
            ("total.requests", "", Monotonic, "requests_total"),
            ("ratio.of.x", "1", Gauge, "of_x_ratio"),
            ("ratio.of.x", "1", Plain, "ratio_of_x"),
            ("o.seconds.g", "s", Plain, "o_seconds_g"),
            ("speed", "m/s", Gauge, "speed_meters_per_second"),
            ("speed", "{x}/s", Gauge, "speed_per_second"),
            ("speed", "1/s", Gauge, "speed_per_second"),
            ("speed", "/s", Gauge, "speed_per_second"),
            ("speed", "By/{x}", Gauge, "speed_bytes"),
            ("x", "foo bar", Plain, "x_foo_bar"),
            ("x", "a/b/c", Plain, "x_a_per_b_c"),
            ("x", "é/s", Plain, "x_per_second"),
            ("2x", "", Plain, "_2x"),
            ("__a__b__", "", Plain, "a_b"),
            ("a:b", "", Plain, "a:b"),
        ];
        for (from, unit, ending, to) in cases {
            let built = name(Strategy::UnderscoreEscapingWithSuffixes, from, unit, ending);
            assert_eq!(built, to, "{from} {unit}");
        }
    }

    #[test]
    fn names_without_endings_keep_their_underscores() {
        let without = Strategy::UnderscoreEscapingWithoutSuffixes;
        for (from, to) in [
            ("g__2 x", "g__2_x"),
            ("a..b", "a_b"),
            ("9", "_9"),
            ("_", "_"),
            ("é", "normalization for metric \"é\" resulted in empty name"),
            (
                "_é_",
                "normalization for metric \"_é_\" resulted in invalid name \"___\"",
            ),
        ] {
            assert_eq!(name(without, from, "s", Ending::Monotonic), to);
        }
    }

    #[test]
    fn names_that_are_not_escaped_have_endings_once() {
        let kept = Strategy::NoUtf8EscapingWithSuffixes;
        for (from, unit, ending, to) in [
            ("c.total", "", Ending::Monotonic, "c_total"),
            ("c_total", "By", Ending::Monotonic, "c_bytes_total"),
            ("total", "", Ending::Monotonic, "total_total"),
            ("x.ratio", "1", Ending::Gauge, "x_ratio"),
            ("日本", "s", Ending::Gauge, "日本_seconds"),
            ("日total", "", Ending::Monotonic, "_total"),
            ("", "", Ending::Plain, ""),
        ] {
            assert_eq!(name(kept, from, unit, ending), to, "{from}");
        }
        let none = Strategy::NoTranslation;
        assert_eq!(name(none, "a b.c", "s", Ending::Monotonic), "a b.c");
    }

    #[test]
    fn labels_are_escaped_as_the_switches_say() {
        let build = |preserve, sanitize, label: &str| {
            let settings = Settings {
                preserve_multiple_underscores: preserve,
                underscore_sanitization: sanitize,
                ..Settings::default()
            };
            label_name(&settings, label).unwrap_or_else(|error| error)
        };
        for (preserve, sanitize, from, to) in [
            (true, true, "a..c", "a__c"),
            (false, true, "a..c", "a_c"),
            (false, true, "__x__", "__x__"),
            (false, true, "__x..y__", "__x_y__"),
            (false, true, "___x__", "___x__"),
            (true, true, "1a", "key_1a"),
            (true, true, "_a", "key_a"),
            (true, false, "_a", "_a"),
            (true, true, "__z", "__z"),
            (true, true, "é", "key_"),
            (true, true, "", "label name is empty"),
            (
                true,
                true,
                "___",
                "normalization for label name \"___\" resulted in invalid name \"___\"",
            ),
            (
                true,
                false,
                ".",
                "normalization for label name \".\" resulted in invalid name \"_\"",
            ),
        ] {
            assert_eq!(build(preserve, sanitize, from), to, "{from}");
        }
        let kept = with(Strategy::NoTranslation);
        assert_eq!(label_name(&kept, "a b").unwrap(), "a b");
        assert_eq!(
            label_name(&kept, "_").unwrap_err(),
            "label name \"_\" contains only underscores"
        );
    }

    #[test]
    fn units_of_metadata_are_words() {
        for (unit, to) in [
            ("s", "seconds"),
            ("By/s", "bytes_per_second"),
            ("{request}", ""),
            ("1", ""),
            ("1/s", "per_second"),
            ("_x_", "x"),
            ("a/b/c", "a_per_b_c"),
        ] {
            assert_eq!(unit_name(unit, false), to, "{unit}");
        }
        assert_eq!(unit_name("é/b c", true), "é_per_b c");
    }
}
