//! The machine's own figures under node_exporter's names: CPU, memory, disks,
//! filesystems, network, load, and what else its dashboards are drawn from.
//!
//! Names, labels, HELP texts and what is left out by default are those of
//! node_exporter 1.5, so that its dashboards and rules work as they are. Each
//! collector reads a few files of `/proc` and `/sys`; new kernels change them, so a
//! file that cannot be read or understood costs its own collector's metrics and
//! nothing else, and shows as `node_scrape_collector_success` 0.
//!
//! On systems other than Linux there is nothing to read and nothing is written.

mod writer;

#[cfg(target_os = "linux")]
mod cpu;
#[cfg(target_os = "linux")]
mod disk;
#[cfg(target_os = "linux")]
mod filesystem;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(target_os = "linux")]
mod network;
#[cfg(target_os = "linux")]
mod system;

use std::path::PathBuf;

/// Where the system's files are, for a host seen from inside a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPaths {
    /// `/proc`
    pub proc: PathBuf,
    /// `/sys`
    pub sys: PathBuf,
    /// `/run/udev/data`
    pub udev: PathBuf,
    /// Where the host's root is mounted: `/`.
    pub root: PathBuf,
}

impl Default for HostPaths {
    fn default() -> HostPaths {
        HostPaths {
            proc: PathBuf::from("/proc"),
            sys: PathBuf::from("/sys"),
            udev: PathBuf::from("/run/udev/data"),
            root: PathBuf::from("/"),
        }
    }
}

/// Reads the machine's figures. Keeps what has to be compared with the last time.
#[derive(Debug)]
pub struct HostCollector {
    #[cfg_attr(
        not(target_os = "linux"),
        allow(dead_code, reason = "nothing is read there")
    )]
    paths: HostPaths,
    #[cfg(target_os = "linux")]
    cpu: cpu::CpuCollector,
    #[cfg(target_os = "linux")]
    filesystem: filesystem::FilesystemCollector,
}

impl HostCollector {
    /// Returns a collector that reads below these paths.
    pub fn new(paths: HostPaths) -> HostCollector {
        HostCollector {
            paths,
            #[cfg(target_os = "linux")]
            cpu: cpu::CpuCollector::default(),
            #[cfg(target_os = "linux")]
            filesystem: filesystem::FilesystemCollector::default(),
        }
    }

    /// Appends the figures as text exposition 0.0.4. `now_ms` is the time of the clock.
    ///
    /// It blocks for as long as the files take, which is milliseconds, and up to a
    /// second for a filesystem that does not answer.
    pub fn collect(&mut self, now_ms: i64, out: &mut String) {
        #[cfg(target_os = "linux")]
        self.collect_linux(now_ms, out);
        #[cfg(not(target_os = "linux"))]
        let _ = (now_ms, out);
    }

    #[cfg(target_os = "linux")]
    fn collect_linux(&mut self, now_ms: i64, out: &mut String) {
        let paths = &self.paths;
        let mut writer = writer::Writer::new(out);
        let outcomes = [
            ("cpu", self.cpu.collect(paths, &mut writer)),
            ("diskstats", disk::collect(paths, &mut writer)),
            ("filefd", system::filefd(paths, &mut writer)),
            ("filesystem", self.filesystem.collect(paths, &mut writer)),
            ("loadavg", system::loadavg(paths, &mut writer)),
            ("meminfo", memory::meminfo(paths, &mut writer)),
            ("netclass", network::netclass(paths, &mut writer)),
            ("netdev", network::netdev(paths, &mut writer)),
            ("pressure", system::pressure(paths, &mut writer)),
            ("stat", cpu::stat(paths, &mut writer)),
            ("time", system::time(paths, now_ms, &mut writer)),
            ("uname", system::uname(&mut writer)),
            ("vmstat", memory::vmstat(paths, &mut writer)),
        ];
        let mut family = writer.family(
            "node_scrape_collector_success",
            "node_exporter: Whether a collector succeeded.",
            writer::Kind::Gauge,
        );
        for (collector, outcome) in &outcomes {
            if let Err(error) = outcome {
                tracing::debug!(collector, %error, "host collector failed");
            }
            let success = if outcome.is_ok() { 1.0 } else { 0.0 };
            family.sample(&[("collector", collector)], success);
        }
    }
}

/// Why a collector has nothing to say.
#[cfg(target_os = "linux")]
#[derive(Debug, thiserror::Error)]
enum HostError {
    /// A file could not be read.
    #[error("read {}", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// A file has a line that is not understood.
    #[error("unexpected line in {file}: {line:?}")]
    Line { file: &'static str, line: String },
}

#[cfg(target_os = "linux")]
impl HostError {
    fn line(file: &'static str, line: &str) -> HostError {
        HostError::Line {
            file,
            line: line.to_owned(),
        }
    }
}

/// Reads a file of `/proc` or `/sys`. Bytes that are not UTF-8 are replaced.
#[cfg(target_os = "linux")]
fn read(path: PathBuf) -> Result<String, HostError> {
    match std::fs::read(&path) {
        Ok(bytes) => Ok(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }),
        Err(source) => Err(HostError::Read { path, source }),
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
