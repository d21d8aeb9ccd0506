//! A blocking HTTP/1.1 client on one kept connection, so that no library's cost
//! or connection policy colours a latency.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

pub(crate) struct Client {
    address: String,
    connection: Option<BufReader<TcpStream>>,
    /// When the last answer came.
    last: Instant,
}

/// Servers close connections that are quiet for a while.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// Status and body of an answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(port: u16) -> Client {
        Client {
            address: format!("127.0.0.1:{port}"),
            connection: None,
            last: Instant::now(),
        }
    }

    pub(crate) fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        self.call(head.as_bytes(), &[])
    }

    /// Posts a snappy-compressed remote-write body.
    pub(crate) fn write(&mut self, path: &str, body: &[u8]) -> anyhow::Result<Answer> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-protobuf\r\n\
             Content-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n\
             Content-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        self.call(head.as_bytes(), body)
    }

    fn call(&mut self, head: &[u8], body: &[u8]) -> anyhow::Result<Answer> {
        let kept = self.connection.take();
        let mut connection = match kept.filter(|_| self.last.elapsed() < KEPT_FOR) {
            Some(connection) => connection,
            None => {
                let stream = TcpStream::connect(&self.address)
                    .with_context(|| format!("connect to {}", self.address))?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(Duration::from_secs(120)))?;
                BufReader::with_capacity(1 << 16, stream)
            }
        };
        connection.get_mut().write_all(head)?;
        connection.get_mut().write_all(body)?;
        let (answer, keep) = read_answer(&mut connection)?;
        self.last = Instant::now();
        if keep {
            self.connection = Some(connection);
        }
        Ok(answer)
    }
}

fn read_answer(connection: &mut BufReader<TcpStream>) -> anyhow::Result<(Answer, bool)> {
    let mut line = String::new();
    connection.read_line(&mut line)?;
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .with_context(|| format!("status line {line:?}"))?;
    let (mut length, mut chunked, mut keep) = (None, false, true);
    loop {
        line.clear();
        if connection.read_line(&mut line)? == 0 {
            bail!("connection closed inside the headers");
        }
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = Some(value.trim().parse::<usize>()?);
        } else if header.starts_with("transfer-encoding:") && header.ends_with("chunked") {
            chunked = true;
        } else if header == "connection: close" {
            keep = false;
        }
    }
    let mut body = Vec::new();
    if chunked {
        loop {
            line.clear();
            connection.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim_end(), 16)
                .with_context(|| format!("chunk size {line:?}"))?;
            let start = body.len();
            body.resize(start + size, 0);
            connection.read_exact(&mut body[start..])?;
            line.clear();
            connection.read_line(&mut line)?;
            if size == 0 {
                break;
            }
        }
    } else if status != 204 {
        body.resize(length.context("answer without a length")?, 0);
        connection.read_exact(&mut body)?;
    }
    Ok((Answer { status, body }, keep))
}
