//! Encodes remote-write 1.0 requests, copying labels that were encoded once.

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

fn push_text(out: &mut Vec<u8>, tag: u8, text: &str) {
    out.push(tag);
    push_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Appends one label as field 1 of a `prometheus.TimeSeries`.
pub(crate) fn push_label(out: &mut Vec<u8>, name: &str, value: &str) {
    let mut label = Vec::with_capacity(name.len() + value.len() + 8);
    push_text(&mut label, 0x0a, name);
    push_text(&mut label, 0x12, value);
    out.push(0x0a);
    push_varint(out, label.len() as u64);
    out.extend_from_slice(&label);
}

/// Appends one series with one sample as field 1 of a `prometheus.WriteRequest`.
pub(crate) fn push_series(out: &mut Vec<u8>, label_bytes: &[u8], t_ms: i64, value: f64) {
    let time = t_ms as u64;
    let sample_len = 1 + 8 + 1 + varint_len(time);
    let series_len = label_bytes.len() + 1 + varint_len(sample_len as u64) + sample_len;
    out.push(0x0a);
    push_varint(out, series_len as u64);
    out.extend_from_slice(label_bytes);
    out.push(0x12);
    push_varint(out, sample_len as u64);
    out.push(0x09);
    out.extend_from_slice(&f64::to_bits(value).to_le_bytes());
    out.push(0x10);
    push_varint(out, time);
}
