//! Parameters that several calls share: times, limits, selectors.

use kymo_query::promql::parse_selector;
use kymo_storage::compat::time;
use kymo_storage::model::{Matcher, TimeRange};

use crate::api::call::Call;
use crate::http::error::ApiError;
use crate::http::params::Params;

/// The warning of a list that was cut.
pub(super) const TRUNCATED: &str = "results truncated due to limit";

/// Reads `start` and `end`; where one is absent that side is open.
pub(super) fn time_range(params: &Params) -> Result<TimeRange, ApiError> {
    let range = TimeRange::new(
        time_or(params, "start", i64::MIN)?,
        time_or(params, "end", i64::MAX)?,
    );
    Ok(range)
}

/// Reads an optional time in milliseconds.
pub(super) fn time_or(params: &Params, name: &str, absent_ms: i64) -> Result<i64, ApiError> {
    time_value(params, name, absent_ms).map_err(|cause| ApiError::parameter(name, cause))
}

/// The same, for calls that do not name the parameter in front of what is wrong.
///
/// # Errors
/// The bare cause.
pub(super) fn time_value(params: &Params, name: &str, absent_ms: i64) -> Result<i64, String> {
    match params.get(name) {
        "" => Ok(absent_ms),
        text => match time::parse_api(text) {
            Ok(instant) => Ok(instant.ms()),
            Err(error) => Err(format!("invalid time value for '{name}': {error}")),
        },
    }
}

/// Reads `limit`; 0 is none.
pub(super) fn limit(params: &Params) -> Result<usize, ApiError> {
    match params.get("limit") {
        "" => Ok(0),
        text => match atoi(text) {
            Ok(limit) => usize::try_from(limit)
                .map_err(|_negative| ApiError::parameter("limit", "limit must be non-negative")),
            Err(error) => Err(ApiError::parameter("limit", error)),
        },
    }
}

/// Reads an integer as Go's `strconv.Atoi` does, with its error texts.
pub(super) fn atoi(text: &str) -> Result<i64, String> {
    text.parse::<i64>().map_err(|error| {
        let quoted = kymo_storage::compat::quote::quote(text);
        let cause = match error.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
                "value out of range"
            }
            _ => "invalid syntax",
        };
        format!("strconv.Atoi: parsing {quoted}: {cause}")
    })
}

/// Reads a boolean as Go's `strconv.ParseBool` does, with its error text.
pub(super) fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => {
            let quoted = kymo_storage::compat::quote::quote(text);
            Err(format!(
                "strconv.ParseBool: parsing {quoted}: invalid syntax"
            ))
        }
    }
}

/// Reads every `match[]` as a set of matchers.
///
/// # Errors
/// A selector does not parse, or every series satisfies it; the text is the bare
/// cause, because only some calls name the parameter.
pub(super) fn match_sets(call: &Call) -> Result<Vec<Vec<Matcher>>, String> {
    let features = call.app.flags.promql_features();
    call.params
        .all("match[]")
        .map(|text| {
            let matchers = parse_selector(text, &features).map_err(|error| error.to_string())?;
            if matchers.iter().all(Matcher::matches_empty) {
                return Err("match[] must contain at least one non-empty matcher".to_owned());
            }
            Ok(matchers)
        })
        .collect()
}

/// Asks for one item more than the limit, which tells whether the list is cut.
pub(super) fn one_more(limit: usize) -> usize {
    match limit {
        0 => 0,
        limit => limit.saturating_add(1),
    }
}

/// Cuts a list to its limit; true where something was cut off.
pub(super) fn cut<T>(list: &mut Vec<T>, limit: usize) -> bool {
    let over = limit > 0 && list.len() > limit;
    if over {
        list.truncate(limit);
    }
    over
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params::decode(Some(query), None)
    }

    #[test]
    fn limits_are_read_as_go_reads_them() {
        assert_eq!(limit(&params("")), Ok(0));
        assert_eq!(limit(&params("limit=7")), Ok(7));
        for (query, cause) in [
            ("limit=-1", "limit must be non-negative"),
            ("limit=x", "strconv.Atoi: parsing \"x\": invalid syntax"),
            ("limit=1.5", "strconv.Atoi: parsing \"1.5\": invalid syntax"),
            (
                "limit=99999999999999999999",
                "strconv.Atoi: parsing \"99999999999999999999\": value out of range",
            ),
        ] {
            assert_eq!(
                limit(&params(query)),
                Err(ApiError::parameter("limit", cause)),
                "{query}"
            );
        }
    }

    #[test]
    fn a_missing_time_leaves_its_side_open() {
        let range = time_range(&params("end=12.5")).unwrap();
        assert_eq!(range, TimeRange::new(i64::MIN, 12_500));
        assert_eq!(
            time_range(&params("start=tomorrow")),
            Err(ApiError::bad_data(
                "invalid parameter \"start\": invalid time value for 'start': \
                 cannot parse \"tomorrow\" to a valid timestamp"
            ))
        );
    }

    #[test]
    fn booleans_are_read_as_go_reads_them() {
        assert_eq!(parse_bool("T"), Ok(true));
        assert_eq!(parse_bool("False"), Ok(false));
        let text = "strconv.ParseBool: parsing \"maybe\": invalid syntax";
        assert_eq!(parse_bool("maybe"), Err(text.to_owned()));
    }

    #[test]
    fn a_list_is_cut_only_above_its_limit() {
        for (limit, kept, over) in [(0, 3, false), (3, 3, false), (2, 2, true)] {
            let mut list = vec![1, 2, 3];
            assert_eq!(cut(&mut list, limit), over);
            assert_eq!(list.len(), kept);
        }
        assert_eq!((one_more(0), one_more(2)), (0, 3));
    }
}
