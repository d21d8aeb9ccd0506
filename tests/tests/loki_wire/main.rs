//! Loki's API, asked of a real Loki and of Kymo: statuses, headers, bodies and texts are
//! the same, but for what docs/compatibility.md names. Without `KYMO_LOKI` nothing is asked.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    missing_docs,
    reason = "the whole target is a test, its helper functions too"
)]

mod changes;
mod compare;
mod index;
mod json;
mod logcli;
mod push;
mod push_json;
mod push_limits;
mod push_otlp;
mod reads;
mod tail;

use std::time::{SystemTime, UNIX_EPOCH};

use kymo_tests::{Kymo, Loki};

pub const NS_PER_S: i64 = 1_000_000_000;

/// A Loki and a Kymo without data, and the second in which they were started.
pub struct Pair {
    pub loki: Loki,
    pub kymo: Kymo,
    pub now_s: i64,
    _dir: tempfile::TempDir,
}

impl Pair {
    /// Starts both with the same limits; `None` where there is no Loki.
    pub fn start(limits: &[(&str, &str)]) -> Option<Pair> {
        let loki = Loki::start(limits)?;
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("kymo.yml");
        let mut text = String::new();
        if !limits.is_empty() {
            text.push_str("limits_config:\n");
        }
        for (name, value) in limits {
            text.push_str(&format!("  {name}: {value}\n"));
        }
        std::fs::write(&config, text).unwrap();
        let config = format!("--config.file={}", config.display());
        let kymo = Kymo::start_in(dir.path(), &[&config, "--web.enable-admin-api"]);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Some(Pair {
            loki,
            kymo,
            now_s: i64::try_from(now.as_secs()).unwrap(),
            _dir: dir,
        })
    }

    /// Returns a time some seconds from the start, in nanoseconds.
    pub fn ns(&self, seconds: i64) -> String {
        ((self.now_s + seconds) * NS_PER_S).to_string()
    }
}
