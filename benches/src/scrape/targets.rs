//! The targets: one server that is at every loopback address. Answers are made beforehand,
//! packed and plain, so that serving them costs little of what is measured.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;

/// Answers made beforehand; values start over when all were given.
const VARIANTS: u32 = 24;

/// Stack of a thread that serves a connection.
const STACK_BYTES: usize = 64 << 10;

/// The server.
pub(super) struct Targets {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    began: Instant,
    interval: Duration,
    variants: Vec<Variant>,
    /// When each answer was given since the last time somebody asked.
    served: Mutex<Vec<Duration>>,
}

struct Variant {
    plain: Vec<u8>,
    packed: Vec<u8>,
}

impl Targets {
    /// Starts serving so many series at each address.
    pub(super) fn start(series: u32, interval: Duration) -> anyhow::Result<Targets> {
        let variants = (0..VARIANTS).map(|variant| Variant::make(series, variant));
        let shared = Arc::new(Shared {
            began: Instant::now(),
            interval,
            variants: variants.collect::<anyhow::Result<_>>()?,
            served: Mutex::default(),
        });
        // All loopback addresses are reached only by listening at every address there is.
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let port = listener.local_addr()?.port();
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let is_near = stream.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
                if !is_near {
                    continue;
                }
                let serving = Arc::clone(&serving);
                let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
                let started = thread.spawn(move || {
                    // A system that is stopped leaves its connections.
                    let _ = serving.serve(stream);
                });
                if let Err(error) = started {
                    eprintln!("a connection is not served: {error}");
                }
            }
        });
        Ok(Targets { port, shared })
    }

    /// Returns the port of all targets.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Returns when answers were given since the last call.
    pub(super) fn take_served(&self) -> Vec<Duration> {
        let mut served = self.shared.served.lock();
        std::mem::take(
            served
                .as_mut()
                .unwrap_or_else(|poisoned| poisoned.get_mut()),
        )
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            request.clear();
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read(&mut buffer)? {
                    0 => return Ok(()),
                    len => request.extend_from_slice(&buffer[..len]),
                }
            }
            let head = String::from_utf8_lossy(&request).to_ascii_lowercase();
            let elapsed = self.began.elapsed();
            let round = elapsed.as_nanos() / self.interval.as_nanos().max(1);
            let at = usize::try_from(round % self.variants.len() as u128)?;
            let variant = self.variants.get(at).context("no answers")?;
            let wants_packed = head
                .lines()
                .any(|line| line.starts_with("accept-encoding:") && line.contains("gzip"));
            stream.write_all(match wants_packed {
                true => &variant.packed,
                false => &variant.plain,
            })?;
            let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
            served.push(elapsed);
        }
    }
}

impl Variant {
    fn make(series: u32, variant: u32) -> anyhow::Result<Variant> {
        let body = body(series, variant);
        let level = flate2::Compression::fast();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
        encoder.write_all(body.as_bytes())?;
        let packed = encoder.finish()?;
        Ok(Variant {
            plain: response("", body.as_bytes()),
            packed: response("Content-Encoding: gzip\r\n", &packed),
        })
    }
}

fn response(header: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n{header}\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Writes families of ten series as exporters do: counters of several speeds, gauges that
/// move, and what hardly ever changes.
fn body(series: u32, variant: u32) -> String {
    let mut out = String::new();
    for number in 0..series {
        let (family, member) = (number / 10, number % 10);
        let kind = if family % 3 == 0 { "gauge" } else { "counter" };
        let suffix = if kind == "counter" { "_total" } else { "" };
        if member == 0 {
            let _ = writeln!(
                out,
                "# HELP bench_family_{family}{suffix} What family {family} counts."
            );
            let _ = writeln!(out, "# TYPE bench_family_{family}{suffix} {kind}");
        }
        let value = match family % 3 {
            0 => f64::from(number) + f64::from(variant * 7919 % 101) / 8.0,
            1 => f64::from(1_000_000 + number + variant * (member * 31 + 1)),
            _ => f64::from(number),
        };
        let _ = writeln!(
            out,
            "bench_family_{family}{suffix}{{device=\"sd{member}\",mode=\"steady\",path=\"/var/lib/{member}\"}} {value}"
        );
    }
    out
}
