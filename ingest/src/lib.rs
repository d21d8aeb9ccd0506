//! Every way metrics come into Kymo: scraping, remote write, the host's own figures.
//!
//! It parses, relabels, limits and appends; it never evaluates and never keeps.

pub mod exposition;
pub mod host;
pub mod http;
pub mod remote_write;
pub mod scrape;
pub mod wire;
