//! `kymo query logs`: entries or numbers of a range or a moment.
//!
//! A server gives only so many entries at a time. More are asked for in batches: each
//! begins at the time of the last entry before it, of which there may be several, and
//! those that were printed are passed over.

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::CONTENT_TYPE;

use super::answer::{Answer, Entry, Outcome};
use super::lines::{LineFlags, Lines, selector};
use super::{parse_ns, tail};
use crate::client::{HttpFlags, Server, form, parse_pair};
use crate::clock;
use crate::rules::command::{Time, parse_time};
use crate::terminal::{complain, say};

/// Longest time to wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(300);

const NS_PER_MS: i64 = 1_000_000;

#[derive(Debug, Args)]
#[command(after_help = "EXAMPLES:\n    \
    kymo query logs http://localhost:9090 '{app=\"shop\"} |= \"error\"'\n    \
    kymo query logs --since=24h --limit=0 --output=jsonl localhost:9090 '{app=\"shop\"}'\n    \
    kymo query logs --step=1m localhost:9090 'sum by (app) (rate({app=~\".+\"}[5m]))'\n    \
    kymo query logs --instant localhost:9090 'count_over_time({app=\"shop\"}[1h])'\n    \
    kymo query logs -f localhost:9090 '{app=\"shop\"}'\n\n\
    Times are RFC 3339, seconds since 1970, now, or a duration before now (-24h).")]
pub(crate) struct LogsArgs {
    /// The server.
    #[arg(value_name = "SERVER")]
    server: String,

    /// The query.
    #[arg(value_name = "QUERY")]
    query: String,

    /// How far to look back from the end.
    #[arg(long, value_name = "DURATION", value_parser = parse_ns, default_value = "1h")]
    since: i64,

    /// Where the range begins, instead of --since.
    #[arg(long, value_name = "TIME", value_parser = parse_time, allow_hyphen_values = true)]
    from: Option<Time>,

    /// Where the range ends; entries at this time are left out.
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "now",
          allow_hyphen_values = true)]
    to: Time,

    /// Most entries to print; 0: all.
    #[arg(long, value_name = "N", default_value_t = 30)]
    limit: usize,

    /// Most entries to ask for at a time.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,

    /// Print the oldest entries first, not the newest.
    #[arg(long)]
    forward: bool,

    /// Distance of the points of a query that gives numbers.
    #[arg(long, value_name = "DURATION")]
    step: Option<String>,

    /// Print entries at least this far apart, and pass over those between.
    #[arg(long, value_name = "DURATION")]
    interval: Option<String>,

    /// Evaluate a query that gives numbers at one time.
    #[arg(long, conflicts_with_all = ["follow", "from", "step", "interval"])]
    instant: bool,

    /// The time of --instant.
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "now",
          allow_hyphen_values = true, requires = "instant")]
    now: Time,

    /// Print what the query has cost to standard error.
    #[arg(long)]
    stats: bool,

    /// Follow the logs, as kymo logs tail does.
    #[arg(short, long, alias = "tail", short_alias = 't')]
    follow: bool,

    /// Seconds that a server holds entries back to sort them, with --follow.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    delay_for: u32,

    /// Tenant, for servers that have some.
    #[arg(long, value_name = "ID")]
    org_id: Option<String>,

    /// Header for the requests, NAME=VALUE; may be given several times.
    #[arg(long, value_name = "HEADER", value_parser = parse_pair)]
    header: Vec<(String, String)>,

    #[command(flatten)]
    lines: LineFlags,
}

/// Runs the command.
///
/// # Errors
/// The server cannot be asked, or refuses the query.
pub(crate) fn run(args: &LogsArgs, http: &HttpFlags) -> Result<(), String> {
    let server = connect(&args.server, http, &args.header, args.org_id.as_deref())?;
    if args.follow {
        return tail::follow(
            &server,
            &tail::Followed {
                query: &args.query,
                limit: args.limit,
                start_ns: args.from.map(|from| ns(from, clock::now_ms())),
                delay_for: args.delay_for,
                lines: &args.lines,
            },
        );
    }
    if args.instant {
        return instant(args, &server);
    }
    let now_ms = clock::now_ms();
    let end_ns = ns(args.to, now_ms);
    let start_ns = match args.from {
        Some(from) => ns(from, now_ms),
        None => end_ns.saturating_sub(args.since),
    };
    if start_ns >= end_ns {
        return Err("the range ends before it begins; look at --from, --to and --since".to_owned());
    }
    range(args, start_ns, end_ns, |params| {
        ask(&server, "/loki/api/v1/query_range", params)
    })
}

/// Sets up what is needed to ask a server.
pub(super) fn connect(
    url: &str,
    http: &HttpFlags,
    headers: &[(String, String)],
    org_id: Option<&str>,
) -> Result<Server, String> {
    let mut headers = headers.to_vec();
    headers.extend(org_id.map(|id| ("X-Scope-OrgID".to_owned(), id.to_owned())));
    Server::new(url, http, &headers)
}

fn ns(time: Time, now_ms: i64) -> i64 {
    time.ms(now_ms).saturating_mul(NS_PER_MS)
}

fn ask(server: &Server, path: &str, params: &[(&str, String)]) -> Result<Answer, String> {
    let kind = [(CONTENT_TYPE, "application/x-www-form-urlencoded")];
    let body = Bytes::from(form(params));
    Answer::read(&server.post(path, &kind, body, TIMEOUT)?)
}

fn instant(args: &LogsArgs, server: &Server) -> Result<(), String> {
    let params = [
        ("query", args.query.clone()),
        ("time", ns(args.now, clock::now_ms()).to_string()),
        ("limit", args.limit.max(1).to_string()),
    ];
    let answer = ask(server, "/loki/api/v1/query", &params)?;
    tell(args, &answer);
    if let Outcome::Numbers(numbers) = &answer.result {
        print_numbers(numbers);
    }
    Ok(())
}

/// Prints warnings and costs.
fn tell(args: &LogsArgs, answer: &Answer) {
    for warning in &answer.warnings {
        complain(&format!("query warning: {warning}\n"));
    }
    if let (true, Some(summary)) = (args.stats, answer.summary.as_object()) {
        for (name, value) in summary {
            complain(&format!("{name}: {value}\n"));
        }
    }
}

fn print_numbers(numbers: &serde_json::Value) {
    say(&format!("{numbers:#}\n"));
}

/// Prints a range, batch after batch.
fn range(
    args: &LogsArgs,
    mut start_ns: i64,
    mut end_ns: i64,
    ask: impl Fn(&[(&str, String)]) -> Result<Answer, String>,
) -> Result<(), String> {
    let lines = Lines::new(&args.lines);
    let batch = args.batch as usize;
    let mut printed = 0;
    // What was printed at the time at which the next batch begins.
    let mut overlap: Vec<Entry> = Vec::new();
    loop {
        let missing = match args.limit {
            0 => batch,
            limit => (limit - printed).saturating_add(overlap.len()).min(batch),
        };
        let mut params = vec![
            ("query", args.query.clone()),
            ("start", start_ns.to_string()),
            ("end", end_ns.to_string()),
            ("limit", missing.to_string()),
            (
                "direction",
                if args.forward { "forward" } else { "backward" }.to_owned(),
            ),
        ];
        let optional = [("step", &args.step), ("interval", &args.interval)];
        for (name, value) in optional {
            params.extend(value.iter().map(|value| (name, value.clone())));
        }
        let answer = ask(&params)?;
        tell(args, &answer);
        let mut entries = match answer.result {
            Outcome::Entries(entries) => entries,
            Outcome::Numbers(numbers) => {
                print_numbers(&numbers);
                return Ok(());
            }
        };
        let n_answered = entries.len();
        // Streams are sorted by themselves; entries of one time keep their order.
        entries.sort_by_key(|entry| {
            if args.forward {
                entry.t_ns
            } else {
                -entry.t_ns
            }
        });
        let last_ns = entries.last().map(|entry| entry.t_ns);
        let mut known = overlap.clone();
        entries.retain(|entry| !take_one(&mut known, entry));
        if entries.is_empty() && n_answered > 0 && n_answered >= missing {
            return Err(format!(
                "there are more than {batch} entries at {} ns since 1970, which one batch cannot \
                 hold; increase --batch",
                last_ns.unwrap_or_default()
            ));
        }
        print(&lines, &args.lines, &entries);
        printed += entries.len();
        let is_done = args.limit > 0 && printed >= args.limit;
        let Some(last_ns) = last_ns.filter(|_| !is_done && n_answered >= missing) else {
            return Ok(());
        };
        overlap.retain(|entry| entry.t_ns == last_ns);
        overlap.extend(entries.into_iter().filter(|entry| entry.t_ns == last_ns));
        match args.forward {
            true => start_ns = last_ns,
            // The end itself is left out.
            false => end_ns = last_ns.saturating_add(1),
        }
    }
}

/// Takes an entry out of a list; tells whether it was there.
fn take_one(list: &mut Vec<Entry>, entry: &Entry) -> bool {
    let at = list.iter().position(|known| known == entry);
    at.map(|at| list.swap_remove(at)).is_some()
}

fn print(lines: &Lines<'_>, flags: &LineFlags, entries: &[Entry]) {
    let common = lines.common(entries);
    if !common.is_empty() && !flags.quiet {
        complain(&format!("Common labels: {}\n", selector(&common)));
    }
    for entry in entries {
        say(&lines.line(entry, &common));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use clap::Parser;
    use serde_json::Value;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: LogsArgs,
    }

    fn args(more: &[&str]) -> LogsArgs {
        let fixed = ["x", "localhost", "{a=\"b\"}", "-q", "--output=raw"];
        Line::parse_from(fixed.iter().chain(more)).args
    }

    /// Entries by time in order of arrival, as a server has them.
    struct Store(Vec<(i64, &'static str)>);

    impl Store {
        fn answer(&self, params: &[(&str, String)]) -> Answer {
            let param = |name: &str| {
                let found = params.iter().find(|(n, _)| *n == name);
                found.map_or("", |(_, value)| value.as_str())
            };
            let number = |name| param(name).parse::<i64>().unwrap();
            let range = number("start")..number("end");
            let mut found: Vec<Entry> = self
                .0
                .iter()
                .filter(|(t_ns, _)| range.contains(t_ns))
                .map(|(t_ns, line)| Entry {
                    t_ns: *t_ns,
                    labels: [("a".to_owned(), "b".to_owned())].into(),
                    line: (*line).to_owned(),
                })
                .collect();
            if param("direction") == "backward" {
                found.reverse();
            }
            found.truncate(number("limit") as usize);
            Answer {
                result: Outcome::Entries(found),
                warnings: Vec::new(),
                summary: Value::Null,
            }
        }
    }

    /// Returns the sizes of the batches that were asked for and how it ended.
    fn batches(store: &Store, args: &LogsArgs) -> (Vec<String>, Result<(), String>) {
        let asked = RefCell::new(Vec::new());
        let done = range(args, 0, 100, |params| {
            let of = |name: &str| {
                let found = params.iter().find(|(n, _)| *n == name);
                found.map_or("", |(_, value)| value).to_owned()
            };
            let (start, end, limit) = (of("start"), of("end"), of("limit"));
            asked.borrow_mut().push(format!("{start}..{end} {limit}"));
            Ok(store.answer(params))
        });
        (asked.into_inner(), done)
    }

    #[test]
    fn batches_go_on_where_the_last_one_ended() {
        let store = Store(vec![
            (1, "a"),
            (2, "b"),
            (2, "c"),
            (2, "c"),
            (3, "d"),
            (4, "e"),
        ]);
        let (asked, done) = batches(&store, &args(&["--limit=0", "--batch=3", "--forward"]));
        // The second has the two of time 2 again; the last has nothing new behind time 4.
        assert_eq!(asked, ["0..100 3", "2..100 3", "2..100 3"]);
        assert!(done.unwrap_err().contains("increase --batch"));
        let (asked, done) = batches(&store, &args(&["--limit=0", "--batch=4", "--forward"]));
        assert_eq!(asked, ["0..100 4", "2..100 4", "3..100 4"]);
        assert_eq!(done, Ok(()));
        let (asked, done) = batches(&store, &args(&["--limit=5", "--batch=4"]));
        assert_eq!(asked, ["0..100 4", "0..3 3"]);
        assert_eq!(done, Ok(()));
        let (asked, _) = batches(&store, &args(&["--limit=2"]));
        assert_eq!(asked, ["0..100 2"]);
    }

    #[test]
    fn refusals_end_the_query() {
        let done = range(&args(&[]), 0, 100, |_| Err("no".to_owned()));
        assert_eq!(done, Err("no".to_owned()));
    }
}
