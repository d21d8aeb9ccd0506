//! `kymo logs tail`: entries as they come, over a websocket.
//!
//! Where the connection breaks, it is made again a few times, from the time of the last
//! entry on. An interrupt ends it in order.

use std::time::Duration;

use clap::Args;
use futures_util::StreamExt;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::answer::{TailMessage, entries};
use super::lines::{LineFlags, Lines};
use super::parse_ns;
use super::query::connect;
use crate::client::{HttpFlags, Server, form, parse_pair};
use crate::clock;
use crate::terminal::{complain, say};

/// How often a broken connection is made again, one attempt after the other.
const MAX_ATTEMPTS: u32 = 5;

/// Pause before the first attempt; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct TailArgs {
    /// The server.
    #[arg(value_name = "SERVER")]
    server: String,

    /// The query.
    #[arg(value_name = "QUERY")]
    query: String,

    /// Most entries that were stored before to print first.
    #[arg(long, value_name = "N", default_value_t = 30)]
    limit: usize,

    /// How far to look back for those.
    #[arg(long, value_name = "DURATION", value_parser = parse_ns, default_value = "1h")]
    since: i64,

    /// Seconds that the server holds entries back to sort them, at most 5.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    delay_for: u32,

    /// Tenant, for servers that have some.
    #[arg(long, value_name = "ID")]
    org_id: Option<String>,

    /// Header for the request, NAME=VALUE; may be given several times.
    #[arg(long, value_name = "HEADER", value_parser = parse_pair)]
    header: Vec<(String, String)>,

    #[command(flatten)]
    lines: LineFlags,
}

/// What is followed and how it is printed.
pub(super) struct Followed<'a> {
    pub(super) query: &'a str,
    pub(super) limit: usize,
    /// From when on stored entries are printed; the server decides where this is missing.
    pub(super) start_ns: Option<i64>,
    pub(super) delay_for: u32,
    pub(super) lines: &'a LineFlags,
}

/// Runs the command.
///
/// # Errors
/// The server cannot be asked, or refuses the query.
pub(super) fn run(args: &TailArgs, http: &HttpFlags) -> Result<(), String> {
    let server = connect(&args.server, http, &args.header, args.org_id.as_deref())?;
    let start_ns = clock::now_ns().saturating_sub(args.since);
    let followed = Followed {
        query: &args.query,
        limit: args.limit,
        start_ns: Some(start_ns),
        delay_for: args.delay_for,
        lines: &args.lines,
    };
    follow(&server, &followed)
}

/// Prints entries until the server ends it or somebody interrupts.
///
/// # Errors
/// The server cannot be asked, refuses the query, or is gone for good.
pub(super) fn follow(server: &Server, followed: &Followed<'_>) -> Result<(), String> {
    server.block_on(async {
        let mut from_ns = followed.start_ns;
        let mut attempt = 0;
        loop {
            let ended = listen(server, followed, &mut from_ns, &mut attempt).await;
            let reason = match ended {
                Ok(()) => return Ok(()),
                Err(End::Refused(reason)) => return Err(reason),
                Err(End::Broken(reason)) => reason,
            };
            attempt += 1;
            if attempt > MAX_ATTEMPTS {
                return Err(format!("{reason}; given up after {MAX_ATTEMPTS} attempts"));
            }
            complain(&format!("{reason}; connecting again\n"));
            let pause = FIRST_PAUSE.saturating_mul(1 << (attempt - 1));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = tokio::signal::ctrl_c() => return Ok(()),
            }
        }
    })
}

/// Why a connection is over.
enum End {
    /// Another one would end the same way.
    Refused(String),
    /// Another one may do better.
    Broken(String),
}

/// Prints what comes over one connection.
async fn listen(
    server: &Server,
    followed: &Followed<'_>,
    from_ns: &mut Option<i64>,
    attempt: &mut u32,
) -> Result<(), End> {
    let mut params = vec![
        ("query", followed.query.to_owned()),
        ("limit", followed.limit.to_string()),
        ("delay_for", followed.delay_for.to_string()),
    ];
    params.extend(from_ns.map(|ns| ("start", ns.to_string())));
    let path = format!("/loki/api/v1/tail?{}", form(&params));
    let mut socket = server.websocket(&path).await.map_err(|error| match error {
        WsError::Http(answer) => {
            let body = answer.body().as_deref().unwrap_or_default();
            let text = String::from_utf8_lossy(body);
            let (status, text) = (answer.status(), text.trim());
            End::Refused(format!("the server answered {status}: {text}"))
        }
        error => End::Broken(format!("the server cannot be reached: {error}")),
    })?;
    let lines = Lines::new(followed.lines);
    loop {
        let message = tokio::select! {
            message = socket.next() => message,
            _ = tokio::signal::ctrl_c() => {
                // The server notices in any case.
                let _told = socket.close(None).await;
                return Ok(());
            }
        };
        let broken = || End::Broken("the connection was closed".to_owned());
        match message.ok_or_else(broken)? {
            Ok(Message::Text(text)) => {
                *attempt = 0;
                print(&lines, text.as_str(), from_ns).map_err(End::Refused)?;
            }
            Ok(Message::Close(Some(frame))) => {
                let reason = format!("the server ended it: {}", frame.reason.as_str());
                return match frame.code {
                    CloseCode::Normal => Ok(()),
                    CloseCode::Error | CloseCode::Policy => Err(End::Refused(reason)),
                    _ => Err(End::Broken(reason)),
                };
            }
            Ok(_) => {}
            Err(error) => return Err(End::Broken(format!("the connection broke: {error}"))),
        }
    }
}

/// Prints a message, and moves on the time from which a next connection begins.
fn print(lines: &Lines<'_>, text: &str, from_ns: &mut Option<i64>) -> Result<(), String> {
    let message: TailMessage = serde_json::from_str(text)
        .map_err(|error| format!("the server sent no entries: {error}"))?;
    for entry in entries(message.streams.unwrap_or_default())? {
        say(&lines.line(&entry, &std::collections::BTreeMap::new()));
        let next_ns = entry.t_ns.saturating_add(1);
        *from_ns = Some(from_ns.map_or(next_ns, |ns| ns.max(next_ns)));
    }
    let dropped = message.dropped_entries.unwrap_or_default();
    if !dropped.is_empty() {
        complain("the server dropped entries because they were not read fast enough:\n");
    }
    for one in dropped {
        complain(&format!("  {} {}\n", one.timestamp, one.labels));
    }
    Ok(())
}
