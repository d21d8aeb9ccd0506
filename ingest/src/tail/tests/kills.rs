//! Files that are written and rotated while the tailer is killed again and again.

use super::*;

#[derive(Debug, Clone)]
enum Act {
    /// Appends so many lines, of so many bytes about.
    Append(usize, usize),
    Rename,
    CopyTruncate,
    Kill,
    KillAfterPush,
    Stop,
    Start,
    Pause(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (1usize..30, 1usize..200).prop_map(|(n, len)| Act::Append(n, len)),
        1 => (1usize..400, 2000usize..9000).prop_map(|(n, len)| Act::Append(n, len)),
        2 => Just(Act::Rename),
        1 => Just(Act::CopyTruncate),
        2 => Just(Act::Kill),
        2 => Just(Act::KillAfterPush),
        1 => Just(Act::Stop),
        4 => Just(Act::Start),
        3 => (0u64..12).prop_map(Act::Pause),
    ];
    proptest::collection::vec(act, 1..25)
}

/// Does what is said, with lines that are all different, and checks that each is there once.
fn play(acts: &[Act], multiline: bool) -> Result<(), TestCaseError> {
    let stages = match multiline {
        false => Vec::new(),
        true => vec![StageConfig::Multiline(MultilineConfig {
            firstline: "^A".to_owned(),
            max_wait: Duration::from_millis(60),
            max_lines: 128,
        })],
    };
    let mut world = World::new("app.log*", stages);
    let mut expected = BTreeMap::new();
    let (mut lines, mut rotations) = (0, 0);
    for act in acts {
        match act {
            Act::Append(count, len) => {
                let mut text = String::new();
                for _ in 0..*count {
                    lines += 1;
                    let mut entry = format!("A{lines} {}", "y".repeat(*len));
                    if multiline {
                        for more in 0..lines % 3 {
                            entry.push_str(&format!("\n  {more} of {lines}"));
                        }
                    }
                    text.push_str(&entry);
                    text.push('\n');
                    expected.insert(entry, 1);
                }
                world.append("app.log", &text);
            }
            Act::Rename | Act::CopyTruncate if !world.path("app.log").exists() => {}
            Act::Rename => {
                rotations += 1;
                let to = world.path(&format!("app.log.{rotations}"));
                std::fs::rename(world.path("app.log"), to).unwrap();
            }
            Act::CopyTruncate => {
                // A shorter file is not known from others that begin like it.
                if std::fs::metadata(world.path("app.log")).unwrap().len() < 2000 {
                    continue;
                }
                rotations += 1;
                let to = world.path(&format!("app.log.{rotations}"));
                std::fs::copy(world.path("app.log"), to).unwrap();
                std::fs::write(world.path("app.log"), "").unwrap();
            }
            Act::Kill => world.kill(Fate::Dead),
            Act::KillAfterPush => world.kill(Fate::DiesAfter),
            Act::Stop => world.tailer = None,
            Act::Start => world.start(),
            Act::Pause(ms) => std::thread::sleep(Duration::from_millis(*ms)),
        }
    }
    let stored = world.wait(&expected);
    prop_assert_eq!(differences(&stored, &expected), Vec::<String>::new());
    std::thread::sleep(Duration::from_millis(20));
    prop_assert_eq!(
        differences(&world.sink.lines(), &expected),
        Vec::<String>::new()
    );
    Ok(())
}

fn differences(
    stored: &BTreeMap<String, usize>,
    expected: &BTreeMap<String, usize>,
) -> Vec<String> {
    let short = |line: &str| line.chars().take(30).collect::<String>();
    let mut out = Vec::new();
    for line in expected.keys().filter(|line| !stored.contains_key(*line)) {
        out.push(format!("missing {}", short(line)));
    }
    for (line, count) in stored {
        if expected.get(line) != Some(count) {
            out.push(format!("{count} times {}", short(line)));
        }
    }
    out.truncate(10);
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn every_line_is_stored_once_whatever_happens(acts in acts()) {
        play(&acts, false)?;
    }

    #[test]
    fn every_block_of_lines_is_stored_once_whatever_happens(acts in acts()) {
        play(&acts, true)?;
    }
}
