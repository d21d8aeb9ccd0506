//! Differences that are meant, or of which Loki has no order.

use super::When;
use super::answer::Answer;

/// Names a difference that is known.
pub(super) fn explained(
    query: &str,
    when: &When,
    ours: &Answer,
    theirs: &Answer,
) -> Option<&'static str> {
    let _ = (query, ours);
    // A scalar that is no number: Loki cannot write its own answer.
    if when.is_instant() && theirs.status == 500 && theirs.text.contains("NaN") {
        return Some("a scalar that is no number");
    }
    // The series of a window are in no order, and the first that is wrong is told.
    let is_pipeline = |answer: &Answer| answer.text.starts_with("pipeline error: '");
    if is_pipeline(ours) && is_pipeline(theirs) {
        return Some("which of the errors of entries");
    }
    // The kind of an error is a text that a later stage may write over.
    if theirs.has_overwritten_error() {
        return Some("an error whose text was written over");
    }
    None
}
