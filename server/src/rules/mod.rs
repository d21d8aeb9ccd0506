//! Recording and alerting rules: where they come from, when they are evaluated and what
//! becomes of the results.

pub(crate) mod file;
