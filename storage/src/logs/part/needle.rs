//! Which rows of a page have lines that contain a text, found without building the lines.
//!
//! A text is in a line in one of three ways: it is in a text of the skeleton, in a value,
//! or it crosses the border of a value. The first is known for all lines of a skeleton at
//! once. The second is asked of the filters of a page, the dictionary of a column, or of all
//! values of a page at once. For the third it is known which beginnings or ends of which
//! values are needed, few of which there are; where these do not decide, the line is built.

use memchr::memmem::Finder;

use super::PartError;
use super::column::PageHead;
use super::filter::{Filter, is_word, words};
use super::group::Group;
use super::page::{Page, PageColumn};
use super::skeleton::Skeleton;
use super::values::{Encoding, Values};

/// A text that is searched for in many groups.
#[derive(Debug, Clone)]
pub struct Needle {
    finder: Finder<'static>,
}

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
        for asked in &mut search.columns {
            let dictionary = group.dictionary(asked.column)?;
            let verdicts = dictionary.iter().map(|value| self.verdict(asked, value));
            asked.of_dictionary = verdicts.collect();
        }
        Ok(search)
    }

    /// Says what a value tells of its line, in whatever skeleton.
    fn verdict(&self, asked: &Asked, value: &[u8]) -> Verdict {
        if self.is_in(value) {
            return Verdict::Has;
        }
        let begins =
            |border: &Border| value.starts_with(&border.text) || border.text.starts_with(value);
        let ends = |border: &Border| value.ends_with(&border.text) || border.text.ends_with(value);
        if asked.begins.iter().any(begins) || asked.ends.iter().any(ends) {
            return Verdict::Perhaps;
        }
        Verdict::Not
    }
}

impl Search<'_> {
    /// Adds what is asked of the values of a skeleton.
    fn ask(&mut self, skeleton: &Skeleton) {
        let text = self.needle.text();
        for (slot, &column) in skeleton.columns.iter().enumerate() {
            let (before, behind) = (skeleton.texts.get(slot), skeleton.texts.get(slot + 1));
            let found = self.columns.iter().position(|asked| asked.column == column);
            let at = found.unwrap_or_else(|| {
                self.columns.push(Asked {
                    column,
                    begins: Vec::new(),
                    ends: Vec::new(),
                    of_dictionary: Vec::new(),
                });
                self.columns.len() - 1
            });
            let asked = &mut self.columns[at];
            let is_open = |byte: Option<&u8>| byte.is_some_and(|&byte| is_word(byte));
            // A text between two values that is empty hides where the next one begins.
            let is_last = slot + 1 == skeleton.columns.len();
            let joins = behind.is_empty() && !is_last;
            for k in 1..text.len() {
                if before.ends_with(&text[..k]) {
                    let ends_word = !joins && !is_open(behind.first());
                    add(&mut asked.begins, &text[k..], ends_word);
                }
                let rest = &text[k..];
                let goes_on = !is_last && rest.starts_with(behind);
                if behind.starts_with(rest) || goes_on {
                    let ends_word = !before.is_empty() && !is_open(before.last())
                        || slot == 0 && before.is_empty();
                    add(&mut asked.ends, &text[..k], ends_word);
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
        let mut decide = |row: usize, verdict: Verdict| match verdict {
            Verdict::Has => rows[row] = true,
            Verdict::Perhaps => doubtful.push(row),
            Verdict::Not => {}
        };
        if head.encoding == Encoding::Codes {
            let codes = head.least.max(0) as usize..=head.most.max(0) as usize;
            let of_page = asked
                .of_dictionary
                .get(codes)
                .unwrap_or(&asked.of_dictionary);
            if of_page.iter().all(|&verdict| verdict == Verdict::Not) {
                return Ok(());
            }
            let found = page.part(asked.column)?;
            if let Values::Codes(codes) = &found.values {
                for (index, &code) in codes.iter().enumerate() {
                    let verdict = asked.of_dictionary.get(code as usize);
                    decide(
                        row_of(found, index),
                        verdict.copied().unwrap_or(Verdict::Not),
                    );
                }
            }
            return Ok(());
        }
        if !self.may_be_in(page, asked, head)? {
            return Ok(());
        }
        let found = page.part(asked.column)?;
        if let (Values::Texts(texts), true) = (&found.values, asked.is_inner()) {
            let finder = &self.needle.finder;
            let mut at = 0;
            while let Some(position) = finder.find(&texts.bytes()[at..]) {
                let index = texts.at(at + position);
                let end = texts.start(index + 1);
                if at + position + finder.needle().len() <= end {
                    decide(row_of(found, index), Verdict::Has);
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
            let row = row_of(found, index);
            value.clear();
            found
                .values
                .write(index, &opened.dictionary, times[row], &mut value);
            decide(row, self.needle.verdict(asked, &value));
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
    ) -> Result<bool, PartError> {
        let group = page.group();
        let filter = match head.encoding {
            Encoding::Texts | Encoding::Hex | Encoding::Uuid => {
                group.filters(asked.column)?.get(page.number()).copied()
            }
            _ => None,
        };
        let constants = group.column(asked.column)?.constants(page.number());
        let may = |text: &[u8]| {
            filter.is_none_or(|filter| filter.may_contain(text))
                && may_write(head.encoding, constants, text)
        };
        if may(self.needle.text()) {
            return Ok(true);
        }
        let begins = |border: &Border| match words(&border.text).next() {
            // The value ends before the text does, or there is a whole word of it here.
            Some(word) if border.ends_word && border.text.starts_with(word) => {
                word_may(filter, head.encoding, constants, word)
            }
            _ => true,
        };
        let ends = |border: &Border| match words(&border.text).last() {
            Some(word) if border.ends_word && border.text.ends_with(word) => {
                word_may(filter, head.encoding, constants, word)
            }
            _ => true,
        };
        Ok(asked.begins.iter().any(begins) || asked.ends.iter().any(ends))
    }
}

impl Asked {
    /// Tells whether only values are asked for that have the whole text.
    fn is_inner(&self) -> bool {
        self.begins.is_empty() && self.ends.is_empty()
    }
}

fn word_may(filter: Option<Filter<'_>>, encoding: Encoding, constants: &[u8], word: &[u8]) -> bool {
    filter.is_none_or(|filter| filter.may_contain(word)) && may_write(encoding, constants, word)
}

fn add(borders: &mut Vec<Border>, text: &[u8], ends_word: bool) {
    match borders.iter_mut().find(|border| border.text == text) {
        Some(border) => {
            border.ends_word &= ends_word;
        }
        None => borders.push(Border {
            text: text.to_vec(),
            ends_word,
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

/// Tells whether values of an encoding may have a text in them, from its bytes alone;
/// `constants` are the texts that all values have.
fn may_write(encoding: Encoding, constants: &[u8], text: &[u8]) -> bool {
    let all = |allowed: &dyn Fn(u8) -> bool| text.iter().all(|&byte| allowed(byte));
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    match encoding {
        Encoding::Numbers => all(&|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-')),
        Encoding::Uuid => text.len() <= 36 && all(&|byte| is_hex(byte) || byte == b'-'),
        Encoding::Moments => {
            text.len() <= 35
                && all(&|b| {
                    b.is_ascii_digit()
                        || b"-:T.Z+,/ JanFebMarAprMayJunJulAugSepOctNovDec_".contains(&b)
                        || !is_word(b)
                })
        }
        Encoding::Hex => all(&|byte| is_hex(byte) || constants.contains(&byte)),
        Encoding::Patterns => {
            let is_there = |part: &&[u8]| memchr::memmem::find(constants, part).is_some();
            let mut parts = text
                .split(u8::is_ascii_digit)
                .filter(|part| !part.is_empty());
            parts.all(|part| is_there(&part))
        }
        Encoding::Codes | Encoding::Texts => true,
    }
}
