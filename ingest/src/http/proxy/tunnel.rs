//! A tunnel through an HTTP proxy, opened with `CONNECT`. Written here because Go's texts
//! about a refusal are needed, which are the proxy's own words.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::super::client::AGENT;
use super::super::error::errno_text;
use super::{Proxies, ProxyUrl};

/// Most bytes of a proxy's answer; real ones have some hundreds.
const MAX_ANSWER: usize = 16 << 10;

/// Asks the proxy at the other end of `stream` for a tunnel to `destination`, which is
/// `host:port`.
///
/// # Errors
/// The proxy's words, or what is wrong with them.
pub(in super::super) async fn open(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    proxy: &ProxyUrl,
    proxies: &Proxies,
    destination: &str,
) -> Result<(), String> {
    let request = request(proxy, proxies, destination)?;
    let text = |error: std::io::Error| format!("proxy: {}", errno_text(&error));
    stream.write_all(&request).await.map_err(text)?;
    let mut answer = Vec::with_capacity(512);
    let mut buffer = [0; 1024];
    // Nothing follows the head: whoever is asked through the tunnel waits for its client.
    while !answer.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer).await.map_err(text)? {
            0 => return Err("unexpected EOF".to_owned()),
            len => answer.extend_from_slice(&buffer[..len]),
        }
        if answer.len() > MAX_ANSWER {
            return Err("the proxy's answer to CONNECT is too long".to_owned());
        }
        if is_refusal(&answer) {
            // A refusal may have a body, which nobody reads.
            break;
        }
    }
    check(&answer)
}

fn request(proxy: &ProxyUrl, proxies: &Proxies, destination: &str) -> Result<Vec<u8>, String> {
    let mut head =
        format!("CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\n").into_bytes();
    let configured = proxies.connect_headers();
    let set = |name: &str| configured.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    if !set("user-agent") {
        head.extend_from_slice(format!("User-Agent: {AGENT}\r\n").as_bytes());
    }
    for (name, values) in configured {
        for value in values {
            let value = http::HeaderValue::from_str(value.expose())
                .map_err(|_| format!("net/http: invalid header field value for {name:?}"))?;
            head.extend_from_slice(name.as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
    }
    if let Some(value) = proxy
        .authorization()
        .filter(|_| !set("proxy-authorization"))
    {
        head.extend_from_slice(b"Proxy-Authorization: ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    Ok(head)
}

fn is_refusal(answer: &[u8]) -> bool {
    answer.contains(&b'\n') && status(answer).is_some_and(|(code, _)| code != "200")
}

fn check(answer: &[u8]) -> Result<(), String> {
    match status(answer) {
        Some(("200", _)) => Ok(()),
        Some((_, words)) if !words.is_empty() => Err(words.to_owned()),
        Some(_) => Err("unknown status code".to_owned()),
        None => {
            let line = first_line(answer);
            Err(format!("malformed HTTP response {line:?}"))
        }
    }
}

/// Returns code and words of the first line.
fn status(answer: &[u8]) -> Option<(&str, &str)> {
    let line = std::str::from_utf8(answer.split(|b| *b == b'\n').next()?).ok()?;
    let (version, rest) = line.trim_end().split_once(' ')?;
    let (code, words) = rest.split_once(' ').unwrap_or((rest, ""));
    let is_code = code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit());
    (version.starts_with("HTTP/1.") && is_code).then_some((code, words))
}

fn first_line(answer: &[u8]) -> String {
    let line = answer.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = line.get(..line.len().min(100)).unwrap_or_default();
    String::from_utf8_lossy(line).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::super::{ProxyOptions, Secret};
    use super::*;

    async fn ask(answer: &'static [u8]) -> (String, Result<(), String>) {
        let options = ProxyOptions {
            connect_headers: vec![(
                "X-Zone".to_owned(),
                vec![Secret::new("a"), Secret::new("b")],
            )],
            ..ProxyOptions::default()
        };
        let proxies = Proxies::new(&options, |_| None);
        let proxy = ProxyUrl::parse("http://u:p@proxy").unwrap();
        let (mut ours, mut theirs) = duplex(1 << 16);
        let serve = async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(theirs.read_u8().await.unwrap());
            }
            theirs.write_all(answer).await.unwrap();
            String::from_utf8(head).unwrap()
        };
        let asked = open(&mut ours, &proxy, &proxies, "h:443");
        tokio::join!(serve, asked)
    }

    #[tokio::test]
    async fn a_tunnel_is_asked_for_and_refusals_are_the_proxys_words() {
        let (head, opened) = ask(b"HTTP/1.1 200 Connection established\r\nx: y\r\n\r\n").await;
        assert_eq!(opened, Ok(()));
        let expected = format!(
            "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\nUser-Agent: {AGENT}\r\nX-Zone: a\r\n\
             X-Zone: b\r\nProxy-Authorization: Basic dTpw\r\n\r\n"
        );
        assert_eq!(head, expected);
        for (answer, text) in [
            (
                &b"HTTP/1.1 403 Not Today\r\ncontent-length: 5\r\n\r\nhello"[..],
                "Not Today",
            ),
            (b"HTTP/1.1 407\r\n\r\n", "unknown status code"),
            (b"nonsense\r\n\r\n", "malformed HTTP response \"nonsense\""),
            (b"HTTP/1.1 200 OK\r\nbroken off", "unexpected EOF"),
            (b"", "unexpected EOF"),
        ] {
            assert_eq!(ask(answer).await.1, Err(text.to_owned()));
        }
    }
}
