//! `kymo grafana provisioning`: files that make a Grafana know a Kymo from its start on.
//!
//! Grafana reads `provisioning/datasources/*.yaml` and `provisioning/dashboards/*.yaml`
//! when it starts. Written are data sources of the types Prometheus and Loki, a provider of
//! dashboards, and the dashboards: one of Kymo's own health, one of the hosts.

mod dashboards;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use serde_json::json;
use url::Url;

use crate::commands::Call;
use crate::flags::Exit;
use crate::terminal::say;
use dashboards::Dashboard;

/// The identifier of the data source, which the dashboards name.
const SOURCE_UID: &str = "kymo";
/// The identifier of the data source of logs, to which trace ids link.
const LOGS_UID: &str = "kymo-logs";
/// All lines with an id, in any stream; `$` stands twice for itself in such a file.
const LINES_OF_TRACE: &str = "{service_name=~\".+\"} |= `$${__value.raw}`";

/// The command line behind `kymo grafana`.
#[derive(Debug, Parser)]
#[command(about = "Make Grafana know this server", max_term_width = 100)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write data source and dashboards as files that Grafana reads when it starts.
    #[command(after_help = "EXAMPLE:\n    \
        kymo grafana provisioning --url=http://127.0.0.1:9090 /etc/grafana/provisioning\n    \
        systemctl restart grafana-server\n\n\
        Files that are there already stay, unless --force is given.")]
    Provisioning(ProvisioningArgs),
}

#[derive(Debug, Args)]
struct ProvisioningArgs {
    /// Grafana's folder for provisioning.
    #[arg(value_name = "DIR", default_value = "provisioning")]
    dir: PathBuf,

    /// Where Grafana reaches Kymo.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090", value_parser = parse_url)]
    url: Url,

    /// Seconds between scrapes, Grafana's least step.
    #[arg(long, value_name = "SECONDS", default_value_t = 15,
          value_parser = clap::value_parser!(u32).range(1..))]
    scrape_interval: u32,

    /// Name of the user, where Kymo asks for a password; it is read from the environment
    /// variable KYMO_PASSWORD of Grafana.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// Replace files that are there.
    #[arg(long)]
    force: bool,
}

fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(format!("{other} is not http or https")),
    }
}

/// Runs the command.
///
/// # Errors
/// Help was asked for, or the command line is wrong.
pub(crate) fn run(call: Call) -> Result<ExitCode, Exit> {
    let line: CommandLine = call.read()?;
    let Command::Provisioning(args) = line.command;
    provision(&args).map_err(|message| Exit {
        code: 1,
        message: format!("kymo grafana provisioning: {message}\n"),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn provision(args: &ProvisioningArgs) -> Result<(), String> {
    let folder = absolute(&args.dir)?.join("dashboards/kymo");
    let mut files = vec![
        (PathBuf::from("datasources/kymo.yaml"), sources(args)),
        (PathBuf::from("dashboards/kymo.yaml"), provider(&folder)),
    ];
    for dashboard in Dashboard::all(SOURCE_UID) {
        let name = format!("dashboards/kymo/{}.json", dashboard.name);
        files.push((PathBuf::from(name), dashboard.json()?));
    }
    // All or nothing: Grafana must not find one half.
    if !args.force {
        let mut there = files.iter().map(|(name, _)| args.dir.join(name));
        if let Some(path) = there.find(|path| path.exists()) {
            let path = path.display();
            return Err(format!("{path} is there already: --force replaces it"));
        }
    }
    for (name, text) in &files {
        let path = args.dir.join(name);
        write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        say(&format!("{}\n", path.display()));
    }
    Ok(())
}

fn absolute(dir: &Path) -> Result<PathBuf, String> {
    std::path::absolute(dir).map_err(|error| format!("{}: {error}", dir.display()))
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::File::create(path)?.write_all(text.as_bytes())
}

/// JSON is YAML, too: nothing has to be quoted by hand.
fn sources(args: &ProvisioningArgs) -> String {
    let mut sources = [metrics_source(args), logs_source(args)];
    if let Some(user) = &args.user {
        for source in &mut sources {
            source["basicAuth"] = true.into();
            source["basicAuthUser"] = user.as_str().into();
            source["secureJsonData"] = json!({ "basicAuthPassword": "$KYMO_PASSWORD" });
        }
    }
    document(&json!({ "apiVersion": 1, "datasources": sources }))
}

fn metrics_source(args: &ProvisioningArgs) -> serde_json::Value {
    json!({
        "name": "Kymo",
        "uid": SOURCE_UID,
        "type": "prometheus",
        "access": "proxy",
        "url": args.url.as_str().trim_end_matches('/'),
        "isDefault": true,
        "jsonData": {
            "httpMethod": "POST",
            "timeInterval": format!("{}s", args.scrape_interval),
            // What it answers as in /api/v1/status/buildinfo.
            "prometheusType": "Prometheus",
            "prometheusVersion": "3.0.0",
            "cacheLevel": "Low",
        },
    })
}

fn logs_source(args: &ProvisioningArgs) -> serde_json::Value {
    let link = |matcher: &str, regex: &str| {
        json!({
            "name": "trace_id",
            "matcherType": matcher,
            "matcherRegex": regex,
            "datasourceUid": LOGS_UID,
            "url": LINES_OF_TRACE,
            "urlDisplayLabel": "All lines of this trace",
        })
    };
    json!({
        "name": "Kymo logs",
        "uid": LOGS_UID,
        "type": "loki",
        "access": "proxy",
        "url": args.url.as_str().trim_end_matches('/'),
        "jsonData": {
            "maxLines": 1000,
            "derivedFields": [
                link("label", "^trace_?id$"),
                link("regex", "trace_?[iI][dD]\\\\?\"?[=:]\\s*\\\\?\"?(\\w+)"),
            ],
        },
    })
}

fn provider(folder: &Path) -> String {
    document(&json!({
        "apiVersion": 1,
        "providers": [{
            "name": "kymo",
            "folder": "Kymo",
            "type": "file",
            "options": { "path": folder },
        }],
    }))
}

fn document(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use kymo_query::promql::{Features, parse_expr};

    fn args(dir: &Path) -> ProvisioningArgs {
        ProvisioningArgs {
            dir: dir.to_owned(),
            url: Url::parse("http://kymo.test:9090/prefix/").unwrap(),
            scrape_interval: 5,
            user: Some("grafana".to_owned()),
            force: false,
        }
    }

    #[test]
    fn files_are_written_once_and_say_where_the_others_are() {
        let dir = tempfile::tempdir().unwrap();
        let mut args = args(dir.path());
        provision(&args).unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        let source: serde_json::Value =
            serde_json::from_str(&read("datasources/kymo.yaml")).unwrap();
        assert_eq!(
            source["datasources"][0]["url"],
            "http://kymo.test:9090/prefix"
        );
        assert_eq!(source["datasources"][0]["jsonData"]["timeInterval"], "5s");
        let logs = &source["datasources"][1];
        assert_eq!(
            (&logs["type"], &logs["url"]),
            (&json!("loki"), &source["datasources"][0]["url"])
        );
        assert_eq!(logs["basicAuthUser"], "grafana");
        let query = LINES_OF_TRACE.replace("$${__value.raw}", "4bf92f35");
        assert!(kymo_query::logql::parse_log(&query).is_ok(), "{query}");
        let links = logs["jsonData"]["derivedFields"].as_array().unwrap();
        let finds = |link: &serde_json::Value, text: &str| {
            let pattern = format!(".*{}.*", link["matcherRegex"].as_str().unwrap());
            let matcher = kymo_storage::model::Matcher::new(
                kymo_storage::model::MatchOp::Regex,
                "line",
                &pattern,
            );
            matcher.unwrap().matches(text)
        };
        assert!(finds(&links[0], "trace_id") && !finds(&links[0], "traces"));
        for line in [
            "level=info traceID=4bf92f35 x=y",
            "trace_id=\"4bf92f35\"",
            "{\"trace_id\": \"4bf92f35\"}",
            "{\"m\":\"{\\\"traceid\\\":\\\"4bf92f35\\\"}\"}",
        ] {
            assert!(finds(&links[1], line), "{line}");
        }
        let provider: serde_json::Value =
            serde_json::from_str(&read("dashboards/kymo.yaml")).unwrap();
        let path = provider["providers"][0]["options"]["path"]
            .as_str()
            .unwrap();
        assert_eq!(fs::read_dir(path).unwrap().count(), 2);
        assert!(provision(&args).unwrap_err().contains("--force"));
        args.force = true;
        provision(&args).unwrap();
    }

    #[test]
    fn every_query_of_a_dashboard_parses() {
        let mut queries = 0;
        for dashboard in Dashboard::all(SOURCE_UID) {
            for query in dashboard.queries() {
                queries += 1;
                let query = query
                    .replace("$__rate_interval", "1m")
                    .replace("$instance", "a");
                if let Err(error) = parse_expr(&query, &Features::default()) {
                    panic!("{}: {query}: {error}", dashboard.name);
                }
            }
        }
        assert!(queries > 25, "{queries}");
    }
}
