//! What a caller may do, and what a route asks for.

use std::fmt;
use std::sync::Arc;

/// A kind of call. Each route asks for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// Health: whoever has any scope.
    Any,
    /// Queries, and everything else that only looks.
    Read,
    /// Sending data.
    Write,
    /// What changes or ends the server or deletes data.
    Admin,
}

impl Scope {
    /// Reads the name that the web configuration file has for it.
    pub(super) fn parse(name: &str) -> Option<Scope> {
        match name {
            "read" => Some(Scope::Read),
            "write" => Some(Scope::Write),
            "admin" => Some(Scope::Admin),
            _ => None,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scope::Any => "any",
            Scope::Read => "read",
            Scope::Write => "write",
            Scope::Admin => "admin",
        })
    }
}

/// A set of scopes. `admin` has all others within it; `write` does not have `read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Scopes {
    read: bool,
    write: bool,
    admin: bool,
}

impl Scopes {
    /// Every scope, as each user of Prometheus has.
    pub(crate) const ALL: Scopes = Scopes {
        read: true,
        write: true,
        admin: true,
    };

    /// Adds a scope.
    pub(super) fn add(&mut self, scope: Scope) {
        match scope {
            Scope::Any => {}
            Scope::Read => self.read = true,
            Scope::Write => self.write = true,
            Scope::Admin => *self = Scopes::ALL,
        }
    }

    /// Tells whether a call that asks for `scope` is allowed.
    pub(crate) fn allow(self, scope: Scope) -> bool {
        match scope {
            Scope::Any => self != Scopes::default(),
            Scope::Read => self.read,
            Scope::Write => self.write,
            Scope::Admin => self.admin,
        }
    }
}

/// Extension of a request: who sent it, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Name of the user or token; empty where nobody has to say.
    pub(crate) name: Arc<str>,
    /// What they may do.
    pub(crate) scopes: Scopes,
}

impl Caller {
    /// Somebody who need not say who they are.
    pub(super) fn unnamed() -> Caller {
        Caller {
            name: Arc::from(""),
            scopes: Scopes::ALL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_may_do_everything_and_write_does_not_mean_read() {
        let of = |scopes: &[Scope]| {
            let mut set = Scopes::default();
            scopes.iter().for_each(|scope| set.add(*scope));
            [Scope::Any, Scope::Read, Scope::Write, Scope::Admin].map(|scope| set.allow(scope))
        };
        assert_eq!(of(&[]), [false; 4]);
        assert_eq!(of(&[Scope::Read]), [true, true, false, false]);
        assert_eq!(of(&[Scope::Write]), [true, false, true, false]);
        assert_eq!(of(&[Scope::Admin]), [true; 4]);
    }
}
