//! Labels of a series of 2.0: checked, and as texts.

use kymo_storage::compat::name::is_legacy_label_name;
use kymo_storage::compat::quote::quote_bytes;
use kymo_storage::model::{Labels, METRIC_NAME, MetricType};

/// Begins the text about references that are wrong.
pub(super) fn labels_cause(refs: &[u32]) -> String {
    format!("parsing labels for series {}: ", refs_text(refs))
}

/// Prints references as Go prints a slice.
pub(super) fn refs_text(refs: &[u32]) -> String {
    let numbers: Vec<String> = refs.iter().map(u32::to_string).collect();
    format!("[{}]", numbers.join(" "))
}

/// Makes labels of sorted pairs. There has to be a metric name, names and values have to
/// be UTF-8, and names not empty and different from each other. Empty values go.
pub(super) fn valid_labels(pairs: &[(&[u8], &[u8])]) -> Result<Labels, String> {
    let utf8 = |&(name, value): &(_, _)| {
        Some((
            std::str::from_utf8(name).ok()?,
            std::str::from_utf8(value).ok()?,
        ))
    };
    let texts: Option<Vec<(&str, &str)>> = pairs.iter().map(utf8).collect();
    let texts = texts.filter(|texts| {
        let has_metric_name =
            |&(name, value): &(&str, &str)| name == METRIC_NAME && !value.is_empty();
        texts.iter().any(has_metric_name) && texts.iter().all(|(name, _)| !name.is_empty())
    });
    let Some(texts) = texts else {
        return Err(format!(
            "invalid metric name or labels, got {}",
            labels_text(pairs)
        ));
    };
    if let Some(twice) = texts.windows(2).find(|two| two[0].0 == two[1].0) {
        return Err(format!(
            "invalid labels for series, labels {}, duplicated label {}",
            labels_text(pairs),
            twice[0].0
        ));
    }
    Ok(Labels::from_sorted(
        texts.into_iter().filter(|(_, value)| !value.is_empty()),
    ))
}

/// Prints labels as they were sent, those that are no labels too.
pub(super) fn labels_text(pairs: &[(&[u8], &[u8])]) -> String {
    let one = |&(name, value): &(&[u8], &[u8])| {
        let name = match std::str::from_utf8(name) {
            Ok(name) if is_legacy_label_name(name) => name.to_owned(),
            _ => quote_bytes(name),
        };
        format!("{name}={}", quote_bytes(value))
    };
    let texts: Vec<String> = pairs.iter().map(one).collect();
    format!("{{{}}}", texts.join(", "))
}

/// Returns the family of a metric: histograms and summaries have several.
pub(super) fn family(metric: &str, kind: MetricType) -> &str {
    let endings: &[&str] = match kind {
        MetricType::Histogram | MetricType::GaugeHistogram => {
            &["_bucket", "_count", "_sum", "_gcount", "_gsum"]
        }
        MetricType::Summary => &["_count", "_sum"],
        _ => &[],
    };
    let stem = endings
        .iter()
        .find_map(|ending| metric.strip_suffix(ending));
    stem.filter(|stem| !stem.is_empty()).unwrap_or(metric)
}
