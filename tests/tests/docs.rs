//! What the documents point at exists: files behind links, and the tests that are said
//! to hold a promise.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn markdown(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            markdown(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut documents = vec![root().join("README.md")];
    markdown(&root().join("docs"), &mut documents);
    let mut links = 0;
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| {
            let (target, _) = rest.split_once(')')?;
            target.split('#').next().filter(|path| !path.is_empty())
        });
        for target in targets.filter(|target| !target.contains("://")) {
            links += 1;
            let path = document.parent().unwrap().join(target);
            assert!(path.exists(), "{}: {target}", document.display());
        }
    }
    assert!(links > 4, "only {links} links found");
}

#[test]
fn every_promise_names_tests_that_exist() {
    let text = fs::read_to_string(root().join("docs/promises.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let rows = rows.filter(|line| !line.starts_with("| event "));
    let mut promises = 0;
    for row in rows {
        promises += 1;
        let held_by = row.split('|').nth(3).unwrap();
        let mut source = None;
        let mut named = 0;
        for name in held_by.split('`').skip(1).step_by(2) {
            if name.contains('/') {
                let path = root().join(name);
                let code = fs::read_to_string(&path);
                let code = code.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert!(
                    code.contains("#[test]") || code.contains("#[tokio::test"),
                    "{name}"
                );
                source = Some(code);
            } else {
                let code = source
                    .as_ref()
                    .unwrap_or_else(|| panic!("no file in front of {name}"));
                // Properties have arguments.
                assert!(code.contains(&format!("fn {name}(")), "{name} in {row}");
            }
            named += 1;
        }
        assert!(named > 0, "nothing holds {row}");
    }
    assert!(promises > 10, "only {promises} promises found");
}

#[test]
fn the_map_of_the_code_names_every_module_at_the_top() {
    let text = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    for part in ["storage", "query", "ingest", "server"] {
        let start = text.find(&format!("### {part}/")).unwrap();
        let section = &text[start..];
        let section = section[4..].split("\n### ").next().unwrap();
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let spans = section.split('`').skip(1).step_by(2);
        let named: Vec<&str> = spans.flat_map(|span| span.split(|c| !is_part(c))).collect();
        for entry in fs::read_dir(root().join(part).join("src")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let module = name.trim_end_matches(".rs");
            let is_there = module == "lib" || named.contains(&module);
            assert!(is_there, "{part}: {module} is not on the map");
        }
    }
}
