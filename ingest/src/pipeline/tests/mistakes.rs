//! Configurations that make no sense.

use super::*;

#[test]
fn configurations_that_make_no_sense_are_refused() {
    for (config, text) in [
        (
            json(&[]),
            "invalid json stage config: JMES expression is required",
        ),
        (
            json(&[("a", "a[")]),
            "invalid json stage config: could not compile JMES expression",
        ),
        (
            StageConfig::Regex {
                expression: text("("),
                source: None,
            },
            "invalid regex stage config: could not compile regular expression: error parsing regexp",
        ),
        (
            StageConfig::Regex {
                expression: text("a"),
                source: Some(String::new()),
            },
            "invalid regex stage config: empty source",
        ),
        (
            StageConfig::Labels(pairs(&[("a-b", "")])),
            "invalid labels stage config: invalid label name: a-b",
        ),
        (
            StageConfig::Template {
                source: text("a"),
                template: text("{{"),
            },
            "invalid template stage config: unclosed action",
        ),
        (
            StageConfig::Drop(DropConfig::default()),
            "invalid drop stage config: drop stage config must contain",
        ),
        (
            StageConfig::Limit(LimitConfig {
                rate: 0.0,
                burst: 1,
                excess: Excess::Drop,
            }),
            "invalid limit stage config: limit stage failed",
        ),
        (
            StageConfig::Match(MatchConfig {
                selector: text("x"),
                action: MatchAction::Drop(text("r")),
            }),
            "invalid match stage config: invalid selector syntax for match stage: no matcher",
        ),
        (
            StageConfig::Sampling {
                rate: 1.5,
                drop_reason: text("r"),
            },
            "invalid sampling stage config: sampling stage failed",
        ),
        (
            StageConfig::Output {
                source: String::new(),
            },
            "invalid output stage config: output source",
        ),
    ] {
        let error = Pipeline::new(&[config], &tools()).unwrap_err().to_string();
        assert!(error.starts_with(text), "{error}");
    }
}
