//! Asking what there is, and all other calls.

use crate::Pair;
use crate::compare::Case;
use crate::reads::{SELECT, V1, WRONG_TIMES, check};

/// Where the answers differ on purpose.
const KEPT_ODDS: &[(&str, &str)] = &[
    ("GET /loki/api/v1/drilldown-limits", "limits are Kymo's"),
    (
        "GET /api/prom/query query=sum(",
        "the text is told without a frame around it",
    ),
    ("GET /loki/api/v1//query", "the way is told in HTML, too"),
    ("GET /log_level", "a flag says it"),
    ("OPTIONS ", "browsers ask before they call"),
    ("POST /loki/api/v1/index/shards", "no size has to be given"),
];

fn index(pair: &Pair) -> Vec<Case> {
    let mut cases = Vec::new();
    let (start, end) = (pair.ns(-8000), pair.ns(100));
    let both = [("start", start.as_str()), ("end", end.as_str())];
    let wrong = [
        "",
        "{",
        "x",
        "{app=\"web\"",
        "{app=~\".*\"}",
        "{app=\"\"}",
        "{app!=\"web\"}",
    ];
    let entries = ["{app=\"web\"} |= \"x\"", "{app=\"web\"} | json"];
    for call in [
        "index/stats",
        "index/volume",
        "index/volume_range",
        "patterns",
        "detected_labels",
        "detected_fields",
        "detected_field/status/values",
    ] {
        let path = format!("{V1}/{call}");
        let finds_fields = call.starts_with("detected_field");
        for query in wrong {
            let is_all = query.is_empty() && call == "detected_labels";
            if !is_all {
                cases.push(Case::get(&path, &[("query", query), both[0], both[1]]));
            }
        }
        if !finds_fields {
            for query in entries
                .into_iter()
                .chain(["sum(rate({app=\"web\"}[1m]))", "1"])
            {
                cases.push(Case::get(&path, &[("query", query), both[0], both[1]]));
            }
        }
        for time in WRONG_TIMES {
            cases.push(Case::get(&path, &[("query", SELECT), ("start", time)]));
            cases.push(Case::get(
                &path,
                &[("query", SELECT), both[0], ("end", time)],
            ));
        }
        let backwards = [
            ("query", SELECT),
            ("start", end.as_str()),
            ("end", start.as_str()),
        ];
        cases.push(Case::get(&path, &backwards));
        // Bytes, steps and patterns are not counted in the same way.
        let is_alike = !matches!(call, "index/volume_range" | "patterns");
        for query in [SELECT, "{app=~\".+\"}", "{app=\"db\"}", "{}"] {
            let params = [("query", query), both[0], both[1]];
            if is_alike {
                cases.push(Case::get(&path, &params).shape());
                cases.push(Case::form(&path, &params).shape());
            }
        }
        for (name, value) in [
            ("limit", "0"),
            ("limit", "-1"),
            ("limit", "x"),
            ("limit", "100000"),
            ("limit", ""),
            ("step", "60"),
            ("step", "0"),
            ("step", "-1"),
            ("step", "x"),
            ("step", "0.001"),
            ("step", "1ms"),
            ("line_limit", "5"),
            ("line_limit", "0"),
            ("line_limit", "-1"),
            ("line_limit", "x"),
            ("line_limit", "100000"),
            ("targetLabels", "app"),
            ("targetLabels", "app,env"),
            ("targetLabels", "none"),
            ("aggregateBy", "labels"),
            ("aggregateBy", "series"),
            ("aggregateBy", "x"),
            ("aggregateBy", ""),
            ("aggregateBy", "Labels"),
            ("since", "1h"),
            ("since", "x"),
            ("field_limit", "x"),
            ("direction", "up"),
            ("interval", "x"),
            ("time", "x"),
        ] {
            let query = if is_alike { SELECT } else { "{app=\"none\"}" };
            let params = [("query", query), both[0], both[1], (name, value)];
            cases.push(Case::get(&path, &params).shape());
        }
    }
    for extra in [
        [("targetLabels", "env"), ("aggregateBy", "labels")],
        [("targetLabels", "app,env"), ("aggregateBy", "labels")],
        [("targetLabels", "env"), ("limit", "1")],
        [("aggregateBy", "labels"), ("limit", "20")],
    ] {
        for query in [SELECT, "{}", "{env=\"prod\"}", "{app=~\".+\"}"] {
            let mut params = vec![("query", query), both[0], both[1]];
            params.extend(extra);
            cases.push(Case::get(&format!("{V1}/index/volume"), &params).shape());
        }
    }
    // Of several mistakes one is told.
    let wrong = [
        ("start", "x"),
        ("end", "y"),
        ("limit", "z"),
        ("limit", "-1"),
        ("limit", "4294967296"),
        ("line_limit", "u"),
        ("step", "v"),
        ("aggregateBy", "w"),
        ("direction", "up"),
        ("query", "{"),
        ("query", "sum(rate({app=\"web\"}[1m]))"),
        ("line_limit", "5001"),
    ];
    for call in [
        "index/stats",
        "index/volume",
        "index/volume_range",
        "detected_labels",
        "detected_fields",
        "detected_field/status/values",
        "labels",
        "label/app/values",
        "series",
        "query_range",
    ] {
        let path = format!("{V1}/{call}");
        for first in wrong {
            for second in wrong {
                let mut params = vec![("query", SELECT), both[0], both[1]];
                params.retain(|(name, _)| *name != first.0 && *name != second.0);
                params.push(first);
                if first.0 != second.0 {
                    params.push(second);
                }
                cases.push(Case::get(&path, &params).mistake());
            }
        }
    }
    // Fields in all places: their kinds, parsers and paths.
    for query in [
        SELECT,
        "{app=\"web\"} | json",
        "{app=\"web\"} | logfmt",
        "{app=\"web\"} | json | status=200",
        "{app=\"web\",env=\"dev\"} | logfmt | took > 3s",
        "{app=\"db\"}",
        "{app=\"db\"} | pattern `connection <id> from <ip> closed`",
        "{app=\"web\"} |= \"slow\"",
        "{app=\"none\"}",
    ] {
        let params = [("query", query), both[0], both[1]];
        cases.push(Case::get(&format!("{V1}/detected_fields"), &params).unordered());
        for name in [
            "level",
            "status",
            "user_id",
            "took",
            "size",
            "ok",
            "n",
            "msg",
            "trace_id",
            "detected_level",
            "none",
            "app",
            "app_extracted",
            "%20",
        ] {
            let path = format!("{V1}/detected_field/{name}/values");
            cases.push(Case::get(&path, &params).unordered());
        }
    }
    cases
}

fn odds(pair: &Pair) -> Vec<Case> {
    let (start, end) = (pair.ns(-8000), pair.ns(100));
    let both = [("start", start.as_str()), ("end", end.as_str())];
    let mut cases = Vec::new();
    for query in [
        "",
        "{",
        SELECT,
        "{app=\"web\"}|=\"x\"|json|status=200",
        "sum(rate({app=\"web\"}[5m]))by(env)",
        "1+1",
        "{app='web'}",
        "x",
        "sum by (env) (rate({app=\"web\",env=~\"prod|dev\"} |= \"some text\" | json | status >= 200 | line_format \"{{.status}}\" [5m])) / on (env) group_left (pod) sum by (env, pod) (count_over_time({app=\"web\"}[5m]))",
    ] {
        cases.push(Case::get(
            &format!("{V1}/format_query"),
            &[("query", query)],
        ));
        cases.push(Case::form(
            &format!("{V1}/format_query"),
            &[("query", query)],
        ));
    }
    cases.push(Case::new("GET", &format!("{V1}/status/buildinfo")).shape());
    cases.push(Case::new("GET", "/ready"));
    cases.push(Case::new("GET", &format!("{V1}/drilldown-limits")).header("X-Scope-OrgID", "a"));
    for path in [
        "query",
        "label",
        "label/app/values",
        "series",
        "label/none/values",
    ] {
        let path = format!("/api/prom/{path}");
        for query in [SELECT, "", "{", "x", "sum(rate({app=\"web\"}[1m]))"] {
            cases.push(
                Case::get(
                    &path,
                    &[
                        ("query", query),
                        ("match[]", query),
                        both[0],
                        both[1],
                        ("limit", "3"),
                    ],
                )
                .unordered(),
            );
        }
        cases.push(
            Case::get(
                &path,
                &[
                    ("query", SELECT),
                    ("match[]", SELECT),
                    ("regexp", "info"),
                    both[0],
                    both[1],
                    ("limit", "3"),
                ],
            )
            .unordered(),
        );
    }
    for path in [
        "query_range",
        "query",
        "labels",
        "label/app/values",
        "series",
        "index/stats",
        "index/volume",
        "index/volume_range",
        "index/shards",
        "patterns",
        "detected_labels",
        "detected_fields",
        "detected_field/x/values",
        "format_query",
        "status/buildinfo",
        "tail",
        "rules",
        "rules/ns",
        "rules/ns/g",
        "delete",
        "drilldown-limits",
    ] {
        for method in ["PUT", "PATCH", "HEAD", "POST", "OPTIONS"] {
            let is_change = matches!(
                (path, method),
                ("delete" | "rules/ns" | "rules/ns/g", _) | ("tail", "POST")
            );
            if !is_change {
                cases.push(Case::new(method, &format!("{V1}/{path}")).unordered());
            }
        }
    }
    for path in [
        "",
        "/x",
        "/query/",
        "/query_rangex",
        "/index",
        "/detected_field",
        "/detected_field/x",
        "/label",
        "/status",
        "/rules/a/b/c",
    ] {
        cases.push(Case::new("GET", &format!("{V1}{path}")));
    }
    for path in [
        "/loki",
        "/loki/api",
        "/loki/api/v2/query",
        "/loki/api/v1//query",
        "/api/prom",
        "/api/prom/x",
        "/ready/",
        "/loki/ready",
        "/log_level",
    ] {
        cases.push(Case::new("GET", path));
    }
    for tenant in ["a", "a|b", "..", "", "a/b", &"x".repeat(200)] {
        let case = Case::get(
            &format!("{V1}/query_range"),
            &[("query", SELECT), both[0], both[1], ("limit", "1")],
        );
        cases.push(case.unordered().header("X-Scope-OrgID", tenant));
    }
    let case = Case::get(
        &format!("{V1}/query_range"),
        &[("query", SELECT), both[0], both[1], ("limit", "1")],
    );
    cases.push(case.unordered().header("X-Query-Tags", "Source=x, a b=c"));
    cases
}

#[test]
fn what_there_is_is_told_as_by_loki() {
    check(index, &[]);
}

#[test]
fn other_calls_answer_as_those_of_loki() {
    check(odds, KEPT_ODDS);
}
