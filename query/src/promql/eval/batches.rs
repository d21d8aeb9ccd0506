//! Work on many series that several threads share, with results in order.
//!
//! The series are cut into batches. Any thread makes any batch; the thread that
//! evaluates the query takes all results in the order of the series, and makes batches
//! itself while none is ready. So sums are rounded in one order however many threads
//! there are, and budget and annotations are kept by one thread alone.
//!
//! A helper that has not begun when all is taken finds nothing to do. The query waits
//! only for helpers in the midst of a series, and these stop with the next one when
//! the query fails. No thread is more than [`AHEAD`] batches ahead of what was taken,
//! which bounds the memory of results that wait.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Condvar, Mutex};

use super::Evaluator;
use crate::error::QueryError;
use crate::workers::Workers;

/// Batches that may wait to be taken.
pub(crate) const AHEAD: usize = 6;

/// Samples and values of a batch, about: half a megabyte.
const BATCH_VALUES: usize = 1 << 16;

/// Distance of samples that is assumed before any was read.
const USUAL_INTERVAL_MS: u64 = 15_000;

/// Most series of a batch.
const BATCH_SERIES: usize = 256;

/// Samples and values below which nobody is asked to help.
const FEW_VALUES: usize = 1 << 13;

/// What is done with each of many series.
pub(crate) trait PerSeries: Send + Sync + 'static {
    /// Buffers of one thread.
    type Buffers;
    /// What is made of one series.
    type Made: Send;

    /// Returns buffers.
    fn buffers(&self) -> Self::Buffers;

    /// Works on series `index`; `None` where nothing comes of it.
    fn make(
        &self,
        index: usize,
        buffers: &mut Self::Buffers,
    ) -> Result<Option<Self::Made>, QueryError>;
}

/// How many series there are and what each costs, about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(super) series: usize,
    /// Samples that are read of a series.
    samples: usize,
    /// Values that are made of it.
    steps: usize,
}

impl Extent {
    /// Of series whose samples between two times, in milliseconds, make `steps` values.
    pub(super) fn new(series: usize, (first_ms, last_ms): (i64, i64), steps: usize) -> Extent {
        let samples = last_ms.abs_diff(first_ms) / USUAL_INTERVAL_MS;
        Extent {
            series,
            samples: usize::try_from(samples).unwrap_or(usize::MAX).min(1 << 32),
            steps,
        }
    }

    /// Of groups of log entries, each of which is a batch of its own.
    pub(crate) fn of_groups(groups: usize) -> Extent {
        Extent {
            series: groups,
            samples: BATCH_VALUES,
            steps: 0,
        }
    }

    /// Returns how many series make a batch: enough to be worth handing over, and few
    /// enough that all threads end at about the same time.
    fn batch(&self) -> usize {
        (BATCH_VALUES / (self.samples + self.steps).max(1))
            .clamp(1, BATCH_SERIES)
            .min(self.series.div_ceil(16))
            .max(1)
    }

    /// Returns how many bytes of values may wait to be taken.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.batch() * AHEAD * self.steps.saturating_mul(size_of::<f64>())
    }

    fn is_little(&self) -> bool {
        self.series < 2 || self.series.saturating_mul(self.samples + self.steps) < FEW_VALUES
    }
}

/// Threads that may help.
type Helpers<'w> = Option<(&'w Arc<dyn Workers>, usize)>;

impl Evaluator<'_> {
    /// Works on all series and hands what is made of them to `take`, in order.
    pub(super) fn for_each_series<W: PerSeries>(
        &mut self,
        work: Arc<W>,
        extent: Extent,
        mut take: impl FnMut(&mut Self, W::Made) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let options = self.options;
        let mut helpers = helpers(options.workers.as_ref(), extent);
        let before = self.budget.held();
        if helpers.is_some() && self.budget.hold_bytes(extent.waiting_bytes()).is_err() {
            // What waits needs memory, and the query can do without.
            self.budget.reset_to(before);
            helpers = None;
        }
        let waiting_bytes = self.budget.held().bytes - before.bytes;
        for_each_in_order(work, extent, helpers, |made| take(self, made))?;
        self.budget.release_bytes(waiting_bytes as usize);
        Ok(())
    }
}

/// Works on groups of log entries with whoever may help, and hands what is made of them to
/// `take`, in order.
pub(crate) fn for_each_group<W: PerSeries, E: From<QueryError>>(
    work: Arc<W>,
    groups: usize,
    workers: Option<&Arc<dyn Workers>>,
    take: impl FnMut(W::Made) -> Result<(), E>,
) -> Result<(), E> {
    let extent = Extent::of_groups(groups);
    for_each_in_order(work, extent, helpers(workers, extent), take)
}

/// Returns the threads that may help with so much work.
fn helpers(workers: Option<&Arc<dyn Workers>>, extent: Extent) -> Helpers<'_> {
    let workers = workers.filter(|_| !extent.is_little())?;
    let idle = workers
        .idle()
        .min(extent.series.div_ceil(extent.batch()) - 1);
    (idle > 0).then_some((workers, idle))
}

/// Works on all series and hands what is made of them to `take`, in order.
fn for_each_in_order<W: PerSeries, E: From<QueryError>>(
    work: Arc<W>,
    extent: Extent,
    helpers: Helpers<'_>,
    mut take: impl FnMut(W::Made) -> Result<(), E>,
) -> Result<(), E> {
    let Some((workers, helpers)) = helpers else {
        let mut buffers = work.buffers();
        for index in 0..extent.series {
            if let Some(made) = work.make(index, &mut buffers)? {
                take(made)?;
            }
        }
        return Ok(());
    };
    let shared = Arc::new(Shared::new(work, extent));
    for _ in 0..helpers {
        let (shared, pool) = (Arc::downgrade(&shared), Arc::clone(workers));
        workers.start(Box::new(move || {
            if let Some(shared) = shared.upgrade() {
                shared.help(pool.as_ref());
            }
        }));
    }
    let _end = End(&shared);
    shared.lead(&mut take)
}

/// What the threads of one piece of work share.
struct Shared<W: PerSeries> {
    work: Arc<W>,
    series: usize,
    batch: usize,
    batches: usize,
    stopped: AtomicBool,
    progress: Mutex<Progress<W::Made>>,
    /// Told of every batch that was made or taken.
    changed: Condvar,
}

/// What was made of a batch, up to where it failed.
struct Batch<M> {
    made: Vec<M>,
    failed: Option<QueryError>,
}

struct Progress<M> {
    /// The next batch that nobody has begun.
    next: usize,
    /// How many were taken.
    taken: usize,
    /// The results from `taken` on that there are.
    waiting: VecDeque<Option<Batch<M>>>,
    /// What a helper began and, since it panicked, did not end.
    left: Vec<usize>,
    /// How many helpers are at work.
    inside: usize,
}

enum Next<M> {
    Take(Batch<M>),
    Make(usize),
    Done,
}

impl<W: PerSeries> Shared<W> {
    fn new(work: Arc<W>, extent: Extent) -> Shared<W> {
        let batch = extent.batch();
        Shared {
            work,
            series: extent.series,
            batch,
            batches: extent.series.div_ceil(batch),
            stopped: AtomicBool::new(false),
            progress: Mutex::new(Progress {
                next: 0,
                taken: 0,
                waiting: VecDeque::with_capacity(AHEAD),
                left: Vec::new(),
                inside: 0,
            }),
            changed: Condvar::new(),
        }
    }

    /// Takes what is ready and makes what is not, to the end.
    fn lead<E: From<QueryError>>(
        &self,
        take: &mut impl FnMut(W::Made) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut buffers = self.work.buffers();
        loop {
            match self.next_of_leader() {
                Next::Take(batch) => {
                    batch.made.into_iter().try_for_each(&mut *take)?;
                    if let Some(error) = batch.failed {
                        return Err(error.into());
                    }
                }
                Next::Make(number) => {
                    let batch = self.make(number, &mut buffers);
                    self.put(number, batch);
                }
                Next::Done => return Ok(()),
            }
        }
    }

    fn next_of_leader(&self) -> Next<W::Made> {
        let mut progress = self.progress.lock();
        loop {
            if let Some(Some(_)) = progress.waiting.front()
                && let Some(Some(batch)) = progress.waiting.pop_front()
            {
                progress.taken += 1;
                self.changed.notify_all();
                return Next::Take(batch);
            }
            if progress.taken == self.batches {
                return Next::Done;
            }
            if let Some(number) = self.claim(&mut progress) {
                return Next::Make(number);
            }
            self.changed.wait(&mut progress);
        }
    }

    /// Makes batches as long as there are any and the thread is not wanted elsewhere.
    fn help(&self, workers: &dyn Workers) {
        let _inside = Inside::enter(self);
        let mut buffers = self.work.buffers();
        while let Some(number) = self.next_of_helper() {
            let unfinished = Unfinished {
                shared: self,
                number,
            };
            let batch = self.make(number, &mut buffers);
            drop(unfinished);
            self.put(number, batch);
            if !workers.may_go_on() {
                return;
            }
        }
    }

    fn next_of_helper(&self) -> Option<usize> {
        let mut progress = self.progress.lock();
        loop {
            if self.is_stopped() || (progress.next == self.batches && progress.left.is_empty()) {
                return None;
            }
            if let Some(number) = self.claim(&mut progress) {
                return Some(number);
            }
            self.changed.wait(&mut progress);
        }
    }

    fn claim(&self, progress: &mut Progress<W::Made>) -> Option<usize> {
        if let Some(number) = progress.left.pop() {
            return Some(number);
        }
        let number = progress.next;
        (number < self.batches && number < progress.taken + AHEAD).then(|| {
            progress.next += 1;
            number
        })
    }

    fn make(&self, number: usize, buffers: &mut W::Buffers) -> Batch<W::Made> {
        let indexes = self.indexes(number);
        let mut batch = Batch {
            made: Vec::with_capacity(indexes.len()),
            failed: None,
        };
        for index in indexes {
            if self.is_stopped() {
                break;
            }
            match self.work.make(index, buffers) {
                Ok(made) => batch.made.extend(made),
                Err(error) => {
                    batch.failed = Some(error);
                    break;
                }
            }
        }
        batch
    }

    fn indexes(&self, number: usize) -> Range<usize> {
        let from = number * self.batch;
        from..(from + self.batch).min(self.series)
    }

    fn put(&self, number: usize, batch: Batch<W::Made>) {
        let mut progress = self.progress.lock();
        let at = number - progress.taken;
        while progress.waiting.len() <= at {
            progress.waiting.push_back(None);
        }
        progress.waiting[at] = Some(batch);
        self.changed.notify_all();
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

/// Ends the work when the leader is done, has failed or panics: helpers leave, and
/// what they hold is given back before the query answers.
struct End<'a, W: PerSeries>(&'a Shared<W>);

impl<W: PerSeries> Drop for End<'_, W> {
    fn drop(&mut self) {
        let mut progress = self.0.progress.lock();
        self.0.stopped.store(true, Ordering::Relaxed);
        self.0.changed.notify_all();
        while progress.inside > 0 {
            self.0.changed.wait(&mut progress);
        }
    }
}

/// A helper at work.
struct Inside<'a, W: PerSeries>(&'a Shared<W>);

impl<'a, W: PerSeries> Inside<'a, W> {
    fn enter(shared: &'a Shared<W>) -> Inside<'a, W> {
        shared.progress.lock().inside += 1;
        Inside(shared)
    }
}

impl<W: PerSeries> Drop for Inside<'_, W> {
    fn drop(&mut self) {
        self.0.progress.lock().inside -= 1;
        self.0.changed.notify_all();
    }
}

/// A batch that a helper makes. Where it panics another thread makes it again: the
/// leader in the end, which then panics itself.
struct Unfinished<'a, W: PerSeries> {
    shared: &'a Shared<W>,
    number: usize,
}

impl<W: PerSeries> Drop for Unfinished<'_, W> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.progress.lock().left.push(self.number);
            self.shared.changed.notify_all();
        }
    }
}
