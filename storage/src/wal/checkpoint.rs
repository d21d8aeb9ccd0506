//! The series of segments that are about to be dropped.
//!
//! Checkpoint number `s` holds every series that samples of segment `s` or later may
//! refer to and that no segment from `s` on defines. It is written beside the log
//! while commits go on, becomes visible by a rename once it is durable, and only then
//! do the segments below `s` go. A crash at any moment leaves either the old segments
//! or the checkpoint.

use std::sync::Arc;

use super::format::{
    FileKind, FrameKind, HEADER_BYTES, Header, MAX_BODY_BYTES, MAX_SERIES, VERSION, begin_frame,
    finish_frame,
};
use super::repair::TEMPORARY;
use super::series::{MAX_SERIES_PER_FRAME, SeriesEncoder};
use super::{WalError, writer::FRAME_TARGET_BYTES};
use crate::fs::{AppendFile, Dir};

/// Writes a checkpoint; dropped without [`CheckpointWriter::finish`] it leaves the log
/// as it was.
#[derive(Debug)]
pub struct CheckpointWriter {
    dir: Arc<dyn Dir>,
    seq: u64,
    file: Arc<dyn AppendFile>,
    encoder: SeriesEncoder,
    buffer: Vec<u8>,
    n_series: u64,
}

/// A durable checkpoint, for [`Wal::end_truncation`](super::Wal::end_truncation).
#[derive(Debug)]
#[must_use = "the segments it replaces are still there"]
pub struct CheckpointDone {
    pub(super) seq: u64,
}

impl CheckpointWriter {
    pub(super) fn create(dir: Arc<dyn Dir>, shard: u32, seq: u64) -> Result<Self, WalError> {
        let name = temporary_name(seq);
        match dir.remove(&name) {
            Err(e) if !e.is_not_found() => return Err(e.into()),
            _ => {}
        }
        let file = dir.create(&name)?;
        let header = Header {
            version: VERSION,
            kind: FileKind::Checkpoint,
            shard,
            seq,
        };
        let buffer = header.encode().to_vec();
        debug_assert_eq!(buffer.len(), HEADER_BYTES);
        Ok(CheckpointWriter {
            dir,
            seq,
            file,
            encoder: SeriesEncoder::default(),
            buffer,
            n_series: 0,
        })
    }

    /// Adds a series that is still in use.
    ///
    /// # Errors
    /// [`WalError::Fs`] from the disk, [`WalError::TooLarge`] for what
    /// [`Wal::series`](super::Wal::series) would refuse.
    pub fn series<'a>(
        &mut self,
        id: u32,
        labels: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) -> Result<(), WalError> {
        check_series(id, labels.clone())?;
        self.encoder.push(id, labels);
        self.n_series += 1;
        if self.encoder.len() == MAX_SERIES_PER_FRAME
            || self.encoder.len_bytes() >= FRAME_TARGET_BYTES
        {
            self.write_frame()?;
        }
        Ok(())
    }

    fn write_frame(&mut self) -> Result<(), WalError> {
        if self.encoder.len() > 0 {
            let n = self.encoder.len() as u16;
            let start = begin_frame(&mut self.buffer);
            self.encoder.finish(&mut self.buffer);
            finish_frame(&mut self.buffer, start, FrameKind::Series, 0, n);
        }
        self.file.append(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// Makes the checkpoint durable and visible.
    ///
    /// # Errors
    /// [`WalError::Fs`]; the log is then as before.
    pub fn finish(mut self) -> Result<CheckpointDone, WalError> {
        self.write_frame()?;
        let start = begin_frame(&mut self.buffer);
        self.buffer.extend_from_slice(&self.n_series.to_le_bytes());
        finish_frame(&mut self.buffer, start, FrameKind::CheckpointEnd, 0, 1);
        self.file.append(&self.buffer)?;
        self.file.sync()?;
        self.dir.rename(
            &temporary_name(self.seq),
            &FileKind::Checkpoint.name(self.seq),
        )?;
        self.dir.sync()?;
        Ok(CheckpointDone { seq: self.seq })
    }
}

fn temporary_name(seq: u64) -> String {
    format!("{}{TEMPORARY}", FileKind::Checkpoint.name(seq))
}

/// Refuses what a series record cannot hold.
pub(super) fn check_series<'a>(
    id: u32,
    labels: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<(), WalError> {
    if id >= MAX_SERIES {
        let (found, limit) = (u64::from(id), u64::from(MAX_SERIES - 1));
        return Err(WalError::TooLarge {
            what: "series number",
            found,
            limit,
        });
    }
    // Twice ten bytes per label bound its lengths and indexes.
    let len_bytes: usize = labels
        .map(|(name, value)| name.len() + value.len() + 20)
        .sum();
    let limit = MAX_BODY_BYTES - FRAME_TARGET_BYTES - 64;
    if len_bytes > limit {
        let (found, limit) = (len_bytes as u64, limit as u64);
        return Err(WalError::TooLarge {
            what: "label set",
            found,
            limit,
        });
    }
    Ok(())
}
