//! A small API server of a cluster: lists in pages, watches over chunked answers, with
//! versions, and with the ways in which real ones fail.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::LIMIT;

/// Objects in a page, however many are asked for.
const PAGE: usize = 2;

#[derive(Default)]
struct State {
    version: u64,
    /// Changes up to this version are forgotten.
    oldest: u64,
    /// By resource, namespace and name.
    objects: BTreeMap<(String, String, String), Value>,
    /// Version, resource, event and object of each change.
    log: Vec<(u64, String, &'static str, Value)>,
    /// Answers every request with this status.
    refusal: Option<u16>,
    /// How often all connections were cut.
    cuts: u64,
    asked: Vec<String>,
}

/// The server; answers until its runtime ends.
#[derive(Clone)]
pub(super) struct ApiServer {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
}

impl ApiServer {
    pub(super) async fn start() -> ApiServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = ApiServer {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
            changed: watch::Sender::new(0),
        };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = serving.clone();
                // A client that went away is what some tests are about.
                tokio::spawn(async move { server.serve(stream).await.ok() });
            }
        });
        server
    }

    /// Puts an object in place of the one of its name.
    pub(super) fn put(&self, resource: &str, mut object: Value) {
        self.change(|state| {
            state.version += 1;
            object["metadata"]["resourceVersion"] = json!(state.version.to_string());
            let text = |name: &str| object["metadata"][name].as_str().unwrap_or("").to_owned();
            let key = (resource.to_owned(), text("namespace"), text("name"));
            let old = state.objects.insert(key, object.clone());
            let event = if old.is_some() { "MODIFIED" } else { "ADDED" };
            state
                .log
                .push((state.version, resource.to_owned(), event, object));
        });
    }

    pub(super) fn delete(&self, resource: &str, namespace: &str, name: &str) {
        self.change(|state| {
            state.version += 1;
            let key = (resource.to_owned(), namespace.to_owned(), name.to_owned());
            let mut object = state.objects.remove(&key).unwrap();
            object["metadata"]["resourceVersion"] = json!(state.version.to_string());
            state
                .log
                .push((state.version, resource.to_owned(), "DELETED", object));
        });
    }

    /// Tells the version to those who watch a resource.
    pub(super) fn bookmark(&self, resource: &str) {
        self.change(|state| {
            state.version += 1;
            let meta = json!({"metadata": {"resourceVersion": state.version.to_string()}});
            state
                .log
                .push((state.version, resource.to_owned(), "BOOKMARK", meta));
        });
    }

    /// Forgets all changes so far.
    pub(super) fn compact(&self) {
        self.change(|state| state.oldest = state.version);
    }

    /// Cuts all watches in the middle of a line.
    pub(super) fn cut(&self) {
        self.change(|state| state.cuts += 1);
    }

    /// Refuses everything from now on, or no more.
    pub(super) fn refuse(&self, status: Option<u16>) {
        self.change(|state| state.refusal = status);
    }

    /// Returns what was asked for.
    pub(super) fn asked(&self) -> Vec<String> {
        self.state.lock().asked.clone()
    }

    /// Waits until something with this in it was asked for.
    pub(super) async fn wait_for(&self, part: &str) {
        let waiting = async {
            while !self.asked().iter().any(|path| path.contains(part)) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(LIMIT, waiting).await.is_err() {
            panic!("{part} was not asked for, but {:?}", self.asked());
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.changed.send_modify(|n| *n += 1);
    }

    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if stream.read_line(&mut head).await? == 0 {
                    return Ok(());
                }
            }
            let target = head.split(' ').nth(1).unwrap().to_owned();
            let (refusal, cuts) = {
                let mut state = self.state.lock();
                state.asked.push(target.clone());
                (state.refusal, state.cuts)
            };
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            let query: BTreeMap<&str, &str> = query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .collect();
            let parts: Vec<&str> = path.split('/').collect();
            let resource = *parts.last().unwrap();
            let namespace = match parts[parts.len() - 3..] {
                ["namespaces", name, _] => name,
                _ => "",
            };
            if let Some(status) = refusal {
                let body = json!({"kind": "Status", "code": status, "message": "not now"});
                answer(&mut stream, status, &body.to_string()).await?;
            } else if query.contains_key("watch") {
                let since = query["resourceVersion"].parse().unwrap();
                return self
                    .watch(&mut stream, (resource, namespace), since, cuts)
                    .await;
            } else {
                let from = query.get("continue").map_or(0, |at| at.parse().unwrap());
                let body = self.list(resource, namespace, from);
                answer(&mut stream, 200, &body.to_string()).await?;
            }
        }
    }

    fn list(&self, resource: &str, namespace: &str, from: usize) -> Value {
        let state = self.state.lock();
        let objects = state.objects.iter();
        let wanted = objects.filter(|((kind, ns, _), _)| {
            kind == resource && (namespace.is_empty() || ns == namespace)
        });
        let all: Vec<&Value> = wanted.map(|(_, object)| object).collect();
        let page = all.iter().skip(from).take(PAGE).collect::<Vec<_>>();
        let next = match from + PAGE < all.len() {
            true => (from + PAGE).to_string(),
            false => String::new(),
        };
        let version = state.version.to_string();
        json!({"metadata": {"resourceVersion": version, "continue": next}, "items": page})
    }

    async fn watch(
        &self,
        stream: &mut BufReader<TcpStream>,
        (resource, namespace): (&str, &str),
        mut since: u64,
        cuts: u64,
    ) -> std::io::Result<()> {
        let mut changed = self.changed.subscribe();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                    Transfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await?;
        if since < self.state.lock().oldest {
            let status = json!({"kind": "Status", "status": "Failure", "code": 410});
            let line = json!({"type": "ERROR", "object": status}).to_string() + "\n";
            chunk(stream, &line).await?;
            return stream.write_all(b"0\r\n\r\n").await;
        }
        loop {
            let lines: Vec<String> = {
                let state = self.state.lock();
                let news = state.log.iter().filter(|(version, kind, _, object)| {
                    let ns = object["metadata"]["namespace"].as_str();
                    let is_here = namespace.is_empty() || ns.is_none_or(|ns| ns == namespace);
                    *version > since && kind == resource && is_here
                });
                let line = |(_, _, event, object): &(u64, String, &str, Value)| {
                    json!({"type": event, "object": object}).to_string() + "\n"
                };
                let lines = news.map(line).collect();
                since = state.version;
                lines
            };
            for line in lines {
                // In two pieces, as a network may bring them.
                let (first, second) = line.split_at(line.len() / 2);
                chunk(stream, first).await?;
                chunk(stream, second).await?;
            }
            if self.state.lock().cuts > cuts {
                return chunk(stream, "{\"type\":\"ADD").await;
            }
            if changed.changed().await.is_err() {
                return Ok(());
            }
        }
    }
}

async fn chunk(stream: &mut BufReader<TcpStream>, text: &str) -> std::io::Result<()> {
    let chunk = format!("{:x}\r\n{text}\r\n", text.len());
    stream.write_all(chunk.as_bytes()).await?;
    stream.flush().await
}

async fn answer(stream: &mut BufReader<TcpStream>, status: u16, body: &str) -> std::io::Result<()> {
    let len = body.len();
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {len}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.flush().await
}
