//! A small blocking HTTP/1.1 client: one connection per call, whole bodies.

use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long one call may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Talks to one address.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    address: SocketAddr,
}

/// What came back.
#[derive(Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in lower case, in the order received.
    pub headers: Vec<(String, String)>,
    /// The body, unpacked from chunks but not decompressed.
    pub body: Vec<u8>,
}

impl Answer {
    /// Returns the first header of a name given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {} {}", self.status, self.text()))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}", self.status, self.headers, self.text())
    }
}

impl Client {
    /// Returns a client for an address.
    pub fn new(address: SocketAddr) -> Client {
        Client { address }
    }

    /// Returns the address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks with GET; `target` is a path with its query.
    pub fn get(&self, target: &str) -> Answer {
        self.call("GET", target, &[], b"")
    }

    /// Sends parameters as a form.
    pub fn post_form(&self, target: &str, params: &[(&str, &str)]) -> Answer {
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        self.call("POST", target, &form, encode(params).as_bytes())
    }

    /// Makes a call and returns what came back.
    pub fn call(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.try_call(method, target, headers, body)
            .unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }

    /// Makes a call that may find nobody, such as while the server restarts.
    pub fn try_call(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Answer> {
        let mut request = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || matches!(method, "POST" | "PUT") {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("Connection: close\r\n\r\n");
        let mut stream = TcpStream::connect_timeout(&self.address, TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.write_all(request.as_bytes())?;
        // A server may answer and close before it has read a body it refuses.
        let sent = stream.write_all(body);
        let mut raw = Vec::new();
        let received = stream.read_to_end(&mut raw);
        match parse(&raw, method) {
            Some(answer) => Ok(answer),
            None => {
                sent?;
                received?;
                Err(std::io::Error::other(format!(
                    "not an HTTP answer: {}",
                    String::from_utf8_lossy(&raw)
                )))
            }
        }
    }
}

/// Encodes parameters for a query or a form.
pub fn encode(params: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String {
        text.bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    char::from(byte).to_string()
                }
                byte => format!("%{byte:02X}"),
            })
            .collect()
    };
    let pairs: Vec<String> = params
        .iter()
        .map(|(name, value)| format!("{}={}", escape(name), escape(value)))
        .collect();
    pairs.join("&")
}

pub(crate) fn parse(raw: &[u8], method: &str) -> Option<Answer> {
    let end = raw.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&raw[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut answer = Answer {
        status,
        headers,
        body: raw[end + 4..].to_vec(),
    };
    if answer.header("transfer-encoding") == Some("chunked") {
        answer.body = unchunk(&answer.body)?;
    } else if let Some(length) = answer.header("content-length")
        && method != "HEAD"
        && length.parse() != Ok(answer.body.len())
    {
        return None;
    }
    Some(answer)
}

/// Joins chunks; `None` where the last one is missing.
fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..line]).ok()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        rest = &rest[line + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunked_and_plain_bodies_are_read_and_cut_ones_refused() {
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        assert_eq!(parse(chunked, "GET").unwrap().text(), "abcde");
        assert!(parse(&chunked[..chunked.len() - 8], "GET").is_none());
        let plain = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nX: y\r\n\r\nno";
        let answer = parse(plain, "GET").unwrap();
        assert_eq!((answer.status, answer.header("x")), (404, Some("y")));
        assert!(parse(&plain[..plain.len() - 1], "GET").is_none());
    }

    #[test]
    fn parameters_are_percent_encoded() {
        assert_eq!(
            encode(&[("match[]", "{a=\"b c\"}"), ("x", "é")]),
            "match%5B%5D=%7Ba%3D%22b%20c%22%7D&x=%C3%A9"
        );
    }
}
