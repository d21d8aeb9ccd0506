//! Running scripts of a test language: our own, which must pass whole, and those of
//! `KYMO_CORPUS`, of which each must reach its floor, kept beside the golden floors as
//! `FOLDER/FILE`.

use std::path::Path;
use std::{env, fs};

use crate::corpus;

/// How many failures of a script are shown.
const SHOWN: usize = 5;

/// What the queries of a script came to.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    pub(crate) passed: usize,
    pub(crate) evals: usize,
    /// Printed whole.
    pub(crate) notes: Vec<String>,
    /// Lines of the script with what is wrong there.
    pub(crate) failures: Vec<(usize, String)>,
}

/// The scripts of a language.
pub(crate) struct Scripts {
    /// Where they lie, here and in the corpus.
    pub(crate) folder: &'static str,
    /// How the names of their files end, with the dot.
    pub(crate) ending: &'static str,
    /// Runs the text of one; an error is one of its parser.
    pub(crate) run: fn(&str) -> Result<Ran, String>,
}

impl Scripts {
    /// Runs our own.
    pub(crate) fn pass(&self) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(self.folder);
        let mut n_scripts = 0;
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if !path.to_string_lossy().ends_with(self.ending) {
                continue;
            }
            n_scripts += 1;
            let (name, ran) = self.run_file(&path);
            assert!(ran.evals > 0, "{name} has no queries");
            assert_eq!(ran.passed, ran.evals, "{name}");
        }
        assert!(n_scripts > 0);
    }

    /// Runs those of the corpus, where there is one.
    pub(crate) fn reach_their_floors(&self) {
        let Some(files) = corpus::files(self.folder, &[self.ending]) else {
            return;
        };
        let (mut n_passed, mut n_evals) = (0, 0);
        let mut below = Vec::new();
        for file in &files {
            let (name, Ran { passed, evals, .. }) = self.run_file(file);
            n_passed += passed;
            n_evals += evals;
            let floor = corpus::floor_per_mille(&format!("{}/{name}", self.folder));
            if passed * 1000 < floor * evals {
                below.push(format!(
                    "{name}: {passed} of {evals}, the floor is {floor} per mille"
                ));
            }
        }
        println!("{}: passed {n_passed} of {n_evals} evals", self.folder);
        assert!(below.is_empty(), "{below:#?}");
    }

    /// Runs one, and prints the count and the first failures, all of them with
    /// `KYMO_CORPUS_ALL`.
    fn run_file(&self, path: &Path) -> (String, Ran) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(path).unwrap();
        let ran = (self.run)(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        println!("{name}: passed {} of {} evals", ran.passed, ran.evals);
        for note in &ran.notes {
            println!("  {note}");
        }
        let shown = match env::var_os("KYMO_CORPUS_ALL") {
            Some(_) => usize::MAX,
            None => SHOWN,
        };
        for (line, why) in ran.failures.iter().take(shown) {
            println!("  {name}:{line} {why}");
        }
        if ran.failures.len() > shown {
            println!("  and {} more failures", ran.failures.len() - shown);
        }
        (name, ran)
    }
}
