//! Any text as a template of an alert and of a log line: nothing panics, and what comes
//! out is within its bounds.
#![no_main]

use kymo_query::template::alert::{AlertData, Expander, Prefix};
use kymo_query::template::logs::{self, Line};
use kymo_query::template::{Functions, Limits, MissingKey, Template};
use kymo_storage::model::Labels;
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits {
    output_bytes: 64 << 10,
    steps: 50_000,
};

fuzz_target!(|text: &str| {
    let labels = Labels::from_pairs([("instance", "a:80"), ("n", "1.5"), ("t", "1700000000")]);
    let data = AlertData::new(&labels, &labels, "http://a/b", 1234.5);
    for prefix in [Prefix::Alert, Prefix::None] {
        let expander = Expander {
            name: "__alert_A",
            text,
            data: &data,
            now_ms: 1_700_000_000_000,
            external_url: "http://a/b",
            path_prefix: "/b",
            query: &|query, _| match query.len() % 3 {
                0 => Ok(Vec::new()),
                1 => Err("no answer".to_owned()),
                _ => Ok(vec![(labels.clone(), 1.0).into(), (Labels::empty(), f64::NAN).into()]),
            },
            prefix,
        };
        let _ = expander.expand();
    }
    let Ok(template) = Template::parse("line", text, Functions::LOGS) else {
        return;
    };
    let line = Line {
        line: text.as_bytes(),
        timestamp_ns: i64::MAX,
        now_ns: i64::MIN,
    };
    let pairs = || labels.iter().chain([("json", "{\"a\":[1,{\"b\":null}]}")]);
    for missing_key in [MissingKey::Invalid, MissingKey::Zero, MissingKey::Error] {
        if let Ok(out) = template.execute(logs::labels(pairs()), &line, missing_key, LIMITS) {
            assert!(out.len() <= LIMITS.output_bytes);
        }
    }
});
