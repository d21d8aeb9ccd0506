//! What operators should know right now, and who listens for it.
//!
//! A notice stands until what it tells of is over. Listeners hear of each that begins,
//! comes again or ends; one that does not take what it hears misses the rest, as nobody
//! waits for it.

use kymo_storage::compat::time::Instant;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// The texts are Prometheus', because its clients know them.
pub(crate) const STARTING: &str = "Prometheus is starting and replaying the write-ahead log (WAL).";
/// The server ends.
pub(crate) const STOPPING: &str =
    "Prometheus is shutting down and gracefully stopping all operations.";
/// The configuration in force is not that of the file.
pub(crate) const RELOAD_FAILED: &str = "Configuration reload has failed.";

/// Notices that one listener may leave lying.
const BUFFERED: usize = 10;

/// One notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Notice {
    text: &'static str,
    /// When it began, or came again.
    date: String,
    active: bool,
}

/// All notices that stand, and their listeners.
#[derive(Debug)]
pub(crate) struct Notices {
    state: Mutex<State>,
    max_listeners: usize,
}

#[derive(Debug, Default)]
struct State {
    standing: Vec<Notice>,
    listeners: Vec<Sender<Notice>>,
    is_closed: bool,
    sent: u64,
    dropped: u64,
}

/// What there is to count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct NoticeStats {
    /// Listeners now.
    pub(crate) listeners: usize,
    /// Notices sent to a listener, those that it did not take included.
    pub(crate) sent: u64,
    /// Notices that a listener did not take.
    pub(crate) dropped: u64,
}

impl Notices {
    /// Begins without notices, for so many listeners at one time.
    pub(crate) fn new(max_listeners: usize) -> Notices {
        Notices {
            state: Mutex::default(),
            max_listeners,
        }
    }

    /// Begins a notice, or dates one that stands anew.
    pub(crate) fn begin(&self, text: &'static str, now_ms: i64) {
        let mut state = self.state.lock();
        let notice = Notice {
            text,
            date: Instant::from_ms(now_ms).rfc3339_nano(),
            active: true,
        };
        match state.standing.iter_mut().find(|n| n.text == text) {
            Some(standing) => *standing = notice.clone(),
            None => state.standing.push(notice.clone()),
        }
        state.tell(&notice);
    }

    /// Ends a notice, if it stands.
    pub(crate) fn end(&self, text: &str) {
        let mut state = self.state.lock();
        if let Some(at) = state.standing.iter().position(|n| n.text == text) {
            let mut ended = state.standing.remove(at);
            ended.active = false;
            state.tell(&ended);
        }
    }

    /// Returns the notices that stand, oldest first.
    pub(crate) fn standing(&self) -> Vec<Notice> {
        self.state.lock().standing.clone()
    }

    /// Listens from now on, beginning with the notices that stand; `None` where there
    /// are listeners enough, or the server ends.
    pub(crate) fn listen(&self) -> Option<Receiver<Notice>> {
        let mut state = self.state.lock();
        state.forget_gone();
        if state.is_closed || state.listeners.len() >= self.max_listeners {
            return None;
        }
        let (sender, receiver) = channel(BUFFERED);
        for notice in &state.standing {
            // There are fewer texts than places.
            let _sent = sender.try_send(notice.clone());
        }
        state.listeners.push(sender);
        Some(receiver)
    }

    /// Sends listeners away, once they have heard what was told before.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.listeners.clear();
    }

    /// Returns what there is to count.
    pub(crate) fn stats(&self) -> NoticeStats {
        let mut state = self.state.lock();
        state.forget_gone();
        NoticeStats {
            listeners: state.listeners.len(),
            sent: state.sent,
            dropped: state.dropped,
        }
    }
}

impl State {
    fn forget_gone(&mut self) {
        self.listeners.retain(|listener| !listener.is_closed());
    }

    fn tell(&mut self, notice: &Notice) {
        self.forget_gone();
        for listener in &self.listeners {
            self.sent += 1;
            if listener.try_send(notice.clone()).is_err() {
                self.dropped += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(notices: &[Notice]) -> Vec<(&str, bool)> {
        notices.iter().map(|n| (n.text, n.active)).collect()
    }

    #[test]
    fn a_notice_stands_until_it_ends_and_comes_once() {
        let notices = Notices::new(1);
        notices.begin(STARTING, 0);
        notices.begin(RELOAD_FAILED, 1000);
        notices.begin(STARTING, 1500);
        let standing = notices.standing();
        assert_eq!(texts(&standing), [(STARTING, true), (RELOAD_FAILED, true)]);
        assert_eq!(standing[0].date, Instant::from_ms(1500).rfc3339_nano());
        notices.end(STARTING);
        notices.end(STOPPING);
        assert_eq!(texts(&notices.standing()), [(RELOAD_FAILED, true)]);
    }

    #[test]
    fn a_listener_hears_what_stands_what_begins_and_what_ends() {
        let notices = Notices::new(1);
        notices.begin(STARTING, 0);
        let mut heard = notices.listen().unwrap();
        assert!(notices.listen().is_none(), "one listener is enough");
        notices.end(STARTING);
        notices.begin(STOPPING, 1);
        notices.close();
        let mut all = Vec::new();
        while let Ok(notice) = heard.try_recv() {
            all.push(notice);
        }
        assert_eq!(
            texts(&all),
            [(STARTING, true), (STARTING, false), (STOPPING, true)]
        );
        assert!(notices.listen().is_none(), "the server ends");
    }

    #[test]
    fn a_listener_that_is_gone_makes_room_and_a_slow_one_misses() {
        let notices = Notices::new(1);
        drop(notices.listen().unwrap());
        let _slow = notices.listen().unwrap();
        for i in 0..12 {
            notices.begin(RELOAD_FAILED, i);
        }
        let stats = notices.stats();
        assert_eq!((stats.listeners, stats.sent, stats.dropped), (1, 12, 2));
    }
}
