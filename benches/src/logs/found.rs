//! What a query found: systems whose answers differ are not compared.

use anyhow::{Context, bail};
use serde_json::Value;

use super::queries::Asked;

/// How much an answer holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Found {
    /// So many lines.
    Lines(u64),
    /// Counts with this sum.
    Counted(f64),
    /// Something that each system may answer a little differently.
    Some,
    Nothing,
}

/// By how much sums of counts may differ: the systems cut the range into minutes in their own
/// ways, and the first and the last of them are not whole.
const EDGES: f64 = 0.02;

impl Found {
    /// Reads an answer of Loki's API, or one of VictoriaLogs'.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn read(asked: &Asked, answer: &[u8]) -> anyhow::Result<Found> {
        let text = std::str::from_utf8(answer).context("an answer is no text")?;
        if !asked.counts && !text.starts_with("{\"status\"") {
            return Ok(Found::lines(text.lines().count() as u64));
        }
        let json: Value = serde_json::from_str(text).context("an answer is no JSON")?;
        let Some(series) = json.pointer("/data/result").and_then(Value::as_array) else {
            bail!("an answer has no result");
        };
        let values = || {
            let of_series = series.iter().filter_map(|one| one["values"].as_array());
            of_series.flatten()
        };
        if !asked.counts {
            return Ok(Found::lines(values().count() as u64));
        }
        if values().next().is_none() {
            return Ok(Found::Nothing);
        }
        if !asked.sums {
            return Ok(Found::Some);
        }
        let numbers =
            values().map(|pair| pair[1].as_str().and_then(|text| text.parse::<f64>().ok()));
        let sum: Option<f64> = numbers.sum();
        Ok(Found::Counted(sum.context("a count is no number")?))
    }

    /// Returns the share of counts that are missing in a later answer.
    pub(super) fn lost(self, later: Found) -> f64 {
        match (self, later) {
            (Found::Counted(before), Found::Counted(after)) => 1.0 - after / before,
            (Found::Counted(_), _) => 1.0,
            _ => 0.0,
        }
    }

    fn lines(n: u64) -> Found {
        match n {
            0 => Found::Nothing,
            n => Found::Lines(n),
        }
    }

    /// Tells whether two answers are to the same question.
    pub(super) fn agrees(self, with: Found) -> bool {
        match (self, with) {
            (Found::Counted(a), Found::Counted(b)) => (a - b).abs() <= EDGES * a.max(b),
            (a, b) => a == b,
        }
    }
}
