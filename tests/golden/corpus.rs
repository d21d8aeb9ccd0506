//! Reading of golden data and keeping of scores.
//!
//! The data lies outside the repository, in the folder that `KYMO_CORPUS` names;
//! where the variable is unset every runner says so and passes. A runner takes
//! whatever cases a folder holds: no file, count or case is known here. What a
//! folder must reach is a share, kept in `floors.txt`; floors only ever rise.

use std::fmt::Display;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::{env, fs};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::read::GzDecoder;
use serde_json::Value;

/// How many differences a run shows.
const SHOWN: usize = 10;

/// The floors: lines of a folder's name and the per-mille that must agree.
const FLOORS: &str = include_str!("floors.txt");

/// Returns the folder with the golden data, `None` where none is configured.
pub(crate) fn root() -> Option<PathBuf> {
    env::var_os("KYMO_CORPUS").map(PathBuf::from)
}

/// Returns a folder of the corpus. Where it cannot be had, says so and returns `None`.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let Some(root) = root() else {
        println!("{name}: skipped, KYMO_CORPUS is not set");
        return None;
    };
    let folder = root.join(name);
    if !folder.is_dir() {
        println!("{name}: skipped, the corpus has no such folder");
        return None;
    }
    Some(folder)
}

/// Returns the files of a corpus folder whose names end in one of `endings`, sorted.
pub(crate) fn files(name: &str, endings: &[&str]) -> Option<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder(name)?)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let file = path.file_name().unwrap().to_string_lossy();
            endings.iter().any(|ending| file.ends_with(ending))
        })
        .collect();
    found.sort();
    Some(found)
}

/// Reads every JSON document (plain or gzip) of a corpus folder, with its file name.
pub(crate) fn documents(name: &str) -> Option<Vec<(String, Value)>> {
    let documents = files(name, &[".json", ".json.gz"])?
        .iter()
        .map(|path| {
            let file = path.file_name().unwrap().to_string_lossy().into_owned();
            (file, read_json(path))
        })
        .collect();
    Some(documents)
}

/// Reads the `cases` of every JSON document of a corpus folder.
pub(crate) fn cases(name: &str) -> Option<Vec<Value>> {
    let mut all = Vec::new();
    for (_, mut document) in documents(name)? {
        if let Some(Value::Array(cases)) = document.get_mut("cases").map(Value::take) {
            all.extend(cases);
        }
    }
    Some(all)
}

/// Reads one JSON file, unpacking it when its name ends in `.gz`.
pub(crate) fn read_json(path: &Path) -> Value {
    let raw = fs::read(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
    let text = if path.extension().is_some_and(|ending| ending == "gz") {
        let mut text = Vec::new();
        GzDecoder::new(raw.as_slice())
            .read_to_end(&mut text)
            .unwrap();
        text
    } else {
        raw
    };
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the bytes of a string that stands plain or as `{"base64": ...}`.
pub(crate) fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Object(_) => BASE64_STANDARD.decode(value.get("base64")?.as_str()?).ok(),
        _ => None,
    }
}

/// Returns the text of a string value, `None` where it is not UTF-8.
pub(crate) fn text(value: &Value) -> Option<String> {
    String::from_utf8(bytes(value)?).ok()
}

/// Returns the bytes of an object's key, which may be written as `base64:...`.
pub(crate) fn key_bytes(key: &str) -> Vec<u8> {
    key.strip_prefix("base64:")
        .and_then(|code| BASE64_STANDARD.decode(code).ok())
        .unwrap_or_else(|| key.as_bytes().to_vec())
}

/// Returns a field of a case as a string, empty where it is absent or no text.
pub(crate) fn field<'a>(case: &'a Value, name: &str) -> &'a str {
    case.get(name).and_then(Value::as_str).unwrap_or("")
}

/// Counts the cases that agree with the original and remembers those that do not.
pub(crate) struct Score {
    name: String,
    agreed: usize,
    total: usize,
    differences: Vec<String>,
}

impl Score {
    /// Starts the count of one folder (or of one aspect of it, as `folder/aspect`).
    pub(crate) fn new(name: &str) -> Score {
        Score {
            name: name.to_owned(),
            agreed: 0,
            total: 0,
            differences: Vec::new(),
        }
    }

    /// Counts one case: `Ok` agrees, the error says what differs. `case` names it.
    pub(crate) fn count<E: Display>(&mut self, case: impl Display, outcome: Result<(), E>) {
        self.total += 1;
        match outcome {
            Ok(()) => self.agreed += 1,
            Err(difference) => self.differences.push(format!("{case}: {difference}")),
        }
    }

    /// Prints `NAME: agreed A of N` with the first differences, and fails below the
    /// floor. A name without a line in `floors.txt` has the floor zero; a whole folder
    /// without a single case fails too.
    pub(crate) fn finish(self) {
        let mut report = format!("{}: agreed {} of {}", self.name, self.agreed, self.total);
        for difference in self.differences.iter().take(SHOWN) {
            report.push_str("\n  ");
            report.push_str(&difference.replace('\n', "\n  "));
        }
        // KYMO_CORPUS_ALL shows every difference: for work on one folder.
        if env::var_os("KYMO_CORPUS_ALL").is_some() {
            for difference in self.differences.iter().skip(SHOWN) {
                report.push_str("\n  ");
                report.push_str(&difference.replace('\n', "\n  "));
            }
        } else if self.differences.len() > SHOWN {
            let more = self.differences.len() - SHOWN;
            report.push_str(&format!("\n  and {more} more differences"));
        }
        println!("{report}");
        assert!(
            self.total > 0 || self.name.contains('/'),
            "{}: the folder is there and holds no case that was understood",
            self.name
        );
        let floor = floor_per_mille(&self.name);
        assert!(
            self.agreed * 1000 >= floor * self.total,
            "{}: {} of {} agree, the floor is {floor} per mille",
            self.name,
            self.agreed,
            self.total
        );
    }
}

/// Returns the floor of a name, zero where it has none.
pub(crate) fn floor_per_mille(name: &str) -> usize {
    for line in FLOORS.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        if words.next() == Some(name) {
            let floor = words.next().and_then(|word| word.parse().ok());
            return floor.unwrap_or_else(|| panic!("floors.txt: no number after {name}"));
        }
    }
    0
}
