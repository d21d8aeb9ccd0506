//! A connection through a SOCKS5 proxy (RFC 1928, passwords by RFC 1929). Names are sent
//! as they are: the proxy finds their addresses.

use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::super::error::errno_text;
use super::ProxyUrl;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const PASSWORD: u8 = 2;
const CONNECT: u8 = 1;

/// Asks the proxy at the other end of `stream` for a connection.
///
/// # Errors
/// The proxy's reason in Go's words, or what is wrong with its answer.
pub(in super::super) async fn open(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    proxy: &ProxyUrl,
    host: &str,
    port: u16,
) -> Result<(), String> {
    greet(stream, proxy.credentials()).await?;
    let mut request = vec![VERSION, CONNECT, 0];
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => {
            request.push(1);
            request.extend_from_slice(&v4.octets());
        }
        Ok(IpAddr::V6(v6)) => {
            request.push(4);
            request.extend_from_slice(&v6.octets());
        }
        Err(_) => {
            let len = u8::try_from(host.len()).map_err(|_| "FQDN too long".to_owned())?;
            request.extend_from_slice(&[3, len]);
            request.extend_from_slice(host.as_bytes());
        }
    }
    request.extend_from_slice(&port.to_be_bytes());
    stream.write_all(&request).await.map_err(text)?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.map_err(text)?;
    let [version, reply, _, kind] = head;
    if version != VERSION {
        return Err(format!("unexpected protocol version {version}"));
    }
    if reply != 0 {
        return Err(format!("unknown error {}", reason(reply)));
    }
    // The address that the proxy bound says nothing to us, but has to be read.
    let len = match kind {
        1 => 4,
        4 => 16,
        3 => usize::from(stream.read_u8().await.map_err(text)?),
        kind => return Err(format!("unknown address type {kind}")),
    };
    let mut bound = vec![0; len + 2];
    stream.read_exact(&mut bound).await.map_err(text)?;
    Ok(())
}

async fn greet(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    credentials: Option<(String, String)>,
) -> Result<(), String> {
    let greeting: &[u8] = match credentials {
        Some(_) => &[VERSION, 2, NO_AUTHENTICATION, PASSWORD],
        None => &[VERSION, 1, NO_AUTHENTICATION],
    };
    stream.write_all(greeting).await.map_err(text)?;
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen).await.map_err(text)?;
    let [version, method] = chosen;
    if version != VERSION {
        return Err(format!("unexpected protocol version {version}"));
    }
    match (method, credentials) {
        (NO_AUTHENTICATION, _) => Ok(()),
        (PASSWORD, Some((user, password))) => log_in(stream, &user, &password).await,
        (0xff, _) => Err("no acceptable authentication methods".to_owned()),
        (method, _) => Err(format!("unsupported authentication method {method}")),
    }
}

async fn log_in(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    user: &str,
    password: &str,
) -> Result<(), String> {
    let mut request = vec![1];
    for word in [user, password] {
        let len = u8::try_from(word.len()).map_err(|_| "invalid username/password".to_owned())?;
        request.push(len);
        request.extend_from_slice(word.as_bytes());
    }
    stream.write_all(&request).await.map_err(text)?;
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).await.map_err(text)?;
    match answer {
        [1, 0] => Ok(()),
        [1, _] => Err("username/password authentication failed".to_owned()),
        [version, _] => Err(format!("invalid username/password version {version}")),
    }
}

fn reason(reply: u8) -> String {
    let text = match reply {
        1 => "general SOCKS server failure",
        2 => "connection not allowed by ruleset",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "TTL expired",
        7 => "command not supported",
        8 => "address type not supported",
        _ => return format!("unknown code: {reply}"),
    };
    text.to_owned()
}

fn text(error: std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
        _ => errno_text(&error),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// Answers each of our messages with one of `answers`, and returns what was sent.
    async fn talk(
        proxy: &str,
        host: &str,
        answers: &[&[u8]],
    ) -> (Vec<Vec<u8>>, Result<(), String>) {
        let proxy = ProxyUrl::parse(proxy).unwrap();
        let (mut ours, mut theirs) = duplex(1 << 12);
        let serve = async move {
            let mut sent = Vec::new();
            for answer in answers {
                let mut buffer = [0; 512];
                let len = theirs.read(&mut buffer).await.unwrap();
                sent.push(buffer[..len].to_vec());
                theirs.write_all(answer).await.unwrap();
            }
            sent
        };
        tokio::join!(serve, open(&mut ours, &proxy, host, 80))
    }

    #[tokio::test]
    async fn a_connection_is_asked_for_by_name_or_address() {
        let done: &[u8] = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let (sent, opened) = talk("socks5://p", "host", &[&[5, 0], done]).await;
        assert_eq!(opened, Ok(()));
        let asked = [&[5, 1, 0, 3, 4][..], b"host", &[0, 80]].concat();
        assert_eq!(sent, [vec![5, 1, 0], asked]);
        let named: &[u8] = &[5, 0, 0, 3, 1, b'x', 0, 0];
        let (sent, opened) = talk("socks5h://p", "10.0.0.1", &[&[5, 0], named]).await;
        assert_eq!(opened, Ok(()));
        assert_eq!(sent[1], [5, 1, 0, 1, 10, 0, 0, 1, 0, 80]);
        let (sent, opened) = talk("socks5://u:pw@p", "::1", &[&[5, 2], &[1, 0], done]).await;
        assert_eq!(opened, Ok(()));
        assert_eq!(sent[0], [5, 2, 0, 2]);
        assert_eq!(sent[1], [&[1, 1][..], b"u", &[2], b"pw"].concat());
    }

    #[tokio::test]
    async fn refusals_have_gos_words() {
        for (proxy, answers, text) in [
            (
                "socks5://p",
                &[&[5, 0xff][..]][..],
                "no acceptable authentication methods",
            ),
            (
                "socks5://p",
                &[&[5, 2]],
                "unsupported authentication method 2",
            ),
            ("socks5://p", &[b"HT"], "unexpected protocol version 72"),
            (
                "socks5://u:p@p",
                &[&[5, 2], &[1, 1]],
                "username/password authentication failed",
            ),
            (
                "socks5://p",
                &[&[5, 0], &[5, 5, 0, 1]],
                "unknown error connection refused",
            ),
            (
                "socks5://p",
                &[&[5, 0], &[5, 99, 0, 1]],
                "unknown error unknown code: 99",
            ),
            (
                "socks5://p",
                &[&[5, 0], &[5, 0, 0, 9]],
                "unknown address type 9",
            ),
            ("socks5://p", &[&[5]], "EOF"),
        ] {
            assert_eq!(talk(proxy, "h", answers).await.1, Err(text.to_owned()));
        }
        let long = "x".repeat(256);
        let refused = talk("socks5://p", &long, &[&[5, 0]]).await.1;
        assert_eq!(refused, Err("FQDN too long".to_owned()));
    }
}
