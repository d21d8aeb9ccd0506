//! The bytes of the chunk a series is appending to.
//!
//! ```text
//! chunk = t i64 | value f64 | exponent u8 | tokens          (little-endian)
//! token = control u8 | time bytes | value bytes
//!
//! high nibble of control: the time, against the last distance of two samples
//!   0      the same distance again     1, 2, 3   difference in 1, 2, 4 bytes
//!   4      the distance itself, 8 bytes; the next one is coded against 0
//!   5      a run: one count byte, so many samples at the same distance and value
//! low nibble: the value, against the last value
//!   0      the same bits               1         8 bytes, the bits themselves
//!   2..=6  zigzag difference of the scaled integers in 1, 2, 3, 4, 6 bytes
//!   7      xor: leading zero bytes << 4 | n, n bytes; trailing zero bytes follow
//!   8..=14 xor: the low 1..=7 bytes
//!   15     a new exponent, one byte, and the bits, 8 bytes
//! ```
//!
//! A regular series of short decimals takes two or three bytes a sample, a constant
//! one next to nothing, and both are appended in a few nanoseconds. Every step is
//! exact: a value is coded as a decimal only if that gives its bits back.

use super::decimal;
use crate::model::TimeRange;

/// Exponent of a chunk whose values are no short decimals.
const UNSCALED: u8 = 0xff;
const RUN: u8 = 0x50;
/// Bytes of the first sample.
const FIRST_BYTES: usize = 17;
/// Bytes of what is stored of an [`OpenChunk`] beside its tokens.
pub const STATE_BYTES: usize = 27;

/// The samples stop in the middle of a token, or a token is not possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// What has to be known to append the next sample; 32 bytes. The last sample stays
/// when the chunk is sealed.
#[derive(Debug, Clone, Copy)]
pub struct OpenChunk {
    /// Time of the newest sample in milliseconds.
    pub last_ms: i64,
    /// Bits of the newest value.
    pub last_bits: u64,
    step_ms: i32,
    /// Bytes of the chunk.
    pub len_bytes: u16,
    /// Samples of the chunk; 0 while no chunk is open.
    pub n: u16,
    exponent: u8,
    /// Count of the run that ends the chunk, 0 if none does.
    run: u8,
    /// The owner's; it is here because here is room.
    pub flags: u8,
}

/// What an append does to the bytes of the chunk.
#[derive(Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// Append these bytes.
    Push(&'a [u8]),
    /// Add one to the last byte.
    Increment,
}

/// Room for the longest token.
pub type Scratch = [u8; 32];

struct Token<'a> {
    bytes: &'a mut Scratch,
    len: usize,
}

impl Token<'_> {
    /// Adds the low `n` bytes of a word. Always writes all eight, which is one
    /// instruction; the next ones overwrite what is too much.
    #[inline]
    fn push(&mut self, word: u64, n: usize) {
        self.bytes[self.len..self.len + 8].copy_from_slice(&word.to_le_bytes());
        self.len += n;
    }
}

impl OpenChunk {
    /// No chunk, no sample.
    pub const NEW: OpenChunk = OpenChunk {
        last_ms: 0,
        last_bits: 0,
        step_ms: 0,
        len_bytes: 0,
        n: 0,
        exponent: 0,
        run: 0,
        flags: 0,
    };

    /// Codes a sample that is newer than the last one and moves on.
    #[inline]
    pub fn append<'a>(&mut self, t_ms: i64, value: f64, scratch: &'a mut Scratch) -> Edit<'a> {
        let mut token = Token {
            bytes: scratch,
            len: 0,
        };
        if self.n == 0 {
            self.begin(t_ms, value, &mut token);
        } else {
            token.len = 1;
            let time = self.push_time(t_ms, &mut token);
            let same = value.to_bits() == self.last_bits;
            if time == 0 && same {
                self.last_ms = t_ms;
                self.n += 1;
                return self.repeat(token);
            }
            self.run = 0;
            let kind = if same {
                0
            } else {
                self.push_value(value, &mut token)
            };
            token.bytes[0] = time << 4 | kind;
        }
        self.last_ms = t_ms;
        self.last_bits = value.to_bits();
        self.n += 1;
        self.len_bytes += token.len as u16;
        let Token { bytes, len } = token;
        Edit::Push(&bytes[..len])
    }

    /// Returns the exponent at which the values of the chunk are integers, where they
    /// are short decimals.
    pub fn exponent(&self) -> Option<u8> {
        (self.exponent != UNSCALED).then_some(self.exponent)
    }

    /// Returns time and bits of the newest sample up to `end_ms`, where it is in this
    /// chunk, whose bytes are given, or is the newest of all.
    #[inline]
    pub fn newest_until(&self, bytes: &[u8], end_ms: i64) -> Option<(i64, u64)> {
        if self.last_ms <= end_ms {
            return Some((self.last_ms, self.last_bits));
        }
        // Damage is told to whoever reads the chunk.
        newest_until(bytes, self.n, end_ms).ok()?
    }

    /// Forgets the bytes and keeps the last sample.
    pub fn clear(&mut self) {
        self.n = 0;
        self.len_bytes = 0;
        self.run = 0;
    }

    /// Returns what [`OpenChunk::from_state`] makes the same chunk of.
    pub fn state(&self) -> [u8; STATE_BYTES] {
        let mut state = [0; STATE_BYTES];
        state[..8].copy_from_slice(&self.last_ms.to_le_bytes());
        state[8..16].copy_from_slice(&self.last_bits.to_le_bytes());
        state[16..20].copy_from_slice(&self.step_ms.to_le_bytes());
        state[20..22].copy_from_slice(&self.len_bytes.to_le_bytes());
        state[22..24].copy_from_slice(&self.n.to_le_bytes());
        state[24..].copy_from_slice(&[self.exponent, self.run, self.flags]);
        state
    }

    /// Reads a state, whose bytes begin `tokens`. `None` where it cannot go on from
    /// there; that the tokens are what it says is found out by reading them.
    #[inline]
    pub fn from_state(state: &[u8; STATE_BYTES], tokens: &[u8]) -> Option<OpenChunk> {
        let open = OpenChunk {
            last_ms: i64::from_le_bytes(*state.first_chunk()?),
            last_bits: u64::from_le_bytes(*state[8..].first_chunk()?),
            step_ms: i32::from_le_bytes(*state[16..].first_chunk()?),
            len_bytes: u16::from_le_bytes(*state[20..].first_chunk()?),
            n: u16::from_le_bytes(*state[22..].first_chunk()?),
            exponent: state[24],
            run: state[25],
            flags: state[26],
        };
        let tokens = tokens.get(..usize::from(open.len_bytes))?;
        let begun = if open.n == 0 {
            tokens.is_empty() && open.run == 0
        } else {
            tokens.len() >= FIRST_BYTES
        };
        let later = tokens.get(FIRST_BYTES..).unwrap_or_default();
        let in_run = open.run == 0 || later.ends_with(&[RUN, open.run]);
        let scaled = open.exponent <= decimal::MAX_EXPONENT || open.exponent == UNSCALED;
        (begun && in_run && scaled && open.step_ms >= 0).then_some(open)
    }

    fn begin(&mut self, t_ms: i64, value: f64, token: &mut Token<'_>) {
        // The exponent of the chunk before is a good guess, the smallest one is not
        // needed.
        if self.exponent == UNSCALED || decimal::scale(value, self.exponent).is_none() {
            self.exponent = decimal::exponent_of(value).unwrap_or(UNSCALED);
        }
        self.step_ms = 0;
        self.run = 0;
        token.push(t_ms as u64, 8);
        token.push(value.to_bits(), 8);
        token.push(u64::from(self.exponent), 1);
    }

    /// Codes the last value at the same distance once more.
    fn repeat<'a>(&mut self, token: Token<'a>) -> Edit<'a> {
        if (1..u8::MAX).contains(&self.run) {
            self.run += 1;
            return Edit::Increment;
        }
        self.run = 1;
        self.len_bytes += 2;
        token.bytes[..2].copy_from_slice(&[RUN, 1]);
        Edit::Push(&token.bytes[..2])
    }

    /// Adds the time bytes and returns the high nibble.
    #[inline]
    fn push_time(&mut self, t_ms: i64, token: &mut Token<'_>) -> u8 {
        let step_ms = t_ms.wrapping_sub(self.last_ms);
        let Ok(step) = i32::try_from(step_ms) else {
            self.step_ms = 0;
            token.push(step_ms as u64, 8);
            return 4;
        };
        // Both are between 0 and `i32::MAX`, so the difference cannot overflow.
        let change = step.wrapping_sub(self.step_ms);
        self.step_ms = step;
        if change == 0 {
            return 0;
        }
        let (kind, width) = if i8::try_from(change).is_ok() {
            (1, 1)
        } else if i16::try_from(change).is_ok() {
            (2, 2)
        } else {
            (3, 4)
        };
        token.push(change as u64, width);
        kind
    }

    /// Adds the value bytes and returns the low nibble. The value is not the last one.
    #[inline]
    fn push_value(&mut self, value: f64, token: &mut Token<'_>) -> u8 {
        let bits = value.to_bits();
        if self.exponent != UNSCALED {
            match decimal::scale(value, self.exponent) {
                Some(integer) => {
                    let base = decimal::scale_known(f64::from_bits(self.last_bits), self.exponent);
                    let change = integer.wrapping_sub(base);
                    let zigzag = ((change << 1) ^ (change >> 63)) as u64;
                    let (kind, width) = match 64 - zigzag.leading_zeros() {
                        0..=8 => (2, 1),
                        9..=16 => (3, 2),
                        17..=24 => (4, 3),
                        25..=32 => (5, 4),
                        33..=48 => (6, 6),
                        _ => (1, 0),
                    };
                    if width > 0 {
                        token.push(zigzag, width);
                        return kind;
                    }
                }
                None if value.is_finite() && bits != 1 << 63 => match decimal::exponent_of(value) {
                    Some(exponent) if exponent > self.exponent => {
                        self.exponent = exponent;
                        token.push(u64::from(exponent), 1);
                        token.push(bits, 8);
                        return 15;
                    }
                    Some(_) => {}
                    None => self.exponent = UNSCALED,
                },
                None => {}
            }
        }
        push_xor(bits, bits ^ self.last_bits, token)
    }
}

/// Adds the shortest of the forms that do not need an exponent.
fn push_xor(bits: u64, xor: u64, token: &mut Token<'_>) -> u8 {
    let leading = xor.leading_zeros() as usize / 8;
    let trailing = xor.trailing_zeros() as usize / 8;
    let (low, middle) = (8 - leading, 8 - leading - trailing);
    if middle + 1 < low {
        let shifted = xor >> (8 * trailing);
        token.push((leading << 4 | middle) as u64, 1);
        token.push(shifted, middle);
        7
    } else if low < 8 {
        token.push(xor, low);
        7 + low as u8
    } else {
        token.push(bits, 8);
        1
    }
}

/// Takes little-endian bytes off the front.
#[inline]
fn take(bytes: &mut &[u8], n: usize) -> Result<u64, Malformed> {
    // Away from the end one read of eight bytes serves every length.
    if let Some(word) = bytes.first_chunk()
        && (1..=8).contains(&n)
    {
        *bytes = &bytes[n..];
        return Ok(u64::from_le_bytes(*word) & (u64::MAX >> (64 - 8 * n)));
    }
    let (head, rest) = bytes.split_at_checked(n).ok_or(Malformed)?;
    *bytes = rest;
    let mut all = [0; 8];
    all.get_mut(..n).ok_or(Malformed)?.copy_from_slice(head);
    Ok(u64::from_le_bytes(all))
}

/// Not a short token.
const LONG: u8 = u8::MAX;

/// Bytes of the change of the distance and of the change of a decimal by the control byte
/// of a token that fits one word; [`LONG`] for all other tokens.
const SHORT_TOKENS: [(u8, u8); 256] = {
    let mut bytes = [(0, LONG); 256];
    let mut time = 0;
    while time <= 2 {
        bytes[time << 4] = (time as u8, 0);
        let mut value = 1;
        while value <= 4 {
            bytes[time << 4 | (value + 1)] = (time as u8, value as u8);
            value += 1;
        }
        time += 1;
    }
    bytes[6] = (0, 6);
    bytes
};

/// Takes the change of the distance off a word: 0, 1 or 2 bytes.
#[inline]
fn change_of_distance(word: u64, len: u8) -> i64 {
    match len {
        0 => 0,
        1 => i64::from(word as i8),
        _ => i64::from(word as i16),
    }
}

/// Adds a zigzag coded change.
#[inline]
fn changed(base: i64, zigzag: u64) -> i64 {
    base.wrapping_add((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
}

/// Calls `each(t_ms, value)` for the `n` samples of a chunk in order, until it
/// returns `false`.
///
/// # Errors
/// The bytes are not `n` samples.
#[inline]
pub fn decode(
    mut bytes: &[u8],
    n: u16,
    mut each: impl FnMut(i64, f64) -> bool,
) -> Result<(), Malformed> {
    if n == 0 {
        return Ok(());
    }
    let mut t_ms = take(&mut bytes, 8)? as i64;
    let mut bits = take(&mut bytes, 8)?;
    let mut exponent = take(&mut bytes, 1)? as u8;
    let mut step_ms = 0i64;
    // The last value as an integer, known while one decimal follows the other.
    let mut integer = None;
    let mut left = n - 1;
    if !each(t_ms, f64::from_bits(bits)) {
        return Ok(());
    }
    while left > 0 {
        // Most tokens are a decimal at about the same distance: one read for all of it.
        if let Some(word) = bytes.first_chunk() {
            let word = u64::from_le_bytes(*word);
            let (time, width) = SHORT_TOKENS[usize::from(word as u8)];
            if width != LONG {
                bytes = &bytes[1 + usize::from(time + width)..];
                step_ms += change_of_distance(word >> 8, time);
                t_ms = t_ms.wrapping_add(step_ms);
                if width > 0 {
                    let last = f64::from_bits(bits);
                    let base = integer.unwrap_or_else(|| decimal::scale_known(last, exponent));
                    let zigzag = word >> (8 + 8 * time) & (u64::MAX >> (64 - 8 * width));
                    let next = changed(base, zigzag);
                    integer = Some(next);
                    bits = decimal::unscale(next, exponent).to_bits();
                }
                left -= 1;
                if !each(t_ms, f64::from_bits(bits)) {
                    return Ok(());
                }
                continue;
            }
        }
        let control = take(&mut bytes, 1)? as u8;
        if control == RUN {
            for _ in 0..take(&mut bytes, 1)? {
                left = left.checked_sub(1).ok_or(Malformed)?;
                t_ms = t_ms.wrapping_add(step_ms);
                if !each(t_ms, f64::from_bits(bits)) {
                    return Ok(());
                }
            }
            continue;
        }
        match control >> 4 {
            0 => {}
            1 => step_ms += i64::from(take(&mut bytes, 1)? as i8),
            2 => step_ms += i64::from(take(&mut bytes, 2)? as i16),
            3 => step_ms += i64::from(take(&mut bytes, 4)? as i32),
            4 => step_ms = take(&mut bytes, 8)? as i64,
            _ => return Err(Malformed),
        }
        t_ms = t_ms.wrapping_add(step_ms);
        if control >> 4 == 4 {
            step_ms = 0;
        }
        bits = match control & 15 {
            0 => bits,
            1 => take(&mut bytes, 8)?,
            kind @ 2..=6 => {
                let width = if kind == 6 { 6 } else { usize::from(kind) - 1 };
                let zigzag = take(&mut bytes, width)?;
                let base = decimal::scale_known(f64::from_bits(bits), exponent);
                decimal::unscale(changed(base, zigzag), exponent).to_bits()
            }
            7 => {
                let shape = take(&mut bytes, 1)?;
                let (leading, middle) = (shape >> 4, shape & 15);
                let trailing = 8u64.checked_sub(leading + middle).ok_or(Malformed)?;
                let xor = take(&mut bytes, middle as usize)?;
                bits ^ xor.checked_shl(8 * trailing as u32).unwrap_or(0)
            }
            15 => {
                exponent = take(&mut bytes, 1)? as u8;
                take(&mut bytes, 8)?
            }
            kind => bits ^ take(&mut bytes, usize::from(kind) - 7)?,
        };
        integer = None;
        left -= 1;
        if !each(t_ms, f64::from_bits(bits)) {
            return Ok(());
        }
    }
    Ok(())
}

/// Returns the time of the first sample of a chunk that has one.
pub fn first_ms(bytes: &[u8]) -> Option<i64> {
    bytes.first_chunk().map(|t_ms| i64::from_le_bytes(*t_ms))
}

/// Returns the bytes of a chunk of one sample.
pub fn alone(t_ms: i64, bits: u64) -> [u8; 17] {
    let mut bytes = [UNSCALED; 17];
    bytes[..8].copy_from_slice(&t_ms.to_le_bytes());
    bytes[8..16].copy_from_slice(&bits.to_le_bytes());
    bytes
}

fn newest_until(bytes: &[u8], n: u16, end_ms: i64) -> Result<Option<(i64, u64)>, Malformed> {
    let mut newest = None;
    decode(bytes, n, |t_ms, value| {
        if t_ms <= end_ms {
            newest = Some((t_ms, value.to_bits()));
        }
        t_ms < end_ms
    })?;
    Ok(newest)
}

/// Appends the samples of a chunk that lie in `range`.
///
/// # Errors
/// As [`decode`].
pub fn decode_into(
    bytes: &[u8],
    n: u16,
    range: TimeRange,
    timestamps: &mut Vec<i64>,
    values: &mut Vec<f64>,
) -> Result<(), Malformed> {
    let (begin, n_most) = (timestamps.len(), usize::from(n));
    let begin_values = values.len();
    timestamps.resize(begin + n_most, 0);
    values.resize(begin_values + n_most, 0.0);
    let times = timestamps[begin..].iter_mut();
    let mut places = times.zip(&mut values[begin_values..]);
    let decoded = decode(bytes, n, |t_ms, value| {
        if t_ms > range.end_ms {
            return false;
        }
        if t_ms >= range.start_ms
            && let Some((time, place)) = places.next()
        {
            (*time, *place) = (t_ms, value);
        }
        true
    });
    let n_found = n_most - places.len();
    timestamps.truncate(begin + n_found);
    values.truncate(begin_values + n_found);
    decoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::stale_marker;

    fn encode(samples: &[(i64, f64)]) -> (OpenChunk, Vec<u8>) {
        let (mut chunk, mut bytes) = (OpenChunk::NEW, Vec::new());
        for &(t_ms, value) in samples {
            match chunk.append(t_ms, value, &mut Scratch::default()) {
                Edit::Push(token) => bytes.extend_from_slice(token),
                Edit::Increment => *bytes.last_mut().unwrap() += 1,
            }
        }
        assert_eq!(usize::from(chunk.len_bytes), bytes.len());
        assert_eq!(usize::from(chunk.n), samples.len());
        (chunk, bytes)
    }

    fn check(samples: &[(i64, f64)]) -> usize {
        let (chunk, bytes) = encode(samples);
        let mut back = Vec::new();
        decode(&bytes, chunk.n, |t, v| {
            back.push((t, v.to_bits()));
            true
        })
        .unwrap();
        let expected: Vec<(i64, u64)> = samples.iter().map(|&(t, v)| (t, v.to_bits())).collect();
        assert_eq!(back, expected);
        let state = chunk.state();
        let again = OpenChunk::from_state(&state, &bytes).unwrap();
        assert_eq!(again.state(), state);
        let cut = &bytes[..bytes.len().saturating_sub(1)];
        assert!(bytes.is_empty() || OpenChunk::from_state(&state, cut).is_none());
        bytes.len()
    }

    #[test]
    fn a_constant_regular_series_takes_next_to_nothing() {
        let samples: Vec<(i64, f64)> = (0..700).map(|i| (i * 15_000, 42.5)).collect();
        assert!(check(&samples) < 40);
    }

    #[test]
    fn short_decimals_take_about_two_bytes() {
        let samples: Vec<(i64, f64)> = (0..120)
            .map(|i| (i * 15_000, (i * 37 % 100) as f64 / 100.0))
            .collect();
        assert!(check(&samples) <= 2 * 120 + 30);
    }

    #[test]
    fn odd_values_and_times_keep_their_bits() {
        let nan = f64::from_bits(0x7ff8_dead_beef_0001);
        check(&[
            (i64::MIN, 0.0),
            (-1, -0.0),
            (0, stale_marker()),
            (1, nan),
            (2, 0.1),
            (3, 0.12),
            (4, 0.1),
            (5, f64::INFINITY),
            (6, 1e300),
            (7, f64::MIN_POSITIVE / 3.0),
            (8, 9_007_199_254_740_993.0),
            (9, -9_007_199_254_740_992.0),
            (10, 9_007_199_254_740_992.0),
            (i64::MAX - 1, 1.0),
            (i64::MAX, 1.0),
        ]);
    }

    fn a_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => (-1000i64..1000, 0u8..4).prop_map(|(d, e)| d as f64 / 10f64.powi(e.into())),
            2 => Just(1.0),
            1 => any::<u64>().prop_map(f64::from_bits),
            1 => any::<f32>().prop_map(f64::from),
            1 => Just(stale_marker()),
        ]
    }

    proptest! {
        #[test]
        fn any_samples_come_back(
            start in any::<i32>(),
            rest in proptest::collection::vec(
                (prop_oneof![6 => Just(15_000i64), 2 => 1i64..100_000, 1 => 1i64..1 << 40], a_value()),
                0..300,
            ),
        ) {
            let mut t_ms = i64::from(start);
            let samples: Vec<(i64, f64)> = rest
                .into_iter()
                .map(|(step, value)| {
                    t_ms += step;
                    (t_ms, value)
                })
                .collect();
            check(&samples);
        }

        /// Whatever a state says, a chunk goes on from it.
        #[test]
        fn any_state_is_survived(state: [u8; STATE_BYTES], tokens: Vec<u8>, more: Vec<(u32, u64)>) {
            let mut state = state;
            state[20..24].copy_from_slice(&[tokens.len() as u8, 0, tokens.len() as u8, 0]);
            state[24] %= decimal::MAX_EXPONENT + 1;
            let Some(mut open) = OpenChunk::from_state(&state, &tokens) else { return Ok(()) };
            let mut tokens = tokens[..usize::from(open.len_bytes)].to_vec();
            for (step, bits) in more {
                let t_ms = open.last_ms.wrapping_add(i64::from(step));
                match open.append(t_ms, f64::from_bits(bits), &mut Scratch::default()) {
                    Edit::Push(token) => tokens.extend_from_slice(token),
                    Edit::Increment => *tokens.last_mut().unwrap() += 1,
                }
                prop_assert_eq!(tokens.len(), usize::from(open.len_bytes));
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>, n: u16) {
            let mut count = 0u32;
            let decoded = decode(&bytes, n, |_, _| {
                count += 1;
                true
            });
            prop_assert!(count <= u32::from(n));
            // A run that is longer than what is left comes to light behind the last sample.
            prop_assert!(decoded.is_err() || count == u32::from(n));
        }
    }
}
