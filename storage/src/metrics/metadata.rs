//! Type, help and unit of metrics by name, so that they outlive the targets that told
//! them and the process.
//!
//! A change is part of a transaction and goes into the log of the first shard. The
//! last one told wins. What is kept is bounded in number and bytes: long help texts are
//! cut, and new names are refused where there are too many; both are counted.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use parking_lot::RwLock;

use super::stats::MetadataStats;
use super::store::MetricStore;
use crate::codec::{CodecError, varint};
use crate::model::MetricMetadata;
use crate::wal::{LoggedMetadata, decode_metadata, encode_metadata};

/// Most metrics with metadata.
const MAX_METRICS: usize = 200_000;
/// Most bytes of all texts.
const MAX_BYTES: usize = 64 << 20;
/// Longest name, help text and unit in bytes.
const MAX_NAME_BYTES: usize = 1 << 10;
const MAX_HELP_BYTES: usize = 4 << 10;
const MAX_UNIT_BYTES: usize = 256;

/// Bytes that an entry takes beside its texts, about.
const ENTRY_BYTES: usize = 2 * size_of::<(Box<str>, MetricMetadata)>();

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct MetadataStore {
    metrics: RwLock<Metrics>,
    changes: AtomicU64,
    refused: AtomicU64,
    cut: AtomicU64,
}

#[derive(Debug, Default)]
struct Metrics {
    by_name: HashMap<Box<str>, MetricMetadata>,
    /// Bytes of all texts.
    len_bytes: usize,
}

/// Metadata that waits for its commit.
#[derive(Debug, Clone)]
pub(super) struct PendingMetadata {
    pub(super) name: Box<str>,
    pub(super) metadata: MetricMetadata,
}

impl PendingMetadata {
    /// Returns it as the log takes it.
    pub(super) fn logged(&self) -> LoggedMetadata<'_> {
        logged(&self.name, &self.metadata)
    }
}

fn logged<'a>(name: &'a str, metadata: &'a MetricMetadata) -> LoggedMetadata<'a> {
    LoggedMetadata {
        name,
        kind: metadata.kind,
        help: &metadata.help,
        unit: &metadata.unit,
    }
}

impl Metrics {
    /// Tells whether there is room for a metric, in the place of what is there.
    fn has_room(&self, name: &str, metadata: &MetricMetadata) -> bool {
        let new = name.len() + metadata.help.len() + metadata.unit.len();
        let (n, old) = match self.by_name.get(name) {
            Some(old) => (0, name.len() + old.help.len() + old.unit.len()),
            None => (1, 0),
        };
        name.len() <= MAX_NAME_BYTES
            && self.by_name.len() + n <= MAX_METRICS
            && self.len_bytes - old + new <= MAX_BYTES
    }

    /// Takes what there is room for; tells whether there was.
    fn set(&mut self, name: &str, metadata: MetricMetadata) -> bool {
        if !self.has_room(name, &metadata) {
            return false;
        }
        self.len_bytes += metadata.help.len() + metadata.unit.len();
        match self.by_name.get_mut(name) {
            Some(found) => {
                self.len_bytes -= found.help.len() + found.unit.len();
                *found = metadata;
            }
            None => {
                self.len_bytes += name.len();
                self.by_name.insert(name.into(), metadata);
            }
        }
        true
    }
}

impl MetadataStore {
    /// Returns what a transaction has to write to make this known: nothing where it is
    /// known, or refused.
    pub(super) fn change(&self, name: &str, metadata: &MetricMetadata) -> Option<PendingMetadata> {
        let help = shortened(&metadata.help, MAX_HELP_BYTES);
        let unit = shortened(&metadata.unit, MAX_UNIT_BYTES);
        let metrics = self.metrics.read();
        let is_known = metrics.by_name.get(name).is_some_and(|known| {
            known.kind == metadata.kind && known.help == help && known.unit == unit
        });
        if is_known {
            return None;
        }
        let cuts = [&help, &unit].map(|text| u64::from(matches!(text, Cow::Owned(_))));
        self.cut.fetch_add(cuts.iter().sum(), Ordering::Relaxed);
        let metadata = MetricMetadata {
            kind: metadata.kind,
            help: help.into_owned(),
            unit: unit.into_owned(),
        };
        if name.is_empty() || !metrics.has_room(name, &metadata) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let name = name.into();
        Some(PendingMetadata { name, metadata })
    }

    /// Stores the metadata of a transaction.
    pub(super) fn apply(&self, pending: Vec<PendingMetadata>) {
        let (mut changes, mut refused) = (0, 0);
        {
            let mut metrics = self.metrics.write();
            for pending in pending {
                match metrics.set(&pending.name, pending.metadata) {
                    true => changes += 1,
                    false => refused += 1,
                }
            }
        }
        self.changes.fetch_add(changes, Ordering::Relaxed);
        self.refused.fetch_add(refused, Ordering::Relaxed);
    }

    /// Takes metadata from the log or a snapshot, within the limits of now.
    pub(super) fn replay(&self, found: LoggedMetadata<'_>) {
        let metadata = MetricMetadata {
            kind: found.kind,
            help: shortened(found.help, MAX_HELP_BYTES).into_owned(),
            unit: shortened(found.unit, MAX_UNIT_BYTES).into_owned(),
        };
        if !self.metrics.write().set(found.name, metadata) {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns figures.
    pub(super) fn stats(&self) -> MetadataStats {
        let metrics = self.metrics.read();
        MetadataStats {
            metrics: metrics.by_name.len() as u64,
            changes_total: self.changes.load(Ordering::Relaxed),
            refused_total: self.refused.load(Ordering::Relaxed),
            cut_total: self.cut.load(Ordering::Relaxed),
            memory_bytes: (metrics.by_name.len() * ENTRY_BYTES + metrics.len_bytes) as u64,
        }
    }

    /// Returns everything as bytes, for a snapshot; see `docs/formats/metadata.md`.
    pub(super) fn encode(&self) -> Vec<u8> {
        let metrics = self.metrics.read();
        let mut out = Vec::with_capacity(metrics.len_bytes + metrics.by_name.len() * 8);
        varint::write_u64(&mut out, metrics.by_name.len() as u64);
        for (name, metadata) in &metrics.by_name {
            encode_metadata(&mut out, logged(name, metadata));
        }
        out
    }

    /// Reads what [`MetadataStore::encode`] wrote.
    ///
    /// # Errors
    /// The bytes are none that it wrote.
    pub(super) fn decode(mut bytes: &[u8]) -> Result<MetadataStore, CodecError> {
        let store = MetadataStore::default();
        for _ in 0..varint::read_u64(&mut bytes)? {
            store.replay(decode_metadata(&mut bytes)?);
        }
        if bytes.is_empty() {
            Ok(store)
        } else {
            Err(CodecError::Invalid("end of the metadata"))
        }
    }
}

/// Cuts a text to at most `limit` bytes, at the end of a character.
fn shortened(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text[..text.floor_char_boundary(limit)].to_owned())
}

impl MetricStore {
    /// Returns the metadata of all metrics, or of the one named `name`, in order of
    /// name.
    pub fn metadata(&self, name: Option<&str>) -> Vec<(String, MetricMetadata)> {
        let metrics = self.metadata.metrics.read();
        let owned = |name: &str, metadata: &MetricMetadata| (name.to_owned(), metadata.clone());
        let mut found: Vec<_> = match name {
            Some(name) => {
                let found = metrics.by_name.get(name);
                found.map(|found| owned(name, found)).into_iter().collect()
            }
            None => metrics.by_name.iter().map(|(n, m)| owned(n, m)).collect(),
        };
        drop(metrics);
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        found
    }
}
