//! Metric families as text exposition.

use kymo_storage::compat::float;

/// Type of a family, as the text format names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Untyped,
}

/// Writes families one after another.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    out: &'a mut String,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut String) -> Writer<'a> {
        Writer { out }
    }

    /// Begins a family. Nothing is written before its first sample.
    pub(super) fn family<'f>(&'f mut self, name: &'f str, help: &'f str, kind: Kind) -> Family<'f> {
        Family {
            out: self.out,
            name,
            help,
            kind,
            is_begun: false,
        }
    }

    /// Writes a family of one sample without labels.
    pub(super) fn single(&mut self, name: &str, help: &str, kind: Kind, value: f64) {
        self.family(name, help, kind).sample(&[], value);
    }
}

/// A family that samples are added to.
#[derive(Debug)]
pub(super) struct Family<'a> {
    out: &'a mut String,
    name: &'a str,
    help: &'a str,
    kind: Kind,
    is_begun: bool,
}

impl Family<'_> {
    /// Writes a sample, and in front of the first one HELP and TYPE.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        if !self.is_begun {
            self.is_begun = true;
            let kind = match self.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Untyped => "untyped",
            };
            let header = [
                "# HELP ",
                self.name,
                " ",
                self.help,
                "\n# TYPE ",
                self.name,
                " ",
                kind,
            ];
            self.out.extend(header);
            self.out.push('\n');
        }
        self.out.push_str(self.name);
        let mut separator = '{';
        for (name, value) in labels {
            self.out.push(separator);
            self.out.push_str(name);
            self.out.push_str("=\"");
            push_escaped(self.out, value);
            self.out.push('"');
            separator = ',';
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        self.out.push(' ');
        float::push_exposition(self.out, value);
        self.out.push('\n');
    }
}

fn push_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            _ => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_headed_once_and_only_with_samples() {
        let mut out = String::new();
        let mut writer = Writer::new(&mut out);
        writer.family("empty", "Nothing.", Kind::Gauge);
        writer.single("one", "One.", Kind::Untyped, 1.5);
        let mut family = writer.family("two", "Two.", Kind::Counter);
        family.sample(&[("a", "x\"\\\ny")], 2e6);
        family.sample(&[("a", "1"), ("b", "2")], 0.0);
        let expected = "# HELP one One.\n# TYPE one untyped\none 1.5\n# HELP two Two.\n\
                        # TYPE two counter\ntwo{a=\"x\\\"\\\\\\ny\"} 2e+06\n\
                        two{a=\"1\",b=\"2\"} 0\n";
        assert_eq!(out, expected);
    }
}
