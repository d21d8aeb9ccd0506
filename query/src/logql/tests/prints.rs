//! The forms in which queries are written down.

use crate::logql::{format_query, parse};

#[test]
fn queries_print_in_one_line() {
    let cases = [
        ("{a='b'}".replace('\'', "\""), "{a=\"b\"}"),
        (
            "{a=\"b\",c!=`d\\e`} # comment\n|~`x`or`y`|logfmt --keep-empty --strict f, g=\"h\""
                .to_owned(),
            "{a=\"b\", c!=\"d\\\\e\"} |~ \"x\" or \"y\" | logfmt --strict --keep-empty \
             f=\"f\",g=\"h\"",
        ),
        (
            "{a=\"b\"} | drop c, d=\"e\" | keep f=~\"g\" | label_format h=i, j=\"{{.k}}\" \
             | line_format `{{.l}}` | decolorize | unpack | pattern `<m> n` | regexp `(?P<o>p)`"
                .to_owned(),
            "{a=\"b\"} | drop c,d=\"e\" | keep f=~\"g\" | label_format h=i,j=\"{{.k}}\" | \
             line_format \"{{.l}}\" | decolorize | unpack | pattern \"<m> n\" | regexp \
             \"(?P<o>p)\"",
        ),
        (
            "topk(3, sum without (a) (rate({a=\"b\"}[1m]))) by (c)".to_owned(),
            "topk by (c)(3,sum without (a)(rate({a=\"b\"}[1m])))",
        ),
        (
            "quantile_over_time(.99, {a=\"b\"}|unwrap duration(c)[1w]) by ()".to_owned(),
            "quantile_over_time(0.99,{a=\"b\"} | unwrap duration(c)[1w]) by ()",
        ),
        (
            "rate({a=\"b\"}[1m]) > bool on (c,d) group_left (e) rate({a=\"b\"}[1m])".to_owned(),
            "(rate({a=\"b\"}[1m]) > bool on (c,d) group_left (e) rate({a=\"b\"}[1m]))",
        ),
        (
            "rate({a=\"b\"}[1m]) / on () rate({a=\"b\"}[1m])".to_owned(),
            "(rate({a=\"b\"}[1m]) / on ()  rate({a=\"b\"}[1m]))",
        ),
        (
            "label_replace(vector(0.5), \"a\", \"$1\", \"b\", \"(.*)\")".to_owned(),
            "label_replace(vector(0.500000),\"a\",\"$1\",\"b\",\"(.*)\")",
        ),
        ("vector(1e-9)".to_owned(), "vector(0.000000001)"),
    ];
    for (query, want) in cases {
        let printed = parse(&query).unwrap().to_string();
        assert_eq!(printed, want, "{query}");
        assert_eq!(parse(&printed).unwrap().to_string(), printed);
    }
}

#[test]
fn formatted_queries_have_loki_s_habits() {
    let query = "sum(rate({job=\"ingress\", cluster=~\"eu-.+\"} |= \"a line that is long\" | decolorize \
                 | size > 1KiB or size < 1234B [5m] offset -1m))";
    let want = "sum(
  rate(
    {job=\"ingress\", cluster=~\"eu-.+\"}
      |= \"a line that is long\"
| decolorize
      | ( size>1.0kB or size<1.2kB ) [5m] offset -1m
  )
)";
    assert_eq!(format_query(query).unwrap(), want);
    assert_eq!(format_query(want).unwrap(), want);
}

#[test]
fn long_queries_are_broken() {
    let query = "sum by (cluster, namespace) (rate({job=\"ingress\", cluster=~\"eu-.+\"} |= \
                 \"error\" != \"healthz\" | logfmt --strict | status >= 500 or latency > 1s \
                 [5m] offset 1h)) / on (cluster) group_left (zone) (quantile_over_time(0.9, \
                 {job=\"ingress\", cluster=~\"eu-.+\"} | json | unwrap duration(latency) | \
                 __error__=\"\" [5m]) by (cluster, zone) + 1)";
    let want = "  sum by (cluster, namespace)(
    rate(
      {job=\"ingress\", cluster=~\"eu-.+\"}
        |= \"error\" != \"healthz\"
        | logfmt --strict
        | ( status>=500 or latency>1s ) [5m] offset 1h
    )
  )
/ on (cluster) group_left (zone)
  (
      quantile_over_time(
        0.9,
        {job=\"ingress\", cluster=~\"eu-.+\"} | json
          | unwrap duration(latency)
          | __error__=\"\" [5m]
      ) by (cluster, zone)
    +
      1
  )";
    let formatted = format_query(query).unwrap();
    assert_eq!(formatted, want);
    assert_eq!(
        parse(&formatted).unwrap().to_string(),
        parse(query).unwrap().to_string()
    );
    assert_eq!(format_query(&formatted).unwrap(), want);
}
