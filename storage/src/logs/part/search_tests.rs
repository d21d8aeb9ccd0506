//! Every search over columns is held against a plain one over the lines.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::fs::Dir;
use crate::fs::memory::MemoryDir;
use crate::model::Labels;

/// Cases of the property; some thousand were tried once.
const CASES: u32 = 16;

const T_NS: i64 = 1_785_578_400_123_456_789;

/// What lines look like; a percent sign and a letter stand for a value.
const TEMPLATES: [&str; 9] = [
    r#"{"ts":"%t","id":"%x","req":"req-%y","n":%d,"took":%f,"dev":"dev-%p","msg":"%w"}"#,
    r#"{"u":"%u","path":"/a/%d/b/%d","f":%g,"e":"a\"%d\\u00e9\n%w","l":"%l"}"#,
    r#"{"n":%d,"n2":%d,"s":"%s"}"#,
    r#"{"n":%z,"m":-%d,"o":{"ü":"%x"}}"#,
    r#"level=%l id=%x n=%d took=%fms msg="%w" ip=10.%d.0.%d"#,
    "%c %l worker-%d: %w id %y of dev-%p took %f ms",
    "10.%d.%d.7 - - [%k] \"GET /a/%d HTTP/1.1\" %d %d",
    "%e %w %x",
    "%w%x",
];

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % n
    }

    fn value(&mut self, kind: char, t_ns: i64, out: &mut String) {
        let words = ["Retry", "done", "née", "ÄÖ", "x", "time out", "ſ", "retry"];
        let (second, of_day) = (t_ns / 1_000_000_000, t_ns / 1_000_000_000 % 86_400);
        let clock = format!(
            "{:02}:{:02}:{:02}",
            of_day / 3600,
            of_day / 60 % 60,
            of_day % 60
        );
        let _ = match kind {
            't' => write!(out, "2026-08-01T{clock}.{:03}Z", t_ns / 1_000_000 % 1000),
            'c' => write!(out, "2026-08-01 {clock},{:06}", t_ns / 1000 % 1_000_000),
            'k' => write!(out, "01/Aug/2026:{clock} +0000"),
            'e' => write!(out, "{second}"),
            'x' => write!(
                out,
                "{:08x}{:08x}",
                self.below(1 << 31),
                self.below(1 << 31)
            ),
            'y' => write!(out, "{:012x}", self.below(1 << 31)),
            'u' => write!(
                out,
                "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
                self.below(1 << 31),
                self.below(1 << 16),
                self.below(1 << 12),
                self.below(1 << 12),
                self.below(1 << 31)
            ),
            'd' => write!(out, "{}", self.below(1200)),
            'z' => write!(out, "{}", [0, 7, 70, 700][self.below(4) as usize]),
            'f' => write!(out, "{}.{:03}", self.below(40), self.below(1000)),
            'g' => write!(out, "{}.{}", self.below(40), 1 + self.below(9)),
            'p' => write!(out, "{:05}", self.below(2000)),
            's' => write!(out, "{}", ["", "7", "07", "a7"][self.below(4) as usize]),
            'l' => write!(out, "{}", ["info", "WARN", "error"][self.below(3) as usize]),
            _ => {
                for i in 0..self.below(4) {
                    let space = if i > 0 { " " } else { "" };
                    let _ = write!(out, "{space}{}", words[self.below(8) as usize]);
                }
                Ok(())
            }
        };
    }

    fn line(&mut self, template: &str, t_ns: i64) -> Vec<u8> {
        let mut line = String::new();
        let mut chars = template.chars();
        while let Some(c) = chars.next() {
            match c {
                '%' => self.value(chars.next().unwrap_or('w'), t_ns, &mut line),
                c => line.push(c),
            }
        }
        line.into_bytes()
    }

    /// Returns a part of a line, mostly a short one, some with another byte in it.
    fn needle(&mut self, lines: &[Vec<u8>]) -> Needle {
        let line = &lines[self.below(lines.len() as u64) as usize];
        let start = self.below(line.len() as u64 + 1) as usize;
        let most = [3, 6, 12, 40, 400][self.below(5) as usize];
        let len = (self.below(most) as usize).min(line.len() - start);
        let mut text = line[start..start + len].to_vec();
        if !text.is_empty() && self.below(4) == 0 {
            let at = self.below(text.len() as u64) as usize;
            text[at] = b"0123456789abcf\"-:. }"[self.below(20) as usize];
        }
        match self.below(3) {
            0 => Needle::folded(&text.to_ascii_uppercase()),
            _ => Needle::new(&text),
        }
    }
}

/// Writes lines to a part of one stream.
fn part(dir: &Arc<dyn Dir>, lines: &[(i64, Vec<u8>)]) -> PartReader {
    let mut writer = PartWriter::create(dir, "a", Effort::Flush).unwrap();
    let stream = writer.stream(&Labels::from_pairs([("app", "a")]));
    for (t_ns, line) in lines {
        writer.push(stream, *t_ns, line, []).unwrap();
    }
    writer.finish().unwrap();
    PartReader::open(dir, "a").unwrap()
}

fn find(part: &PartReader, needle: &Needle) -> BTreeSet<usize> {
    let sets = [vec![needle.clone()]];
    let filter = RowFilter {
        needles: &sets,
        ..RowFilter::all()
    };
    let mut found = BTreeSet::new();
    let pages = part.group(0).unwrap().pages(&filter, |page, rows| {
        let start = page.rows().start;
        found.extend(rows.iter().map(|(row, _)| start + *row as usize));
        Ok::<(), PartError>(())
    });
    pages.unwrap();
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn a_search_finds_what_a_plain_one_does(
        seed: u64,
        templates in prop::collection::vec(0..TEMPLATES.len(), 1..4),
        n in 1usize..400,
        step_ns in prop_oneof![Just(0i64), Just(1_000_000), Just(77_654_321)],
    ) {
        let mut random = Random(seed);
        let mut lines = Vec::new();
        for i in 0..n {
            let t_ns = T_NS + i as i64 * step_ns;
            let template = TEMPLATES[templates[random.below(templates.len() as u64) as usize]];
            lines.push((t_ns, random.line(template, t_ns)));
        }
        let dir: Arc<dyn Dir> = Arc::new(MemoryDir::new("logs"));
        let part = part(&dir, &lines);
        let lines: Vec<Vec<u8>> = lines.into_iter().map(|(_, line)| line).collect();
        for _ in 0..60 {
            let needle = random.needle(&lines);
            let expected: BTreeSet<usize> = (0..n).filter(|&i| needle.is_in(&lines[i])).collect();
            let text = String::from_utf8_lossy(needle.text()).into_owned();
            prop_assert_eq!(find(&part, &needle), expected, "{:?}, folded {}", text, needle.is_folded());
        }
    }
}

#[test]
fn parts_of_the_version_before_are_searched_without_their_filters() {
    let memory = MemoryDir::new("logs");
    let dir: Arc<dyn Dir> = Arc::new(memory.clone());
    let mut random = Random(7);
    let lines: Vec<_> = (0..100)
        .map(|i| (T_NS + i, random.line(TEMPLATES[0], T_NS)))
        .collect();
    part(&dir, &lines);
    let mut bytes = dir.read("a", 1 << 20).unwrap();
    bytes[8] = 1;
    memory.put("b", bytes);
    let part = PartReader::open(&dir, "b").unwrap();
    for (i, (_, line)) in lines.iter().enumerate() {
        assert!(find(&part, &Needle::new(&line[30..70])).contains(&i));
    }
    assert!(find(&part, &Needle::new(b"4bf92f3577b34da6a3ce929d0e0e4736")).is_empty());
}

#[test]
fn of_a_long_text_all_counts() {
    let long = "a".repeat(3 * needle::MAX_IN_VALUES);
    let texts = [
        format!("{long}b"),
        format!("{long}c"),
        format!("{long},"),
        long[..needle::MAX_IN_VALUES].to_owned(),
    ];
    let line = |text: &String| (T_NS, format!(r#"{{"a":"{text}","b":"x"}}"#).into_bytes());
    let lines: Vec<_> = texts.iter().map(line).collect();
    let dir: Arc<dyn Dir> = Arc::new(MemoryDir::new("logs"));
    let part = part(&dir, &lines);
    let found = |needle: &Needle| find(&part, needle).into_iter().collect::<Vec<_>>();
    assert_eq!(found(&Needle::new(texts[1].as_bytes())), [1]);
    assert_eq!(
        found(&Needle::folded(texts[1].to_uppercase().as_bytes())),
        [1]
    );
    assert_eq!(found(&Needle::new(long.as_bytes())), [0, 1, 2]);
    assert_eq!(
        found(&Needle::new(format!("{long}b\",\"b\":\"x").as_bytes())),
        [0]
    );
    assert_eq!(
        found(&Needle::new(&long.as_bytes()[..needle::MAX_IN_VALUES])),
        [0, 1, 2, 3]
    );
    assert!(found(&Needle::new(format!("{long}d").as_bytes())).is_empty());
}
