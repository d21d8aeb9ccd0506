//! Selected series, as they were at one moment: of blocks, of the head, or of both.
//!
//! Where one part of the store has all that is asked for, its series come in its own
//! order (the head's is the order of creation); series of several parts are merged in
//! label order, as Prometheus does it.

use std::sync::{Arc, OnceLock};

use smallvec::SmallVec;

use super::blocks::{BlockSet, Blocks, Served};
use super::columns::{self, merge_columns};
use super::head_selection::HeadSelection;
use super::histograms::{Point, Timed, drop_beside, settle};
use super::label_order::{BlockPart, Member, Merged};
use super::scratch::{ReadScratch, Scratches, reader_of};
use super::shard::Wanted;
use super::store::MetricStore;
use crate::block::{self, Block, BlockError};
use crate::error::StorageError;
use crate::index::NameId;
use crate::model::histogram::{HistogramPoint, HistogramSample};
use crate::model::{Labels, Matcher, TimeRange};

/// A snapshot of the series that satisfied a selection. Samples are decoded when they
/// are read, from as many threads as the caller likes.
#[derive(Debug)]
pub struct Selection {
    range: TimeRange,
    head: HeadSelection,
    parts: Vec<BlockPart>,
    order: Order,
    /// Names that were asked for first, and probably are again.
    named: OnceLock<Named>,
    /// Told of damage.
    blocks: Arc<Blocks>,
    /// Whether any series may have histograms.
    has_histograms: bool,
    scratches: Scratches,
}

#[derive(Debug)]
enum Order {
    /// All is in the head.
    Head,
    /// All is in one block.
    Block,
    Merged(Merged),
}

/// Names of labels and their numbers.
#[derive(Debug)]
struct Named {
    names: Vec<Box<str>>,
    head: SmallVec<[NameId; 4]>,
    /// By part.
    parts: Vec<block::Names>,
}

impl Named {
    /// Tells whether these are the names.
    fn is<S: AsRef<str>>(&self, names: &[S]) -> bool {
        let known = self.names.iter().map(|name| &**name);
        known.eq(names.iter().map(AsRef::as_ref))
    }
}

/// Labels that a set has, as a rule.
const USUAL_LABELS: usize = 24;

/// Packs labels, which are looked up once although they are walked through twice.
pub(super) fn packed<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> Labels {
    let labels: SmallVec<[(&str, &str); USUAL_LABELS]> = labels.collect();
    Labels::from_sorted(labels.iter().copied())
}

/// When series come in label order.
#[derive(Debug, Clone, Copy)]
enum Sorted {
    Always,
    /// Where there is a block of this range.
    WithBlocks(TimeRange),
}

/// What a read did to the times in its buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// They may be others than before.
    New,
    /// They are those that were there before: what was derived from them stays right.
    Same,
}

impl Selection {
    /// Returns how many series were selected.
    pub fn len(&self) -> usize {
        match &self.order {
            Order::Head => self.head.len(),
            Order::Block => self.parts[0].ids.len(),
            Order::Merged(merged) => merged.len(),
        }
    }

    /// Tells whether nothing was selected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the labels of series `index` (below [`Selection::len`], else empty).
    pub fn labels(&self, index: usize) -> Labels {
        match self.place(index) {
            None => Labels::empty(),
            Some(Place::Head(index)) => self.head.labels(index),
            Some(Place::Block(Member { part, series })) => {
                let block = &self.parts[part as usize].block;
                self.labels_or_note(block, block.labels(series))
            }
        }
    }

    /// As [`Selection::labels`], but only the labels with one of `names`. Costs much
    /// less where those are few, and where they are the same at every call.
    pub fn labels_named<S: AsRef<str>>(&self, index: usize, names: &[S]) -> Labels {
        let Some(place) = self.place(index) else {
            return Labels::empty();
        };
        let known = self.named.get_or_init(|| self.named(names));
        let others;
        let named = if known.is(names) {
            known
        } else {
            others = self.named(names);
            &others
        };
        match place {
            Place::Head(index) => self.head.labels_named(index, &named.head),
            Place::Block(Member { part, series }) => {
                let block = &self.parts[part as usize].block;
                let labels = block.labels_named(series, &named.parts[part as usize]);
                self.labels_or_note(block, labels)
            }
        }
    }

    fn named<S: AsRef<str>>(&self, names: &[S]) -> Named {
        let parts = self.parts.iter();
        Named {
            names: names.iter().map(|name| name.as_ref().into()).collect(),
            head: self.head.names(names),
            parts: parts.map(|part| part.block.names(names)).collect(),
        }
    }

    /// Makes labels of what a block says, or tells of its damage.
    fn labels_or_note<'a>(
        &self,
        block: &Arc<Served>,
        labels: Result<impl Iterator<Item = (&'a str, &'a str)>, BlockError>,
    ) -> Labels {
        match labels {
            Ok(labels) => packed(labels),
            Err(error) => {
                self.blocks.note(block, &error);
                Labels::empty()
            }
        }
    }

    /// Returns a place that knows the labels of a series.
    fn place(&self, index: usize) -> Option<Place> {
        match &self.order {
            _ if index >= self.len() => None,
            Order::Head => Some(Place::Head(index)),
            Order::Block => Some(Place::Block(self.only_member(index))),
            Order::Merged(merged) => match merged.members(index).first() {
                Some(&member) => Some(Place::Block(member)),
                None => merged.head(index).map(Place::Head),
            },
        }
    }

    /// Returns series `index` where all is in one block.
    fn only_member(&self, index: usize) -> Member {
        Member {
            part: 0,
            series: self.parts[0].ids[index],
        }
    }

    /// Returns how much memory the selection holds for itself, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let ids = self.parts.iter().map(|part| part.ids.capacity());
        let merged = match &self.order {
            Order::Merged(merged) => merged.memory_bytes(),
            _ => 0,
        };
        self.head.memory_bytes() + ids.sum::<usize>() * size_of::<u32>() + merged
    }

    /// Replaces the content of both columns by the samples of series `index` within
    /// the selected range, in order of time, stale markers included. Tells whether the
    /// times are those that were in `timestamps`, as is usual for series of one scrape.
    ///
    /// # Errors
    /// A chunk could not be decoded. A damaged block takes no part in later selections.
    pub fn read(
        &self,
        index: usize,
        timestamps: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) -> Result<Times, StorageError> {
        values.clear();
        if index >= self.len() {
            timestamps.clear();
            return Ok(Times::New);
        }
        let reader = reader_of(timestamps);
        self.scratches.lend(reader, |scratch| {
            let mut times = std::mem::take(&mut scratch.timestamps);
            times.clear();
            let read = self.read_into(index, scratch, &mut times, values);
            let is_same = read.is_ok() && times == *timestamps;
            if !is_same {
                std::mem::swap(&mut times, timestamps);
            }
            scratch.timestamps = times;
            read.map(|()| match is_same {
                true => Times::Same,
                false => Times::New,
            })
        })
    }

    /// Replaces the content of `into` by the histograms of series `index` within the
    /// selected range, in order of time, stale markers included; none at the time of a
    /// float, of which `timestamps` are those that [`Selection::read`] found.
    ///
    /// # Errors
    /// As [`Selection::read`].
    pub fn read_histograms(
        &self,
        index: usize,
        timestamps: &[i64],
        into: &mut Vec<HistogramSample>,
    ) -> Result<(), StorageError> {
        self.collect(index, timestamps, into, Block::read_histograms, |point| {
            HistogramSample {
                t_ms: point.t_ms,
                start_ms: 0,
                histogram: Arc::new(point.flat.to_float(point.hint)),
            }
        })
    }

    /// As [`Selection::read_histograms`], with the counts that the histograms came with.
    ///
    /// # Errors
    /// As [`Selection::read`].
    pub fn read_points(
        &self,
        index: usize,
        timestamps: &[i64],
        into: &mut Vec<HistogramPoint>,
    ) -> Result<(), StorageError> {
        self.collect(index, timestamps, into, Block::read_points, |point| {
            point.stored()
        })
    }

    /// Replaces the content of `into` by the histograms of a series, as `read` has them of
    /// a block and `of` makes them of those of the head.
    fn collect<T: Timed>(
        &self,
        index: usize,
        timestamps: &[i64],
        into: &mut Vec<T>,
        read: impl Fn(
            &Block,
            u32,
            TimeRange,
            &mut block::ReadScratch,
            &mut Vec<T>,
        ) -> Result<(), BlockError>,
        of: impl Fn(Point) -> T,
    ) -> Result<(), StorageError> {
        into.clear();
        if !self.has_histograms {
            return Ok(());
        }
        let (members, head): (&[Member], _) = match &self.order {
            _ if index >= self.len() => return Ok(()),
            Order::Head => (&[], Some(index)),
            Order::Block => (&[self.only_member(index)], None),
            Order::Merged(merged) => (merged.members(index), merged.head(index)),
        };
        let reader = reader_of(into);
        for &Member { part, series } in members {
            let block = &self.parts[part as usize].block;
            if block.has_histograms() {
                let begin = into.len();
                let found = self.scratches.lend(reader, |scratch| {
                    read(block, series, self.range, &mut scratch.block, into)
                });
                found.map_err(|error| self.blocks.failed(block, error))?;
                settle(into, begin);
            }
        }
        if let Some(head) = head.filter(|&head| self.head.has_histograms(head)) {
            let (mut points, begin) = (Vec::new(), into.len());
            self.head.read_histograms(head, &mut points)?;
            into.extend(points.into_iter().map(of));
            settle(into, begin);
        }
        drop_beside(into, 0, timestamps);
        Ok(())
    }

    /// Appends the samples of a series to both columns, which are empty.
    fn read_into(
        &self,
        index: usize,
        scratch: &mut ReadScratch,
        timestamps: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) -> Result<(), StorageError> {
        let merged = match &self.order {
            Order::Head => {
                return self.head.read(index, &mut scratch.head, timestamps, values);
            }
            Order::Block => {
                return self.read_block(self.only_member(index), scratch, timestamps, values);
            }
            Order::Merged(merged) => merged,
        };
        for &member in merged.members(index) {
            self.read_block(member, scratch, timestamps, values)?;
        }
        let Some(head) = merged.head(index) else {
            return Ok(());
        };
        let begin = timestamps.len();
        if begin == 0 || !self.head.has_extra(head) {
            self.head
                .read(head, &mut scratch.head, timestamps, values)?;
            columns::settle(timestamps, values, begin, scratch.more());
            return Ok(());
        }
        // Late samples and deleted times are those of the head alone.
        scratch.more_timestamps.clear();
        scratch.more_values.clear();
        let (more_timestamps, more_values) =
            (&mut scratch.more_timestamps, &mut scratch.more_values);
        self.head
            .read(head, &mut scratch.head, more_timestamps, more_values)?;
        merge_columns(timestamps, values, more_timestamps, more_values);
        Ok(())
    }

    /// Appends the samples that a block has of a series.
    fn read_block(
        &self,
        Member { part, series }: Member,
        scratch: &mut ReadScratch,
        timestamps: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) -> Result<(), StorageError> {
        let begin = timestamps.len();
        let block = &self.parts[part as usize].block;
        let read = block.read(series, self.range, &mut scratch.block, timestamps, values);
        read.map_err(|error| self.blocks.failed(block, error))?;
        columns::settle(timestamps, values, begin, scratch.more());
        Ok(())
    }
}

enum Place {
    Head(usize),
    Block(Member),
}

impl MetricStore {
    /// Takes a snapshot of the series that satisfy all matchers and may have samples
    /// in `range`: in order of creation where the head has all that is asked for, else
    /// in label order.
    ///
    /// # Errors
    /// A block could not be read.
    pub fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Selection, StorageError> {
        self.snapshot(matchers, range, Wanted::All, Sorted::WithBlocks(range))
    }

    /// As [`MetricStore::select`], always in label order.
    ///
    /// # Errors
    /// As [`MetricStore::select`].
    pub fn select_sorted(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Selection, StorageError> {
        self.snapshot(matchers, range, Wanted::All, Sorted::Always)
    }

    /// As [`MetricStore::select`], for a reader that looks only at the newest sample in
    /// `range` of each series: older ones may be missing, which saves copying and
    /// decoding them.
    ///
    /// # Errors
    /// A block could not be read.
    pub fn select_newest(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Selection, StorageError> {
        self.snapshot(matchers, range, Wanted::Newest, Sorted::WithBlocks(range))
    }

    /// As [`MetricStore::select`] or, with `newest_only`, [`MetricStore::select_newest`],
    /// in the order in which a selection of all of `whole` comes. The order changes with
    /// the range of a selection; a part of a range must not come in another order than
    /// the whole.
    ///
    /// # Errors
    /// A block could not be read.
    pub fn select_part(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        whole: TimeRange,
        newest_only: bool,
    ) -> Result<Selection, StorageError> {
        let wanted = match newest_only {
            true => Wanted::Newest,
            false => Wanted::All,
        };
        self.snapshot(matchers, range, wanted, Sorted::WithBlocks(whole))
    }

    /// Tells whether a selection of this range comes in label order now, because there is
    /// a block of it.
    pub fn is_in_label_order(&self, range: TimeRange) -> bool {
        self.blocks.set().overlapping(range).next().is_some()
    }

    fn snapshot(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        wanted: Wanted,
        sorted: Sorted,
    ) -> Result<Selection, StorageError> {
        let (head, set) = self.capture_head(matchers, range, wanted);
        let parts = self.select_in_blocks(&set, matchers, range)?;
        let by_labels = match sorted {
            Sorted::Always => true,
            Sorted::WithBlocks(whole) => set.overlapping(whole).next().is_some(),
        };
        let order = match (parts.len(), head.len()) {
            (0, _) if !by_labels => Order::Head,
            (1, 0) => Order::Block,
            _ => {
                let merged = Merged::new(&parts, &head);
                let merged =
                    merged.map_err(|unreadable| self.blocks.unreadable(&parts, unreadable))?;
                Order::Merged(merged)
            }
        };
        let in_blocks = parts.iter().any(|part| part.block.has_histograms());
        Ok(Selection {
            range,
            has_histograms: in_blocks || head.has_any_histograms(),
            head,
            parts,
            order,
            named: OnceLock::new(),
            blocks: Arc::clone(&self.blocks),
            scratches: Scratches::default(),
        })
    }

    fn select_in_blocks(
        &self,
        set: &BlockSet,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<BlockPart>, StorageError> {
        let mut parts = Vec::new();
        for block in set.overlapping(range) {
            let ids = block
                .resolve(matchers)
                .and_then(|ids| with_chunks(block, ids, range))
                .map_err(|error| self.blocks.failed(block, error))?;
            parts.push(BlockPart {
                block: Arc::clone(block),
                ids,
            });
        }
        Ok(parts)
    }
}

/// Keeps the series of a block that have chunks in `range`.
fn with_chunks(
    block: &Served,
    mut ids: Vec<u32>,
    range: TimeRange,
) -> Result<Vec<u32>, BlockError> {
    if block.is_inside(range) && block.n_tombstones() == 0 {
        return Ok(ids);
    }
    let mut outcome = Ok(());
    ids.retain(|&series| {
        block.overlaps(series, range).unwrap_or_else(|error| {
            outcome = Err(error);
            false
        })
    });
    outcome.map(|()| ids)
}
