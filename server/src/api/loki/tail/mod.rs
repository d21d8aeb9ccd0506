//! Following logs over a websocket.
//!
//! A client first gets what there is, then what comes. Two tasks share the work: one hears
//! of entries as they are stored, runs them through the query and puts them into an
//! [`Outbox`]; the other, which holds the socket, sends what is due, asks every second
//! whether the client is still there, and ends when it is not. So a client that reads
//! slowly loses entries, which it is told, and holds up nobody.

mod message;
mod outbox;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use kymo_query::MemoryGrant;
use kymo_query::logql::ast::{Expr, LogExpr};
use kymo_query::logql::{
    Direction, EntryBatch, LabelSet, LogLine, LogQlError, LogRangeQuery, LogValue, Pipeline,
};
use kymo_storage::model::StreamBatch;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::error::LokiError;
use super::legacy::with_regexp;
use super::limits::check_span;
use super::params::{Bounds, bounds, limit, number};
use super::query::{Asked, run_for};
use super::result::EncodingFlags;
use crate::api::call::Call;
use crate::app::{App, Core};
use crate::clock;
use crate::work::live::{Heard, Listener};
use crate::work::query_log::Origin;

pub(super) use message::push_legacy_stream;
use message::{Form, message};
use outbox::{Outbox, identity};

/// Longest time that a client may ask entries to be held back, in seconds.
const MAX_DELAY_S: i64 = 5;
/// Pause between two questions whether the client is still there.
const PING_EVERY: Duration = Duration::from_secs(1);
/// How long a client is served before it has to ask anew.
const LONGEST: Duration = Duration::from_secs(3600);
/// A client has nothing to say but that it goes.
const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// Those who follow logs, and what was sent to them.
#[derive(Debug, Default)]
pub(crate) struct Tails {
    active: AtomicUsize,
    sent_bytes: AtomicU64,
    dropped: AtomicU64,
}

impl Tails {
    /// Returns how many follow logs now.
    pub(crate) fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// Returns how many bytes were sent.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    /// Returns how many entries were not sent because the client was too slow.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Counts one who follows, for as long as it lives.
struct Counted(Arc<App>);

impl Counted {
    fn new(app: &Arc<App>) -> Result<Counted, String> {
        let most = app.flags.log_queries.max_tails;
        let count = app.tails.active.fetch_add(1, Ordering::Relaxed) + 1;
        let counted = Counted(Arc::clone(app));
        if count > most {
            return Err(format!(
                "max concurrent tail requests limit exceeded, count > limit ({count} > {most}) \
                 (--logs.tail.max-clients)"
            ));
        }
        Ok(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.tails.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// `/loki/api/v1/tail`
pub(crate) async fn tail(
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    headers: HeaderMap,
    call: Call,
) -> Response {
    let form = match EncodingFlags::of(&headers).categorize() {
        true => Form::Categorized,
        false => Form::Merged,
    };
    start(upgrade, call, form).into_response()
}

/// `/api/prom/tail`: the same with messages in the form of 2018.
pub(crate) async fn legacy(
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    call: Call,
) -> Response {
    start(upgrade, call, Form::Legacy).into_response()
}

fn start(
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    call: Call,
    form: Form,
) -> Result<Response, LokiError> {
    let (params, flags) = (&call.params, &call.app.flags.log_queries);
    let expr = with_regexp(params)?.with_rounded_sizes();
    let limit = limit(params)?;
    let now_ns = clock::now_ns();
    let bounds = bounds(params, now_ns)?;
    let delay_s = number(params, "delay_for", 0)?;
    if delay_s < 0 {
        let most = u32::MAX;
        return Err(LokiError::bad(format!(
            "delay_for value {delay_s} is out of range [0, {most}]"
        )));
    }
    if delay_s > MAX_DELAY_S {
        return Err(LokiError::bad(format!(
            "delay_for can't be greater than {MAX_DELAY_S}"
        )));
    }
    // However many entries: the memory for a query bounds them.
    let now = Bounds {
        end_ns: now_ns,
        ..bounds
    };
    let start_ns = check_span(flags, now, now_ns)?.start_ns;
    let tail = Tail {
        core: Arc::clone(call.core()?),
        text: params.get("query").to_owned(),
        expr,
        backlog: LogRangeQuery {
            start_ns,
            // Whatever is stored by then, of times still to come, too.
            end_ns: i64::MAX,
            step_ns: 1,
            interval_ns: 0,
            limit: limit as usize,
            direction: Direction::Backward,
        },
        delay: Duration::from_secs(delay_s.unsigned_abs()),
        form,
        origin: call.origin,
        app: call.app,
    };
    let upgrade = upgrade.map_err(|rejection| LokiError::bad(rejection.to_string()))?;
    let upgrade = upgrade.max_message_size(MAX_MESSAGE_BYTES);
    Ok(upgrade.on_upgrade(move |socket| serve(socket, tail)))
}

/// A client's wishes.
struct Tail {
    app: Arc<App>,
    core: Arc<Core>,
    text: String,
    expr: Expr,
    backlog: LogRangeQuery,
    delay: Duration,
    form: Form,
    origin: Origin,
}

/// What both tasks of a client share.
#[derive(Default)]
struct Shared {
    outbox: Mutex<Outbox>,
    news: Notify,
}

/// Serves a client until it goes, and says why it ends where the client does not.
async fn serve(mut socket: WebSocket, tail: Tail) {
    if let Err((code, reason)) = follow(&mut socket, tail).await {
        // A reason has its place in a frame of 125 bytes.
        let end = reason.floor_char_boundary(123);
        let close = CloseFrame {
            code,
            reason: reason[..end].into(),
        };
        // The client may be gone.
        let _gone = socket.send(Message::Close(Some(close))).await;
    }
}

type Ending = (u16, String);

async fn follow(socket: &mut WebSocket, tail: Tail) -> Result<(), Ending> {
    let failed = |text: String| (close_code::ERROR, text);
    let Expr::Log(log) = &tail.expr else {
        return Err(failed(LogQlError::OnlyEntries.to_string()));
    };
    let _counted = Counted::new(&tail.app).map_err(failed)?;
    let following = Following {
        pipeline: Pipeline::new(log).map_err(|error| failed(error.to_string()))?,
        log: log.clone(),
        delay: tail.delay,
        batch: EntryBatch::default(),
    };
    let shared = Arc::new(Shared::default());
    // Before the backlog is read, so that nothing falls between.
    let listener = tail.app.live.listen();
    let app = Arc::clone(&tail.app);
    let collecting = tokio::spawn(collect(listener, following, Arc::clone(&shared), app));
    let _collecting = AbortOnDrop(collecting);
    let mut stopping = tail.app.stopping();
    let backlog = tokio::select! {
        backlog = backlog(&tail) => backlog.map_err(|error| failed(error.text))?,
        () = gone(socket) => return Ok(()),
        () = told(&mut stopping) => return Err(going_away()),
    };
    // The memory is held until all is sent.
    let (mut backlog, memory) = backlog;
    let sent: HashSet<u64> = backlog.iter().map(identity).collect();
    shared.outbox.lock().forget(&sent);
    drop(sent);
    while !backlog.is_empty() {
        send(socket, &tail, &outbox::Batch::front(&mut backlog)).await?;
    }
    drop((backlog, memory));
    let mut ping = tokio::time::interval(PING_EVERY);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = Instant::now() + LONGEST;
    loop {
        let (batch, due) = {
            let mut outbox = shared.outbox.lock();
            (outbox.take(clock::monotonic()), outbox.next_due())
        };
        if let Some(batch) = batch {
            send(socket, &tail, &batch).await?;
            continue;
        }
        let due = due.map_or(end, Instant::from_std);
        tokio::select! {
            () = gone(socket) => return Ok(()),
            () = shared.news.notified() => {}
            () = tokio::time::sleep_until(due.min(end)) => {}
            _ = ping.tick() => {
                let ping = Message::Ping(axum::body::Bytes::new());
                if socket.send(ping).await.is_err() {
                    return Ok(());
                }
            }
            () = told(&mut stopping) => return Err(going_away()),
        }
        if Instant::now() >= end {
            return Err(failed("reached tail max duration limit".to_owned()));
        }
    }
}

/// Waits until the server is to stop.
async fn told(stopping: &mut watch::Receiver<bool>) {
    // Whoever tells lives as long as the app.
    let _closed = stopping.wait_for(|stop| *stop).await.is_err();
}

fn going_away() -> Ending {
    (close_code::AWAY, "the server is stopping".to_owned())
}

/// Waits until the client is gone. What it says otherwise is nothing.
async fn gone(socket: &mut WebSocket) {
    loop {
        match socket.recv().await {
            None | Some(Err(_) | Ok(Message::Close(_))) => return,
            Some(Ok(_)) => {}
        }
    }
}

async fn send(socket: &mut WebSocket, tail: &Tail, batch: &outbox::Batch) -> Result<(), Ending> {
    let text = message(batch, tail.form);
    let bytes = text.len() as u64;
    let text = String::from_utf8(text).map_err(|error| (close_code::ERROR, error.to_string()))?;
    let sent = socket.send(Message::text(text)).await;
    sent.map_err(|error| (close_code::ERROR, error.to_string()))?;
    tail.app
        .tails
        .sent_bytes
        .fetch_add(bytes, Ordering::Relaxed);
    Ok(())
}

/// Returns what there is, in order of time, and the memory that it is in.
async fn backlog(tail: &Tail) -> Result<(VecDeque<LogLine>, Arc<MemoryGrant>), LokiError> {
    let categorize = tail.form == Form::Categorized;
    let asked = Asked::entries(&tail.text, tail.expr.clone(), tail.backlog, categorize);
    let (result, _cost) = run_for(&tail.app, &tail.core, tail.origin.clone(), asked).await?;
    let LogValue::Streams(streams) = result.value else {
        return Ok((VecDeque::new(), result.memory));
    };
    let mut entries: Vec<LogLine> = Vec::new();
    for stream in streams {
        // Newest first, and of one time what came last.
        entries.extend(stream.entries.into_iter().rev());
    }
    entries.sort_by_key(|entry| entry.t_ns);
    Ok((entries.into(), result.memory))
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A query that is run over entries as they are stored.
struct Following {
    log: LogExpr,
    pipeline: Pipeline,
    delay: Duration,
    batch: EntryBatch,
}

/// Puts entries that a query wants into the outbox as they are stored.
async fn collect(
    mut listener: Listener,
    mut following: Following,
    shared: Arc<Shared>,
    app: Arc<App>,
) {
    while let Some(heard) = listener.next().await {
        let mut dropped = 0;
        match heard {
            Heard::Missed(missed) => {
                // Nobody knows what it was.
                let mut outbox = shared.outbox.lock();
                outbox.missed(clock::now_ns(), LabelSet::empty());
                dropped = missed;
            }
            Heard::Entries(offered) => {
                for batch in &offered.batches {
                    dropped += following.put(batch, &shared.outbox);
                }
            }
        }
        app.tails.dropped.fetch_add(dropped, Ordering::Relaxed);
        shared.news.notify_one();
    }
}

impl Following {
    /// Puts what is wanted of a batch into the outbox; returns how many found no room.
    fn put(&mut self, batch: &StreamBatch<'_>, outbox: &Mutex<Outbox>) -> u64 {
        let value = |name: &str| batch.labels.get(name).unwrap_or("");
        let mut matchers = self.log.matchers.iter();
        if !matchers.all(|matcher| matcher.matches(value(matcher.name()))) {
            return 0;
        }
        let due = clock::monotonic() + self.delay;
        let mut dropped = 0;
        for entry in &batch.entries {
            self.batch.clear();
            let metadata = entry.metadata.iter().map(|(n, v)| (n.as_ref(), v.as_ref()));
            self.batch.push(0, entry.t_ns, &entry.line, metadata);
            let metadata = self.batch.entry(0).metadata;
            let wanted = self
                .pipeline
                .process(&batch.labels, entry.t_ns, &entry.line, metadata);
            let Some(wanted) = wanted else {
                continue;
            };
            let line = LogLine {
                t_ns: entry.t_ns,
                line: wanted.line,
                labels: Arc::new(wanted.labels),
            };
            dropped += u64::from(!outbox.lock().put(due, line));
        }
        dropped
    }
}
