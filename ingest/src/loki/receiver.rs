//! The receiver of pushes: a body in, batches to store out; and its totals.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use kymo_storage::model::Labels;
use parking_lot::Mutex;

use super::admission::{Admission, Admitted, Rules};
use super::encoding::{self, Encoding};
use super::error::PushError;
use super::limits::{Limits, Reason, Refusal, TENANT};
use super::lines::LineFields;
use super::tally::{Discarded, Tally};
use super::{json, lines, media_type, metadata, protobuf, stored};
use crate::otlp;
use crate::unpack::Reserve;

/// What a body is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format<'f> {
    /// Loki's protobuf, a block of snappy.
    Protobuf,
    /// Loki's JSON.
    Json,
    /// One JSON object a line.
    JsonLines(&'f LineFields),
    /// Protobuf of OpenTelemetry.
    OtlpProtobuf,
    /// Its JSON.
    OtlpJson,
}

impl Format<'_> {
    /// Returns the format that a Content-Type names: what is not JSON is protobuf.
    ///
    /// # Errors
    /// There is none, or it is none.
    pub fn from_content_type(content_type: Option<&str>) -> Result<Format<'static>, PushError> {
        let kind = media_type::media_type(content_type.unwrap_or(""));
        match kind {
            Ok(kind) if kind == "application/json" => Ok(Format::Json),
            Ok(_) => Ok(Format::Protobuf),
            Err(wrong) => Err(PushError::Parameter(wrong.to_owned())),
        }
    }
}

/// How large a body may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    /// As it was sent, in bytes.
    pub body_bytes: usize,
    /// Unpacked, in bytes.
    pub decoded_bytes: usize,
}

impl Default for BodyLimits {
    /// Returns Loki's: 100 MiB, and fifty times that.
    fn default() -> BodyLimits {
        BodyLimits {
            body_bytes: 100 << 20,
            decoded_bytes: 50 * (100 << 20),
        }
    }
}

/// Memory that is kept from one body to the next, and most bytes of a piece of it.
const KEPT_BUFFERS: usize = 4;
const KEPT_BYTES: usize = 2 << 20;

/// Memory that a body is unpacked and read into. Batches borrow from it.
#[derive(Debug, Default)]
pub struct Buffers {
    unpacked: Vec<u8>,
    request: Vec<u8>,
    scratch: Vec<u8>,
}

/// Totals of a [`Receiver`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiverStats {
    /// Entries that came, refused ones included.
    pub lines: u64,
    /// Bytes of their lines and metadata.
    pub bytes: u64,
    /// Bytes of their metadata.
    pub metadata_bytes: u64,
    /// Lines that were cut.
    pub cut_lines: u64,
    /// Bytes that were cut off.
    pub cut_bytes: u64,
    /// Refused entries, in the order of [`Reason::ALL`].
    pub discarded: [Discarded; Reason::ALL.len()],
}

/// Streams whose bytes a second are remembered.
const MAX_STREAM_BUCKETS: usize = 100_000;

/// Receives pushes. Shared by all connections.
#[derive(Debug, Default)]
pub struct Receiver {
    body_limits: BodyLimits,
    rules: ArcSwap<Rules>,
    bucket: Mutex<Bucket>,
    /// Where streams have a limit each.
    stream_buckets: Mutex<HashMap<Labels, Bucket>>,
    buffers: Mutex<Vec<Buffers>>,
    lines: AtomicU64,
    line_bytes: AtomicU64,
    metadata_bytes: AtomicU64,
    cut_lines: AtomicU64,
    cut_bytes: AtomicU64,
    discarded_lines: [AtomicU64; Reason::ALL.len()],
    discarded_bytes: [AtomicU64; Reason::ALL.len()],
}

impl Receiver {
    /// Returns a receiver with these limits.
    pub fn new(limits: Limits, body_limits: BodyLimits) -> Receiver {
        let receiver = Receiver {
            body_limits,
            ..Receiver::default()
        };
        receiver.set_limits(limits);
        receiver
    }

    /// Replaces the limits, for pushes from now on.
    pub fn set_limits(&self, limits: Limits) {
        self.rules.store(Arc::new(Rules::new(limits)));
    }

    /// Returns the limits with what follows from them.
    pub fn rules(&self) -> Arc<Rules> {
        self.rules.load_full()
    }

    /// Returns how large bodies may be.
    pub fn body_limits(&self) -> BodyLimits {
        self.body_limits
    }

    /// Returns memory to read a body into, used before where there is some.
    pub fn buffers(&self) -> Buffers {
        self.buffers.lock().pop().unwrap_or_default()
    }

    /// Keeps memory for the next body.
    pub fn keep(&self, mut buffers: Buffers) {
        for buffer in [
            &mut buffers.unpacked,
            &mut buffers.request,
            &mut buffers.scratch,
        ] {
            if buffer.capacity() > KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
        let mut kept = self.buffers.lock();
        if kept.len() < KEPT_BUFFERS {
            kept.push(buffers);
        }
    }

    /// Reads a body as it was sent, at the time `now_ns`. `reserve` is asked before memory
    /// is taken.
    ///
    /// # Errors
    /// Nothing of it is to be stored, and why.
    pub fn admit<'a>(
        &self,
        form: (Format<'_>, Encoding),
        body: &'a [u8],
        buffers: &'a mut Buffers,
        reserve: Reserve<'_>,
        now_ns: i64,
    ) -> Result<Admitted<'a>, PushError> {
        self.admit_backfill(form, None, body, buffers, reserve, now_ns)
    }

    /// The same for entries of any age, in streams of a shard, where one is named.
    ///
    /// # Errors
    /// As of [`Receiver::admit`].
    pub fn admit_backfill<'a>(
        &self,
        (format, encoding): (Format<'_>, Encoding),
        shard: Option<&str>,
        body: &'a [u8],
        buffers: &'a mut Buffers,
        reserve: Reserve<'_>,
        now_ns: i64,
    ) -> Result<Admitted<'a>, PushError> {
        let mut rules = self.rules.load_full();
        if shard.is_some() {
            rules = Arc::new(Rules::new(Limits {
                reject_old_samples: false,
                ..rules.limits().clone()
            }));
        }
        let form = (format, encoding, shard);
        let admitted = read(
            &rules,
            form,
            body,
            buffers,
            self.body_limits,
            reserve,
            now_ns,
        );
        if let Err(PushError::TooLarge { .. }) = &admitted {
            self.too_large(body.len());
        }
        self.settle(rules.limits(), admitted?, now_ns)
    }

    /// Counts a body that was too large to be read.
    pub fn too_large(&self, bytes: usize) {
        self.discard(Reason::RequestBodyTooLarge, 0, bytes as u64);
    }

    /// Counts entries that were refused.
    pub(super) fn discard(&self, reason: Reason, lines: u64, bytes: u64) {
        self.discarded_lines[reason as usize].fetch_add(lines, Ordering::Relaxed);
        self.discarded_bytes[reason as usize].fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts what was admitted, and checks it against what may come in a second.
    pub(crate) fn settle<'a>(
        &self,
        limits: &Limits,
        mut admitted: Admitted<'a>,
        now_ns: i64,
    ) -> Result<Admitted<'a>, PushError> {
        if limits.per_stream_rate_limit > 0 {
            self.limit_streams(limits, &mut admitted, now_ns);
        }
        let mut tally = admitted.tally.clone_counts();
        let outcome = self.check_rate(limits, &admitted, &mut tally, now_ns);
        let add = |counter: &AtomicU64, n| counter.fetch_add(n, Ordering::Relaxed);
        add(&self.lines, tally.lines);
        add(&self.line_bytes, tally.line_bytes);
        add(&self.metadata_bytes, tally.metadata_bytes);
        add(&self.cut_lines, tally.cut_lines);
        add(&self.cut_bytes, tally.cut_bytes);
        for (reason, discarded) in Reason::ALL.into_iter().zip(tally.discarded) {
            if discarded.lines > 0 {
                self.discard(reason, discarded.lines, discarded.bytes);
            }
        }
        outcome?;
        match admitted.has_streams {
            true => Ok(admitted),
            false => Err(PushError::NoStreams),
        }
    }

    /// Leaves out streams of which more came in a second than may.
    fn limit_streams(&self, limits: &Limits, admitted: &mut Admitted<'_>, now_ns: i64) {
        let (rate, burst) = (
            limits.per_stream_rate_limit,
            limits.per_stream_rate_limit_burst,
        );
        let mut buckets = self.stream_buckets.lock();
        if buckets.len() >= MAX_STREAM_BUCKETS {
            // Each begins anew with a full bucket.
            buckets.clear();
        }
        let tally = &mut admitted.tally;
        admitted.batches.retain(|batch| {
            let sizes = batch.entries.iter();
            let sizes = sizes.map(|entry| entry.line.len() + metadata::size(&entry.metadata).1);
            let bytes: usize = sizes.sum();
            let bucket = buckets.entry_ref(&batch.labels).or_default();
            if bucket.take(bytes as u64, rate, burst, now_ns) {
                return true;
            }
            let reason = Reason::StreamRateLimit;
            let text = stored::told_of_all(batch, |entry| {
                let stream = &batch.labels;
                let bytes = entry.line.len() + metadata::size(&entry.metadata).1;
                format!(
                    "Per stream rate limit exceeded (limit: {rate}B/sec) while attempting to ingest for stream '{stream}' totaling {bytes}B, consider splitting a stream via additional labels or contact your Loki administrator to see if the limit can be increased"
                )
            });
            tally.refuse(&Refusal { reason, text }, batch.entries.len() as u64, bytes);
            tally.withdraw(batch.entries.len() as u64, bytes as u64);
            false
        });
    }

    fn check_rate(
        &self,
        limits: &Limits,
        admitted: &Admitted<'_>,
        tally: &mut Tally,
        now_ns: i64,
    ) -> Result<(), PushError> {
        let (lines, bytes) = (tally.accepted_lines, tally.accepted_bytes);
        let rate = limits.ingestion_rate_bytes;
        if rate == 0 || admitted.batches.is_empty() {
            return Ok(());
        }
        let burst = limits.ingestion_burst_bytes;
        if self.bucket.lock().take(bytes, rate, burst, now_ns) {
            return Ok(());
        }
        tally.discard(Reason::RateLimited, lines, bytes as usize);
        Err(PushError::RateLimited(format!(
            "ingestion rate limit exceeded for user {TENANT} (limit: {rate} bytes/sec) while attempting to ingest '{lines}' lines totaling '{bytes}' bytes, reduce log volume or contact your Loki administrator to see if the limit can be increased"
        )))
    }

    /// Returns the totals so far.
    pub fn stats(&self) -> ReceiverStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut discarded = [Discarded::default(); Reason::ALL.len()];
        for (at, discarded) in discarded.iter_mut().enumerate() {
            discarded.lines = load(&self.discarded_lines[at]);
            discarded.bytes = load(&self.discarded_bytes[at]);
        }
        let metadata_bytes = load(&self.metadata_bytes);
        ReceiverStats {
            lines: load(&self.lines),
            bytes: load(&self.line_bytes) + metadata_bytes,
            metadata_bytes,
            cut_lines: load(&self.cut_lines),
            cut_bytes: load(&self.cut_bytes),
            discarded,
        }
    }
}

impl Admitted<'_> {
    /// Returns what the sender is told once all that was accepted is stored: an error where
    /// that is not everything.
    ///
    /// # Errors
    /// Entries were refused.
    pub fn outcome(&self, limits: &Limits) -> Result<(), PushError> {
        if let Some(text) = self.tally.refusals() {
            return Err(match self.tally.is_limited() {
                true => PushError::RateLimited(text),
                false => PushError::Refused(text),
            });
        }
        let status = limits.block_ingestion_status_code;
        match self.tally.blocked() {
            Some(text) if status != 200 => Err(PushError::Blocked {
                status,
                text: text.to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// Reads Loki's JSON at the time `now_ns` as a server does that has these rules.
///
/// # Errors
/// It is none.
pub fn admit_json<'a>(
    rules: &Rules,
    body: &'a [u8],
    buffers: &'a mut Buffers,
    now_ns: i64,
) -> Result<Admitted<'a>, PushError> {
    let form = (Format::Json, Encoding::Identity, None);
    let limits = BodyLimits::default();
    read(rules, form, body, buffers, limits, &mut |_| true, now_ns)
}

fn read<'a>(
    rules: &Rules,
    (format, encoding, shard): (Format<'_>, Encoding, Option<&str>),
    body: &'a [u8],
    buffers: &'a mut Buffers,
    limits: BodyLimits,
    reserve: Reserve<'_>,
    now_ns: i64,
) -> Result<Admitted<'a>, PushError> {
    let Buffers {
        unpacked,
        request,
        scratch,
    } = buffers;
    let limit_bytes = limits.decoded_bytes;
    let mut body = body;
    // A block of snappy is what protobuf comes as; JSON that says so is often not packed.
    let is_plain = match format {
        Format::Protobuf => encoding == Encoding::Snappy,
        _ => encoding == Encoding::Snappy && body.trim_ascii_start().starts_with(b"{"),
    };
    if encoding != Encoding::Identity && !is_plain {
        *unpacked = encoding::unpack(body, encoding, limit_bytes, reserve)?;
        body = unpacked;
    }
    if format == Format::Protobuf {
        let len = encoding::unsnap(body, limit_bytes, reserve, request)?;
        body = &request[..len];
    } else {
        if format == Format::OtlpJson {
            let made = otlp::logs_from_json(body, limit_bytes, reserve)?;
            *request = made.ok_or(PushError::Busy)?;
            body = request;
        }
        if !reserve(body.len()) {
            return Err(PushError::Busy);
        }
        scratch.clear();
        scratch.resize(body.len(), 0);
    }
    let mut admission = Admission::new(rules, now_ns, reserve);
    if let Some(shard) = shard {
        admission.backfill(shard);
    }
    match format {
        Format::Protobuf => protobuf::read(body, &mut admission)?,
        Format::Json => json::read(body, scratch, &mut admission)?,
        Format::JsonLines(fields) => lines::read(body, scratch, fields, &mut admission)?,
        Format::OtlpProtobuf | Format::OtlpJson => {
            let settings = &rules.limits().otlp;
            otlp::logs::read(body, scratch, settings, &mut admission)?;
        }
    }
    let mut admitted = admission.finish();
    if matches!(format, Format::OtlpProtobuf | Format::OtlpJson) {
        // A resource without records is nothing that was pushed.
        admitted.has_streams = admitted.tally.lines > 0;
    }
    Ok(admitted)
}

/// Bytes that may come, refilled as time goes.
#[derive(Debug, Default)]
struct Bucket {
    bytes: f64,
    /// When it was filled up to `bytes`.
    filled_ns: Option<i64>,
}

impl Bucket {
    /// Takes bytes, all or none.
    fn take(&mut self, bytes: u64, rate: u64, burst: u64, now_ns: i64) -> bool {
        let full = burst as f64;
        let since = self
            .filled_ns
            .map(|filled| now_ns.saturating_sub(filled).max(0));
        self.bytes = match since {
            Some(since_ns) => (self.bytes + since_ns as f64 / 1e9 * rate as f64).min(full),
            None => full,
        };
        self.filled_ns = Some(now_ns);
        let fits = bytes as f64 <= self.bytes;
        if fits {
            self.bytes -= bytes as f64;
        }
        fits
    }
}
