//! A report in the format of JUnit, which CI systems read.

use std::fmt::Write as _;

/// What became of one file.
#[derive(Debug, Default)]
pub(super) struct Suite {
    pub(super) file: String,
    /// Why the file could not be run at all.
    pub(super) aborted: Option<String>,
    pub(super) cases: Vec<Case>,
}

/// What became of one test.
#[derive(Debug, Default)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) failures: Vec<String>,
}

impl Suite {
    /// Returns everything that failed.
    pub(super) fn failures(&self) -> impl Iterator<Item = &String> {
        let cases = self.cases.iter().flat_map(|case| &case.failures);
        self.aborted.iter().chain(cases)
    }
}

/// Writes the report.
pub(super) fn report(suites: &[Suite]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for suite in suites {
        let failed = suite.cases.iter().filter(|case| !case.failures.is_empty());
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"0\">",
            escaped(&suite.file),
            suite.cases.len(),
            failed.count(),
            usize::from(suite.aborted.is_some())
        );
        for case in &suite.cases {
            let _ = writeln!(out, "    <testcase name=\"{}\">", escaped(&case.name));
            for failure in &case.failures {
                let _ = writeln!(out, "      <failure>{}</failure>", escaped(failure));
            }
            out.push_str("    </testcase>\n");
        }
        if let Some(error) = &suite.aborted {
            let _ = writeln!(out, "    <system-err>{}</system-err>", escaped(error));
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

/// Writes text so that XML reads it again; characters that XML cannot hold become `?`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_hold_whatever_a_test_says() {
        let case = Case {
            name: "a \"quoted\" <name>".to_owned(),
            failures: vec!["x & \u{1}\ny".to_owned()],
        };
        let suite = Suite {
            file: "f.yml".to_owned(),
            aborted: None,
            cases: vec![case, Case::default()],
        };
        let report = report(&[suite]);
        assert!(
            report.contains("tests=\"2\" failures=\"1\" errors=\"0\""),
            "{report}"
        );
        assert!(
            report.contains("a &quot;quoted&quot; &lt;name&gt;"),
            "{report}"
        );
        assert!(report.contains("x &amp; ?\ny"), "{report}");
    }
}
