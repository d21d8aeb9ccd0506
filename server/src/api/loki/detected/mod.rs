//! What there is in logs: labels of streams, fields of entries.

mod fields;
mod kind;
mod labels;
