//! Any bytes as lines for the stages that followed logs go through: nothing panics, what is
//! held back is bounded and comes out at the end, and a pipeline begun anew does the same.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use kymo_ingest::pipeline::scrub::{HashKey, Kind, ScrubConfig};
use kymo_ingest::pipeline::{
    CriConfig, Entry, LabelSet, Languages, MultilineConfig, Pipeline, Selector, StageConfig,
    TextTemplate, TimeLayout, Tools,
};
use libfuzzer_sys::fuzz_target;

/// A template that says all that it is given.
struct Echo;

impl TextTemplate for Echo {
    fn expand(&self, data: &[(&str, &str)], _now_ns: i64) -> Result<String, String> {
        let texts: Vec<String> = data.iter().map(|(name, text)| format!("{name}={text}")).collect();
        Ok(texts.join("\n"))
    }
}

/// Takes any number for a time.
struct Number;

impl TimeLayout for Number {
    fn read(&self, text: &str, _now_ns: i64) -> Option<i64> {
        text.parse().ok()
    }
}

struct Simple;

impl Languages for Simple {
    fn template(&self, _: &str) -> Result<Box<dyn TextTemplate>, String> {
        Ok(Box::new(Echo))
    }

    fn selector(&self, _: &str) -> Result<Box<dyn Selector>, String> {
        Err("there are no selectors".to_owned())
    }

    fn layout(&self, _: &str, _: Option<&str>) -> Result<Box<dyn TimeLayout>, String> {
        Ok(Box::new(Number))
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

fn scrub(hash_key: Option<HashKey>) -> StageConfig {
    StageConfig::Scrub(ScrubConfig {
        kinds: Kind::ALL.to_vec(),
        json_keys: vec!["password".to_owned(), "a".to_owned()],
        source: None,
        hash_key,
        dry_run: false,
    })
}

thread_local! {
    // A pipeline is of one thread.
    static PIPELINES: Vec<Pipeline> = pipelines();
}

fn pipelines() -> Vec<Pipeline> {
    let named = || r"(?P<a>\S+) (?P<b>.*)".to_owned();
    let json = StageConfig::Json {
        expressions: pairs(&[("a", ""), ("b", "b.c[0]"), ("c", "length(@)")]),
        source: None,
        drop_malformed: false,
    };
    let logfmt = StageConfig::Logfmt {
        mapping: pairs(&[("a", ""), ("b", "c")]),
        source: None,
    };
    let regex = StageConfig::Regex {
        expression: named(),
        source: None,
    };
    let replace = StageConfig::Replace {
        expression: named(),
        source: None,
        replace: "{{ .Value }}".to_owned(),
    };
    let pack = StageConfig::Pack {
        labels: vec!["a".to_owned(), "app".to_owned()],
        ingest_timestamp: true,
    };
    let multiline = StageConfig::Multiline(MultilineConfig {
        firstline: r"^\S".to_owned(),
        max_wait: Duration::from_secs(1),
        max_lines: 3,
    });
    let output = StageConfig::Output {
        source: "b".to_owned(),
    };
    let labels = StageConfig::Labels(pairs(&[("a", ""), ("b", "")]));
    let metadata = StageConfig::StructuredMetadata(pairs(&[("a", ""), ("b", "c")]));
    let tools = Tools::new(Arc::new(Simple), Arc::new(|| 0));
    let all = [
        vec![json, labels.clone(), output.clone()],
        vec![logfmt, metadata, output],
        vec![regex, labels],
        vec![replace],
        vec![pack],
        vec![multiline],
        vec![StageConfig::Cri(CriConfig::default())],
        vec![StageConfig::Docker],
        vec![scrub(None), StageConfig::Decolorize],
        vec![scrub(Some(HashKey(b"0123456789abcdef".to_vec())))],
    ];
    let made = all.iter().map(|stages| Pipeline::new(stages, &tools));
    made.collect::<Result<_, _>>().expect("good stages")
}

fn run(pipeline: &Pipeline, lines: &[u8]) -> Vec<Entry> {
    let mut pipeline = pipeline.fresh();
    let labels = LabelSet::from_pairs([("app", "x")]);
    let mut out = Vec::new();
    let mut at = 0;
    for line in lines.split(|&byte| byte == b'\n') {
        let mut entry = Entry::new(1_000 + at as i64, line.to_vec(), labels.clone());
        (entry.from, entry.to) = (at, at + line.len() as u64 + 1);
        at = entry.to;
        pipeline.process(entry, &mut out);
        assert!(pipeline.held_from().is_none_or(|held| held < at));
    }
    pipeline.flush(&mut out);
    assert_eq!(pipeline.held_from(), None);
    out
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, lines)) = data.split_first() else {
        return;
    };
    let [first, again] = PIPELINES.with(|pipelines| {
        let pipeline = &pipelines[usize::from(choice) % pipelines.len()];
        [run(pipeline, lines), run(pipeline, lines)]
    });
    let seen = |entries: &[Entry]| {
        let seen = entries.iter();
        let seen = seen.map(|e| (e.t_ns, e.line.clone(), e.labels.clone(), e.metadata.clone()));
        seen.collect::<Vec<_>>()
    };
    assert_eq!(seen(&first), seen(&again));
});
