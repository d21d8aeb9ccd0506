//! Loki's API.
//!
//! Answers are Loki's to the byte where clients could notice: JSON on one line with its end,
//! strings escaped for HTML, errors in plain text. There is one tenant, whatever
//! `X-Scope-OrgID` says.

#[allow(dead_code, reason = "the calls that use it follow")]
pub(super) mod error;
pub(super) mod status;

#[allow(dead_code, reason = "the calls that use it follow")]
mod answer;
#[allow(dead_code, reason = "the calls that use it follow")]
mod detected;
#[allow(dead_code, reason = "the calls that use it follow")]
mod json;
#[allow(dead_code, reason = "the calls that use it follow")]
mod limits;
#[allow(dead_code, reason = "the calls that use it follow")]
mod params;
#[allow(dead_code, reason = "the calls that use it follow")]
mod stats;
#[allow(dead_code, reason = "the calls that use it follow")]
mod volume;
