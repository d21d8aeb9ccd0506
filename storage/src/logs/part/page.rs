//! A page of a row group that is being read.

use std::cell::OnceCell;
use std::ops::Range;

use smallvec::SmallVec;

use super::PartError;
use super::group::Group;
use super::values::Values;

/// A page, which decodes what it is asked for and keeps it.
#[derive(Debug)]
pub struct Page<'g, 'p> {
    group: &'g Group<'p>,
    number: usize,
    rows: Range<usize>,
    times: OnceCell<Vec<i64>>,
    skeletons: OnceCell<Vec<u64>>,
    shapes: OnceCell<Vec<u64>>,
    of_skeletons: OnceCell<OfKinds>,
    of_shapes: OnceCell<OfKinds>,
    /// Boxed: of many columns few are read.
    columns: Vec<OnceCell<Box<PageColumn>>>,
    line_lens: OnceCell<Vec<u32>>,
}

/// The values of a column, and which rows of the page they are of.
#[derive(Debug)]
pub struct PageColumn {
    /// The values.
    pub values: Values,
    /// For each value its row in the page; `None` where each row has one.
    pub rows: Option<Vec<u32>>,
}

impl PageColumn {
    /// Returns which value a row of the page has.
    pub fn index(&self, row: usize) -> Option<usize> {
        match &self.rows {
            None => Some(row),
            Some(rows) => rows.binary_search(&(row as u32)).ok(),
        }
    }
}

/// The rows of a page by their kind, which is a skeleton or a set of metadata names.
#[derive(Debug)]
struct OfKinds {
    rows: Vec<u32>,
    /// Where those of each kind end in `rows`.
    ends: Vec<usize>,
}

impl OfKinds {
    /// Sorts rows by their kinds, which are less than `n_kinds`.
    fn new(kinds: &[u64], n_kinds: usize) -> OfKinds {
        let mut ends = vec![0; n_kinds];
        kinds.iter().for_each(|&kind| ends[kind as usize] += 1);
        let mut sum = 0;
        for end in &mut ends {
            // For now where they start; each row moves it on.
            sum += std::mem::replace(end, sum);
        }
        let mut rows = vec![0; kinds.len()];
        for (row, &kind) in kinds.iter().enumerate() {
            let at = &mut ends[kind as usize];
            rows[*at] = row as u32;
            *at += 1;
        }
        OfKinds { rows, ends }
    }

    /// Returns the rows of a kind, in order.
    fn of(&self, kind: u32) -> &[u32] {
        let kind = kind as usize;
        let start = kind.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.rows[start..self.ends[kind]]
    }
}

/// Kinds of a group from which it pays to sort the rows of a page by them.
const MANY_KINDS: usize = 8;

/// Most kinds with a column whose rows are put together kind by kind.
const FEW_KINDS: usize = 4;

/// Such rows of several kinds are one in so many of a page at most: to sort more costs more
/// than to look at all.
const FEW_ROWS: usize = 8;

impl<'g, 'p> Page<'g, 'p> {
    /// Begins with a page of a group.
    pub fn new(group: &'g Group<'p>, number: usize) -> Page<'g, 'p> {
        Page {
            group,
            number,
            rows: group.page_rows(number),
            times: OnceCell::new(),
            skeletons: OnceCell::new(),
            shapes: OnceCell::new(),
            of_skeletons: OnceCell::new(),
            of_shapes: OnceCell::new(),
            columns: (0..group.n_columns()).map(|_| OnceCell::new()).collect(),
            line_lens: OnceCell::new(),
        }
    }

    /// Returns the group that it is of.
    pub fn group(&self) -> &'g Group<'p> {
        self.group
    }

    /// Returns the number of the page in its group.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Returns its rows, counted in the group.
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// Returns the times of the rows.
    ///
    /// # Errors
    /// They are damaged.
    pub fn times(&self) -> Result<&[i64], PartError> {
        if let Some(times) = self.times.get() {
            return Ok(times);
        }
        let mut times = Vec::new();
        self.group.times(self.number, &mut times)?;
        Ok(self.times.get_or_init(|| times))
    }

    /// Returns the numbers of the skeletons of the rows.
    ///
    /// # Errors
    /// They are damaged.
    pub fn skeletons(&self) -> Result<&[u64], PartError> {
        if let Some(codes) = self.skeletons.get() {
            return Ok(codes);
        }
        let codes = self.group.skeleton_codes(self.number)?;
        Ok(self.skeletons.get_or_init(|| codes))
    }

    /// Returns the numbers of the sets of metadata names of the rows.
    ///
    /// # Errors
    /// They are damaged.
    pub fn shapes(&self) -> Result<&[u64], PartError> {
        if let Some(codes) = self.shapes.get() {
            return Ok(codes);
        }
        let codes = self.group.shape_codes(self.number)?;
        Ok(self.shapes.get_or_init(|| codes))
    }

    /// Returns the values of a column of lines.
    ///
    /// # Errors
    /// They are damaged.
    pub fn part(&self, column: u32) -> Result<&PageColumn, PartError> {
        let n = self.group.skeletons().len();
        let with = self.group.skeletons_with(column);
        self.values(column, (n, with), &self.of_skeletons, Page::skeletons)
    }

    /// Returns the values of a column of structured metadata.
    ///
    /// # Errors
    /// They are damaged.
    pub fn metadata(&self, column: u32) -> Result<&PageColumn, PartError> {
        let n = self.group.shapes().len();
        let with = self.group.shapes_with(column);
        self.values(column, (n, with), &self.of_shapes, Page::shapes)
    }

    fn values(
        &self,
        column: u32,
        (n_kinds, with): (usize, &[u32]),
        of_kinds: &OnceCell<OfKinds>,
        kinds: impl Fn(&Self) -> Result<&[u64], PartError>,
    ) -> Result<&PageColumn, PartError> {
        let cell = self.columns.get(column as usize);
        if let Some(found) = cell.and_then(OnceCell::get) {
            return Ok(found);
        }
        let mut rows = Vec::new();
        let mut n = self.rows.len();
        // Where all kinds have it there is no need to know which one a row is of.
        if with.len() < n_kinds {
            let of_rows = kinds(self)?;
            let found = (n_kinds >= MANY_KINDS && with.len() <= FEW_KINDS)
                .then(|| of_kinds.get_or_init(|| OfKinds::new(of_rows, n_kinds)))
                .map(|of_kinds| with.iter().map(|&kind| of_kinds.of(kind)));
            let few = found.filter(|found| {
                let n: usize = found.clone().map(<[u32]>::len).sum();
                with.len() == 1 || n <= self.rows.len() / FEW_ROWS
            });
            if let Some(few) = few {
                few.for_each(|of_kind| rows.extend_from_slice(of_kind));
                if with.len() > 1 {
                    rows.sort_unstable();
                }
            } else {
                let mut has = vec![false; n_kinds];
                with.iter().for_each(|&kind| has[kind as usize] = true);
                let of_rows = of_rows.iter().enumerate();
                let with = of_rows.filter(|&(_, &kind)| has[kind as usize]);
                rows.extend(with.map(|(row, _)| row as u32));
            }
            n = rows.len();
        }
        let rows = (n < self.rows.len()).then_some(rows);
        let values = self.group.values(column, self.number, n)?;
        let found = Box::new(PageColumn { values, rows });
        match cell {
            Some(cell) => Ok(cell.get_or_init(|| found)),
            None => Err(PartError::Input {
                path: self.group.part().path().to_path_buf(),
                what: format!("a question about column {column}"),
            }),
        }
    }

    /// Appends the line of a row of the page.
    ///
    /// # Errors
    /// It is damaged.
    pub fn line(&self, row: usize, out: &mut Vec<u8>) -> Result<(), PartError> {
        let skeleton = self.skeletons()?[row];
        let skeleton = &self.group.skeletons()[skeleton as usize];
        let t_ns = self.times()?[row];
        out.extend_from_slice(skeleton.texts.get(0));
        for (i, &column) in skeleton.columns.iter().enumerate() {
            let values = self.part(column)?;
            let index = values.index(row).unwrap_or(usize::MAX);
            values
                .values
                .write(index, self.group.dictionary(column)?, t_ns, out);
            out.extend_from_slice(skeleton.texts.get(i + 1));
        }
        Ok(())
    }

    /// Returns how many bytes the lines of the rows have, without building them.
    ///
    /// # Errors
    /// They are damaged.
    pub fn line_lens(&self) -> Result<&[u32], PartError> {
        if let Some(lens) = self.line_lens.get() {
            return Ok(lens);
        }
        let skeletons = self.group.skeletons();
        let around = skeletons.iter().map(|of| of.texts.bytes().len() as u32);
        let around: Vec<u32> = around.collect();
        let codes = self.skeletons()?;
        let mut lens: Vec<u32> = codes.iter().map(|&code| around[code as usize]).collect();
        let mut is_there = vec![false; skeletons.len()];
        codes
            .iter()
            .for_each(|&code| is_there[code as usize] = true);
        let with_rows = skeletons.iter().zip(&is_there).filter(|(_, there)| **there);
        let mut columns: Vec<u32> = with_rows.flat_map(|(of, _)| of.columns.clone()).collect();
        columns.sort_unstable();
        columns.dedup();
        let times = self.times()?;
        for column in columns {
            let found = self.part(column)?;
            let row = |index: usize| match &found.rows {
                None => index,
                Some(rows) => rows.get(index).map_or(usize::MAX, |&row| row as usize),
            };
            let dictionary = self.group.dictionary(column)?;
            found.values.each_len(
                dictionary,
                |index, len| {
                    if let Some(sum) = lens.get_mut(row(index)) {
                        *sum = sum.saturating_add(len as u32);
                    }
                },
                |index| times.get(row(index)).copied().unwrap_or(0),
            );
        }
        Ok(self.line_lens.get_or_init(|| lens))
    }

    /// Appends the values of the structured metadata of a row, and where each ends.
    ///
    /// # Errors
    /// They are damaged.
    pub fn metadata_text(
        &self,
        row: usize,
        text: &mut String,
        ends: &mut Vec<usize>,
    ) -> Result<(), PartError> {
        let t_ns = self.times()?[row];
        let mut value = Vec::new();
        for &column in &self.group.shapes()[self.shapes()?[row] as usize] {
            let values = self.metadata(column)?;
            let index = values.index(row).unwrap_or(usize::MAX);
            value.clear();
            let dictionary = self.group.dictionary(column)?;
            values.values.write(index, dictionary, t_ns, &mut value);
            let checked = std::str::from_utf8(&value);
            let damaged = |_| self.group.damaged(column, "a text of structured metadata");
            text.push_str(checked.map_err(damaged)?);
            ends.push(text.len());
        }
        Ok(())
    }

    /// Returns the names of the structured metadata of a row with the values that
    /// [`Page::metadata_text`] gave; none of a row whose values were not asked for.
    ///
    /// # Errors
    /// They are damaged.
    pub fn pairs<'t>(
        &'t self,
        row: usize,
        text: &'t str,
        ends: &[usize],
    ) -> Result<SmallVec<[(&'t str, &'t str); 8]>, PartError> {
        let mut pairs = SmallVec::new();
        if ends.is_empty() {
            return Ok(pairs);
        }
        let shape = &self.group.shapes()[self.shapes()?[row] as usize];
        let mut start = 0;
        for (&column, &end) in shape.iter().zip(ends) {
            pairs.push((self.group.key(column).name.as_str(), &text[start..end]));
            start = end;
        }
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_their_kind() {
        let of = OfKinds::new(&[2, 0, 2, 3, 0], 5);
        assert_eq!(of.of(0), [1, 4]);
        assert!(of.of(1).is_empty());
        assert_eq!(of.of(2), [0, 2]);
        assert_eq!(of.of(3), [3]);
        assert!(of.of(4).is_empty());
    }
}
