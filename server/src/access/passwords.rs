//! Whether a password is right, without letting a client make the server busy.
//!
//! A bcrypt check costs some hundred milliseconds on purpose. One runs at a time, off the
//! threads that serve, and its outcome is remembered under a keyed hash of user, stored
//! hash and password, so that a scraper or Grafana pays once. Right outcomes and wrong
//! ones are remembered apart: guesses do not push out those who know their password.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};

use kymo_ingest::http::Secret;
use parking_lot::Mutex;
use ring::hmac;
use ring::rand::SystemRandom;
use tokio::sync::Semaphore;

/// Outcomes of each kind that are remembered.
const REMEMBERED: usize = 1024;

/// Checks that may wait for their turn.
const MAX_WAITING: usize = 64;

/// What became of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is the user's.
    Right,
    /// It is not, or there is no such user.
    Wrong,
    /// Too many others wait to be checked.
    Busy,
}

/// Checks passwords and remembers the outcomes.
pub(super) struct Passwords {
    key: hmac::Key,
    turn: Semaphore,
    waiting: AtomicUsize,
    right: Mutex<Remembered>,
    wrong: Mutex<Remembered>,
}

/// The newest outcomes of one kind.
#[derive(Default)]
struct Remembered {
    known: HashSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

impl Remembered {
    fn insert(&mut self, outcome: [u8; 32]) {
        if !self.known.insert(outcome) {
            return;
        }
        self.order.push_back(outcome);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

impl Passwords {
    /// Remembers nothing yet.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(super) fn new() -> Result<Passwords, String> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| "the system gives no random bytes".to_owned())?;
        Ok(Passwords {
            key,
            turn: Semaphore::new(1),
            waiting: AtomicUsize::new(0),
            right: Mutex::default(),
            wrong: Mutex::default(),
        })
    }

    /// Checks a password against the hash of its user; `None` stands for a user that
    /// does not exist, whose check takes as long as one with `dummy_cost`.
    pub(super) async fn check(
        &self,
        user: &str,
        hash: Option<&Secret>,
        dummy_cost: u32,
        password: &Secret,
    ) -> Outcome {
        let stored = match hash {
            Some(hash) => hash.expose().to_owned(),
            None => dummy_hash(dummy_cost),
        };
        let outcome = self.digest(&[user, &stored, password.expose()]);
        if self.right.lock().known.contains(&outcome) {
            return Outcome::Right;
        }
        if self.wrong.lock().known.contains(&outcome) {
            return Outcome::Wrong;
        }
        let Some(_waiting) = Waiting::begin(&self.waiting) else {
            return Outcome::Busy;
        };
        let Ok(_turn) = self.turn.acquire().await else {
            return Outcome::Busy;
        };
        let password = password.clone();
        let check = move || bcrypt::verify(password.expose(), &stored);
        let verified = matches!(tokio::task::spawn_blocking(check).await, Ok(Ok(true)));
        if verified && hash.is_some() {
            self.right.lock().insert(outcome);
            Outcome::Right
        } else {
            self.wrong.lock().insert(outcome);
            Outcome::Wrong
        }
    }

    /// Returns a hash that nobody without the key can predict.
    fn digest(&self, texts: &[&str]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for text in texts {
            // With the lengths, no two lists of texts read the same.
            context.update(&text.len().to_le_bytes());
            context.update(text.as_bytes());
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

/// One who waits for a check.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Option<Waiting<'a>> {
        let before = count.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(count);
        (before < MAX_WAITING).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns the cost of a bcrypt hash.
pub(super) fn cost(hash: &Secret) -> u32 {
    let cost = hash.expose().split('$').nth(2);
    cost.and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

/// A well-formed hash that no password is known to have.
fn dummy_hash(cost: u32) -> String {
    format!("$2b${:02}${}", cost.clamp(4, 31), ".".repeat(53))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(password: &str) -> Secret {
        Secret::new(bcrypt::hash(password, 4).unwrap())
    }

    #[tokio::test]
    async fn only_the_users_own_password_is_right_and_the_answer_is_remembered() {
        let passwords = Passwords::new().unwrap();
        let stored = hash("opens");
        let right = Secret::new("opens");
        let wrong = Secret::new("guess");
        for _ in 0..2 {
            let check = passwords.check("ann", Some(&stored), 4, &right);
            assert_eq!(check.await, Outcome::Right);
            let check = passwords.check("ann", Some(&stored), 4, &wrong);
            assert_eq!(check.await, Outcome::Wrong);
            let check = passwords.check("nobody", None, 4, &right);
            assert_eq!(check.await, Outcome::Wrong);
        }
        assert_eq!(passwords.right.lock().known.len(), 1);
        assert_eq!(passwords.wrong.lock().known.len(), 2);
        // A new password of the same user counts at once.
        let changed = hash("changed");
        let check = passwords.check("ann", Some(&changed), 4, &right);
        assert_eq!(check.await, Outcome::Wrong);
    }

    #[tokio::test]
    async fn a_crowd_of_guesses_is_turned_away() {
        let passwords = Passwords::new().unwrap();
        let stored = hash("opens");
        let all: Vec<Waiting<'_>> = (0..MAX_WAITING)
            .filter_map(|_| Waiting::begin(&passwords.waiting))
            .collect();
        let guess = Secret::new("guess");
        let check = passwords.check("ann", Some(&stored), 4, &guess);
        assert_eq!(check.await, Outcome::Busy);
        drop(all);
        let check = passwords.check("ann", Some(&stored), 4, &guess);
        assert_eq!(check.await, Outcome::Wrong);
    }

    #[test]
    fn the_oldest_outcome_goes_first() {
        let mut remembered = Remembered::default();
        for n in 0..=REMEMBERED as u32 {
            let mut outcome = [0; 32];
            outcome[..4].copy_from_slice(&n.to_le_bytes());
            remembered.insert(outcome);
        }
        assert_eq!(remembered.known.len(), REMEMBERED);
        assert!(!remembered.known.contains(&[0; 32]));
    }

    #[test]
    fn the_dummy_is_a_hash_that_bcrypt_reads() {
        assert_eq!(bcrypt::verify("", &dummy_hash(4)).ok(), Some(false));
        assert_eq!(cost(&Secret::new(dummy_hash(12))), 12);
    }
}
