//! Recording and alerting rules.

mod definition;

pub use definition::{AlertSettings, GroupDefinition, Pairs, RuleDefinition, RuleKind};
