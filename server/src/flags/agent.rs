//! Flags of Prometheus' agent mode, which does not exist here.

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::Exit;
use super::ignored::{Takes, argument};

/// Exit code of Prometheus for flags of the wrong mode.
const WRONG_MODE: u8 = 3;

#[rustfmt::skip]
const FLAGS: [(&str, Takes); 11] = [
    ("agent", Takes::Switch),
    ("storage.agent.path", Takes::Value),
    ("storage.agent.wal-segment-size", Takes::Value),
    ("storage.agent.wal-compression", Takes::Switch),
    ("storage.agent.wal-compression-type", Takes::Value),
    ("storage.agent.wal-truncate-frequency", Takes::Value),
    ("storage.agent.retention.min-time", Takes::Value),
    ("storage.agent.retention.max-time", Takes::Value),
    ("storage.agent.checkpoint-from-in-memory-series", Takes::Switch),
    ("storage.agent.checkpoint-batch-size", Takes::Value),
    ("storage.agent.no-lockfile", Takes::Switch),
];

/// Adds the flags to a command line. Help does not show them.
pub(super) fn with_agent(command: clap::Command) -> clap::Command {
    let flags = FLAGS.iter();
    flags.fold(command, |command, &(name, takes)| {
        command.arg(argument(name, takes).hide(true))
    })
}

/// Refuses a command line that has one of the flags.
///
/// # Errors
/// It has.
pub(super) fn refuse(matches: &ArgMatches) -> Result<(), Exit> {
    let given = |name: &&str| matches.value_source(name) == Some(ValueSource::CommandLine);
    let names: Vec<&str> = FLAGS.iter().map(|(name, _)| *name).filter(given).collect();
    let is_off = matches
        .get_one::<String>("agent")
        .is_none_or(|on| on == "false");
    let message = match names.as_slice() {
        [] => return Ok(()),
        ["agent"] if is_off => return Ok(()),
        names if names.contains(&"agent") => {
            "kymo has no agent mode: remove --agent and the flags --storage.agent.*. A server \
             with remote_write in its configuration sends the same; \
             --storage.retention.time=2h keeps it small\n"
                .to_owned()
        }
        names => {
            let names: Vec<String> = names.iter().map(|name| format!("\"--{name}\"")).collect();
            format!(
                "The following flag(s) can only be used in agent mode: [{}]. kymo has no agent \
                 mode: remove them\n",
                names.join(" ")
            )
        }
    };
    Err(Exit {
        code: WRONG_MODE,
        message,
    })
}
