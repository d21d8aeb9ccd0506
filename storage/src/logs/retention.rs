//! How much of the past is kept.

use super::parts::Served;
use super::store::LogStore;
use crate::error::StorageError;
use crate::model::{Labels, Matcher};

/// How much of the past is kept. Entries go with their part: it is removed when all of it
/// is over its time, and written anew without the streams that are, once they are a good
/// share of it or it is merged.
#[derive(Debug, Clone, Default)]
pub struct LogRetention {
    /// How long entries are kept, in nanoseconds. `None` is for ever.
    pub time_ns: Option<i64>,
    /// Bytes on disk: the oldest parts go until the rest, with the log, takes no more.
    /// `None` keeps all.
    pub size_bytes: Option<u64>,
    /// Streams that are kept for another time; of several rules that a stream fits the
    /// first one holds.
    pub streams: Vec<StreamRetention>,
}

/// How long some streams are kept.
#[derive(Debug, Clone)]
pub struct StreamRetention {
    /// Which ones.
    pub matchers: Vec<Matcher>,
    /// How long, in nanoseconds. `None` is for ever.
    pub time_ns: Option<i64>,
}

impl LogRetention {
    /// Returns the time before which entries of a stream are not kept.
    pub(super) fn kept_from_ns(&self, labels: &Labels, now_ns: i64) -> i64 {
        let value = |name: &str| labels.get(name).unwrap_or("");
        let fits = |rule: &&StreamRetention| {
            let matchers = &rule.matchers;
            matchers.iter().all(|m| m.matches(value(m.name())))
        };
        let rule = self.streams.iter().find(fits);
        let time_ns = rule.map_or(self.time_ns, |rule| rule.time_ns);
        time_ns.map_or(i64::MIN, |time_ns| now_ns.saturating_sub(time_ns.max(0)))
    }

    /// Tells of each stream of a part from when on it is kept.
    pub(super) fn kept_from(&self, part: &Served, now_ns: i64) -> Vec<i64> {
        let streams = part.reader().streams().iter();
        streams
            .map(|labels| self.kept_from_ns(labels, now_ns))
            .collect()
    }
}

impl LogStore {
    /// Removes the parts that are out of retention. Returns how many went because of their
    /// age, and how many for want of allowed space.
    pub(super) fn drop_old_parts(
        &self,
        now_ns: i64,
        retention: &LogRetention,
    ) -> Result<(u64, u64), StorageError> {
        let parts = self.state.lock().snapshot().parts;
        let mut by_time = Vec::new();
        for part in parts.iter() {
            let kept_from = retention.kept_from(part, now_ns);
            let least = kept_from.into_iter().min().unwrap_or(i64::MIN);
            if part.meta().last_ns < least {
                by_time.push(part.id());
            }
        }
        let mut by_size = Vec::new();
        if let Some(size_bytes) = retention.size_bytes {
            let mut newest_first: Vec<_> = parts.iter().collect();
            newest_first.retain(|part| !by_time.contains(&part.id()));
            newest_first.sort_by_key(|part| std::cmp::Reverse((part.meta().last_ns, part.id())));
            let mut taken = self.state.lock().wal.stats().len_bytes;
            for part in newest_first {
                taken = taken.saturating_add(part.meta().file_bytes);
                if taken > size_bytes {
                    by_size.push(part.id());
                }
            }
        }
        let dropped = (by_time.len() as u64, by_size.len() as u64);
        by_time.append(&mut by_size);
        if !by_time.is_empty() {
            self.publish(Vec::new(), &by_time, |_| {}, |_| {})?;
        }
        Ok(dropped)
    }
}
