//! A file that is written once, from front to back.

use std::sync::Arc;

use super::Result;
use crate::codec::crc;
use crate::fs::{AppendFile, Dir};

/// Bytes that are collected before they go to the file.
const BUFFER_BYTES: usize = 1 << 20;

/// A new file with a buffer, which knows its position and sums sections up.
#[derive(Debug)]
pub(super) struct Output {
    file: Arc<dyn AppendFile>,
    buffer: Vec<u8>,
    flushed: u64,
    sum: u32,
}

impl Output {
    pub(super) fn create(dir: &dyn Dir, name: &str) -> Result<Output> {
        Ok(Output {
            file: dir.create(name)?,
            buffer: Vec::new(),
            flushed: 0,
            sum: 0,
        })
    }

    /// Returns the offset of the next byte.
    pub(super) fn position(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes bytes of a section that ends with [`Output::end_section`].
    pub(super) fn write_summed(&mut self, bytes: &[u8]) -> Result<()> {
        self.sum = crc::castagnoli_on(self.sum, bytes);
        self.write(bytes)
    }

    /// Writes the checksum of all that was summed since the last one.
    pub(super) fn end_section(&mut self) -> Result<()> {
        let sum = std::mem::take(&mut self.sum);
        self.write(&sum.to_be_bytes())
    }

    /// Writes zeroes up to a multiple of `align_bytes`, at most 16.
    pub(super) fn pad(&mut self, align_bytes: u64) -> Result<()> {
        let behind = self.position() % align_bytes;
        if behind > 0 {
            self.write(&[0; 16][..(align_bytes - behind) as usize])?;
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.file.append(&self.buffer)?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Makes the file durable; returns its length.
    pub(super) fn finish(mut self) -> Result<u64> {
        self.flush()?;
        self.file.sync()?;
        Ok(self.flushed)
    }
}
