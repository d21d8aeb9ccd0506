//! Classic histograms of a script, to be loaded as native ones besides
//! (`load_with_nhcb`).

use std::collections::BTreeMap;

use kymo_storage::compat::float;
use kymo_storage::model::{Labels, METRIC_NAME};

use super::parse::Load;
use crate::histogram::{ClassicHistogram, ClassicHistogramError};
use crate::promql::series::SeriesValue;

/// The histograms of a series by time, or what is wrong with one.
type ByTime = BTreeMap<i64, Result<ClassicHistogram, ClassicHistogramError>>;

/// Collects the classic histograms among the series of a load.
pub(super) fn classic_histograms(load: &Load) -> BTreeMap<Labels, ByTime> {
    let mut histograms: BTreeMap<Labels, ByTime> = BTreeMap::new();
    for series in &load.series {
        let name = series.labels.metric_name();
        let ends = ["_bucket", "_count", "_sum"];
        let Some((end, base)) = ends
            .iter()
            .find_map(|end| Some((*end, name.strip_suffix(end)?)))
        else {
            continue;
        };
        let bound = float::parse(series.labels.get("le").unwrap_or(""));
        if end == "_bucket" && bound.as_ref().map_or(true, |bound| bound.is_nan()) {
            continue;
        }
        let pairs = series.labels.iter().filter(|(name, _)| *name != "le");
        let pairs = pairs.map(|(n, v)| (n, if n == METRIC_NAME { base } else { v }));
        let by_time = histograms.entry(Labels::from_pairs(pairs)).or_default();
        let times = (0..).map(|at: i64| at.saturating_mul(load.step_ms));
        for (t_ms, value) in times.zip(&series.values) {
            let SeriesValue::Float(value) = value else {
                continue;
            };
            let at_time = by_time
                .entry(t_ms)
                .or_insert_with(|| Ok(Default::default()));
            let Ok(classic) = at_time else {
                continue;
            };
            let set = match (end, &bound) {
                ("_bucket", Ok(bound)) => classic.set_bucket(*bound, *value),
                ("_count", _) => classic.set_count(*value),
                _ => {
                    classic.set_sum(*value);
                    Ok(())
                }
            };
            if let Err(error) = set {
                *at_time = Err(error);
            }
        }
    }
    histograms
}
