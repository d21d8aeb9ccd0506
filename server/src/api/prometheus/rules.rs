//! Rules over metrics and their alerts as they are at this moment.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use kymo_query::rules::{Alert, Health, Language, Pairs, Rule};
use kymo_storage::compat::float;
use kymo_storage::compat::quote::quote;
use kymo_storage::compat::time::Instant;
use kymo_storage::model::{Labels, Matcher};
use ring::digest::{SHA256, digest};
use serde::{Serialize, Serializer};

use super::bounds::match_sets;
use crate::api::call::Call;
use crate::http::answer::{Answer, ApiResult, json_response};
use crate::http::error::{ApiError, plain};
use crate::rules::Running;

/// How Go prints a time that was never set.
const NEVER: &str = "0001-01-01T00:00:00Z";

const NS_PER_S: i64 = 1_000_000_000;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Groups {
    groups: Vec<GroupView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupView {
    name: String,
    file: String,
    rules: Vec<RuleView>,
    interval: Seconds,
    limit: i64,
    evaluation_time: Seconds,
    last_evaluation: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum RuleView {
    Alerting(AlertingView),
    Recording(RecordingView),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertingView {
    state: &'static str,
    name: String,
    query: String,
    duration: Seconds,
    keep_firing_for: Seconds,
    labels: Map,
    annotations: Map,
    alerts: Option<Vec<AlertView>>,
    health: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    evaluation_time: Seconds,
    last_evaluation: String,
    r#type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RecordingView {
    name: String,
    query: String,
    labels: Map,
    health: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    evaluation_time: Seconds,
    last_evaluation: String,
    r#type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertView {
    labels: LabelMap,
    annotations: Map,
    state: &'static str,
    active_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_firing_since: Option<String>,
    value: String,
}

#[derive(Serialize)]
struct Alerts {
    alerts: Vec<AlertView>,
}

/// Pairs as a JSON object, in their order.
struct Map(Pairs);

impl Serialize for Map {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Labels as a JSON object, in their order.
struct LabelMap(Labels);

impl Serialize for LabelMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(&self.0)
    }
}

/// A number of seconds, written as Go does: whole ones without a point.
struct Seconds(f64);

impl Seconds {
    fn from_ms(ms: i64) -> Seconds {
        Seconds(ms as f64 / 1e3)
    }

    fn from_ns(ns: u64) -> Seconds {
        Seconds(ns as f64 / 1e9)
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let whole = self.0 as i64;
        if whole as f64 == self.0 {
            serializer.serialize_i64(whole)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

/// `/api/v1/rules`
pub(crate) async fn rules(call: Call) -> ApiResult {
    Answer::value(&groups(&call, Language::PromQl).await?)
}

/// `/prometheus/api/v1/rules`: rules over logs, as Loki tells of them.
pub(crate) async fn log_rules(call: Call) -> Response {
    let kind = call.params.get("type").to_lowercase();
    if !matches!(kind.as_str(), "" | "alert" | "record") {
        return of_logs::<Groups>(Err(format!("not supported value {}", quote(&kind))));
    }
    let found = groups(&call, Language::LogQl).await;
    of_logs(found.map_err(|error| error.message().to_owned()))
}

/// `/prometheus/api/v1/alerts`: alerts of rules over logs.
pub(crate) async fn log_alerts(call: Call) -> Response {
    let found = found_alerts(&call, Language::LogQl).await;
    of_logs(found.map_err(|error| error.message().to_owned()))
}

/// Loki's envelope, in which nothing is left out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OfLogs<T> {
    status: &'static str,
    data: Option<T>,
    error_type: &'static str,
    error: String,
}

/// Answers with Loki's envelope.
fn of_logs<T: Serialize>(outcome: Result<T, String>) -> Response {
    let (status, told) = match outcome {
        Ok(data) => (
            StatusCode::OK,
            OfLogs {
                status: "success",
                data: Some(data),
                error_type: "",
                error: String::new(),
            },
        ),
        Err(error) => (
            StatusCode::BAD_REQUEST,
            OfLogs {
                status: "error",
                data: None,
                error_type: "bad_data",
                error,
            },
        ),
    };
    let body = serde_json::to_vec(&told);
    let mut response = match body {
        Ok(body) => json_response(Body::from(body)),
        Err(error) => return plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    };
    if !status.is_success() {
        let kind = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    *response.status_mut() = status;
    response
}

async fn groups(call: &Call, language: Language) -> Result<Groups, ApiError> {
    let asked = Asked::of(call)?;
    let rules = &call.core()?.rules;
    let groups = match language {
        Language::LogQl => {
            let namespaces = rules.log_namespaces().into_iter();
            let named = namespaces.flat_map(|(namespace, groups)| {
                let named = move |running| (namespace.clone(), running);
                groups.into_iter().map(named)
            });
            named.collect()
        }
        language => {
            let groups = rules.groups_of(language).into_iter();
            let named = groups.map(|running| (running.group().file().to_owned(), running));
            named.collect::<Vec<_>>()
        }
    };
    // There may be ten thousand rules, which is too much for a connection's thread.
    let found = call.app.queries.lookup(move || asked.groups(&groups)).await;
    found.map_err(|stopped| ApiError::internal(stopped.to_string()))?
}

/// `/api/v1/alerts`
pub(crate) async fn alerts(call: Call) -> ApiResult {
    Answer::value(&found_alerts(&call, Language::PromQl).await?)
}

async fn found_alerts(call: &Call, language: Language) -> Result<Alerts, ApiError> {
    let groups = call.core()?.rules.groups_of(language);
    let found = call.app.queries.lookup(move || {
        let rules = groups.iter().flat_map(|running| running.group().rules());
        let alerting = rules.filter(|rule| rule.alert_settings().is_some());
        Alerts {
            alerts: alerting.flat_map(alert_views).collect(),
        }
    });
    let found = found.await;
    found.map_err(|stopped| ApiError::internal(stopped.to_string()))
}

/// What a client wants to see of the rules.
struct Asked {
    alerting: bool,
    recording: bool,
    with_alerts: bool,
    rule_names: Vec<String>,
    group_names: Vec<String>,
    files: Vec<String>,
    match_sets: Vec<Vec<Matcher>>,
    /// Most groups, and the token of the first one.
    page: Option<(usize, String)>,
}

impl Asked {
    fn of(call: &Call) -> Result<Asked, ApiError> {
        let match_sets = match_sets(call).map_err(ApiError::bad_data)?;
        let params = &call.params;
        let kind = params.get("type").to_lowercase();
        if !matches!(kind.as_str(), "" | "alert" | "record") {
            let quoted = quote(&kind);
            let cause = format!("not supported value {quoted}");
            return Err(ApiError::parameter("type", cause));
        }
        let excluded = exclude_alerts(params.get("exclude_alerts"))
            .map_err(|cause| ApiError::parameter("exclude_alerts", cause))?;
        let page = page(params.get("group_limit"), params.get("group_next_token"))
            .map_err(|(name, cause)| ApiError::parameter(name, cause))?;
        let all = |name| params.all(name).map(str::to_owned).collect();
        Ok(Asked {
            alerting: kind != "record",
            recording: kind != "alert",
            with_alerts: !excluded,
            rule_names: all("rule_name[]"),
            group_names: all("rule_group[]"),
            files: all("file[]"),
            match_sets,
            page,
        })
    }

    fn groups(&self, groups: &[(String, Arc<Running>)]) -> Result<Groups, ApiError> {
        let mut found = Groups {
            groups: Vec::new(),
            group_next_token: None,
        };
        let (most, first) = match &self.page {
            Some((most, first)) => (*most, first.as_str()),
            None => (usize::MAX, ""),
        };
        let mut is_reached = first.is_empty();
        for (file, running) in groups {
            let group = running.group();
            is_reached = is_reached || token(file, group.name()) == first;
            if !is_reached || !among(&self.group_names, group.name()) || !among(&self.files, file) {
                continue;
            }
            let rules: Vec<RuleView> = group
                .rules()
                .iter()
                .filter_map(|rule| self.rule(rule))
                .collect();
            if rules.is_empty() {
                continue;
            }
            if found.groups.len() == most {
                found.group_next_token = Some(token(file, group.name()));
                break;
            }
            let figures = running.figures();
            found.groups.push(GroupView {
                name: group.name().to_owned(),
                file: file.clone(),
                rules,
                interval: Seconds::from_ms(group.settings().interval_ms),
                limit: group.definition().limit,
                evaluation_time: Seconds(figures.took_s),
                last_evaluation: time(figures.evaluated_at_ns),
            });
        }
        if !is_reached {
            let cause = format!("invalid group_next_token '{first}'. were rule groups changed?");
            return Err(ApiError::parameter("group_next_token", cause));
        }
        Ok(found)
    }

    fn rule(&self, rule: &Rule) -> Option<RuleView> {
        let value = |name: &str| {
            let found = rule.labels().iter().find(|(n, _)| n == name);
            found.map_or("", |(_, value)| value.as_str())
        };
        let matches = |set: &Vec<Matcher>| set.iter().all(|m| m.matches(value(m.name())));
        let is_asked = self.match_sets.is_empty() || self.match_sets.iter().any(matches);
        if !is_asked || !among(&self.rule_names, rule.name()) {
            return None;
        }
        let status = rule.status();
        let evaluation_time = Seconds::from_ns(status.took_ns);
        let last_evaluation = time(status.evaluated_at_ns);
        match rule.alert_settings() {
            Some(settings) if self.alerting => Some(RuleView::Alerting(AlertingView {
                state: match status.evaluated_at_ns {
                    Some(_) => rule.state().as_str(),
                    None => Health::Unknown.as_str(),
                },
                name: rule.name().to_owned(),
                query: rule.query().to_owned(),
                duration: Seconds::from_ms(settings.for_ms),
                keep_firing_for: Seconds::from_ms(settings.keep_firing_for_ms),
                labels: Map(rule.labels().clone()),
                annotations: Map(settings.annotations.clone()),
                alerts: self.with_alerts.then(|| alert_views(rule)),
                health: status.health.as_str(),
                last_error: status.last_error,
                evaluation_time,
                last_evaluation,
                r#type: "alerting",
            })),
            None if self.recording => Some(RuleView::Recording(RecordingView {
                name: rule.name().to_owned(),
                query: rule.query().to_owned(),
                labels: Map(rule.labels().clone()),
                health: status.health.as_str(),
                last_error: status.last_error,
                evaluation_time,
                last_evaluation,
                r#type: "recording",
            })),
            _ => None,
        }
    }
}

fn among(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|known| known == name)
}

fn alert_views(rule: &Rule) -> Vec<AlertView> {
    let view = |alert: Alert| AlertView {
        annotations: Map(alert.annotations.to_vec()),
        state: alert.state.as_str(),
        active_at: time(Some(alert.active_at_ns)),
        keep_firing_since: alert.keep_firing_since_ns.map(|ns| time(Some(ns))),
        value: float::e(alert.value),
        labels: LabelMap(alert.labels),
    };
    rule.active_alerts().into_iter().map(view).collect()
}

/// Prints a time in UTC.
fn time(ns: Option<i64>) -> String {
    let Some(ns) = ns else {
        return NEVER.to_owned();
    };
    let instant = Instant {
        unix_s: ns.div_euclid(NS_PER_S),
        nanos: u32::try_from(ns.rem_euclid(NS_PER_S)).unwrap_or(0),
    };
    instant.rfc3339_nano()
}

/// Names a group in the pages of an answer.
fn token(file: &str, name: &str) -> String {
    let hash = digest(&SHA256, format!("{file};{name}").as_bytes());
    hash.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Reads a boolean as Go's `strconv.ParseBool`, after making it lower case.
fn exclude_alerts(text: &str) -> Result<bool, String> {
    let text = text.to_lowercase();
    match text.as_str() {
        "" | "0" | "f" | "false" => Ok(false),
        "1" | "t" | "true" => Ok(true),
        _ => {
            let quoted = quote(&text);
            Err(format!(
                "error converting exclude_alerts: strconv.ParseBool: parsing {quoted}: invalid \
                 syntax"
            ))
        }
    }
}

/// Reads which groups of many are asked for. A mistake names the parameter.
fn page(limit: &str, token: &str) -> Result<Option<(usize, String)>, (&'static str, String)> {
    if limit.is_empty() {
        if token.is_empty() {
            return Ok(None);
        }
        let cause = "group_limit needs to be present in order to paginate over the groups";
        return Err(("group_next_token", cause.to_owned()));
    }
    let wrong = |cause: String| ("group_limit", cause);
    let parsed = parse_int32(limit)
        .map_err(|cause| wrong(format!("group_limit needs to be a valid number: {cause}")))?;
    match usize::try_from(parsed) {
        Ok(most) if most > 0 => Ok(Some((most, token.to_owned()))),
        _ => Err(wrong("group_limit needs to be greater than 0".to_owned())),
    }
}

/// Reads a number as Go's `strconv.ParseInt` does for 32 bits.
fn parse_int32(text: &str) -> Result<i32, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let quoted = quote(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "strconv.ParseInt: parsing {quoted}: invalid syntax"
        ));
    }
    text.parse()
        .map_err(|_| format!("strconv.ParseInt: parsing {quoted}: value out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_asked_for_with_a_limit() {
        let wrong = |limit, token| page(limit, token).unwrap_err();
        assert_eq!(page("", "").unwrap(), None);
        assert_eq!(page("2", "").unwrap(), Some((2, String::new())));
        assert_eq!(page("+2", "t").unwrap(), Some((2, "t".to_owned())));
        let start = "group_limit needs to be ";
        let number = "a valid number: strconv.ParseInt: parsing";
        for (limit, end) in [
            ("0", "greater than 0".to_owned()),
            ("-1", "greater than 0".to_owned()),
            ("x", format!("{number} \"x\": invalid syntax")),
            ("1_0", format!("{number} \"1_0\": invalid syntax")),
            (
                "3000000000",
                format!("{number} \"3000000000\": value out of range"),
            ),
        ] {
            assert_eq!(wrong(limit, ""), ("group_limit", format!("{start}{end}")));
        }
        assert_eq!(wrong("", "t").0, "group_next_token");
    }

    #[test]
    fn seconds_and_times_are_written_as_go_does() {
        let json = |seconds| serde_json::to_string(&Seconds(seconds)).unwrap();
        assert_eq!([json(15.0), json(0.25), json(0.0)], ["15", "0.25", "0"]);
        assert_eq!(time(None), NEVER);
        assert_eq!(time(Some(1_500_000_000)), "1970-01-01T00:00:01.5Z");
        assert_eq!(
            token("a.yml", "g"),
            // printf 'a.yml;g' | sha256sum
            "2d473f639f615e78ecc269d7919b8684c70a7feac39ec520f75feb0fab5c9a83"
        );
        assert!(exclude_alerts("TRUE").unwrap() && !exclude_alerts("").unwrap());
        assert!(exclude_alerts("yes").is_err());
    }
}
