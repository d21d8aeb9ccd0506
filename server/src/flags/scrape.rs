//! How targets are found and scraped, where the configuration does not say.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;

use super::values::parse_duration;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Scraping and discovery")]
pub(crate) struct ScrapeFlags {
    /// Longest distance between changes of targets where discovery finds new ones all the
    /// time.
    #[arg(
        long = "scrape.discovery-reload-interval",
        value_name = "DURATION",
        default_value = "5s",
        value_parser = parse_duration
    )]
    pub(crate) discovery_reload_interval: Duration,

    /// Server that dns_sd_configs ask, such as 127.0.0.1:8600; default: those of
    /// /etc/resolv.conf.
    #[arg(long = "discovery.dns-server", value_name = "ADDRESS")]
    pub(crate) dns_server: Option<SocketAddr>,
}
