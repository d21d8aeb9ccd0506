//! `kymo promql`: expressions formatted and edited.

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use kymo_query::promql::ast::{Expr, ExprKind, VectorSelector};
use kymo_query::promql::{Features, parse_expr, pretty, pretty_len};
use kymo_storage::model::{MatchOp, Matcher};

use crate::commands::{Call, Program, PromqlFlags};
use crate::flags::Exit;
use crate::terminal::say;

/// Longest output. Each level of depth indents all lines within it.
const MAX_BYTES: usize = 256 << 20;

/// The command line behind `kymo promql`.
#[derive(Debug, Parser)]
#[command(
    about = "Format and edit expressions",
    max_term_width = 100,
    after_help = "EXAMPLES:\n    \
        kymo promql format 'sum by(job)(rate(http_requests_total{code=~\"5..\"}[5m]))'\n    \
        kymo promql label-matchers set -t '=~' 'up' job 'api|web'\n    \
        kymo promql label-matchers delete 'up{job=\"api\"}' job"
)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    promql: PromqlFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print an expression in its canonical form, over several lines where it is long.
    Format {
        /// The expression.
        #[arg(value_name = "QUERY", allow_hyphen_values = true)]
        query: String,
    },
    /// Change the matchers of all selectors of an expression.
    #[command(subcommand)]
    LabelMatchers(Edit),
}

#[derive(Debug, Subcommand)]
enum Edit {
    /// Set a matcher, in place of those of the same label.
    Set(SetArgs),
    /// Take the matchers of a label away.
    Delete {
        /// The expression.
        #[arg(value_name = "QUERY", allow_hyphen_values = true)]
        query: String,

        /// The label.
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, Args)]
struct SetArgs {
    /// Kind of matcher: =, !=, =~ or !~.
    #[arg(short = 't', long = "type", value_name = "OP", default_value = "=", value_parser = parse_op)]
    op: MatchOp,

    /// The expression.
    #[arg(value_name = "QUERY", allow_hyphen_values = true)]
    query: String,

    /// The label.
    #[arg(value_name = "NAME")]
    name: String,

    /// The value.
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    value: String,
}

fn parse_op(text: &str) -> Result<MatchOp, String> {
    let known = [
        MatchOp::Equal,
        MatchOp::NotEqual,
        MatchOp::Regex,
        MatchOp::NotRegex,
    ];
    let found = known.into_iter().find(|op| op.as_str() == text);
    found.ok_or_else(|| format!("enum value must be one of =,!=,=~,!~, got '{text}'"))
}

/// Runs a command.
///
/// # Errors
/// Help was asked for, the command line or the expression is wrong.
pub(crate) fn run(call: Call) -> Result<ExitCode, Exit> {
    let program = call.program;
    let line: CommandLine = call.read()?;
    let failed = |message: String| Exit {
        code: 1,
        message: format!("{message}\n"),
    };
    if program == Program::Promtool && !line.promql.experimental {
        return Err(failed(
            "This command is experimental and requires the --experimental flag to be set."
                .to_owned(),
        ));
    }
    let features = line.promql.features();
    let text = match &line.command {
        Command::Format { query } => edited(query, &features, |_| {}),
        Command::LabelMatchers(Edit::Set(args)) => {
            let matcher = Matcher::new(args.op, &args.name, &args.value)
                .map_err(|error| failed(error.message))?;
            edited(&args.query, &features, |selector| set(selector, &matcher))
        }
        Command::LabelMatchers(Edit::Delete { query, name }) => {
            edited(query, &features, |selector| delete(selector, name))
        }
    };
    say(&format!("{}\n", text.map_err(failed)?));
    Ok(ExitCode::SUCCESS)
}

/// Reads an expression, edits its selectors and prints it.
fn edited(
    query: &str,
    features: &Features,
    mut edit: impl FnMut(&mut VectorSelector),
) -> Result<String, String> {
    let mut expr = parse_expr(query, features).map_err(|error| error.to_string())?;
    for_each_selector(&mut expr, &mut edit);
    match pretty_len(&expr) {
        bytes if bytes > MAX_BYTES => Err(format!(
            "the query is nested too deeply to be formatted: its lines would take {bytes} bytes"
        )),
        _ => Ok(pretty(&expr)),
    }
}

fn for_each_selector(expr: &mut Expr, edit: &mut impl FnMut(&mut VectorSelector)) {
    let mut open = vec![expr];
    while let Some(expr) = open.pop() {
        match &mut expr.kind {
            ExprKind::Number(_) | ExprKind::String(_) => {}
            ExprKind::Paren(inner) => open.push(inner),
            ExprKind::Unary(unary) => open.push(&mut unary.expr),
            ExprKind::Binary(binary) => open.extend([&mut binary.lhs, &mut binary.rhs]),
            ExprKind::Aggregate(aggregate) => {
                open.push(&mut aggregate.expr);
                open.extend(aggregate.param.as_mut());
            }
            ExprKind::Call(call) => open.extend(&mut call.args),
            ExprKind::VectorSelector(selector) => edit(selector),
            ExprKind::MatrixSelector(matrix) => edit(&mut matrix.selector),
            ExprKind::Subquery(subquery) => open.push(&mut subquery.expr),
        }
    }
}

fn set(selector: &mut VectorSelector, matcher: &Matcher) {
    let mut is_set = false;
    let same = |own: &&mut Matcher| own.name() == matcher.name();
    for own in selector.matchers.iter_mut().filter(same) {
        *own = matcher.clone();
        is_set = true;
    }
    if !is_set {
        selector.matchers.push(matcher.clone());
    }
}

fn delete(selector: &mut VectorSelector, name: &str) {
    selector.matchers.retain(|matcher| matcher.name() != name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_of_all_selectors_are_set_and_deleted() {
        let features = Features::default();
        let query = "rate(a{job=\"x\"}[5m]) + on() sum(b) / topk(scalar(c), d{job=~\"y\"})";
        let matcher = Matcher::new(MatchOp::Equal, "job", "z").unwrap();
        let text = edited(query, &features, |selector| set(selector, &matcher)).unwrap();
        assert_eq!(text.matches("job=\"z\"").count(), 4, "{text}");
        assert!(!text.contains("\"x\"") && !text.contains("\"y\""), "{text}");
        let text = edited(query, &features, |selector| delete(selector, "job")).unwrap();
        assert!(!text.contains("job"), "{text}");
        assert_eq!(
            edited("up{", &features, |_| {}).unwrap_err(),
            "1:4: parse error: unexpected end of input inside braces"
        );
        assert_eq!(parse_op("=~"), Ok(MatchOp::Regex));
        assert!(parse_op("x").unwrap_err().contains("got 'x'"));
    }
}
