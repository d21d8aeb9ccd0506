//! A source that notes whether histograms were read of it.
//!
//! What is computed of histograms is not kept: what is known of resets between them depends
//! on where their chunks begin, and so on the range that is asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kymo_storage::model::{Labels, Matcher, TimeRange};

use crate::source::{SampleBuf, SelectHints, SeriesSet, Source, SourceError, Times};

/// See the module's text.
pub(super) struct Noting<'a> {
    source: &'a dyn Source,
    has_read: Arc<AtomicBool>,
}

impl<'a> Noting<'a> {
    pub(super) fn new(source: &'a dyn Source) -> Noting<'a> {
        Noting {
            source,
            has_read: Arc::default(),
        }
    }

    /// Tells whether a histogram was read.
    pub(super) fn has_read_histograms(&self) -> bool {
        self.has_read.load(Ordering::Acquire)
    }
}

impl Source for Noting<'_> {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints<'_>,
    ) -> Result<Box<dyn SeriesSet>, SourceError> {
        Ok(Box::new(Noted {
            set: self.source.select(matchers, range, hints)?,
            has_read: Arc::clone(&self.has_read),
        }))
    }
}

struct Noted {
    set: Box<dyn SeriesSet>,
    has_read: Arc<AtomicBool>,
}

impl Noted {
    #[inline]
    fn note(&self, read: &SampleBuf) {
        if !read.histograms.is_empty() {
            self.has_read.store(true, Ordering::Release);
        }
    }
}

impl SeriesSet for Noted {
    fn len(&self) -> usize {
        self.set.len()
    }

    fn labels(&self, index: usize) -> Labels {
        self.set.labels(index)
    }

    fn labels_named(&self, index: usize, names: &[String]) -> Labels {
        self.set.labels_named(index, names)
    }

    fn memory_bytes(&self) -> usize {
        self.set.memory_bytes()
    }

    fn read(&self, index: usize, into: &mut SampleBuf) -> Result<(), SourceError> {
        self.set.read(index, into)?;
        self.note(into);
        Ok(())
    }

    fn read_next(&self, index: usize, into: &mut SampleBuf) -> Result<Times, SourceError> {
        let times = self.set.read_next(index, into)?;
        self.note(into);
        Ok(times)
    }
}
