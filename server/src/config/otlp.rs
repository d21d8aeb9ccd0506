//! The `otlp` section: how metrics of OpenTelemetry are translated.

use kymo_ingest::otlp::{Promotion, Settings, Strategy};
use kymo_storage::compat::name::NameValidation;
use kymo_storage::compat::quote::quote;

use super::fields::{self, Fields, Problems};
use super::yaml::Node;

/// Reads the section. What features say of the translation is added by whoever knows them.
pub(super) fn read(node: &Node, names: NameValidation, problems: &mut Problems) -> Settings {
    let default = Settings::default();
    let mut fields = Fields::open(node, "config.plain", problems);
    let settings = Settings {
        promotion: promotion(&mut fields, problems),
        strategy: strategy(&mut fields, names, problems),
        keep_identifying_attributes: fields.bool_or(
            "keep_identifying_resource_attributes",
            false,
            problems,
        ),
        convert_histograms_to_nhcb: fields.bool_or("convert_histograms_to_nhcb", false, problems),
        promote_scope_metadata: fields.bool_or("promote_scope_metadata", false, problems),
        underscore_sanitization: fields.bool_or(
            "label_name_underscore_sanitization",
            true,
            problems,
        ),
        preserve_multiple_underscores: fields.bool_or(
            "label_name_preserve_multiple_underscores",
            true,
            problems,
        ),
        ..default
    };
    fields.finish(problems);
    settings
}

fn strategy(fields: &mut Fields<'_>, names: NameValidation, problems: &mut Problems) -> Strategy {
    let default = Strategy::default();
    let name = fields.string_or("translation_strategy", default.as_str(), problems);
    let at = fields.position_of("translation_strategy");
    let Some(strategy) = Strategy::from_config(&name) else {
        let text = format!("unsupported OTLP translation strategy {}", quote(&name));
        problems.value(at, text);
        return default;
    };
    if names == NameValidation::Legacy && !strategy.escapes() {
        let text = format!(
            "OTLP translation strategy {} is not allowed when UTF8 is disabled",
            quote(&name)
        );
        problems.value(at, text);
    }
    strategy
}

fn promotion(fields: &mut Fields<'_>, problems: &mut Problems) -> Promotion {
    let promotes_all = fields.bool_or("promote_all_resource_attributes", false, problems);
    let promoted = attributes(fields, "promote_resource_attributes", problems);
    let ignored = attributes(fields, "ignore_resource_attributes", problems);
    if promotes_all {
        if !promoted.is_empty() {
            problems.value(
                fields.position_of("promote_resource_attributes"),
                "'promote_all_resource_attributes' and 'promote_resource_attributes' cannot be \
                 configured simultaneously",
            );
        }
        let at = "ignore_resource_attributes";
        return Promotion::AllBut(checked(fields, at, "ignored", ignored, problems));
    }
    if !ignored.is_empty() {
        problems.value(
            fields.position_of("ignore_resource_attributes"),
            "'ignore_resource_attributes' cannot be configured unless \
             'promote_all_resource_attributes' is true",
        );
    }
    let at = "promote_resource_attributes";
    Promotion::Listed(checked(fields, at, "promoted", promoted, problems))
}

fn attributes(fields: &mut Fields<'_>, name: &'static str, problems: &mut Problems) -> Vec<String> {
    let node = fields.take(name);
    node.map(|node| fields::strings(node, problems))
        .unwrap_or_default()
}

/// Returns names without blanks around them; none may be empty or stand twice.
fn checked(
    fields: &Fields<'_>,
    key: &'static str,
    adjective: &str,
    names: Vec<String>,
    problems: &mut Problems,
) -> Vec<String> {
    let mut checked: Vec<String> = Vec::with_capacity(names.len());
    let mut wrong = Vec::new();
    for name in names {
        let name = name.trim();
        if name.is_empty() {
            wrong.push(format!("empty {adjective} OTel resource attribute"));
        } else if checked.iter().any(|other| other == name) {
            let name = quote(name);
            wrong.push(format!(
                "duplicated {adjective} OTel resource attribute {name}"
            ));
        } else {
            checked.push(name.to_owned());
        }
    }
    if !wrong.is_empty() {
        let text = format!("invalid '{key}': {}", wrong.join("\n"));
        problems.value(fields.position_of(key), text);
    }
    checked
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    fn read(section: &str) -> Result<Settings, String> {
        config::parse(section, Path::new(""))
            .map(|config| config.otlp)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_section_changes_the_defaults() {
        assert_eq!(read("global: {}").unwrap(), Settings::default());
        assert_eq!(read("otlp:\n").unwrap(), Settings::default());
        let settings = read(
            "otlp:\n  promote_resource_attributes: [\" a.b \", c]\n  \
             translation_strategy: NoUTF8EscapingWithSuffixes\n  \
             keep_identifying_resource_attributes: true\n  convert_histograms_to_nhcb: true\n  \
             promote_scope_metadata: true\n  label_name_underscore_sanitization: false\n  \
             label_name_preserve_multiple_underscores: ~\n",
        );
        let expected = Settings {
            strategy: Strategy::NoUtf8EscapingWithSuffixes,
            promotion: Promotion::Listed(vec!["a.b".to_owned(), "c".to_owned()]),
            keep_identifying_attributes: true,
            convert_histograms_to_nhcb: true,
            promote_scope_metadata: true,
            underscore_sanitization: false,
            preserve_multiple_underscores: false,
            ..Settings::default()
        };
        assert_eq!(settings.unwrap(), expected);
        let all = read(
            "otlp:\n  promote_all_resource_attributes: true\n  ignore_resource_attributes: [x]\n",
        );
        let promotion = Promotion::AllBut(vec!["x".to_owned()]);
        assert_eq!(all.unwrap().promotion, promotion);
    }

    #[test]
    fn what_is_wrong_is_told_as_prometheus_tells_it() {
        for (section, text) in [
            (
                "otlp: {translation_strategy: Invalid}",
                "unsupported OTLP translation strategy \"Invalid\"",
            ),
            (
                "global: {metric_name_validation_scheme: legacy}\n\
                 otlp: {translation_strategy: NoTranslation}",
                "OTLP translation strategy \"NoTranslation\" is not allowed when UTF8 is disabled",
            ),
            (
                "otlp: {promote_all_resource_attributes: true, promote_resource_attributes: [a]}",
                "'promote_all_resource_attributes' and 'promote_resource_attributes' cannot be \
                 configured simultaneously",
            ),
            (
                "otlp: {ignore_resource_attributes: [a]}",
                "'ignore_resource_attributes' cannot be configured unless \
                 'promote_all_resource_attributes' is true",
            ),
            (
                "otlp: {promote_resource_attributes: [a, \" a\", \"\"]}",
                "invalid 'promote_resource_attributes': duplicated promoted OTel resource \
                 attribute \"a\"\nempty promoted OTel resource attribute",
            ),
            ("otlp: {x: 1}", "field x not found in type config.plain"),
        ] {
            let error = read(section).unwrap_err();
            assert!(error.contains(text), "{section}: {error}");
        }
    }
}
