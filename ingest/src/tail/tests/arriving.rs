//! The journal and syslog.

use super::*;

/// Stands in for the tool of the journal: entries behind the cursor, or all.
const JOURNALCTL: &str = r#"#!/bin/sh
from=0
for word in "$@"; do
  case "$word" in
    --after-cursor=c*) from=${word#--after-cursor=c} ;;
    --since=-3600s) from=0 ;;
  esac
done
n=$((from + 1))
while [ $n -le 5 ]; do
  echo "{\"__CURSOR\":\"c$n\",\"__REALTIME_TIMESTAMP\":\"100000$n\",\"MESSAGE\":\"entry $n\",\"PRIORITY\":\"3\",\"_SYSTEMD_UNIT\":\"a.service\",\"X\":[\"y\",\"z\"]}"
  n=$((n + 1))
done
echo '{"__CURSOR":"c5","X":"no message"}'
echo 'no JSON'
head -c 20000000 /dev/zero | tr '\0' '{'
echo
echo 'no JSON'
exec sleep 60
"#;

#[test]
fn the_journal_is_read_from_where_it_was_left() {
    use std::os::unix::fs::PermissionsExt;
    let mut world = World::new("unused", Vec::new());
    let tool = world.dir.path().join("journalctl");
    std::fs::write(&tool, JOURNALCTL).unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    world.job.source = LogSourceConfig::Journal(JournalConfig {
        labels: vec![("job".to_owned(), "journal".to_owned())],
        max_age: Duration::from_secs(3600),
        path: PathBuf::new(),
        matches: Vec::new(),
        json: false,
    });
    world.job.relabel = [
        "__journal__systemd_unit",
        "__journal_priority_keyword",
        "__journal_x",
    ]
    .into_iter()
    .map(|source| {
        let config = kymo_storage::model::RelabelConfig {
            source_labels: Some(vec![source.to_owned()]),
            target_label: source.rsplit('_').next().unwrap().to_owned(),
            ..kymo_storage::model::RelabelConfig::default()
        };
        kymo_storage::model::RelabelRule::new(config).unwrap()
    })
    .collect();
    world.check(&["entry 1", "entry 2", "entry 3", "entry 4", "entry 5"]);
    let streams: Vec<String> = world.sink.streams().into_iter().collect();
    assert_eq!(
        streams,
        ["{job=\"journal\", keyword=\"error\", unit=\"a.service\", x=\"y\"}"]
    );
    let first = world.sink.entries.lock().first().unwrap().1;
    assert_eq!(first, 1_000_001_000);
    let dropped = || world.tailer.as_ref().unwrap().pipelines().counts().dropped;
    let began = Instant::now();
    while dropped().get("journal_parsing_error") != Some(&2) {
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", dropped());
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(dropped()["journal_entry_too_long"], 1);
    world.tailer = None;
    world.sink.entries.lock().clear();
    world.start();
    std::thread::sleep(Duration::from_millis(200));
    assert!(world.sink.lines().is_empty(), "{:?}", world.sink.lines());
}

fn syslog(
    world: &mut World,
    protocol: SyslogProtocol,
    format: SyslogFormat,
) -> std::net::SocketAddr {
    world.job.source = LogSourceConfig::Syslog(SyslogConfig {
        listen_address: "127.0.0.1:0".to_owned(),
        protocol,
        format,
        labels: vec![("job".to_owned(), "syslog".to_owned())],
        idle_timeout: Duration::from_secs(60),
        max_message_bytes: 200,
        tls: None,
        label_structured_data: true,
        use_incoming_timestamp: true,
        use_rfc5424_message: false,
    });
    let rule = |source: &str, target: &str| {
        let config = kymo_storage::model::RelabelConfig {
            source_labels: Some(vec![format!("__syslog_{source}")]),
            target_label: target.to_owned(),
            ..kymo_storage::model::RelabelConfig::default()
        };
        kymo_storage::model::RelabelRule::new(config).unwrap()
    };
    world.job.relabel = vec![
        rule("message_severity", "level"),
        rule("message_hostname", "host"),
        rule("message_sd_meta_1_seq", "seq"),
        rule("connection_ip_address", "peer"),
    ];
    world.start();
    world.tailer.as_ref().unwrap().status()[0].address.unwrap()
}

#[test]
fn syslog_is_received_over_connections_and_in_datagrams() {
    let mut world = World::new("unused", Vec::new());
    let address = syslog(&mut world, SyslogProtocol::Tcp, SyslogFormat::Rfc5424);
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream
        .write_all(b"<11>1 2026-01-02T03:04:05Z web app - - [meta@1 seq=\"7\"] one\n65 <11>1 2026-01-02T03:04:05Z web app - - [meta@1 seq=\"7\"] two\nlines<bad\n")
        .unwrap();
    drop(stream);
    world.check(&["one", "two\nlines"]);
    let streams: Vec<String> = world.sink.streams().into_iter().collect();
    assert_eq!(
        streams,
        ["{host=\"web\", job=\"syslog\", level=\"error\", peer=\"127.0.0.1\", seq=\"7\"}"]
    );
    assert_eq!(
        world.sink.entries.lock().first().unwrap().1,
        1_767_323_045_000_000_000
    );
    let dropped = world.tailer.as_ref().unwrap().pipelines().counts().dropped;
    assert_eq!(dropped["syslog_parsing_error"], 1);
    world.tailer = None;
    world.sink.entries.lock().clear();
    let address = syslog(&mut world, SyslogProtocol::Udp, SyslogFormat::Rfc3164);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .send_to(b"<13>Jan  2 03:04:05 db cron[7]: three\n", address)
        .unwrap();
    world.check(&["three"]);
}

/// An authority, and what it signs.
struct Authority(rcgen::CertifiedIssuer<'static, rcgen::KeyPair>);

impl Authority {
    fn new() -> Authority {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        Authority(rcgen::CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Returns a certificate and its key as PEM.
    fn sign(&self) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        (cert.pem(), key.serialize_pem())
    }

    /// Returns a client that trusts this authority, and shows what it is given.
    fn client(
        &self,
        identity: Option<&(String, String)>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> rustls::ClientConnection {
        use rustls::pki_types::pem::PemObject;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer};
        let cert = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(cert(&self.0.pem())).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            Some((chain, key)) => {
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![cert(chain)], key)
            }
            None => Ok(builder.with_no_client_auth()),
        };
        let name = "localhost".try_into().unwrap();
        rustls::ClientConnection::new(Arc::new(config.unwrap()), name).unwrap()
    }
}

/// Sends messages over TLS, and returns whether they went through as far as a sender can
/// tell.
fn send(
    address: std::net::SocketAddr,
    mut session: rustls::ClientConnection,
    messages: &[&[u8]],
) -> std::io::Result<()> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    for message in messages {
        rustls::Stream::new(&mut session, &mut stream).write_all(message)?;
    }
    session.send_close_notify();
    rustls::Stream::new(&mut session, &mut stream).flush()?;
    // In TLS 1.3 the end of the handshake says nothing about the certificate of a client.
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut rest = Vec::new();
    use std::io::Read as _;
    match rustls::Stream::new(&mut session, &mut stream).read_to_end(&mut rest) {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Err(error),
        _ => Ok(()),
    }
}

#[test]
fn syslog_over_tls_asks_senders_for_their_certificates() {
    use crate::http::{PemSource, Secret, SecretSource, TlsOptions, TlsVersion};
    let (own, other) = (Authority::new(), Authority::new());
    let (cert, key) = own.sign();
    let mut world = World::new("unused", Vec::new());
    let mut address = |tls: TlsOptions| {
        syslog(&mut world, SyslogProtocol::Tcp, SyslogFormat::Rfc5424);
        world.tailer = None;
        if let LogSourceConfig::Syslog(config) = &mut world.job.source {
            config.tls = Some(tls);
        }
        world.start();
        world.tailer.as_ref().unwrap().status()[0].address
    };
    let options = |ca: Option<&Authority>| TlsOptions {
        cert: Some(PemSource::Inline(cert.clone())),
        key: Some(SecretSource::Inline(Secret::new(key.clone()))),
        ca: ca.map(|ca| PemSource::Inline(ca.0.pem())),
        min_version: Some(TlsVersion::Tls13),
        ..TlsOptions::default()
    };
    let (tls12, tls13) = (&[&rustls::version::TLS12], &[&rustls::version::TLS13]);
    // Without an authority, anybody who speaks the version is heard.
    let open = address(options(None)).unwrap();
    send(
        open,
        own.client(None, tls13),
        &[b"<11>1 - - - - - - an", b"y\n"],
    )
    .unwrap();
    assert!(send(open, own.client(None, tls12), &[b"<11>1 - - - - - - old\n"]).is_err());
    // Who trusts another authority does not talk.
    assert!(send(open, other.client(None, tls13), &[b"<11>1 - - - - - - x\n"]).is_err());
    let closed = address(options(Some(&own))).unwrap();
    let (known, unknown) = (own.sign(), other.sign());
    let framed: [&[u8]; 3] = [
        b"26 <11>1 - - - - - - with ",
        b"l",
        b"en<12>1 - - - - - - line\n",
    ];
    send(closed, own.client(Some(&known), tls13), &framed).unwrap();
    for identity in [None, Some(&unknown)] {
        let sent = send(
            closed,
            own.client(identity, tls13),
            &[b"<11>1 - - - - - - no\n"],
        );
        assert!(sent.is_err(), "{sent:?}");
    }
    // One that never ends its handshake, and one that speaks none, hold up nobody.
    let _silent = std::net::TcpStream::connect(closed).unwrap();
    let mut plain = std::net::TcpStream::connect(closed).unwrap();
    plain.write_all(b"<11>1 - - - - - - plain\n").unwrap();
    send(
        closed,
        own.client(Some(&known), tls13),
        &[b"<11>1 - - - - - - last\n"],
    )
    .unwrap();
    world.check(&["any", "with len", "line", "last"]);
    // What cannot be used is told at the start.
    let broken = TlsOptions {
        key: Some(SecretSource::Inline(Secret::new("no key"))),
        ..options(None)
    };
    world.tailer = None;
    if let LogSourceConfig::Syslog(config) = &mut world.job.source {
        config.tls = Some(broken);
    }
    let tailer = Tailer::new(world.setup());
    let jobs = tailer
        .prepare(&[world.job.clone()], &world.options)
        .unwrap();
    let error = tailer.commit(jobs).unwrap_err();
    assert!(
        error.contains("unable to use specified server key"),
        "{error}"
    );
}
