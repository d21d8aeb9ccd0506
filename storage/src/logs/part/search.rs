//! Which rows of a page have lines that contain a text, found without building the lines.
//!
//! A text is in a line in one of three ways: it is in a text of the skeleton, in a value,
//! or it crosses the border of a value. The first is known for all lines of a skeleton at
//! once. The second is asked of the filters of a column and its pages, of its dictionary, or
//! of all values of a page at once, as they are stored where that is possible. For the third
//! it is known which beginnings or ends of which values are needed, few of which there are;
//! where these do not decide, the line is built.

use super::PartError;
use super::column::PageHead;
use super::digits::Digits;
use super::filter::{Filter, is_word, words};
use super::group::Group;
use super::needle::Needle;
use super::page::{Page, PageColumn};
use super::scan;
use super::skeleton::Skeleton;
use super::texts::Texts;
use super::values::{Encoding, Values};

/// A search in one group.
#[derive(Debug)]
pub struct Search<'n> {
    needle: &'n Needle,
    /// For each skeleton, whether all its lines have the text.
    always: Vec<bool>,
    /// The columns whose values may have it, and how.
    columns: Vec<Asked>,
}

/// What is asked of the values of a column.
#[derive(Debug)]
struct Asked {
    column: u32,
    /// How many skeletons ask.
    skeletons: usize,
    /// What a value begins with, when the text begins in front of it.
    begins: Vec<Border>,
    /// What a value ends with, when the text goes on behind it.
    ends: Vec<Border>,
    /// For each text of the dictionary what it is; none without a dictionary.
    of_dictionary: Vec<Verdict>,
}

/// A part of the text next to the border of a value.
#[derive(Debug, PartialEq, Eq)]
struct Border {
    text: Vec<u8>,
    /// Whether what is on the other side of the value is no part of a word, in all skeletons
    /// that ask for it.
    ends_word: bool,
    /// In how many skeletons the rest of the text is all next to the value.
    whole: usize,
}

/// What a value says of its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// The line has the text.
    Has,
    /// It has not, as far as this value goes.
    Not,
    /// The line is to be built.
    Perhaps,
}

/// The side of a value that a border is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Front,
    Back,
}

impl Needle {
    /// Begins the search in a group.
    ///
    /// # Errors
    /// The group is damaged.
    pub fn search<'n>(&'n self, group: &Group<'_>) -> Result<Search<'n>, PartError> {
        let skeletons = group.skeletons();
        let has = |skeleton: &Skeleton| skeleton.texts.iter().any(|text| self.is_in(text));
        let mut search = Search {
            needle: self,
            always: skeletons.iter().map(has).collect(),
            columns: Vec::new(),
        };
        for (number, skeleton) in skeletons.iter().enumerate() {
            if !search.always[number] {
                search.ask(skeleton);
            }
        }
        let mut columns = std::mem::take(&mut search.columns);
        for mut asked in columns.drain(..) {
            let filter = group.column_filter(asked.column)?;
            if filter.is_some_and(|filter| !asked.may_be_in(self.text(), &filter)) {
                continue;
            }
            let opened = group.column(asked.column)?;
            if opened.has_dictionary {
                let dictionary = opened.dictionary.iter();
                let verdicts = dictionary.map(|value| asked.verdict(self, value));
                asked.of_dictionary = verdicts.collect();
                let is_there = |verdict: &Verdict| *verdict != Verdict::Not;
                if !asked.of_dictionary.iter().any(is_there) {
                    continue;
                }
            }
            search.columns.push(asked);
        }
        Ok(search)
    }
}

impl Search<'_> {
    /// Tells whether no line of the group has the text, as far as that is known already.
    pub fn is_hopeless(&self) -> bool {
        self.columns.is_empty() && !self.always.contains(&true)
    }

    /// Adds what is asked of the values of a skeleton.
    fn ask(&mut self, skeleton: &Skeleton) {
        let (needle, text) = (self.needle, self.needle.text());
        for (slot, &column) in skeleton.columns.iter().enumerate() {
            let (before, behind) = (skeleton.texts.get(slot), skeleton.texts.get(slot + 1));
            let found = self.columns.iter().position(|asked| asked.column == column);
            let at = found.unwrap_or_else(|| {
                self.columns.push(Asked {
                    column,
                    skeletons: 0,
                    begins: Vec::new(),
                    ends: Vec::new(),
                    of_dictionary: Vec::new(),
                });
                self.columns.len() - 1
            });
            let asked = &mut self.columns[at];
            asked.skeletons += 1;
            let is_open = |byte: Option<&u8>| byte.is_some_and(|&byte| is_word(byte));
            // A text between two values that is empty hides where the next one begins.
            let is_last = slot + 1 == skeleton.columns.len();
            let joins = behind.is_empty() && !is_last;
            for k in 1..text.len() {
                if needle.ends(before, &text[..k]) {
                    let ends_word = !joins && !is_open(behind.first());
                    add(&mut asked.begins, &text[k..], ends_word, true);
                }
                let rest = &text[k..];
                let is_whole = needle.begins(behind, rest);
                let goes_on = !is_last
                    && rest.len() > behind.len()
                    && needle.is_same(&rest[..behind.len()], behind);
                if is_whole || goes_on {
                    let ends_word = !before.is_empty() && !is_open(before.last())
                        || slot == 0 && before.is_empty();
                    add(&mut asked.ends, &text[..k], ends_word, is_whole);
                }
            }
        }
    }

    /// Marks the rows of a page whose lines contain the text: `rows` has a flag for each row
    /// of the page; those that are set already stay. Returns whether any is set.
    ///
    /// # Errors
    /// The page is damaged.
    pub fn mark(&self, page: &Page<'_, '_>, rows: &mut [bool]) -> Result<bool, PartError> {
        if self.needle.text().is_empty() {
            rows.fill(true);
            return Ok(!rows.is_empty());
        }
        if self.always.contains(&true) {
            for (row, &skeleton) in rows.iter_mut().zip(page.skeletons()?) {
                *row |= self.always[skeleton as usize];
            }
        }
        let mut doubtful = Vec::new();
        for asked in &self.columns {
            self.mark_column(page, asked, rows, &mut doubtful)?;
        }
        let mut line = Vec::new();
        for row in doubtful {
            if !rows[row] {
                line.clear();
                page.line(row, &mut line)?;
                rows[row] = self.needle.is_in(&line);
            }
        }
        Ok(rows.contains(&true))
    }

    fn mark_column(
        &self,
        page: &Page<'_, '_>,
        asked: &Asked,
        rows: &mut [bool],
        doubtful: &mut Vec<usize>,
    ) -> Result<(), PartError> {
        let opened = page.group().column(asked.column)?;
        let head = &opened.pages()[page.number()];
        if head.n == 0 {
            return Ok(());
        }
        let mut found: Vec<(usize, Verdict)> = Vec::new();
        let bytes = opened.bytes_of(page.number());
        let digits = Digits::of(head.encoding, head.n, bytes);
        let digits = digits.map_err(|error| page.group().corrupt_column(asked.column, error))?;
        if let Some(digits) = digits {
            self.find_in_digits(asked, &digits, &mut found);
        } else if head.encoding == Encoding::Codes {
            self.find_codes(page, asked, head, &mut found)?;
        } else if self.may_be_in(page, asked, head, bytes)? {
            self.find_in_values(page, asked, head, &mut found)?;
        }
        if found.is_empty() {
            return Ok(());
        }
        // Only now it matters which rows have a value.
        let of_page = page.part(asked.column)?;
        for (index, verdict) in found {
            let row = row_of(of_page, index);
            match verdict {
                Verdict::Has => rows[row] = true,
                Verdict::Perhaps => doubtful.push(row),
                Verdict::Not => {}
            }
        }
        Ok(())
    }

    fn find_codes(
        &self,
        page: &Page<'_, '_>,
        asked: &Asked,
        head: &PageHead,
        found: &mut Vec<(usize, Verdict)>,
    ) -> Result<(), PartError> {
        let codes = head.least.max(0) as usize..=head.most.max(0) as usize;
        let of_page = asked
            .of_dictionary
            .get(codes)
            .unwrap_or(&asked.of_dictionary);
        if of_page.iter().all(|&verdict| verdict == Verdict::Not) {
            return Ok(());
        }
        if let Values::Codes(codes) = &page.part(asked.column)?.values {
            for (index, &code) in codes.iter().enumerate() {
                match asked.of_dictionary.get(code as usize) {
                    None | Some(Verdict::Not) => {}
                    Some(&verdict) => found.push((index, verdict)),
                }
            }
        }
        Ok(())
    }

    fn find_in_digits(
        &self,
        asked: &Asked,
        digits: &Digits<'_>,
        found: &mut Vec<(usize, Verdict)>,
    ) {
        let needle = self.needle;
        digits.each_with(needle, needle.text(), &mut |index| {
            found.push((index, Verdict::Has));
        });
        let len = digits.value_len();
        for (side, border) in asked.borders() {
            let text = &border.text[..];
            // A value that is shorter is a part of what is needed.
            let (start, part) = match (side, len.checked_sub(text.len())) {
                (Side::Front, Some(_)) => (0, text),
                (Side::Front, None) => (0, &text[..len]),
                (Side::Back, Some(start)) => (start, text),
                (Side::Back, None) => (0, &text[text.len() - len..]),
            };
            let verdict = match border.whole == asked.skeletons && text.len() <= len {
                true => Verdict::Has,
                false => Verdict::Perhaps,
            };
            digits.each_at(needle, start, part, &mut |index| {
                found.push((index, verdict));
            });
        }
    }

    fn find_in_values(
        &self,
        page: &Page<'_, '_>,
        asked: &Asked,
        head: &PageHead,
        found: &mut Vec<(usize, Verdict)>,
    ) -> Result<(), PartError> {
        let of_page = page.part(asked.column)?;
        let mut written = Texts::default();
        let texts = match &of_page.values {
            Values::Texts(texts) => texts,
            values => {
                let times = page.times()?;
                let time = |index: usize| times[row_of(of_page, index)];
                scan::write_all(values, head.n, time, &mut written);
                &written
            }
        };
        let len = self.needle.text().len();
        let (mut at, mut index) = (0, 0);
        while let Some(position) = self.needle.find(&texts.bytes()[at..]) {
            let position = at + position;
            // Hits come in order.
            index += (index..texts.len())
                .take_while(|&i| texts.start(i + 1) <= position)
                .count();
            let end = texts.start(index + 1);
            if position + len <= end {
                found.push((index, Verdict::Has));
                at = end;
            } else {
                at = position + 1;
            }
        }
        if !asked.is_inner() {
            for (index, value) in texts.iter().enumerate() {
                match asked.border_verdict(self.needle, value) {
                    Verdict::Not => {}
                    verdict => found.push((index, verdict)),
                }
            }
        }
        Ok(())
    }

    /// Tells whether values of a page may have the text, or the part of it that is asked
    /// for, from what is known without them.
    fn may_be_in(
        &self,
        page: &Page<'_, '_>,
        asked: &Asked,
        head: &PageHead,
        bytes: &[u8],
    ) -> Result<bool, PartError> {
        if !asked.may_be(self.needle.text(), |text| {
            scan::may_write(head, bytes, self.needle, text)
        }) {
            return Ok(false);
        }
        let filter = match head.encoding {
            Encoding::Texts => page.group().page_filter(asked.column, page.number())?,
            _ => None,
        };
        Ok(filter.is_none_or(|filter| asked.may_be_in(self.needle.text(), &filter)))
    }
}

impl Asked {
    /// Tells whether only values are asked for that have the whole text.
    fn is_inner(&self) -> bool {
        self.begins.is_empty() && self.ends.is_empty()
    }

    fn borders(&self) -> impl Iterator<Item = (Side, &Border)> {
        let begins = self.begins.iter().map(|border| (Side::Front, border));
        begins.chain(self.ends.iter().map(|border| (Side::Back, border)))
    }

    /// Says what a value tells of its line, in whatever skeleton.
    fn verdict(&self, needle: &Needle, value: &[u8]) -> Verdict {
        match needle.is_in(value) {
            true => Verdict::Has,
            false => self.border_verdict(needle, value),
        }
    }

    fn border_verdict(&self, needle: &Needle, value: &[u8]) -> Verdict {
        let mut verdict = Verdict::Not;
        for (side, border) in self.borders() {
            let text = &border.text[..];
            let (is_whole, is_part) = match side {
                Side::Front => (
                    needle.begins(value, text),
                    value.len() < text.len() && needle.is_same(&text[..value.len()], value),
                ),
                Side::Back => (
                    needle.ends(value, text),
                    value.len() < text.len()
                        && needle.is_same(&text[text.len() - value.len()..], value),
                ),
            };
            if is_whole && border.whole == self.skeletons {
                return Verdict::Has;
            }
            if is_whole || is_part {
                verdict = Verdict::Perhaps;
            }
        }
        verdict
    }

    /// Tells whether values that a filter is of may have the text, or what is asked of it.
    fn may_be_in(&self, text: &[u8], filter: &Filter<'_>) -> bool {
        self.may_be(text, |text| filter.may_contain(text))
    }

    /// Tells whether values may have the text, or what is asked of it; `may` tells of a text
    /// whether a value may contain it.
    fn may_be(&self, text: &[u8], may: impl Fn(&[u8]) -> bool) -> bool {
        may(text)
            || self.borders().any(|(side, border)| {
                let word = match side {
                    Side::Front => words(&border.text).next(),
                    Side::Back => words(&border.text).last(),
                };
                match word {
                    // The value ends before the text does, or there is a whole word of it
                    // here.
                    Some(word) if border.ends_word => {
                        let is_next = match side {
                            Side::Front => border.text.starts_with(word),
                            Side::Back => border.text.ends_with(word),
                        };
                        !is_next || may(word)
                    }
                    _ => true,
                }
            })
    }
}

fn add(borders: &mut Vec<Border>, text: &[u8], ends_word: bool, is_whole: bool) {
    match borders.iter_mut().find(|border| border.text == text) {
        Some(border) => {
            border.ends_word &= ends_word;
            border.whole += usize::from(is_whole);
        }
        None => borders.push(Border {
            text: text.to_vec(),
            ends_word,
            whole: usize::from(is_whole),
        }),
    }
}

/// Returns which row of the page a value is of.
fn row_of(column: &PageColumn, index: usize) -> usize {
    match &column.rows {
        None => index,
        Some(rows) => rows.get(index).map_or(0, |&row| row as usize),
    }
}
