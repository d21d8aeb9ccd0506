//! Makes the bytes of a row group of its entries.

use std::collections::{HashMap, HashSet};

use foldhash::fast::FixedState;

use super::codes::{encode_codes, encode_times};
use super::column;
use super::counts::{Counts, LEVEL_NAME};
use super::filter::FilterMaker;
use super::head::{Head, MAX_COLUMNS, MAX_SKELETONS, Place, Run};
use super::rows::{Row, Rows};
use super::skeleton::{ColumnKey, Origin, Skeleton};
use super::split::{Form, Kind, Split};
use super::texts::Texts;
use super::zstd::Deflater;

/// Rows of a page, and from how many on a page ends with its stream.
const PAGE_ROWS: usize = 4096;
const STREAM_PAGE_ROWS: usize = 1024;

/// Bytes of the lines of a page, about, where they are long.
const PAGE_BYTES: usize = 1 << 20;

/// A row group in the form it has in a file.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    pub(super) bytes: Vec<u8>,
    pub(super) head: Place,
    /// Length of the head before it was compressed.
    pub(super) head_len: usize,
    pub(super) counts: Place,
    pub(super) filters: Place,
    pub(super) rows: usize,
    pub(super) first_ns: i64,
    pub(super) last_ns: i64,
    pub(super) line_bytes: u64,
    pub(super) streams: Vec<u32>,
}

/// Memory that is used again for the next group.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    split: Split,
    key: Vec<u8>,
    /// Values of all lines, as ranges of the text of all lines.
    values: Vec<(u32, u32)>,
    /// For each row its skeleton, and where its values begin.
    lines: Vec<(u32, u32)>,
    filters: FilterMaker,
}

impl Scratch {
    /// Returns the bytes of memory of what grows with the rows of a group.
    pub(super) fn allocated_bytes(&self) -> usize {
        (self.values.capacity() + self.lines.capacity()) * size_of::<(u32, u32)>()
    }
}

/// A skeleton before it is known whether it is kept.
struct Found {
    skeleton: Skeleton,
    keys: Vec<ColumnKey>,
    n: usize,
}

/// Seals a group of entries, of which there is one at least.
pub(super) fn seal(rows: &Rows, scratch: &mut Scratch, deflater: &mut Deflater) -> Sealed {
    let mut order: Vec<Row> = rows.rows.clone();
    // Stable: entries of one stream stay in order.
    order.sort_by_key(|row| row.stream);
    let times: Vec<i64> = order.iter().map(|row| row.t_ns).collect();
    let mut sealed = Sealed {
        rows: order.len(),
        first_ns: times.iter().copied().min().unwrap_or(0),
        last_ns: times.iter().copied().max().unwrap_or(0),
        line_bytes: rows.lines.len() as u64,
        ..Sealed::default()
    };
    let mut head = Head {
        runs: runs(&order),
        ..Head::default()
    };
    head.page_ends = page_ends(&order, &head.runs);
    sealed.streams = head.runs.iter().map(|run| run.stream).collect();

    let group = &mut sealed.bytes;
    let mut bytes = Vec::new();
    encode_times(&times, &head.page_ends, &mut bytes);
    head.times = Place::append(&bytes, group);

    let mut filters = Vec::new();
    seal_lines(
        rows,
        &order,
        &times,
        &mut head,
        scratch,
        deflater,
        (group, &mut filters),
    );
    seal_metadata(
        rows,
        &order,
        &times,
        &mut head,
        (deflater, &mut scratch.filters),
        (group, &mut filters),
    );

    let level = rows.names.iter().position(|name| name == LEVEL_NAME);
    let counted = order.iter().map(|&row| {
        let mut pairs = rows.pairs(row).iter();
        let pair = pairs.find(|pair| Some(pair.name as usize) == level);
        let value = pair.map_or("", |&pair| rows.value(pair));
        (row.stream, row.t_ns, value, rows.line(row).len())
    });
    bytes.clear();
    Counts::of(counted).encode(&mut bytes);
    sealed.counts = Place::append(&bytes, group);
    sealed.filters = Place::append(&filters, group);

    bytes.clear();
    head.encode(&mut bytes);
    sealed.head_len = bytes.len();
    let mut compressed = Vec::new();
    deflater.append(&bytes, &mut compressed);
    sealed.head = Place::append(&compressed, group);
    sealed
}

fn runs(order: &[Row]) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut start = 0;
    for run in order.chunk_by(|a, b| a.stream == b.stream) {
        runs.push(Run {
            stream: run[0].stream,
            start,
            end: start + run.len(),
        });
        start += run.len();
    }
    runs
}

/// Cuts rows into pages: at the end of a stream where that makes no small ones.
fn page_ends(order: &[Row], runs: &[Run]) -> Vec<usize> {
    let mut ends = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for run in runs {
        for (row, of) in (run.start..run.end).zip(&order[run.start..run.end]) {
            bytes += (of.line.1 - of.line.0) as usize;
            if row + 1 - start >= PAGE_ROWS || bytes >= PAGE_BYTES {
                ends.push(row + 1);
                (start, bytes) = (row + 1, 0);
            }
        }
        if run.end - start >= STREAM_PAGE_ROWS {
            ends.push(run.end);
            (start, bytes) = (run.end, 0);
        }
    }
    if start < order.len() {
        ends.push(order.len());
    }
    ends
}

/// The bytes of a group and of its filters.
type Out<'a> = (&'a mut Vec<u8>, &'a mut Vec<u8>);

fn seal_lines(
    rows: &Rows,
    order: &[Row],
    times: &[i64],
    head: &mut Head,
    scratch: &mut Scratch,
    deflater: &mut Deflater,
    (group, filters): Out<'_>,
) {
    let found = find_skeletons(rows, order, scratch);
    let Scratch {
        values,
        lines,
        filters: maker,
        ..
    } = scratch;
    let kept = keep(found, order.len(), head);
    // For each column, the place of its value in each skeleton that has one.
    let n_columns = head.columns.len();
    let mut slots = vec![vec![u32::MAX; head.skeletons.len()]; n_columns];
    for (number, skeleton) in head.skeletons.iter().enumerate() {
        for (slot, &column) in skeleton.columns.iter().enumerate() {
            slots[column as usize][number] = slot as u32;
        }
    }
    for (line, _) in lines.iter_mut() {
        *line = kept[*line as usize];
    }
    let mut bytes = Vec::new();
    let codes: Vec<u64> = lines
        .iter()
        .map(|&(skeleton, _)| u64::from(skeleton))
        .collect();
    encode_codes(&codes, &head.page_ends, &mut bytes);
    head.skeleton_codes = Place::append(&bytes, group);

    let (mut of_column, mut times_of_column, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for (column, slots) in slots.iter().enumerate() {
        of_column.clear();
        times_of_column.clear();
        ends.clear();
        let mut start = 0;
        for &end in &head.page_ends {
            for row in start..end {
                let (skeleton, first) = lines[row];
                let value = match slots[skeleton as usize] {
                    u32::MAX => continue,
                    _ if skeleton == 0 => rows.line(order[row]),
                    slot => {
                        let (start, end) = values[(first + slot) as usize];
                        &rows.lines[start as usize..end as usize]
                    }
                };
                of_column.push(value);
                times_of_column.push(times[row]);
            }
            ends.push(of_column.len());
            start = end;
        }
        bytes.clear();
        column::encode(
            &of_column,
            &times_of_column,
            &ends,
            (&mut *deflater, &mut *maker),
            &mut bytes,
            filters,
        );
        head.columns[column].1 = Place::append(&bytes, group);
    }
}

/// Splits all lines; fills `values` and `lines` of the scratch. Number 0 is the skeleton of
/// whole lines.
fn find_skeletons(rows: &Rows, order: &[Row], scratch: &mut Scratch) -> Vec<Found> {
    let Scratch {
        split,
        key,
        values,
        lines,
        ..
    } = scratch;
    values.clear();
    lines.clear();
    let whole = ColumnKey {
        origin: Origin::Line,
        form: Form::Opaque,
        nth: 0,
        name: String::new(),
    };
    let mut texts = Texts::default();
    texts.push(b"");
    texts.push(b"");
    let mut found = vec![Found {
        skeleton: Skeleton {
            kind: None,
            is_clean: false,
            texts,
            columns: Vec::new(),
        },
        keys: vec![whole],
        n: 0,
    }];
    let mut numbers: HashMap<Vec<u8>, u32, FixedState> = HashMap::default();
    for &row in order {
        let line = rows.line(row);
        let first = values.len() as u32;
        let Some(kind) = split.split(line) else {
            lines.push((0, first));
            continue;
        };
        key.clear();
        let mut at = 0;
        for place in &split.places {
            key.extend_from_slice(&line[at..place.start as usize]);
            at = place.end as usize;
            values.push((row.line.0 + place.start, row.line.0 + place.end));
        }
        key.extend_from_slice(&line[at..]);
        // The lengths tell where each text ends: no two skeletons have one key.
        let mut at = 0;
        for place in &split.places {
            key.extend_from_slice(&(place.start - at).to_le_bytes());
            key.push(place.form as u8);
            at = place.end;
        }
        key.extend_from_slice(&(split.places.len() as u32).to_le_bytes());
        key.push(kind as u8);
        let number = match numbers.get(key) {
            Some(&number) => number,
            None if found.len() < 4 * MAX_SKELETONS => {
                let number = found.len() as u32;
                numbers.insert(key.clone(), number);
                found.push(describe(kind, line, split, number));
                number
            }
            None => 0,
        };
        found[number as usize].n += 1;
        lines.push((number, first));
    }
    found
}

/// Returns the skeleton of a line that was split.
fn describe(kind: Kind, line: &[u8], split: &Split, number: u32) -> Found {
    let mut texts = Texts::default();
    let mut keys: Vec<ColumnKey> = Vec::new();
    let mut labels = HashSet::new();
    let mut is_clean = kind != Kind::Plain;
    let mut at = 0;
    for (i, &place) in split.places.iter().enumerate() {
        texts.push(&line[at..place.start as usize]);
        at = place.end as usize;
        let name = match kind {
            Kind::Plain => Some(format!("{number}.{i}")),
            Kind::Json | Kind::Logfmt => split.name(line, place),
        };
        if place.form != Form::Opaque {
            let label = name.as_deref().filter(|name| !name.starts_with("__"));
            is_clean &= label.is_some_and(|label| labels.insert(label.to_owned()));
        }
        let mut key = ColumnKey {
            origin: Origin::Part(kind),
            form: place.form,
            nth: 0,
            name: name.unwrap_or_default(),
        };
        while keys.contains(&key) {
            key.nth += 1;
        }
        keys.push(key);
    }
    texts.push(&line[at..]);
    let skeleton = Skeleton {
        kind: Some(kind),
        is_clean,
        texts,
        columns: Vec::new(),
    };
    Found {
        skeleton,
        keys,
        n: 0,
    }
}

/// Moves the skeletons that are worth it to the head, the frequent ones first, and gives
/// them columns. Returns their new numbers, 0 for the others.
fn keep(mut found: Vec<Found>, rows: usize, head: &mut Head) -> Vec<u32> {
    let mut numbers = vec![0; found.len()];
    let mut order: Vec<usize> = (1..found.len()).collect();
    order.sort_by_key(|&number| std::cmp::Reverse(found[number].n));
    order.insert(0, 0);
    let mut columns: HashMap<ColumnKey, u32, FixedState> = HashMap::default();
    for old in order {
        let Found { skeleton, keys, n } = &mut found[old];
        let least = match skeleton.kind {
            None => 0,
            Some(Kind::Plain) => 32.max(rows / 1024),
            Some(_) => 1 + rows / 8192,
        };
        let full =
            head.skeletons.len() >= MAX_SKELETONS || columns.len() + keys.len() > MAX_COLUMNS / 2;
        if *n < least || full {
            continue;
        }
        let mut skeleton = std::mem::replace(
            skeleton,
            Skeleton {
                kind: None,
                is_clean: false,
                texts: Texts::default(),
                columns: Vec::new(),
            },
        );
        for key in keys.drain(..) {
            let next = columns.len() as u32;
            let column = *columns.entry(key.clone()).or_insert(next);
            if column == next {
                head.columns.push((key, Place::default()));
            }
            skeleton.columns.push(column);
        }
        numbers[old] = head.skeletons.len() as u32;
        head.skeletons.push(skeleton);
    }
    numbers
}

fn seal_metadata(
    rows: &Rows,
    order: &[Row],
    times: &[i64],
    head: &mut Head,
    (deflater, maker): (&mut Deflater, &mut FilterMaker),
    (group, filters): Out<'_>,
) {
    let mut shapes: HashMap<Vec<u32>, u32, FixedState> = HashMap::default();
    let mut columns = vec![u32::MAX; rows.names.len()];
    let mut codes = Vec::with_capacity(order.len());
    let mut shape = Vec::new();
    for &row in order {
        shape.clear();
        for pair in rows.pairs(row) {
            let column = &mut columns[pair.name as usize];
            if *column == u32::MAX {
                *column = head.columns.len() as u32;
                let key = ColumnKey {
                    origin: Origin::Metadata,
                    form: Form::Bare,
                    nth: 0,
                    name: rows.names[pair.name as usize].clone(),
                };
                head.columns.push((key, Place::default()));
            }
            shape.push(*column);
        }
        let number = match shapes.get(&shape) {
            Some(&number) => number,
            None => {
                let number = head.shapes.len() as u32;
                shapes.insert(shape.clone(), number);
                head.shapes.push(shape.clone());
                number
            }
        };
        codes.push(u64::from(number));
    }
    let mut bytes = Vec::new();
    encode_codes(&codes, &head.page_ends, &mut bytes);
    head.shape_codes = Place::append(&bytes, group);

    let (mut of_column, mut times_of_column, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for (name, &column) in columns.iter().enumerate() {
        if column == u32::MAX {
            continue;
        }
        of_column.clear();
        times_of_column.clear();
        ends.clear();
        let mut start = 0;
        for &end in &head.page_ends {
            for row in start..end {
                let mut pairs = rows.pairs(order[row]).iter();
                if let Some(&pair) = pairs.find(|pair| pair.name as usize == name) {
                    of_column.push(rows.value(pair).as_bytes());
                    times_of_column.push(times[row]);
                }
            }
            ends.push(of_column.len());
            start = end;
        }
        bytes.clear();
        column::encode(
            &of_column,
            &times_of_column,
            &ends,
            (&mut *deflater, &mut *maker),
            &mut bytes,
            filters,
        );
        head.columns[column as usize].1 = Place::append(&bytes, group);
    }
}
