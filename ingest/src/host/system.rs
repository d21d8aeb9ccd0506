//! The short ones: load, file handles, pressure, time, names.

use super::writer::{Kind, Writer};
use super::{HostError, HostPaths, read};

pub(super) fn loadavg(paths: &HostPaths, writer: &mut Writer<'_>) -> Result<(), HostError> {
    let [one, five, fifteen] = parse_loadavg(&read(paths.proc.join("loadavg"))?)?;
    let rows = [
        ("node_load1", "1m load average.", one),
        ("node_load5", "5m load average.", five),
        ("node_load15", "15m load average.", fifteen),
    ];
    for (name, help, value) in rows {
        writer.single(name, help, Kind::Gauge, value);
    }
    Ok(())
}

fn parse_loadavg(text: &str) -> Result<[f64; 3], HostError> {
    let mut loads = [0.0; 3];
    let mut words = text.split_ascii_whitespace();
    for load in &mut loads {
        let number = words.next().and_then(|word| word.parse().ok());
        *load = number.ok_or_else(|| HostError::line("loadavg", text))?;
    }
    Ok(loads)
}

pub(super) fn filefd(paths: &HostPaths, writer: &mut Writer<'_>) -> Result<(), HostError> {
    let (allocated, maximum) = parse_file_nr(&read(paths.proc.join("sys/fs/file-nr"))?)?;
    for (statistic, value) in [("allocated", allocated), ("maximum", maximum)] {
        let name = format!("node_filefd_{statistic}");
        let help = format!("File descriptor statistics: {statistic}.");
        writer.single(&name, &help, Kind::Gauge, value);
    }
    Ok(())
}

/// Reads how many file handles there are and may be; the number between is always 0.
fn parse_file_nr(text: &str) -> Result<(f64, f64), HostError> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let numbers = match *words.as_slice() {
        [allocated, _, maximum] => allocated.parse().ok().zip(maximum.parse().ok()),
        _ => None,
    };
    numbers.ok_or_else(|| HostError::line("sys/fs/file-nr", text))
}

/// Files of `/proc/pressure`, their lines, and what becomes of them.
const PRESSURE: [(&str, &str, &str, &str); 5] = [
    (
        "cpu",
        "some",
        "node_pressure_cpu_waiting_seconds_total",
        "Total time in seconds that processes have waited for CPU time",
    ),
    (
        "io",
        "some",
        "node_pressure_io_waiting_seconds_total",
        "Total time in seconds that processes have waited due to IO congestion",
    ),
    (
        "io",
        "full",
        "node_pressure_io_stalled_seconds_total",
        "Total time in seconds no process could make progress due to IO congestion",
    ),
    (
        "memory",
        "some",
        "node_pressure_memory_waiting_seconds_total",
        "Total time in seconds that processes have waited for memory",
    ),
    (
        "memory",
        "full",
        "node_pressure_memory_stalled_seconds_total",
        "Total time in seconds no process could make progress due to memory congestion",
    ),
];

pub(super) fn pressure(paths: &HostPaths, writer: &mut Writer<'_>) -> Result<(), HostError> {
    for (file, line, name, help) in PRESSURE {
        let text = read(paths.proc.join("pressure").join(file))?;
        let total_us = parse_pressure(&text, line)?;
        writer.single(name, help, Kind::Counter, total_us as f64 / 1e6);
    }
    Ok(())
}

/// Reads the total of a line such as `some avg10=0.00 avg60=0.00 avg300=0.00 total=5`,
/// microseconds.
fn parse_pressure(text: &str, line: &str) -> Result<u64, HostError> {
    let total = text
        .lines()
        .filter_map(|found| found.strip_prefix(line))
        .flat_map(str::split_ascii_whitespace)
        .find_map(|word| word.strip_prefix("total=")?.parse().ok());
    total.ok_or_else(|| HostError::line("pressure", text))
}

pub(super) fn time(
    paths: &HostPaths,
    now_ms: i64,
    writer: &mut Writer<'_>,
) -> Result<(), HostError> {
    writer.single(
        "node_time_seconds",
        "System time in seconds since epoch (1970).",
        Kind::Gauge,
        now_ms as f64 / 1000.0,
    );
    // Inside some containers there is no such folder, and so no such metric.
    let folder = paths.sys.join("devices/system/clocksource/clocksource0");
    if let Ok(available) = read(folder.join("available_clocksource")) {
        let mut family = writer.family(
            "node_time_clocksource_available_info",
            "Available clocksources read from '/sys/devices/system/clocksource'.",
            Kind::Gauge,
        );
        for source in available.split_ascii_whitespace() {
            family.sample(&[("clocksource", source), ("device", "0")], 1.0);
        }
    }
    if let Ok(current) = read(folder.join("current_clocksource")) {
        let mut family = writer.family(
            "node_time_clocksource_current_info",
            "Current clocksource read from '/sys/devices/system/clocksource'.",
            Kind::Gauge,
        );
        family.sample(&[("clocksource", current.trim()), ("device", "0")], 1.0);
    }
    Ok(())
}

pub(super) fn uname(writer: &mut Writer<'_>) -> Result<(), HostError> {
    let name = rustix::system::uname();
    let text = |field: &std::ffi::CStr| field.to_string_lossy().into_owned();
    let labels = [
        ("sysname", text(name.sysname())),
        ("release", text(name.release())),
        ("version", text(name.version())),
        ("machine", text(name.machine())),
        ("nodename", text(name.nodename())),
        ("domainname", text(name.domainname())),
    ];
    let labels: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (*n, v.as_str())).collect();
    writer
        .family(
            "node_uname_info",
            "Labeled system information as provided by the uname system call.",
            Kind::Gauge,
        )
        .sample(&labels, 1.0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_files_are_read() {
        assert_eq!(
            parse_loadavg("0.5 1.25 2 1/100 42\n").unwrap(),
            [0.5, 1.25, 2.0]
        );
        assert!(parse_loadavg("0.5\n").is_err());
        assert_eq!(
            parse_file_nr("656\t0\t2466170\n").unwrap(),
            (656.0, 2_466_170.0)
        );
        assert!(parse_file_nr("656\n").is_err());
    }

    #[test]
    fn pressure_is_told_by_line() {
        let text = "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(parse_pressure(text, "some").unwrap(), 5);
        assert_eq!(parse_pressure(text, "full").unwrap(), 7);
        assert!(parse_pressure("some\n", "some").is_err());
    }
}
