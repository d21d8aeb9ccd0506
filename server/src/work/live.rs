//! Entries that were just stored, on their way to those who follow logs.
//!
//! What is pushed is offered here once it is in the store. Where nobody listens that costs
//! nothing. Listeners that do not keep up miss entries and are told how many; neither they
//! nor what waits for them ever holds up a push.
//!
//! **Invariant:** no more than [`MAX_HELD_BYTES`] wait for listeners.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kymo_storage::model::{LogEntry, StreamBatch};
use tokio::sync::broadcast;

/// Requests that may wait for the slowest listener.
const MAX_REQUESTS: usize = 1024;
/// Bytes that may wait, about.
const MAX_HELD_BYTES: u64 = 32 << 20;

/// Hands stored entries to listeners.
#[derive(Debug)]
pub(crate) struct Live {
    sender: broadcast::Sender<Arc<Offered>>,
    held: Arc<AtomicU64>,
    /// Entries that found no room.
    missed: Arc<AtomicU64>,
}

/// Entries of one request.
#[derive(Debug)]
pub(crate) struct Offered {
    pub(crate) batches: Vec<StreamBatch<'static>>,
    bytes: u64,
    held: Arc<AtomicU64>,
}

impl Drop for Offered {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Default for Live {
    fn default() -> Live {
        Live {
            sender: broadcast::Sender::new(MAX_REQUESTS),
            held: Arc::default(),
            missed: Arc::default(),
        }
    }
}

impl Live {
    /// Offers stored entries to those who listen.
    pub(crate) fn offer(&self, batches: &[StreamBatch<'_>]) {
        if self.sender.receiver_count() == 0 {
            return;
        }
        let entries = || batches.iter().flat_map(|batch| &batch.entries);
        let bytes: u64 = entries().map(|entry| size(entry)).sum();
        if self.held.fetch_add(bytes, Ordering::Relaxed) + bytes > MAX_HELD_BYTES {
            self.held.fetch_sub(bytes, Ordering::Relaxed);
            let missed = entries().count() as u64;
            self.missed.fetch_add(missed, Ordering::Relaxed);
            return;
        }
        let offered = Offered {
            batches: batches.iter().map(owned).collect(),
            bytes,
            held: Arc::clone(&self.held),
        };
        // The last listener may have gone.
        let _nobody = self.sender.send(Arc::new(offered));
    }

    /// Listens from now on.
    pub(crate) fn listen(&self) -> Listener {
        Listener {
            receiver: self.sender.subscribe(),
            missed: Arc::clone(&self.missed),
            known: self.missed.load(Ordering::Relaxed),
        }
    }
}

fn size(entry: &LogEntry<'_>) -> u64 {
    let metadata: usize = entry.metadata.iter().map(|(n, v)| n.len() + v.len()).sum();
    (entry.line.len() + metadata + size_of::<LogEntry<'_>>()) as u64
}

fn owned(batch: &StreamBatch<'_>) -> StreamBatch<'static> {
    let entries = batch.entries.iter().map(|entry| LogEntry {
        t_ns: entry.t_ns,
        line: entry.line.to_vec().into(),
        metadata: entry
            .metadata
            .iter()
            .map(|(name, value)| (name.to_string().into(), value.to_string().into()))
            .collect(),
    });
    StreamBatch {
        labels: batch.labels.clone(),
        entries: entries.collect(),
    }
}

/// Hears of entries as they are stored.
#[derive(Debug)]
pub(crate) struct Listener {
    receiver: broadcast::Receiver<Arc<Offered>>,
    missed: Arc<AtomicU64>,
    known: u64,
}

/// What a listener hears.
#[derive(Debug)]
pub(crate) enum Heard {
    /// Entries of one request.
    Entries(Arc<Offered>),
    /// So many requests, or entries, came by unheard.
    Missed(u64),
}

impl Listener {
    /// Waits for the next; `None` once there will be no more.
    pub(crate) async fn next(&mut self) -> Option<Heard> {
        let missed = self.missed.load(Ordering::Relaxed);
        if missed > self.known {
            let heard = Heard::Missed(missed - self.known);
            self.known = missed;
            return Some(heard);
        }
        match self.receiver.recv().await {
            Ok(offered) => Some(Heard::Entries(offered)),
            Err(broadcast::error::RecvError::Lagged(requests)) => Some(Heard::Missed(requests)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use kymo_storage::model::Labels;

    use super::*;

    fn batch(len: usize) -> [StreamBatch<'static>; 1] {
        [StreamBatch {
            labels: Labels::from_pairs([("app", "a")]),
            entries: vec![LogEntry {
                t_ns: 1,
                line: vec![b'x'; len].into(),
                metadata: [("k".into(), "v".into())].into_iter().collect(),
            }],
        }]
    }

    #[tokio::test]
    async fn listeners_hear_what_is_offered_from_then_on() {
        let live = Live::default();
        live.offer(&batch(1));
        let mut listener = live.listen();
        live.offer(&batch(2));
        let Some(Heard::Entries(offered)) = listener.next().await else {
            panic!("nothing heard");
        };
        assert_eq!(offered.batches, batch(2));
        drop(offered);
        assert_eq!(live.held.load(Ordering::Relaxed), 0);
        drop(live);
        assert!(listener.next().await.is_none());
    }

    #[tokio::test]
    async fn what_is_too_much_is_missed_and_told() {
        let live = Live::default();
        let mut listener = live.listen();
        live.offer(&batch(20 << 20));
        live.offer(&batch(20 << 20));
        assert!(matches!(listener.next().await, Some(Heard::Missed(1))));
        assert!(matches!(listener.next().await, Some(Heard::Entries(_))));
        for _ in 0..MAX_REQUESTS + 5 {
            live.offer(&batch(1));
        }
        assert!(matches!(listener.next().await, Some(Heard::Missed(5))));
        drop(listener);
        assert_eq!(live.held.load(Ordering::Relaxed), 0);
    }
}
