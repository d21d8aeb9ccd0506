//! What a query has cost, as the API and the query log tell it.

use std::time::Duration;

use kymo_query::{QueryError, QueryResult, QueryStats, StepSamples};
use kymo_storage::compat::quote::quote;
use kymo_storage::compat::{float, time};

use super::queries::Done;

/// A query that ran, and what came of it.
pub(crate) type Ran = Done<Result<QueryResult, QueryError>>;

/// Returns the costs of a query as JSON.
pub(crate) fn json(done: &Ran) -> Vec<u8> {
    // What a query that failed has read is not known.
    let (samples, steps) = match &done.result {
        Ok(result) => (result.stats, result.steps.as_slice()),
        Err(_) => (QueryStats::default(), &[][..]),
    };
    write(done.ran, done.queued, samples, steps)
}

/// Returns the costs of a query that a rule ran.
pub(crate) fn of_rule(ran: Duration, samples: QueryStats) -> Vec<u8> {
    write(ran, Duration::ZERO, samples, &[])
}

/// Returns the costs of a query that did not run.
pub(crate) fn nothing() -> Vec<u8> {
    let none = QueryStats::default();
    write(Duration::ZERO, Duration::ZERO, none, &[])
}

fn write(ran: Duration, queued: Duration, samples: QueryStats, steps: &[StepSamples]) -> Vec<u8> {
    let mut out = String::from("{\"timings\":{");
    for (name, took) in [
        ("evalTotalTime", ran),
        // Reading, evaluating and sorting are one pass here.
        ("resultSortTime", Duration::ZERO),
        ("queryPreparationTime", Duration::ZERO),
        ("innerEvalTime", ran),
        ("execQueueTime", queued),
        ("execTotalTime", queued + ran),
    ] {
        push_name(&mut out, name);
        push_json_float(&mut out, took.as_secs_f64());
    }
    out.push_str("},\"samples\":{");
    if !steps.is_empty() {
        push_steps(&mut out, "totalQueryableSamplesPerStep", steps, |step| {
            step.total
        });
    }
    push_count(&mut out, "totalQueryableSamples", samples.total_samples);
    if !steps.is_empty() {
        push_steps(&mut out, "samplesReadPerStep", steps, |step| step.read);
    }
    push_count(&mut out, "samplesRead", samples.samples_read);
    push_count(&mut out, "peakSamples", samples.peak_samples);
    out.push_str("}}");
    out.into_bytes()
}

fn push_name(out: &mut String, name: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    out.push('"');
    out.push_str(name);
    out.push_str("\":");
}

fn push_count(out: &mut String, name: &str, count: u64) {
    push_name(out, name);
    out.push_str(&count.to_string());
}

fn push_steps(
    out: &mut String,
    name: &str,
    steps: &[StepSamples],
    count: impl Fn(&StepSamples) -> u64,
) {
    push_name(out, name);
    for (i, step) in steps.iter().enumerate() {
        out.push_str(if i == 0 { "[[" } else { ",[" });
        // As a float and not as the API's other times: without zeros at the end.
        let whole = step.t_ms % 1000 == 0;
        match whole {
            true => time::push_api(out, step.t_ms),
            false => push_json_float(out, step.t_ms as f64 / 1000.0),
        }
        out.push_str(&format!(",{}]", count(step)));
    }
    out.push(']');
}

/// Appends a float as Go writes it into JSON: exponents have no zero in front.
fn push_json_float(out: &mut String, value: f64) {
    let text = float::api(value);
    out.push_str(&text.replace("e-0", "e-"));
}

/// Any text but `true` and `all` asks for statistics too, for the time being.
pub(crate) fn deprecated(asked: &str) -> Option<String> {
    if matches!(asked, "" | "true" | "all") {
        return None;
    }
    let quoted = quote(asked);
    Some(format!(
        "value {quoted} for parameter \"stats\" is deprecated and will be rejected \
         in the next major release, use \"true\" or \"all\""
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_come_in_the_order_of_prometheus() {
        let mut samples = QueryStats::default();
        (
            samples.total_samples,
            samples.samples_read,
            samples.peak_samples,
        ) = (7, 5, 3);
        let steps = [(1_000, 4, 4), (1_050, 3, 1)];
        let steps = steps.map(|(t_ms, total, read)| StepSamples { t_ms, total, read });
        let (ran, queued) = (Duration::from_micros(1500), Duration::from_nanos(900));
        let text = String::from_utf8(write(ran, queued, samples, &steps)).unwrap();
        let timings = r#"{"timings":{"evalTotalTime":0.0015,"resultSortTime":0,"queryPreparationTime":0,"innerEvalTime":0.0015,"execQueueTime":9e-7,"execTotalTime":0.0015009},"samples":{"#;
        let counts = r#""totalQueryableSamplesPerStep":[[1,4],[1.05,3]],"totalQueryableSamples":7,"samplesReadPerStep":[[1,4],[1.05,1]],"samplesRead":5,"peakSamples":3}}"#;
        assert_eq!(text, format!("{timings}{counts}"));
        let text = String::from_utf8(nothing()).unwrap();
        assert!(text.ends_with(
            r#""samples":{"totalQueryableSamples":0,"samplesRead":0,"peakSamples":0}}"#
        ));
    }
}
