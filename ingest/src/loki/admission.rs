//! What is pushed on its way into batches: checked, completed, counted.
//!
//! A decoder opens streams and hands over entries. Each is checked in Loki's order. What is
//! refused leaves a text and a count; what is accepted gets its level and goes to the batch
//! of its stream, line and metadata still those of the body where they can be.
//!
//! **Invariant:** memory is asked for before it is taken. An entry in a batch is far larger
//! than the two bytes it can have in a body.

use std::borrow::Cow;

use kymo_storage::model::{LogEntry, Metadata, StreamBatch};

use super::backfill;
use super::error::PushError;
use super::labels::{Pairs, StreamLabels, stream_labels};
use super::level::{DETECTED_LEVEL, LevelFields, level_of};
use super::limits::{Limits, Reason, Refusal, TENANT, rfc3339};
use super::metadata;
use super::tally::Tally;
use crate::otlp::Reserve;

/// Limits with what follows from them.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    limits: Limits,
    level_fields: LevelFields,
}

impl Rules {
    /// Returns the rules that follow from limits.
    pub fn new(limits: Limits) -> Rules {
        let fields = limits.log_level_fields.clone();
        Rules {
            level_fields: LevelFields::new(fields, limits.log_level_from_json_max_depth),
            limits,
        }
    }

    /// Returns the limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// What was accepted of a push, and what is said of the rest.
#[derive(Debug, Default)]
pub struct Admitted<'a> {
    /// Entries to store, by stream.
    pub batches: Vec<StreamBatch<'a>>,
    /// Counts of what came and what was refused, and texts.
    pub tally: Tally,
    /// Whether there was any stream, with or without entries.
    pub has_streams: bool,
}

/// Which stream an entry belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamId(usize);

#[derive(Debug)]
struct Stream<'a> {
    batch: StreamBatch<'a>,
    verdict: Verdict,
    /// What its labels tell.
    level: Option<Cow<'static, str>>,
    /// Time of the last entry as it came, where duplicates are set apart.
    last_t_ns: i64,
}

#[derive(Debug)]
enum Verdict {
    Accepted,
    /// Refused, and not told yet.
    Refused(Refusal),
    /// Refused and told.
    Told(Reason),
}

/// Takes entries of one push.
pub(crate) struct Admission<'a, 'r> {
    rules: &'r Rules,
    now_ns: i64,
    /// Entries belong to streams of their own, of this shard.
    backfill: Option<&'r str>,
    reserve: Reserve<'r>,
    /// Bytes that were asked for and are not used yet.
    reserved: usize,
    streams: Vec<Stream<'a>>,
    tally: Tally,
}

/// Bytes that are asked for at least.
const STEP_BYTES: usize = 64 << 10;

impl<'a, 'r> Admission<'a, 'r> {
    pub(crate) fn new(rules: &'r Rules, now_ns: i64, reserve: Reserve<'r>) -> Admission<'a, 'r> {
        Admission {
            rules,
            now_ns,
            backfill: None,
            reserve,
            reserved: 0,
            streams: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Puts all entries into streams of a shard of what is pushed late.
    pub(super) fn backfill(&mut self, shard: &'r str) {
        self.backfill = Some(shard);
    }

    pub(crate) fn now_ns(&self) -> i64 {
        self.now_ns
    }

    /// Asks for memory.
    pub(crate) fn take_memory(&mut self, bytes: usize) -> Result<(), PushError> {
        if bytes > self.reserved {
            let step = (bytes - self.reserved).max(STEP_BYTES);
            if !(self.reserve)(step) {
                return Err(PushError::Busy);
            }
            self.reserved += step;
        }
        self.reserved -= bytes;
        Ok(())
    }

    /// Opens a stream that has about so many entries. Names of its labels were checked.
    ///
    /// # Errors
    /// There is no memory for it, or it has labels that only Loki gives.
    pub(crate) fn stream(
        &mut self,
        pairs: &mut Pairs<'_>,
        n_entries: usize,
    ) -> Result<StreamId, PushError> {
        let limits = &self.rules.limits;
        backfill::check_labels(pairs)?;
        if let Some(shard) = self.backfill {
            backfill::add_labels(pairs, shard);
        }
        let StreamLabels { labels, duplicate } =
            stream_labels(pairs, &limits.discover_service_name);
        let shown = || labels.to_string();
        let verdict = match duplicate {
            Some((name, shown)) => Err(Refusal {
                reason: Reason::DuplicateLabelNames,
                text: format!("stream '{shown}' has duplicate label name: '{name}'"),
            }),
            None => limits
                .check_labels(&labels, &shown)
                .and_then(|()| self.check_open()),
        };
        let accepted = verdict.is_ok();
        let level = match accepted && self.adds_levels() {
            true => self.rules.level_fields.of_labels(&labels),
            false => None,
        };
        let entries = if accepted { n_entries } else { 0 };
        self.take_memory(
            size_of::<Stream<'_>>() + labels.memory_bytes() + entries * size_of::<LogEntry<'_>>(),
        )?;
        self.streams.push(Stream {
            batch: StreamBatch {
                labels,
                entries: Vec::with_capacity(entries),
            },
            verdict: verdict.map_or_else(Verdict::Refused, |()| Verdict::Accepted),
            level,
            last_t_ns: i64::MIN,
        });
        Ok(StreamId(self.streams.len() - 1))
    }

    fn adds_levels(&self) -> bool {
        let limits = &self.rules.limits;
        limits.allow_structured_metadata && limits.discover_log_levels
    }

    fn check_open(&self) -> Result<(), Refusal> {
        let limits = &self.rules.limits;
        let until = limits.block_ingestion_until_ns;
        let Some(until) = until.filter(|until| self.now_ns < *until) else {
            return Ok(());
        };
        let (until, status) = (rfc3339(until), limits.block_ingestion_status_code);
        Err(Refusal {
            reason: Reason::BlockedIngestion,
            text: format!(
                "ingestion blocked for user '{TENANT}' until '{until}' with status code '{status}'"
            ),
        })
    }

    /// Takes an entry; names of its metadata are as they came.
    ///
    /// # Errors
    /// There is no memory for it.
    #[inline]
    pub(crate) fn entry(
        &mut self,
        id: StreamId,
        t_ns: i64,
        mut line: Cow<'a, [u8]>,
        mut metadata: Metadata<'a>,
    ) -> Result<(), PushError> {
        let limits = &self.rules.limits;
        let (n_names, metadata_bytes) = metadata::size(&metadata);
        self.tally.receive(line.len(), metadata_bytes);
        let stream = &mut self.streams[id.0];
        if !matches!(stream.verdict, Verdict::Accepted) {
            self.refuse_with_stream(id, line.len() + metadata_bytes);
            return Ok(());
        }
        if limits.max_line_size_truncate && limits.max_line_size > 0 {
            cut(&mut line, limits, &mut self.tally);
        }
        let labels = &stream.batch.labels;
        let entry_bytes = line.len() + metadata_bytes;
        let checked = limits.check_entry(
            labels,
            self.now_ns,
            t_ns,
            line.len(),
            (n_names, metadata_bytes),
        );
        if let Err(refusal) = checked {
            self.tally.refuse(&refusal, 1, entry_bytes);
            return Ok(());
        }
        if n_names > 0
            && let Err(text) = metadata::normalise(&mut metadata)
        {
            let reason = Reason::InvalidMetadata;
            self.tally.refuse(&Refusal { reason, text }, 1, entry_bytes);
            return Ok(());
        }
        if limits.allow_structured_metadata && limits.discover_log_levels {
            add_level(
                &mut metadata,
                stream.level.as_ref(),
                &self.rules.level_fields,
                &line,
            );
        }
        let t_ns = match limits.increment_duplicate_timestamp {
            true => stream.set_apart(t_ns, &line),
            false => t_ns,
        };
        let entries = &mut stream.batch.entries;
        let spilled = match metadata.spilled() {
            true => metadata.len() * size_of::<(Cow<'_, str>, Cow<'_, str>)>(),
            false => 0,
        };
        if entries.len() == entries.capacity() || spilled > 0 {
            let more = match entries.len() == entries.capacity() {
                true => entries.len().max(16),
                false => 0,
            };
            self.take_memory(more * size_of::<LogEntry<'_>>() + spilled)?;
            self.streams[id.0].batch.entries.reserve(more);
        }
        self.streams[id.0].batch.entries.push(LogEntry {
            t_ns,
            line,
            metadata,
        });
        self.tally.accept(entry_bytes);
        Ok(())
    }

    /// Refuses an entry because its stream is refused.
    #[cold]
    fn refuse_with_stream(&mut self, id: StreamId, entry_bytes: usize) {
        let stream = &mut self.streams[id.0];
        let reason = match &stream.verdict {
            Verdict::Accepted => return,
            Verdict::Told(reason) => *reason,
            Verdict::Refused(refusal) => {
                self.tally.tell(refusal);
                refusal.reason
            }
        };
        stream.verdict = Verdict::Told(reason);
        self.tally.discard(reason, 1, entry_bytes);
    }

    /// Returns what was accepted.
    pub(crate) fn finish(self) -> Admitted<'a> {
        let has_streams = !self.streams.is_empty();
        let batches = self.streams.into_iter().map(|stream| stream.batch);
        Admitted {
            batches: batches.filter(|batch| !batch.entries.is_empty()).collect(),
            tally: self.tally,
            has_streams,
        }
    }
}

impl Stream<'_> {
    /// Returns the time of an entry such that another line before it has another one.
    fn set_apart(&mut self, t_ns: i64, line: &[u8]) -> i64 {
        if let Some(before) = self.batch.entries.last()
            && *before.line != *line
            && (t_ns == self.last_t_ns || t_ns == before.t_ns)
        {
            return before.t_ns.saturating_add(1);
        }
        self.last_t_ns = t_ns;
        t_ns
    }
}

fn cut(line: &mut Cow<'_, [u8]>, limits: &Limits, tally: &mut Tally) {
    let mark = limits.max_line_size_truncate_identifier.as_bytes();
    if line.len() <= limits.max_line_size || mark.len() >= limits.max_line_size {
        return;
    }
    let keep = limits.max_line_size - mark.len();
    tally.cut(line.len() - keep);
    match line {
        Cow::Borrowed(bytes) if mark.is_empty() => *bytes = &bytes[..keep],
        _ => {
            let owned = line.to_mut();
            owned.truncate(keep);
            owned.extend_from_slice(mark);
        }
    }
}

/// Adds the level to metadata in order; one that is there is only called by its usual name.
#[inline]
fn add_level<'a>(
    metadata: &mut Metadata<'a>,
    of_stream: Option<&Cow<'static, str>>,
    fields: &LevelFields,
    line: &[u8],
) {
    let place = metadata
        .iter()
        .position(|(name, _)| &**name >= DETECTED_LEVEL);
    if let Some(place) = place
        && let (name, value) = &mut metadata[place]
        && name == DETECTED_LEVEL
    {
        if let Some(level) = level_of(value.as_bytes()) {
            *value = level.into();
        }
        return;
    }
    let level = match of_stream {
        Some(level) => level.clone(),
        None => fields.of_entry(metadata, line),
    };
    let pair = (Cow::Borrowed(DETECTED_LEVEL), level);
    match place {
        Some(place) => metadata.insert(place, pair),
        None => metadata.push(pair),
    }
}
