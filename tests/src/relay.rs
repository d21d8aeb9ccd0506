//! A relay before a server: it passes requests on, keeps those that were taken, and is out
//! when it is told to.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::fake::{self, Request};
use crate::http::Client;

/// Headers that belong to a connection and not to a request or an answer.
const OF_CONNECTION: [&str; 4] = ["host", "content-length", "connection", "transfer-encoding"];

/// See the module's text.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    to: Client,
    is_out: AtomicBool,
    refused: AtomicU64,
    taken: Mutex<Vec<Request>>,
}

impl Relay {
    /// Starts a relay on a free port.
    pub fn start(to: SocketAddr) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            to: Client::new(to),
            is_out: AtomicBool::new(false),
            refused: AtomicU64::new(0),
            taken: Mutex::default(),
        });
        let kept = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&kept);
                std::thread::spawn(move || state.pass_on(stream));
            }
        });
        Relay { address, state }
    }

    /// Returns the address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Goes out, or comes back.
    pub fn set_out(&self, is_out: bool) {
        self.state.is_out.store(is_out, Ordering::SeqCst);
    }

    /// Returns how many requests found it out.
    pub fn refused(&self) -> u64 {
        self.state.refused.load(Ordering::SeqCst)
    }

    /// Returns the requests that the server answered with 2xx, in the order in which it
    /// did, from the `first` on.
    pub fn taken(&self, first: usize) -> Vec<Request> {
        let taken = self.state.taken.lock().unwrap();
        taken.get(first..).unwrap_or_default().to_vec()
    }
}

impl State {
    fn pass_on(&self, mut stream: TcpStream) {
        let Some(request) = fake::read(&mut stream) else {
            return;
        };
        if self.is_out.load(Ordering::SeqCst) {
            // By turns a server that says so and one that is not there.
            if self
                .refused
                .fetch_add(1, Ordering::SeqCst)
                .is_multiple_of(2)
            {
                let head = "HTTP/1.1 503 Out\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                let _ = stream.write_all(head.as_bytes());
            }
            return;
        }
        let (method, target) = request.line.split_once(' ').unwrap();
        let headers: Vec<(&str, &str)> = request
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| !OF_CONNECTION.contains(name))
            .collect();
        let Ok(answer) = self.to.try_call(method, target, &headers, &request.body) else {
            return;
        };
        if answer.status / 100 == 2 {
            self.taken.lock().unwrap().push(request);
        }
        let mut head = format!(
            "HTTP/1.1 {} Reply\r\nContent-Length: {}\r\nConnection: close\r\n",
            answer.status,
            answer.body.len()
        );
        for (name, value) in &answer.headers {
            if !OF_CONNECTION.contains(&name.to_ascii_lowercase().as_str()) {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        head.push_str("\r\n");
        // Whoever asked may have gone.
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(&answer.body);
    }
}
