use std::fs;
use std::path::Path;

use super::crash::{CrashDir, Cut, Loss};
use super::memory::MemoryDir;
use super::*;

/// The contract, against any implementation.
fn check_contract(dir: &dyn Dir) {
    let file = dir.create("b").unwrap();
    file.append(b"one").unwrap();
    file.append(b"two").unwrap();
    assert_eq!(file.len_bytes().unwrap(), 6);
    assert_eq!(dir.read("b", 6).unwrap(), b"onetwo");
    assert!(matches!(
        dir.read("b", 5),
        Err(FsError::TooLong { len_bytes: 6, .. })
    ));
    file.truncate(4).unwrap();
    let again = dir.open_append("b").unwrap();
    again.append(b"!").unwrap();
    again.sync().unwrap();
    assert_eq!(dir.read("b", 100).unwrap(), b"onet!");

    assert!(
        dir.create("b").is_err(),
        "an existing file is not created again"
    );
    assert!(dir.open_append("missing").unwrap_err().is_not_found());
    assert!(dir.read("missing", 1).unwrap_err().is_not_found());
    assert!(dir.remove("missing").unwrap_err().is_not_found());
    for name in ["", ".", "..", "a/b", "a\0b"] {
        assert!(
            matches!(dir.create(name), Err(FsError::Name { .. })),
            "{name:?}"
        );
    }

    dir.create("a").unwrap().append(b"new").unwrap();
    assert_eq!(dir.files().unwrap(), ["a", "b"]);
    dir.rename("a", "b").unwrap();
    dir.sync().unwrap();
    assert_eq!(dir.files().unwrap(), ["b"]);
    assert_eq!(dir.read("b", 100).unwrap(), b"new");

    let sub = dir.subdir("7").unwrap();
    sub.create("x").unwrap();
    assert_eq!(dir.subdir("7").unwrap().files().unwrap(), ["x"]);
    assert_eq!(dir.dirs().unwrap(), ["7"]);
    sub.remove("x").unwrap();
    dir.remove_dir("7").unwrap();
    assert_eq!(dir.dirs().unwrap(), [""; 0]);

    let page = vec![7; MAP_ALIGN_BYTES as usize];
    let long = dir.create("long").unwrap();
    long.append(&page).unwrap();
    long.append(b"tail").unwrap();
    assert_eq!(dir.len_bytes("long").unwrap(), MAP_ALIGN_BYTES + 4);
    let tail = dir
        .map("long", MAP_ALIGN_BYTES..MAP_ALIGN_BYTES + 4)
        .unwrap();
    assert_eq!(&dir.map("long", 0..3).unwrap()[..], [7, 7, 7]);
    assert!(dir.map("long", 0..0).unwrap().is_empty());
    let past_the_end = MAP_ALIGN_BYTES * 2;
    for range in [1..2, 0..MAP_ALIGN_BYTES + 5, past_the_end..past_the_end] {
        assert!(dir.map("long", range.clone()).is_err(), "{range:?}");
    }
    let copies = dir.subdir("copies").unwrap();
    dir.link("long", &*copies).unwrap();
    assert!(
        dir.link("long", &*copies).is_err(),
        "names are not replaced"
    );
    dir.remove("long").unwrap();
    assert_eq!(&tail[..], b"tail", "a map outlives the name");
    dir.rename_dir("copies", "moved").unwrap();
    dir.sync().unwrap();
    assert_eq!(dir.dirs().unwrap(), ["moved"]);
    let moved = dir.subdir("moved").unwrap();
    assert_eq!(moved.len_bytes("long").unwrap(), MAP_ALIGN_BYTES + 4);
    dir.subdir("other").unwrap();
    assert!(dir.rename_dir("moved", "other").is_err());
    assert!(dir.rename_dir("gone", "there").is_err());
    moved.remove("long").unwrap();
    dir.remove_dir("moved").unwrap();
    dir.remove_dir("other").unwrap();

    let lock = dir.lock().unwrap();
    let error = dir.lock().unwrap_err();
    assert!(matches!(error, FsError::Locked { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .contains(&dir.path().display().to_string()),
        "{error}"
    );
    drop(lock);
    dir.lock().unwrap();
}

#[test]
fn the_real_directory_keeps_the_contract() {
    let temp = tempfile::tempdir().unwrap();
    check_contract(&RealDir::open(temp.path().join("new/below")).unwrap());
}

#[test]
fn the_memory_directory_keeps_the_contract() {
    check_contract(&MemoryDir::new("memory"));
}

#[test]
fn the_crash_directory_keeps_the_contract() {
    check_contract(&CrashDir::new("crash"));
}

#[test]
fn a_crash_leaves_what_was_synced() {
    let dir = CrashDir::new("d");
    let sub: Arc<dyn Dir> = dir.subdir("0").unwrap();
    let file = sub.create("a").unwrap();
    file.append(b"synced").unwrap();
    file.sync().unwrap();
    sub.sync().unwrap();
    file.append(b" not").unwrap();
    sub.create("b").unwrap().sync().unwrap();
    let now = Cut {
        ops: dir.ops(),
        partial_bytes: 0,
    };
    let read = |image: &MemoryDir| image.child("0").read("a", 100).unwrap();

    let killed = dir.image(now, Loss::Process);
    assert_eq!(read(&killed), b"synced not");
    assert_eq!(killed.child("0").files().unwrap(), ["a", "b"]);
    let dark = dir.image(now, Loss::Everything);
    assert_eq!(read(&dark), b"synced");
    // Its content is durable, its name is not.
    assert_eq!(dark.child("0").files().unwrap(), ["a"]);
    let torn = dir.image(
        Cut {
            ops: 4,
            partial_bytes: 2,
        },
        Loss::Process,
    );
    assert_eq!(read(&torn), b"synced n");
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let content = read(&dir.image(now, Loss::Chance(seed)));
        assert!(
            content.starts_with(b"synced") && content.len() <= 10,
            "{content:?}"
        );
        lengths.insert(content.len());
    }
    assert_eq!(lengths.len(), 5, "every torn length comes up");
}

#[test]
fn a_renamed_directory_is_whole_where_its_names_were_synced() {
    let dir = CrashDir::new("d");
    let sub = dir.subdir("new.tmp").unwrap();
    let file = sub.create("a").unwrap();
    file.append(b"content").unwrap();
    file.sync().unwrap();
    sub.sync().unwrap();
    dir.rename_dir("new.tmp", "new").unwrap();
    let before = dir.ops();
    dir.sync().unwrap();
    let image = |ops, loss| {
        let cut = Cut {
            ops,
            partial_bytes: 0,
        };
        dir.image(cut, loss)
    };
    let renamed = image(before, Loss::Process).child("new");
    assert_eq!(renamed.read("a", 100).unwrap(), b"content");
    assert_eq!(
        image(before, Loss::Everything).dirs().unwrap(),
        ["new.tmp"],
        "the new name was not synced"
    );
    assert_eq!(
        image(dir.ops(), Loss::Everything).dirs().unwrap(),
        ["new"],
        "the new name was synced"
    );
    dir.subdir("new").unwrap().open_append("a").unwrap();
}

#[test]
fn errors_name_the_operation_and_the_path() {
    let temp = tempfile::tempdir().unwrap();
    let dir = RealDir::open(temp.path()).unwrap();
    let error = dir.read("gone", 1).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("cannot read {}", temp.path().join("gone").display())
    );
}

/// Looks through the sources: the disk is reached from here only.
#[test]
fn no_other_module_names_the_file_system() {
    fn walk(dir: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let tests_begin = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
                let is_test = path.file_name().is_some_and(|f| f == "tests.rs");
                let code = text[..tests_begin]
                    .lines()
                    .filter(|l| !l.trim_start().starts_with("//"));
                let names = |line: &str| {
                    // What this module gives out is no way to the disk.
                    let line = line.replace("fs::FileMap", "").replace("GroupedFile::", "");
                    ["std::fs", "fs::File", "File::open", "rustix::fs", "memmap2"]
                        .iter()
                        .any(|word| line.contains(word))
                };
                if !is_test && code.into_iter().any(names) {
                    found.push(path.display().to_string());
                }
            }
        }
    }
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&sources, &mut found);
    found.retain(|path| !path.starts_with(&sources.join("fs").display().to_string()));
    assert_eq!(found, [""; 0], "only storage/src/fs may touch the disk");
}
