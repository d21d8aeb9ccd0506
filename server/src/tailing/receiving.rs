//! Listeners of jobs that are pushed to (`loki_push_api`): Loki's push, and lines as they are.
//!
//! Each such job has an address of its own. What comes goes through the job's rules and
//! stages; a sender is answered when what left them is in the log of the store. Entries that
//! a stage holds back are not waited for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, Request, StatusCode, header};
use hyper::body::Incoming;
use kymo_ingest::http::TlsListener;
use kymo_ingest::loki::{BodyLimits, Buffers, Encoding, Format, Limits, PushError, Receiver};
use kymo_ingest::tail::{Inlet, SinkError, Tailer};
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::task::JoinHandle;

use crate::app::App;
use crate::clock;
use crate::http::body::{BodyError, Received};
use crate::http::error::{plain, plain_text};
use crate::http::listener::{self, Handshake, Listener};
use crate::work::memory::Refused;

/// Requests of one job that wait for the store at one time.
const MAX_WAITING: usize = 64;

/// All listeners.
#[derive(Debug)]
pub(super) struct Listeners {
    app: Weak<App>,
    running: Mutex<BTreeMap<String, Running>>,
}

#[derive(Debug)]
struct Running {
    inlet: Arc<Inlet>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Listeners {
    pub(super) fn new(app: Weak<App>) -> Listeners {
        Listeners {
            app,
            running: Mutex::default(),
        }
    }

    /// Listens for exactly the jobs that are pushed to.
    ///
    /// # Errors
    /// Some addresses cannot be listened on; the others are.
    pub(super) async fn apply(&self, tailer: &Tailer) -> Result<(), String> {
        let inlets = tailer.inlets();
        let mut running = self.running.lock().await;
        let (mut kept, mut over) = (BTreeMap::new(), Vec::new());
        for (job, one) in std::mem::take(&mut *running) {
            let is_same = |inlet: &Arc<Inlet>| Arc::ptr_eq(inlet, &one.inlet);
            match inlets.get(&job).is_some_and(is_same) {
                true => {
                    kept.insert(job, one);
                }
                false => over.push(one),
            }
        }
        *running = kept;
        // An address may go from one job to another.
        end(over).await;
        let mut mistakes = Vec::new();
        for (job, inlet) in inlets {
            if running.contains_key(&job) {
                continue;
            }
            match self.start(&job, inlet).await {
                Ok(one) => {
                    running.insert(job, one);
                }
                Err(mistake) => mistakes.push(format!("log job {job}: {mistake}")),
            }
        }
        match mistakes.is_empty() {
            true => Ok(()),
            false => Err(mistakes.join("; ")),
        }
    }

    /// Ends all listeners.
    pub(super) async fn stop(&self) {
        let running = std::mem::take(&mut *self.running.lock().await);
        end(running.into_values().collect()).await;
    }

    async fn start(&self, job: &str, inlet: Arc<Inlet>) -> Result<Running, String> {
        let app = self.app.upgrade().ok_or("the server stops")?;
        let config = inlet.config();
        let tls = match &config.tls {
            Some(options) => {
                let tls = TlsListener::new(options.clone());
                // Certificates that cannot be used are told now.
                tls.config()?;
                Some(Arc::new(move || tls.config()) as Handshake)
            }
            None => None,
        };
        let limits = listener::Limits {
            max_connections: app.flags.web.max_connections,
            read_timeout: app.flags.web.read_timeout(),
        };
        let addresses = [config.listen_address.clone()];
        let listener = Listener::bind(&addresses, limits).await;
        let listener = listener.map_err(|error| error.to_string())?;
        let address = listener.addresses().next();
        let is_open = |address: &SocketAddr| !address.ip().is_loopback();
        if let Some(address) = address {
            tracing::info!(job, %address, tls = tls.is_some(), "listening for pushes");
            if is_open(&address) && config.tls.as_ref().is_none_or(|tls| tls.ca.is_none()) {
                tracing::warn!(%address, "others on the network may push logs without credentials");
            }
            inlet.opened(address);
        }
        let (stop, stopped) = watch::channel(false);
        let door = Arc::new(Door {
            app: self.app.clone(),
            inlet: Arc::clone(&inlet),
            receiver: Receiver::new(unchecked(), BodyLimits::default()),
            waiting: Semaphore::new(MAX_WAITING),
        });
        let handler = move |request| Arc::clone(&door).answer(request);
        Ok(Running {
            inlet,
            stop,
            task: tokio::spawn(listener.serve(handler, tls, stopped)),
        })
    }
}

async fn end(listeners: Vec<Running>) {
    for one in &listeners {
        // It hears of it, or has ended.
        let _heard = one.stop.send(true);
    }
    for one in listeners {
        if let Err(panic) = one.task.await {
            tracing::error!(%panic, "a listener for pushes ended in a panic");
        }
    }
}

/// Returns limits that let everything through and add nothing: what the stages make of it is
/// checked when it is stored.
fn unchecked() -> Limits {
    const HUNDRED_YEARS_NS: i64 = 100 * 365 * 24 * 3600 * 1_000_000_000;
    Limits {
        reject_old_samples: false,
        creation_grace_period_ns: HUNDRED_YEARS_NS,
        max_line_size: 0,
        max_label_names_per_series: 0,
        max_label_name_length: 0,
        max_label_value_length: 0,
        max_structured_metadata_size: 0,
        max_structured_metadata_entries_count: 0,
        discover_service_name: Vec::new(),
        discover_log_levels: false,
        ..Limits::default()
    }
}

/// What answers the requests of one job.
#[derive(Debug)]
struct Door {
    app: Weak<App>,
    inlet: Arc<Inlet>,
    receiver: Receiver,
    waiting: Semaphore,
}

/// What a body is.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Streams(Format<'static>, Encoding),
    Lines,
}

/// Why a request was not taken, or not all of it.
#[derive(Debug)]
struct Refusal(StatusCode, String);

impl From<PushError> for Refusal {
    fn from(error: PushError) -> Refusal {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
        Refusal(status, error.to_string())
    }
}

impl From<SinkError> for Refusal {
    fn from(error: SinkError) -> Refusal {
        Refusal(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl Door {
    async fn answer(self: Arc<Door>, request: Request<Incoming>) -> Response {
        let headers = request.headers();
        let kind = match (request.method(), request.uri().path()) {
            (&Method::GET, "/ready") => return plain_text(StatusCode::OK, "ready"),
            (&Method::POST, "/loki/api/v1/push") => {
                let format = Format::from_content_type(text(headers, &header::CONTENT_TYPE));
                let encoding = text(headers, &header::CONTENT_ENCODING);
                let encoding = Encoding::from_content_encoding(encoding);
                match format.and_then(|format| Ok(Kind::Streams(format, encoding?))) {
                    Ok(kind) => kind,
                    Err(error) => return refused(Refusal::from(error)),
                }
            }
            (&Method::POST, "/promtail/api/v1/raw") => Kind::Lines,
            (_, "/ready" | "/loki/api/v1/push" | "/promtail/api/v1/raw") => {
                return plain(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
            }
            _ => return plain(StatusCode::NOT_FOUND, "404 page not found"),
        };
        match self.take(kind, request).await {
            Ok(()) => StatusCode::NO_CONTENT.into_response(),
            Err(refusal) => refused(refusal),
        }
    }

    async fn take(self: Arc<Door>, kind: Kind, request: Request<Incoming>) -> Result<(), Refusal> {
        let busy = |text: String| Refusal(StatusCode::SERVICE_UNAVAILABLE, text);
        let app = self.app.upgrade();
        let app = app.ok_or_else(|| busy("the server stops".to_owned()))?;
        let admitted = app.memory.admit(Refused::Write);
        admitted.map_err(|full| busy(full.to_string()))?;
        let (parts, body) = request.into_parts();
        let limit = self.receiver.body_limits().body_bytes;
        let body = app
            .bodies
            .read(&parts.headers, Body::new(body), limit)
            .await;
        let body = body.map_err(|error| unread(&error))?;
        let waiting = self.waiting.acquire().await;
        let _waiting = waiting.map_err(|closed| busy(closed.to_string()))?;
        let door = Arc::clone(&self);
        let given = tokio::task::spawn_blocking(move || door.give(&app, kind, &body)).await;
        given.map_err(|panic| Refusal(StatusCode::INTERNAL_SERVER_ERROR, panic.to_string()))?
    }

    /// Hands over what a body holds, and waits until it is stored.
    fn give(&self, app: &App, kind: Kind, body: &Received) -> Result<(), Refusal> {
        let (format, encoding) = match kind {
            Kind::Streams(format, encoding) => (format, encoding),
            Kind::Lines => {
                let lines = body.split(|byte| *byte == b'\n').map(without_returns);
                let lines = lines.filter(|line| !line.is_empty());
                return Ok(self.inlet.give_lines(lines)?);
            }
        };
        let mut held = Vec::new();
        let mut reserve = |bytes: usize| match app.memory.body(bytes as u64) {
            Some(memory) => {
                held.push(memory);
                true
            }
            None => false,
        };
        let mut buffers = Buffers::default();
        let form = (format, encoding);
        let admitted = self
            .receiver
            .admit(form, body, &mut buffers, &mut reserve, clock::now_ns());
        let mut admitted = admitted?;
        self.inlet.give(std::mem::take(&mut admitted.batches))?;
        let rules = self.receiver.rules();
        Ok(admitted.outcome(rules.limits())?)
    }
}

fn without_returns(line: &[u8]) -> &[u8] {
    let mut line = line;
    while let [head @ .., b'\r'] = line {
        line = head;
    }
    line
}

fn text<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn unread(error: &BodyError) -> Refusal {
    let status = match error {
        BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
        BodyError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        BodyError::Broken(_) => StatusCode::BAD_REQUEST,
    };
    Refusal(status, error.to_string())
}

fn refused(Refusal(status, text): Refusal) -> Response {
    let mut response = plain(status, &text);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let seconds = header::HeaderValue::from_static("5");
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}
