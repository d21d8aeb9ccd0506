//! An alert on its way out, and how it is written.

use std::sync::Arc;

use kymo_storage::compat::json;
use kymo_storage::compat::time::Instant;
use kymo_storage::model::{Labels, LabelsBuilder, RelabelRule, Verdict, relabel};

/// Takes alerts that are to be sent.
pub(crate) trait AlertSink: Send + Sync {
    /// Takes alerts and returns at once.
    fn send(&self, alerts: Vec<OutgoingAlert>);
}

/// An alert as rules hand it over: firing or resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutgoingAlert {
    /// What makes it this alert, `alertname` among them.
    pub(crate) labels: Labels,
    /// What people read.
    pub(crate) annotations: Labels,
    /// When it began to fire, milliseconds since the epoch.
    pub(crate) starts_at_ms: i64,
    /// When it was resolved, or when it is to be taken for resolved if nothing more is
    /// heard of it.
    pub(crate) ends_at_ms: i64,
    /// Where its expression is shown.
    pub(crate) generator_url: String,
}

/// Returns the alerts that rules for labels keep, with their new labels. External labels
/// are those of the server; an alert's own win.
pub(super) fn relabelled(
    alerts: Vec<Arc<OutgoingAlert>>,
    external: &Labels,
    rules: &[RelabelRule],
) -> Vec<Arc<OutgoingAlert>> {
    if external.is_empty() && rules.is_empty() {
        return alerts;
    }
    let mut kept = Vec::with_capacity(alerts.len());
    for alert in alerts {
        let mut labels = LabelsBuilder::from_labels(&alert.labels);
        for (name, value) in external {
            if alert.labels.get(name).is_none() {
                labels.set(name, value);
            }
        }
        if relabel(rules, &mut labels) == Verdict::Drop {
            continue;
        }
        let labels = labels.labels();
        if labels == alert.labels {
            kept.push(alert);
        } else {
            kept.push(Arc::new(OutgoingAlert {
                labels,
                ..OutgoingAlert::clone(&alert)
            }));
        }
    }
    kept
}

/// Writes alerts for `/api/v2/alerts`, as Prometheus writes them to the byte.
pub(super) fn payload(alerts: &[Arc<OutgoingAlert>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(alerts.len() * 512);
    out.push(b'[');
    for (i, alert) in alerts.iter().enumerate() {
        out.extend_from_slice(if i > 0 { b",{" } else { b"{" });
        if !alert.annotations.is_empty() {
            out.extend_from_slice(b"\"annotations\":");
            push_labels(&mut out, &alert.annotations);
            out.push(b',');
        }
        for (name, t_ms) in [
            ("endsAt", alert.ends_at_ms),
            ("startsAt", alert.starts_at_ms),
        ] {
            let time = time(t_ms);
            out.extend_from_slice(format!("\"{name}\":\"{time}\",").as_bytes());
        }
        if !alert.generator_url.is_empty() {
            out.extend_from_slice(b"\"generatorURL\":");
            json::push_string(&mut out, &alert.generator_url);
            out.push(b',');
        }
        out.extend_from_slice(b"\"labels\":");
        push_labels(&mut out, &alert.labels);
        out.push(b'}');
    }
    out.push(b']');
    out
}

fn push_labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        json::push_string(out, name);
        out.push(b':');
        json::push_string(out, value);
    }
    out.push(b'}');
}

/// Writes a time with exactly three digits behind the point.
fn time(t_ms: i64) -> String {
    let whole = Instant::from_ms(t_ms - t_ms.rem_euclid(1000)).rfc3339_nano();
    let millis = t_ms.rem_euclid(1000);
    format!("{}.{millis:03}Z", whole.trim_end_matches('Z'))
}

#[cfg(test)]
mod tests {
    use kymo_storage::compat::name::NameValidation;

    use super::*;
    use crate::config::parse_relabel_rules;

    fn alert(labels: &[(&str, &str)]) -> Arc<OutgoingAlert> {
        Arc::new(OutgoingAlert {
            labels: Labels::from_pairs(labels.iter().copied()),
            annotations: Labels::empty(),
            starts_at_ms: 1_795_000_774_851,
            ends_at_ms: 1_795_001_014_000,
            generator_url: String::new(),
        })
    }

    #[test]
    fn alerts_are_written_as_prometheus_writes_them() {
        let full = OutgoingAlert {
            annotations: Labels::from_pairs([("summary", "a \"b\" & <c>")]),
            generator_url: "http://h/graph?g0.expr=up&g0.tab=1".to_owned(),
            ..OutgoingAlert::clone(&alert(&[("alertname", "Down"), ("job", "é")]))
        };
        let written = payload(&[Arc::new(full), alert(&[])]);
        assert_eq!(
            String::from_utf8(written).unwrap(),
            "[{\"annotations\":{\"summary\":\"a \\\"b\\\" \\u0026 \\u003cc\\u003e\"},\
             \"endsAt\":\"2026-11-18T11:23:34.000Z\",\"startsAt\":\"2026-11-18T11:19:34.851Z\",\
             \"generatorURL\":\"http://h/graph?g0.expr=up\\u0026g0.tab=1\",\
             \"labels\":{\"alertname\":\"Down\",\"job\":\"é\"}},\
             {\"endsAt\":\"2026-11-18T11:23:34.000Z\",\"startsAt\":\"2026-11-18T11:19:34.851Z\",\
             \"labels\":{}}]"
        );
        assert_eq!(payload(&[]), b"[]");
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(-1), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn external_labels_come_where_there_is_none_and_before_the_rules() {
        let external = Labels::from_pairs([("site", "x"), ("job", "server")]);
        let rules = "- {source_labels: [site, severity], regex: x;debug, action: drop}\n\
                     - {regex: replica, action: labeldrop}\n";
        let rules = parse_relabel_rules(rules, NameValidation::Utf8).unwrap();
        let alerts = vec![
            alert(&[("alertname", "A"), ("job", "own"), ("replica", "1")]),
            alert(&[("alertname", "B"), ("severity", "debug")]),
        ];
        let kept = relabelled(alerts.clone(), &external, &rules);
        let labels: Vec<String> = kept.iter().map(|a| a.labels.to_string()).collect();
        assert_eq!(labels, ["{alertname=\"A\", job=\"own\", site=\"x\"}"]);
        assert_eq!(kept[0].starts_at_ms, alerts[0].starts_at_ms);
        assert_eq!(relabelled(alerts.clone(), &Labels::empty(), &[]), alerts);
    }
}
