//! How much memory there is, the machine's or what its cgroups leave of it, and how much
//! disk.

use std::fs;
use std::path::{Path, PathBuf};

/// Where Linux shows the trees of cgroups.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Returns the bytes of memory that this process may use at most, by the machine and by
/// the cgroups it is in, of version 1 or 2. `None` where the system does not tell.
pub(crate) fn memory_bytes() -> Option<u64> {
    let info = rustix::system::sysinfo();
    let machine = (info.totalram as u64).checked_mul(u64::from(info.mem_unit));
    let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let cgroup = cgroup_bytes(Path::new(CGROUPS), &membership);
    let known = machine.filter(|bytes| *bytes > 0).into_iter();
    known.chain(cgroup).min()
}

/// Returns the size of the file system that holds `path`, in bytes; `None` where the
/// system does not tell.
pub(crate) fn disk_bytes(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(stat.f_blocks.saturating_mul(stat.f_frsize)).filter(|bytes| *bytes > 0)
}

/// Returns the smallest limit of the cgroups that `membership` (`/proc/self/cgroup`)
/// names, and of all above them.
fn cgroup_bytes(root: &Path, membership: &str) -> Option<u64> {
    let limits = membership.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        if controllers.is_empty() {
            smallest_limit(root, path, "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            smallest_limit(&root.join("memory"), path, "memory.limit_in_bytes")
        } else {
            None
        }
    });
    limits.min()
}

/// Inside a container the path may be that of the host and lead nowhere; the container's
/// own limit then stands at the root.
fn smallest_limit(root: &Path, path: &str, file: &str) -> Option<u64> {
    let mut dir: PathBuf = root.join(path.trim_start_matches('/'));
    let mut smallest = None;
    while dir.starts_with(root) {
        if let Ok(text) = fs::read_to_string(dir.join(file)) {
            // "max" is no limit.
            let limit = text.trim().parse::<u64>().ok();
            smallest = smallest.into_iter().chain(limit).min();
        }
        if !dir.pop() {
            break;
        }
    }
    smallest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn this_machine_has_memory_and_disk() {
        assert!(memory_bytes().unwrap() > 64 << 20);
        let dir = tempfile::tempdir().unwrap();
        assert!(disk_bytes(dir.path()).unwrap() > 1 << 20);
        assert_eq!(disk_bytes(&dir.path().join("missing")), None);
    }

    #[test]
    fn the_smallest_limit_on_the_way_up_counts() {
        let two = tree(&[
            ("a/b/memory.max", "max\n"),
            ("a/memory.max", "5000000\n"),
            ("memory.max", "7000000\n"),
        ]);
        let of = |membership| cgroup_bytes(two.path(), membership);
        assert_eq!(of("0::/a/b\n"), Some(5_000_000));
        assert_eq!(of("0::/\n"), Some(7_000_000));
        assert_eq!(of("0::/not/here\n"), Some(7_000_000));
        assert_eq!(of(""), None);
        assert_eq!(of("nonsense"), None);

        let one = tree(&[
            ("memory/docker/x/memory.limit_in_bytes", "1048576\n"),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ]);
        let of = |membership| cgroup_bytes(one.path(), membership);
        let lines = "4:cpu,cpuacct:/docker/x\n3:memory:/docker/x\n0::/\n";
        assert_eq!(of(lines), Some(1 << 20));
        assert_eq!(of("3:memory:/\n"), Some(9_223_372_036_854_771_712));
        assert_eq!(of("4:cpu:/docker/x\n"), None);
    }
}
