//! What a store did with what was admitted.

use kymo_storage::compat::time::Instant;
use kymo_storage::logs::{Pushed, Rejected, Rejection};
use kymo_storage::model::{LogEntry, StreamBatch};

use super::admission::Admitted;
use super::limits::{Reason, Refusal, TENANT, rfc3339};
use super::metadata;
use super::receiver::Receiver;

/// Entries of a stream of which it is told why they are refused.
const TOLD_PER_STREAM: usize = 10;

impl Receiver {
    /// Takes note of what a store refused, so that it is counted and told.
    pub fn stored(&self, admitted: &mut Admitted<'_>, pushed: &Pushed) {
        for of_batch in pushed
            .rejected
            .chunk_by(|one, other| one.batch == other.batch)
        {
            self.refused_in_stream(admitted, of_batch);
        }
    }

    fn refused_in_stream(&self, admitted: &mut Admitted<'_>, rejected: &[Rejected]) {
        let batch = rejected
            .first()
            .and_then(|one| admitted.batches.get(one.batch));
        let Some(batch) = batch else { return };
        let stream = batch.labels.to_string();
        let mut behind = String::new();
        let (mut n_behind, total) = (0, batch.entries.len());
        let mut refusals = Vec::new();
        for one in rejected {
            let Some(entry) = batch.entries.get(one.entry) else {
                continue;
            };
            let (_, metadata_bytes) = metadata::size(&entry.metadata);
            let bytes = entry.line.len() + metadata_bytes;
            let (reason, text) = match one.reason {
                Rejection::TooFarBehind { oldest_ns } => {
                    n_behind += 1;
                    if n_behind <= TOLD_PER_STREAM {
                        let (found, oldest) = (rfc3339(entry.t_ns), rfc3339(oldest_ns));
                        let shown = shown(entry.t_ns);
                        behind.push_str(&format!(
                            "entry with timestamp {shown} ignored, reason: 'entry too far behind, entry timestamp is: {found}, oldest acceptable timestamp is: {oldest}',\n"
                        ));
                    }
                    (Reason::TooFarBehind, None)
                }
                Rejection::StreamLimit { .. } => (
                    Reason::StreamLimit,
                    Some(format!(
                        "maximum active stream limit exceeded when trying to create stream {stream}, reduce the number of active streams (reduce labels or reduce label values), or contact your Loki administrator to see if the limit can be increased, user: '{TENANT}'"
                    )),
                ),
                Rejection::TooLong { limit } => (
                    Reason::LineTooLong,
                    Some(format!(
                        "max entry size '{limit}' bytes exceeded for stream '{stream}' while adding an entry with length '{bytes}' bytes"
                    )),
                ),
                _ => continue,
            };
            refusals.push((reason, text, bytes));
        }
        if n_behind > 0 {
            let text = format!(
                "{behind}user '{TENANT}', total ignored: {n_behind} out of {total} for stream: {stream}"
            );
            let reason = Reason::TooFarBehind;
            admitted.tally.tell(&Refusal { reason, text });
        }
        for (reason, text, bytes) in refusals {
            self.discard(reason, 1, bytes as u64);
            if let Some(text) = text {
                admitted.tally.tell(&Refusal { reason, text });
            }
        }
    }
}

/// Tells why all entries of a stream are refused, the first of them one by one.
pub(super) fn told_of_all(
    batch: &StreamBatch<'_>,
    reason: impl Fn(&LogEntry<'_>) -> String,
) -> String {
    let mut told = String::new();
    for entry in batch.entries.iter().take(TOLD_PER_STREAM) {
        let (at, reason) = (shown(entry.t_ns), reason(entry));
        told.push_str(&format!(
            "entry with timestamp {at} ignored, reason: '{reason}',\n"
        ));
    }
    let (total, stream) = (batch.entries.len(), &batch.labels);
    format!("{told}user '{TENANT}', total ignored: {total} out of {total} for stream: {stream}")
}

/// Returns a time as Go prints it by itself.
fn shown(t_ns: i64) -> String {
    let text = Instant::from_ms(t_ns.div_euclid(1_000_000_000) * 1000).rfc3339_nano();
    let fraction = match t_ns.rem_euclid(1_000_000_000) {
        0 => String::new(),
        nanos => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
    };
    format!(
        "{}{fraction} +0000 UTC",
        text.trim_end_matches('Z').replace('T', " ")
    )
}

#[cfg(test)]
mod tests {
    use super::super::{BodyLimits, Buffers, Encoding, Format, Limits};
    use super::*;

    #[test]
    fn a_store_that_refuses_is_told_in_lokis_words() {
        let receiver = Receiver::new(Limits::default(), BodyLimits::default());
        let body = br#"{"streams":[{"stream":{"a":"b"},"values":[["1795323600500000000","x"],["1795323600000000000","yy"]]}]}"#;
        let mut buffers = Buffers::default();
        let form = (Format::Json, Encoding::Identity);
        let now_ns = 1_795_323_600_000_000_000;
        let mut admitted = receiver
            .admit(form, body, &mut buffers, &mut |_| true, now_ns)
            .unwrap();
        let mut pushed = Pushed::default();
        let reject = |entry, reason| Rejected {
            batch: 0,
            entry,
            reason,
        };
        pushed.rejected.push(reject(
            0,
            Rejection::TooFarBehind {
                oldest_ns: now_ns + 7_000_000_000,
            },
        ));
        receiver.stored(&mut admitted, &pushed);
        let error = admitted.outcome(&Limits::default()).unwrap_err();
        assert_eq!(error.status(), 400);
        assert_eq!(
            error.to_string(),
            "entry with timestamp 2026-11-22 05:00:00.5 +0000 UTC ignored, reason: 'entry too far behind, entry timestamp is: 2026-11-22T05:00:00Z, oldest acceptable timestamp is: 2026-11-22T05:00:07Z',\nuser 'fake', total ignored: 1 out of 2 for stream: {a=\"b\", service_name=\"unknown_service\"}"
        );
        pushed.rejected = vec![reject(1, Rejection::StreamLimit { limit: 5 })];
        receiver.stored(&mut admitted, &pushed);
        let error = admitted.outcome(&Limits::default()).unwrap_err();
        assert_eq!(error.status(), 429);
        let stats = receiver.stats();
        assert_eq!(stats.discarded[Reason::StreamLimit as usize].bytes, 2);
        assert_eq!(stats.discarded[Reason::TooFarBehind as usize].lines, 1);
    }
}
