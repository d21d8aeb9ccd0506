//! The shapes of single lines.

use kymo_storage::compat::duration;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_till1, take_while, take_while1};
use nom::combinator::{all_consuming, opt, rest, verify};
use nom::sequence::{preceded, terminated};
use nom::{IResult, Parser};

/// `eval_fail` and the like, which older scripts use instead of `expect` lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Plain,
    Fail,
    Warn,
    Info,
    Ordered,
}

/// When a query is evaluated, as written.
pub(super) enum WhenWords<'a> {
    Instant { at: &'a str },
    Range(Steps<'a>),
}

/// `from A to B step S`
pub(super) struct Steps<'a> {
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) step: &'a str,
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

fn space(input: &str) -> IResult<&str, &str> {
    take_while1(is_space).parse(input)
}

fn word(input: &str) -> IResult<&str, &str> {
    take_till1(is_space).parse(input)
}

fn to_end(input: &str) -> IResult<&str, &str> {
    verify(rest, |text: &str| !text.is_empty()).parse(input)
}

/// Reads `load 1m` or `load_with_nhcb 1m`: whether histograms are wanted, and the step.
pub(super) fn load(line: &str) -> Option<(bool, &str)> {
    let parsed: IResult<&str, _> = (
        preceded(tag("load"), opt(tag("_with_nhcb"))),
        preceded(space, to_end),
    )
        .parse(line);
    let (_, (nhcb, step)) = parsed.ok()?;
    Some((nhcb.is_some(), step))
}

/// Reads `eval instant at 5m QUERY` or `eval range from 0 to 5m step 1m QUERY`.
pub(super) fn eval(line: &str) -> Option<(Mode, WhenWords<'_>, &str)> {
    let (_, (mode, when, query)) = (
        preceded(tag("eval"), mode),
        preceded(space, alt((instant, range))),
        preceded(space, to_end),
    )
        .parse(line)
        .ok()?;
    Some((mode, when, query))
}

fn mode(input: &str) -> IResult<&str, Mode> {
    let suffix = alt((
        tag("_fail").map(|_| Mode::Fail),
        tag("_warn").map(|_| Mode::Warn),
        tag("_info").map(|_| Mode::Info),
        tag("_ordered").map(|_| Mode::Ordered),
    ));
    opt(suffix)
        .map(|mode| mode.unwrap_or(Mode::Plain))
        .parse(input)
}

fn instant(input: &str) -> IResult<&str, WhenWords<'_>> {
    let at = preceded((tag("instant"), space, tag("at"), space), word);
    at.map(|at| WhenWords::Instant { at }).parse(input)
}

fn range(input: &str) -> IResult<&str, WhenWords<'_>> {
    let steps = preceded((tag("range"), space), steps);
    steps.map(WhenWords::Range).parse(input)
}

fn steps(input: &str) -> IResult<&str, Steps<'_>> {
    (
        preceded((tag("from"), space), word),
        preceded((space, tag("to"), space), word),
        preceded((space, tag("step"), space), word),
    )
        .map(|(from, to, step)| Steps { from, to, step })
        .parse(input)
}

/// Reads `expect range vector from A to B step S`.
pub(super) fn expect_range_vector(line: &str) -> Option<Steps<'_>> {
    let prefix = (
        tag("expect"),
        space,
        tag("range"),
        space,
        tag("vector"),
        space,
    );
    let parsed = all_consuming(preceded(prefix, steps)).parse(line);
    parsed.ok().map(|(_, steps)| steps)
}

/// Reads `expect WORD` or `expect WORD KIND: TEXT`.
pub(super) fn expect(line: &str) -> Option<(&str, Option<(&str, &str)>)> {
    let kind = terminated(alt((tag("msg"), tag("regex"))), tag(":"));
    let matching = preceded(space, (kind, to_end));
    let parsed: IResult<&str, _> =
        all_consuming((preceded((tag("expect"), space), word), opt(matching))).parse(line);
    parsed.ok().map(|(_, found)| found)
}

/// Reads a duration and returns milliseconds.
pub(super) fn duration_ms(text: &str) -> Result<i64, String> {
    let ns = duration::parse_prometheus(text).map_err(|error| error.to_string())?;
    Ok(ns / 1_000_000)
}

/// Reads the offsets of start times from their samples, one for each value of the
/// line that follows: `_`, `_x3`, `-1m`, `-1mx3`, `-1m+10sx3`.
pub(super) fn start_offsets_ms(text: &str, max: usize) -> Result<Vec<Option<i64>>, String> {
    let mut offsets = Vec::new();
    for item in text.split_whitespace() {
        let bad = |why: &str| format!("invalid start time {item:?}: {why}");
        let parsed: IResult<&str, _> = all_consuming((
            alt((tag("_").map(|_| None), signed_duration.map(Some))),
            opt(signed_duration_change),
            opt(preceded(
                tag("x"),
                take_while1(|c: char| c.is_ascii_digit()),
            )),
        ))
        .parse(item);
        let Ok((_, (first, change, times))) = parsed else {
            return Err(bad(
                "want `_`, a duration, or one of them with a change and `xN`",
            ));
        };
        let first = first.transpose().map_err(|error| bad(&error))?;
        let change = change.transpose().map_err(|error| bad(&error))?;
        if change.is_some() && (first.is_none() || times.is_none()) {
            return Err(bad(
                "a change needs a duration before it and `xN` behind it",
            ));
        }
        let n: usize = times
            .map_or(Ok(0), str::parse)
            .map_err(|_| bad("repeat count"))?;
        // As with values: a repeated duration has one more than written, a gap not.
        let n = match (first, times) {
            (None, Some(_)) => n,
            _ => n.saturating_add(1),
        };
        if n > max.saturating_sub(offsets.len()) {
            return Err(bad("too many values"));
        }
        let (mut offset, change) = (first, change.unwrap_or(0));
        for _ in 0..n {
            offsets.push(offset);
            offset = offset.map(|ms| ms.saturating_add(change));
        }
    }
    Ok(offsets)
}

fn signed_duration(input: &str) -> IResult<&str, Result<i64, String>> {
    let (input, sign) = opt(alt((tag("-"), tag("+")))).parse(input)?;
    let (input, duration) = one_unit(input)?;
    let ms = duration_ms(duration).map(|ms| if sign == Some("-") { -ms } else { ms });
    Ok((input, ms))
}

fn signed_duration_change(input: &str) -> IResult<&str, Result<i64, String>> {
    let (_, _) = alt((tag("-"), tag("+"))).parse(input)?;
    signed_duration(input)
}

/// Takes digits and a unit, which ends before the `x` of a repetition; zero needs none.
fn one_unit(input: &str) -> IResult<&str, &str> {
    nom::combinator::recognize((
        take_while1(|c: char| c.is_ascii_digit()),
        take_while(|c: char| c.is_ascii_alphabetic() && c != 'x'),
    ))
    .parse(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_times_repeat_and_change_like_values() {
        let cases: [(&str, &[Option<i64>]); 5] = [
            ("_ -1m", &[None, Some(-60_000)]),
            ("_x2 0s", &[None, None, Some(0)]),
            ("-30sx2", &[Some(-30_000), Some(-30_000), Some(-30_000)]),
            ("0-1mx1", &[Some(0), Some(-60_000)]),
            ("-1m+10sx2", &[Some(-60_000), Some(-50_000), Some(-40_000)]),
        ];
        for (text, expected) in cases {
            assert_eq!(
                start_offsets_ms(text, 100).as_deref(),
                Ok(expected),
                "{text}"
            );
        }
        for text in ["x3", "-1m+10s", "_+1mx3", "1q", "1mx99999999999999999999"] {
            assert!(start_offsets_ms(text, 100).is_err(), "{text}");
        }
    }

    #[test]
    fn eval_lines_have_two_shapes() {
        let (mode, when, query) = eval("eval_fail instant at 5m rate(x[5m]) ").unwrap();
        assert_eq!((mode, query), (Mode::Fail, "rate(x[5m]) "));
        assert!(matches!(when, WhenWords::Instant { at: "5m" }));
        let (_, when, query) = eval("eval range from 0 to 10m step 1m sum by (a) (x)").unwrap();
        assert_eq!(query, "sum by (a) (x)");
        assert!(matches!(when, WhenWords::Range(Steps { to: "10m", .. })));
        assert!(eval("eval instant x").is_none());
    }
}
