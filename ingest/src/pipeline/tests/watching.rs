//! What a watcher is told of stages.

use parking_lot::Mutex;

use super::*;

/// Writes down what it is told.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Watcher for Notes {
    fn begins(&self, stage: &'static str) {
        self.0.lock().push(format!("{stage} ("));
    }

    fn ends(&self, done: Done<'_>) {
        let text = |entry: &Entry| String::from_utf8_lossy(&entry.line).into_owned();
        let before = done.before.map_or("-".to_owned(), text);
        let after: Vec<String> = done.after.iter().map(text).collect();
        let holds = if done.holds { " holds" } else { "" };
        let line = format!(") {} {before} -> [{}]{holds}", done.stage, after.join("|"));
        self.0.lock().push(line);
    }
}

#[test]
fn each_stage_tells_what_goes_in_and_out_and_stages_within_it_do_so_in_between() {
    let notes = Arc::new(Notes::default());
    let tools = Tools {
        watcher: Some(Arc::clone(&notes) as Arc<dyn Watcher>),
        ..tools()
    };
    let stages = [
        StageConfig::Match(MatchConfig {
            selector: text("job=j"),
            action: MatchAction::Keep(vec![StageConfig::Decolorize]),
        }),
        StageConfig::Multiline(MultilineConfig {
            firstline: text("^a"),
            max_wait: Duration::from_secs(3),
            max_lines: 0,
        }),
        StageConfig::Drop(DropConfig {
            condition: Some(DropCondition::Expression(text("x"))),
            reason: text("r"),
            ..DropConfig::default()
        }),
    ];
    // A copy for another source is watched as well.
    let mut pipeline = Pipeline::new(&stages, &tools).unwrap().fresh();
    let mut out = Vec::new();
    pipeline.process(entry("a\u{1b}[31mx"), &mut out);
    pipeline.process(entry("b"), &mut out);
    pipeline.flush(&mut out);
    assert!(out.is_empty());
    let expected = [
        "match (",
        "decolorize (",
        ") decolorize a\u{1b}[31mx -> [ax]",
        ") match a\u{1b}[31mx -> [ax]",
        "multiline (",
        ") multiline ax -> [] holds",
        "match (",
        "decolorize (",
        ") decolorize b -> [b]",
        ") match b -> [b]",
        "multiline (",
        ") multiline b -> [] holds",
        "match (",
        "decolorize (",
        ") decolorize - -> []",
        ") match - -> []",
        "multiline (",
        ") multiline - -> [ax\nb]",
        "drop (",
        ") drop ax\nb -> []",
        "drop (",
        ") drop - -> []",
    ];
    assert_eq!(*notes.0.lock(), expected);
}
