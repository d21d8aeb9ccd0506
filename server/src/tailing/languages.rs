//! The languages that stages of log pipelines use: Go's templates and layouts of times, and
//! the selectors of LogQL.

use std::sync::Arc;

use kymo_ingest::pipeline::{Languages, Selector, TextTemplate, TimeLayout};
use kymo_query::logql::ast::Stage;
use kymo_query::logql::{MetadataRef, Pipeline, parse_any_log};
use kymo_query::template::{
    Functions, Host, Limits, Map, MissingKey, STRING_MAP, Template, Text, Value, logs,
};
use kymo_storage::model::{Labels, Matcher};
use parking_lot::Mutex;
use ring::digest;
use sha3::{Digest as _, Sha3_256};

/// Name of templates in their errors, as in Promtail.
const TEMPLATE_NAME: &str = "pipeline_template";

/// What the crates of this program know.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OwnLanguages;

impl Languages for OwnLanguages {
    fn template(&self, text: &str) -> Result<Box<dyn TextTemplate>, String> {
        let template = Template::parse(TEMPLATE_NAME, text, Functions::PIPELINE);
        match template {
            Ok(template) => Ok(Box::new(LineTemplate(template))),
            Err(error) => Err(error.to_string()),
        }
    }

    fn selector(&self, text: &str) -> Result<Box<dyn Selector>, String> {
        let query = parse_any_log(text).map_err(|error| error.to_string())?;
        let only_filters = query
            .stages
            .iter()
            .all(|stage| matches!(stage, Stage::LineFilter(_)));
        if !only_filters {
            return Err("only line filters may follow the selector of a match stage".to_owned());
        }
        let pipeline = Pipeline::new(&query).map_err(|error| error.to_string())?;
        Ok(Box::new(LineSelector {
            matchers: query.matchers,
            pipeline: (!query.stages.is_empty()).then(|| Mutex::new(pipeline)),
        }))
    }

    fn layout(&self, layout: &str, location: Option<&str>) -> Result<Box<dyn TimeLayout>, String> {
        match kymo_query::template::TimeLayout::new(layout, location) {
            Some(layout) => Ok(Box::new(LineTime(layout))),
            None => Err(format!(
                "unknown time zone {}",
                location.unwrap_or_default()
            )),
        }
    }
}

struct LineTemplate(Template);

/// What a template over a line of a pipeline asks.
struct Hashing<'a>(logs::Line<'a>);

impl Host for Hashing<'_> {
    fn call(&self, name: &str, arguments: &[Value]) -> Result<Value, String> {
        let bytes = |at: usize| match arguments.get(at) {
            Some(Value::String(text)) => text.as_bytes(),
            _ => b"",
        };
        let salted = || [bytes(0), bytes(1)].concat();
        match name {
            "Hash" => Ok(hex(&Sha3_256::digest(salted())).as_str().into()),
            "Sha2Hash" => {
                let hash = digest::digest(&digest::SHA256, &salted());
                Ok(hex(hash.as_ref()).as_str().into())
            }
            "sha256sum" => {
                let hash = digest::digest(&digest::SHA256, bytes(0));
                Ok(hex(hash.as_ref()).as_str().into())
            }
            _ => self.0.call(name, arguments),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl TextTemplate for LineTemplate {
    fn expand(&self, data: &[(&str, &str)], now_ns: i64) -> Result<String, String> {
        let entries = data.iter();
        let entries = entries.map(|(name, value)| (Text::from(*name), Value::from(*value)));
        let map = Map::new(&STRING_MAP, entries.collect())?;
        let line = data.iter().rfind(|(name, _)| *name == "Entry");
        let host = Hashing(logs::Line {
            line: line.map_or(b"", |(_, line)| line.as_bytes()),
            timestamp_ns: now_ns,
            now_ns,
        });
        let data = Value::Map(Arc::new(map));
        let out = self
            .0
            .execute(data, &host, MissingKey::Invalid, Limits::default());
        let out = out.map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }
}

struct LineSelector {
    matchers: Vec<Matcher>,
    /// For one thread at a time, because of its buffers.
    pipeline: Option<Mutex<Pipeline>>,
}

impl Selector for LineSelector {
    fn takes(&self, label: &dyn Fn(&str) -> Option<Arc<str>>, line: &[u8]) -> bool {
        let fits = self.matchers.iter().all(|matcher| {
            let value = label(matcher.name());
            matcher.matches(value.as_deref().unwrap_or(""))
        });
        if !fits {
            return false;
        }
        let Some(pipeline) = &self.pipeline else {
            return true;
        };
        let mut pipeline = pipeline.lock();
        pipeline.keeps(&Labels::empty(), 0, line, MetadataRef::NONE)
    }
}

struct LineTime(kymo_query::template::TimeLayout);

impl TimeLayout for LineTime {
    fn read(&self, text: &str, now_ns: i64) -> Option<i64> {
        self.0.read(text, now_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(template: &str, data: &[(&str, &str)]) -> String {
        let template = OwnLanguages.template(template).unwrap();
        template.expand(data, 0).unwrap()
    }

    #[test]
    fn a_line_of_many_parts_takes_no_time_for_each_pair_of_them() {
        let parts: Vec<String> = (0..30_000).map(|n| n.to_string()).collect();
        let line = parts.join(",") + ",7";
        let template = "{{ len (uniq (splitList \",\" .Entry)) }}";
        // Minutes, if each was compared with each.
        assert_eq!(expand(template, &[("Entry", &line)]), "30000");
    }

    #[test]
    fn templates_have_the_functions_of_pipelines() {
        let data = [("Value", "Ab"), ("app", "x"), ("Entry", "line")];
        for (template, expected) in [
            ("{{ .Value | ToLower }}-{{ .app }}", "ab-x"),
            ("{{ .none }}", "<no value>"),
            ("{{ if eq .Value \"Ab\" }}yes{{ end }}", "yes"),
            ("{{ Replace .Value \"A\" \"B\" -1 }}", "Bb"),
            ("{{ regexReplaceAll \"(b)\" .Value \"<$1>\" }}", "A<b>"),
            ("{{ .Entry }}", "line"),
        ] {
            assert_eq!(expand(template, &data), expected, "{template}");
        }
        assert_eq!(expand("[{{ .none }}]", &data), "[<no value>]");
        // More of Sprig; what Promtail 3.5 makes of them.
        for (template, expected) in [
            ("{{ ternary \"a\" \"b\" (eq .app \"x\") }}", "a"),
            ("{{ coalesce .none .app }}{{ empty .none }}", "xtrue"),
            ("{{ quote .Value 1 }} {{ squote .app }}", "\"Ab\" \"1\" 'x'"),
            ("{{ cat \"a\" 1 .app }}{{ nospace \" a b\" }}", "a 1 xab"),
            (
                "{{ trimall \"$\" \"$5$\" }}{{ atoi \"12\" }}{{ plural \"one\" \"many\" 2 }}",
                "512many",
            ),
            (
                "{{ list 1 2 3 | join \",\" }}{{ list 1 \"b\" }}",
                "1,2,3[1 b]",
            ),
            ("{{ splitList \"b\" \"abcb\" | join \"|\" }}", "a|c|"),
            (
                "{{ (split \",\" \"a,b\")._1 }}{{ (splitn \",\" 2 \"a,b,c\")._1 }}",
                "bb,c",
            ),
            (
                "{{ first (list 1 2) }}{{ last (list 1 2) }}{{ rest (list 1 2) }}{{ initial (list 1 2) }}",
                "12[2][1]",
            ),
            (
                "{{ reverse (list 1 2) }}{{ compact (list \"\" 2) }}{{ append (list 1) 2 }}",
                "[2 1][2][1 2]",
            ),
            (
                "{{ has 1 (list 1 2) }}{{ has \"1\" (list 1 2) }}{{ without (list 1 2) 1 }}",
                "truefalse[2]",
            ),
            (
                "{{ get (dict \"a\" 5) \"a\" }}{{ hasKey (dict) \"a\" }}{{ get . \"app\" }}",
                "5falsex",
            ),
            (
                "{{ regexMatch \"b+\" .Value }}{{ regexFind \"[a-z]\" .Value }}",
                "trueb",
            ),
            (
                "{{ regexFindAll \".\" .Value -1 }}{{ regexSplit \"b\" \"abcb\" -1 | join \"|\" }}",
                "[A b]a|c|",
            ),
            (
                "{{ regexSplit \"\" \"ab\" -1 | join \"|\" }}{{ regexQuoteMeta \"a.b\" }}",
                "a|ba\\.b",
            ),
            (
                "{{ uniq (list 1 1) }}{{ duration \"90\" }}{{ duration 90 }}",
                "[1]1m30s0s",
            ),
            (
                "{{ toString 5 }}{{ sha256sum \"x\" | trunc 8 }}",
                "52d711642",
            ),
        ] {
            assert_eq!(expand(template, &data), expected, "{template}");
        }
        assert!(OwnLanguages.template("{{ env \"HOME\" }}").is_err());
        let hash = digest::digest(&digest::SHA256, b"saltx");
        let made = expand("{{ Sha2Hash \"salt\" \"x\" }}", &data);
        assert_eq!(made, hex(hash.as_ref()));
        // The example of the standard for an empty text.
        assert_eq!(
            expand("{{ Hash \"\" \"\" }}", &data),
            "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a"
        );
        assert!(OwnLanguages.template("{{ .a").is_err());
    }

    #[test]
    fn selectors_look_at_labels_and_lines() {
        let label = |name: &str| (name == "app").then(|| Arc::from("web"));
        for (selector, line, takes) in [
            ("{app=\"web\"}", "x", true),
            ("{app=~\"w.*\", none=\"\"}", "x", true),
            ("{app!=\"web\"}", "x", false),
            ("{app=\"web\"} |= \"err\"", "an error", true),
            ("{app=\"web\"} |= \"err\" != \"an\"", "an error", false),
            ("{app=\"web\"} |~ \"e.+r\"", "an error", true),
        ] {
            let read = OwnLanguages.selector(selector).unwrap();
            assert_eq!(read.takes(&label, line.as_bytes()), takes, "{selector}");
        }
        for wrong in [
            "",
            "{",
            "{app=\"web\"",
            "rate({a=\"b\"}[1m])",
            "{a=\"b\"} | json",
        ] {
            assert!(OwnLanguages.selector(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn layouts_know_their_zones() {
        let layout = OwnLanguages.layout("2006-01-02", Some("UTC")).unwrap();
        assert_eq!(layout.read("1970-01-02", 0), Some(86_400_000_000_000));
        assert!(OwnLanguages.layout("2006", Some("No/Where")).is_err());
    }
}
