//! Writes the index of a block.
//!
//! Until the last series is there nobody knows how many values a name has, so series
//! refer to values by numbers given in order of first use, in the dictionary and rows
//! that the index in memory uses, too. At the end values are sorted and numbered anew,
//! and each section is made in a pass over the rows.

use std::collections::HashMap;
use std::ops::Range;

use super::fixed::{self, BitPacker};
use super::grouped::GroupWriter;
use super::layout::{INDEX_FILE, INDEX_GROUP_BYTES, N_SECTIONS, Section, index_header};
use super::vectors::Vectors;
use super::{BlockError, BlockMeta, lists};
use crate::codec::varint::write_u64;
use crate::fs::Dir;
use crate::index::{Dictionary, NameId, PairId, Rows, encode_row};

/// Names with so many values get a transducer.
pub(super) const MIN_TRANSDUCER: usize = 64;

/// Numbers of series that are sorted at a time.
const BATCH: u64 = 4 << 20;

/// Values with the most series that are kept of each name.
pub(super) const TOP: usize = 10;

/// Bytes that are gathered before they are appended.
const PIECE_BYTES: usize = 1 << 16;

/// The labels of all series.
#[derive(Debug, Default)]
pub(super) struct Labels {
    dictionary: Dictionary,
    rows: Rows,
    shapes: Vec<Shape>,
    by_names: HashMap<Box<[NameId]>, u32>,
    shape_of: Vec<u32>,
    pairs: Vec<PairId>,
    recent: Vec<PairId>,
    names: Vec<NameId>,
    row: Vec<u8>,
}

/// Series with the same names.
#[derive(Debug)]
struct Shape {
    names: Box<[NameId]>,
    n_series: u64,
}

impl Labels {
    /// Counts the series.
    pub(super) fn n_series(&self) -> u32 {
        self.shape_of.len() as u32
    }

    /// Adds a series behind all others.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn add<'a>(
        &mut self,
        labels: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) -> Result<(), String> {
        let series = self.n_series();
        if series == u32::MAX {
            return Err(format!("more than {series} series"));
        }
        let mut last = None;
        for (name, value) in labels.clone() {
            if last.is_some_and(|last| last >= name) || value.is_empty() {
                return Err(format!(
                    "the label {name:?}, names must ascend and have values"
                ));
            }
            last = Some(name);
        }
        if series > 0 && !self.is_behind(labels.clone()) {
            let labels: Vec<_> = labels.collect();
            return Err(format!(
                "the series {labels:?}, which does not come behind the one before"
            ));
        }
        let dictionary = &mut self.dictionary;
        dictionary.find_all(labels.clone(), &self.recent, &mut self.pairs);
        for (pair, (name, value)) in self.pairs.iter_mut().zip(labels) {
            if *pair == PairId::MAX {
                *pair = dictionary.intern(name, value);
            }
        }
        encode_row(&self.pairs, &mut self.row);
        if !self.rows.set(series, &self.row) {
            return Err("so many labels".to_owned());
        }
        self.names.clear();
        let names = self.pairs.iter().map(|&pair| dictionary.pair_name(pair));
        self.names.extend(names);
        let shape = self.shape();
        self.shapes[shape as usize].n_series += 1;
        self.shape_of.push(shape);
        std::mem::swap(&mut self.pairs, &mut self.recent);
        Ok(())
    }

    /// Tells whether labels come behind those of the last series.
    fn is_behind<'a>(&self, labels: impl Iterator<Item = (&'a str, &'a str)>) -> bool {
        let dictionary = &self.dictionary;
        let recent = self.recent.iter().map(|&pair| dictionary.pair_text(pair));
        #[expect(
            clippy::map_identity,
            reason = "texts that are not borrowed for as long"
        )]
        recent.lt(labels.map(|(name, value)| (name, value)))
    }

    fn shape(&mut self) -> u32 {
        if let Some(&last) = self.shape_of.last()
            && *self.shapes[last as usize].names == *self.names
        {
            return last;
        }
        if let Some(&known) = self.by_names.get(self.names.as_slice()) {
            return known;
        }
        let names: Box<[NameId]> = self.names.as_slice().into();
        let shape = self.shapes.len() as u32;
        self.shapes.push(Shape {
            names: names.clone(),
            n_series: 0,
        });
        self.by_names.insert(names, shape);
        shape
    }

    fn pairs(&self, series: u32) -> impl Iterator<Item = PairId> + '_ {
        self.rows
            .get(series)
            .into_iter()
            .flat_map(|row| row.pairs())
    }
}

/// The chunk entries of all series.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    bytes: Vec<u8>,
    /// Bytes of each series.
    lens: Vec<u32>,
    n_chunks: u64,
    series_at: usize,
}

impl Chunks {
    /// Adds what `write` appends as a chunk of the series that is being written.
    pub(super) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.n_chunks += 1;
    }

    /// Ends a series.
    pub(super) fn end_series(&mut self) {
        self.lens.push((self.bytes.len() - self.series_at) as u32);
        self.series_at = self.bytes.len();
    }

    /// Counts the chunks.
    pub(super) fn n_chunks(&self) -> u64 {
        self.n_chunks
    }
}

/// Values of all names in order, and the numbers they have there.
struct Order<'a> {
    labels: &'a Labels,
    /// Names, sorted.
    names: Vec<NameId>,
    /// Rank of each name.
    rank: Vec<u32>,
    /// Number of the first value of each name, by rank, and of all values.
    bases: Vec<u32>,
    /// By new number.
    pairs: Vec<PairId>,
    /// New number by old one.
    renamed: Vec<u32>,
}

impl Order<'_> {
    fn new(labels: &Labels) -> Order<'_> {
        let dictionary = &labels.dictionary;
        let mut names: Vec<NameId> = (0..dictionary.n_names() as u32).collect();
        names.sort_unstable_by_key(|&name| dictionary.name_text(name));
        let mut order = Order {
            labels,
            rank: vec![0; names.len()],
            bases: vec![0],
            pairs: Vec::with_capacity(dictionary.n_pairs()),
            renamed: vec![0; dictionary.n_pairs()],
            names,
        };
        for (rank, &name) in order.names.iter().enumerate() {
            order.rank[name as usize] = rank as u32;
            let base = order.pairs.len();
            order.pairs.extend_from_slice(dictionary.pairs_of(name));
            order.pairs[base..].sort_unstable_by_key(|&pair| dictionary.value_text(pair));
            order.bases.push(order.pairs.len() as u32);
        }
        for (at, &pair) in order.pairs.iter().enumerate() {
            order.renamed[pair as usize] = at as u32;
        }
        order
    }

    /// New numbers of the values of a name.
    fn values(&self, rank: usize) -> Range<usize> {
        self.bases[rank] as usize..self.bases[rank + 1] as usize
    }

    fn text(&self, at: usize) -> &str {
        self.labels.dictionary.value_text(self.pairs[at])
    }

    /// Numbers, counted within their names, of the values of a series.
    fn ordinals(&self, series: u32) -> impl Iterator<Item = u32> + '_ {
        self.labels.pairs(series).map(|pair| {
            let rank = self.rank[self.labels.dictionary.pair_name(pair) as usize];
            self.renamed[pair as usize] - self.bases[rank as usize]
        })
    }
}

/// Where the values of a name are within those of a shape.
#[derive(Debug, Clone, Copy)]
struct Column {
    least: u32,
    greatest: u32,
}

impl Column {
    fn width(self) -> u32 {
        fixed::bit_width(u64::from(self.greatest - self.least))
    }
}

struct Writer<'a> {
    out: GroupWriter,
    sections: [Range<u64>; N_SECTIONS],
    order: Order<'a>,
    scratch: Vec<u8>,
}

/// Writes the index and returns its length. `meta` is that of the block but for that.
pub(super) fn write(
    dir: &dyn Dir,
    meta: &BlockMeta,
    labels: &Labels,
    chunks: Chunks,
    vectors: Vectors,
) -> Result<u64, BlockError> {
    let mut out = GroupWriter::create(dir, INDEX_FILE, INDEX_GROUP_BYTES)?;
    out.append(&index_header(meta))?;
    let mut writer = Writer {
        out,
        sections: [const { 0..0 }; N_SECTIONS],
        order: Order::new(labels),
        scratch: Vec::new(),
    };
    let refused = |error: fst::Error| BlockError::Input {
        path: dir.path().to_path_buf(),
        what: format!("its label values: {error}"),
    };
    writer.texts()?;
    let transducers = writer.transducers().map_err(|e| match e {
        Failure::Block(error) => error,
        Failure::Transducer(error) => refused(error),
    })?;
    writer.names(&transducers)?;
    let columns = writer.shapes()?;
    writer.labels(&columns)?;
    writer.series(&columns, &chunks)?;
    writer.whole(Section::Chunks, &chunks.bytes)?;
    drop(chunks);
    let (bytes, ends) = vectors.finish();
    writer.whole(Section::Vectors, &bytes)?;
    let ends: Vec<u64> = ends.into_iter().map(u64::from).collect();
    writer.ends(Section::VectorEnds, &ends)?;
    let counts = writer.postings()?;
    writer.stats(&counts)?;
    writer.finish()
}

enum Failure {
    Block(BlockError),
    Transducer(fst::Error),
}

impl From<BlockError> for Failure {
    fn from(error: BlockError) -> Failure {
        Failure::Block(error)
    }
}

impl From<fst::Error> for Failure {
    fn from(error: fst::Error) -> Failure {
        Failure::Transducer(error)
    }
}

impl Writer<'_> {
    fn begin(&mut self, section: Section) -> Result<(), BlockError> {
        self.out.align()?;
        let at = self.out.position();
        self.sections[section as usize] = at..at;
        Ok(())
    }

    fn end(&mut self, section: Section) {
        self.sections[section as usize].end = self.out.position();
    }

    fn whole(&mut self, section: Section, bytes: &[u8]) -> Result<(), BlockError> {
        self.begin(section)?;
        for piece in bytes.chunks(PIECE_BYTES) {
            self.out.append(piece)?;
        }
        self.end(section);
        Ok(())
    }

    /// Appends the ends of the parts of another section, each as wide as the last needs.
    fn ends(&mut self, section: Section, ends: &[u64]) -> Result<(), BlockError> {
        let width = fixed::byte_width(ends.last().copied().unwrap_or(0));
        self.begin(section)?;
        let mut piece = Vec::with_capacity(PIECE_BYTES + 8);
        for &end in ends {
            fixed::write(&mut piece, end, width);
            self.flush(&mut piece, PIECE_BYTES)?;
        }
        self.flush(&mut piece, 0)?;
        self.end(section);
        Ok(())
    }

    fn flush(&mut self, piece: &mut Vec<u8>, threshold: usize) -> Result<(), BlockError> {
        if piece.len() >= threshold {
            self.out.append(piece)?;
            piece.clear();
        }
        Ok(())
    }

    fn texts(&mut self) -> Result<(), BlockError> {
        self.begin(Section::Texts)?;
        let mut ends = Vec::with_capacity(self.order.pairs.len());
        let mut end = 0;
        for at in 0..self.order.pairs.len() {
            let text = self.order.text(at);
            self.out.append(text.as_bytes())?;
            end += text.len() as u64;
            ends.push(end);
        }
        self.end(Section::Texts);
        self.ends(Section::TextEnds, &ends)
    }

    /// Returns the length of the transducer of each name, 0 where it has none.
    fn transducers(&mut self) -> Result<Vec<u64>, Failure> {
        self.begin(Section::Transducers)?;
        let mut lens = Vec::with_capacity(self.order.names.len());
        for rank in 0..self.order.names.len() {
            let values = self.order.values(rank);
            if values.len() < MIN_TRANSDUCER {
                lens.push(0);
                continue;
            }
            let mut builder = fst::MapBuilder::memory();
            for (number, at) in values.enumerate() {
                builder.insert(self.order.text(at), number as u64)?;
            }
            let bytes = builder.into_inner()?;
            self.out.append(&bytes)?;
            lens.push(bytes.len() as u64);
        }
        self.end(Section::Transducers);
        Ok(lens)
    }

    fn names(&mut self, transducers: &[u64]) -> Result<(), BlockError> {
        let mut bytes = Vec::new();
        for (rank, &name) in self.order.names.iter().enumerate() {
            let text = self.order.labels.dictionary.name_text(name);
            write_u64(&mut bytes, text.len() as u64);
            bytes.extend_from_slice(text.as_bytes());
            write_u64(&mut bytes, self.order.values(rank).len() as u64);
            write_u64(&mut bytes, transducers[rank]);
        }
        self.whole(Section::Names, &bytes)
    }

    fn shapes(&mut self) -> Result<Vec<Vec<Column>>, BlockError> {
        let labels = self.order.labels;
        let fresh = Column {
            least: u32::MAX,
            greatest: 0,
        };
        let columns = labels.shapes.iter().map(|s| vec![fresh; s.names.len()]);
        let mut columns: Vec<Vec<Column>> = columns.collect();
        for (series, &shape) in labels.shape_of.iter().enumerate() {
            let ordinals = self.order.ordinals(series as u32);
            for (column, ordinal) in columns[shape as usize].iter_mut().zip(ordinals) {
                column.least = column.least.min(ordinal);
                column.greatest = column.greatest.max(ordinal);
            }
        }
        let mut bytes = Vec::new();
        for (shape, columns) in labels.shapes.iter().zip(&columns) {
            write_u64(&mut bytes, columns.len() as u64);
            let mut next = 0;
            for (&name, column) in shape.names.iter().zip(columns) {
                let rank = self.order.rank[name as usize];
                write_u64(&mut bytes, u64::from(rank - next));
                next = rank + 1;
                write_u64(&mut bytes, u64::from(column.least));
                write_u64(&mut bytes, u64::from(column.greatest - column.least));
            }
        }
        self.whole(Section::Shapes, &bytes)?;
        Ok(columns)
    }

    fn labels(&mut self, columns: &[Vec<Column>]) -> Result<(), BlockError> {
        self.begin(Section::Labels)?;
        let mut piece = Vec::with_capacity(PIECE_BYTES + 1024);
        for (series, &shape) in self.order.labels.shape_of.iter().enumerate() {
            let mut bits = BitPacker::default();
            let ordinals = self.order.ordinals(series as u32);
            for (column, ordinal) in columns[shape as usize].iter().zip(ordinals) {
                bits.push(&mut piece, ordinal - column.least, column.width());
            }
            bits.finish(&mut piece);
            self.flush(&mut piece, PIECE_BYTES)?;
        }
        self.flush(&mut piece, 0)?;
        self.end(Section::Labels);
        Ok(())
    }

    fn series(&mut self, columns: &[Vec<Column>], chunks: &Chunks) -> Result<(), BlockError> {
        let labels = self.order.labels;
        let row_bytes = |columns: &Vec<Column>| {
            let bits: u64 = columns.iter().map(|c| u64::from(c.width())).sum();
            bits.div_ceil(8)
        };
        let row_bytes: Vec<u64> = columns.iter().map(row_bytes).collect();
        let shapes = labels.shapes.iter().zip(&row_bytes);
        let label_bytes = shapes.map(|(shape, bytes)| shape.n_series * bytes).sum();
        let layout = SeriesLayout::new(
            labels.shapes.len() as u64,
            label_bytes,
            chunks.bytes.len() as u64,
        );
        self.begin(Section::Series)?;
        let mut piece = Vec::with_capacity(PIECE_BYTES + 16);
        let (mut labels_at, mut chunks_at) = (0, 0);
        for (&shape, &len) in labels.shape_of.iter().zip(&chunks.lens) {
            layout.write(u64::from(shape), labels_at, chunks_at, &mut piece);
            labels_at += row_bytes[shape as usize];
            chunks_at += u64::from(len);
            self.flush(&mut piece, PIECE_BYTES)?;
        }
        layout.write(0, labels_at, chunks_at, &mut piece);
        self.flush(&mut piece, 0)?;
        self.end(Section::Series);
        Ok(())
    }

    /// Writes the lists of series and returns how long each is.
    fn postings(&mut self) -> Result<Vec<u32>, BlockError> {
        let n_series = self.order.labels.n_series();
        let mut counts = vec![0u32; self.order.pairs.len()];
        for series in 0..n_series {
            for pair in self.order.labels.pairs(series) {
                counts[self.order.renamed[pair as usize] as usize] += 1;
            }
        }
        self.begin(Section::Postings)?;
        let start_at = self.out.position();
        let mut ends = Vec::with_capacity(counts.len());
        let mut piece = Vec::new();
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut start = 0;
        while start < counts.len() {
            // A batch of values whose lists are sorted at once, to bound the memory.
            let (mut end, mut total) = (start, 0);
            while end < counts.len() && (end == start || total + u64::from(counts[end]) <= BATCH) {
                total += u64::from(counts[end]);
                end += 1;
            }
            let mut ids = vec![0u32; total as usize];
            let mut next = Vec::with_capacity(end - start);
            let mut sum = 0usize;
            for &count in &counts[start..end] {
                next.push(sum);
                sum += count as usize;
            }
            for series in 0..n_series {
                for pair in self.order.labels.pairs(series) {
                    let at = (self.order.renamed[pair as usize] as usize).wrapping_sub(start);
                    if let Some(place) = next.get_mut(at) {
                        ids[*place] = series;
                        *place += 1;
                    }
                }
            }
            let mut rest = ids.as_slice();
            for &count in &counts[start..end] {
                let (list, others) = rest.split_at(count as usize);
                rest = others;
                lists::encode(list, &mut scratch, &mut piece);
                ends.push(self.out.position() - start_at + piece.len() as u64);
                self.flush(&mut piece, PIECE_BYTES)?;
            }
            start = end;
        }
        self.flush(&mut piece, 0)?;
        self.end(Section::Postings);
        self.ends(Section::PostingEnds, &ends)?;
        Ok(counts)
    }

    fn stats(&mut self, counts: &[u32]) -> Result<(), BlockError> {
        let mut bytes = Vec::new();
        for rank in 0..self.order.names.len() {
            let values = self.order.values(rank);
            let counts = &counts[values.clone()];
            let texts = values.map(|at| self.order.text(at).len() as u64);
            write_u64(&mut bytes, counts.iter().map(|&n| u64::from(n)).sum());
            write_u64(&mut bytes, texts.sum());
            let mut top: Vec<u32> = (0..counts.len() as u32).collect();
            let key = |&at: &u32| (u32::MAX - counts[at as usize], at);
            if top.len() > TOP {
                top.select_nth_unstable_by_key(TOP, key);
                top.truncate(TOP);
            }
            top.sort_unstable_by_key(key);
            write_u64(&mut bytes, top.len() as u64);
            for at in top {
                write_u64(&mut bytes, u64::from(at));
                write_u64(&mut bytes, u64::from(counts[at as usize]));
            }
        }
        self.whole(Section::Stats, &bytes)
    }

    fn finish(mut self) -> Result<u64, BlockError> {
        self.out.align()?;
        let at = self.out.position();
        for section in &self.sections {
            self.out.append(&section.start.to_le_bytes())?;
            let len = section.end - section.start;
            self.out.append(&len.to_le_bytes())?;
        }
        self.out.finish(at)
    }
}

/// The widths of the three numbers in the row of a series, lowest bits first: shape,
/// offset of the labels, offset of the chunks. A row more than there are series ends the
/// chunks of the last.
#[derive(Debug, Clone, Copy)]
pub(super) struct SeriesLayout {
    shape_bits: u32,
    labels_bits: u32,
    chunks_bits: u32,
    /// Length of a row.
    pub(super) row_bytes: usize,
}

/// The row of a series.
#[derive(Debug, Clone, Copy)]
pub(super) struct SeriesRow {
    pub(super) shape: usize,
    pub(super) labels_at: usize,
    pub(super) chunks_at: usize,
}

impl SeriesLayout {
    /// Returns the layout for this many shapes, and sections of these lengths, which
    /// are below 2^48.
    pub(super) fn new(n_shapes: u64, label_bytes: u64, chunk_bytes: u64) -> SeriesLayout {
        let shape_bits = fixed::bit_width(n_shapes);
        let labels_bits = fixed::bit_width(label_bytes);
        let chunks_bits = fixed::bit_width(chunk_bytes);
        let bits = shape_bits + labels_bits + chunks_bits;
        SeriesLayout {
            shape_bits,
            labels_bits,
            chunks_bits,
            row_bytes: bits.div_ceil(8) as usize,
        }
    }

    fn write(self, shape: u64, labels_at: u64, chunks_at: u64, out: &mut Vec<u8>) {
        let row = u128::from(shape)
            | u128::from(labels_at) << self.shape_bits
            | u128::from(chunks_at) << (self.shape_bits + self.labels_bits);
        out.extend_from_slice(&row.to_le_bytes()[..self.row_bytes]);
    }

    /// Reads a row.
    #[inline]
    pub(super) fn read(self, bytes: &[u8]) -> SeriesRow {
        let row = fixed::read_wide(bytes);
        let part = |at: u32, bits: u32| (row >> at) as usize & ((1 << bits) - 1);
        let labels_shift = self.shape_bits;
        let chunks_shift = labels_shift + self.labels_bits;
        SeriesRow {
            shape: part(0, self.shape_bits),
            labels_at: part(labels_shift, self.labels_bits),
            chunks_at: part(chunks_shift, self.chunks_bits),
        }
    }
}
