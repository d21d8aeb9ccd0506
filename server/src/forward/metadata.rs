//! Metadata for receivers of 1.0: requests of their own, now and then.

use std::sync::Arc;

use bytes::Bytes;
use kymo_ingest::wire::encode::{Packer, WriteRequestBuilder};
use kymo_storage::metrics::MetricStore;
use tokio::sync::watch;
use tracing::error;

use super::queue::Phase;
use super::send::Sender;
use crate::config::MetadataConfig;

/// Sends the metadata of all metrics again and again, until the queue is ended.
pub(super) async fn send_all(
    store: Arc<MetricStore>,
    sender: Arc<Sender>,
    config: MetadataConfig,
    mut phase: watch::Receiver<Phase>,
) {
    let mut ended = phase.clone();
    // Nothing is lost by breaking off: all of it comes again.
    let ending = async move {
        let _ended = ended.wait_for(|phase| *phase != Phase::Running).await;
    };
    let sending = async {
        loop {
            tokio::time::sleep(config.send_interval).await;
            if *phase.borrow_and_update() != Phase::Running {
                return;
            }
            for (body, n) in requests(&store, config.max_samples_per_send) {
                sender.send_metadata(body, n).await;
            }
        }
    };
    tokio::select! {
        () = ending => {}
        () = sending => {}
    }
}

fn requests(store: &MetricStore, max_metrics: usize) -> Vec<(Bytes, u64)> {
    let all = store.metadata(None);
    let mut builder = WriteRequestBuilder::default();
    let mut packer = Packer::default();
    let mut made = Vec::new();
    for chunk in all.chunks(max_metrics.max(1)) {
        for (name, metadata) in chunk {
            builder.metadata(name, metadata);
        }
        match builder.finish(|bytes| packer.pack(bytes)) {
            Ok(packed) => made.push((Bytes::from(packed), chunk.len() as u64)),
            Err(error) => error!(%error, "a request cannot be packed, its metadata is not sent"),
        }
    }
    made
}
