//! Recording and alerting rules: where they come from, when they are evaluated and what
//! becomes of the results.
//!
//! ```text
//! rule_files --files, file--> groups --Evaluator--> Running, one for each group
//!                                                      |  a task that waits for the
//!                                                      |  group's next time
//!                                                      v
//!                            store <--StoreSink-- threads of the rules
//!                            Alertmanagers <--AlertSink--'
//! ```
//!
//! Rules over logs, in LogQL, come from `log_rule_files` and from clients, whose groups are
//! kept in the data directory (`namespaces`). What they record are metrics like any other.
//!
//! What rules mean is in `kymo_query::rules`; here are files, clocks and threads. Rules
//! have threads of their own, so that dashboards and rules share the machine and neither
//! waits for the other's queries. A reload keeps groups that stay the same running, and
//! hands their state to groups that change.
//!
//! Reading order: `file` (one file), `files` (all of them), `namespaces` and
//! `clients` (those of clients), `evaluator` (the groups),
//! `running` (one group), `sink` (results), `stats`. Beside the server: `dry_run`
//! (times that are over) and `command` (`kymo rules`).

mod clients;
pub(crate) mod command;
pub(crate) mod dry_run;
mod evaluator;
pub(crate) mod file;
pub(crate) mod files;
mod namespaces;
mod running;
mod sink;
mod stats;

pub(crate) use evaluator::{Evaluator, RuleOptions, Setup};
pub(crate) use namespaces::{NamespaceError, print_group, print_namespaces};
pub(crate) use running::Running;
pub(crate) use stats::GroupFigures;
