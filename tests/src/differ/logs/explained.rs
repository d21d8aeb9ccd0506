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
    // A scalar that is no number: Loki cannot write its own answer.
    if when.is_instant() && theirs.status == 500 && theirs.text.contains("NaN") {
        return Some("a scalar that is no number");
    }
    // Nor can it send a query with such a number to itself.
    if theirs.status == 500 && theirs.text == "failed to enqueue request" {
        return Some("a literal that is no number");
    }
    // The series of a window are in no order, and the first that is wrong is told.
    let is_pipeline = |answer: &Answer| answer.text.starts_with("pipeline error: '");
    if is_pipeline(ours) && is_pipeline(theirs) {
        return Some("which of the errors of entries");
    }
    // Loki goes from one time to the next, and tells what fails first.
    let is_matching = |answer: &Answer| answer.status == 500 && answer.text.contains("match");
    if is_pipeline(ours) && is_matching(theirs) || is_matching(ours) && is_pipeline(theirs) {
        return Some("which of two errors");
    }
    // Half a character in JSON becomes U+FFFD in templates.
    if query.contains("fromJson") && theirs.data["resultType"] != "streams" && !theirs.is_error() {
        return Some("a label with U+FFFD");
    }
    // Loki joins the errors of both sides of an operator, and calls them its own.
    if theirs.text.contains(" errors: ") && ours.is_error() {
        return Some("errors of both sides of an operator");
    }
    // Loki does not read its own labels again when a value has U+FFFD.
    let has_fffd = |answer: &Answer| answer.data.to_string().contains('\u{fffd}');
    if theirs.text.ends_with("invalid UTF-8 rune") || has_fffd(ours) && !has_fffd(theirs) {
        return Some("a label with U+FFFD");
    }
    // A leg that is a bare number fails before the stages of the other one are looked at.
    if theirs.text.contains("LiteralExpr") && ours.is_error() {
        return Some("which of two errors");
    }
    // Sketches are not always made before an answer is known, and their stages not looked at.
    if query.contains("approx_topk") && ours.text.starts_with("parse error : stage") {
        return Some("a stage of approx_topk that cannot be built");
    }
    // Groups that differ in labels that are empty or absent are two series of one name.
    if theirs.has_equal_series() || query.contains("without") && query.contains("--keep-empty") {
        return Some("labels that are empty or absent");
    }
    // The fields of a time have an address among them.
    if query.contains("__timestamp__") && query.contains("printf") {
        return Some("the fields of a time");
    }
    // Labels of an entry are kept for others that have the same, whatever categories they
    // are in.
    if !ours.is_error() && ours.without_categories() == theirs.without_categories() {
        return Some("categories of another entry");
    }
    // Series are sorted before their empty labels are left out.
    if !when.is_instant() && !ours.is_error() && ours.in_order() == theirs.in_order() {
        return Some("order of series that have empty labels");
    }
    // The kind of an error is a text that a later stage may write over.
    if theirs.has_overwritten_error() {
        return Some("an error whose text was written over");
    }
    None
}
