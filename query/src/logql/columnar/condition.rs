//! Conditions on labels, asked of columns: which rows of a page certainly fail them.

use std::collections::HashMap;

use kymo_storage::compat::regex::LineSearch;
use kymo_storage::compat::{duration, float};
use kymo_storage::logs::part::{Form, Kind, Origin, Page, PageColumn, PartError, Texts, Values};
use kymo_storage::model::MatchOp;

use crate::logql::ast::{CompareOp, LabelFilter};
use crate::template::logs::parse_size;

/// A condition on the labels that are there before any parser, or behind one.
#[derive(Debug)]
pub(super) struct Condition {
    root: Node,
    /// The parser in front of it.
    parser: Option<Kind>,
}

#[derive(Debug)]
enum Node {
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Label(String, Test),
    /// Nothing is known.
    Open,
}

#[derive(Debug)]
enum Test {
    Equal(Vec<u8>, bool),
    Regex(Box<LineSearch>, bool),
    Number(CompareOp, f64),
    Duration(CompareOp, i64),
    Bytes(CompareOp, u64),
}

/// Verdicts on the texts of dictionaries, by the address of the test and column; valid for
/// one group.
pub(super) type Verdicts = HashMap<(usize, u32), Vec<bool>>;

impl Condition {
    /// Compiles a condition behind a parser.
    pub(super) fn new(filter: &LabelFilter, parser: Option<Kind>) -> Condition {
        Condition {
            root: Node::new(filter),
            parser,
        }
    }

    /// Tells for each row of a page whether it may satisfy the condition. `is_taken` tells
    /// whether a selected stream has a label of a name.
    pub(super) fn may_hold(
        &self,
        page: &Page<'_, '_>,
        is_taken: &dyn Fn(&str) -> bool,
        verdicts: &mut Verdicts,
    ) -> Result<Vec<bool>, PartError> {
        self.node(&self.root, page, is_taken, verdicts)
    }

    fn node(
        &self,
        node: &Node,
        page: &Page<'_, '_>,
        is_taken: &dyn Fn(&str) -> bool,
        verdicts: &mut Verdicts,
    ) -> Result<Vec<bool>, PartError> {
        match node {
            Node::Open => Ok(vec![true; page.rows().len()]),
            Node::Label(name, test) => self.label(name, test, page, is_taken, verdicts),
            Node::And(a, b) => {
                let mut a = self.node(a, page, is_taken, verdicts)?;
                if a.contains(&true) {
                    let b = self.node(b, page, is_taken, verdicts)?;
                    a.iter_mut().zip(b).for_each(|(a, b)| *a &= b);
                }
                Ok(a)
            }
            Node::Or(a, b) => {
                let mut a = self.node(a, page, is_taken, verdicts)?;
                let b = self.node(b, page, is_taken, verdicts)?;
                a.iter_mut().zip(b).for_each(|(a, b)| *a |= b);
                Ok(a)
            }
        }
    }

    fn label(
        &self,
        name: &str,
        test: &Test,
        page: &Page<'_, '_>,
        is_taken: &dyn Fn(&str) -> bool,
        verdicts: &mut Verdicts,
    ) -> Result<Vec<bool>, PartError> {
        let n = page.rows().len();
        // Names that mean something else, or labels that had another name.
        if name.starts_with("__") || name.ends_with("_extracted") || is_taken(name) {
            return Ok(vec![true; n]);
        }
        let group = page.group();
        let mut may = match self.parser {
            None => vec![test.may_hold(None); n],
            Some(kind) => {
                let found: Vec<Found> = group
                    .skeletons()
                    .iter()
                    .map(|skeleton| {
                        if !skeleton.is_clean || skeleton.kind != Some(kind) {
                            return Found::Open;
                        }
                        let is_it = |column: &&u32| {
                            let key = group.key(**column);
                            key.form != Form::Opaque && key.name == name
                        };
                        let column = skeleton.columns.iter().find(is_it);
                        column.map_or(Found::Absent, |column| Found::Column(*column))
                    })
                    .collect();
                let skeletons = page.skeletons()?;
                let absent = test.may_hold(None);
                let found_of = |row: usize| found[skeletons[row] as usize];
                let verdict = |row: usize| found_of(row) != Found::Absent || absent;
                let mut may: Vec<bool> = (0..n).map(verdict).collect();
                let mut columns: Vec<u32> = Vec::new();
                for found in &found {
                    if let Found::Column(column) = found
                        && !columns.contains(column)
                    {
                        columns.push(*column);
                    }
                }
                for column in columns {
                    let opened = group.column(column)?;
                    if opened.pages()[page.number()].n == 0 || opened.has_marks(page.number()) {
                        continue;
                    }
                    let values = page.part(column)?;
                    each_verdict(page, column, values, test, verdicts, |row, verdict| {
                        if found_of(row) == Found::Column(column) {
                            may[row] = verdict;
                        }
                    })?;
                }
                may
            }
        };
        // Structured metadata comes before what is parsed.
        for column in 0..group.n_columns() as u32 {
            let key = group.key(column);
            if key.origin == Origin::Metadata && key.name == name {
                let values = page.metadata(column)?;
                each_verdict(page, column, values, test, verdicts, |row, verdict| {
                    may[row] = verdict;
                })?;
            }
        }
        Ok(may)
    }
}

/// Where the label of a skeleton's lines is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Not known.
    Open,
    /// There is none.
    Absent,
    Column(u32),
}

/// Calls `each` with the rows that have a value of a column, and what a test says of it.
fn each_verdict(
    page: &Page<'_, '_>,
    column: u32,
    found: &PageColumn,
    test: &Test,
    verdicts: &mut Verdicts,
    mut each: impl FnMut(usize, bool),
) -> Result<(), PartError> {
    let dictionary: &Texts = page.group().dictionary(column)?;
    let row = |index: usize| match &found.rows {
        None => index,
        Some(rows) => rows[index] as usize,
    };
    let n = found.rows.as_ref().map_or(page.rows().len(), Vec::len);
    match (&found.values, test) {
        (Values::Codes(codes), test) => {
            let key = (std::ptr::from_ref(test).addr(), column);
            let of_dictionary = verdicts.entry(key).or_insert_with(|| {
                let verdicts = dictionary.iter().map(|text| test.may_hold(Some(text)));
                verdicts.collect()
            });
            for (index, &code) in codes.iter().enumerate() {
                let verdict = of_dictionary.get(code as usize);
                each(row(index), verdict.copied().unwrap_or(true));
            }
        }
        (Values::Numbers { numbers, spelling }, Test::Number(op, operand))
            if usize::from(spelling.scale) < POWERS.len() =>
        {
            let power = POWERS[usize::from(spelling.scale)];
            for (index, &number) in numbers.iter().enumerate() {
                // Both are exact, so that the quotient is the float nearest to the text.
                let is_exact = number.unsigned_abs() < 1 << 53;
                let verdict = !is_exact || op.holds(&(number as f64 / power), operand);
                each(row(index), verdict);
            }
        }
        (values, test) => {
            let times = page.times()?;
            let mut text = Vec::new();
            for index in 0..n {
                text.clear();
                values.write(index, dictionary, times[row(index)], &mut text);
                each(row(index), test.may_hold(Some(&text)));
            }
        }
    }
    Ok(())
}

/// Powers of ten that are floats.
pub(super) const POWERS: [f64; 19] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18,
];

impl Node {
    fn new(filter: &LabelFilter) -> Node {
        crate::syntax::deep::grow(|| match filter {
            LabelFilter::And(a, b) => Node::And(Box::new(Node::new(a)), Box::new(Node::new(b))),
            LabelFilter::Or(a, b) => Node::Or(Box::new(Node::new(a)), Box::new(Node::new(b))),
            LabelFilter::Text(matcher) => {
                let positive = !matcher.is_negative();
                let test = match matcher.op() {
                    MatchOp::Equal | MatchOp::NotEqual => {
                        Test::Equal(matcher.value().into(), positive)
                    }
                    MatchOp::Regex | MatchOp::NotRegex => {
                        match LineSearch::of_label(matcher.value()) {
                            Ok(search) => Test::Regex(Box::new(search), positive),
                            Err(_) => return Node::Open,
                        }
                    }
                };
                Node::Label(matcher.name().to_owned(), test)
            }
            LabelFilter::Number(name, op, operand) => {
                Node::Label(name.clone(), Test::Number(*op, *operand))
            }
            LabelFilter::Duration(name, op, operand) => {
                Node::Label(name.clone(), Test::Duration(*op, *operand))
            }
            LabelFilter::Bytes(name, op, operand) => {
                Node::Label(name.clone(), Test::Bytes(*op, *operand))
            }
            LabelFilter::Ip { .. } => Node::Open,
        })
    }
}

impl Test {
    /// Tells whether a label with this value, or an absent one, may satisfy the condition.
    fn may_hold(&self, value: Option<&[u8]>) -> bool {
        let text = |value| std::str::from_utf8(value).ok();
        match self {
            Test::Equal(text, positive) => (value.unwrap_or_default() == &text[..]) == *positive,
            Test::Regex(search, positive) => {
                search.is_match(value.unwrap_or_default()) == *positive
            }
            // What is no number leaves an error and the entry.
            Test::Number(op, operand) => value.is_some_and(|value| {
                let number = text(value).and_then(|text| float::parse(text).ok());
                number.is_none_or(|number| op.holds(&number, operand))
            }),
            Test::Duration(op, operand) => value.is_some_and(|value| {
                let ns = text(value).and_then(|text| duration::parse_go(text).ok());
                ns.is_none_or(|ns| op.holds(&ns, operand))
            }),
            Test::Bytes(op, operand) => value.is_some_and(|value| {
                let bytes = text(value).and_then(|text| parse_size(text).ok());
                bytes.is_none_or(|bytes| op.holds(&bytes, operand))
            }),
        }
    }
}
