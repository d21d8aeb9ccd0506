//! A DNS server for tests, over UDP and TCP, that answers what it is told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

/// What is answered for a name and a type.
#[derive(Clone)]
pub(super) enum Reply {
    Records(Vec<RData>),
    /// The same, but cut over UDP.
    Long(Vec<RData>),
    Failure(ResponseCode),
    /// An answer to somebody else's question first, then this one.
    Forged(Vec<RData>),
    Silence,
}

type Replies = Arc<Mutex<BTreeMap<(String, RecordType), Reply>>>;

pub(super) struct DnsServer {
    pub(super) address: SocketAddr,
    replies: Replies,
}

impl DnsServer {
    pub(super) async fn start() -> DnsServer {
        let replies = Replies::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let socket = UdpSocket::bind(address).await.unwrap();
        tokio::spawn(udp(socket, Arc::clone(&replies)));
        tokio::spawn(tcp(listener, Arc::clone(&replies)));
        DnsServer { address, replies }
    }

    pub(super) fn set(&self, name: &str, kind: RecordType, reply: Reply) {
        self.replies.lock().insert((name.to_owned(), kind), reply);
    }
}

async fn udp(socket: UdpSocket, replies: Replies) {
    let mut buffer = vec![0; 65_535];
    loop {
        let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
        let question = Message::from_vec(&buffer[..len]).unwrap();
        assert!(question.edns.is_some() && question.metadata.recursion_desired);
        let reply = find(&replies, &question);
        if matches!(reply, Reply::Silence) {
            continue;
        }
        let mut message = answer(&question, &reply);
        if matches!(reply, Reply::Long(_)) {
            message.metadata.truncation = true;
            message.answers.clear();
        }
        if let Reply::Forged(_) = reply {
            let mut forged = message.clone();
            forged.metadata.id = forged.metadata.id.wrapping_add(1);
            forged.answers.clear();
            let bytes = forged.to_vec().unwrap();
            socket.send_to(&bytes, from).await.unwrap();
            socket.send_to(b"nonsense", from).await.unwrap();
        }
        let bytes = message.to_vec().unwrap();
        socket.send_to(&bytes, from).await.unwrap();
    }
}

async fn tcp(listener: TcpListener, replies: Replies) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let len = stream.read_u16().await.unwrap();
        let mut buffer = vec![0; usize::from(len)];
        stream.read_exact(&mut buffer).await.unwrap();
        let question = Message::from_vec(&buffer).unwrap();
        let bytes = answer(&question, &find(&replies, &question))
            .to_vec()
            .unwrap();
        stream.write_u16(bytes.len() as u16).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
    }
}

/// What nobody set does not exist.
fn find(replies: &Replies, question: &Message) -> Reply {
    let query = &question.queries[0];
    let key = (query.name().to_ascii(), query.query_type());
    let found = replies.lock().get(&key).cloned();
    found.unwrap_or(Reply::Failure(ResponseCode::NXDomain))
}

fn answer(question: &Message, reply: &Reply) -> Message {
    let mut message = Message::response(question.metadata.id, question.metadata.op_code);
    message.add_query(question.queries[0].clone());
    match reply {
        Reply::Failure(code) => message.metadata.response_code = *code,
        Reply::Records(records) | Reply::Long(records) | Reply::Forged(records) => {
            let name = question.queries[0].name();
            for data in records {
                message.add_answer(Record::from_rdata(name.clone(), 60, data.clone()));
            }
        }
        Reply::Silence => {}
    }
    message
}

pub(super) fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}
