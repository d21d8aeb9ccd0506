//! Bytes become lines: ends are found, long lines are bounded, encodings become UTF-8.
//!
//! Invariant: every byte that is taken in is part of one line or of what is left over, and
//! no more than one line of the longest length is kept.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use memchr::memchr_iter;

/// Longest line where no limit is set, in bytes: longer ones are cut into several.
pub(super) const LONGEST_LINE_BYTES: usize = 1 << 20;

/// What becomes of lines that are longer than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LongLines {
    /// They become several.
    #[default]
    Split,
    /// What is too much of them is left out.
    Truncate,
    /// They are left out.
    Drop,
}

/// How lines are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineOptions {
    /// Name of the encoding; empty for bytes that stay as they are.
    pub encoding: String,
    /// Longest line in bytes.
    pub longest: usize,
    /// What becomes of longer ones.
    pub long: LongLines,
}

impl Default for LineOptions {
    fn default() -> LineOptions {
        LineOptions {
            encoding: String::new(),
            longest: LONGEST_LINE_BYTES,
            long: LongLines::Split,
        }
    }
}

/// Finds an encoding by its name.
///
/// # Errors
/// There is none of the name.
pub fn encoding_by_name(name: &str) -> Result<Option<&'static Encoding>, String> {
    if name.is_empty() {
        return Ok(None);
    }
    match Encoding::for_label(name.as_bytes()) {
        Some(encoding) if encoding == UTF_8 => Ok(None),
        Some(encoding) => Ok(Some(encoding)),
        None => Err(format!("there is no encoding named \"{name}\"")),
    }
}

/// A line with its place.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it starts.
    pub from: u64,
    /// Where what follows it starts.
    pub to: u64,
    /// Its bytes, as UTF-8 where an encoding is set; `None` for one that is left out.
    pub bytes: Option<Vec<u8>>,
}

/// Cuts what is read into lines.
#[derive(Debug)]
pub struct Lines {
    encoding: Option<&'static Encoding>,
    longest: usize,
    long: LongLines,
    /// What follows the last line that was given.
    rest: Vec<u8>,
    /// Bytes of `rest` in which no end is.
    searched: usize,
    /// Where `rest` starts.
    from: u64,
    /// Where the line starts of which too much was read already, and what is kept of it.
    over: Option<(u64, Vec<u8>)>,
}

impl Lines {
    /// Returns one for bytes that start at a place of their source.
    pub fn new(options: &LineOptions, from: u64) -> Lines {
        let encoding = encoding_by_name(&options.encoding).unwrap_or(None);
        let longest = options.longest.clamp(1, LONGEST_LINE_BYTES);
        Lines {
            encoding,
            // Whole characters of wide encodings.
            longest: match encoding {
                Some(_) => (longest & !1).max(2),
                None => longest,
            },
            long: options.long,
            rest: Vec::new(),
            searched: 0,
            from,
            over: None,
        }
    }

    /// Returns where the first line starts that was not given yet.
    pub(super) fn start(&self) -> u64 {
        match &self.over {
            Some((from, _)) => *from,
            None => self.from,
        }
    }

    /// Returns where reading goes on.
    pub(super) fn end(&self) -> u64 {
        self.from + self.rest.len() as u64
    }

    /// Takes bytes in, and adds the lines that end within them to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Line>) {
        self.rest.extend_from_slice(bytes);
        let mut used = 0;
        let ends: Vec<(usize, usize)> = self.ends();
        for (end, behind) in ends {
            let line = self.rest[used..end].to_vec();
            let at = self.from + used as u64;
            self.give(at, line, self.from + behind as u64, out);
            used = behind;
        }
        self.rest.drain(..used);
        self.from += used as u64;
        self.searched = self.rest.len();
        self.bound(out);
    }

    /// Gives what is left as a line: nothing follows it any more.
    pub fn finish(&mut self, out: &mut Vec<Line>) {
        if self.rest.is_empty() && self.over.is_none() {
            return;
        }
        let line = std::mem::take(&mut self.rest);
        let (from, to) = (self.from, self.from + line.len() as u64);
        self.from = to;
        self.searched = 0;
        self.give(from, line, to, out);
    }

    /// Gives the part of what is left that lies in front of a place as a line.
    pub(super) fn cut_at(&mut self, place: u64, out: &mut Vec<Line>) {
        let len = usize::try_from(place.saturating_sub(self.from)).unwrap_or(usize::MAX);
        if len == 0 && self.over.is_none() || len > self.rest.len() {
            return;
        }
        let behind = self.rest.split_off(len);
        let line = std::mem::replace(&mut self.rest, behind);
        let from = self.from;
        self.from = place;
        self.searched = 0;
        self.give(from, line, place, out);
    }

    /// Returns where lines end in what is left, and where the next ones start.
    fn ends(&self) -> Vec<(usize, usize)> {
        let new = &self.rest[self.searched..];
        let wide = |end: usize| end.is_multiple_of(2).then_some((end, end + 2));
        match self.encoding {
            Some(encoding) if encoding == UTF_16LE || encoding == UTF_16BE => {
                // Both bytes of the end must be there, and the first at an even place.
                let first = self.searched.saturating_sub(1);
                let newline: [u8; 2] = if encoding == UTF_16LE {
                    *b"\n\0"
                } else {
                    *b"\0\n"
                };
                memchr::memmem::find_iter(&self.rest[first..], &newline)
                    .filter_map(|at| wide(at + first))
                    .collect()
            }
            _ => memchr_iter(b'\n', new)
                .map(|at| (at + self.searched, at + self.searched + 1))
                .collect(),
        }
    }

    fn give(&mut self, from: u64, line: Vec<u8>, to: u64, out: &mut Vec<Line>) {
        let (from, line) = match self.over.take() {
            // The end of a line that was too long already.
            Some((from, kept)) => (from, kept),
            None if line.len() > self.longest => {
                if self.long == LongLines::Split {
                    return self.split(from, &line, to, out);
                }
                let mut line = line;
                line.truncate(self.longest);
                (from, line)
            }
            None => {
                let bytes = Some(self.decode(line));
                out.push(Line { from, to, bytes });
                return;
            }
        };
        let bytes = (self.long == LongLines::Truncate).then(|| self.decode(line));
        out.push(Line { from, to, bytes });
    }

    fn split(&self, from: u64, line: &[u8], to: u64, out: &mut Vec<Line>) {
        let mut at = from;
        let mut pieces = line.chunks(self.longest).peekable();
        while let Some(piece) = pieces.next() {
            let end = at + piece.len() as u64;
            let last = pieces.peek().is_none();
            out.push(Line {
                from: at,
                to: if last { to } else { end },
                bytes: Some(self.decode(piece.to_vec())),
            });
            at = end;
        }
    }

    /// Keeps what is left within the longest line.
    fn bound(&mut self, out: &mut Vec<Line>) {
        if self.long == LongLines::Split {
            while self.rest.len() > self.longest {
                self.cut_at(self.from + self.longest as u64, out);
            }
        } else if self.rest.len() > self.longest {
            let read = std::mem::take(&mut self.rest);
            let from = self.from;
            self.from += read.len() as u64;
            self.over.get_or_insert_with(|| {
                let mut kept = read;
                kept.truncate(self.longest);
                (from, kept)
            });
        }
        self.searched = self.rest.len();
    }

    fn decode(&self, line: Vec<u8>) -> Vec<u8> {
        match self.encoding {
            None => line,
            Some(encoding) => {
                let (text, _) = encoding.decode_without_bom_handling(&line);
                let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
                text.as_bytes().to_vec()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn options(encoding: &str, longest: usize, long: LongLines) -> LineOptions {
        LineOptions {
            encoding: encoding.to_owned(),
            longest,
            long,
        }
    }

    fn read(options: &LineOptions, chunks: &[&[u8]]) -> Vec<Line> {
        let mut lines = Lines::new(options, 0);
        let mut out = Vec::new();
        for chunk in chunks {
            lines.push(chunk, &mut out);
        }
        lines.finish(&mut out);
        out
    }

    fn shown(options: &LineOptions, chunks: &[&[u8]]) -> String {
        let lines = read(options, chunks);
        let lines = lines.iter().map(|line| match &line.bytes {
            Some(bytes) => format!(
                "{}-{}:{}",
                line.from,
                line.to,
                String::from_utf8_lossy(bytes)
            ),
            None => format!("{}-{}!", line.from, line.to),
        });
        lines.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn lines_are_cut_wherever_reads_end() {
        let plain = LineOptions::default();
        assert_eq!(
            shown(&plain, &[b"a\nb", b"c\n\n", b"d\r\n", b"e"]),
            "0-2:a 2-5:bc 5-6: 6-9:d\r 9-10:e"
        );
    }

    #[test]
    fn long_lines_are_split_truncated_or_dropped() {
        let chunks: [&[u8]; 4] = [b"abc", b"defgh\n", b"x\nabcdef\n", b"y\n"];
        for (long, expected) in [
            (
                LongLines::Split,
                "0-4:abcd 4-9:efgh 9-11:x 11-15:abcd 15-18:ef 18-20:y",
            ),
            (LongLines::Truncate, "0-9:abcd 9-11:x 11-18:abcd 18-20:y"),
            (LongLines::Drop, "0-9! 9-11:x 11-18! 18-20:y"),
        ] {
            assert_eq!(shown(&options("", 4, long), &chunks), expected);
        }
    }

    #[test]
    fn encodings_become_utf8() {
        let wide: Vec<u8> = "\u{feff}aĊ\nb\n"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let expected = "0-8:aĊ 8-12:b";
        assert_eq!(
            shown(&options("utf-16le", 100, LongLines::Split), &[&wide]),
            expected
        );
        let bytes: Vec<&[u8]> = wide.chunks(1).collect();
        assert_eq!(
            shown(&options("UTF-16LE", 100, LongLines::Split), &bytes),
            expected
        );
        assert_eq!(
            shown(&options("latin1", 100, LongLines::Split), &[b"\xe9\n"]),
            "0-2:é"
        );
        assert_eq!(
            shown(&options("", 100, LongLines::Split), &[b"\xe9\n"]),
            "0-2:\u{fffd}"
        );
        assert!(encoding_by_name("klingon").is_err());
    }

    proptest! {
        #[test]
        fn however_bytes_come_the_lines_are_the_same(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'a'), any::<u8>()], 0..60),
            cuts in proptest::collection::vec(0usize..60, 0..6),
            longest in 1usize..12,
            long in prop_oneof![Just(LongLines::Split), Just(LongLines::Truncate), Just(LongLines::Drop)],
        ) {
            let options = options("", longest, long);
            let whole = read(&options, &[&text]);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([text.len()]) {
                chunks.push(&text[from..cut]);
                from = cut;
            }
            prop_assert_eq!(&read(&options, &chunks), &whole);
            // Every byte belongs to one line.
            let mut at = 0;
            for line in &whole {
                prop_assert_eq!(line.from, at);
                at = line.to;
            }
            prop_assert_eq!(at, text.len() as u64);
        }
    }
}
