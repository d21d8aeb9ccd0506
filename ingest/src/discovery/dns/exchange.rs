//! One question to one DNS server: over UDP, and over TCP where the answer is cut.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, Query};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// Longest time for an answer, over each of both.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes that an answer over UDP may have.
const MAX_UDP_BYTES: u16 = 4096;

/// Asks a server for the records of a name.
///
/// # Errors
/// There is no answer, or none that can be read. What the answer says is not judged.
pub(super) async fn ask(
    server: SocketAddr,
    name: &str,
    record_type: RecordType,
) -> Result<Message, String> {
    let name = Name::from_str(name).map_err(|error| format!("{name:?} is no name: {error}"))?;
    let question = Query::query(name, record_type);
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(question.clone());
    let mut with_edns = message.clone();
    let mut edns = Edns::new();
    edns.set_max_payload(MAX_UDP_BYTES);
    with_edns.set_edns(edns);
    let answer = timed(over_udp(server, &with_edns)).await?;
    if !answer.metadata.truncation {
        return Ok(answer);
    }
    let answer = timed(over_tcp(server, &message)).await?;
    match answer.metadata.truncation {
        false => Ok(answer),
        true => Err("got truncated message on TCP (64kiB limit exceeded?)".to_owned()),
    }
}

async fn timed(exchange: impl Future<Output = Result<Message, String>>) -> Result<Message, String> {
    match tokio::time::timeout(TIMEOUT, exchange).await {
        Ok(result) => result,
        Err(_) => Err("i/o timeout".to_owned()),
    }
}

async fn over_udp(server: SocketAddr, message: &Message) -> Result<Message, String> {
    let failed = |error: std::io::Error| error.to_string();
    let any = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await.map_err(failed)?;
    // A connected socket takes answers from this server only.
    socket.connect(server).await.map_err(failed)?;
    let bytes = message.to_vec().map_err(|error| error.to_string())?;
    socket.send(&bytes).await.map_err(failed)?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let len = socket.recv(&mut buffer).await.map_err(failed)?;
        let Some(received) = buffer.get(..len) else {
            continue;
        };
        // What answers another question may be late, or a forgery.
        match Message::from_vec(received) {
            Ok(answer) if answers(&answer, message) => return Ok(answer),
            Ok(_) => {}
            Err(error) if received.starts_with(&message.metadata.id.to_be_bytes()) => {
                return Err(format!("cannot read the answer: {error}"));
            }
            Err(_) => {}
        }
    }
}

async fn over_tcp(server: SocketAddr, message: &Message) -> Result<Message, String> {
    let failed = |error: std::io::Error| error.to_string();
    let bytes = message.to_vec().map_err(|error| error.to_string())?;
    let len = u16::try_from(bytes.len()).map_err(|error| error.to_string())?;
    let mut framed = len.to_be_bytes().to_vec();
    framed.extend_from_slice(&bytes);
    let mut stream = TcpStream::connect(server).await.map_err(failed)?;
    stream.write_all(&framed).await.map_err(failed)?;
    let len = stream.read_u16().await.map_err(failed)?;
    let mut buffer = vec![0; usize::from(len)];
    stream.read_exact(&mut buffer).await.map_err(failed)?;
    let answer = Message::from_vec(&buffer);
    let answer = answer.map_err(|error| format!("cannot read the answer: {error}"))?;
    match answers(&answer, message) {
        true => Ok(answer),
        false => Err("the answer is to another question".to_owned()),
    }
}

/// Tells whether a message answers a question. A server that cannot read questions may
/// leave them out.
fn answers(answer: &Message, message: &Message) -> bool {
    let same = |(a, b): (&Query, &Query)| a.name() == b.name() && a.query_type() == b.query_type();
    answer.metadata.message_type == MessageType::Response
        && answer.metadata.id == message.metadata.id
        && (answer.queries.is_empty()
            || answer.queries.len() == message.queries.len()
                && answer.queries.iter().zip(&message.queries).all(same))
}
