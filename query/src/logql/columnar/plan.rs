//! What a query looks at, as far as that can be told of all entries at once.

use kymo_storage::logs::part::{Kind, Needle};

use super::alike::Alike;
use super::condition::Condition;
use crate::logql::ast::{LineOp, LineOperand, RangeExpr, RangeOp, Stage};
use crate::logql::pipeline::{Extractor, Pipeline, in_order};

/// What of lines is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lines {
    /// All of them.
    Whole,
    /// Nothing but what is known of all lines that are selected: this one is as good.
    Constant(Vec<u8>),
    /// These labels, which a parser of the kind extracts.
    Fields(Kind, Vec<String>),
}

/// How a query reads row groups.
#[derive(Debug)]
pub(in crate::logql) struct Plan {
    pub(super) needles: Vec<Vec<Needle>>,
    pub(super) conditions: Vec<Condition>,
    pub(super) lines: Lines,
    /// The only names that matter of structured metadata; `None` where all do.
    pub(super) names: Option<Vec<String>>,
    /// What is counted of entries, where stages look at nothing but labels that they have.
    pub(super) counted: Option<Counted>,
    /// What tells rows apart, where one may run through the stages for others.
    pub(super) alike: Option<Alike>,
}

/// What is counted of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::logql) enum Counted {
    /// How many there are.
    Entries,
    /// How many bytes their lines have.
    Bytes,
}

impl Plan {
    /// Returns the plan of a query for entries.
    pub(in crate::logql) fn of_entries(stages: &[Stage], pipeline: &Pipeline) -> Plan {
        Plan {
            needles: needles(pipeline),
            conditions: conditions(stages),
            lines: Lines::Whole,
            names: None,
            counted: None,
            alike: None,
        }
    }

    /// Returns the plan of a function over windows, with the stages that it needs.
    pub(in crate::logql) fn of_samples(
        stages: &[Stage],
        range: &RangeExpr,
        extractor: &Extractor,
    ) -> Plan {
        let wanted = extractor.wanted_names();
        let looks_at_labels = |stage: &Stage| {
            matches!(
                stage,
                Stage::LabelFilter(_) | Stage::Drop(_) | Stage::Keep(_)
            )
        };
        let is_plain = stages.iter().all(|stage| {
            looks_at_labels(stage)
                || matches!(stage, Stage::LineFilter(_))
                || parser(stage).is_some()
        });
        // With other stages nothing is known of what they read.
        let names = wanted.filter(|_| is_plain);
        let lines = match &names {
            Some(names) if !extractor.counts_bytes() => lines(stages, names),
            _ => Lines::Whole,
        };
        let counted = match range.op {
            _ if extractor.unwraps() => None,
            RangeOp::Bytes | RangeOp::BytesRate => Some(Counted::Bytes),
            RangeOp::Count | RangeOp::Rate | RangeOp::Absent => Some(Counted::Entries),
            _ => None,
        };
        // A parser that no label is wanted of does nothing.
        let is_idle = |stage: &Stage| parser(stage).is_some() && names.as_deref() == Some(&[]);
        let mut of_labels = stages.iter();
        let of_labels = of_labels.all(|stage| looks_at_labels(stage) || is_idle(stage));
        let alike = names.as_ref().filter(|_| lines != Lines::Whole);
        Plan {
            needles: needles(extractor.pipeline()),
            conditions: conditions(stages),
            alike: alike.map(|names| Alike::new(stages, range, names, &extractor.grouping())),
            counted: counted.filter(|_| of_labels),
            lines,
            names,
        }
    }
}

/// Returns the kind of lines that a stage extracts all labels of.
fn parser(stage: &Stage) -> Option<Kind> {
    match stage {
        Stage::Json(paths) if paths.is_empty() => Some(Kind::Json),
        Stage::Logfmt { extractions, .. } if extractions.is_empty() => Some(Kind::Logfmt),
        _ => None,
    }
}

fn needles(pipeline: &Pipeline) -> Vec<Vec<Needle>> {
    let needles = pipeline.needles().into_iter();
    needles.map(|needles| needles.searches()).collect()
}

/// Returns what line is as good as any that is selected, where the stages look at nothing
/// but lines and the labels of these names.
fn lines(stages: &[Stage], names: &[String]) -> Lines {
    let parsers: Vec<Kind> = stages.iter().filter_map(parser).collect();
    let filters: Vec<_> = stages
        .iter()
        .filter_map(|stage| match stage {
            Stage::LineFilter(filter) => Some(filter),
            _ => None,
        })
        .collect();
    match (&parsers[..], &filters[..]) {
        // A parser that no label is wanted of does nothing.
        (_, []) if parsers.is_empty() || names.is_empty() => Lines::Constant(Vec::new()),
        ([kind], []) => Lines::Fields(*kind, names.to_vec()),
        ([], filters) => {
            let mut line = Vec::new();
            for filter in filters {
                let contains = filter.op == LineOp::Contains;
                let is_text = |operand: &LineOperand| matches!(operand, LineOperand::Text(text) if !text.is_empty());
                match filter.operands.first() {
                    // Which of them a line has makes no difference.
                    Some(LineOperand::Text(text))
                        if contains && filter.operands.iter().all(is_text) =>
                    {
                        line.extend_from_slice(text.as_ref());
                    }
                    _ => return Lines::Whole,
                }
            }
            Lines::Constant(line)
        }
        _ => Lines::Whole,
    }
}

/// Returns the conditions that an entry has to satisfy to be kept, as far as no stage in
/// front of them changes labels in some other way than by a parser.
fn conditions(stages: &[Stage]) -> Vec<Condition> {
    let mut conditions = Vec::new();
    let mut of = None;
    for stage in in_order(stages) {
        match stage {
            Stage::LineFilter(_) => {}
            Stage::LabelFilter(filter) => conditions.push(Condition::new(filter, of)),
            _ => match parser(stage) {
                Some(kind) if of.is_none() => of = Some(kind),
                _ => break,
            },
        }
    }
    conditions
}
