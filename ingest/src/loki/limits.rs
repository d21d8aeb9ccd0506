//! What may be pushed: limits under Loki's names with Loki's defaults, and what is said of
//! entries that are over one.
//!
//! Off unless asked for are the limits that keep a cluster's tenants apart and that one
//! server has no need of: bytes a second, streams, bytes a second of a stream, and how far
//! an entry may be behind its stream's newest.

use kymo_storage::compat::time::Instant;
use kymo_storage::model::Labels;

use crate::otlp::LogAttributes;

/// Whom everything belongs to, as Loki calls it where there is one tenant.
pub const TENANT: &str = "fake";

/// Nanoseconds of a second.
const SECOND_NS: i64 = 1_000_000_000;
const HOUR_NS: i64 = 3600 * SECOND_NS;

/// Labels that name a service, first ones first, for streams without `service_name`.
pub const DEFAULT_SERVICE_LABELS: [&str; 13] = [
    "service",
    "app",
    "application",
    "app_name",
    "name",
    "app_kubernetes_io_name",
    "container",
    "container_name",
    "k8s_container_name",
    "component",
    "workload",
    "job",
    "k8s_job_name",
];

/// Limits of what is pushed. Fields are called as in Loki's `limits_config`; numbers that
/// are 0 are no limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Whether entries that are too old are refused.
    pub reject_old_samples: bool,
    /// How old an entry may be, in nanoseconds.
    pub reject_old_samples_max_age_ns: i64,
    /// How far ahead of the clock an entry may be, in nanoseconds.
    pub creation_grace_period_ns: i64,
    /// Bytes of a line.
    pub max_line_size: usize,
    /// Whether longer lines are cut instead of refused.
    pub max_line_size_truncate: bool,
    /// What stands at the end of a line that was cut.
    pub max_line_size_truncate_identifier: String,
    /// Labels of a stream, without `service_name`.
    pub max_label_names_per_series: usize,
    /// Bytes of a label's name.
    pub max_label_name_length: usize,
    /// Bytes of a label's value.
    pub max_label_value_length: usize,
    /// Whether entries may have structured metadata.
    pub allow_structured_metadata: bool,
    /// Bytes of names and values of the structured metadata of an entry.
    pub max_structured_metadata_size: usize,
    /// Names in the structured metadata of an entry.
    pub max_structured_metadata_entries_count: usize,
    /// Labels that `service_name` is taken from; without any it is not added.
    pub discover_service_name: Vec<String>,
    /// Whether `detected_level` is added.
    pub discover_log_levels: bool,
    /// Fields that tell a level.
    pub log_level_fields: Vec<String>,
    /// How deep objects in a line are looked into for a level; 0 is without limit.
    pub log_level_from_json_max_depth: usize,
    /// Whether different lines of one time are set apart by a nanosecond.
    pub increment_duplicate_timestamp: bool,
    /// Labels that a stream must have.
    pub enforced_labels: Vec<String>,
    /// Until when nothing is accepted, in nanoseconds since the epoch.
    pub block_ingestion_until_ns: Option<i64>,
    /// Status of the answer meanwhile.
    pub block_ingestion_status_code: u16,
    /// Bytes a second.
    pub ingestion_rate_bytes: u64,
    /// Bytes that may come at once where there is a rate.
    pub ingestion_burst_bytes: u64,
    /// Bytes a second of one stream.
    pub per_stream_rate_limit: u64,
    /// Bytes that may come at once in one stream where there is a rate.
    pub per_stream_rate_limit_burst: u64,
    /// Streams.
    pub max_streams: usize,
    /// What becomes of attributes of OTLP (`otlp_config`).
    pub otlp: LogAttributes,
    /// How far behind the newest entry of its stream an entry may be, in nanoseconds.
    pub max_behind_newest_ns: i64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            reject_old_samples: true,
            reject_old_samples_max_age_ns: 7 * 24 * HOUR_NS,
            creation_grace_period_ns: 600 * SECOND_NS,
            max_line_size: 256 << 10,
            max_line_size_truncate: false,
            max_line_size_truncate_identifier: String::new(),
            max_label_names_per_series: 15,
            max_label_name_length: 1024,
            max_label_value_length: 2048,
            allow_structured_metadata: true,
            max_structured_metadata_size: 64 << 10,
            max_structured_metadata_entries_count: 128,
            discover_service_name: DEFAULT_SERVICE_LABELS.map(str::to_owned).to_vec(),
            discover_log_levels: true,
            log_level_fields: super::level::DEFAULT_LEVEL_FIELDS
                .map(str::to_owned)
                .to_vec(),
            log_level_from_json_max_depth: 2,
            increment_duplicate_timestamp: false,
            enforced_labels: Vec::new(),
            block_ingestion_until_ns: None,
            block_ingestion_status_code: 260,
            ingestion_rate_bytes: 0,
            ingestion_burst_bytes: 6 << 20,
            per_stream_rate_limit: 0,
            per_stream_rate_limit_burst: 15 << 20,
            max_streams: 0,
            otlp: LogAttributes::default(),
            max_behind_newest_ns: 0,
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why entries were refused: values of the label `reason`, as alerts on Loki's
        /// counters have them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason, in the order of their numbers.
            pub const ALL: [Reason; [$($text),*].len()] = [$(Reason::$name),*];

            /// Returns the value of the label.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Reason::$name => $text,)*
                }
            }
        }
    };
}

reasons! {
    /// All entries together are too many bytes a second.
    RateLimited = "rate_limited",
    /// Those of a stream are.
    StreamRateLimit = "per_stream_rate_limit",
    /// There are too many streams.
    StreamLimit = "stream_limit",
    /// A line is too long.
    LineTooLong = "line_too_long",
    /// An entry is too old.
    GreaterThanMaxSampleAge = "greater_than_max_sample_age",
    /// An entry is too far ahead of the clock.
    TooFarInFuture = "too_far_in_future",
    /// An entry is too far behind the newest one of its stream.
    TooFarBehind = "too_far_behind",
    /// A stream has no label.
    MissingLabels = "missing_labels",
    /// A stream has too many labels.
    MaxLabelNames = "max_label_names_per_series",
    /// The name of a label is too long.
    LabelNameTooLong = "label_name_too_long",
    /// The value of a label is too long.
    LabelValueTooLong = "label_value_too_long",
    /// A label comes twice.
    DuplicateLabelNames = "duplicate_label_names",
    /// There is structured metadata, which is switched off.
    DisallowedMetadata = "disallowed_structured_metadata",
    /// Structured metadata has too many bytes.
    MetadataTooLarge = "structured_metadata_too_large",
    /// Structured metadata has too many names.
    MetadataTooMany = "structured_metadata_too_many",
    /// A name in structured metadata has nothing that a name may contain.
    InvalidMetadata = "invalid_structured_metadata",
    /// A stream has not the labels it must have.
    MissingEnforcedLabels = "missing_enforced_labels",
    /// Nothing is accepted now.
    BlockedIngestion = "blocked_ingestion",
    /// The body is too large.
    RequestBodyTooLarge = "request_body_too_large",
}

/// An entry or a stream that is refused, and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// What the sender is told.
    pub text: String,
}

impl Limits {
    /// Checks the labels of a stream, which stand in order of their names. `shown` is how
    /// the stream is shown.
    pub(crate) fn check_labels(
        &self,
        labels: &Labels,
        shown: &dyn Fn() -> String,
    ) -> Result<(), Refusal> {
        let refuse = |reason, text| Err(Refusal { reason, text });
        if labels.is_empty() {
            let text = "error at least one label pair is required per stream".to_owned();
            return refuse(Reason::MissingLabels, text);
        }
        let mut n_names = 0;
        let mut too_long = None;
        for (name, value) in labels {
            n_names += usize::from(name != super::labels::SERVICE_NAME);
            if too_long.is_none() {
                too_long = if over(name.len(), self.max_label_name_length) {
                    Some((Reason::LabelNameTooLong, "name", name))
                } else if over(value.len(), self.max_label_value_length) {
                    Some((Reason::LabelValueTooLong, "value", value))
                } else {
                    None
                };
            }
        }
        let limit = self.max_label_names_per_series;
        if over(n_names, limit) {
            let stream = shown();
            let text =
                format!("entry for stream '{stream}' has {n_names} label names; limit {limit}");
            return refuse(Reason::MaxLabelNames, text);
        }
        if let Some((reason, what, found)) = too_long {
            let stream = shown();
            let text = format!("stream '{stream}' has label {what} too long: '{found}'");
            return refuse(reason, text);
        }
        let missing = self.enforced_labels.iter();
        let missing: Vec<&str> = missing
            .filter(|name| labels.get(name).is_none())
            .map(String::as_str)
            .collect();
        if !missing.is_empty() {
            let (missing, stream) = (missing.join(","), shown());
            let text = format!(
                "missing required labels '{missing}' for user '{TENANT}' for stream '{stream}' (policy: '')"
            );
            return refuse(Reason::MissingEnforcedLabels, text);
        }
        Ok(())
    }

    /// Checks an entry of a stream at the time `now_ns`; `metadata` are how many names of
    /// structured metadata it has, and their bytes.
    #[inline]
    pub(crate) fn check_entry(
        &self,
        labels: &Labels,
        now_ns: i64,
        t_ns: i64,
        line_bytes: usize,
        metadata: (usize, usize),
    ) -> Result<(), Refusal> {
        let oldest = now_ns.saturating_sub(self.reject_old_samples_max_age_ns);
        let newest = now_ns.saturating_add(self.creation_grace_period_ns);
        let (n_names, metadata_bytes) = metadata;
        let fits = (t_ns >= oldest || !self.reject_old_samples)
            && t_ns <= newest
            && !over(line_bytes, self.max_line_size)
            && (n_names == 0
                || self.allow_structured_metadata
                    && !over(metadata_bytes, self.max_structured_metadata_size)
                    && !over(n_names, self.max_structured_metadata_entries_count));
        match fits {
            true => Ok(()),
            false => Err(self.entry_refusal(labels, oldest, t_ns, line_bytes, metadata)),
        }
    }

    #[cold]
    fn entry_refusal(
        &self,
        labels: &Labels,
        oldest_ns: i64,
        t_ns: i64,
        line_bytes: usize,
        (n_names, metadata_bytes): (usize, usize),
    ) -> Refusal {
        let (reason, text) = if self.reject_old_samples && t_ns < oldest_ns {
            let (found, oldest) = (rfc3339(t_ns), rfc3339(oldest_ns));
            (
                Reason::GreaterThanMaxSampleAge,
                format!(
                    "entry for stream '{labels}' has timestamp too old: {found}, oldest acceptable timestamp is: {oldest}"
                ),
            )
        } else if over(line_bytes, self.max_line_size) {
            let limit = self.max_line_size;
            (
                Reason::LineTooLong,
                format!(
                    "max entry size '{limit}' bytes exceeded for stream '{labels}' while adding an entry with length '{line_bytes}' bytes"
                ),
            )
        } else if n_names > 0 && !self.allow_structured_metadata {
            (
                Reason::DisallowedMetadata,
                format!(
                    "stream '{labels}' includes structured metadata, but this feature is disallowed. Please see `limits_config.allow_structured_metadata` or contact your Loki administrator to enable it"
                ),
            )
        } else if over(metadata_bytes, self.max_structured_metadata_size) && n_names > 0 {
            let limit = self.max_structured_metadata_size;
            (
                Reason::MetadataTooLarge,
                format!(
                    "stream '{labels}' has structured metadata too large: '{metadata_bytes}' bytes, limit: '{limit}' bytes. Please see `limits_config.max_structured_metadata_size` or contact your Loki administrator to increase it"
                ),
            )
        } else if over(n_names, self.max_structured_metadata_entries_count) {
            let limit = self.max_structured_metadata_entries_count;
            (
                Reason::MetadataTooMany,
                format!(
                    "stream '{labels}' has too many structured metadata labels: '{n_names}', limit: '{limit}'. Please see `limits_config.max_structured_metadata_entries_count` or contact your Loki administrator to increase it"
                ),
            )
        } else {
            let found = rfc3339(t_ns);
            (
                Reason::TooFarInFuture,
                format!("entry for stream '{labels}' has timestamp too new: {found}"),
            )
        };
        Refusal { reason, text }
    }
}

fn over(found: usize, limit: usize) -> bool {
    limit > 0 && found > limit
}

/// Returns a time as Loki prints it in errors: whole seconds of UTC.
pub(crate) fn rfc3339(t_ns: i64) -> String {
    Instant::from_ms(t_ns.div_euclid(SECOND_NS) * 1000).rfc3339_nano()
}
