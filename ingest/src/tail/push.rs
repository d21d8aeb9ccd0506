//! A job that others push to: its way in, for whatever listens for them.
//!
//! This crate opens no socket for it: requests are HTTP, and the server that has a listener
//! hands over what they bring ([`Inlet`]). Who pushes is answered when what left the
//! pipeline is stored.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};

use kymo_storage::model::StreamBatch;

use super::arrivals::Arrival;
use super::config::PushConfig;
use super::sink::SinkError;

/// The way into a job.
#[derive(Debug)]
pub struct Inlet {
    config: PushConfig,
    queue: SyncSender<Arrival>,
    /// Where it is listened for pushes.
    address: OnceLock<SocketAddr>,
}

impl Inlet {
    pub(super) fn new(config: PushConfig, queue: SyncSender<Arrival>) -> Inlet {
        Inlet {
            config,
            queue,
            address: OnceLock::new(),
        }
    }

    /// Returns how the job is pushed to.
    pub fn config(&self) -> &PushConfig {
        &self.config
    }

    /// Says where it is listened for pushes.
    pub fn opened(&self, address: SocketAddr) {
        // It is opened once.
        let _known = self.address.set(address);
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.address.get().copied()
    }

    /// Takes entries of streams, and returns when those that left the pipeline are stored.
    /// This waits as long as the store does; it is no call for an asynchronous task.
    ///
    /// # Errors
    /// The job ended before that.
    pub fn give(&self, batches: Vec<StreamBatch<'_>>) -> Result<(), SinkError> {
        let mut arrivals = batches.into_iter().flat_map(|batch| {
            let own = batch.labels.iter();
            let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
            // Those of the configuration count where both have one.
            let labels = Arc::new(own.chain(self.config.labels.iter().cloned()).collect());
            let entries = batch.entries.into_iter();
            entries.map(move |entry| Arrival {
                t_ns: self.config.use_incoming_timestamp.then_some(entry.t_ns),
                line: entry.line.into_owned(),
                labels: Arc::clone(&labels),
                metadata: owned(entry.metadata),
                ..Arrival::default()
            })
        });
        self.send(&mut arrivals)
    }

    /// Takes lines, which get the labels of the configuration, as they stand there.
    ///
    /// # Errors
    /// The job ended before all was stored.
    pub fn give_lines<'l>(&self, lines: impl Iterator<Item = &'l [u8]>) -> Result<(), SinkError> {
        let labels = Arc::new(self.config.labels.clone());
        self.send(&mut lines.map(|line| Arrival {
            line: line.to_vec(),
            labels: Arc::clone(&labels),
            is_labelled: true,
            ..Arrival::default()
        }))
    }

    fn send(&self, arrivals: &mut dyn Iterator<Item = Arrival>) -> Result<(), SinkError> {
        let ended = || SinkError("the job of this listener has ended".to_owned());
        let mut arrivals = arrivals.peekable();
        let (done, stored) = sync_channel(1);
        let mut some = false;
        while let Some(mut arrival) = arrivals.next() {
            some = true;
            // All are stored when the last one is.
            arrival.done = arrivals.peek().is_none().then(|| done.clone());
            self.queue.send(arrival).map_err(|_closed| ended())?;
        }
        drop(done);
        match some {
            true => stored.recv().map_err(|_dropped| ended()),
            false => Ok(()),
        }
    }
}

fn owned(metadata: kymo_storage::model::Metadata<'_>) -> Vec<(Arc<str>, Arc<str>)> {
    let shared = |text: Cow<'_, str>| Arc::<str>::from(&*text);
    let pairs = metadata.into_iter();
    pairs
        .map(|(name, value)| (shared(name), shared(value)))
        .collect()
}
