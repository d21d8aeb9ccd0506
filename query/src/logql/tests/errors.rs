//! What is said of texts that are no queries.

use crate::logql::{
    LogQlError, format_query, parse, parse_any_matchers, parse_instant, parse_matchers,
};

fn error(query: &str) -> String {
    match parse(query) {
        Ok(expr) => format!("no error: {expr}"),
        Err(error) => error.to_string(),
    }
}

fn check(cases: &[(&str, &str)]) {
    for (query, want) in cases {
        assert_eq!(&error(query), want, "{query}");
    }
}

#[test]
fn tokens_that_cannot_stand_somewhere_are_named_with_their_place() {
    check(&[
        ("", "parse error : syntax error: unexpected $end"),
        (
            "\n \n",
            "parse error at line 3, col 1: syntax error: unexpected $end",
        ),
        (
            "{job=\"x\"",
            "parse error at line 1, col 9: syntax error: unexpected $end, expecting } or ,",
        ),
        (
            "{job=\"x\",}",
            "parse error at line 1, col 10: syntax error: unexpected }, expecting IDENTIFIER",
        ),
        (
            "{\n  job: \"x\"}",
            "parse error at line 2, col 6: syntax error: unexpected IDENTIFIER, \
             expecting = or =~ or !~ or !=",
        ),
        (
            "{job=\"x\"} |~",
            "parse error at line 1, col 13: syntax error: unexpected $end, \
             expecting STRING or ip",
        ),
        (
            "{job=\"x\"} |= |= \"y\"",
            "parse error at line 0, col 14: syntax error: unexpected |=, expecting STRING or ip",
        ),
        (
            "rate({job=\"x\"})",
            "parse error at line 1, col 15: syntax error: unexpected )",
        ),
        (
            "sum({job=\"x\"}[1h])",
            "parse error at line 0, col 14: syntax error: unexpected RANGE",
        ),
        (
            "increase({job=\"x\"}[1h])",
            "parse error at line 1, col 1: syntax error: unexpected IDENTIFIER",
        ),
        (
            "{job=\"x\"} | unwrap y",
            "parse error at line 1, col 13: syntax error: unexpected unwrap",
        ),
        (
            "{job=\"x\"} | keep",
            "parse error at line 1, col 17: syntax error: unexpected $end, expecting IDENTIFIER",
        ),
        (
            "{job=\"x\"} | size > 1kb",
            "parse error at line 1, col 23: syntax error: unexpected $end",
        ),
        (
            "max_over_time({job=\"x\"} | unwrap y [1h]) by",
            "parse error at line 1, col 44: syntax error: unexpected $end, expecting (",
        ),
        (
            "sum by (rate({job=\"x\"}[1h]))",
            "parse error at line 1, col 9: syntax error: unexpected RATE, \
             expecting IDENTIFIER or )",
        ),
        (
            "vector(-1)",
            "parse error at line 1, col 8: syntax error: unexpected -, expecting NUMBER",
        ),
        (
            "count_over_time({job=\"x\"}[1h]) offset 1h",
            "parse error at line 1, col 32: syntax error: unexpected offset",
        ),
        (
            "{job=\"ö\"} ö",
            "parse error at line 1, col 11: syntax error: unexpected IDENTIFIER",
        ),
    ]);
}

#[test]
fn texts_that_cannot_be_split_are_errors_of_their_own() {
    check(&[
        (
            "{job=\"x}",
            "parse error at line 1, col 6: literal not terminated",
        ),
        (
            "{job=`x}",
            "parse error at line 1, col 6: literal not terminated",
        ),
        (
            "{job=\"\\q\"}",
            "parse error at line 1, col 6: invalid char escape",
        ),
        (
            "{job='xy'}",
            "parse error at line 1, col 6: invalid char literal",
        ),
        (
            "{job='x'}",
            "parse error at line 1, col 6: syntax error: unexpected IDENTIFIER, expecting STRING",
        ),
        (
            "rate({job=\"x\"}[1.5h])",
            "parse error at line 0, col 15: unknown unit \".\" in duration \"1.5h\"",
        ),
        (
            "rate({job=\"x\"}[1h)",
            "parse error at line 0, col 15: missing closing ']' in duration",
        ),
        (
            "1 + 1e",
            "parse error at line 1, col 5: exponent has no digits",
        ),
        (
            "09",
            "parse error at line 1, col 1: invalid digit '9' in octal literal",
        ),
        (
            "1_",
            "parse error at line 1, col 1: '_' must separate successive digits",
        ),
        (
            "vector(0b)",
            "parse error at line 1, col 8: binary literal has no digits",
        ),
        (
            "0b2",
            "parse error at line 1, col 1: invalid digit '2' in binary literal",
        ),
        (
            "1 + 0b1",
            "parse error at line 1, col 5: decimal literal has no digits",
        ),
        // It is read on behind such a number, and what its value lacks is heard first.
        (
            "{a=\"b\"} | x>1e | (",
            "parse error : unable to parse literal as a float: strconv.ParseFloat: \
             parsing \"1e\": invalid syntax",
        ),
        (
            "vector(1e) )",
            "parse error at line 1, col 8: exponent has no digits",
        ),
    ]);
}

#[test]
fn queries_without_sense_are_refused_as_a_whole() {
    let selection = "parse error : queries require at least one regexp or equality matcher that \
                     does not have an empty-compatible value. For instance, app=~\".*\" does not \
                     meet this requirement, but app=~\".+\" will";
    check(&[
        ("{}", selection),
        ("{a!=\"b\", c=~\"d*\"} |= \"x\"", selection),
        ("1 + sum(rate({a=\"\"}[1h]))", selection),
        (
            "sum_over_time({a=\"b\"}[1h])",
            "parse error : invalid aggregation sum_over_time without unwrap",
        ),
        (
            "bytes_rate({a=\"b\"} | unwrap c [1h])",
            "parse error : invalid aggregation bytes_rate with unwrap",
        ),
        (
            "rate({a=\"b\"}[1h]) by (c)",
            "parse error : grouping not allowed for rate aggregation",
        ),
        (
            "quantile_over_time({a=\"b\"} | unwrap c [1h])",
            "parse error : parameter required for operation quantile_over_time",
        ),
        (
            "rate(3, {a=\"b\"}[1h])",
            "parse error : parameter 3 not supported for operation rate",
        ),
        (
            "topk(rate({a=\"b\"}[1h]))",
            "parse error : parameter required for operation topk",
        ),
        (
            "topk(1.5, rate({a=\"b\"}[1h]))",
            "parse error : invalid parameter topk(1.5,",
        ),
        (
            "bottomk(0, rate({a=\"b\"}[1h]))",
            "parse error : invalid parameter (must be greater than 0) bottomk(0",
        ),
        (
            "avg(3, rate({a=\"b\"}[1h]))",
            "parse error : unsupported parameter for operation avg(3,",
        ),
        (
            "approx_topk(3, rate({a=\"b\"}[1h])) by (c)",
            "parse error : grouping not allowed for approx_topk aggregation",
        ),
        (
            "sort(rate({a=\"b\"}[1h])) by (c)",
            "parse error : sort and sort_desc doesn't allow grouping by ",
        ),
        (
            "{a=\"b\"} + 1",
            "parse error : unexpected type for left leg of binary operation (+): \
             *syntax.MatchersExpr",
        ),
        (
            "1 > {a=\"b\"} | json",
            "parse error : unexpected type for right leg of binary operation (>): \
             *syntax.PipelineExpr",
        ),
        (
            "sum_over_time({a=\"b\"}[1h]) or 2",
            "parse error : unexpected literal for right leg of logical/set binary operation \
             (or): 2.000000",
        ),
        (
            "0x10",
            "parse error : unable to parse literal as a float: strconv.ParseFloat: parsing \
             \"0x10\": invalid syntax",
        ),
        (
            "{a=\"b\"} | c>0b1",
            "parse error : unable to parse literal as a float: strconv.ParseFloat: parsing \
             \"0b1\": invalid syntax",
        ),
        (
            "label_replace(vector(1), \"a\", \"b\", \"c\", \"(\")",
            "parse error : invalid regex in label_replace: error parsing regexp: missing \
             closing ): `^(?:()$`",
        ),
    ]);
    let long = format!("{{a=\"{}\"}}", "b".repeat(131_066));
    let too_long = "parse error : input size too long (131072 > 131072)";
    assert!(error(&long) == too_long);
    assert!(parse(&long.replacen('b', "", 1)).is_ok());
}

#[test]
fn stages_that_cannot_be_built_are_quoted() {
    check(&[
        (
            "{a=\"b\"} |~ \"(\" | json |= \"x\"",
            "parse error : stage '|~ \"(\" |= \"x\"' : error parsing regexp: missing closing ): \
             `(`",
        ),
        (
            "{a=\"b\"} | json | line_format \"{{.x\" |~ \"(\"",
            "parse error : stage '| line_format \"{{.x\"' : invalid line template: template: \
             line:1: unclosed action",
        ),
        (
            "{a=\"b\"} |~ ip(\"10.0.0.1\")",
            "parse error : stage '|~ ip(\"10.0.0.1\")' : ip: invalid operation",
        ),
        (
            "{a=\"b\"} | c=ip(\"10\")",
            "parse error : stage '| c=ip(\"10\")' : ip: invalid pattern: \"10\"",
        ),
        (
            "{a=\"b\"} |> \"<c>\"",
            "parse error : stage '|> \"<c>\"' : named captures are not allowed: found '<c>'",
        ),
        (
            "{a=\"b\"} | json c=\"d..e\"",
            "parse error : stage '| json c=\"d..e\"' : cannot parse expression [d..e]: syntax \
             error: unexpected DOT, expecting FIELD",
        ),
        (
            "{a=\"b\"} | label_format __error__=\"\"",
            "parse error : stage '| label_format __error__=\"\"' : __error__ cannot be formatted",
        ),
        (
            "{a=\"b\"} | label_format c=\"\",c=d",
            "parse error : stage '| label_format c=\"\",c=d' : multiple label name 'c' not \
             allowed in a single format operation",
        ),
        (
            "rate({a=\"b\"} | label_format c=\"{{nothing}}\" [1h])",
            "parse error : stage '| label_format c=\"{{nothing}}\"' : invalid template for \
             label 'c': template: label:1: function \"nothing\" not defined",
        ),
        (
            "{a=\"b\"} | regexp \"(?P<c>x)(?P<c>y)\"",
            "parse error : invalid regexp parser: duplicate extracted label name 'c'",
        ),
        (
            "{a=\"b\"} | regexp \"(x)\"",
            "parse error : invalid regexp parser: at least one named capture must be supplied",
        ),
        (
            "{a=\"b\"} | pattern \"<c><d>\"",
            "parse error : invalid pattern parser: found consecutive capture '<c><d>': invalid \
             expression",
        ),
        (
            "{a=\"b\"} | c=~\"(\"",
            "parse error : error parsing regexp: missing closing ): `(`",
        ),
    ]);
    // Writing a query down does not build its stages.
    assert_eq!(
        format_query("{a=\"b\"}|~`(`").unwrap(),
        "{a=\"b\"} |~ \"(\""
    );
}

#[test]
fn what_is_no_selector_may_be_wrong_besides() {
    let wrong = r#"count_over_time({a="b"} | unwrap c [1m])"#;
    let only = LogQlError::OnlyMatchers;
    assert_eq!(parse_any_matchers(wrong), Err(only));
    assert!(matches!(parse_matchers(wrong), Err(LogQlError::Parse(_))));
}

#[test]
fn selectors_can_be_read_alone() {
    assert_eq!(parse_matchers("{a=\"b\", c!=\"d\"}").unwrap().len(), 2);
    assert!(parse_matchers("{}").is_err());
    assert!(parse_any_matchers("{}").unwrap().is_empty());
    for query in ["{a=\"b\"} |= \"x\"", "rate({a=\"b\"}[1m])"] {
        let error = parse_matchers(query).unwrap_err().to_string();
        assert_eq!(error, "only label matchers are supported");
    }
}

#[test]
fn stages_that_are_not_run_need_not_be_ones() {
    let wrong = r#"{a="b"} | line_format "{{$y}}""#;
    assert!(error(wrong).contains("undefined variable"));
    assert!(error(&format!("bytes_rate({wrong} [1m])")).contains("undefined variable"));
    assert!(error(&format!("rate({wrong} | json [1m])")).contains("undefined variable"));
    assert!(parse(&format!("rate({wrong} | x=`y` [1m])")).is_ok());
}

#[test]
fn queries_for_one_time_give_numbers_whatever_their_stages_are() {
    let error = |query: &str| parse_instant(query).unwrap_err().to_string();
    let wrong = r#"{a="b"} | json x="[""#;
    assert!(error(wrong).starts_with("log queries are not supported as an instant query type"));
    assert!(error("{").starts_with("parse error at line 1, col 2: "));
    assert!(error(&format!("rate({wrong} [1m])")).starts_with("parse error : stage "));
    assert!(parse_instant(r#"rate({a="b"}[1m])"#).is_ok());
}
