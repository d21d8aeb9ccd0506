//! `detected_level`: how severe an entry is, found as Loki finds it.
//!
//! Asked are, in this order: the label `detected_level` of the entry itself, labels of the
//! stream, structured metadata, the severity number of OTLP, and the line. Fields of one of
//! a list of names are what counts ([`LevelFields`]); in a line that is no JSON and has
//! none, the first word that names a level does.

use std::borrow::Cow;

use kymo_storage::model::{Labels, Metadata};

use super::logfmt::Pairs;
use super::scan::{self, JsonError, Value};

/// Name of the label.
pub const DETECTED_LEVEL: &str = "detected_level";

/// Structured metadata that OTLP's number of a severity is in.
pub(crate) const SEVERITY_NUMBER: &str = "severity_number";

/// What is not found.
const UNKNOWN: &str = "unknown";

/// Fields that are asked for a level unless others are configured, first ones first.
pub const DEFAULT_LEVEL_FIELDS: [&str; 14] = [
    "level",
    "LEVEL",
    "Level",
    "log.level",
    "severity",
    "SEVERITY",
    "Severity",
    "SeverityText",
    "lvl",
    "LVL",
    "Lvl",
    "severity_text",
    "Severity_Text",
    "SEVERITY_TEXT",
];

/// Names of fields that tell a level.
#[derive(Debug, Clone)]
pub struct LevelFields {
    names: Vec<String>,
    /// Bytes that a name begins with, in either case.
    first: [bool; 256],
    /// Bit n: a name has n bytes; the last bit stands for all longer ones.
    lens: u64,
    /// How deep objects in a line are looked into; 0 is without limit.
    max_depth: usize,
}

impl LevelFields {
    /// Returns fields of these names, which are looked for in objects within objects up to
    /// `max_depth` deep; 0 is without limit.
    pub fn new(names: Vec<String>, max_depth: usize) -> LevelFields {
        let (mut first, mut lens) = ([false; 256], 0);
        for name in &names {
            lens |= len_bit(name.len());
            if let Some(&byte) = name.as_bytes().first() {
                first[usize::from(byte.to_ascii_lowercase())] = true;
                first[usize::from(byte.to_ascii_uppercase())] = true;
            }
        }
        LevelFields {
            names,
            first,
            lens,
            max_depth,
        }
    }

    #[inline]
    fn may_have(&self, name: &[u8]) -> bool {
        self.lens & len_bit(name.len()) != 0
            && name
                .first()
                .is_some_and(|&byte| self.first[usize::from(byte)])
    }

    /// Returns the place of a name among the fields.
    #[inline]
    fn place(&self, name: &[u8]) -> Option<usize> {
        match self.may_have(name) {
            true => self.names.iter().position(|one| one.as_bytes() == name),
            false => None,
        }
    }

    /// As [`LevelFields::place`], whatever the case of letters.
    #[inline]
    fn place_in_any_case(&self, name: &[u8]) -> Option<usize> {
        let same = |one: &String| one.as_bytes().eq_ignore_ascii_case(name);
        match self.may_have(name) {
            true => self.names.iter().position(same),
            false => None,
        }
    }

    /// Returns the level that labels of a stream tell. It may be any text.
    pub(crate) fn of_labels(&self, labels: &Labels) -> Option<Cow<'static, str>> {
        let value = self.names.iter().find_map(|name| labels.get(name))?;
        Some(match level_of(value.as_bytes()) {
            Some(level) => level.into(),
            None => value.to_owned().into(),
        })
    }

    /// Returns the level of an entry whose stream has none, as structured metadata or the
    /// line tell it.
    #[inline]
    pub(crate) fn of_entry<'a>(&self, metadata: &Metadata<'a>, line: &[u8]) -> Cow<'a, str> {
        if metadata.is_empty() {
            return self.of_line(line).into();
        }
        let told = metadata.iter().filter_map(|(name, value)| {
            let place = self.place(name.as_bytes())?;
            Some((place, value))
        });
        if let Some((_, value)) = told.min_by_key(|(place, _)| *place) {
            return match level_of(value.as_bytes()) {
                Some(level) => level.into(),
                None => value.clone(),
            };
        }
        let number = metadata.iter().find(|(name, _)| name == SEVERITY_NUMBER);
        match number {
            Some((_, number)) => of_severity(number).into(),
            None => self.of_line(line).into(),
        }
    }

    /// Returns the level that a line tells.
    pub fn of_line(&self, line: &[u8]) -> &'static str {
        let level = if is_json_object(line) {
            let mut found = None;
            // Where the line turns out to be no JSON, what was found before counts.
            let _ = self.in_object(line, 0, &mut found);
            found.and_then(level_of)
        } else if memchr::memchr(b'=', line).is_some() {
            self.in_pairs(line)
        } else {
            None
        };
        level.unwrap_or_else(|| of_words(line))
    }

    /// Looks for a field in an object; `false` when it was found.
    fn in_object<'l>(
        &self,
        object: &'l [u8],
        depth: usize,
        found: &mut Option<&'l [u8]>,
    ) -> Result<bool, JsonError> {
        if self.max_depth > 0 && depth >= self.max_depth.min(MAX_DEPTH) || depth >= MAX_DEPTH {
            return Ok(true);
        }
        scan::fields(object, |key, escapes, value| match value {
            Value::String(raw, _) => {
                let place = match escapes {
                    false => self.place(key),
                    true => self.place(&scan::text(key, true)?),
                };
                if place.is_some() {
                    *found = Some(raw);
                }
                Ok(place.is_none())
            }
            Value::Object(inner) => self.in_object(inner, depth + 1, found),
            _ => Ok(true),
        })?;
        Ok(found.is_none())
    }

    fn in_pairs(&self, line: &[u8]) -> Option<&'static str> {
        let (mut best, mut level) = (self.names.len(), None);
        let mut pairs = Pairs::new(line);
        while let Some((key, value)) = pairs.next_pair() {
            let Some(place) = self.place_in_any_case(key) else {
                continue;
            };
            if place < best {
                (best, level) = (place, value.level());
            }
            if best == 0 {
                break;
            }
        }
        level
    }
}

impl Default for LevelFields {
    fn default() -> LevelFields {
        LevelFields::new(DEFAULT_LEVEL_FIELDS.map(str::to_owned).to_vec(), 2)
    }
}

/// How deep objects are looked into where no limit is set.
const MAX_DEPTH: usize = 64;

fn len_bit(len: usize) -> u64 {
    1 << len.min(63)
}

/// Returns the level that a value names.
pub(crate) fn level_of(value: &[u8]) -> Option<&'static str> {
    let is = |words: &[&str]| {
        let mut words = words.iter();
        words.any(|word| word.as_bytes().eq_ignore_ascii_case(value))
    };
    let level = match value.first()?.to_ascii_lowercase() {
        b't' if is(&["trace", "trc"]) => "trace",
        b'd' if is(&["debug", "dbg"]) => "debug",
        b'i' if is(&["info", "inf", "information"]) => "info",
        b'w' if is(&["warn", "wrn", "warning"]) => "warn",
        b'e' if is(&["error", "err"]) => "error",
        b'c' if is(&["critical"]) => "critical",
        b'f' if is(&["fatal"]) => "fatal",
        _ => return None,
    };
    Some(level)
}

fn of_severity(number: &str) -> &'static str {
    match number.parse::<i64>() {
        Err(_) => "info",
        Ok(0) => UNKNOWN,
        Ok(..=4) => "trace",
        Ok(..=8) => "debug",
        Ok(..=12) => "info",
        Ok(..=16) => "warn",
        Ok(..=20) => "error",
        Ok(..=24) => "fatal",
        Ok(_) => UNKNOWN,
    }
}

/// Tells whether a line begins and ends as an object does.
fn is_json_object(line: &[u8]) -> bool {
    let last = line
        .iter()
        .rev()
        .find(|byte| !matches!(byte, b'\t'..=b'\r' | b' ' | 0x85 | 0xa0));
    if last != Some(&b'}') {
        return false;
    }
    match line.first() {
        Some(b'{') => true,
        Some(&byte) if byte.is_ascii() && byte > b' ' => false,
        // Blanks in front may be of any script.
        _ => {
            let text = line.utf8_chunks().next().map_or("", |chunk| chunk.valid());
            text.trim_start().starts_with('{')
        }
    }
}

/// What a byte is beside a word.
mod side {
    /// A word may begin behind it.
    pub(super) const LEFT: u8 = 1;
    /// A word may end before it.
    pub(super) const RIGHT: u8 = 2;
    /// A word that names a level begins with it.
    pub(super) const WORD: u8 = 4;
}

const SIDES: [u8; 256] = {
    const fn mark(sides: &mut [u8; 256], bytes: &[u8], side: u8) {
        let mut at = 0;
        while at < bytes.len() {
            sides[bytes[at] as usize] |= side;
            at += 1;
        }
    }
    let mut sides = [0; 256];
    mark(&mut sides, b" \t\n[({\"'=|", side::LEFT);
    mark(&mut sides, b" \t\n[](){}:,!\"'=|", side::RIGHT);
    mark(&mut sides, b"tdfcewiTDFCEWI", side::WORD);
    sides
};

/// Returns the level that the first word tells that names one.
fn of_words(line: &[u8]) -> &'static str {
    let mut may_begin = true;
    for (at, &byte) in line.iter().enumerate() {
        let sides = SIDES[usize::from(byte)];
        if may_begin
            && sides & side::WORD != 0
            && let Some(level) = word_at(&line[at..])
        {
            return level;
        }
        may_begin = sides & side::LEFT != 0;
    }
    UNKNOWN
}

fn word_at(rest: &[u8]) -> Option<&'static str> {
    const WORDS: [(&[u8], &str); 9] = [
        (b"trace", "trace"),
        (b"debug", "debug"),
        (b"fatal", "fatal"),
        (b"critical", "critical"),
        (b"error", "error"),
        (b"err", "error"),
        (b"warning", "warn"),
        (b"warn", "warn"),
        (b"info", "info"),
    ];
    let mut words = WORDS.iter();
    let found = words.find(|(word, _)| {
        let begins = rest.get(..word.len());
        let ends = rest.get(word.len());
        begins.is_some_and(|found| found.eq_ignore_ascii_case(word))
            && ends.is_none_or(|&byte| SIDES[usize::from(byte)] & side::RIGHT != 0)
    })?;
    Some(found.1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(line: &str) -> &'static str {
        LevelFields::default().of_line(line.as_bytes())
    }

    #[test]
    fn lines_of_all_kinds_tell_their_level() {
        for (line, level) in [
            ("ERROR x", "error"),
            ("[INFO] hi", "info"),
            ("warning: disk", "warn"),
            (r#"{"severity":"CRITICAL"}"#, "critical"),
            (r#"{"log":{"level":"warn"}}"#, "warn"),
            ("lvl=dbg z", "debug"),
            ("err=nil ok", "error"),
            ("my:error", "unknown"),
            ("errorless", "unknown"),
            ("traceback", "unknown"),
            ("level=5", "unknown"),
            (r#"{"level":30}"#, "unknown"),
            ("", "unknown"),
            // The first word counts, not the worst.
            ("info before error", "info"),
            ("x|Fatal|", "fatal"),
            ("0 errors, error!", "error"),
            ("warn1 then warn", "warn"),
        ] {
            assert_eq!(of(line), level, "{line}");
        }
    }

    #[test]
    fn fields_of_an_object_are_read_two_deep_and_in_order() {
        for (line, level) in [
            (r#"{"a":1,"level":"debug","lvl":"error"}"#, "debug"),
            (r#"{"lvl":"error","level":"debug"}"#, "error"),
            (r#"{"a":{"b":{"level":"error"}}}"#, "error"),
            (r#"{"a":{"b":{"level":"fatal"}},"level":"info"}"#, "info"),
            (r#"{"LeVeL":"warn","msg":"x"}"#, "warn"),
            // The word is found in the text where the field tells nothing that is known.
            (r#"{"level":"notice","msg":"an info"}"#, "info"),
            (r#"{"level":"","msg":"all fine"}"#, "unknown"),
            (r#"{"l\u0065vel":"debug"}"#, "debug"),
            (r#"{"level":"debug" oops}"#, "debug"),
            (r#"{oops "level":"debug"}"#, "debug"),
            (r#"  {"level":"debug"}  "#, "debug"),
            ("\u{2003}{\"level\":\"trc\"}", "unknown"),
        ] {
            assert_eq!(of(line), level, "{line}");
        }
    }

    #[test]
    fn pairs_are_read_whatever_their_case_and_order() {
        for (line, level) in [
            ("ts=1 LEVEL=warn msg=x", "warn"),
            ("severity=error level=info", "info"),
            (r#"msg="an error" level="debug""#, "debug"),
            ("lvl=inf error=x", "info"),
            ("level= error", "error"),
            ("msg=ok level", "unknown"),
            (r#"level="e\u0072r" x=1"#, "error"),
            // Reading ends at a mistake; the words remain.
            (r#"a=b"c" level=debug warn"#, "debug"),
            (r#"a=b"c" level=dbg warn"#, "warn"),
        ] {
            assert_eq!(of(line), level, "{line}");
        }
    }

    #[test]
    fn metadata_comes_before_the_line() {
        let fields = LevelFields::default();
        let of = |pairs: &[(&'static str, &'static str)]| {
            let metadata = pairs.iter().map(|&(n, v)| (n.into(), v.into())).collect();
            fields.of_entry(&metadata, b"fatal").into_owned()
        };
        assert_eq!(of(&[]), "fatal");
        assert_eq!(of(&[("a", "b")]), "fatal");
        assert_eq!(of(&[("level", "WARNING")]), "warn");
        assert_eq!(of(&[("level", "notice")]), "notice");
        assert_eq!(of(&[("severity", "error"), ("level", "dbg")]), "debug");
        for (number, level) in [
            ("0", "unknown"),
            ("1", "trace"),
            ("5", "debug"),
            ("12", "info"),
            ("13", "warn"),
            ("17", "error"),
            ("24", "fatal"),
            ("25", "unknown"),
            ("x", "info"),
        ] {
            let pairs: &[(&'static str, &'static str)] = &[(SEVERITY_NUMBER, number)];
            assert_eq!(of(pairs), level, "{number}");
        }
    }

    #[test]
    fn labels_tell_any_level() {
        let fields = LevelFields::default();
        let of = |name, value| fields.of_labels(&Labels::from_pairs([(name, value)]));
        assert_eq!(of("level", "ERR").as_deref(), Some("error"));
        assert_eq!(of("severity", "notice").as_deref(), Some("notice"));
        assert_eq!(of("app", "error"), None);
    }

    /// The rule as it is told: each word's first place, and the least of these.
    fn of_words_slowly(line: &str) -> &'static str {
        let lower = line.to_ascii_lowercase();
        let words = [
            ("trace", "trace"),
            ("debug", "debug"),
            ("fatal", "fatal"),
            ("critical", "critical"),
            ("error", "error"),
            ("err", "error"),
            ("warning", "warn"),
            ("warn", "warn"),
            ("info", "info"),
        ];
        let mut best = (usize::MAX, "unknown");
        for (word, level) in words {
            let place = lower.match_indices(word).find(|(at, _)| {
                let before = lower[..*at].chars().next_back();
                let behind = lower[at + word.len()..].chars().next();
                before.is_none_or(|c| " \t\n[({\"'=|".contains(c))
                    && behind.is_none_or(|c| " \t\n[](){}:,!\"'=|".contains(c))
            });
            if let Some((at, _)) = place
                && at < best.0
            {
                best = (at, level);
            }
        }
        best.1
    }

    proptest! {
        #[test]
        fn words_are_found_as_the_rule_says(line in "(trace|debug|fatal|critical|ERROR|err|Warning|warn|info|[ :=|x\"!]){0,12}") {
            prop_assert_eq!(of_words(line.as_bytes()), of_words_slowly(&line));
        }

        #[test]
        fn any_bytes_have_a_level(line in proptest::collection::vec(any::<u8>(), 0..60), ends in any::<bool>()) {
            let mut line = line;
            if ends {
                line.insert(0, b'{');
                line.push(b'}');
            }
            let _ = LevelFields::default().of_line(&line);
        }
    }
}
