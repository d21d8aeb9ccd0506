//! Jobs in files of their own, and how the HTTP client of a job is told to reach its
//! targets.

use std::path::{Path, PathBuf};

use kymo_ingest::http::{Auth, SecretSource};

use super::*;

fn job(text: &str) -> Config {
    let text = format!("scrape_configs:\n- job_name: a\n{text}");
    parse(&text, Path::new("/etc/kymo")).unwrap()
}

fn refusal(text: &str) -> String {
    let text = format!("scrape_configs:\n- job_name: a\n{text}");
    parse(&text, Path::new("/etc/kymo"))
        .unwrap_err()
        .to_string()
}

const WHOLE: &str = "  oauth2:
    client_id: me
    client_secret_file: secret
    scopes: [read]
    token_url: https://auth/token
    endpoint_params: {audience: all}
    tls_config: {server_name: inner, min_version: TLS10}
    proxy_url: http://u:word@proxy:3128
  proxy_url: socks5://other
  no_proxy: 10.0.0.0/8
  proxy_connect_header: {X-Zone: [a, b]}
  scrape_failure_log_file: failed.log
";

#[test]
fn tokens_and_proxies_are_read_and_shown_without_their_secrets() {
    let config = job(WHOLE);
    let job = &config.scrape_configs[0];
    let Some(Auth::OAuth2(oauth2)) = &job.client.auth else {
        panic!("{job:?}");
    };
    let file = PathBuf::from("/etc/kymo/secret");
    assert_eq!(oauth2.client_secret, Some(SecretSource::File(file)));
    assert_eq!(oauth2.endpoint_params["audience"], "all");
    assert_eq!(job.client.proxy.connect_headers[0].1.len(), 2);
    assert_eq!(job.failure_log_file, Path::new("/etc/kymo/failed.log"));
    let shown = config.job_yaml("a").unwrap();
    let expected = "oauth2:
  client_id: me
  client_secret_file: /etc/kymo/secret
  scopes:
  - read
  token_url: https://auth/token
  endpoint_params:
    audience: all
  tls_config:
    server_name: inner
    insecure_skip_verify: false
    min_version: TLS10
  proxy_url: http://u:xxxxx@proxy:3128
follow_redirects: true
enable_http2: true
proxy_url: socks5://other
no_proxy: 10.0.0.0/8
proxy_connect_header:
  X-Zone:
  - <secret>
  - <secret>
";
    assert!(shown.contains(expected), "{shown}");
    let log = "convert_classic_histograms_to_nhcb: false\nscrape_failure_log_file: /etc/kymo/failed.log\nmetrics_path: /metrics\n";
    assert!(shown.contains(log), "{shown}");
    assert!(!format!("{config:?}{shown}").contains("word"));
}

#[test]
fn assertions_are_read_and_shown_without_their_key() {
    let config = job("  oauth2:
    client_id: me
    token_url: x
    grant_type: urn:ietf:params:oauth:grant-type:jwt-bearer
    client_certificate_key: word
    client_certificate_key_id: k1
    signature_algorithm: RS512
    audience: them
    claims: {num: 7, b: yes, f: 1.5, t: '7', m: {l: [a, ~]}}
");
    let shown = config.job_yaml("a").unwrap();
    let expected = "oauth2:
  client_id: me
  client_certificate_key_id: k1
  client_certificate_key: <secret>
  grant_type: urn:ietf:params:oauth:grant-type:jwt-bearer
  signature_algorithm: RS512
  audience: them
  claims:
    b: true
    f: 1.5
    m:
      l:
      - a
      - null
    num: 7
    t: \"7\"
  token_url: x
";
    assert!(shown.contains(expected), "{shown}");
    assert!(!format!("{config:?}").contains("word"));
}

#[test]
fn mistakes_about_tokens_and_proxies_are_those_of_prometheus() {
    for (text, expected) in [
        (
            "  oauth2: {token_url: x}\n",
            "oauth2 client_id must be configured",
        ),
        (
            "  oauth2: {client_id: x}\n",
            "oauth2 token_url must be configured",
        ),
        (
            "  oauth2: {client_id: x, token_url: y, client_secret: a, client_secret_file: b}\n",
            "at most one of oauth2 client_secret, client_secret_file & client_secret_ref must be configured using grant-type=client_credentials",
        ),
        (
            "  oauth2: {client_id: x, token_url: y, foo: z}\n",
            "yaml: unmarshal errors:\n  line 3: field foo not found in type config.plain",
        ),
        (
            "  oauth2: {client_id: x, token_url: y, grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', signature_algorithm: HS256}\n",
            "valid signature algorithms are RS256, RS384 and RS512 (line 3",
        ),
        (
            "  oauth2: {client_id: x, token_url: y}\n  basic_auth: {username: z}\n",
            "at most one of basic_auth, oauth2 & authorization must be configured",
        ),
        (
            "  oauth2: {client_id: x, token_url: y}\n  bearer_token: z\n",
            "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
        ),
        (
            "  proxy_connect_header: {a: [b]}\n",
            "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured",
        ),
        (
            "  proxy_from_environment: true\n  proxy_url: http://p\n",
            "if proxy_from_environment is configured, proxy_url must not be configured",
        ),
        (
            "  proxy_from_environment: true\n  no_proxy: x\n",
            "if proxy_from_environment is configured, no_proxy must not be configured",
        ),
        (
            "  no_proxy: x\n",
            "if no_proxy is configured, proxy_url must also be configured",
        ),
        (
            "  proxy_url: gopher://p\n",
            "proxy scheme \"gopher\" is not one of http, https, socks5 and socks5h (line 3, column 14)",
        ),
        (
            "  tls_config: {max_version: TLS11}\n",
            "max_version TLS11 is not supported by Kymo",
        ),
    ] {
        let found = refusal(text);
        assert!(found.starts_with(expected), "{text}\n{found}");
    }
    job("  proxy_url: ''\n  no_proxy: x\n");
}

/// Writes a main file that takes jobs from `jobs/*.yml`, and these.
fn files(jobs: &[(&str, &str)]) -> (tempfile::TempDir, Result<Config, String>) {
    let dir = tempfile::tempdir().unwrap();
    let main = dir.path().join("main.yml");
    let text = "global: {scrape_interval: 7s, scrape_failure_log_file: log}\n\
                scrape_config_files: ['jobs/*.yml']\nscrape_configs: [{job_name: own}]\n";
    std::fs::write(&main, text).unwrap();
    std::fs::create_dir(dir.path().join("jobs")).unwrap();
    for (name, text) in jobs {
        std::fs::write(dir.path().join("jobs").join(name), text).unwrap();
    }
    let loaded = load(&main).map_err(|error| error.to_string());
    (dir, loaded)
}

#[test]
fn jobs_of_other_files_inherit_and_stand_behind_those_of_the_main_file() {
    let (dir, loaded) = files(&[
        ("b.yml", "scrape_configs: [{job_name: b}]\n"),
        (
            "a.yml",
            "scrape_configs:\n- {job_name: a, bearer_token_file: token}\n",
        ),
        ("c.yaml", "not read"),
        ("empty.yml", ""),
    ]);
    let config = loaded.unwrap();
    let names: Vec<_> = config.jobs().map(|job| job.job_name.as_str()).collect();
    assert_eq!(names, ["own", "a", "b"]);
    let a = &config.file_jobs[0];
    assert_eq!(a.interval.as_secs(), 7);
    assert_eq!(a.failure_log_file, dir.path().join("log"));
    let token = dir.path().join("jobs/token");
    let shown = config.job_yaml("a").unwrap();
    assert!(shown.contains(&format!("credentials_file: {}", token.display())));
    // The whole shows where more jobs are, not the jobs.
    let whole = config.yaml(&Retention::default());
    let pattern = format!(
        "scrape_config_files:\n- {}/jobs/*.yml\n",
        dir.path().display()
    );
    assert!(whole.contains(&pattern), "{whole}");
    assert!(!whole.contains("job_name: a"), "{whole}");
}

#[test]
fn a_mistake_in_a_file_of_jobs_is_told_with_its_file() {
    for (text, expected) in [
        (
            "scrape_configs: [{job_name: own}]\n",
            "found multiple scrape configs with job name \"own\", first found in main config file (line 1, column 19)",
        ),
        (
            "global: {}\n",
            "yaml: unmarshal errors:\n  line 1: field global not found in type config.ScrapeConfigs",
        ),
        (
            "scrape_configs: [{job_name: x, scrape_timeout: 1h}]\n",
            "scrape timeout greater than scrape interval for scrape config with job name \"x\"",
        ),
        ("a: [", "yaml: line 1: "),
    ] {
        let (dir, loaded) = files(&[("x.yml", text)]);
        let error = loaded.unwrap_err();
        let dir = dir.path().display();
        let expected = format!(
            "couldn't load configuration (--config.file=\"{dir}/main.yml\"): \"{dir}/jobs/x.yml\": {expected}"
        );
        assert!(error.starts_with(&expected), "{error}\n{expected}");
    }
    let twice = "scrape_configs: [{job_name: x}]\n";
    let (dir, loaded) = files(&[("x.yml", twice), ("y.yml", twice)]);
    let first = format!("first found in \"{}/jobs/x.yml\"", dir.path().display());
    assert!(loaded.unwrap_err().contains(&first));
    let refused = parse("scrape_config_files: ['a/*/b.yml']\n", Path::new("")).unwrap_err();
    assert!(
        refused
            .to_string()
            .starts_with("invalid scrape config file path \"a/*/b.yml\" (line 1"),
        "{refused}"
    );
}
