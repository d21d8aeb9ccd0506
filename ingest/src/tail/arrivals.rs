//! Entries that arrive by themselves, such as messages of syslog or what is pushed to a job:
//! taken in batches, through the pipeline, to the sink.
//!
//! What arrives waits in a queue of [`QUEUE`] entries. When it is full, whoever brings
//! entries waits, and with it its sender.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use kymo_storage::model::{LabelsBuilder, RelabelRule, Verdict, relabel};

use super::outlet::{Novelty, Outlet, Stopped};
use super::targets::own;
use crate::pipeline::{Entry, Pipeline};

/// Tells whoever waits that an entry, and all before it, have been through the pipeline and
/// that what left it is stored. Nothing is told where that did not happen.
pub(super) type Done = SyncSender<()>;

/// Entries that may wait.
const QUEUE: usize = 1024;
/// Entries, and bytes of them, that are pushed at once.
const MAX_ENTRIES: usize = 4096;
const MAX_BYTES: usize = 1 << 20;
/// How long the first of a batch waits for others.
const GATHER: Duration = Duration::from_millis(100);

/// An entry that arrived.
#[derive(Debug, Default)]
pub(super) struct Arrival {
    /// When it happened; the time of arrival where that is not known.
    pub(super) t_ns: Option<i64>,
    pub(super) line: Vec<u8>,
    /// All labels, those of the source that begin with `__` among them.
    pub(super) labels: Arc<Vec<(String, String)>>,
    /// Labels of this entry alone.
    pub(super) metadata: Vec<(Arc<str>, Arc<str>)>,
    /// Whether no rule is to change its labels.
    pub(super) is_labelled: bool,
    /// Where its source goes on behind it.
    pub(super) mark: Option<String>,
    pub(super) done: Option<Done>,
}

/// Makes a queue.
pub(super) fn queue() -> (SyncSender<Arrival>, Receiver<Arrival>) {
    sync_channel(QUEUE)
}

/// What is done with entries that arrive.
pub(super) struct Arrivals {
    pub(super) queue: Receiver<Arrival>,
    pub(super) relabel: Vec<RelabelRule>,
    pub(super) pipeline: Pipeline,
    pub(super) outlet: Outlet,
    /// Of what arrives first: the journal begins with what may be stored.
    pub(super) novelty: Novelty,
}

impl Arrivals {
    /// Works until it is stopped, or nothing can arrive any more. `stored` hears of each mark
    /// up to which everything is stored.
    pub(super) fn run(mut self, mut stored: impl FnMut(&str)) {
        let mut last_ns = i64::MIN;
        let mut open = true;
        while open && !self.outlet.signal.is_stopped() {
            let mut entries = Vec::new();
            let mut mark = None;
            let mut waiting = Vec::new();
            let (mut count, mut bytes) = (0, 0);
            while count < MAX_ENTRIES && bytes < MAX_BYTES {
                let arrival = match count {
                    0 => self.queue.recv_timeout(GATHER),
                    _ => self.queue.try_recv().map_err(|_| RecvTimeoutError::Timeout),
                };
                let mut arrival = match arrival {
                    Ok(arrival) => arrival,
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => {
                        open = false;
                        break;
                    }
                };
                count += 1;
                bytes += arrival.line.len();
                last_ns = (self.outlet.clock)().max(last_ns.saturating_add(1));
                mark = arrival.mark.take().or(mark);
                waiting.extend(arrival.done.take());
                self.take(arrival, last_ns, &mut entries);
            }
            self.pipeline.tick((self.outlet.clock)(), &mut entries);
            if !open {
                self.pipeline.flush(&mut entries);
            }
            let some = !entries.is_empty();
            if self.push(entries).is_err() {
                return;
            }
            for done in waiting {
                // Who does not wait any more is not told.
                let _gone = done.try_send(());
            }
            if some {
                self.novelty = Novelty::New;
            }
            // What stages hold back is not stored yet.
            if let Some(mark) = mark.filter(|_| self.pipeline.held_from().is_none()) {
                stored(&mark);
            }
        }
        let mut entries = Vec::new();
        self.pipeline.flush(&mut entries);
        // At the end of the server there is one attempt.
        let _given_up = self.push(entries);
    }

    fn push(&self, entries: Vec<Entry>) -> Result<(), Stopped> {
        self.outlet.push(entries, self.novelty)
    }

    fn take(&mut self, arrival: Arrival, read_ns: i64, out: &mut Vec<Entry>) {
        let mut builder = LabelsBuilder::new();
        for (name, value) in arrival.labels.iter() {
            builder.set(name, value);
        }
        if !arrival.is_labelled && relabel(&self.relabel, &mut builder) == Verdict::Drop {
            self.outlet.dropped.dropped("relabel");
            return;
        }
        let mut entry = Entry::new(read_ns, arrival.line, own(&builder));
        entry.t_ns = arrival.t_ns.unwrap_or(read_ns);
        entry.metadata = arrival.metadata;
        self.pipeline.process(entry, out);
    }
}
