//! Which rows of a page have lines that contain a text, found without building the lines.
//!
//! A text is in a line in one of three ways: it is in a text of the skeleton, in a value,
//! or it crosses the border of a value. The first is known for all lines of a skeleton at
//! once. The second is asked of the filters of a column and its pages, of its dictionary, or
//! of all values of a page at once, as they are stored where that is possible. For the third
//! it is known which beginnings or ends of which values are needed, few of which there are;
//! where these do not decide, so much of the line is written as the text takes.

use super::PartError;
use super::column::PageHead;
use super::digits::Digits;
use super::form::{Form, Spot};
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
    /// The text that lines need, where `needle` is only the start of it.
    whole: Option<&'n Needle>,
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
    /// What a value begins with, when the text begins in front of it and ends in it.
    begins: Vec<Border>,
    /// What a value ends with, when the text begins in it and goes on behind it.
    ends: Vec<Border>,
    /// What a value is, when the text begins in front of it and goes on behind it.
    equals: Vec<Border>,
    /// For each text of the dictionary what it is; none without a dictionary.
    of_dictionary: Vec<Verdict>,
}

/// A part of the text next to the border of a value.
#[derive(Debug, PartialEq, Eq)]
struct Border {
    text: Vec<u8>,
    /// In how many skeletons the rest of the text is all next to the value.
    sure: usize,
}

/// What a value says of its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// The line has the text.
    Has,
    /// It has not, as far as this value goes.
    Not,
    /// More of the line is to be looked at.
    Perhaps,
}

impl Needle {
    /// Begins the search in a group.
    ///
    /// # Errors
    /// The group is damaged.
    pub fn search<'n>(&'n self, group: &Group<'_>) -> Result<Search<'n>, PartError> {
        if let Some(start) = self.start() {
            let search = start.search(group)?;
            return Ok(Search {
                whole: Some(self),
                ..search
            });
        }
        let skeletons = group.skeletons();
        let has = |skeleton: &Skeleton| skeleton.texts.iter().any(|text| self.is_in(text));
        let mut search = Search {
            needle: self,
            whole: None,
            always: skeletons.iter().map(has).collect(),
            columns: Vec::new(),
        };
        let mut places = vec![None; group.n_columns()];
        for (number, skeleton) in skeletons.iter().enumerate() {
            if !search.always[number] {
                search.ask(skeleton, &mut places);
            }
        }
        let mut columns = std::mem::take(&mut search.columns);
        for mut asked in columns.drain(..) {
            let filter = group.column_filter(asked.column)?;
            let may = |text: &[u8]| filter.is_none_or(|filter| filter.may_contain(text));
            if !asked.may_be_in(self, may) {
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

    /// Adds what is asked of the values of a skeleton. `places` says where each column is
    /// among those that are asked.
    fn ask(&mut self, skeleton: &Skeleton, places: &mut [Option<usize>]) {
        let (needle, text) = (self.needle, self.needle.text());
        for (slot, &column) in skeleton.columns.iter().enumerate() {
            let (before, behind) = (skeleton.texts.get(slot), skeleton.texts.get(slot + 1));
            // The head of a group names no column that is not there.
            let Some(place) = places.get_mut(column as usize) else {
                continue;
            };
            let at = *place.get_or_insert_with(|| {
                self.columns.push(Asked {
                    column,
                    skeletons: 0,
                    begins: Vec::new(),
                    ends: Vec::new(),
                    equals: Vec::new(),
                    of_dictionary: Vec::new(),
                });
                self.columns.len() - 1
            });
            let asked = &mut self.columns[at];
            asked.skeletons += 1;
            let is_last = slot + 1 == skeleton.columns.len();
            // Whether the rest of the text is next to the value, and whether it may be there
            // together with the values that follow.
            let next = |rest: &[u8]| {
                if !meet(behind.first(), rest.first()) {
                    return None;
                }
                let goes_on = !is_last
                    && rest.len() > behind.len()
                    && needle.is_same(&rest[..behind.len()], behind);
                let is_next = needle.begins(behind, rest);
                (is_next || goes_on).then_some(is_next)
            };
            for k in 1..text.len() {
                let (start, rest) = text.split_at(k);
                if let Some(sure) = next(rest) {
                    add(&mut asked.ends, start, sure);
                }
                if !meet(before.last(), start.last()) || !needle.ends(before, start) {
                    continue;
                }
                add(&mut asked.begins, rest, true);
                for j in 0..rest.len() {
                    let (value, rest) = rest.split_at(j);
                    if let Some(sure) = next(rest) {
                        add(&mut asked.equals, value, sure);
                    }
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
        let Some(whole) = self.whole else {
            return self.mark_needle(page, rows);
        };
        let mut with_start = vec![false; rows.len()];
        self.mark_needle(page, &mut with_start)?;
        let mut line = Vec::new();
        for (row, has_start) in with_start.into_iter().enumerate() {
            if has_start && !rows[row] {
                line.clear();
                page.line(row, &mut line)?;
                rows[row] = whole.is_in(&line);
            }
        }
        Ok(rows.contains(&true))
    }

    fn mark_needle(&self, page: &Page<'_, '_>, rows: &mut [bool]) -> Result<bool, PartError> {
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
        let mut part = Vec::new();
        for (row, column) in doubtful {
            if !rows[row] {
                part.clear();
                self.write_around(page, row, column, &mut part)?;
                rows[row] = self.needle.is_in(&part);
            }
        }
        Ok(rows.contains(&true))
    }

    /// Writes the part of a line where the text may begin in the value of a column, or in
    /// front of it and behind the value before.
    fn write_around(
        &self,
        page: &Page<'_, '_>,
        row: usize,
        column: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), PartError> {
        let group = page.group();
        let skeleton = &group.skeletons()[page.skeletons()?[row] as usize];
        let t_ns = page.times()?[row];
        let slot = skeleton.columns.iter().position(|&other| other == column);
        let slot = slot.unwrap_or(0);
        out.extend_from_slice(skeleton.texts.get(slot));
        let mut behind = 0;
        for (i, &column) in skeleton.columns.iter().enumerate().skip(slot) {
            let of_page = page.part(column)?;
            let index = of_page.index(row).unwrap_or(usize::MAX);
            let values = &of_page.values;
            values.write(index, group.dictionary(column)?, t_ns, out);
            if i == slot {
                behind = out.len();
            }
            out.extend_from_slice(skeleton.texts.get(i + 1));
            if out.len() - behind >= self.needle.text().len() {
                break;
            }
        }
        Ok(())
    }

    fn mark_column(
        &self,
        page: &Page<'_, '_>,
        asked: &Asked,
        rows: &mut [bool],
        doubtful: &mut Vec<(usize, u32)>,
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
        } else if !self.may_be_in(page, asked, head, bytes)? {
            return Ok(());
        } else if let Some(form) = Form::of(head, bytes) {
            self.find_in_runs(page, asked, head, &form, &mut found)?;
        } else {
            self.find_in_texts(page, asked, head, &mut found)?;
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
                Verdict::Perhaps => doubtful.push((row, asked.column)),
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
        let len = digits.value_len();
        for (text, spot, verdict) in asked.questions(self.needle) {
            let hit = &mut |index| found.push((index, verdict));
            let start = match spot {
                Spot::Anywhere => {
                    digits.each_with(self.needle, text, hit);
                    continue;
                }
                Spot::Start => Some(0),
                Spot::End => len.checked_sub(text.len()),
                Spot::Whole => (text.len() == len).then_some(0),
            };
            if let Some(start) = start {
                digits.each_at(self.needle, start, text, hit);
            }
        }
    }

    fn find_in_runs(
        &self,
        page: &Page<'_, '_>,
        asked: &Asked,
        head: &PageHead,
        form: &Form,
        found: &mut Vec<(usize, Verdict)>,
    ) -> Result<(), PartError> {
        for (text, spot, verdict) in asked.questions(self.needle) {
            let fits = form.fits(self.needle, text, spot);
            if fits.is_empty() {
                continue;
            }
            let of_page = page.part(asked.column)?;
            let times = match head.encoding {
                Encoding::Moments => page.times()?,
                _ => &[],
            };
            let time = |index: usize| times.get(row_of(of_page, index)).copied().unwrap_or(0);
            let hit = &mut |index| found.push((index, verdict));
            form.each(&of_page.values, head.n, &fits, time, hit);
        }
        Ok(())
    }

    fn find_in_texts(
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

    /// Tells whether values of a page may have the text, or a part of it that is asked for,
    /// from what is known without them.
    fn may_be_in(
        &self,
        page: &Page<'_, '_>,
        asked: &Asked,
        head: &PageHead,
        bytes: &[u8],
    ) -> Result<bool, PartError> {
        let filter = match head.encoding {
            Encoding::Texts => page.group().page_filter(asked.column, page.number())?,
            _ => None,
        };
        Ok(asked.may_be_in(self.needle, |text| {
            scan::may_write(head, bytes, text)
                && filter.is_none_or(|filter| filter.may_contain(text))
        }))
    }
}

impl Asked {
    /// Tells whether only values are asked for that have the whole text.
    fn is_inner(&self) -> bool {
        self.begins.is_empty() && self.ends.is_empty() && self.equals.is_empty()
    }

    /// Returns what is asked at the borders, and where.
    fn borders(&self) -> impl Iterator<Item = (&[u8], Spot, Verdict)> {
        let kinds = [
            (&self.begins, Spot::Start),
            (&self.ends, Spot::End),
            (&self.equals, Spot::Whole),
        ];
        kinds.into_iter().flat_map(move |(borders, spot)| {
            borders.iter().map(move |border| {
                let verdict = match border.sure == self.skeletons {
                    true => Verdict::Has,
                    false => Verdict::Perhaps,
                };
                (&border.text[..], spot, verdict)
            })
        })
    }

    /// Returns all that is asked, and where.
    fn questions<'a>(
        &'a self,
        needle: &'a Needle,
    ) -> impl Iterator<Item = (&'a [u8], Spot, Verdict)> {
        let whole = (needle.text(), Spot::Anywhere, Verdict::Has);
        std::iter::once(whole).chain(self.borders())
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
        for (text, spot, of_border) in self.borders() {
            let is_there = match spot {
                Spot::Start => needle.begins(value, text),
                Spot::End => needle.ends(value, text),
                Spot::Whole | Spot::Anywhere => needle.is_same(text, value),
            };
            if is_there && of_border == Verdict::Has {
                return Verdict::Has;
            }
            if is_there {
                verdict = Verdict::Perhaps;
            }
        }
        verdict
    }

    /// Tells whether values may have the text, or a part that is asked for; `may` tells of a
    /// text whether a value may contain it.
    fn may_be_in(&self, needle: &Needle, may: impl Fn(&[u8]) -> bool) -> bool {
        self.questions(needle).any(|(text, ..)| may(text))
    }
}

/// Tells whether two bytes may be one in some case, or one of them is not there: most texts
/// are told apart by one byte.
fn meet(one: Option<&u8>, other: Option<&u8>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        _ => true,
    }
}

fn add(borders: &mut Vec<Border>, text: &[u8], sure: bool) {
    match borders.iter_mut().find(|border| border.text == text) {
        Some(border) => border.sure += usize::from(sure),
        None => borders.push(Border {
            text: text.to_vec(),
            sure: usize::from(sure),
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
