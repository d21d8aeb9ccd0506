//! What the log remembers per series to code the next value against.
//!
//! Writer and reader run the same machine over the same values, so nothing of it is
//! stored. A lane is the last value and one state byte: the exponent at which the
//! series' values are decimals (`codec::decimal`), and how many values in a row were
//! not. A value is coded as the difference of two such integers where it can, else as
//! its eight raw bytes, from which both sides learn the exponent anew.
//!
//! Stale markers leave the lane alone: the series may go on where it was.

use crate::codec::{decimal, varint};

const UNSEEN: u8 = 0xff;
/// Failures are counted in the state's upper three bits, up to this.
const MAX_FAILURES: u8 = 6;
/// After so many raw values in a row no exponent is searched for any more: full
/// doubles would pay the search for every sample.
const SEARCH_FAILURES: u8 = 4;

/// The lanes of one segment, by series number.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    bits: Vec<u64>,
    state: Vec<u8>,
}

/// How a value is coded against its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The bits of the last value.
    Same,
    /// Zigzag difference of the scaled integers, never 0.
    Delta(u64),
    /// Nothing to build on.
    Raw,
}

/// A difference that no writer produces.
#[derive(Debug)]
pub(super) struct NoBase;

impl Lanes {
    /// Forgets all values.
    pub(super) fn reset(&mut self) {
        self.state.fill(UNSEEN);
    }

    /// Makes room for series `id`; the caller has checked it against the limit.
    #[inline]
    pub(super) fn ensure(&mut self, id: u32) {
        let id = id as usize;
        if id >= self.state.len() {
            self.state.resize(id + 1, UNSEEN);
            self.bits.resize(id + 1, 0);
        }
    }

    /// Codes `value` and moves the lane of `id`, which [`Lanes::ensure`] made.
    #[inline]
    pub(super) fn step(&mut self, id: u32, value: f64) -> Step {
        let (last, state) = (&mut self.bits[id as usize], &mut self.state[id as usize]);
        let bits = value.to_bits();
        if *state != UNSEEN && *last == bits {
            return Step::Same;
        }
        if *state <= decimal::MAX_EXPONENT
            && let Some(integer) = decimal::scale(value, *state)
        {
            let base = decimal::scale_known(f64::from_bits(*last), *state);
            *last = bits;
            return Step::Delta(varint::zigzag(integer - base));
        }
        *state = after_raw(*state, value);
        *last = bits;
        Step::Raw
    }

    /// Returns the last value of `id` again.
    #[inline]
    pub(super) fn same(&self, id: u32) -> Result<f64, NoBase> {
        match self.state.get(id as usize) {
            Some(&state) if state != UNSEEN => Ok(f64::from_bits(self.bits[id as usize])),
            _ => Err(NoBase),
        }
    }

    /// Undoes [`Step::Delta`].
    #[inline]
    pub(super) fn delta(&mut self, id: u32, zigzag: u64) -> Result<f64, NoBase> {
        let id = id as usize;
        let state = *self.state.get(id).ok_or(NoBase)?;
        if state > decimal::MAX_EXPONENT {
            return Err(NoBase);
        }
        let base = decimal::scale_known(f64::from_bits(self.bits[id]), state);
        let integer = base.wrapping_add(varint::unzigzag(zigzag));
        let value = decimal::unscale(integer, state);
        self.bits[id] = value.to_bits();
        Ok(value)
    }

    /// Undoes [`Step::Raw`]; [`Lanes::ensure`] made the lane.
    #[inline]
    pub(super) fn raw(&mut self, id: u32, value: f64) {
        let state = &mut self.state[id as usize];
        *state = after_raw(*state, value);
        self.bits[id as usize] = value.to_bits();
    }
}

/// Returns the state after `value` was stored raw. A state above the largest exponent
/// (failures in its upper bits) says that the last value is no decimal.
fn after_raw(state: u8, value: f64) -> u8 {
    let (exponent, failures) = match state {
        UNSEEN => (0, 0),
        _ => (state & 0x1f, state >> 5),
    };
    if state != UNSEEN && decimal::scale(value, exponent).is_some() {
        return exponent;
    }
    let found = if failures < SEARCH_FAILURES {
        decimal::exponent_of(value)
    } else {
        None
    };
    found.unwrap_or((failures + 1).min(MAX_FAILURES) << 5 | exponent)
}
