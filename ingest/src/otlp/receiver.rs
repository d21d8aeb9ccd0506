//! The receiver: one request in, one outcome out.

use std::sync::atomic::{AtomicU64, Ordering};

use kymo_storage::metrics::MetricStore;

use super::error::PushError;
use super::schema::check_request;
use super::settings::Settings;
use super::store::{StoreCounts, StoreSink};
use super::translate::{Translated, translate};
use super::unpack::{from_json, gunzip};
use super::warnings::{WarningCategory, Warnings};
use crate::unpack::Reserve;

/// What a request is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

impl Format {
    /// Returns the format that a Content-Type names. Parameters are not understood, as
    /// they are not in Prometheus.
    ///
    /// # Errors
    /// [`PushError::ContentType`].
    pub fn from_content_type(content_type: Option<&str>) -> Result<Format, PushError> {
        match content_type {
            Some("application/x-protobuf") => Ok(Format::Protobuf),
            Some("application/json") => Ok(Format::Json),
            other => Err(PushError::ContentType(other.unwrap_or("").to_owned())),
        }
    }
}

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// `gzip`.
    Gzip,
}

impl Encoding {
    /// Returns the encoding that a Content-Encoding names.
    ///
    /// # Errors
    /// [`PushError::Encoding`].
    pub fn from_content_encoding(content_encoding: Option<&str>) -> Result<Encoding, PushError> {
        match content_encoding {
            None | Some("") => Ok(Encoding::Identity),
            Some("gzip") => Ok(Encoding::Gzip),
            Some(other) => Err(PushError::Encoding(other.to_owned())),
        }
    }
}

/// How large a request may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of the body as sent, bytes.
    pub body_bytes: usize,
    /// Of the body unpacked, bytes, and of the protobuf that its JSON is turned into.
    pub decoded_bytes: usize,
}

impl Default for Limits {
    /// Returns Prometheus' limit: 32 MiB.
    fn default() -> Limits {
        Limits {
            body_bytes: 32 << 20,
            decoded_bytes: 32 << 20,
        }
    }
}

/// What became of a request that was stored.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Receipt {
    /// Samples stored or known already.
    pub samples: u64,
    /// What was wondered about.
    pub warnings: Warnings,
}

/// Totals of a [`Receiver`], for the server's own metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiverStats {
    /// Requests, refused ones included.
    pub requests: u64,
    /// Requests answered with an error.
    pub failed: u64,
    /// Samples accepted.
    pub samples: u64,
    /// Samples of metrics of which neither type nor unit nor help is known
    /// (`prometheus_api_otlp_appended_samples_without_metadata_total`).
    pub without_metadata: u64,
    /// Exemplars left out because they were older than others of their series
    /// (`prometheus_api_otlp_out_of_order_exemplars_total`).
    pub exemplars_out_of_order: u64,
    /// Warnings, by category (`prometheus_api_otlp_translation_warnings_total`).
    pub warnings: [u64; WarningCategory::ALL.len()],
}

/// Receives requests. Shared by all connections.
#[derive(Debug, Default)]
pub struct Receiver {
    limits: Limits,
    stores_start_zeros: bool,
    requests: AtomicU64,
    failed: AtomicU64,
    samples: AtomicU64,
    without_metadata: AtomicU64,
    exemplars_out_of_order: AtomicU64,
    warnings: [AtomicU64; WarningCategory::ALL.len()],
}

impl Receiver {
    /// Returns a receiver with these limits. With `stores_start_zeros` a series is stored
    /// with a zero at the time since when it counts.
    pub fn new(limits: Limits, stores_start_zeros: bool) -> Receiver {
        Receiver {
            limits,
            stores_start_zeros,
            ..Receiver::default()
        }
    }

    /// Returns the limits, for whoever reads bodies off the network.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Stores a request, `body` as it was sent. `reserve` is asked before memory is taken
    /// to unpack it; `now_ms` is the time of the clock.
    ///
    /// # Errors
    /// Nothing was stored, or not all, and why.
    pub fn receive(
        &self,
        store: &MetricStore,
        settings: &Settings,
        (format, encoding): (Format, Encoding),
        body: &[u8],
        reserve: Reserve<'_>,
        now_ms: i64,
    ) -> Result<Receipt, PushError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let outcome = self.try_receive(store, settings, (format, encoding), body, reserve, now_ms);
        if outcome.is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }

    fn try_receive(
        &self,
        store: &MetricStore,
        settings: &Settings,
        (format, encoding): (Format, Encoding),
        body: &[u8],
        reserve: Reserve<'_>,
        now_ms: i64,
    ) -> Result<Receipt, PushError> {
        let limit_bytes = self.limits.decoded_bytes;
        let mut unpacked;
        let mut request = body;
        if encoding == Encoding::Gzip {
            unpacked = gunzip(request, limit_bytes, reserve)?;
            request = &unpacked;
        }
        if format == Format::Json {
            unpacked = from_json(request, limit_bytes, reserve)?;
            request = &unpacked;
        }
        let mut sink = StoreSink::new(store, now_ms, self.stores_start_zeros);
        let translated = match translate(request, settings, &mut sink) {
            Ok(translated) => translated,
            Err(error) => {
                sink.rollback();
                // The first mistake in the order of the bytes is the one that is told.
                check_request(request)?;
                return Err(error.into());
            }
        };
        self.settle(sink, translated, request)
    }

    fn settle(
        &self,
        sink: StoreSink<'_>,
        translated: Translated,
        request: &[u8],
    ) -> Result<Receipt, PushError> {
        for (counter, category) in self.warnings.iter().zip(WarningCategory::ALL) {
            counter.fetch_add(translated.warnings.count(category), Ordering::Relaxed);
        }
        if !translated.warnings.texts().is_empty() {
            let warnings = translated.warnings.texts();
            tracing::warn!(?warnings, "warnings translating OTLP metrics");
        }
        if !translated.errors.is_empty() {
            sink.rollback();
            check_request(request)?;
            return Err(PushError::Points {
                errors: translated.errors,
                n_more: translated.n_more_errors,
            });
        }
        let counts = sink.commit()?;
        self.count(counts);
        if let Some(limit) = translated.series_limit {
            return Err(PushError::SeriesLimit {
                limit,
                refused: translated.over_limit,
                stored: counts.samples,
            });
        }
        Ok(Receipt {
            samples: counts.samples,
            warnings: translated.warnings,
        })
    }

    fn count(&self, counts: StoreCounts) {
        let add = |counter: &AtomicU64, n| counter.fetch_add(n, Ordering::Relaxed);
        add(&self.samples, counts.samples);
        add(&self.without_metadata, counts.without_metadata);
        add(&self.exemplars_out_of_order, counts.exemplars_out_of_order);
    }

    /// Returns the totals so far.
    pub fn stats(&self) -> ReceiverStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReceiverStats {
            requests: load(&self.requests),
            failed: load(&self.failed),
            samples: load(&self.samples),
            without_metadata: load(&self.without_metadata),
            exemplars_out_of_order: load(&self.exemplars_out_of_order),
            warnings: self.warnings.each_ref().map(load),
        }
    }
}
