//! What arrives by itself: messages of a real rsyslog, and pushes to a job.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use kymo_tests::{Client, Kymo, wait_until};
use serde_json::{Value, json};

use super::{LIMIT, config, job, lines, now_s, texts};

/// Returns where a job listens.
fn address(kymo: &Kymo, name: &str) -> SocketAddr {
    job(kymo, name)["address"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

/// A program that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program of others; `None`, with a word about it, where it is not installed.
fn spawn(program: &str, dir: &Path, args: &[&str]) -> Option<Running> {
    let mut command = Command::new(program);
    command.current_dir(dir).args(args).stdin(Stdio::null());
    match command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
        Ok(child) => Some(Running(child)),
        Err(_) => {
            println!("tailing: skipped, {program} is not installed");
            None
        }
    }
}

/// Hands a message to the system's tool for it.
fn logger(args: &[&str]) {
    assert!(
        Command::new("logger")
            .args(args)
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn a_real_rsyslog_is_received_over_connections_and_in_datagrams() {
    let owned = tempfile::tempdir().unwrap();
    let dir = owned.path();
    let section = |name: &str, protocol: &str| {
        format!(
            "- job_name: {name}
  syslog: {{listen_address: '127.0.0.1:0', listen_protocol: {protocol}, label_structured_data: true, labels: {{job: {name}}}, use_incoming_timestamp: true}}
  relabel_configs:
  - {{source_labels: [__syslog_message_severity], target_label: level}}
  - {{source_labels: [__syslog_message_facility], target_label: facility}}
  - {{source_labels: [__syslog_message_app_name], target_label: app}}
  - {{source_labels: [__syslog_message_sd_meta_32473_seq], target_label: seq}}
"
        )
    };
    let flag = config(
        dir,
        &format!(
            "log_configs:\n{}{}{}",
            section("counted", "tcp"),
            section("lines", "tcp"),
            section("datagrams", "udp")
        ),
    );
    let kymo = Kymo::start_in(dir, &[&flag]);
    let port = |job: &str| address(&kymo, job).port();
    let socket = dir.join("log.sock").display().to_string();
    let forward = |job: &str, protocol: &str, more: &str| {
        format!(
            "action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{}\" protocol=\"{protocol}\" template=\"RSYSLOG_SyslogProtocol23Format\" {more})\n",
            port(job)
        )
    };
    let text = format!(
        "global(workDirectory=\"{}\")\nmodule(load=\"imuxsock\" SysSock.Use=\"off\")\ninput(type=\"imuxsock\" Socket=\"{socket}\" RateLimit.Interval=\"0\")\n{}{}{}",
        dir.display(),
        forward("counted", "tcp", "TCP_Framing=\"octet-counted\""),
        forward("lines", "tcp", "TCP_Framing=\"traditional\""),
        forward("datagrams", "udp", ""),
    );
    fs::write(dir.join("rsyslog.conf"), text).unwrap();
    let pid = dir.join("rsyslog.pid").display().to_string();
    let conf = dir.join("rsyslog.conf").display().to_string();
    let Some(_rsyslog) = spawn("/usr/sbin/rsyslogd", dir, &["-n", "-f", &conf, "-i", &pid]) else {
        return;
    };
    wait_until("rsyslog listens", LIMIT, || {
        std::os::unix::net::UnixDatagram::unbound()
            .and_then(|probe| probe.connect(&socket))
            .is_ok()
    });
    let said = "caf\u{e9} \"quoted\" <1> [x]";
    logger(&["-u", &socket, "-t", "shop", "-p", "local3.err", said]);
    wait_until("what rsyslog sends", LIMIT, || {
        texts(&kymo, "{app=\"shop\"}").len() == 3
    });
    let mut jobs = Vec::new();
    for (line, labels) in lines(&kymo, "{app=\"shop\"}") {
        // A local message has a space behind its tag, which rsyslog keeps.
        assert_eq!(line.trim_start(), said);
        assert_eq!(labels["level"], "error");
        assert_eq!(labels["facility"], "local3");
        jobs.push(labels["job"].as_str().unwrap().to_owned());
    }
    jobs.sort();
    assert_eq!(jobs, ["counted", "datagrams", "lines"]);
    // The tool sends by itself, too, with structured data.
    let port = port("lines").to_string();
    for framing in ["--octet-count", "--tcp"] {
        logger(&[
            "--server",
            "127.0.0.1",
            "--port",
            &port,
            "--tcp",
            framing,
            "--rfc5424",
            "--sd-id",
            "meta@32473",
            "--sd-param",
            "seq=\"7\"",
            "-t",
            "cron",
            "-p",
            "user.info",
            framing.trim_start_matches('-'),
        ]);
    }
    wait_until("what the tool sends", LIMIT, || {
        texts(&kymo, "{app=\"cron\"}") == ["octet-count", "tcp"]
    });
    for (_, labels) in lines(&kymo, "{app=\"cron\"}") {
        assert_eq!(
            (&labels["seq"], &labels["level"]),
            (&json!("7"), &json!("informational"))
        );
    }
}

#[test]
fn a_job_is_pushed_to_with_its_labels_rules_and_stages() {
    let owned = tempfile::tempdir().unwrap();
    let dir = owned.path();
    let text = "log_configs:
- job_name: front
  loki_push_api:
    server: {http_listen_address: 127.0.0.1, http_listen_port: 0, grpc_listen_port: 0}
    labels: {door: front}
    use_incoming_timestamp: true
  relabel_configs:
  - {source_labels: [app], regex: drop, action: drop}
  - {source_labels: [__zone], target_label: zone}
  pipeline_stages:
  - json: {expressions: {msg: , user: }}
  - structured_metadata: {user: }
  - output: {source: msg}
";
    let flag = config(dir, text);
    let kymo = Kymo::start_in(dir, &[&flag, "--web.enable-lifecycle"]);
    let client = Client::new(address(&kymo, "front"));
    assert_eq!(client.get("/ready").text(), "ready");
    assert_eq!(client.get("/loki/api/v1/push").status, 405);
    assert_eq!(client.get("/metrics").status, 404);
    let json = [("Content-Type", "application/json")];
    let push = |body: &Value| {
        let body = body.to_string();
        client.call("POST", "/loki/api/v1/push", &json, body.as_bytes())
    };
    // Older than what is read now, so that it is seen to be kept.
    let t_ns = format!("{}000000001", now_s() - 3600);
    let answer = push(&json!({"streams": [
        {"stream": {"app": "web", "__zone": "z"},
         "values": [[t_ns, "{\"msg\":\"hello\",\"user\":\"u1\"}", {"trace": "t1"}]]},
        {"stream": {"app": "drop"}, "values": [[t_ns, "no"]]},
    ]}));
    assert_eq!((answer.status, answer.text().as_str()), (204, ""));
    // What was answered is stored.
    let found = lines(&kymo, "{door=\"front\"}");
    assert_eq!(found.len(), 1, "{found:?}");
    let (line, labels) = &found[0];
    assert_eq!(line, "hello");
    let expected = json!({"app": "web", "detected_level": "unknown", "door": "front",
        "service_name": "web", "trace": "t1", "user": "u1", "zone": "z"});
    assert_eq!(*labels, expected);
    let range = format!("start={}&end={}", now_s() - 3601, now_s() - 3500);
    let answer = kymo.get(&format!(
        "/loki/api/v1/query_range?query=%7Bdoor%3D%22front%22%7D&{range}"
    ));
    assert!(answer.text().contains(&t_ns), "{}", answer.text());
    let raw = client.call(
        "POST",
        "/promtail/api/v1/raw",
        &[],
        b"{\"msg\":\"a\"}\r\n\nplain",
    );
    assert_eq!(raw.status, 204);
    assert_eq!(texts(&kymo, "{door=\"front\"}"), ["a", "hello", "plain"]);
    assert_eq!(
        client
            .call("POST", "/loki/api/v1/push", &json, b"{\"streams\": 1}")
            .status,
        400
    );
    // A job that goes takes its listener along, and one that comes brings it.
    config(dir, &text.replace("front", "back"));
    assert_eq!(
        kymo.client().call("POST", "/-/reload", &[], b"").status,
        200
    );
    assert!(client.try_call("GET", "/ready", &[], b"").is_err());
    let client = Client::new(address(&kymo, "back"));
    assert_eq!(client.get("/ready").text(), "ready");
    assert!(kymo.terminate().success());
}
