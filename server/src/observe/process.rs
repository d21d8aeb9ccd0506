//! The process in `/proc/self`, under the names that all Prometheus clients use.

use std::fs;

use super::exposition::TextWriter;

/// Writes `process_*`. What the system does not tell is left out.
pub(crate) fn write(writer: &mut TextWriter) {
    let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
    let page_bytes = rustix::param::page_size() as f64;
    if let Some(stat) = Stat::read() {
        writer.family(
            "process_cpu_seconds_total",
            super::exposition::Kind::Counter,
            "Total user and system CPU time spent in seconds.",
        );
        let ticks = stat.field(14).unwrap_or(0.0) + stat.field(15).unwrap_or(0.0);
        writer.sample("process_cpu_seconds_total", &[], ticks / ticks_per_second);
        for (name, help, value) in [
            (
                "process_virtual_memory_bytes",
                "Virtual memory size in bytes.",
                stat.field(23),
            ),
            (
                "process_resident_memory_bytes",
                "Resident memory size in bytes.",
                stat.field(24).map(|pages| pages * page_bytes),
            ),
            (
                "process_threads",
                "Number of operating system threads in the process.",
                stat.field(20),
            ),
            (
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
                stat.field(22)
                    .zip(boot_time_seconds())
                    .map(|(ticks, boot)| boot + ticks / ticks_per_second),
            ),
        ] {
            if let Some(value) = value {
                writer.gauge(name, help, value);
            }
        }
    }
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        writer.gauge(
            "process_open_fds",
            "Number of open file descriptors.",
            entries.count() as f64,
        );
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    writer.gauge(
        "process_max_fds",
        "Maximum number of open file descriptors.",
        limit.map_or(f64::INFINITY, |limit| limit as f64),
    );
}

/// Returns the resident memory in bytes, 0 where the system does not tell.
#[cfg(test)]
fn resident_bytes() -> f64 {
    let pages = Stat::read().and_then(|stat| stat.field(24));
    pages.unwrap_or(0.0) * rustix::param::page_size() as f64
}

/// The line of `/proc/self/stat`.
struct Stat {
    text: String,
}

impl Stat {
    fn read() -> Option<Stat> {
        let text = fs::read_to_string("/proc/self/stat").ok()?;
        Some(Stat { text })
    }

    /// Returns field `number`, counted from 1 as in proc(5); fields before the
    /// fourth are not numbers.
    fn field(&self, number: usize) -> Option<f64> {
        // The second field is the program's name in parentheses and may hold
        // anything, spaces and parentheses too.
        let (_, rest) = self.text.rsplit_once(')')?;
        rest.split_ascii_whitespace()
            .nth(number.checked_sub(3)?)?
            .parse()
            .ok()
    }
}

fn boot_time_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::exposition::Format;
    use super::*;

    #[test]
    fn the_process_is_described() {
        let mut writer = TextWriter::new(Format::Text);
        write(&mut writer);
        let text = writer.finish();
        for name in [
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_virtual_memory_bytes",
            "process_open_fds",
            "process_max_fds",
            "process_start_time_seconds",
            "process_threads",
        ] {
            assert!(text.contains(&format!("\n{name} ")), "{name} in {text}");
        }
        assert!(resident_bytes() > 100_000.0);
    }

    #[test]
    fn a_program_name_with_parentheses_does_not_shift_the_fields() {
        let stat = Stat {
            text: "7 (a) b (c)) S 1 2 3".to_owned(),
        };
        assert_eq!(stat.field(4), Some(1.0));
        assert_eq!(stat.field(6), Some(3.0));
        assert_eq!(stat.field(7), None);
        assert_eq!(stat.field(2), None);
    }
}
