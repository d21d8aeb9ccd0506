//! Logs for measuring.

pub(crate) mod lines;
