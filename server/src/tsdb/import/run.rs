//! A sorted run of samples in a file that has no name, and so goes with the process.
//!
//! ```text
//! | window | labels | len | name | len | value | ... | points | time | value | ...
//! ```
//!
//! Numbers are little-endian: window, times and values have eight bytes, counts and
//! lengths four. The whole is one frame of zstd.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::Path;

use anyhow::Context;
use kymo_storage::model::{Labels, LabelsBuilder};

/// Time in milliseconds, and value.
pub(super) type Point = (i64, f64);

/// The samples of a series in one window of time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    /// Number of the window.
    pub(super) window: i64,
    pub(super) labels: Labels,
    /// In order of time, each time once.
    pub(super) points: Vec<Point>,
}

/// The fastest level: times and values shrink well at any.
const LEVEL: i32 = 1;

/// Points that room is made for before any is read.
const FIRST_POINTS: usize = 4096;

/// Writes a run.
pub(super) struct RunWriter {
    out: zstd::Encoder<'static, File>,
    bytes: Vec<u8>,
    n_pieces: u64,
}

impl RunWriter {
    /// Begins a run in a file of the directory `dir`.
    pub(super) fn create(dir: &Path) -> anyhow::Result<RunWriter> {
        let file = tempfile::tempfile_in(dir)
            .with_context(|| format!("create a file for sorting in {}", dir.display()))?;
        Ok(RunWriter {
            out: zstd::Encoder::new(file, LEVEL)?,
            bytes: Vec::new(),
            n_pieces: 0,
        })
    }

    /// Appends a piece; pieces come in order of window and labels.
    pub(super) fn push(
        &mut self,
        window: i64,
        labels: &Labels,
        points: &[Point],
    ) -> anyhow::Result<()> {
        self.bytes.clear();
        self.bytes.extend_from_slice(&window.to_le_bytes());
        self.push_count(labels.len())?;
        for (name, value) in labels {
            for text in [name, value] {
                self.push_count(text.len())?;
                self.bytes.extend_from_slice(text.as_bytes());
            }
        }
        self.push_count(points.len())?;
        for (t_ms, value) in points {
            self.bytes.extend_from_slice(&t_ms.to_le_bytes());
            self.bytes.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        self.n_pieces += 1;
        self.out
            .write_all(&self.bytes)
            .context("write a sorted run")
    }

    fn push_count(&mut self, count: usize) -> anyhow::Result<()> {
        let count = u32::try_from(count).context("more of one series than can be sorted")?;
        self.bytes.extend_from_slice(&count.to_le_bytes());
        Ok(())
    }

    /// Ends the run, and goes to its beginning.
    pub(super) fn finish(self) -> anyhow::Result<RunReader> {
        let mut file = self.out.finish().context("write a sorted run")?;
        file.rewind()?;
        Ok(RunReader {
            text: zstd::Decoder::new(file)?,
            left: self.n_pieces,
            builder: LabelsBuilder::new(),
        })
    }
}

/// Reads a run.
pub(super) struct RunReader {
    text: zstd::Decoder<'static, BufReader<File>>,
    /// Pieces that are not read yet.
    left: u64,
    builder: LabelsBuilder,
}

impl RunReader {
    /// Reads the next piece; `None` after the last.
    pub(super) fn next_piece(&mut self) -> anyhow::Result<Option<Piece>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.read_piece().map(Some).context("read a sorted run")
    }

    fn read_piece(&mut self) -> io::Result<Piece> {
        let window = i64::from_le_bytes(self.array()?);
        self.builder.clear();
        for _ in 0..self.count()? {
            let (name, value) = (self.string()?, self.string()?);
            self.builder.set(&name, &value);
        }
        let n_points = self.count()? as usize;
        let mut points = Vec::with_capacity(n_points.min(FIRST_POINTS));
        for _ in 0..n_points {
            let t_ms = i64::from_le_bytes(self.array()?);
            points.push((t_ms, f64::from_bits(u64::from_le_bytes(self.array()?))));
        }
        Ok(Piece {
            window,
            labels: self.builder.labels(),
            points,
        })
    }

    fn count(&mut self) -> io::Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn string(&mut self) -> io::Result<String> {
        let len = u64::from(self.count()?);
        let mut text = String::new();
        match (&mut self.text).take(len).read_to_string(&mut text)? as u64 == len {
            true => Ok(text),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.text.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
