//! Finds or builds the files of the web page and writes a table of them.
//!
//! In this order: the folder that `UI_DIST` names; in a release, what npm builds from
//! `server/ui`; else nothing but a reason. What comes of it is `assets.rs` in `OUT_DIR`,
//! which `src/lib.rs` includes. A page that is missing never keeps the server from
//! being built: the reason is a warning here and is what the page says.
//! A page that does not compile does.

#![allow(
    clippy::print_stdout,
    clippy::panic,
    reason = "a build script speaks to cargo through its output and its end"
)]

use std::env;
use std::path::{Path, PathBuf};

mod npm;
mod table;

/// What npm reads, beside `server/ui/src`.
const SOURCES: [&str; 7] = [
    "index.html",
    "package.json",
    "package-lock.json",
    "public",
    "src",
    "tsconfig.json",
    "vite.config.ts",
];

/// Where the files are, or why there are none.
enum Found {
    Folder(PathBuf),
    Nothing(String),
}

fn main() {
    println!("cargo::rerun-if-env-changed=UI_DIST");
    println!("cargo::rerun-if-changed=build");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let found = find(&out);
    let written = match &found {
        Found::Folder(folder) => table::write(folder, &out),
        Found::Nothing(reason) => table::write_reason(reason, &out),
    };
    if let Err(problem) = written {
        panic!("the web page cannot be embedded: {problem}");
    }
}

fn find(out: &Path) -> Found {
    if let Some(folder) = env::var_os("UI_DIST").filter(|folder| !folder.is_empty()) {
        // Cargo starts this in server/assets; whoever sets the variable is elsewhere.
        let folder = PathBuf::from(folder);
        assert!(
            folder.is_absolute() && folder.join("index.html").is_file(),
            "UI_DIST: {} must be the absolute path of a folder with a built page, \
             which `npm run build` in server/ui leaves in server/ui/dist",
            folder.display()
        );
        println!("cargo::rerun-if-changed={}", folder.display());
        return Found::Folder(folder);
    }
    // A profile that inherits from release is called release here.
    if env::var("PROFILE").as_deref() != Ok("release") {
        return Found::Nothing(
            "Builds for development leave it out. A build with --release has it; so has any \
             build with UI_DIST set to a folder that `npm run build` in server/ui made."
                .to_owned(),
        );
    }
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", ui.join(source).display());
    }
    match npm::build(&ui, out) {
        Ok(folder) => Found::Folder(folder),
        Err(npm::Failure::Missing(reason)) => {
            // What never exists makes cargo look again the next time.
            println!("cargo::rerun-if-changed=looked-for-again-at-every-build");
            println!("cargo::warning=the web page is left out: {reason}");
            Found::Nothing(reason)
        }
        Err(npm::Failure::Broken(problem)) => panic!("the web page does not build: {problem}"),
    }
}
