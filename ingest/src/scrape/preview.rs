//! What a job makes of the targets it lists and of those found for it, without a scrape:
//! for tools that check configurations.

use std::sync::Arc;

use kymo_storage::model::Labels;

use super::config::ScrapeConfig;
use super::target::{Target, candidates};
use crate::discovery::Group;

/// One target and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// Its labels before relabelling.
    pub discovered: Labels,
    /// Its labels after relabelling, the internal ones included; `None` where relabelling
    /// drops it; an error where it cannot be a target.
    pub outcome: Result<Option<Labels>, String>,
}

/// Works out the targets of a job, in the order of the groups, equal ones too.
pub fn preview(config: &ScrapeConfig, found: &[Arc<Group>]) -> Vec<Preview> {
    let mut previews = Vec::new();
    candidates(config, found, |discovered, _place| {
        let outcome = Target::new(config, &discovered);
        previews.push(Preview {
            outcome: outcome.map(|target| target.map(|target| target.labels)),
            discovered,
        });
    });
    previews
}
