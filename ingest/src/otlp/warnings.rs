//! What a translation wonders about without failing.

use hashbrown::HashSet;
use kymo_storage::compat::quote::quote;

/// Texts that are kept of one request; the ones beyond are only counted.
const MAX_KEPT: usize = 100;

/// The kinds of warnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WarningCategory {
    /// A metric has no data points.
    EmptyDataPoints,
    /// Attributes of different names make one label.
    LabelNameCollision,
    /// A histogram without observations has a sum of them.
    HistogramZeroCountNonZeroSum,
}

impl WarningCategory {
    /// Every category.
    pub const ALL: [WarningCategory; 3] = [
        WarningCategory::EmptyDataPoints,
        WarningCategory::LabelNameCollision,
        WarningCategory::HistogramZeroCountNonZeroSum,
    ];

    /// Returns the word of the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            WarningCategory::EmptyDataPoints => "empty_data_points",
            WarningCategory::LabelNameCollision => "label_name_collision",
            WarningCategory::HistogramZeroCountNonZeroSum => "histogram_zero_count_non_zero_sum",
        }
    }
}

/// The warnings of one request, each text once.
#[derive(Debug, Default)]
pub struct Warnings {
    texts: Vec<String>,
    seen: HashSet<String>,
    /// Labels whose collision was told.
    collided: HashSet<String>,
    counts: [u64; WarningCategory::ALL.len()],
    n_collisions: u64,
}

impl Warnings {
    /// Returns the texts that were kept, in the order they came.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Returns how many there are of a category.
    pub fn count(&self, category: WarningCategory) -> u64 {
        self.counts[category as usize]
    }

    /// Returns how often labels were made of several attributes, told or not.
    pub(super) fn n_collisions(&self) -> u64 {
        self.n_collisions
    }

    pub(super) fn empty(&mut self, metric: &str) {
        let text = format!("empty data points. {metric} is dropped");
        self.push(WarningCategory::EmptyDataPoints, text);
    }

    pub(super) fn zero_count(&mut self, text: String) {
        self.push(WarningCategory::HistogramZeroCountNonZeroSum, text);
    }

    /// Notes that attributes make one label. Of each label it is told once.
    pub(super) fn collision<'k>(
        &mut self,
        source: &str,
        keys: impl Iterator<Item = &'k str>,
        label: &str,
    ) {
        self.n_collisions += 1;
        if self.collided.contains(label) || self.collided.len() >= MAX_KEPT {
            return;
        }
        self.collided.insert(label.to_owned());
        let keys: Vec<String> = keys.map(quote).collect();
        let text = format!(
            "OTLP {source} attributes {} collide as label {} after name sanitization, \
             values are concatenated with ';'",
            keys.join(", "),
            quote(label)
        );
        self.push(WarningCategory::LabelNameCollision, text);
    }

    fn push(&mut self, category: WarningCategory, text: String) {
        if self.seen.contains(&text) {
            return;
        }
        self.counts[category as usize] += 1;
        if self.texts.len() < MAX_KEPT {
            self.seen.insert(text.clone());
            self.texts.push(text);
        }
    }
}
