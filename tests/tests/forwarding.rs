//! Kymo hands on what it stores to a real Prometheus and a real VictoriaMetrics (remote
//! write 1.0) and to a second Kymo (2.0), through an outage of the receivers and two kills
//! of its own: every sample arrives, and none twice beyond what was under way at a kill.
//!
//! `KYMO_OUTAGE_SECONDS` sets how long the receivers are out.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "the whole target is a test, its helper functions too"
)]

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kymo_ingest::wire::encode::unpack;
use kymo_ingest::wire::write_request::{Part, WriteRequest};
use kymo_ingest::wire::write_request_v2::{self, RequestV2};
use kymo_tests::{Client, Kymo, Peer, Relay, WriteBody, wait_until};

const LIMIT: Duration = Duration::from_secs(120);
const N_SERIES: usize = 40;
/// Samples of a request, and of the two pieces that are under way at one time at most.
const PER_REQUEST: usize = 200;
const UNDER_WAY: usize = 2 * 2 * PER_REQUEST;

/// Series, time, bits of the value.
type Sample = (String, i64, u64);

/// Somebody who takes samples.
struct Receiver {
    name: &'static str,
    relay: Relay,
    client: Client,
    path: &'static str,
    message: &'static str,
    /// Requests that were looked at, and what was in them.
    n_read: usize,
    taken: BTreeMap<Sample, usize>,
}

impl Receiver {
    fn new(
        name: &'static str,
        client: Client,
        path: &'static str,
        message: &'static str,
    ) -> Receiver {
        Receiver {
            name,
            relay: Relay::start(client.address()),
            client,
            path,
            message,
            n_read: 0,
            taken: BTreeMap::new(),
        }
    }

    fn section(&self) -> String {
        format!(
            "- url: http://{}{}\n  name: {}\n  protobuf_message: {}\n  remote_timeout: 5s\n  \
             queue_config: {{batch_send_deadline: 100ms, max_backoff: 300ms, \
             max_samples_per_send: {PER_REQUEST}, capacity: {}}}\n",
            self.relay.address(),
            self.path,
            self.name,
            self.message,
            4 * PER_REQUEST
        )
    }

    /// Counts what was taken since the last call.
    fn read(&mut self) {
        for request in self.relay.taken(self.n_read) {
            self.n_read += 1;
            let body = unpack(&request.body, 1 << 28).unwrap();
            for sample in match request.headers["content-type"].contains("v2") {
                true => read_v2(&body),
                false => read_v1(&body),
            } {
                *self.taken.entry(sample).or_default() += 1;
            }
        }
    }

    /// Returns how many samples were taken more often than once, each time counted.
    fn repeated(&self) -> usize {
        self.taken.values().map(|times| times - 1).sum()
    }

    /// Asks the receiver how many samples it has.
    fn stored(&self) -> f64 {
        let params = [("query", "sum(count_over_time(forwarded[1h]))")];
        let answer = self.client.post_form("/api/v1/query", &params).json();
        let value = answer["data"]["result"][0]["value"][1].as_str();
        value.map_or(0.0, |value| value.parse().unwrap())
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn read_v1(body: &[u8]) -> Vec<Sample> {
    let mut found = Vec::new();
    let mut request = WriteRequest::new(body);
    while let Some(part) = request.next_part().unwrap() {
        let Part::Series(series) = part else { continue };
        let mut samples = Vec::new();
        let scanned = series.scan(|t_ms, value| samples.push((t_ms, value.to_bits())));
        let mut labels = Vec::new();
        scanned.unwrap().labels.read(&mut labels).unwrap();
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{}={}", text(name), text(value)))
            .collect();
        let labels = labels.join(",");
        found.extend(samples.into_iter().map(|(t, v)| (labels.clone(), t, v)));
    }
    found
}

fn read_v2(body: &[u8]) -> Vec<Sample> {
    let mut found = Vec::new();
    let mut symbols = Vec::new();
    let mut request = RequestV2::new(body, &mut symbols).unwrap();
    while let Some(series) = request.next_series().unwrap() {
        let (mut refs, mut samples) = (Vec::new(), Vec::new());
        write_request_v2::read_series(series, &mut refs, &mut samples).unwrap();
        let symbol = |at: u32| text(symbols[at as usize]);
        let labels: Vec<String> = refs
            .chunks(2)
            .map(|pair| format!("{}={}", symbol(pair[0]), symbol(pair[1])))
            .collect();
        let labels = labels.join(",");
        found.extend(
            samples
                .into_iter()
                .map(|(t, v)| (labels.clone(), t, v.to_bits())),
        );
    }
    found
}

/// A VictoriaMetrics, killed when dropped.
struct Victoria(Child);

impl Drop for Victoria {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_victoria(dir: &Path) -> Option<(Victoria, Client)> {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = free.local_addr().unwrap();
    drop(free);
    let child = Command::new("victoria-metrics")
        .arg(format!("-httpListenAddr={address}"))
        .arg(format!("-storageDataPath={}", dir.join("vm").display()))
        .arg("-search.latencyOffset=0s")
        // What comes twice is kept twice otherwise.
        .arg("-dedup.minScrapeInterval=1ms")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = child else {
        eprintln!("skipped: victoria-metrics is not installed");
        return None;
    };
    let victoria = Victoria(child);
    wait_until("victoria-metrics", LIMIT, || {
        TcpStream::connect(address).is_ok()
    });
    Some((victoria, Client::new(address)))
}

/// Writes to a server for a while; keeps what it acknowledges.
fn write_for(kymo: &Kymo, time: Duration, stored: &mut Vec<Sample>) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let t_ms = i64::try_from(now.as_millis()).unwrap();
        let mut body = WriteBody::new();
        let mut written = Vec::new();
        for n in 0..N_SERIES {
            let n_text = n.to_string();
            let value = (n as i64 * 7 + t_ms % 1_000_003) as f64 / 8.0;
            let labels = [("__name__", "forwarded"), ("n", n_text.as_str())];
            body.push_series(&labels, &[(t_ms, value)]);
            let labels = format!("__name__=forwarded,n={n},region=here");
            written.push((labels, t_ms, value.to_bits()));
        }
        let answer = kymo.write(&body);
        assert_eq!(answer.status, 204, "{}", answer.text());
        stored.append(&mut written);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn every_sample_arrives_through_an_outage_and_kills() {
    let outage = std::env::var("KYMO_OUTAGE_SECONDS");
    let outage = outage.map_or(3, |seconds| seconds.parse().unwrap());
    let outage = Duration::from_secs(outage);
    let dir = tempfile::tempdir().unwrap();
    let second = Kymo::start(&[]);
    let v2 = "io.prometheus.write.v2.Request";
    let v1 = "prometheus.WriteRequest";
    let mut receivers = vec![Receiver::new("kymo", second.client(), "/api/v1/write", v2)];
    std::fs::write(dir.path().join("prometheus.yml"), "").unwrap();
    let prometheus = Peer::start(
        "prometheus",
        dir.path(),
        &[
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=prometheus",
            "--web.enable-remote-write-receiver",
        ],
    );
    if let Some(peer) = &prometheus {
        peer.wait_ready();
        receivers.push(Receiver::new(
            "prometheus",
            peer.client(),
            "/api/v1/write",
            v1,
        ));
    }
    let victoria = start_victoria(dir.path());
    if let Some((_, client)) = &victoria {
        receivers.push(Receiver::new("victoria", *client, "/api/v1/write", v1));
    }
    let sections: String = receivers.iter().map(Receiver::section).collect();
    let config = dir.path().join("kymo.yml");
    let text = format!("global: {{external_labels: {{region: here}}}}\nremote_write:\n{sections}");
    std::fs::write(&config, text).unwrap();
    let flag = format!("--config.file={}", config.display());
    let start = || Kymo::start_in(dir.path(), &[&flag]);

    let mut stored = Vec::new();
    let kymo = start();
    write_for(&kymo, Duration::from_secs(1), &mut stored);
    receivers
        .iter()
        .for_each(|receiver| receiver.relay.set_out(true));
    write_for(&kymo, outage / 2, &mut stored);
    kymo.kill();
    let kymo = start();
    write_for(&kymo, outage / 2, &mut stored);
    assert!(
        receivers
            .iter()
            .all(|receiver| receiver.relay.refused() > 0)
    );
    receivers
        .iter()
        .for_each(|receiver| receiver.relay.set_out(false));
    // In the middle of catching up.
    write_for(&kymo, Duration::from_millis(150), &mut stored);
    kymo.kill();
    let kymo = start();
    write_for(&kymo, Duration::from_secs(1), &mut stored);

    for receiver in &mut receivers {
        let name = receiver.name;
        wait_until(name, LIMIT + outage, || {
            receiver.read();
            receiver.taken.len() >= stored.len()
        });
        assert!(
            receiver.taken.keys().eq(sorted(&stored).iter()),
            "{name} has other samples"
        );
        // At each of two kills: what was under way, and what was done and not written down.
        let repeated = receiver.repeated();
        println!("{name}: {} samples, {repeated} of them twice", stored.len());
        assert!(
            repeated <= 2 * (UNDER_WAY + UNDER_WAY / 2),
            "{name}: {repeated}"
        );
        wait_until(name, LIMIT, || receiver.stored() == stored.len() as f64);
    }
    // After a clean stop nothing comes again.
    let before: Vec<usize> = receivers.iter().map(Receiver::repeated).collect();
    assert!(kymo.terminate().success());
    let kymo = start();
    write_for(&kymo, Duration::from_millis(200), &mut stored);
    assert!(kymo.terminate().success());
    for (receiver, before) in receivers.iter_mut().zip(before) {
        receiver.read();
        assert_eq!(receiver.taken.len(), stored.len(), "{}", receiver.name);
        assert_eq!(receiver.repeated(), before, "{}", receiver.name);
    }
}

fn sorted(samples: &[Sample]) -> Vec<Sample> {
    let mut sorted = samples.to_vec();
    sorted.sort();
    sorted
}
