//! Families in the text format 0.0.4.

use kymo_storage::compat::float;
use kymo_storage::compat::name::{EscapingScheme, is_legacy_metric_name};

use super::family::{Family, FamilyKind, Metric, NewestSample, classic_buckets};

/// Writes families.
pub(super) fn written(families: &[Family], escaping: EscapingScheme) -> Vec<u8> {
    let mut writer = Writer {
        out: String::new(),
        escaping,
    };
    for family in families {
        writer.family(family);
    }
    writer.out.into_bytes()
}

/// Escapes a name for a reader that may not take all of UTF-8.
pub(super) fn escaped(name: &str, escaping: EscapingScheme) -> String {
    match is_legacy_metric_name(name) {
        true => name.to_owned(),
        false => escaping.escape(name),
    }
}

struct Writer {
    out: String,
    escaping: EscapingScheme,
}

impl Writer {
    fn family(&mut self, family: &Family) {
        let name = escaped(&family.name, self.escaping);
        self.out.push_str("# TYPE ");
        self.name(&name);
        self.out.push_str(match family.kind {
            FamilyKind::Untyped => " untyped\n",
            FamilyKind::Histogram | FamilyKind::GaugeHistogram => " histogram\n",
        });
        for metric in &family.metrics {
            match &metric.sample {
                NewestSample::Float(value) => self.sample(&name, metric, None, *value),
                NewestSample::Histogram(histogram) => {
                    let bucket = format!("{name}_bucket");
                    for (bound, count) in classic_buckets(histogram) {
                        self.sample(&bucket, metric, Some(bound), count);
                    }
                    self.sample(&bucket, metric, Some(f64::INFINITY), histogram.count);
                    self.sample(&format!("{name}_sum"), metric, None, histogram.sum);
                    self.sample(&format!("{name}_count"), metric, None, histogram.count);
                }
            }
        }
    }

    fn sample(&mut self, name: &str, metric: &Metric, le: Option<f64>, value: f64) {
        let mut separator = '{';
        // A name that is not of the old alphabet stands in the braces.
        if !is_legacy_metric_name(name) {
            self.out.push(separator);
            separator = ',';
        }
        self.name(name);
        for (label, value) in &metric.labels {
            self.out.push(separator);
            separator = ',';
            let label = escaped(label, self.escaping);
            self.name(&label);
            self.out.push_str("=\"");
            self.quoted(value);
            self.out.push('"');
        }
        if let Some(bound) = le {
            self.out.push(separator);
            separator = ',';
            self.out.push_str("le=\"");
            float::push_exposition(&mut self.out, bound);
            self.out.push('"');
        }
        if separator == ',' {
            self.out.push('}');
        }
        self.out.push(' ');
        float::push_exposition(&mut self.out, value);
        self.out.push(' ');
        self.out.push_str(&metric.t_ms.to_string());
        self.out.push('\n');
    }

    fn name(&mut self, name: &str) {
        if is_legacy_metric_name(name) {
            self.out.push_str(name);
        } else {
            self.out.push('"');
            self.quoted(name);
            self.out.push('"');
        }
    }

    fn quoted(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '"' => self.out.push_str("\\\""),
                c => self.out.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use kymo_storage::model::Labels;
    use kymo_storage::model::histogram::CounterResetHint;

    use super::super::accept::Format;
    use super::super::family::families;
    use super::super::family::tests::{float, histogram};
    use super::*;

    fn text(newest: Vec<super::super::family::Newest>, escaping: EscapingScheme) -> String {
        let families = families(newest, &Labels::empty(), Format::Text);
        String::from_utf8(written(&families, escaping)).unwrap()
    }

    #[test]
    fn values_and_labels_are_written_as_targets_write_them() {
        let newest = vec![
            float(&[("__name__", "m"), ("a", "x\"\\\ny")], f64::INFINITY),
            float(&[("__name__", "m"), ("b", "é")], 1e9),
        ];
        assert_eq!(
            text(newest, EscapingScheme::Underscores),
            "# TYPE m untyped\nm{a=\"x\\\"\\\\\\ny\",instance=\"\"} +Inf 1500\n\
             m{b=\"é\",instance=\"\"} 1e+09 1500\n"
        );
    }

    #[test]
    fn names_beyond_the_old_alphabet_are_escaped_or_quoted() {
        let newest = || vec![float(&[("__name__", "my.metric"), ("la.bel", "v")], 0.5)];
        assert_eq!(
            text(newest(), EscapingScheme::Underscores),
            "# TYPE my_metric untyped\nmy_metric{la_bel=\"v\",instance=\"\"} 0.5 1500\n"
        );
        assert_eq!(
            text(newest(), EscapingScheme::Values),
            "# TYPE U__my_2e_metric untyped\nU__my_2e_metric{U__la_2e_bel=\"v\",instance=\"\"} \
             0.5 1500\n"
        );
        assert_eq!(
            text(newest(), EscapingScheme::AllowUtf8),
            "# TYPE \"my.metric\" untyped\n{\"my.metric\",\"la.bel\"=\"v\",instance=\"\"} 0.5 1500\n"
        );
    }

    #[test]
    fn custom_buckets_become_a_classic_histogram() {
        assert_eq!(
            text(
                vec![histogram("h", -53, CounterResetHint::Unknown)],
                EscapingScheme::Underscores
            ),
            "# TYPE h histogram\n\
             h_bucket{instance=\"\",le=\"0.5\"} 2 1500\n\
             h_bucket{instance=\"\",le=\"1\"} 2 1500\n\
             h_bucket{instance=\"\",le=\"5\"} 5 1500\n\
             h_bucket{instance=\"\",le=\"+Inf\"} 9 1500\n\
             h_sum{instance=\"\"} 12.5 1500\n\
             h_count{instance=\"\"} 9 1500\n"
        );
    }
}
