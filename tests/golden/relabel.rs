//! Relabelling rules, read from YAML and applied to label sets.

use kymo::config::parse_relabel_rules;
use kymo_storage::compat::name::NameValidation;
use kymo_storage::model::{Labels, LabelsBuilder, Verdict, relabel};
use serde_json::Value;

use crate::corpus::{self, Score, field};

#[test]
fn relabel_rules() {
    let Some(cases) = corpus::cases("relabel") else {
        return;
    };
    let mut score = Score::new("relabel");
    for case in &cases {
        score.count(format!("{}", case["config_yaml"]), judge(case));
    }
    score.finish();
}

fn judge(case: &Value) -> Result<(), String> {
    let validation = NameValidation::from_config(field(case, "name_validation"))
        .ok_or("unknown name_validation")?;
    let yaml = corpus::text(&case["config_yaml"]).ok_or("the rules are not UTF-8")?;
    let rules = match parse_relabel_rules(&yaml, validation) {
        Ok(rules) => rules,
        Err(error) => {
            let got = error
                .problems()
                .first()
                .map_or_else(String::new, |problem| problem.message.clone());
            // The texts of the stage "yaml" are those of a Go library: a hint only.
            return match case.get("config_error").and_then(Value::as_str) {
                Some(_) if field(case, "stage") == "yaml" => Ok(()),
                Some(want) if want == got => Ok(()),
                want => Err(format!("config_error: want {want:?}, got {got:?}")),
            };
        }
    };
    if let Some(want) = case.get("config_error") {
        return Err(format!("config_error: want {want}, got none"));
    }
    let mut labels = LabelsBuilder::from_labels(&label_set(&case["labels"])?);
    let dropped = relabel(&rules, &mut labels) == Verdict::Drop;
    if case.get("dropped").is_some() || dropped {
        return match (case["dropped"].as_bool(), dropped) {
            (Some(true), true) => Ok(()),
            (want, got) => Err(format!("dropped: want {want:?}, got {got}")),
        };
    }
    let (want, got) = (label_set(&case["output"])?, labels.labels());
    if want == got {
        Ok(())
    } else {
        Err(format!("output: want {want}, got {got}"))
    }
}

fn label_set(value: &Value) -> Result<Labels, String> {
    let mut pairs = Vec::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        let name = String::from_utf8(corpus::key_bytes(name)).map_err(|_| "name is not UTF-8")?;
        pairs.push((name, corpus::text(value).ok_or("value is not UTF-8")?));
    }
    Ok(Labels::from_pairs(pairs))
}
