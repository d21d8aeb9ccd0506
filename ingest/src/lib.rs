//! Every way metrics and logs come into Kymo: scraping, remote write, OTLP, Loki's push, the
//! host's own figures; and how targets are found.
//!
//! It parses, relabels, limits and appends; it never evaluates and never keeps.

pub mod discovery;
pub mod exposition;
pub mod host;
pub mod http;
pub mod loki;
pub mod otlp;
pub mod pipeline;
pub mod remote_write;
pub mod scrape;
pub mod tail;
mod unpack;
pub mod wire;

/// How far ahead of the clock a sample may be, in milliseconds. Further ones come from
/// a clock that is wrong, and would keep out all that follow them.
const MAX_AHEAD_MS: i64 = 10 * 60 * 1000;
