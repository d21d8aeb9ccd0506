//! What is told of a file that cannot be read.

use std::io::Write;

use super::*;
use crate::tail::identity::FileId;
use crate::tail::tests::pipeline;

#[test]
fn bytes_that_cannot_be_read_again_are_told_once_and_are_no_fingerprint() {
    let mut written = tempfile::NamedTempFile::new().unwrap();
    written.write_all(b"one\ntwo\n").unwrap();
    let path = written.path().to_owned();
    let shown = Arc::new(Shown::default());
    let mut file = TailedFile::open(Opening {
        key: Key {
            job: "j".to_owned(),
            id: FileId { dev: 1, ino: 2 },
            before: None,
        },
        path: path.clone(),
        place: path.clone(),
        content: Content::new(File::open(&path).unwrap(), None),
        labels: LabelSet::default(),
        pipeline: pipeline(),
        options: LineOptions::default(),
        head: Print::default(),
        at: 4,
        pieces: Vec::new(),
        shown: Arc::clone(&shown),
        now_ns: 0,
    })
    .unwrap();
    assert_eq!(file.record(1).tail, Print::of(b"one\n"));
    // A handle that takes bytes and gives none.
    let mute = File::options().write(true).open(&path).unwrap();
    let readable = std::mem::replace(&mut file.content, Content::Plain(mute));
    for now_ns in 2..4 {
        assert_eq!(file.record(now_ns).tail, Print::of(b""));
        let failures = shown.failures.lock().clone();
        let told = &failures[&path];
        assert!(told.starts_with("bytes in front of 4: "), "{told}");
    }
    let mut out = Vec::new();
    let error = file.read(10, 4, &mut out).unwrap_err();
    file.failed(&error);
    assert_eq!(shown.failures.lock()[&path], error.to_string());
    // What is wrong besides is told again when reading goes on.
    file.content = readable;
    file.is_well();
    assert!(shown.failures.lock()[&path].starts_with("bytes in front of 4: "));
    assert_eq!(file.record(5).tail, Print::of(b"one\n"));
    assert!(shown.failures.lock().is_empty());
}
