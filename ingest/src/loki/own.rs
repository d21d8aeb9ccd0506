//! Entries that come from this process itself, such as those of followed files: they go
//! through the same checks as what is pushed, without a body.

use kymo_storage::model::StreamBatch;

use super::admission::{Admission, Admitted};
use super::error::PushError;
use super::labels::Pairs;
use super::receiver::Receiver;

impl Receiver {
    /// Checks entries at the time `now_ns`.
    ///
    /// # Errors
    /// Nothing of it is to be stored for now, and why.
    pub fn admit_batches<'a>(
        &self,
        batches: &'a [StreamBatch<'_>],
        now_ns: i64,
    ) -> Result<Admitted<'a>, PushError> {
        let rules = self.rules();
        // What is read ahead is bounded where it is read.
        let mut unlimited = |_| true;
        let mut admission = Admission::new(&rules, now_ns, &mut unlimited);
        for batch in batches {
            let labels = batch.labels.iter();
            let mut pairs: Pairs<'_> = labels.map(|(n, v)| (n.into(), v.into())).collect();
            let stream = admission.stream(&mut pairs, batch.entries.len())?;
            for entry in &batch.entries {
                let metadata = entry.metadata.iter();
                let metadata = metadata.map(|(n, v)| ((&**n).into(), (&**v).into()));
                let line = (&*entry.line).into();
                admission.entry(stream, entry.t_ns, line, metadata.collect())?;
            }
        }
        let admitted = admission.finish();
        self.settle(rules.limits(), admitted, now_ns)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use kymo_storage::model::{Labels, LogEntry, Metadata};

    use super::super::{BodyLimits, Limits, Reason};
    use super::*;

    #[test]
    fn own_entries_are_checked_and_completed_as_pushed_ones() {
        let receiver = Receiver::new(Limits::default(), BodyLimits::default());
        let now_ns = 1_000_000_000_000_000_000;
        let entry = |t_ns, line: &'static str| LogEntry {
            t_ns,
            line: Cow::Borrowed(line.as_bytes()),
            metadata: Metadata::new(),
        };
        let batches = [StreamBatch {
            labels: Labels::from_pairs([("job", "a")]),
            entries: vec![entry(now_ns, "level=error x"), entry(0, "old")],
        }];
        let admitted = receiver.admit_batches(&batches, now_ns).unwrap();
        assert_eq!(admitted.batches.len(), 1);
        let batch = &admitted.batches[0];
        assert_eq!(
            batch.labels,
            Labels::from_pairs([("job", "a"), ("service_name", "a")])
        );
        assert_eq!(batch.entries.len(), 1);
        assert_eq!(batch.entries[0].metadata[0].1, "error");
        let old = admitted.tally.discarded[Reason::GreaterThanMaxSampleAge as usize];
        assert_eq!(old.lines, 1);
    }
}
