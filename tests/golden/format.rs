//! Printing and reading of small things: floats, durations, times, names, label sets.

use kymo_storage::compat::name::{EscapingScheme, NameValidation};
use kymo_storage::compat::{duration, float, natural, time};
use kymo_storage::model::Labels;
use serde_json::Value;

use crate::corpus::{self, Score, field};

#[test]
fn format() {
    let Some(cases) = corpus::cases("format") else {
        return;
    };
    let mut score = Score::new("format");
    for case in &cases {
        let kind = field(case, "kind");
        let name = format!("{kind} {}", case["input"]);
        score.count(name, judge(kind, case));
    }
    score.finish();
}

/// Compares every field that a case of this kind has.
fn judge(kind: &str, case: &Value) -> Result<(), String> {
    match kind {
        "prom_duration_parse" => {
            let text = input(case)?;
            let read = duration::parse_prometheus(&text);
            reading(case, "", &read, duration::format_prometheus)?;
            if case.get("allow_negative_ns").is_some() || case.get("allow_negative_error").is_some()
            {
                let read = duration::parse_prometheus_signed(&text);
                reading(case, "allow_negative_", &read, duration::format_prometheus)?;
            }
            Ok(())
        }
        "go_duration_parse" => {
            let read = duration::parse_go(&input(case)?);
            reading(case, "", &read, duration::format_go)
        }
        "api_duration" => {
            let read = duration::parse_api(&input(case)?);
            reading(case, "", &read, |ns| ns.to_string())
        }
        "prom_duration_print" => same(
            case,
            "output",
            &duration::format_prometheus(number(&input(case)?)?),
        ),
        "go_duration_print" => same(case, "output", &duration::format_go(number(&input(case)?)?)),
        "api_time" => api_time(case),
        "api_timestamp_print" => {
            let ms = number(&input(case)?)?;
            let mut text = String::new();
            time::push_api(&mut text, ms);
            same(case, "output", &text)?;
            same(case, "model_time", &float::f(ms as f64 / 1000.0))
        }
        "float_print" => float_print(case),
        "float_parse" => match float::parse(&input(case)?) {
            Ok(value) => {
                absent(case, "error")?;
                same(case, "bits", &format!("{:016x}", value.to_bits()))
            }
            Err(error) => {
                same(case, "error", &error.to_string())?;
                let value = match error.reason {
                    float::ParseFloatReason::Range(value) => value,
                    _ => 0.0,
                };
                same(case, "bits", &format!("{:016x}", value.to_bits()))
            }
        },
        "name_valid" => name_valid(case),
        "escape" => {
            let scheme = scheme(case)?;
            let escaped = scheme.escape(&input(case)?);
            same(case, "output", &escaped)?;
            same(case, "back", &scheme.unescape(&escaped))
        }
        "unescape" => same(case, "output", &scheme(case)?.unescape(&input(case)?)),
        "natural_less" => {
            let pair = case["input"].as_array().ok_or("no pair")?;
            let (a, b) = (text(&pair[0])?, text(&pair[1])?);
            boolean(case, "less", natural::less(&a, &b))?;
            boolean(case, "greater", natural::less(&b, &a))
        }
        "labels_print" => labels_print(case),
        other => Err(format!("unknown kind {other:?}")),
    }
}

fn reading<E: ToString>(
    case: &Value,
    prefix: &str,
    read: &Result<i64, E>,
    print: impl Fn(i64) -> String,
) -> Result<(), String> {
    match read {
        Ok(ns) => {
            absent(case, &format!("{prefix}error"))?;
            same(case, &format!("{prefix}ns"), &ns.to_string())?;
            match case.get(format!("{prefix}print")) {
                Some(_) => same(case, &format!("{prefix}print"), &print(*ns)),
                None => Ok(()),
            }
        }
        Err(error) => same(case, &format!("{prefix}error"), &error.to_string()),
    }
}

fn api_time(case: &Value) -> Result<(), String> {
    match time::parse_api(&input(case)?) {
        Ok(instant) => {
            absent(case, "error")?;
            same(case, "ms", &instant.ms().to_string())?;
            same(case, "unix", &instant.unix_s.to_string())?;
            if case["nanosecond"].as_u64() != Some(u64::from(instant.nanos)) {
                return Err(format!("nanosecond: got {}", instant.nanos));
            }
            same(case, "rfc3339nano_utc", &instant.rfc3339_nano())
        }
        Err(error) => same(case, "error", &error.to_string()),
    }
}

fn float_print(case: &Value) -> Result<(), String> {
    let bits = u64::from_str_radix(&input(case)?, 16).map_err(|error| error.to_string())?;
    let value = f64::from_bits(bits);
    let with = |push: &dyn Fn(&mut String)| {
        let mut text = String::new();
        push(&mut text);
        text
    };
    let forms = [
        ("api", format!("\"{}\"", float::api(value))),
        ("f-1", float::f(value)),
        ("text", float::exposition(value)),
        ("openmetrics", float::openmetrics(value)),
        ("le_openmetrics", float::g(value)),
        ("%g", float::g(value)),
        ("%v", float::g(value)),
        ("%e", with(&|out| float::push_e_precision(out, value, 6))),
        ("%f", with(&|out| float::push_f_precision(out, value, 6))),
        ("%.4g", with(&|out| float::push_g_precision(out, value, 4))),
    ];
    for (name, _) in case.as_object().into_iter().flatten() {
        if !["kind", "input"].contains(&name.as_str())
            && !forms.iter().any(|(form, _)| form == name)
        {
            return Err(format!("unknown form {name}"));
        }
    }
    for (name, form) in &forms {
        if case.get(*name).is_some() {
            same(case, name, form)?;
        }
    }
    Ok(())
}

fn name_valid(case: &Value) -> Result<(), String> {
    // Names are UTF-8 by type here: other bytes are no name under any scheme.
    let name = corpus::text(&case["input"]);
    let valid = |test: &dyn Fn(&str) -> bool| name.as_deref().is_some_and(test);
    for (field, scheme) in [
        ("legacy", NameValidation::Legacy),
        ("utf8", NameValidation::Utf8),
    ] {
        let label = valid(&|name| scheme.is_label_name(name));
        boolean(case, &format!("{field}_label"), label)?;
        let metric = valid(&|name| scheme.is_metric_name(name));
        boolean(case, &format!("{field}_metric"), metric)?;
    }
    Ok(())
}

fn labels_print(case: &Value) -> Result<(), String> {
    let mut pairs = Vec::new();
    for (name, value) in case["input"].as_object().into_iter().flatten() {
        let name = String::from_utf8(corpus::key_bytes(name)).map_err(|_| "name is not UTF-8")?;
        pairs.push((name, text(value)?));
    }
    let labels = Labels::from_pairs(pairs);
    let mut json = String::new();
    labels.push_json(&mut json);
    same(case, "string", &labels.to_string())?;
    same(case, "json", &json)?;
    same(case, "hash", &labels.prometheus_hash().to_string())?;
    same(case, "model_metric_string", &labels.to_metric_string())?;
    let fingerprint = format!("{:016x}", labels.fingerprint());
    same(case, "model_fingerprint", &fingerprint)
}

fn scheme(case: &Value) -> Result<EscapingScheme, String> {
    let name = field(case, "scheme");
    EscapingScheme::from_parameter(name).ok_or_else(|| format!("unknown scheme {name:?}"))
}

fn input(case: &Value) -> Result<String, String> {
    text(&case["input"])
}

fn text(value: &Value) -> Result<String, String> {
    corpus::text(value).ok_or_else(|| format!("not UTF-8: {value}"))
}

fn number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

fn same(case: &Value, name: &str, got: &str) -> Result<(), String> {
    match case.get(name) {
        Some(Value::String(want)) if want == got => Ok(()),
        Some(want) => Err(format!("{name}: want {want}, got {got:?}")),
        None => Err(format!("{name}: want none, got {got:?}")),
    }
}

fn boolean(case: &Value, name: &str, got: bool) -> Result<(), String> {
    match case.get(name).and_then(Value::as_bool) {
        Some(want) if want == got => Ok(()),
        want => Err(format!("{name}: want {want:?}, got {got}")),
    }
}

fn absent(case: &Value, name: &str) -> Result<(), String> {
    match case.get(name) {
        None => Ok(()),
        Some(want) => Err(format!("{name}: want {want}, got none")),
    }
}
