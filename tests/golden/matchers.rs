//! Label matchers: which values they match, their print, and why a pattern is refused.

use kymo_storage::model::{MatchOp, Matcher};
use serde_json::Value;

use crate::corpus::{self, Score, field};

#[test]
fn matchers() {
    let Some(cases) = corpus::cases("matchers") else {
        return;
    };
    let mut score = Score::new("matchers");
    for case in &cases {
        let name = format!("{}{}", field(case, "type"), case["pattern"]);
        score.count(name, judge(case));
    }
    score.finish();
}

fn judge(case: &Value) -> Result<(), String> {
    let op = match field(case, "type") {
        "=" => MatchOp::Equal,
        "!=" => MatchOp::NotEqual,
        "=~" => MatchOp::Regex,
        "!~" => MatchOp::NotRegex,
        other => return Err(format!("unknown operator {other:?}")),
    };
    let pattern = corpus::text(&case["pattern"]).ok_or("the pattern is not UTF-8")?;
    let matcher = match Matcher::new(op, "x", pattern) {
        Ok(matcher) => matcher,
        Err(error) => {
            return match corpus::text(&case["error"]) {
                Some(want) if want == error.to_string() => Ok(()),
                want => Err(format!("error: want {want:?}, got {:?}", error.to_string())),
            };
        }
    };
    if let Some(want) = case.get("error") {
        return Err(format!("error: want {want}, got none"));
    }
    let matched: Vec<&Value> = case["values"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|value| corpus::bytes(value).is_some_and(|bytes| matcher.matches_bytes(&bytes)))
        .collect();
    let want: Vec<&Value> = case["matched"].as_array().into_iter().flatten().collect();
    if matched != want {
        return Err(format!("matched: want {want:?}, got {matched:?}"));
    }
    if case["matches_empty"].as_bool() != Some(matcher.matches_empty()) {
        return Err(format!("matches_empty: got {}", matcher.matches_empty()));
    }
    if field(case, "string") != matcher.to_string() {
        return Err(format!("string: want {}, got {matcher}", case["string"]));
    }
    Ok(())
}
