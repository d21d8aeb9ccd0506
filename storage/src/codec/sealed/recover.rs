//! From values to integers: the common exponent, and the positions of the values that
//! are none.
//!
//! ```text
//! positions = count varint | count x gap varint        in ascending order
//! ```

use super::super::bits::varint_len;
use super::super::decimal::{self, common_exponent};
use super::super::{CodecError, varint};
use super::Scratch;
use crate::model::is_stale_marker;

impl Scratch {
    /// Fills `integers`, `stale` and `exceptions`; returns the exponent, or `None` when
    /// too few of the values are decimals.
    pub(super) fn recover(&mut self, values: &[f64], hint: Option<u8>) -> Option<u8> {
        let mut exponent = common_exponent(values, hint)?;
        loop {
            self.scale_all(values, exponent);
            // The few values looked at may have been short ones by chance.
            let larger = self.exceptions.iter().take(4).filter_map(|&at| {
                let found = decimal::exponent_of(values[at])?;
                (found > exponent).then_some(found)
            });
            match larger.max() {
                Some(larger) if self.exceptions.len() * 20 > values.len() => exponent = larger,
                _ => break,
            }
        }
        let decimals = values.len() - self.stale.len() - self.exceptions.len();
        if decimals == 0 {
            return None;
        }
        if decimals < values.len() {
            self.fill_holes();
        }
        Some(exponent)
    }

    /// Gives stale markers and exceptions integers that cost nothing. They repeat the
    /// one before, which is right for all but series that always rise or always fall:
    /// there a difference of 0 would lower the least one, so those go on in step.
    fn fill_holes(&mut self) {
        let mut holes = self.stale.clone();
        holes.extend_from_slice(&self.exceptions);
        holes.sort_unstable();
        let mut is_hole = holes.iter().copied().peekable();
        let mut kept = |at: &usize| is_hole.next_if_eq(at).is_none();
        let (mut least, mut greatest) = (i64::MAX, i64::MIN);
        let mut last = None;
        for at in (0..self.integers.len()).filter(&mut kept) {
            let integer = self.integers[at];
            if let Some(last) = last.replace(integer) {
                least = least.min(integer - last);
                greatest = greatest.max(integer - last);
            }
        }
        let in_step = match (least, greatest) {
            (i64::MAX, _) => return,
            (1.., _) => least,
            (_, ..=-1) => greatest,
            _ => return,
        };
        let integers = &mut self.integers[..];
        for run in holes.chunk_by(|a, b| a + 1 == *b) {
            let (start, end) = (run[0], run[0] + run.len());
            let after = integers.get(end).copied();
            let steps = run.len() as i64 + 1;
            let (before, step) = match (start.checked_sub(1).map(|at| integers[at]), after) {
                (Some(before), Some(after)) => (before, (after - before) / steps),
                (Some(before), None) => (before, in_step),
                (None, Some(after)) => (after - in_step * steps, in_step),
                (None, None) => return,
            };
            for (integer, i) in integers[start..end].iter_mut().zip(1..) {
                *integer = before + step * i;
            }
        }
    }

    fn scale_all(&mut self, values: &[f64], exponent: u8) {
        self.integers.clear();
        self.stale.clear();
        self.exceptions.clear();
        let mut last = None;
        for (at, &value) in values.iter().enumerate() {
            match decimal::scale(value, exponent) {
                Some(integer) => {
                    if last.is_none() {
                        // Positions before the first integer repeat it instead.
                        self.integers.fill(integer);
                    }
                    last = Some(integer);
                }
                None if is_stale_marker(value) => self.stale.push(at),
                None => self.exceptions.push(at),
            }
            self.integers.push(last.unwrap_or(0));
        }
    }

    /// Fills `doubles` with the finite ones of `values`, and `stale` and `exceptions` with
    /// the positions of the others, where the value before stands in. Returns whether
    /// there are finite ones.
    pub(super) fn part_doubles(&mut self, values: &[f64]) -> bool {
        self.doubles.clear();
        self.stale.clear();
        self.exceptions.clear();
        let Some(first) = values.iter().copied().find(|value| value.is_finite()) else {
            return false;
        };
        let mut last = first;
        for (at, &value) in values.iter().enumerate() {
            if value.is_finite() {
                last = value;
            } else if is_stale_marker(value) {
                self.stale.push(at);
            } else {
                self.exceptions.push(at);
            }
            self.doubles.push(last);
        }
        true
    }
}

fn gaps_of(positions: &[usize]) -> impl Iterator<Item = u64> {
    let before = std::iter::once(0).chain(positions.iter().map(|at| at + 1));
    positions
        .iter()
        .zip(before)
        .map(|(at, before)| (at - before) as u64)
}

pub(super) fn positions_len(positions: &[usize]) -> usize {
    if positions.is_empty() {
        return 0;
    }
    varint_len(positions.len() as u64) + gaps_of(positions).map(varint_len).sum::<usize>()
}

pub(super) fn write_positions(positions: &[usize], out: &mut Vec<u8>) {
    if !positions.is_empty() {
        varint::write_u64(out, positions.len() as u64);
        gaps_of(positions).for_each(|gap| varint::write_u64(out, gap));
    }
}

/// Takes positions below `n`, in ascending order.
pub(super) fn read_positions(
    bytes: &mut &[u8],
    n: usize,
    out: &mut Vec<usize>,
) -> Result<(), CodecError> {
    let count = varint::read_u64(bytes)?;
    if count > n as u64 {
        return Err(CodecError::TooMany {
            found: count,
            limit: n as u64,
        });
    }
    let mut next = 0u64;
    for _ in 0..count {
        let at = next.saturating_add(varint::read_u64(bytes)?);
        if at >= n as u64 {
            return Err(CodecError::Invalid("position in a chunk"));
        }
        out.push(at as usize);
        next = at + 1;
    }
    Ok(())
}
