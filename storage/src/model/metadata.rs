//! What is known about a metric apart from its series.

/// The type of a metric family.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetricType {
    /// No type was given, or none that is known (`untyped` in the text format).
    #[default]
    Unknown,
    /// A count that only rises.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// Cumulative buckets, a sum and a count.
    Histogram,
    /// A histogram whose buckets may fall.
    GaugeHistogram,
    /// Quantiles, a sum and a count.
    Summary,
    /// Facts in labels, value 1.
    Info,
    /// One series per state, 1 for the ones that hold.
    StateSet,
}

impl MetricType {
    /// Every type, in the order of the numbers that remote write gives them.
    pub const ALL: [MetricType; 8] = [
        MetricType::Unknown,
        MetricType::Counter,
        MetricType::Gauge,
        MetricType::Histogram,
        MetricType::GaugeHistogram,
        MetricType::Summary,
        MetricType::Info,
        MetricType::StateSet,
    ];

    /// Returns the name the HTTP API and OpenMetrics use.
    pub fn as_str(self) -> &'static str {
        match self {
            MetricType::Unknown => "unknown",
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
            MetricType::GaugeHistogram => "gaugehistogram",
            MetricType::Summary => "summary",
            MetricType::Info => "info",
            MetricType::StateSet => "stateset",
        }
    }

    /// Returns the number that remote write 1.0 and the log give the type.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Returns the type with this number.
    pub fn from_number(number: u64) -> Option<MetricType> {
        let at = usize::try_from(number).ok()?;
        MetricType::ALL.get(at).copied()
    }
}

/// Type, help and unit of a metric family.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct MetricMetadata {
    /// The type.
    pub kind: MetricType,
    /// The help text, empty where none was given.
    pub help: String,
    /// The unit, empty where none was given.
    pub unit: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for kind in MetricType::ALL {
            let number = u64::from(kind.number());
            assert_eq!(MetricType::from_number(number), Some(kind));
        }
        assert_eq!(MetricType::from_number(8), None);
        assert_eq!(MetricType::from_number(u64::MAX), None);
    }
}
