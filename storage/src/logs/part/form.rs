//! Finds texts in values that are texts around runs of digits, without writing them: names
//! with a number in them, numbers, times.
//!
//! A text is in such a value where what is between its own digits is what is around runs
//! that follow each other. So its places are known for all values of a page at once, and
//! what is left is to ask of a few integers which digits they have.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::column::PageHead;
use super::moment::Layout;
use super::needle::Needle;
use super::pattern;
use super::texts::Texts;
use super::values::{Encoding, Values};

/// Most digits of a number.
const MAX_DIGITS: usize = 19;

/// Where in a value a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot {
    Anywhere,
    Start,
    End,
    /// It is the value.
    Whole,
}

/// What all values of a page look like.
#[derive(Debug)]
pub(super) struct Form {
    /// Texts around the runs, one more than these.
    around: Texts,
    /// How many digits a run has, zeros in front; 0 for one without zeros in front.
    widths: SmallVec<[u8; 10]>,
    /// Most digits of a number of a run without a width.
    most: SmallVec<[usize; 10]>,
}

/// What is asked of the number of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct OfRun {
    run: usize,
    digits: u64,
    len: usize,
    /// Whether the number begins with the digits.
    begins: bool,
    /// Whether it ends with them.
    ends: bool,
}

/// A place that a text may have in values: where all of these hold.
pub(super) type Fit = SmallVec<[OfRun; 2]>;

impl Form {
    /// Finds what the values of a page look like; `None` of one with another encoding, or
    /// whose numbers have signs, or some zeros at the end and some not, or whose times have
    /// letters that differ.
    pub(super) fn of(head: &PageHead, bytes: &[u8]) -> Option<Form> {
        let mut form = Form {
            around: Texts::default(),
            widths: SmallVec::new(),
            most: SmallVec::new(),
        };
        match head.encoding {
            Encoding::Patterns => {
                form.around = pattern::around(bytes);
                // Widths stand between the numbers; each is known once these are read.
                form.widths.resize(form.around.len().checked_sub(1)?, 0);
                let most = usize::try_from(head.most).ok().filter(|&most| most > 0);
                let most = most.unwrap_or(MAX_DIGITS);
                form.most.resize(form.widths.len(), most);
            }
            Encoding::Numbers => {
                let &[scale, least, ..] = bytes else {
                    return None;
                };
                let power = 10u64.checked_pow(u32::from(scale))?;
                if head.least < 0 || head.most < head.least || least != scale {
                    return None;
                }
                form.around.push(b"");
                form.widths.push(0);
                let most = head.most.unsigned_abs() / power;
                form.most.push(n_digits(most));
                if scale > 0 {
                    form.around.push(b".");
                    form.widths.push(scale);
                }
                form.around.push(b"");
            }
            Encoding::Moments => {
                let layout = Layout::decode(*bytes.first_chunk()?)?;
                layout.form(
                    |text| form.around.push(text),
                    |width| form.widths.push(width),
                )?;
            }
            _ => return None,
        }
        form.most.resize(form.widths.len(), MAX_DIGITS);
        Some(form)
    }

    /// Finds the places that a text may have. One without conditions is in all values.
    pub(super) fn fits(&self, needle: &Needle, text: &[u8], spot: Spot) -> Vec<Fit> {
        let mut parts: SmallVec<[&[u8]; 8]> = SmallVec::new();
        let mut runs: SmallVec<[&[u8]; 8]> = SmallVec::new();
        pattern::pieces(text, |part| parts.push(part), |run| runs.push(run));
        let at_start = matches!(spot, Spot::Start | Spot::Whole);
        let at_end = matches!(spot, Spot::End | Spot::Whole);
        let n_runs = self.widths.len();
        let (Some(&first), Some(&last)) = (parts.first(), parts.last()) else {
            return Vec::new();
        };
        if runs.is_empty() {
            let is_there = match spot {
                Spot::Start => needle.begins(self.around.get(0), first),
                Spot::End => needle.ends(self.around.get(n_runs), first),
                // Each value has a digit.
                Spot::Whole => false,
                Spot::Anywhere => self.around.iter().any(|around| {
                    let mut windows = around.windows(first.len().max(1));
                    first.is_empty() || windows.any(|window| needle.is_same(first, window))
                }),
            };
            return if is_there {
                vec![Fit::new()]
            } else {
                Vec::new()
            };
        }
        let starts = match n_runs.checked_sub(runs.len()) {
            Some(left) if at_start => 0..usize::from(!at_end || left == 0),
            Some(left) if at_end => left..left + 1,
            Some(left) => 0..left + 1,
            None => 0..0,
        };
        let inner = &parts[1..parts.len() - 1];
        let mut fits = Vec::new();
        for start in starts {
            let (before, behind) = (self.around.get(start), self.around.get(start + runs.len()));
            let between = (start + 1..start + runs.len()).map(|i| self.around.get(i));
            let is_first = match at_start {
                true => needle.is_same(first, before),
                false => needle.ends(before, first),
            };
            let is_last = match at_end {
                true => needle.is_same(last, behind),
                false => needle.begins(behind, last),
            };
            let is_between = inner.iter().zip(between).all(|(a, b)| needle.is_same(a, b));
            if !is_first || !is_last || !is_between {
                continue;
            }
            let asked = runs.iter().enumerate().map(|(i, digits)| {
                let begins = i > 0 || at_start || !first.is_empty();
                let ends = i + 1 < runs.len() || at_end || !last.is_empty();
                self.asked(start + i, digits, begins, ends)
            });
            fits.extend(asked.collect::<Option<Fit>>());
        }
        fits
    }

    /// Returns what is asked of a run; `None` where no number has the digits.
    fn asked(&self, run: usize, digits: &[u8], begins: bool, ends: bool) -> Option<OfRun> {
        let width = usize::from(self.widths[run]);
        let longest = match width {
            0 => self.most[run],
            width => width,
        };
        if digits.len() > longest.min(MAX_DIGITS) || begins && ends && width > digits.len() {
            return None;
        }
        let number = digits.iter().try_fold(0u64, |number, &digit| {
            let digit = u64::from(digit - b'0');
            number.checked_mul(10)?.checked_add(digit)
        });
        Some(OfRun {
            run,
            digits: number?,
            len: digits.len(),
            begins,
            ends,
        })
    }

    /// Calls `hit` with the values that a text is in at one of its places, some of them
    /// several times. `time` gives the time of the entry of each.
    pub(super) fn each(
        &self,
        values: &Values,
        n: usize,
        fits: &[Fit],
        time: impl Fn(usize) -> i64,
        hit: &mut dyn FnMut(usize),
    ) {
        for fit in fits {
            let Some((first, rest)) = fit.split_first() else {
                (0..n).for_each(&mut *hit);
                continue;
            };
            let (width, numbers) = self.numbers(values, first.run, &time);
            first.each(&numbers, width, |index| {
                let mut rest = rest.iter();
                let holds = rest.all(|asked| {
                    let (width, number) = self.number(values, asked.run, index, &time);
                    asked.holds(number, width)
                });
                if holds {
                    hit(index);
                }
            });
        }
    }

    /// Returns the numbers of a run, and how many digits they have.
    fn numbers<'v>(
        &self,
        values: &'v Values,
        run: usize,
        time: &impl Fn(usize) -> i64,
    ) -> (usize, Cow<'v, [u64]>) {
        if let Values::Patterns(pattern) = values {
            let (width, numbers) = pattern.run(run);
            return (usize::from(width), Cow::Borrowed(numbers));
        }
        let n = match values {
            Values::Numbers { numbers, .. } => numbers.len(),
            Values::Moments { distances, .. } => distances.len(),
            _ => 0,
        };
        let numbers = (0..n).map(|index| self.number(values, run, index, time).1);
        (usize::from(self.widths[run]), Cow::Owned(numbers.collect()))
    }

    /// Returns the number of a run in a value, and how many digits it has at least.
    #[inline]
    fn number(
        &self,
        values: &Values,
        run: usize,
        index: usize,
        time: &impl Fn(usize) -> i64,
    ) -> (usize, u64) {
        let width = usize::from(self.widths[run]);
        match values {
            Values::Patterns(pattern) => {
                let (width, numbers) = pattern.run(run);
                let number = numbers.get(index).copied();
                (usize::from(width), number.unwrap_or(0))
            }
            Values::Numbers { numbers, spelling } => {
                let number = numbers
                    .get(index)
                    .map_or(0, |number| number.cast_unsigned());
                let power = POWERS
                    .get(usize::from(spelling.scale))
                    .copied()
                    .unwrap_or(1);
                let number = match run {
                    _ if power == 1 => number,
                    0 => number / power,
                    _ => number % power,
                };
                (width, number)
            }
            Values::Moments { distances, layout } => {
                let distance = distances.get(index).copied().unwrap_or(0);
                (width, layout.run(layout.units(time(index), distance), run))
            }
            _ => (width, 0),
        }
    }
}

fn n_digits(number: u64) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

impl OfRun {
    /// Calls `hit` with the numbers that have the digits.
    fn each(&self, numbers: &[u64], width: usize, mut hit: impl FnMut(usize)) {
        let largest = numbers.iter().copied().max().unwrap_or(0);
        if n_digits(largest).max(width) < self.len {
            return;
        }
        // What is asked most often, without a division for each digit.
        let power = POWERS[self.len.min(MAX_DIGITS)];
        let is_anywhere = !self.begins && !self.ends;
        if is_anywhere && largest <= u64::from(u32::MAX) && self.len < 10 && width < 10 {
            // The rest of a division by multiplying: exact for 32 bits.
            let magic = u64::MAX / power + 1;
            let rest_of = |number: u32| {
                let fraction = magic.wrapping_mul(u64::from(number));
                ((u128::from(fraction) * u128::from(power)) >> 64) as u64
            };
            for (index, &number) in numbers.iter().enumerate() {
                let mut rest = number as u32;
                let n_digits = match width {
                    0 => n_digits(number),
                    width => width,
                };
                for _ in self.len..=n_digits {
                    if rest_of(rest) == self.digits {
                        hit(index);
                        break;
                    }
                    rest /= 10;
                }
            }
            return;
        }
        for (index, &number) in numbers.iter().enumerate() {
            if self.holds(number, width) {
                hit(index);
            }
        }
    }

    /// Tells whether a number, written with so many digits at least, has the digits.
    #[inline]
    fn holds(&self, number: u64, width: usize) -> bool {
        let Some(left) = n_digits(number).max(width).checked_sub(self.len) else {
            return false;
        };
        // All digits of a number of 20 are never asked for.
        let power = POWERS[self.len.min(MAX_DIGITS)];
        match (self.begins, self.ends) {
            (true, true) => left == 0 && number == self.digits,
            (false, true) => number % power == self.digits,
            (true, false) => {
                let above = POWERS.get(left).map_or(0, |&power| number / power);
                above == self.digits
            }
            (false, false) => {
                let mut rest = number;
                (0..=left).any(|_| {
                    let is_there = rest % power == self.digits;
                    rest /= 10;
                    is_there
                })
            }
        }
    }
}

/// Powers of ten.
const POWERS: [u64; MAX_DIGITS + 1] = {
    let mut powers = [1; MAX_DIGITS + 1];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::logs::part::column::{self, Column};
    use crate::logs::part::filter::FilterMaker;
    use crate::logs::part::zstd::{Deflater, Inflater};

    const T_NS: i64 = 1_785_578_400_123_456_789;

    /// Checks searches for a text in a page of values, which have a form.
    fn check(values: &[String], text: &str) -> bool {
        let texts: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        let times: Vec<i64> = (0..values.len() as i64).map(|i| T_NS + i * 77).collect();
        let (mut bytes, mut filters) = (Vec::new(), Vec::new());
        let tools = (&mut Deflater::new(1), &mut FilterMaker::default());
        column::encode(
            &texts,
            &times,
            &[values.len()],
            tools,
            &mut bytes,
            &mut filters,
        );
        let inflater = &mut Inflater::default();
        let column = Column::decode(&bytes, 1, inflater).unwrap();
        let head = &column.pages()[0];
        let Some(form) = Form::of(head, column.bytes_of(0)) else {
            return false;
        };
        let decoded = column.values(0, inflater).unwrap();
        let needle = Needle::new(text.as_bytes());
        for (spot, is_there) in [
            (
                Spot::Anywhere,
                (|value, text| value.contains(text)) as fn(&str, &str) -> bool,
            ),
            (Spot::Start, |value, text| value.starts_with(text)),
            (Spot::End, |value, text| value.ends_with(text)),
            (Spot::Whole, |value, text| value == text),
        ] {
            let fits = form.fits(&needle, text.as_bytes(), spot);
            let mut found = BTreeSet::new();
            form.each(&decoded, head.n, &fits, |i| times[i], &mut |i| {
                found.insert(i);
            });
            let expected = (0..values.len()).filter(|&i| is_there(&values[i], text));
            let expected: BTreeSet<usize> = expected.collect();
            assert_eq!(found, expected, "{text:?} {spot:?} in {values:?}");
        }
        true
    }

    #[test]
    fn each_kind_of_values_has_a_form() {
        for values in [
            ["dev-00017", "dev-00700"],
            ["/a/7/b", "/a/70/b"],
            ["0", "170"],
            ["1.50", "17.05"],
            ["2026-08-01T10:00:00.123Z", "2026-08-01T10:00:00.999Z"],
            ["2026-08-01 10:00:00,1+00:00", "2026-08-01 10:00:59,9+00:00"],
            ["2026-08-01T10:00:00+0000", "2026-08-01T10:00:07+0000"],
            ["1785578400123", "1785578400170"],
        ] {
            let values = values.map(str::to_owned);
            let mut has_form = true;
            for start in 0..values[0].len() {
                for end in start + 1..=values[0].len() {
                    has_form &= check(&values, &values[0][start..end]);
                }
            }
            for text in [
                "7",
                "0",
                "17",
                "00",
                "1700",
                "x",
                "T",
                ".",
                "-0",
                "x1",
                "123456789012345678901",
            ] {
                has_form &= check(&values, text);
            }
            assert!(has_form, "{values:?}");
        }
        for values in [
            ["18446744073709551615x", "1x"],
            ["-7", "7"],
            ["1.5", "17"],
            ["01/Aug/2026:10:00:00", "01/Aug/2026:10:00:01"],
        ] {
            assert!(!check(&values.map(str::to_owned), "7"));
        }
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_is_written(
            kind in 0usize..4,
            numbers in prop::collection::vec((0u64..3000, 0u64..300), 1..6),
            texts in prop::collection::vec("[ab.]{0,1}[0-9]{0,3}[ab.]{0,1}[0-9]{0,2}b?", 1..20),
        ) {
            let value = |&(a, b): &(u64, u64)| match kind {
                0 => format!("{a}"),
                1 => format!("{a}.{b:03}"),
                2 => format!("a{a}b{b:03}"),
                _ => format!("{a:04}a{b}b"),
            };
            let values: Vec<String> = numbers.iter().map(value).collect();
            for text in texts.iter().filter(|text| !text.is_empty()) {
                check(&values, text);
            }
        }
    }
}
