//! Files that are renamed, cut, compressed and removed, and what is told of them.

use super::*;

#[test]
fn lines_are_stored_with_the_labels_of_their_target_and_file() {
    let mut world = World::new("*.log", Vec::new());
    world.append("a.log", "one\ntwo\n\npart");
    world.check(&["one", "two", ""]);
    world.append("a.log", "ly\n");
    world.check(&["one", "two", "", "partly"]);
    let stream = world.sink.streams();
    let path = world.path("a.log");
    assert_eq!(
        stream.into_iter().collect::<Vec<_>>(),
        [format!("{{filename=\"{}\", job=\"app\"}}", path.display())]
    );
    let status = world.tailer.as_ref().unwrap().status();
    let file = &status[0].files[0];
    assert_eq!(
        (file.size, file.position, file.read_bytes, file.lines),
        (16, 16, 16, 4)
    );
    assert_eq!(
        world
            .tailer
            .as_ref()
            .unwrap()
            .sent()
            .sent_entries
            .load(std::sync::atomic::Ordering::Relaxed),
        4
    );
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let mut world = World::new("*.log", Vec::new());
    world.append("a.log", "one\n");
    world.check(&["one"]);
    world.tailer = None;
    world.append("a.log", "two\n");
    world.check(&["one", "two"]);
    // Another name of the job changes nothing.
    world.tailer = None;
    world.job.job_name = "other".to_owned();
    world.append("a.log", "three\n");
    world.check(&["one", "two", "three"]);
}

#[test]
fn a_renamed_file_is_read_to_its_end_even_after_a_restart() {
    let mut world = World::new("app.log", Vec::new());
    world.append("app.log", "one\n");
    world.check(&["one"]);
    world.append("app.log", "two\n");
    std::fs::rename(world.path("app.log"), world.path("app.log.1")).unwrap();
    world.append("app.log", "three\n");
    world.check(&["one", "two", "three"]);
    world.kill(Fate::Dead);
    world.append("app.log", "four\n");
    std::fs::rename(world.path("app.log"), world.path("app.log.2")).unwrap();
    world.append("app.log.2", "five without end");
    world.append("app.log", "six\n");
    world.check(&["one", "two", "three", "four", "five without end", "six"]);
}

#[test]
fn a_cut_file_begins_anew_and_its_copy_goes_on() {
    let line = |n: usize| format!("{n} is the number of a line that is long enough to know");
    let mut world = World::new("app.log*", Vec::new());
    let (a, b, c) = (line(1), line(2), line(3));
    world.append("app.log", &format!("{a}\n{b}\n"));
    world.check(&[&a, &b]);
    // What was written last is in the copy alone.
    world.kill(Fate::Dead);
    world.append("app.log", &format!("{c}\n"));
    std::fs::copy(world.path("app.log"), world.path("app.log.1")).unwrap();
    std::fs::write(world.path("app.log"), "").unwrap();
    world.check(&[&a, &b, &c]);
    let d = line(4) + " and the next one";
    world.append("app.log", &format!("{d}\n"));
    world.check(&[&a, &b, &c, &d]);
    // Cut and written on at once, while it is followed.
    std::fs::copy(world.path("app.log"), world.path("app.log.2")).unwrap();
    let e = line(50000);
    std::fs::write(world.path("app.log"), format!("{e}\n")).unwrap();
    world.check(&[&a, &b, &c, &d, &e]);
}

#[test]
fn a_file_that_is_compressed_is_not_read_again() {
    let line = |n: usize| format!("{n} is the number of a line that is long enough to know");
    let mut world = World::new("app.log*", Vec::new());
    let (a, b) = (line(1), line(2));
    world.append("app.log.1", &format!("{a}\n{b}\n"));
    world.check(&[&a, &b]);
    let file = std::fs::File::create(world.path("app.log.1.gz")).unwrap();
    let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    packed.write_all(format!("{a}\n{b}\n").as_bytes()).unwrap();
    packed.finish().unwrap();
    std::fs::remove_file(world.path("app.log.1")).unwrap();
    let file = std::fs::File::create(world.path("app.log.2.zst")).unwrap();
    let mut packed = zstd::stream::write::Encoder::new(file, 1).unwrap();
    packed.write_all(b"older\noldest").unwrap();
    packed.finish().unwrap();
    // The end of a compressed file ends its last line when the file goes.
    world.check(&[&a, &b, "older"]);
    std::thread::sleep(Duration::from_millis(400));
    world.check(&[&a, &b, "older"]);
    world.tailer = None;
    world.check(&[&a, &b, "older"]);
}

#[test]
fn deleted_and_created_files_are_others() {
    let mut world = World::new("*.log", Vec::new());
    world.append("a.log", "one\n");
    world.check(&["one"]);
    world.append("a.log", "two\n");
    world.check(&["one", "two"]);
    std::fs::remove_file(world.path("a.log")).unwrap();
    world.append("a.log", "three\n");
    world.check(&["one", "two", "three"]);
    world.tailer = None;
    std::fs::remove_file(world.path("a.log")).unwrap();
    world.append("a.log", "four\n");
    world.check(&["one", "two", "three", "four"]);
}

#[test]
fn a_job_may_begin_at_the_end_and_take_over_positions() {
    let mut world = World::new("*.log", Vec::new());
    world.files().start = StartAt::End;
    world.append("a.log", "old\n");
    let positions = world.dir.path().join("positions.yaml");
    world.append("b.log", "old b\nnew b\n");
    let b = world.path("b.log");
    std::fs::write(
        &positions,
        format!("positions:\n  {}: \"6\"\n", b.display()),
    )
    .unwrap();
    world.options.promtail_positions = Some(positions);
    world.check(&["new b"]);
    world.append("a.log", "new\n");
    world.check(&["new b", "new"]);
    world.append("c.log", "later\n");
    world.check(&["new b", "new", "later"]);
    world.tailer = None;
    world.append("d.log", "while down\n");
    world.check(&["new b", "new", "later", "while down"]);
}

#[test]
fn a_slow_store_slows_reading_and_drops_nothing() {
    let mut world = World::new("*.log", Vec::new());
    let lines: Vec<String> = (0..2000)
        .map(|n| format!("line {n} {}", "x".repeat(4000)))
        .collect();
    world.start();
    *world.sink.fate.lock() = Fate::Dead;
    world.append("a.log", &(lines.join("\n") + "\n"));
    std::thread::sleep(Duration::from_millis(100));
    let read = world.tailer.as_ref().unwrap().status()[0]
        .files
        .first()
        .map_or(0, |f| f.read_bytes);
    assert!(read < 3 << 20, "{read} bytes were read that nobody takes");
    *world.sink.fate.lock() = Fate::Stores;
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    world.check(&lines);
}

#[test]
fn what_is_wrong_is_told() {
    let mut world = World::new("*.log", Vec::new());
    world.job.stages = vec![StageConfig::Template {
        source: "a".to_owned(),
        template: "x".to_owned(),
    }];
    world.tailer = Some(Tailer::new(world.setup()));
    let tailer = world.tailer.as_ref().unwrap();
    let error = tailer
        .prepare(std::slice::from_ref(&world.job), &world.options)
        .unwrap_err();
    assert_eq!(
        error,
        "log job j: invalid template stage config: no templates"
    );
}

#[test]
fn what_was_kept_and_cannot_be_read_is_told_and_nothing_is_read_twice() {
    let mut world = World::new("*.log", Vec::new());
    world.append("a.log", "one\n");
    let commit = |world: &World| {
        let tailer = Tailer::new(world.setup());
        let jobs = tailer.prepare(std::slice::from_ref(&world.job), &world.options);
        let outcome = tailer.commit(jobs.unwrap());
        assert!(tailer.status().is_empty());
        outcome.unwrap_err()
    };
    let path = world.dir.path().join("positions.yaml");
    std::fs::create_dir(&path).unwrap();
    world.options.promtail_positions = Some(path.clone());
    let error = commit(&world);
    let start = format!(
        "positions of Promtail in {} cannot be read: ",
        path.display()
    );
    assert!(error.starts_with(&start), "{error}");

    world.options.promtail_positions = Some(path.join("none of Promtail"));
    world.job.source = LogSourceConfig::Journal(JournalConfig {
        labels: Vec::new(),
        max_age: Duration::from_secs(3600),
        path: PathBuf::new(),
        matches: Vec::new(),
        json: false,
    });
    std::fs::remove_dir(&path).unwrap();
    let hash = xxhash_rust::xxh3::xxh3_64(b"j");
    let path = world.dir.path().join(format!("tail/journal-{hash:016x}"));
    std::fs::create_dir_all(&path).unwrap();
    let error = commit(&world);
    let start = format!(
        "log job j: the place in the journal in {} cannot be read: ",
        path.display()
    );
    assert!(error.starts_with(&start), "{error}");
}

#[test]
fn a_renamed_file_that_cannot_be_read_after_a_start_is_told_and_tried_again() {
    let mut world = World::new("app.log.gz", Vec::new());
    // It is compressed, and does not look so yet.
    let place = world.path("app.log.gz.1");
    std::fs::write(&place, "one").unwrap();
    let tail = world.dir.path().join("tail/positions");
    let record = Record {
        key: Key {
            job: "j".to_owned(),
            id: FileId::of(&std::fs::metadata(&place).unwrap()),
            before: None,
        },
        path: world.path("app.log.gz"),
        head: Print::of(b"one\n"),
        tail: Print::default(),
        at: 4,
        pieces: Vec::new(),
        seen_ns: now_ns(),
        gone: false,
    };
    let mut positions = Positions::open(&tail, now_ns()).unwrap();
    positions.write(vec![record]).unwrap();
    drop(positions);
    world.start();
    world.wait_told(&[&place]);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"one\ntwo\n").unwrap();
    std::fs::write(&place, packed.finish().unwrap()).unwrap();
    world.check(&["two"]);
    world.wait_told(&[]);
}

#[test]
fn what_is_not_followed_at_the_first_look_begins_where_its_end_was() {
    let mut world = World::new("*.log", Vec::new());
    world.files().start = StartAt::End;
    let greeting = "a greeting that every file begins with, as long as that of a copy may be";
    world.append("a.log", &format!("{greeting}\nold a\n"));
    // Too short to be told from a copy of the other one.
    world.append("b.log", &format!("{greeting}\n"));
    world.start();
    let tailer = world.tailer.as_ref().unwrap();
    wait_for(|| tailer.status()[0].files.len() == 1);
    world.append("b.log", "new b\n");
    world.check(&["new b"]);
    world.append("a.log", "new a\n");
    world.check(&["new a", "new b"]);
}

#[test]
fn a_directory_that_cannot_be_read_is_told_until_it_can() {
    let mut world = World::new("sub/*.log", Vec::new());
    let sub = world.path("sub");
    std::os::unix::fs::symlink(&sub, &sub).unwrap();
    world.start();
    world.wait_told(&[&sub]);
    std::fs::remove_file(&sub).unwrap();
    world.wait_told(&[]);
}
