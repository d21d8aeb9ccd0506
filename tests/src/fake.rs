//! Small servers that stand for others: one speaks HTTP, one DNS.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// Method and target, such as `GET /x`.
    pub line: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

/// What is answered: status, content type and body.
pub type Reply = (u16, &'static str, String);

/// An HTTP server that answers with a function, one connection a request.
#[derive(Debug)]
pub struct FakeHttp {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl FakeHttp {
    /// Starts a server on a free port. `answer` may take as long as it likes.
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> FakeHttp {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (Arc::clone(&requests), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let mut stream = stream;
                    let Some(request) = read(&mut stream) else {
                        return;
                    };
                    kept.lock().unwrap().push(request.clone());
                    let (status, content_type, body) = answer(&request);
                    let head = format!(
                        "HTTP/1.1 {status} Reply\r\nContent-Type: {content_type}\r\n\
                         Content-Length: {}\r\nConnection: close\r\n\r\n",
                        body.len()
                    );
                    // Whoever asked may have gone.
                    let _ = stream.write_all((head + &body).as_bytes());
                });
            }
        });
        FakeHttp { address, requests }
    }

    /// Returns the address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

/// Reads a request; `None` where it breaks off.
pub(crate) fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut raw = Vec::new();
    let mut chunk = [0; 4096];
    let end = loop {
        if let Some(at) = raw.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        match stream.read(&mut chunk) {
            Ok(len) if len > 0 => raw.extend_from_slice(&chunk[..len]),
            _ => return None,
        }
    };
    let head = String::from_utf8_lossy(&raw[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut body = raw.split_off(end + 4);
    let wanted = headers
        .get("content-length")
        .map_or(0, |n| n.parse().unwrap());
    while body.len() < wanted {
        match stream.read(&mut chunk) {
            Ok(len) if len > 0 => body.extend_from_slice(&chunk[..len]),
            _ => return None,
        }
    }
    Some(Request {
        line,
        headers,
        body,
    })
}

/// A DNS server, over UDP, that knows services: their name in lower case with its last
/// dot, and the host names and ports they are at.
#[derive(Debug)]
pub struct FakeDns {
    address: SocketAddr,
    services: Arc<Mutex<Services>>,
}

type Services = BTreeMap<String, Vec<(String, u16)>>;

impl FakeDns {
    /// Starts a server on a free port.
    pub fn start() -> FakeDns {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let services = Arc::<Mutex<Services>>::default();
        let known = Arc::clone(&services);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                if let Some(reply) = answer(&buffer[..len], &known.lock().unwrap()) {
                    let _ = socket.send_to(&reply, from);
                }
            }
        });
        FakeDns { address, services }
    }

    /// Returns the address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says where a service is; nowhere means that there is no such name.
    pub fn set(&self, name: &str, places: &[(&str, u16)]) {
        let places = places
            .iter()
            .map(|(host, port)| ((*host).to_owned(), *port));
        let mut services = self.services.lock().unwrap();
        services.insert(name.to_owned(), places.collect());
    }
}

fn answer(question: &[u8], services: &Services) -> Option<Vec<u8>> {
    const SRV: u16 = 33;
    let mut at = 12;
    let mut name = String::new();
    loop {
        let len = usize::from(*question.get(at)?);
        let label = question.get(at + 1..at + 1 + len)?;
        at += 1 + len;
        if len == 0 {
            break;
        }
        name += &String::from_utf8_lossy(label).to_ascii_lowercase();
        name.push('.');
    }
    let kind = u16::from_be_bytes([*question.get(at)?, *question.get(at + 1)?]);
    let places = services
        .get(&name)
        .filter(|places| !places.is_empty() && kind == SRV);
    let mut reply = question.get(..2)?.to_vec();
    let code: u8 = if places.is_some() { 0 } else { 3 };
    reply.extend_from_slice(&[0x81, 0x80 | code, 0, 1]);
    let places = places.map_or(&[][..], Vec::as_slice);
    reply.extend_from_slice(&(places.len() as u16).to_be_bytes());
    reply.extend_from_slice(&[0, 0, 0, 0]);
    reply.extend_from_slice(question.get(12..at + 4)?);
    for (host, port) in places {
        let mut target = Vec::new();
        for label in host.split('.').filter(|label| !label.is_empty()) {
            target.push(label.len() as u8);
            target.extend_from_slice(label.as_bytes());
        }
        target.push(0);
        // The name of the question, class IN, a minute to live, priority 1, weight 1.
        reply.extend_from_slice(&[0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60]);
        reply.extend_from_slice(&(6 + target.len() as u16).to_be_bytes());
        reply.extend_from_slice(&[0, 1, 0, 1]);
        reply.extend_from_slice(&port.to_be_bytes());
        reply.extend_from_slice(&target);
    }
    Some(reply)
}
