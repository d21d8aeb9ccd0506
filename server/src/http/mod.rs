//! HTTP below the APIs: connections, parameters, answers, errors, compression.
//!
//! A request passes [`edge::Edge`] (path cleaning, `OPTIONS`, CORS, compression)
//! before it is routed; handlers see decoded [`params::Params`] and return an
//! [`answer::Answer`] or an [`error::ApiError`]. Errors become HTTP in `error` only.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod compress;
pub(crate) mod edge;
pub(crate) mod error;
pub(crate) mod json;
pub(crate) mod listener;
pub(crate) mod params;

mod request_line;
mod stall;
