//! Native histograms on their way from a target into the store: within the bounds that
//! the job sets on their resolution.

use kymo_storage::model::histogram::{EXPONENTIAL_SCHEMAS, Histogram, HistogramError};

use super::config::ScrapeConfig;
use crate::wire::histogram::SentHistogram;

/// The exponential schemas that there are; those beyond the ones stored are reserved.
const KNOWN_SCHEMAS: std::ops::RangeInclusive<i32> = -9..=52;

/// What a job allows its histograms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fitting {
    /// A finer schema is reduced to this one.
    finest_schema: i32,
    /// Buckets of both sides; 0 = any number.
    max_buckets: u64,
}

/// Why a histogram is not stored.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Unfit {
    /// It has too many buckets, however coarse they are made.
    TooManyBuckets,
    /// It is none.
    Invalid(HistogramError),
}

impl From<HistogramError> for Unfit {
    fn from(error: HistogramError) -> Unfit {
        Unfit::Invalid(error)
    }
}

impl Fitting {
    /// Returns what a job allows.
    pub(super) fn of(config: &ScrapeConfig) -> Fitting {
        Fitting {
            finest_schema: finest_schema(config.native_histogram_min_bucket_factor),
            max_buckets: config.native_histogram_bucket_limit,
        }
    }

    /// Makes a histogram as coarse as it has to be. Whether it is a valid one, the store
    /// judges.
    pub(super) fn fit(&self, sent: SentHistogram) -> Result<Histogram, Unfit> {
        let mut histogram = sent.assemble()?;
        let schema = schema_of(&histogram);
        let is_finest = self.finest_schema >= *EXPONENTIAL_SCHEMAS.end();
        if !is_finest && KNOWN_SCHEMAS.contains(&schema) && schema > self.finest_schema {
            coarsen(&mut histogram, self.finest_schema)?;
        }
        while self.max_buckets > 0 && n_buckets(&histogram) as u64 > self.max_buckets {
            let schema = schema_of(&histogram);
            if !EXPONENTIAL_SCHEMAS.contains(&schema) || schema == *EXPONENTIAL_SCHEMAS.start() {
                return Err(Unfit::TooManyBuckets);
            }
            coarsen(&mut histogram, schema - 1)?;
        }
        Ok(histogram)
    }
}

/// Returns the finest schema in which bounds grow at least by `factor` from one bucket to
/// the next.
fn finest_schema(factor: f64) -> i32 {
    let (coarsest, finest) = (*EXPONENTIAL_SCHEMAS.start(), *EXPONENTIAL_SCHEMAS.end());
    // No schema that is stored grows by less.
    let factor = if factor <= 1.0 { 1.002_71 } else { factor };
    let schema = (-factor.log2().log2()).floor();
    if schema >= f64::from(finest) {
        finest
    } else if schema <= f64::from(coarsest) {
        coarsest
    } else {
        schema as i32
    }
}

fn schema_of(histogram: &Histogram) -> i32 {
    match histogram {
        Histogram::Integer(histogram) => histogram.schema,
        Histogram::Float(histogram) => histogram.schema,
    }
}

fn n_buckets(histogram: &Histogram) -> usize {
    match histogram {
        Histogram::Integer(histogram) => histogram.n_buckets(),
        Histogram::Float(histogram) => histogram.n_buckets(),
    }
}

fn coarsen(histogram: &mut Histogram, schema: i32) -> Result<(), HistogramError> {
    match histogram {
        Histogram::Integer(histogram) => histogram.coarsen(schema),
        Histogram::Float(histogram) => {
            histogram.coarsen(schema);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kymo_storage::model::histogram::{CUSTOM_BUCKETS_SCHEMA, IntegerHistogram, Span};

    use super::*;
    use crate::wire::histogram::SentFloatHistogram;

    fn fitting(factor: f64, max_buckets: u64) -> Fitting {
        Fitting::of(&ScrapeConfig {
            native_histogram_min_bucket_factor: factor,
            native_histogram_bucket_limit: max_buckets,
            ..ScrapeConfig::new("a", Duration::from_secs(1), Duration::from_secs(1))
        })
    }

    fn sent(schema: i32, n_buckets: u32) -> [SentHistogram; 2] {
        let positive_spans = vec![Span {
            offset: 1,
            length: n_buckets,
        }];
        let mut float = SentFloatHistogram {
            positive_spans: positive_spans.clone(),
            positive_counts: vec![1.0; n_buckets as usize],
            ..SentFloatHistogram::default()
        };
        float.histogram.schema = schema;
        let mut positive_deltas = vec![0; n_buckets as usize];
        positive_deltas[0] = 1;
        [
            SentHistogram::Integer(IntegerHistogram {
                schema,
                positive_spans,
                positive_deltas,
                ..IntegerHistogram::default()
            }),
            SentHistogram::Float(float),
        ]
    }

    #[test]
    fn histograms_are_made_coarser_until_they_fit() {
        for (fitting, schema, n_buckets, to_schema, to_buckets) in [
            (fitting(0.0, 0), 8, 1000, 8, 1000),
            (fitting(0.0, 100), 3, 100, 3, 100),
            (fitting(0.0, 99), 3, 100, 2, 50),
            (fitting(0.0, 20), 3, 100, 0, 13),
            (fitting(1.1, 0), 8, 64, 2, 1),
            (fitting(2.0, 0), 4, 16, 0, 1),
            (fitting(0.0, 0), 20, 4, 20, 4),
            (fitting(1.1, 0), 20, 4, 2, 1),
            (fitting(65_536.0, 0), 0, 16, -4, 1),
        ] {
            for sent in sent(schema, n_buckets) {
                let fitted = fitting.fit(sent).unwrap();
                let found = (schema_of(&fitted), super::n_buckets(&fitted));
                assert_eq!(found, (to_schema, to_buckets), "{fitting:?} {schema}");
            }
        }
    }

    #[test]
    fn what_cannot_be_coarser_does_not_fit() {
        for (schema, n_buckets) in [(-4, 100), (CUSTOM_BUCKETS_SCHEMA, 11), (-3, 1000)] {
            for sent in sent(schema, n_buckets) {
                assert_eq!(fitting(0.0, 10).fit(sent), Err(Unfit::TooManyBuckets));
            }
        }
        for sent in sent(CUSTOM_BUCKETS_SCHEMA, 11) {
            assert!(fitting(1.5, 11).fit(sent).is_ok());
        }
    }

    #[test]
    fn factors_choose_schemas_as_in_prometheus() {
        for (factor, schema) in [
            (65_536.0, -4),
            (256.0, -3),
            (16.0, -2),
            (4.0, -1),
            (2.0, 0),
            (1.4, 1),
            (1.1, 2),
            (1.09, 3),
            (1.04, 4),
            (1.02, 5),
            (1.01, 6),
            (1.005, 7),
            (1.002, 8),
            (1.0, 8),
            (0.0, 8),
        ] {
            assert_eq!(finest_schema(factor), schema, "{factor}");
        }
    }
}
