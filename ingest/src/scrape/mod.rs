//! Scraping: ask each target in its rhythm, parse what it answers, append it.

mod config;

pub use config::{
    NameEscaping, NameValidation, ScrapeConfig, ScrapeLimits, ScrapeProtocol, TargetGroup,
};
