//! A real Prometheus scrapes its own metrics and sends them here by remote write:
//! every sample that it holds must be found again, bit for bit.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kymo_tests::{Client, Kymo, wait_until};

/// A Prometheus process, killed when dropped.
struct Prometheus {
    child: Child,
    client: Client,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the installed Prometheus; `None` where there is none.
fn start_prometheus(dir: &Path, write_to: SocketAddr) -> Option<Prometheus> {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let config = dir.join("prometheus.yml");
    let text = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, external_labels: {{replica: a}}}}\n\
         scrape_configs:\n- job_name: self\n  static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n\
         remote_write:\n- url: http://{write_to}/api/v1/write\n  \
         queue_config: {{batch_send_deadline: 500ms}}\n"
    );
    fs::write(&config, text).unwrap();
    let child = Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            dir.join("data").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("prometheus does not start: {error}"),
    };
    let client = Client::new(SocketAddr::from(([127, 0, 0, 1], port)));
    Some(Prometheus { child, client })
}

type Samples = BTreeMap<String, Vec<(String, String)>>;

/// Asks for all samples in a window; series are keyed by their labels as JSON.
fn samples(client: Client, window_s: i64, end_s: i64) -> Samples {
    let query = format!("{{__name__=~\".+\", job=\"self\"}}[{window_s}s]");
    let params = [("query", query.as_str()), ("time", &end_s.to_string())];
    let answer = client.post_form("/api/v1/query", &params).json();
    assert_eq!(answer["status"], "success", "{answer}");
    let mut found = Samples::new();
    for series in answer["data"]["result"].as_array().unwrap() {
        let mut labels = series["metric"].clone();
        // Added on the way out; the sender's own storage does not have it.
        labels.as_object_mut().unwrap().remove("replica");
        let values = series["values"].as_array().unwrap().iter();
        let values = values.map(|pair| (pair[0].to_string(), pair[1].to_string()));
        found.insert(labels.to_string(), values.collect());
    }
    found
}

#[test]
fn every_sample_of_a_real_prometheus_arrives() {
    let dir = tempfile::tempdir().unwrap();
    let kymo = Kymo::start(&[]);
    let Some(prometheus) = start_prometheus(dir.path(), kymo.address()) else {
        println!("skipped: prometheus is not installed");
        return;
    };
    let scrapes = |client: Client| -> usize {
        let params = [("query", "count_over_time(up{job=\"self\"}[5m])")];
        let answer = client.post_form("/api/v1/query", &params).json();
        let count = answer["data"]["result"][0]["value"][1].as_str();
        count.map_or(0, |count| count.parse().unwrap())
    };
    wait_until("prometheus scrapes itself", Duration::from_secs(60), || {
        prometheus
            .client
            .try_call("GET", "/-/ready", &[], b"")
            .is_ok_and(|a| a.status == 200)
            && scrapes(prometheus.client) >= 10
    });
    // Only scrapes that are over: a scrape takes up to a second, and is stored later.
    let now_s = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let end_s = i64::try_from(now_s).unwrap() - 3;
    let want = samples(prometheus.client, 300, end_s);
    assert!(want.len() > 300, "only {} series on the sender", want.len());
    wait_until("the last samples arrive", Duration::from_secs(60), || {
        let got = samples(kymo.client(), 300, end_s);
        got.values().map(Vec::len).sum::<usize>() >= want.values().map(Vec::len).sum()
    });
    let got = samples(kymo.client(), 300, end_s);
    for (labels, values) in &want {
        assert_eq!(got.get(labels), Some(values), "samples of {labels}");
    }
    let total: usize = want.values().map(Vec::len).sum();
    println!("{total} samples of {} series found again", want.len());
}
