//! The order in which stages run, which is not quite the one in which they are written.
//!
//! Line filters move to the front, as far as no stage between has written the line or tested
//! a label: they are cheap, and lines they remove need no parsing. In metric queries a line
//! that nobody reads is not written.
//!
//! Upstream source: `reorderStages` and `removeLineformat` of Loki.

use crate::logql::ast::{RangeOp, Stage};

/// Returns stages in the order in which they run. Neighbouring line filters stay neighbours.
pub(crate) fn in_order(stages: &[Stage]) -> Vec<&Stage> {
    let mut ordered = Vec::with_capacity(stages.len());
    let (mut filters, mut others) = (Vec::new(), Vec::new());
    for stage in stages {
        let ends = match stage {
            Stage::LineFilter(_) => {
                filters.push(stage);
                continue;
            }
            Stage::LabelFilter(_) => {
                ordered.append(&mut filters);
                ordered.append(&mut others);
                ordered.push(stage);
                continue;
            }
            Stage::LineFormat(_) | Stage::Unpack => true,
            _ => false,
        };
        others.push(stage);
        if ends {
            ordered.append(&mut filters);
            ordered.append(&mut others);
        }
    }
    ordered.append(&mut filters);
    ordered.append(&mut others);
    ordered
}

/// Returns the stages that a function over a window needs: a line is not written that no
/// stage and not the function reads.
pub(crate) fn needed(stages: &[Stage], op: RangeOp) -> Vec<Stage> {
    if matches!(op, RangeOp::Bytes | RangeOp::BytesRate) {
        return stages.to_vec();
    }
    let reads_line = |stage: &Stage| {
        matches!(
            stage,
            Stage::LineFilter(_)
                | Stage::Json(_)
                | Stage::Logfmt { .. }
                | Stage::Regexp(_)
                | Stage::Pattern(_)
                | Stage::Unpack
        )
    };
    let is_needed = |at: usize| match stages[at] {
        Stage::LineFormat(_) => stages[at..].iter().any(reads_line),
        _ => true,
    };
    let needed = (0..stages.len()).filter(|at| is_needed(*at));
    needed.map(|at| stages[at].clone()).collect()
}
