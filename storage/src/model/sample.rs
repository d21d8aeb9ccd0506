//! Values of samples and the one NaN that means "this series ended".

/// Bit pattern of the stale marker (Prometheus `value.StaleNaN`).
///
/// It is told from other NaNs by its bits alone, so sample values must never
/// pass through an operation that may quieten or replace a NaN payload.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Returns the value that marks the end of a series.
pub fn stale_marker() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Tells whether `value` is the stale marker, by bits.
pub fn is_stale_marker(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}
