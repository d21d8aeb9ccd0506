//! Computing with native histograms: sums, differences, means, counter resets,
//! quantiles, fractions, trimming.
//!
//! The data type and its bounds are [`kymo_storage::model::histogram`]. Here is what
//! PromQL does with it, free of queries: histograms in, histograms and numbers out.
//! Results are those of Prometheus bit for bit, so sums are built in its order, with
//! its compensation of rounding where it compensates.
//!
//! Histograms of different shape are reconciled before they meet: the finer schema is
//! merged to the coarser one, the narrower zero bucket widened, custom bounds reduced to
//! those that both have. Exponential and custom buckets have nothing in common
//! ([`IncompatibleSchemas`]).
//!
//! Nothing here relies on a histogram being valid.

mod add;
mod detect_reset;
mod layout;
mod mean;
mod moments;
mod nhcb;
mod quantile;
mod run;
mod scale;
mod sum;
#[cfg(test)]
mod tests;
mod trim;
mod zero;

pub use add::{IncompatibleSchemas, Reconciled, add, subtract};
pub use detect_reset::detect_reset;
pub use layout::with_schema;
pub use mean::HistogramMean;
pub use moments::{average, standard_deviation, variance};
pub use nhcb::{ClassicHistogram, ClassicHistogramError};
pub use quantile::{QuantileNote, fraction, quantile};
pub use run::HistogramRun;
pub use scale::{divide, multiply};
pub use sum::HistogramSum;
pub use trim::{Keep, trim};

use kymo_storage::model::histogram::FloatHistogram;

/// Returns as how many samples a histogram counts where samples are limited.
pub fn sample_size(histogram: &FloatHistogram) -> usize {
    const WITHOUT_BUCKETS: usize = 168;
    let sides = [&histogram.positive, &histogram.negative];
    let of_side = sides.map(|buckets| buckets.n_spans() + buckets.len());
    let parts = of_side.iter().sum::<usize>() + histogram.custom_bounds.len();
    // Prometheus counts its own bytes: those of the point, and 8 for each part.
    (WITHOUT_BUCKETS + 8 * parts + 8) / 16
}
