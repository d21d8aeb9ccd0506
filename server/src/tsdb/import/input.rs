//! Where the text of an import comes from: a file or standard input, plain or packed.
//!
//! How it is packed, and what it is, is told by its first bytes. Lines are handed out one
//! at a time, and none is longer than a bound.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use anyhow::Context;
use flate2::bufread::MultiGzDecoder;

/// The word for standard input.
pub(super) const STDIN: &str = "-";

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// How much of a text is looked at to tell what it is.
const LOOK_BYTES: u64 = 4096;

const BUFFER_BYTES: usize = 256 << 10;

/// A text that has not been read yet, and how it begins.
pub(super) struct Input {
    pub(super) name: String,
    pub(super) beginning: Vec<u8>,
    text: Box<dyn BufRead>,
}

impl Input {
    /// Opens `path`, and unpacks it where it is packed.
    pub(super) fn open(path: &Path) -> anyhow::Result<Input> {
        let is_stdin = path.as_os_str() == STDIN;
        let name = match is_stdin {
            true => "standard input".to_owned(),
            false => path.display().to_string(),
        };
        let opened: io::Result<Box<dyn Read>> = match is_stdin {
            true => Ok(Box::new(io::stdin())),
            false => File::open(path).map(|file| Box::new(file) as Box<dyn Read>),
        };
        let raw = opened.with_context(|| format!("open {name}"))?;
        Input::of(name.clone(), raw).with_context(|| format!("read {name}"))
    }

    /// Takes bytes, and unpacks them where they are packed.
    pub(super) fn of(name: String, raw: Box<dyn Read>) -> io::Result<Input> {
        let (magic, packed) = look(raw, ZSTD.len() as u64)?;
        let plain: Box<dyn Read> = if magic.starts_with(GZIP) {
            Box::new(MultiGzDecoder::new(packed))
        } else if magic.starts_with(ZSTD) {
            Box::new(zstd::Decoder::with_buffer(packed)?)
        } else {
            Box::new(packed)
        };
        let (beginning, text) = look(plain, LOOK_BYTES)?;
        Ok(Input {
            name,
            beginning,
            text,
        })
    }

    /// Begins to read lines of at most `max_bytes`.
    pub(super) fn into_lines(self, max_bytes: usize) -> Lines {
        Lines {
            text: self.text,
            max_bytes,
            number: 0,
            line: Vec::new(),
        }
    }
}

/// Reads the first `n_bytes`, and returns them beside the whole.
fn look(mut raw: Box<dyn Read>, n_bytes: u64) -> io::Result<(Vec<u8>, Box<dyn BufRead>)> {
    let mut beginning = Vec::new();
    raw.by_ref().take(n_bytes).read_to_end(&mut beginning)?;
    let whole = Cursor::new(beginning.clone()).chain(BufReader::with_capacity(BUFFER_BYTES, raw));
    Ok((beginning, Box::new(whole)))
}

/// What stands in a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// The bytes, without the newline.
    Text(&'a [u8]),
    /// More bytes than are taken; they are passed over.
    TooLong,
}

/// Reads lines.
pub(super) struct Lines {
    text: Box<dyn BufRead>,
    max_bytes: usize,
    number: u64,
    line: Vec<u8>,
}

impl Lines {
    /// Returns the number of the line that was read last; the first is 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Reads the next line; `None` after the last.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let bound = self.max_bytes as u64 + 1;
        let part = &mut (&mut self.text).take(bound);
        if part.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if self.line.len() > self.max_bytes {
            self.text.skip_until(b'\n')?;
            return Ok(Some(Line::TooLong));
        }
        Ok(Some(Line::Text(&self.line)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn lines(bytes: Vec<u8>, max_bytes: usize) -> io::Result<Vec<String>> {
        let input = Input::of("x".to_owned(), Box::new(Cursor::new(bytes)))?;
        let mut lines = input.into_lines(max_bytes);
        let mut found = Vec::new();
        while let Some(line) = lines.next_line()? {
            found.push(match line {
                Line::Text(text) => String::from_utf8_lossy(text).into_owned(),
                Line::TooLong => "too long".to_owned(),
            });
        }
        assert_eq!(lines.number(), found.len() as u64);
        Ok(found)
    }

    #[test]
    fn packed_texts_read_like_plain_ones() {
        let text = "first\n\nthe third\nlast";
        let expected = ["first", "", "the third", "last"];
        let mut gzip = Vec::new();
        // Two members in a row, as log rotation leaves them.
        for part in [&text[..9], &text[9..]] {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(part.as_bytes()).unwrap();
            gzip.extend(encoder.finish().unwrap());
        }
        let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
        for bytes in [text.as_bytes().to_vec(), gzip.clone(), zstd.clone()] {
            assert_eq!(lines(bytes, 100).unwrap(), expected);
        }
        for cut in [gzip, zstd] {
            lines(cut[..cut.len() - 5].to_vec(), 100).unwrap_err();
        }
        assert!(lines(Vec::new(), 100).unwrap().is_empty());
    }

    #[test]
    fn a_line_above_the_bound_is_passed_over() {
        let long = "x".repeat(10_000);
        let text = format!("ten bytes!\n{long}\neleven byte\n12345\n{long}");
        let found = lines(text.into_bytes(), 10).unwrap();
        let expected = ["ten bytes!", "too long", "too long", "12345", "too long"];
        assert_eq!(found, expected);
    }
}
