//! What the system tells of changes: which files to look at now, and when to look for new
//! ones. It is a hint; looking now and then is the truth.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::event::ModifyKind;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use parking_lot::Mutex;

use super::outlet::Signal;

/// Most files that are named one by one.
const MAX_NAMED: usize = 4096;

/// Files to look at now.
#[derive(Debug, Default)]
pub(super) struct Hinted {
    all: bool,
    paths: BTreeSet<PathBuf>,
}

impl Hinted {
    pub(super) fn names(&self, path: &Path) -> bool {
        self.all || self.paths.contains(path)
    }
}

#[derive(Debug, Default)]
struct Told {
    scan: AtomicBool,
    files: Mutex<Hinted>,
}

/// The hints of a job.
pub(super) struct Hints {
    told: Arc<Told>,
    watcher: Mutex<Option<RecommendedWatcher>>,
    watched: Mutex<BTreeSet<PathBuf>>,
}

impl Hints {
    /// Begins to listen; hints wake whoever waits for the signal.
    pub(super) fn new(signal: Arc<Signal>) -> Hints {
        let told = Arc::new(Told::default());
        let to = Arc::clone(&told);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            to.take(event);
            signal.wake();
        });
        let watcher = watcher.map_err(|error| {
            // Looking now and then still finds everything.
            tracing::warn!(%error, "the system does not tell of changes of log files");
        });
        Hints {
            told,
            watcher: Mutex::new(watcher.ok()),
            watched: Mutex::default(),
        }
    }

    /// Watches exactly these directories from now on.
    pub(super) fn watch(&self, dirs: BTreeSet<PathBuf>) {
        let mut watcher = self.watcher.lock();
        let Some(watcher) = watcher.as_mut() else {
            return;
        };
        let mut watched = self.watched.lock();
        for dir in watched.difference(&dirs) {
            // A directory that is gone is not watched any more by itself.
            let _gone = watcher.unwatch(dir);
        }
        let kept: BTreeSet<PathBuf> = dirs
            .into_iter()
            .filter(|dir| {
                watched.contains(dir) && dir.is_dir()
                    || watcher.watch(dir, RecursiveMode::NonRecursive).is_ok()
            })
            .collect();
        *watched = kept;
    }

    /// Asks for a look for new files.
    pub(super) fn scan(&self) {
        self.told.scan.store(true, Ordering::Relaxed);
    }

    pub(super) fn take_scan(&self) -> bool {
        self.told.scan.swap(false, Ordering::Relaxed)
    }

    pub(super) fn take_files(&self) -> Hinted {
        std::mem::take(&mut self.told.files.lock())
    }
}

impl Told {
    fn take(&self, event: notify::Result<Event>) {
        let Ok(event) = event else {
            // Events were lost.
            self.scan.store(true, Ordering::Relaxed);
            self.files.lock().all = true;
            return;
        };
        match event.kind {
            EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_)) => {}
            EventKind::Modify(ModifyKind::Data(_)) => {
                let mut files = self.files.lock();
                match files.paths.len() < MAX_NAMED {
                    true => files.paths.extend(event.paths),
                    false => files.all = true,
                }
            }
            _ => {
                self.scan.store(true, Ordering::Relaxed);
                self.files.lock().paths.extend(event.paths);
            }
        }
    }
}
