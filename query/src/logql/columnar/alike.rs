//! Rows that are alike to a query: one of them runs through the stages for all.
//!
//! What becomes of an entry follows from its stream and from the labels that are looked at.
//! Where these are texts of a dictionary, or numbers that are compared and nothing else, few
//! combinations occur in a group. Each gets a number, and the first row that has it is run
//! through the stages. A number that `unwrap` reads is taken from its column. Rows of which
//! anything is in doubt have no number and are run each on its own.

use kymo_storage::logs::part::{Group, Page, PageColumn, PartError, Values};
use kymo_storage::model::Labels;

use super::condition::POWERS;
use super::read::{Narrow, SPECIAL, Texts, metadata_that_matters};
use super::{ColumnGroup, Plan};
use crate::logql::ast::{CompareOp, Conversion, LabelChoice, LabelFilter, RangeExpr, Stage};
use crate::logql::source::EntryBatch;
use crate::logql::value::LogStats;

/// Most comparisons of one label that rows are told apart by.
const MAX_TESTS: usize = 8;

/// Combinations up to which a table of all of them is kept.
const MAX_TABLE: u64 = 1 << 16;

/// Stands for a row without a number.
const NONE: u64 = u64::MAX;

/// Who turns entries into samples, and keeps these.
pub(in crate::logql) trait Sampler {
    /// Returns the segment of a time, and the last time that is in the same one.
    fn stretch(&self, t_ns: i64) -> (Option<u32>, i64);

    /// Returns series and value of the only entry of a batch, where it has a sample.
    fn sample(&mut self, entry: &EntryBatch) -> Result<Option<(u32, f64)>, HasError>;

    /// Keeps a sample.
    fn keep(&mut self, series: u32, segment: u32, t_ns: i64, value: f64);
}

/// An entry has an error: all of its labels are in the answer.
#[derive(Debug, Clone, Copy)]
pub(in crate::logql) struct HasError;

/// What is known of the labels that a query looks at.
#[derive(Debug)]
pub(super) struct Alike {
    /// Labels that are looked at as numbers alone, with what they are compared with.
    numbers: Vec<(String, Vec<(CompareOp, f64)>)>,
    /// The label whose number is the value of a sample.
    unwrapped: Option<String>,
}

impl Alike {
    /// Looks at stages that choose lines or labels, or parse lines, behind which an entry
    /// has its series by the labels of `grouping`; `names` are all that are looked at.
    pub(super) fn new(
        stages: &[Stage],
        range: &RangeExpr,
        names: &[String],
        grouping: &[String],
    ) -> Alike {
        let (mut texts, mut tests) = (grouping.to_vec(), Vec::new());
        for stage in stages {
            if let Stage::Drop(choices) | Stage::Keep(choices) = stage {
                texts.extend(choices.iter().map(|choice| match choice {
                    LabelChoice::Name(name) => name.clone(),
                    LabelChoice::Matcher(matcher) => matcher.name().to_owned(),
                }));
            }
        }
        let of_stages = stages.iter().filter_map(|stage| match stage {
            Stage::LabelFilter(filter) => Some(filter),
            _ => None,
        });
        let unwrap = range.unwrap.as_ref();
        let behind = unwrap.iter().flat_map(|unwrap| &unwrap.filters);
        for filter in of_stages.chain(behind) {
            leaves(filter, &mut texts, &mut tests);
        }
        let is_number = |conversion| matches!(conversion, Conversion::Number);
        let unwrapped = unwrap.filter(|unwrap| is_number(unwrap.conversion));
        texts.extend(
            unwrap
                .filter(|unwrap| !is_number(unwrap.conversion))
                .map(|unwrap| unwrap.label.clone()),
        );
        let is_only_number = |name: &&String| {
            // The label may be called otherwise where its name is taken.
            let moved = format!("{name}_extracted");
            !name.starts_with(SPECIAL) && !texts.contains(name) && !names.contains(&moved)
        };
        let numbers = names.iter().filter(is_only_number).map(|name| {
            let of_name = tests.iter().filter(|(of, _, _)| of == name);
            let of_name = of_name.map(|(_, op, operand)| (*op, *operand));
            (name.clone(), of_name.collect::<Vec<_>>())
        });
        Alike {
            numbers: numbers.filter(|(_, of)| of.len() <= MAX_TESTS).collect(),
            unwrapped: unwrapped.map(|unwrap| unwrap.label.clone()),
        }
    }
}

/// Sorts the labels of a condition into those compared as numbers and others.
fn leaves(
    filter: &LabelFilter,
    texts: &mut Vec<String>,
    tests: &mut Vec<(String, CompareOp, f64)>,
) {
    crate::syntax::deep::grow(|| match filter {
        LabelFilter::And(a, b) | LabelFilter::Or(a, b) => {
            leaves(a, texts, tests);
            leaves(b, texts, tests);
        }
        LabelFilter::Number(name, op, operand) => tests.push((name.clone(), *op, *operand)),
        LabelFilter::Text(matcher) => texts.push(matcher.name().to_owned()),
        LabelFilter::Duration(name, ..)
        | LabelFilter::Bytes(name, ..)
        | LabelFilter::Ip { name, .. } => texts.push(name.clone()),
    });
}

/// What became of a row that others are alike.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    /// Its series and value, where it has a sample.
    sample: Option<(u32, f64)>,
    line_bytes: u32,
    metadata_bytes: u32,
}

/// Outcomes by the numbers of combinations.
struct Outcomes {
    places: Places,
    outcomes: Vec<Outcome>,
}

/// Where the outcomes of combinations are.
enum Places {
    /// Of all combinations, one more than the place; 0 where there is none yet.
    Table(Vec<u32>),
    Map(hashbrown::HashMap<u64, u32>),
}

impl Outcomes {
    fn of(combinations: u64) -> Outcomes {
        Outcomes {
            places: match combinations <= MAX_TABLE {
                true => Places::Table(vec![0; combinations as usize]),
                false => Places::Map(hashbrown::HashMap::new()),
            },
            outcomes: Vec::new(),
        }
    }

    #[inline]
    fn get(&self, number: u64) -> Option<Outcome> {
        let place = match &self.places {
            Places::Table(table) => table.get(number as usize).copied(),
            Places::Map(map) => map.get(&number).copied(),
        };
        let at = place?.checked_sub(1)?;
        self.outcomes.get(at as usize).copied()
    }

    fn put(&mut self, number: u64, outcome: Outcome) {
        self.outcomes.push(outcome);
        let place = self.outcomes.len() as u32;
        match &mut self.places {
            Places::Table(table) => {
                if let Some(of_number) = table.get_mut(number as usize) {
                    *of_number = place;
                }
            }
            Places::Map(map) => {
                map.insert(number, place);
            }
        }
    }
}

/// How the values of a column tell rows apart.
enum Role<'a> {
    /// By the text of its dictionary.
    Code,
    /// By what comparisons say.
    Number {
        tests: &'a [(CompareOp, f64)],
        is_value: bool,
    },
    /// Not at all.
    Open,
}

struct Asked<'a> {
    column: u32,
    role: Role<'a>,
    /// How many different values there are.
    n: u64,
}

/// How the rows of a group are numbered.
struct Numbering<'a> {
    /// For each skeleton whether its rows have numbers.
    is_regular: Vec<bool>,
    of_lines: Vec<Asked<'a>>,
    of_metadata: Vec<Asked<'a>>,
    n_shapes: u64,
    /// How many combinations there can be.
    combinations: u64,
}

impl<'a> Numbering<'a> {
    /// Returns how rows are numbered; `None` where there are too many combinations.
    fn new(
        alike: &'a Alike,
        group: &Group<'_>,
        narrow: &Narrow<'_>,
        metadata: &[u32],
        is_taken: &dyn Fn(&str) -> bool,
        n_streams: usize,
    ) -> Result<Option<Numbering<'a>>, PartError> {
        let name = |column: u32| group.key(column).name.as_str();
        let mut is_regular = Vec::new();
        let mut columns: Vec<u32> = Vec::new();
        for number in 0..group.skeletons().len() {
            let Some(of_skeleton) = narrow.columns_of(number) else {
                is_regular.push(false);
                continue;
            };
            // Of two labels of one name it is not said here which one counts.
            let mut names: Vec<&str> = of_skeleton.iter().map(|&column| name(column)).collect();
            names.sort_unstable();
            is_regular.push(names.windows(2).all(|pair| pair[0] != pair[1]));
            columns.extend(of_skeleton);
        }
        columns.sort_unstable();
        columns.dedup();
        let mut of_lines = Vec::with_capacity(columns.len());
        for column in columns {
            let name = name(column);
            let mut known = alike.numbers.iter();
            let is_value = alike.unwrapped.as_deref() == Some(name);
            let is_hidden = is_taken(name) || metadata.iter().any(|of| group.key(*of).name == name);
            let number = known.find(|(of, _)| of == name);
            let opened = group.column(column)?;
            let (role, n) = match number {
                _ if opened.has_dictionary => (Role::Code, opened.dictionary.len() as u64),
                Some((_, tests)) if !(is_value && is_hidden) => {
                    (Role::Number { tests, is_value }, 1 << tests.len())
                }
                _ => (Role::Open, 1),
            };
            of_lines.push(Asked { column, role, n });
        }
        let mut of_metadata = Vec::with_capacity(metadata.len());
        for &column in metadata {
            let opened = group.column(column)?;
            let (role, n) = match opened.has_dictionary {
                true => (Role::Code, opened.dictionary.len() as u64),
                false => (Role::Open, 1),
            };
            of_metadata.push(Asked { column, role, n });
        }
        let n_shapes = if metadata.is_empty() {
            1
        } else {
            group.shapes().len() as u64
        };
        let sizes = [n_streams as u64, is_regular.len() as u64, n_shapes];
        let columns = of_lines.iter().chain(&of_metadata).map(|asked| asked.n);
        let combinations = sizes
            .into_iter()
            .chain(columns)
            .try_fold(1u64, |product, n| product.checked_mul(n.max(1)));
        let combinations = combinations.filter(|combinations| *combinations < NONE);
        Ok(combinations.map(|combinations| Numbering {
            is_regular,
            of_lines,
            of_metadata,
            n_shapes,
            combinations,
        }))
    }

    /// Gives numbers to rows of a page, and values where a column has them. Of each row its
    /// stream is known by the place among those that are selected.
    fn number(
        &self,
        page: &Page<'_, '_>,
        rows: &[(u32, u32)],
        numbers: &mut Vec<u64>,
        values: &mut Vec<Option<f64>>,
    ) -> Result<(), PartError> {
        numbers.clear();
        values.clear();
        values.resize(rows.len(), None);
        let n_skeletons = self.is_regular.len() as u64;
        if self.of_lines.is_empty() && self.is_regular.iter().all(|is_regular| *is_regular) {
            numbers.extend(rows.iter().map(|(_, at)| u64::from(*at) * n_skeletons));
        } else {
            let skeletons = page.skeletons()?;
            numbers.extend(rows.iter().map(|(row, at)| {
                let skeleton = skeletons[*row as usize];
                match self.is_regular.get(skeleton as usize) {
                    Some(true) => u64::from(*at) * n_skeletons + skeleton,
                    _ => NONE,
                }
            }));
        }
        if self.n_shapes > 1 {
            let shapes = page.shapes()?;
            for (number, (row, _)) in numbers.iter_mut().zip(rows) {
                if *number != NONE {
                    *number = *number * self.n_shapes + shapes[*row as usize];
                }
            }
        }
        for asked in &self.of_metadata {
            self.add(
                page,
                asked,
                page.metadata(asked.column)?,
                rows,
                numbers,
                values,
            )?;
        }
        for asked in &self.of_lines {
            let head = page
                .group()
                .column(asked.column)?
                .pages()
                .get(page.number());
            if head.is_some_and(|head| head.n > 0) {
                self.add(page, asked, page.part(asked.column)?, rows, numbers, values)?;
            } else {
                let is_numbered = numbers.iter_mut().filter(|number| **number != NONE);
                is_numbered.for_each(|number| *number *= asked.n.max(1));
            }
        }
        Ok(())
    }

    /// Multiplies the values of a column into the numbers of the rows that have one.
    fn add(
        &self,
        page: &Page<'_, '_>,
        asked: &Asked<'_>,
        found: &PageColumn,
        rows: &[(u32, u32)],
        numbers: &mut [u64],
        values: &mut [Option<f64>],
    ) -> Result<(), PartError> {
        let opened = page.group().column(asked.column)?;
        // A parser makes something else of texts with marks.
        let is_metadata = self.of_metadata.iter().any(|of| of.column == asked.column);
        let is_plain = is_metadata || !opened.has_marks(page.number());
        match (&asked.role, &found.values) {
            (Role::Code, Values::Codes(codes)) if is_plain => {
                multiply(asked.n, found, rows, numbers, |_, index| {
                    codes.get(index).copied().unwrap_or(NONE)
                });
            }
            (
                Role::Number { tests, is_value },
                Values::Numbers {
                    numbers: integers,
                    spelling,
                },
            ) if usize::from(spelling.scale) < POWERS.len() => {
                let power = POWERS[usize::from(spelling.scale)];
                multiply(asked.n, found, rows, numbers, |at, index| {
                    match integers.get(index) {
                        // Both are exact, so that the quotient is the float nearest to the text.
                        Some(integer) if integer.unsigned_abs() < 1 << 53 => {
                            let value = *integer as f64 / power;
                            if *is_value {
                                values[at] = Some(value);
                            }
                            let verdicts = tests.iter().enumerate();
                            verdicts.fold(0, |bits, (i, (op, operand))| {
                                bits | u64::from(op.holds(&value, operand)) << i
                            })
                        }
                        _ => NONE,
                    }
                });
            }
            _ => multiply(asked.n, found, rows, numbers, |_, _| NONE),
        }
        Ok(())
    }
}

/// Multiplies `n` into the numbers of rows and adds what `value` says of the place of each and
/// of the number of its value. Of a row without a value nothing is added: that there is none
/// follows from skeleton or shape, which are in the numbers, too.
fn multiply(
    n: u64,
    found: &PageColumn,
    rows: &[(u32, u32)],
    numbers: &mut [u64],
    mut value: impl FnMut(usize, usize) -> u64,
) {
    let n = n.max(1);
    let mut next = 0;
    for (at, ((row, _), number)) in rows.iter().zip(numbers).enumerate() {
        let index = match &found.rows {
            None => Some(*row as usize),
            Some(with) => {
                while with.get(next).is_some_and(|with| with < row) {
                    next += 1;
                }
                (with.get(next) == Some(row)).then_some(next)
            }
        };
        if *number != NONE {
            let value = index.map_or(0, |index| value(at, index));
            *number = match value < n {
                true => *number * n + value,
                false => NONE,
            };
        }
    }
}

/// Why a group is not read to its end.
pub(in crate::logql) enum Stop {
    /// It is damaged.
    Damaged,
    /// All of its labels are in the answer.
    HasError,
}

impl From<PartError> for Stop {
    fn from(_: PartError) -> Stop {
        Stop::Damaged
    }
}

impl Plan {
    /// Hands the samples of the entries of a group to a sampler, in the order of its rows;
    /// `None` where that is to be done entry by entry. Damage is told by the one who reads
    /// the entries.
    pub(in crate::logql) fn sample(
        &self,
        of: &ColumnGroup<'_>,
        streams: &[Labels],
        sampler: &mut impl Sampler,
    ) -> Result<Option<LogStats>, Stop> {
        let Some(alike) = &self.alike else {
            return Ok(None);
        };
        let group = of.part.group(of.group)?;
        let metadata = metadata_that_matters(&group, self);
        let narrow = Narrow::new(&group, &self.lines);
        let is_taken = |name: &str| super::read::is_taken(of, streams, name);
        let n_streams = of.streams.len();
        let numbering = Numbering::new(alike, &group, &narrow, &metadata, &is_taken, n_streams)?;
        let Some(numbering) = numbering else {
            return Ok(None);
        };
        let mut outcomes = Outcomes::of(numbering.combinations);
        let mut stats = LogStats::default();
        let (mut numbers, mut values, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        let (mut texts, mut batch) = (Texts::default(), EntryBatch::default());
        let mut stretch = (None, i64::MIN);
        let mut from_ns = i64::MAX;
        self.pages(of, &group, streams, |page, wanted| {
            let times = page.times()?;
            rows.clear();
            let mut last: Option<(u32, Option<u32>)> = None;
            rows.extend(wanted.iter().filter_map(|&(row, stream)| {
                // Rows of one stream follow each other.
                let at = match last {
                    Some((known, at)) if known == stream => at,
                    _ => {
                        let by = |(number, _): &(u32, u32)| *number;
                        let at = of.streams.binary_search_by_key(&stream, by);
                        at.ok().map(|at| at as u32)
                    }
                };
                last = Some((stream, at));
                Some((row, at?))
            }));
            numbering.number(page, &rows, &mut numbers, &mut values)?;
            stats.lines += rows.len() as u64;
            for (i, &(row, at)) in rows.iter().enumerate() {
                let t_ns = times[row as usize];
                if t_ns < from_ns || stretch.1 < t_ns {
                    stretch = sampler.stretch(t_ns);
                    from_ns = t_ns;
                }
                let Some(segment) = stretch.0 else {
                    continue;
                };
                let known = if numbers[i] == NONE {
                    None
                } else {
                    outcomes.get(numbers[i])
                };
                let outcome = match known {
                    Some(known) => known,
                    None => {
                        let has_metadata = !metadata.is_empty();
                        let (row, stream) = (row as usize, of.streams[at as usize].1);
                        batch.clear();
                        texts.push(page, row, stream, &narrow, has_metadata, &mut batch)?;
                        let sample = sampler.sample(&batch).map_err(|HasError| Stop::HasError)?;
                        let entry = batch.entry(0);
                        let outcome = Outcome {
                            sample,
                            line_bytes: entry.line.len() as u32,
                            metadata_bytes: entry.metadata.len_bytes() as u32,
                        };
                        if numbers[i] != NONE {
                            outcomes.put(numbers[i], outcome);
                        }
                        outcome
                    }
                };
                stats.bytes += u64::from(outcome.line_bytes + outcome.metadata_bytes);
                stats.metadata_bytes += u64::from(outcome.metadata_bytes);
                if let Some((series, value)) = outcome.sample {
                    stats.post_filter_lines += 1;
                    sampler.keep(series, segment, t_ns, values[i].unwrap_or(value));
                }
            }
            Ok::<(), Stop>(())
        })?;
        Ok(Some(stats))
    }
}
