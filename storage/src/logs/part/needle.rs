//! Which rows of a page have lines that contain a text, found without building the lines.
//!
//! A text is in a line in one of three ways: it is in a text of the skeleton, in a value,
//! or it crosses from one to the other. The first is known for all lines of a skeleton at
//! once; the second is asked of the filters of a page, the dictionary of a column, or all
//! values at once; lines of skeletons in which the third is possible are built and searched.

use memchr::memmem::Finder;

use super::PartError;
use super::filter::is_word;
use super::page::Page;
use super::skeleton::Skeleton;
use super::values::{Encoding, Values};

/// A text that is searched for in many pages.
#[derive(Debug, Clone)]
pub struct Needle {
    finder: Finder<'static>,
}

impl Needle {
    /// Returns a search for a text.
    pub fn new(text: &[u8]) -> Needle {
        Needle {
            finder: Finder::new(text).into_owned(),
        }
    }

    /// Returns the text.
    pub fn text(&self) -> &[u8] {
        self.finder.needle()
    }

    /// Tells whether a text contains it.
    pub fn is_in(&self, text: &[u8]) -> bool {
        self.finder.find(text).is_some()
    }

    /// Marks the rows of a page whose lines contain the text: `rows` has a flag for each row
    /// of the page; those that are set already are left alone. Returns whether any is set.
    ///
    /// # Errors
    /// The page is damaged.
    pub fn mark(&self, page: &Page<'_, '_>, rows: &mut [bool]) -> Result<bool, PartError> {
        let group = page.group();
        let text = self.text();
        if text.is_empty() {
            rows.fill(true);
            return Ok(true);
        }
        let ways: Vec<Way> = group.skeletons().iter().map(|s| self.way(s)).collect();
        let mut candidates: Vec<u32> = Vec::new();
        for (number, way) in ways.iter().enumerate() {
            if *way == Way::InValues {
                let columns = &group.skeletons()[number].columns;
                candidates.extend(columns);
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
        for &column in &candidates {
            self.mark_values(page, column, rows)?;
        }
        if ways.iter().any(|way| *way != Way::InValues) {
            let skeletons = page.skeletons()?;
            let mut line = Vec::new();
            for (row, &skeleton) in skeletons.iter().enumerate() {
                match ways[skeleton as usize] {
                    Way::Always => rows[row] = true,
                    Way::Crossing if !rows[row] => {
                        line.clear();
                        page.line(row, &mut line)?;
                        rows[row] = self.is_in(&line);
                    }
                    _ => {}
                }
            }
        }
        Ok(rows.contains(&true))
    }

    /// Returns how lines of a skeleton may contain the text.
    fn way(&self, skeleton: &Skeleton) -> Way {
        let needle = self.text();
        if skeleton.texts.iter().any(|text| self.is_in(text)) {
            return Way::Always;
        }
        let n = skeleton.texts.len();
        for (i, text) in skeleton.texts.iter().enumerate() {
            let ends = (1..needle.len().min(text.len() + 1)).rev();
            let crosses_end = || ends.clone().any(|k| text.ends_with(&needle[..k]));
            let crosses_start = || {
                ends.clone()
                    .any(|k| text.starts_with(&needle[needle.len() - k..]))
            };
            let is_inside = || {
                text.len() + 2 <= needle.len()
                    && needle[1..needle.len() - 1]
                        .windows(text.len().max(1))
                        .any(|w| w == text)
            };
            // A text between two values that is empty hides no border.
            let joins = text.is_empty() && i > 0 && i + 1 < n;
            if (i + 1 < n && crosses_end())
                || (i > 0 && crosses_start())
                || (i > 0 && i + 1 < n && is_inside())
                || joins
            {
                return Way::Crossing;
            }
        }
        Way::InValues
    }

    /// Marks the rows whose value of a column contains the text.
    fn mark_values(
        &self,
        page: &Page<'_, '_>,
        column: u32,
        rows: &mut [bool],
    ) -> Result<(), PartError> {
        let group = page.group();
        let text = self.text();
        if let Some(filter) = group.filters(column)?.get(page.number())
            && !filter.may_contain(text)
            && matches!(
                group.column(column)?.pages()[page.number()].encoding,
                Encoding::Texts | Encoding::Hex | Encoding::Uuid
            )
        {
            return Ok(());
        }
        let opened = group.column(column)?;
        let head = &opened.pages()[page.number()];
        if head.n == 0 || !may_write(head.encoding, text) {
            return Ok(());
        }
        let dictionary = &opened.dictionary;
        if head.encoding == Encoding::Codes {
            let hits: Vec<bool> = dictionary.iter().map(|text| self.is_in(text)).collect();
            if !hits.contains(&true) {
                return Ok(());
            }
            let found = page.part(column)?;
            if let Values::Codes(codes) = &found.values {
                for (index, &code) in codes.iter().enumerate() {
                    if hits.get(code as usize) == Some(&true) {
                        rows[row_of(&found.rows, index)] = true;
                    }
                }
            }
            return Ok(());
        }
        let found = page.part(column)?;
        if let Values::Texts(texts) = &found.values {
            let mut at = 0;
            while let Some(position) = self.finder.find(&texts.bytes()[at..]) {
                let index = texts.at(at + position);
                let end = texts.start(index + 1);
                if at + position + text.len() <= end {
                    rows[row_of(&found.rows, index)] = true;
                    at = end;
                } else {
                    at += position + 1;
                }
            }
            return Ok(());
        }
        let times = page.times()?;
        let mut value = Vec::new();
        for index in 0..head.n {
            let row = row_of(&found.rows, index);
            value.clear();
            found
                .values
                .write(index, dictionary, times[row], &mut value);
            if self.is_in(&value) {
                rows[row] = true;
            }
        }
        Ok(())
    }
}

/// Returns which row of the page a value is of.
fn row_of(rows: &Option<Vec<u32>>, index: usize) -> usize {
    match rows {
        None => index,
        Some(rows) => rows.get(index).map_or(0, |&row| row as usize),
    }
}

/// Tells whether values of an encoding may have a text in them, from its bytes alone.
fn may_write(encoding: Encoding, text: &[u8]) -> bool {
    let all = |allowed: fn(u8) -> bool| text.iter().all(|&byte| allowed(byte));
    match encoding {
        Encoding::Numbers => all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-')),
        Encoding::Uuid => {
            text.len() <= 36 && all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'))
        }
        Encoding::Moments => all(|byte| byte.is_ascii_alphanumeric() || !is_word(byte)),
        _ => true,
    }
}

/// How lines of a skeleton may contain a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// All do.
    Always,
    /// Where one of their values does.
    InValues,
    /// Perhaps also across the border of a value.
    Crossing,
}
