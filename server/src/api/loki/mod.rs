//! Loki's API.
//!
//! Answers are Loki's to the byte where clients could notice: JSON on one line with its end,
//! strings escaped for HTML, errors in plain text. There is one tenant, whatever
//! `X-Scope-OrgID` says.
//!
//! - `params`, `limits`, `error`, `answer`, `json`: what the calls share.
//! - `query`, `result`, `stats`: queries and their answers.
//! - `labels`, `index`, `volume`, `detected`, `patterns`: what there is.
//! - `tail`: following logs.
//! - `delete`, `rules`: what clients change beside pushing.

pub(super) mod delete;
pub(super) mod detected;
pub(super) mod format;
pub(super) mod index;
pub(super) mod labels;
pub(super) mod legacy;
pub(super) mod patterns;
pub(super) mod query;
pub(super) mod rules;
pub(super) mod status;
pub(super) mod tail;

mod answer;
mod error;
mod json;
mod limits;
mod params;
mod result;
mod stats;
mod volume;

use std::sync::Arc;

use kymo_storage::StorageError;
use kymo_storage::logs::LogStore;
use kymo_storage::model::NanoRange;

pub(crate) use tail::Tails;

use crate::api::call::Call;
use error::LokiError;
use params::Bounds;

impl From<Bounds> for NanoRange {
    fn from(bounds: Bounds) -> NanoRange {
        NanoRange {
            start_ns: bounds.start_ns,
            end_ns: bounds.end_ns,
        }
    }
}

/// Returns the store of logs.
///
/// # Errors
/// The server began to stop after the call was accepted.
fn logs(call: &Call) -> Result<Arc<LogStore>, LokiError> {
    Ok(Arc::clone(&call.core()?.logs))
}

/// Runs something short that reads the store on the query pool.
async fn lookup<T: Send + 'static>(
    call: &Call,
    job: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, LokiError> {
    Ok(call.lookup(job).await?)
}
