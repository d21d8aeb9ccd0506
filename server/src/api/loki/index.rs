//! How much there is of the streams that a selector selects.

use kymo_query::logql::parse_matchers;
use kymo_storage::logs::StreamVolume;
use kymo_storage::model::Matcher;
use serde::Serialize;
use serde_json::json;

use super::answer::{bare, finished, push_head};
use super::error::{LokiError, LokiResult};
use super::labels::selects_all;
use super::params::{Bounds, checked_bounds, interval, is_forward, ordered_bounds, step, time_or};
use super::stats::{Cost, push as push_stats};
use super::volume::{self, Asked, Sums, pieces};
use super::{logs, lookup};
use crate::api::call::Call;
use crate::clock;

const NS_PER_MS: i64 = 1_000_000;

/// Counts of a selection.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Counts {
    streams: u64,
    chunks: u64,
    bytes: u64,
    entries: u64,
}

impl Counts {
    fn of(volumes: &[StreamVolume]) -> Counts {
        let mut counts = Counts::default();
        for volume in volumes {
            counts.streams += 1;
            counts.chunks += volume.chunks;
            counts.bytes += volume.bytes;
            counts.entries += volume.entries;
        }
        counts
    }
}

/// `/loki/api/v1/index/stats`: how much a query would have to read.
pub(crate) async fn stats(call: Call) -> LokiResult {
    bare(&counts(&call).await?)
}

/// `/loki/api/v1/index/shards`: the parts that a query can be cut into. On one machine
/// there is one.
pub(crate) async fn shards(call: Call) -> LokiResult {
    let counts = counts(&call).await?;
    let bounds = json!({"min": format!("{:016x}", u64::MIN), "max": format!("{:016x}", u64::MAX)});
    bare(&json!({"shards": [{"bounds": bounds, "stats": counts}], "statistics": {}}))
}

async fn counts(call: &Call) -> Result<Counts, LokiError> {
    let bounds = checked_bounds(&call.params, clock::now_ns())?;
    let matchers = parse_matchers(call.params.get("query"))?;
    let store = logs(call)?;
    let volumes = lookup(call, move || store.volumes(&matchers, bounds.into())).await?;
    Ok(Counts::of(&volumes))
}

/// `/loki/api/v1/index/volume`: bytes by label set or by label.
pub(crate) async fn volume(call: Call) -> LokiResult {
    let (params, now_ns) = (&call.params, clock::now_ns());
    let limit = volume::limit(params)?;
    time_or(params, "time", now_ns).map_err(LokiError::bad)?;
    is_forward(params)?;
    let by_labels = volume::is_by_labels(params)?;
    let bounds = ordered_bounds(params, now_ns)?;
    let asked = asked(&call, limit, by_labels)?;
    volumes(&call, asked, vec![bounds], false).await
}

/// `/loki/api/v1/index/volume_range`: the same, step by step.
pub(crate) async fn volume_range(call: Call) -> LokiResult {
    let (params, now_ns) = (&call.params, clock::now_ns());
    volume::check_limit(params)?;
    let bounds = ordered_bounds(params, now_ns)?;
    let limit = volume::limit(params)?;
    is_forward(params)?;
    let step_ns = step(params, bounds)?;
    interval(params)?;
    let by_labels = volume::is_by_labels(params)?;
    let asked = asked(&call, limit, by_labels)?;
    volumes(&call, asked, pieces(bounds, step_ns), true).await
}

fn asked(call: &Call, limit: u32, by_labels: bool) -> Result<Asked, LokiError> {
    let most = call.app.flags.log_queries.max_volume_series;
    let matchers = any_selector(call)?;
    Asked::new(&call.params, matchers, limit.min(most), by_labels)
}

async fn volumes(call: &Call, asked: Asked, pieces: Vec<Bounds>, is_range: bool) -> LokiResult {
    let store = logs(call)?;
    let timeout = call.app.flags.query.timeout;
    let job = move |cancel: &kymo_query::Cancel| {
        let mut sums = Sums::default();
        let last_ns = pieces.last().map_or(0, |piece| piece.end_ns);
        for piece in pieces {
            cancel
                .check("log volume")
                .map_err(|_stopped| LokiError::timeout())?;
            let volumes = store.volumes(&asked.matchers, piece.into());
            let volumes = volumes.map_err(|error| LokiError::from(&error))?;
            asked.add(&mut sums, shown_ms(piece, last_ns), &volumes);
        }
        let mut out = Vec::new();
        push_head(&mut out, &[]);
        asked.push_data(&mut out, sums, is_range);
        Ok::<_, LokiError>(out)
    };
    let done = call.app.queries.query(timeout, job, |_| ()).await?;
    let mut out = done.result?;
    let cost = Cost {
        queued: done.queued,
        ran: done.ran,
        ..Cost::default()
    };
    out.extend_from_slice(b",\"stats\":");
    push_stats(&mut out, &cost);
    out.extend_from_slice(b"}}");
    Ok(finished(out, None))
}

/// Returns the time of the point for a piece: its last millisecond, but the end of the
/// range for the last one.
fn shown_ms(piece: Bounds, last_ns: i64) -> i64 {
    let end_ms = piece.end_ns.div_euclid(NS_PER_MS);
    match piece.end_ns == last_ns {
        true => end_ms,
        false => end_ms - 1,
    }
}

/// Reads a selector that may be the one that selects all.
fn any_selector(call: &Call) -> Result<Vec<Matcher>, LokiError> {
    let text = call.params.get("query");
    match selects_all(text) {
        true => Ok(Vec::new()),
        false => Ok(parse_matchers(text)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_at_the_last_millisecond_of_their_piece() {
        let s = 1_000_000_000;
        let bounds = Bounds {
            start_ns: 7 * s,
            end_ns: 31 * s,
        };
        let shown: Vec<i64> = pieces(bounds, 10 * s)
            .into_iter()
            .map(|piece| shown_ms(piece, bounds.end_ns))
            .collect();
        assert_eq!(shown, [9_999, 19_999, 29_999, 31_000]);
    }
}
