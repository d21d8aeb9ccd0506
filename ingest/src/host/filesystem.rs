//! Space and files of mounted filesystems.
//!
//! Asking a filesystem can hang for as long as its server is away. The question is
//! put by a thread of its own; a mount that does not answer in time is reported as
//! failing and not asked again before it has answered.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rustix::fs::StatVfs;

use super::writer::{Kind, Writer};
use super::{HostError, HostPaths, read};

/// How long a mount has to answer.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Filesystem types that hold no data of their own.
const IGNORED_TYPES: [&str; 24] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "procfs",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tracefs",
];

/// The answer of a mount.
type Answer = rustix::io::Result<StatVfs>;

/// Remembers the mounts that have not answered yet.
#[derive(Debug, Default)]
pub(super) struct FilesystemCollector {
    stuck: HashMap<String, Receiver<Answer>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    device: String,
    point: String,
    kind: String,
    is_read_only: bool,
}

impl FilesystemCollector {
    pub(super) fn collect(
        &mut self,
        paths: &HostPaths,
        writer: &mut Writer<'_>,
    ) -> Result<(), HostError> {
        // The mounts of the first process are those of the host.
        let text =
            read(paths.proc.join("1/mounts")).or_else(|_| read(paths.proc.join("mounts")))?;
        let mut mounts = parse_mounts(&text, &paths.root)?;
        mounts.retain(|mount| !is_ignored(mount));

        self.stuck
            .retain(|point, _| mounts.iter().any(|mount| mount.point == *point));
        let answers: Vec<Option<StatVfs>> = mounts
            .iter()
            .map(|mount| self.ask(&paths.root, &mount.point))
            .collect();
        write(&mounts, &answers, writer);
        Ok(())
    }

    /// Returns what a mount says of itself, `None` where it fails or does not answer.
    fn ask(&mut self, root: &Path, point: &str) -> Option<StatVfs> {
        let (answers, wait) = match self.stuck.remove(point) {
            Some(answers) => (answers, Duration::ZERO),
            None => (spawn_question(on_host(root, point))?, TIMEOUT),
        };
        match answers.recv_timeout(wait) {
            Ok(answer) => answer.ok(),
            Err(RecvTimeoutError::Timeout) => {
                self.stuck.insert(point.to_owned(), answers);
                None
            }
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }
}

fn spawn_question(path: PathBuf) -> Option<Receiver<Answer>> {
    let (sender, answers) = channel();
    thread::Builder::new()
        .name("statfs".to_owned())
        .spawn(move || {
            // Nobody waits any more where the mount is gone.
            let _ = sender.send(rustix::fs::statvfs(&path));
        })
        .ok()?;
    Some(answers)
}

fn on_host(root: &Path, point: &str) -> PathBuf {
    root.join(point.trim_start_matches('/'))
}

fn write(mounts: &[Mount], answers: &[Option<StatVfs>], writer: &mut Writer<'_>) {
    type Figure = fn(&StatVfs) -> f64;
    let figures: [(&str, &str, Figure); 5] = [
        (
            "node_filesystem_size_bytes",
            "Filesystem size in bytes.",
            |stat| stat.f_blocks as f64 * stat.f_frsize as f64,
        ),
        (
            "node_filesystem_free_bytes",
            "Filesystem free space in bytes.",
            |stat| stat.f_bfree as f64 * stat.f_frsize as f64,
        ),
        (
            "node_filesystem_avail_bytes",
            "Filesystem space available to non-root users in bytes.",
            |stat| stat.f_bavail as f64 * stat.f_frsize as f64,
        ),
        (
            "node_filesystem_files",
            "Filesystem total file nodes.",
            |stat| stat.f_files as f64,
        ),
        (
            "node_filesystem_files_free",
            "Filesystem total free file nodes.",
            |stat| stat.f_ffree as f64,
        ),
    ];
    let labels = |mount: &Mount| {
        [
            ("device", mount.device.clone()),
            ("fstype", mount.kind.clone()),
            ("mountpoint", mount.point.clone()),
        ]
    };
    let mut each = |name: &str, help: &str, value: &dyn Fn(usize) -> Option<f64>| {
        let mut family = writer.family(name, help, Kind::Gauge);
        for (at, mount) in mounts.iter().enumerate() {
            if let Some(value) = value(at) {
                let labels = labels(mount);
                let labels: Vec<(&str, &str)> = labels
                    .iter()
                    .map(|(name, value)| (*name, value.as_str()))
                    .collect();
                family.sample(&labels, value);
            }
        }
    };
    for (name, help, figure) in figures {
        each(name, help, &|at| answers[at].as_ref().map(figure));
    }
    each(
        "node_filesystem_readonly",
        "Filesystem read-only status.",
        &|at| {
            let is_read_only = answers[at].as_ref().map(|_| mounts[at].is_read_only);
            is_read_only.map(|is| if is { 1.0 } else { 0.0 })
        },
    );
    each(
        "node_filesystem_device_error",
        "Whether an error occurred while getting statistics for the given device.",
        &|at| Some(if answers[at].is_some() { 0.0 } else { 1.0 }),
    );
}

/// Reads a list of mounts; of several equal ones the first stays.
fn parse_mounts(text: &str, root: &Path) -> Result<Vec<Mount>, HostError> {
    let mut mounts: Vec<Mount> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(device), Some(point), Some(kind), Some(options)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(HostError::line("mounts", line));
        };
        let point = point.replace("\\040", " ").replace("\\011", "\t");
        let mount = Mount {
            device: device.to_owned(),
            point: without_root(&point, root).to_owned(),
            kind: kind.to_owned(),
            is_read_only: options.split(',').any(|option| option == "ro"),
        };
        let is_known = mounts.iter().any(|known| {
            known.device == mount.device && known.point == mount.point && known.kind == mount.kind
        });
        if !is_known {
            mounts.push(mount);
        }
    }
    Ok(mounts)
}

/// Takes off the path the host's root is mounted at.
fn without_root<'a>(point: &'a str, root: &Path) -> &'a str {
    let root = root.to_str().unwrap_or("/");
    if root == "/" {
        return point;
    }
    match point.strip_prefix(root.trim_end_matches('/')) {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        _ => point,
    }
}

fn is_ignored(mount: &Mount) -> bool {
    IGNORED_TYPES.contains(&mount.kind.as_str()) || is_ignored_point(&mount.point)
}

/// `^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)`
fn is_ignored_point(point: &str) -> bool {
    let is_below = |folder: &str| {
        let rest = point.strip_prefix(folder);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let holds = |folder: &str| {
        point
            .strip_prefix(folder)
            .is_some_and(|rest| !rest.is_empty())
    };
    ["/dev", "/proc", "/sys"].into_iter().any(is_below)
        || [
            "/run/credentials/",
            "/var/lib/docker/",
            "/var/lib/containers/storage/",
        ]
        .into_iter()
        .any(holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_with_their_escapes_and_without_repeats() {
        let text = "/dev/vda / ext4 rw,relatime 0 0\n/dev/vdb /a\\040b xfs ro,noatime 0 0\n\
                    /dev/vda / ext4 ro 0 0\ntmpfs /run tmpfs rw 0 0\n";
        let mounts = parse_mounts(text, Path::new("/")).unwrap();
        let shown: Vec<_> = mounts
            .iter()
            .map(|m| (m.point.as_str(), m.is_read_only))
            .collect();
        assert_eq!(shown, [("/", false), ("/a b", true), ("/run", false)]);
        assert!(parse_mounts("/dev/vda /\n", Path::new("/")).is_err());
    }

    #[test]
    fn the_root_of_a_host_seen_from_a_container_is_taken_off() {
        let root = Path::new("/host");
        for (point, expected) in [("/host", "/"), ("/host/a", "/a"), ("/hosts", "/hosts")] {
            assert_eq!(without_root(point, root), expected);
        }
        assert_eq!(on_host(root, "/a"), Path::new("/host/a"));
    }

    #[test]
    fn pseudo_filesystems_and_their_places_are_ignored() {
        for point in [
            "/dev",
            "/dev/shm",
            "/proc",
            "/sys/fs",
            "/run/credentials/x",
            "/var/lib/docker/x/y",
        ] {
            assert!(is_ignored_point(point), "{point}");
        }
        for point in ["/", "/device", "/run", "/var/lib/docker", "/home"] {
            assert!(!is_ignored_point(point), "{point}");
        }
    }
}
