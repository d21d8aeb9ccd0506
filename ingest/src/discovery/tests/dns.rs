//! Records of names from a server that knows some, refuses some and fails at some.

use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NS, SRV};
use hickory_proto::rr::{RData, RecordType};

use super::super::{DnsConfig, DnsRecord, DnsServers};
use super::dns_server::{DnsServer, Reply, name};
use super::{Found, SourceConfig};

fn names(names: &[&str], record: DnsRecord, port: i64) -> SourceConfig {
    SourceConfig::Dns(DnsConfig {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        record,
        record_text: String::new(),
        port,
        refresh_interval: Duration::from_millis(100),
    })
}

/// Starts a server and discovery that asks it, with a search list.
async fn start(search: &str) -> (DnsServer, Found, tempfile::TempDir) {
    let server = DnsServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let resolv_conf = dir.path().join("resolv.conf");
    std::fs::write(
        &resolv_conf,
        format!("nameserver 192.0.2.1\nsearch {search}\n"),
    )
    .unwrap();
    let found = Found::asking(DnsServers {
        resolv_conf,
        server: Some(server.address),
    });
    (server, found, dir)
}

#[tokio::test]
async fn services_become_targets_with_what_their_records_say() {
    let (server, mut found, _dir) = start("").await;
    let service = |host: &str, port| RData::SRV(SRV::new(1, 2, port, name(host)));
    let both = vec![service("a.org.", 9090), service("b.org.", 9091)];
    server.set("_p._tcp.org.", RecordType::SRV, Reply::Records(both));
    found.run(names(&["_p._tcp.org"], DnsRecord::Srv, 0));
    found.wait_for(&["a.org:9090", "b.org:9091"]).await;
    let group = found.group("_p._tcp.org");
    let first = "{\"__address__\": \"a.org:9090\", \"__meta_dns_name\": \"_p._tcp.org\", \
                 \"__meta_dns_srv_record_port\": \"9090\", \
                 \"__meta_dns_srv_record_target\": \"a.org.\"}";
    assert!(group.starts_with(&format!("[{first}, ")), "{group}");
    let one = vec![service("b.org.", 9091)];
    server.set("_p._tcp.org.", RecordType::SRV, Reply::Records(one));
    found.wait_for(&["b.org:9091"]).await;
}

#[tokio::test]
async fn other_records_take_the_port_of_the_configuration() {
    let (server, mut found, _dir) = start("").await;
    let v4 = vec![
        RData::CNAME(CNAME(name("c.org."))),
        RData::A(A::new(192, 0, 2, 7)),
    ];
    server.set("h.org.", RecordType::A, Reply::Forged(v4));
    let v6 = RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
    server.set("h.org.", RecordType::AAAA, Reply::Records(vec![v6]));
    let mail = RData::MX(MX::new(10, name("mail.org.")));
    server.set("org.", RecordType::MX, Reply::Records(vec![mail]));
    let ns = RData::NS(NS(name("ns.org.")));
    server.set("org.", RecordType::NS, Reply::Records(vec![ns]));
    for (source, target, meta) in [
        (names(&["h.org"], DnsRecord::A, 80), "192.0.2.7:80", ""),
        (
            names(&["h.org."], DnsRecord::Aaaa, 81),
            "[2001:db8::1]:81",
            "",
        ),
        (
            names(&["org"], DnsRecord::Mx, 25),
            "mail.org:25",
            "\"__meta_dns_mx_record_target\": \"mail.org.\"",
        ),
        (
            names(&["org"], DnsRecord::Ns, 53),
            "ns.org:53",
            "\"__meta_dns_ns_record_target\": \"ns.org.\"",
        ),
    ] {
        found.run(source);
        found.wait_for(&[target]).await;
        let groups = format!("{:?}", found.last);
        assert!(groups.contains(meta), "{groups}");
    }
}

#[tokio::test]
async fn a_cut_answer_is_asked_for_again_over_tcp() {
    let (server, mut found, _dir) = start("").await;
    let many: Vec<RData> = (0..250).map(|i| RData::A(A::new(10, 0, 1, i))).collect();
    server.set("h.org.", RecordType::A, Reply::Long(many));
    found.run(names(&["h.org"], DnsRecord::A, 1));
    found
        .wait_until("all", |last| super::addresses(last, "a").len() == 250)
        .await;
}

#[tokio::test]
async fn what_no_server_can_tell_keeps_its_targets_and_what_is_not_there_loses_them() {
    let (server, mut found, _dir) = start("example.org").await;
    let here = |last| Reply::Records(vec![RData::A(A::new(10, 0, 0, last))]);
    server.set("one.example.org.", RecordType::A, here(1));
    server.set("two.example.org.", RecordType::A, here(2));
    found.run(names(&["one", "two"], DnsRecord::A, 1));
    found.wait_for(&["10.0.0.1:1", "10.0.0.2:1"]).await;
    // The whole name fails too, so that nobody can tell.
    for refused in [Reply::Failure(ResponseCode::ServFail), Reply::Silence] {
        let failures = found.stats.snapshot().dns_failures;
        server.set("one.example.org.", RecordType::A, refused);
        found
            .wait_for_stats(|stats| stats.dns_failures > failures)
            .await;
    }
    server.set("two.example.org.", RecordType::A, here(3));
    found.wait_for(&["10.0.0.1:1", "10.0.0.3:1"]).await;
    let gone = Reply::Failure(ResponseCode::NXDomain);
    server.set("one.example.org.", RecordType::A, gone);
    server.set(
        "two.example.org.",
        RecordType::A,
        Reply::Records(Vec::new()),
    );
    found.wait_for(&[]).await;
    assert!(found.stats.snapshot().dns_lookups > 4);
    assert_eq!(found.stats.snapshot().refreshes[0].failures, 0);
}

#[tokio::test]
async fn without_servers_there_is_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let found = Found::asking(DnsServers {
        resolv_conf: dir.path().join("none"),
        server: None,
    });
    found.run(names(&["h"], DnsRecord::A, 1));
    found.wait_for_stats(|stats| stats.dns_failures > 0).await;
}
