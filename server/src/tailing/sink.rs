//! The store of logs as the sink of followed logs: the same checks as for what is pushed,
//! without a request.

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use kymo_ingest::loki::{Admitted, Reason};
use kymo_ingest::tail::{LogSink, Pushed, SinkError};
use kymo_storage::logs::LogStore;
use kymo_storage::model::{LogEntry, MatchOp, Matcher, NanoRange, StreamBatch};

use crate::app::App;
use crate::clock;
use crate::work::memory::Refused;

/// Stores entries of followed logs.
pub(crate) struct StoreSink {
    pub(crate) logs: Arc<LogStore>,
    /// The app holds what holds this.
    pub(crate) app: Weak<App>,
}

/// What makes an entry of a stream the same as another.
type Content = (i64, Vec<u8>, Vec<(String, String)>);

impl LogSink for StoreSink {
    fn push(&self, batches: &[StreamBatch<'_>]) -> Result<Pushed, SinkError> {
        self.store(batches, |_| Ok(()))
    }

    fn push_again(&self, batches: &[StreamBatch<'_>]) -> Result<Pushed, SinkError> {
        self.store(batches, |admitted| {
            let batches = admitted.batches.iter_mut();
            batches
                .into_iter()
                .try_for_each(|batch| self.leave_out(batch))
        })
    }

    fn sync(&self) -> Result<(), SinkError> {
        let synced = self.logs.sync();
        synced.map_err(|error| SinkError(error.to_string()))
    }
}

impl StoreSink {
    fn store(
        &self,
        batches: &[StreamBatch<'_>],
        choose: impl FnOnce(&mut Admitted<'_>) -> Result<(), SinkError>,
    ) -> Result<Pushed, SinkError> {
        let Some(app) = self.app.upgrade() else {
            return Err(SinkError("the server stops".to_owned()));
        };
        let refused = |error: &dyn ToString| SinkError(error.to_string());
        let memory = app.memory.admit(Refused::Write);
        memory.map_err(|error| refused(&error))?;
        let admitted = app.logs.receiver.admit_batches(batches, clock::now_ns());
        let mut admitted = admitted.map_err(|error| refused(&error))?;
        choose(&mut admitted)?;
        let stored = self.logs.push(&admitted.batches);
        let stored = stored.map_err(|error| refused(&error))?;
        app.live.offer(&admitted.batches);
        let mut rejected: Vec<(String, u64)> = Vec::new();
        for reason in Reason::ALL {
            let lines = admitted.tally.discarded[reason as usize].lines;
            if lines > 0 {
                rejected.push((reason.as_str().to_owned(), lines));
            }
        }
        let left_out = stored.rejected.len() as u64;
        if left_out > 0 {
            rejected.push(("ingester_error".to_owned(), left_out));
        }
        Ok(Pushed { rejected })
    }

    /// Takes out of a batch what the store has of it.
    fn leave_out(&self, batch: &mut StreamBatch<'_>) -> Result<(), SinkError> {
        let refused = |error: &dyn ToString| SinkError(error.to_string());
        let times = || batch.entries.iter().map(|entry| entry.t_ns);
        let (Some(first_ns), Some(last_ns)) = (times().min(), times().max()) else {
            return Ok(());
        };
        let range = NanoRange {
            start_ns: first_ns,
            end_ns: last_ns.saturating_add(1),
        };
        let labels = batch.labels.iter();
        let matchers: Result<Vec<Matcher>, _> = labels
            .map(|(name, value)| Matcher::new(MatchOp::Equal, name, value))
            .collect();
        let matchers = matchers.map_err(|error| refused(&error))?;
        let selection = self.logs.select(&matchers, range);
        let selection = selection.map_err(|error| refused(&error))?;
        let mut there: HashSet<Content> = HashSet::new();
        for group in 0..selection.groups().len() {
            let read = selection.read(group, &mut |entry| {
                // Streams with more labels satisfy the matchers, too.
                let streams = selection.streams();
                if streams.get(entry.stream as usize) == Some(&batch.labels) {
                    let metadata = entry.metadata.iter();
                    let metadata = metadata.map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
                    there.insert((entry.t_ns, entry.line.to_vec(), metadata.collect()));
                }
            });
            read.map_err(|error| refused(&error))?;
        }
        batch
            .entries
            .retain(|entry| !there.contains(&content(entry)));
        Ok(())
    }
}

fn content(entry: &LogEntry<'_>) -> Content {
    let metadata = entry.metadata.iter();
    let metadata = metadata.map(|(n, v)| (n.to_string(), v.to_string()));
    (entry.t_ns, entry.line.to_vec(), metadata.collect())
}
