//! Exemplars of a scraped sample on their way into the store.

use kymo_storage::AppendError;
use kymo_storage::metrics::{Appender, SeriesRef};
use kymo_storage::model::{Exemplar, Labels};

use crate::exposition;

/// What becomes of exemplars without a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Untimed {
    /// They have the time of their sample.
    AtSample,
    /// They are left out: of a native histogram nobody could tell whether they are new.
    LeftOut,
}

/// Appends the exemplars of a sample at `t_ms`, the oldest first. One that is not
/// accepted does not fail the scrape; returns how many are older than those known, if it
/// is all of them.
pub(super) fn append(
    appender: &mut Appender<'_>,
    series: SeriesRef,
    found: &[exposition::Exemplar<'_>],
    t_ms: i64,
    untimed: Untimed,
) -> u64 {
    let mut exemplars: Vec<Exemplar> = found
        .iter()
        .filter(|found| found.timestamp_ms.is_some() || untimed == Untimed::AtSample)
        .map(|found| stored(found, t_ms))
        .collect();
    exemplars.sort_by(|a, b| {
        let by_value = a.value.total_cmp(&b.value);
        a.t_ms.cmp(&b.t_ms).then(by_value)
    });
    let mut n_old = 0;
    for exemplar in &exemplars {
        match appender.append_exemplar(series, exemplar) {
            Ok(()) => {}
            Err(AppendError::OutOfOrderExemplar) => n_old += 1,
            Err(error) => tracing::debug!(?exemplar, %error, "an exemplar was left out"),
        }
    }
    match n_old == exemplars.len() {
        true => n_old as u64,
        false => 0,
    }
}

fn stored(found: &exposition::Exemplar<'_>, t_ms: i64) -> Exemplar {
    let text = String::from_utf8_lossy;
    let labels = found
        .labels()
        .map(|(name, value)| (text(name), text(value)));
    Exemplar {
        labels: Labels::from_pairs(labels),
        value: found.value,
        t_ms: found.timestamp_ms.unwrap_or(t_ms),
        timed: found.timestamp_ms.is_some(),
    }
}
