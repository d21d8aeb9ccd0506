//! Binary operators between vectors: which series meet, and what comes of it.
//!
//! Series are sorted into match groups once. In a group pairs of rows are combined
//! column by column. Where more series of a group are present at one step than the
//! matching allows, the query fails with the error that evaluation step by step
//! would have met first.

use std::hash::{BuildHasher, Hash, Hasher};

use hashbrown::{DefaultHashBuilder, HashSet};
use kymo_storage::model::{Labels, LabelsBuilder};

use super::Evaluator;
use super::binary::{
    compare, compute_columns, is_comparison, is_trim, keeps_meaning, scalar_result,
};
use super::elements::{Combined, Met};
use super::group::{Groups, Keep};
use super::histogram_column::Element;
use super::row::{Bits, Grid, Row, RowBuilder, is_metadata_label};
use crate::error::QueryError;
use crate::promql::ast::{BinaryOp, Cardinality, VectorMatching};
use crate::promql::plan::Binary;

impl Evaluator<'_> {
    /// Combines two vectors.
    pub(super) fn match_vectors(
        &self,
        binary: &Binary,
        lhs: Vec<Row>,
        rhs: Vec<Row>,
        grid: &Grid,
        met: &mut Met,
    ) -> Result<Vec<Row>, QueryError> {
        let Some(matching) = &binary.matching else {
            return Ok(Vec::new());
        };
        let mut names = matching.labels.clone();
        names.sort();
        let keep = match matching.on {
            true => Keep::Only(&names),
            false => Keep::AllBut(&names),
        };
        let set_operator = matches!(binary.op, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless);
        let swapped = matching.card == Cardinality::OneToMany;
        let (many, one) = if swapped { (rhs, lhs) } else { (lhs, rhs) };
        let (many_groups, one_groups, groups) = number(&many, &one, keep);
        if set_operator {
            let present = |rows: &[Row], of: &[usize]| present(rows, of, groups, grid.steps);
            return Ok(match binary.op {
                BinaryOp::Or => {
                    let present = present(&many, &many_groups);
                    let mut rows = many;
                    rows.extend(filter(one, &one_groups, &present, false, grid));
                    rows
                }
                op => {
                    let present = present(&one, &one_groups);
                    filter(many, &many_groups, &present, op == BinaryOp::And, grid)
                }
            });
        }
        let sides = Sides {
            many: &many,
            one: &one,
            many_groups,
            one_groups,
            groups,
            steps: grid.steps,
        };
        let combiner = Combiner {
            binary,
            matching,
            sides: &sides,
            keep,
            swapped,
            drop_name: !self.options.delayed_name_removal && binary.return_bool,
        };
        combiner.refuse_ambiguous()?;
        Ok(combiner.combine(met))
    }
}

/// Both vectors with the match group of each row. `many` is the side of which several
/// series may match one of the other, and the left one where neither may.
struct Sides<'a> {
    many: &'a [Row],
    one: &'a [Row],
    many_groups: Vec<usize>,
    one_groups: Vec<usize>,
    groups: usize,
    steps: usize,
}

/// Returns the match group of each row of both sides, and how many there are.
fn number(many: &[Row], one: &[Row], keep: Keep<'_>) -> (Vec<usize>, Vec<usize>, usize) {
    let mut groups = Groups::new(keep);
    let mut number = |row: &Row| groups.number(&row.labels, |_| false);
    let many_groups = many.iter().map(&mut number).collect();
    let one_groups = one.iter().map(&mut number).collect();
    (many_groups, one_groups, groups.len())
}

/// Returns the steps at which each group has a series.
fn present(rows: &[Row], numbers: &[usize], groups: usize, steps: usize) -> Vec<Bits> {
    let mut present = vec![Bits::new(steps); groups];
    for (row, &group) in rows.iter().zip(numbers) {
        row.add_to(&mut present[group]);
    }
    present
}

/// Keeps of each row the steps at which its group is present, or is not.
fn filter(
    rows: Vec<Row>,
    numbers: &[usize],
    present: &[Bits],
    wanted: bool,
    grid: &Grid,
) -> Vec<Row> {
    let mut builder = RowBuilder::new(grid.steps);
    let rows = rows.into_iter().zip(numbers);
    rows.filter_map(|(row, &group)| {
        let steps = &present[group];
        let all_or_none = row.run().and_then(|run| steps.all_or_none(run));
        match all_or_none {
            Some(all) => (all == wanted).then_some(row),
            None => row.filter_steps(&mut builder, |step| steps.get(step) == wanted),
        }
    })
    .collect()
}

impl Sides<'_> {
    /// Returns the rows of each group.
    fn members(&self, numbers: &[usize]) -> Vec<Vec<usize>> {
        let mut members = vec![Vec::new(); self.groups];
        for (row, &group) in numbers.iter().enumerate() {
            members[group].push(row);
        }
        members
    }

    /// Returns the steps at which each group has a series.
    fn present(&self, rows: &[Row], numbers: &[usize]) -> Vec<Bits> {
        present(rows, numbers, self.groups, self.steps)
    }
}

/// An ambiguity found at a step. The first in this order is the one reported.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ambiguity {
    step: usize,
    /// 0: among the "one" side; 1: among the "many" side, looked at afterwards.
    phase: u8,
    row: usize,
    other: usize,
}

struct Combiner<'a> {
    binary: &'a Binary,
    matching: &'a VectorMatching,
    sides: &'a Sides<'a>,
    keep: Keep<'a>,
    swapped: bool,
    drop_name: bool,
}

impl Combiner<'_> {
    /// Fails where a series has more than one partner.
    fn refuse_ambiguous(&self) -> Result<(), QueryError> {
        let sides = self.sides;
        let one = sides.members(&sides.one_groups);
        let many = sides.members(&sides.many_groups);
        let one_to_one = self.matching.card == Cardinality::OneToOne;
        let active = self.active();
        let mut found: Option<Ambiguity> = None;
        let mut note = |ambiguity: Ambiguity| {
            if found.as_ref().is_none_or(|known| ambiguity < *known) {
                found = Some(ambiguity);
            }
        };
        for members in one.iter().filter(|members| members.len() > 1) {
            if let Some((step, other, row)) =
                self.first_clash(sides.one, members, |step| active.get(step))
            {
                note(Ambiguity {
                    step,
                    phase: 0,
                    row,
                    other,
                });
            }
        }
        let one_present = sides.present(sides.one, &sides.one_groups);
        for (group, members) in many.iter().enumerate() {
            if members.len() < 2 {
                continue;
            }
            let fills = self.matching.fill_right.is_some();
            let matched = |step: usize| active.get(step) && (fills || one_present[group].get(step));
            if one_to_one {
                if let Some((step, other, row)) = self.first_clash(sides.many, members, matched) {
                    note(Ambiguity {
                        step,
                        phase: 1,
                        row,
                        other,
                    });
                }
                continue;
            }
            for equal in self.equal_results(members, &one[group]) {
                if let Some((step, other, row)) = self.first_clash(sides.many, &equal, matched) {
                    note(Ambiguity {
                        step,
                        phase: 1,
                        row,
                        other,
                    });
                }
            }
        }
        let Some(ambiguity) = found else {
            return Ok(());
        };
        let text = if ambiguity.phase == 1 {
            match one_to_one {
                true => "multiple matches for labels: many-to-one matching must be explicit \
                         (group_left/group_right)"
                    .to_owned(),
                false => "multiple matches for labels: grouping labels must ensure unique matches"
                    .to_owned(),
            }
        } else {
            let side = if self.swapped { "left" } else { "right" };
            let (row, other) = (&sides.one[ambiguity.row], &sides.one[ambiguity.other]);
            let group = self.keep.of(&row.labels);
            let (mut first, mut second) = (row.labels.to_string(), other.labels.to_string());
            if first > second {
                std::mem::swap(&mut first, &mut second);
            }
            format!(
                "found duplicate series for the match group {group} on the {side} hand-side of \
                 the operation: [{first}, {second}];many-to-many matching not allowed: matching \
                 labels must be unique on one side"
            )
        };
        Err(QueryError::Execution(text))
    }

    /// Returns the steps at which the operator looks at its operands: none where a
    /// side is empty and cannot be filled.
    fn active(&self) -> Bits {
        let sides = self.sides;
        let (mut many, mut one) = (Bits::new(sides.steps), Bits::new(sides.steps));
        sides.many.iter().for_each(|row| row.add_to(&mut many));
        sides.one.iter().for_each(|row| row.add_to(&mut one));
        let fills = self.matching.fill_left.is_some() || self.matching.fill_right.is_some();
        let mut active = Bits::new(sides.steps);
        for step in 0..sides.steps {
            let (many, one) = (many.get(step), one.get(step));
            if if fills { many || one } else { many && one } {
                active.set(step);
            }
        }
        active
    }

    /// Returns the first step at which two of the rows are present, and the rows.
    fn first_clash(
        &self,
        rows: &[Row],
        members: &[usize],
        counts: impl Fn(usize) -> bool,
    ) -> Option<(usize, usize, usize)> {
        let mut holder = vec![usize::MAX; self.sides.steps];
        let mut clash: Option<(usize, usize, usize)> = None;
        for &member in members {
            let mut note = |step: usize| {
                if !counts(step) {
                    return;
                }
                if holder[step] == usize::MAX {
                    holder[step] = member;
                } else if clash.is_none_or(|known| step < known.0) {
                    clash = Some((step, holder[step], member));
                }
            };
            rows[member].for_each(|step, _| note(step));
            rows[member].for_each_histogram(|step, _| note(step));
        }
        clash
    }

    /// Returns the rows of the "many" side whose results have equal labels.
    fn equal_results(&self, many: &[usize], one: &[usize]) -> Vec<Vec<usize>> {
        if !self.may_be_equal(many) {
            return Vec::new();
        }
        let mut by_labels: hashbrown::HashMap<Labels, Vec<usize>> = hashbrown::HashMap::new();
        for &row in many {
            let labels = &self.sides.many[row].labels;
            let partners: Vec<Labels> = match one {
                [] => vec![self.keep.of(labels)],
                one => one
                    .iter()
                    .map(|&at| self.sides.one[at].labels.clone())
                    .collect(),
            };
            for partner in partners {
                let equal = by_labels
                    .entry(self.result_labels(labels, &partner))
                    .or_default();
                if equal.last() != Some(&row) {
                    equal.push(row);
                }
            }
        }
        by_labels
            .into_values()
            .filter(|equal| equal.len() > 1)
            .collect()
    }

    /// Tells whether results of rows of the "many" side may have equal labels: not where
    /// all labels that they keep are told apart by their hashes.
    fn may_be_equal(&self, many: &[usize]) -> bool {
        let drops_name = self.drops_name();
        let mut seen = HashSet::with_capacity(many.len());
        let hasher = DefaultHashBuilder::default();
        many.iter().any(|&row| {
            let mut hash = hasher.build_hasher();
            for label in &self.sides.many[row].labels {
                let included = || self.matching.include.iter().any(|name| name == label.0);
                let goes = drops_name && is_metadata_label(label.0);
                if !goes && !included() {
                    label.hash(&mut hash);
                }
            }
            !seen.insert(hash.finish())
        })
    }

    fn combine(&self, met: &mut Met) -> Vec<Row> {
        let sides = self.sides;
        let one = sides.members(&sides.one_groups);
        let mut rows = Vec::new();
        let mut builder = RowBuilder::new(sides.steps);
        let one_present = sides.present(sides.one, &sides.one_groups);
        for (row, &group) in sides.many.iter().zip(&sides.many_groups) {
            for &partner in &one[group] {
                let partner = &sides.one[partner];
                if self.is_for_elements(row) || partner.histograms.is_some() {
                    row.for_each_element(|step, element| {
                        if let Some(other) = partner.element(step) {
                            self.set_element(&mut builder, met, step, &element, &other);
                        }
                    });
                    rows.extend(self.take(&mut builder, &row.labels, &partner.labels));
                    continue;
                }
                if let Some(made) = self.combine_runs(row, partner) {
                    rows.extend(made);
                    continue;
                }
                row.for_each(|step, value| {
                    if let Some(other) = partner.get(step) {
                        self.set(&mut builder, step, value, other);
                    }
                });
                rows.extend(self.take(&mut builder, &row.labels, &partner.labels));
            }
            if let Some(fill) = self.matching.fill_right {
                if self.is_for_elements(row) {
                    row.for_each_element(|step, element| {
                        if !one_present[group].get(step) {
                            let fill = Element::Float(fill);
                            self.set_element(&mut builder, met, step, &element, &fill);
                        }
                    });
                    rows.extend(self.take(&mut builder, &row.labels, &self.keep.of(&row.labels)));
                    continue;
                }
                row.for_each(|step, value| {
                    if !one_present[group].get(step) {
                        self.set(&mut builder, step, value, fill);
                    }
                });
                rows.extend(self.take(&mut builder, &row.labels, &self.keep.of(&row.labels)));
            }
        }
        if let Some(fill) = self.matching.fill_left {
            let many_present = sides.present(sides.many, &sides.many_groups);
            for (row, &group) in sides.one.iter().zip(&sides.one_groups) {
                if self.is_for_elements(row) {
                    row.for_each_element(|step, element| {
                        if !many_present[group].get(step) {
                            let fill = Element::Float(fill);
                            self.set_element(&mut builder, met, step, &fill, &element);
                        }
                    });
                    rows.extend(self.take(&mut builder, &self.keep.of(&row.labels), &row.labels));
                    continue;
                }
                row.for_each(|step, value| {
                    if !many_present[group].get(step) {
                        self.set(&mut builder, step, fill, value);
                    }
                });
                rows.extend(self.take(&mut builder, &self.keep.of(&row.labels), &row.labels));
            }
        }
        rows
    }

    /// Tells whether a row is combined element by element.
    fn is_for_elements(&self, row: &Row) -> bool {
        row.histograms.is_some() || is_trim(self.binary.op)
    }

    /// Computes one element of any kind; `many` and `one` are the sides' elements.
    fn set_element(
        &self,
        builder: &mut RowBuilder,
        met: &mut Met,
        step: usize,
        many: &Element,
        one: &Element,
    ) {
        let (l, r) = if self.swapped {
            (one, many)
        } else {
            (many, one)
        };
        match met.element(self.binary, l, r, step) {
            None => {}
            Some(Combined::Keep) if self.binary.return_bool => builder.set(step, 1.0),
            Some(Combined::Keep) => l.clone().set(builder, step),
            Some(Combined::Made(made)) => made.set(builder, step),
        }
    }

    /// Combines two rows without holes, where something comes of every pair of values.
    fn combine_runs(&self, many: &Row, one: &Row) -> Option<Option<Row>> {
        let op = self.binary.op;
        if is_trim(op) || (is_comparison(op) && !self.binary.return_bool) {
            return None;
        }
        let (run, other) = (many.run()?, one.run()?);
        let steps = run.start.max(other.start)..run.end.min(other.end);
        if steps.is_empty() {
            return Some(None);
        }
        let (left, right) = if self.swapped {
            (one, many)
        } else {
            (many, one)
        };
        let values = compute_columns(op, left.slice(steps.clone()), right.slice(steps.clone()));
        let labels = self.result_labels(&many.labels, &one.labels);
        let mut row = Row::of_run(labels, steps.start, values)?;
        row.drop_name = self.binary.return_bool;
        Some(Some(row))
    }

    /// Computes one element; `many` and `one` are the sides' values.
    #[inline]
    fn set(&self, builder: &mut RowBuilder, step: usize, many: f64, one: f64) {
        let op = self.binary.op;
        let (l, r) = if self.swapped {
            (one, many)
        } else {
            (many, one)
        };
        if is_comparison(op) && !self.binary.return_bool {
            if compare(op, l, r) {
                builder.set(step, l);
            }
        } else if !is_trim(op) {
            builder.set(step, scalar_result(op, l, r));
        }
    }

    fn take(&self, builder: &mut RowBuilder, many: &Labels, one: &Labels) -> Option<Row> {
        let mut row = builder.take(|| self.result_labels(many, one))?;
        row.drop_name = self.binary.return_bool;
        Some(row)
    }

    fn drops_name(&self) -> bool {
        self.drop_name || !keeps_meaning(self.binary.op)
    }

    fn result_labels(&self, many: &Labels, one: &Labels) -> Labels {
        let matching = self.matching;
        let drops_name = self.drops_name();
        let one_to_one = matching.card == Cardinality::OneToOne;
        let kept = many.iter().filter(|(name, _)| {
            let listed = || matching.labels.iter().any(|label| label == name);
            !(drops_name && is_metadata_label(name)) && (!one_to_one || listed() == matching.on)
        });
        let labels = Labels::from_sorted(kept);
        if matching.include.is_empty() {
            return labels;
        }
        let mut builder = LabelsBuilder::from_labels(&labels);
        for name in &matching.include {
            builder.set(name, one.get(name).unwrap_or(""));
        }
        builder.labels()
    }
}
