//! Looking at stages while they work, for whoever wants to know what each does to an entry.
//!
//! Where [`Tools`](super::Tools) name a [`Watcher`], each stage of a pipeline is made with a
//! layer around it that tells. Without one there is no layer, and nothing costs anything.

use std::sync::Arc;

use super::{Entry, Stage, Step};

/// Who is told what stages do.
///
/// Stages within a stage tell between its beginning and its end.
pub trait Watcher: Send + Sync {
    /// A stage begins with an entry, or to give what it held back.
    fn begins(&self, stage: &'static str);

    /// It is done with that.
    fn ends(&self, done: Done<'_>);
}

/// What a stage did.
#[derive(Debug, Clone, Copy)]
pub struct Done<'a> {
    /// The stage.
    pub stage: &'static str,
    /// The entry that it was given; `None` where it gives what it held back.
    pub before: Option<&'a Entry>,
    /// What goes on, the entry itself or others.
    pub after: &'a [Entry],
    /// Whether it holds something back now.
    pub holds: bool,
}

/// A stage that is watched.
pub(super) struct Watched {
    name: &'static str,
    stage: Box<dyn Stage>,
    watcher: Arc<dyn Watcher>,
}

impl Watched {
    pub(super) fn new(
        name: &'static str,
        stage: Box<dyn Stage>,
        watcher: Arc<dyn Watcher>,
    ) -> Watched {
        Watched {
            name,
            stage,
            watcher,
        }
    }

    fn tell(&self, before: Option<&Entry>, after: &[Entry]) {
        self.watcher.ends(Done {
            stage: self.name,
            before,
            after,
            holds: self.stage.held_from().is_some(),
        });
    }

    fn given(&mut self, give: impl FnOnce(&mut dyn Stage) -> Vec<Entry>) -> Vec<Entry> {
        self.watcher.begins(self.name);
        let after = give(self.stage.as_mut());
        self.tell(None, &after);
        after
    }
}

impl Stage for Watched {
    fn process(&mut self, entry: Entry) -> Step {
        let before = entry.clone();
        self.watcher.begins(self.name);
        let step = self.stage.process(entry);
        let after = match &step {
            Step::On(entry) => std::slice::from_ref(entry),
            Step::Away => &[],
            Step::Many(entries) => entries,
        };
        self.tell(Some(&before), after);
        step
    }

    fn tick(&mut self, now_ns: i64) -> Vec<Entry> {
        self.given(|stage| stage.tick(now_ns))
    }

    fn flush(&mut self) -> Vec<Entry> {
        self.given(|stage| stage.flush())
    }

    fn held_from(&self) -> Option<u64> {
        self.stage.held_from()
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(Watched {
            name: self.name,
            stage: self.stage.fresh(),
            watcher: Arc::clone(&self.watcher),
        })
    }
}
