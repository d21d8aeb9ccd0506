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

/// A native histogram of positive buckets that follow each other.
pub(crate) struct NativeHistogram<'a> {
    pub(crate) schema: i64,
    pub(crate) first_bucket: i64,
    pub(crate) counts: &'a [u64],
    pub(crate) sum: f64,
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn push_number(out: &mut Vec<u8>, tag: u8, value: u64) {
    out.push(tag);
    push_varint(out, value);
}

fn push_double(out: &mut Vec<u8>, tag: u8, value: f64) {
    out.push(tag);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

fn push_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    push_number(out, tag, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends one series with one native histogram, as [`push_series`] does with a sample.
pub(crate) fn push_histogram(
    out: &mut Vec<u8>,
    label_bytes: &[u8],
    t_ms: i64,
    histogram: &NativeHistogram<'_>,
) {
    let mut span = Vec::new();
    push_number(&mut span, 0x08, zigzag(histogram.first_bucket));
    push_number(&mut span, 0x10, histogram.counts.len() as u64);
    let (mut deltas, mut last) = (Vec::new(), 0);
    for &count in histogram.counts {
        push_varint(&mut deltas, zigzag(count as i64 - last));
        last = count as i64;
    }
    let mut fields = Vec::new();
    push_number(&mut fields, 0x08, histogram.counts.iter().sum());
    push_double(&mut fields, 0x19, histogram.sum);
    push_number(&mut fields, 0x20, zigzag(histogram.schema));
    push_double(&mut fields, 0x29, 2f64.powi(-128));
    push_number(&mut fields, 0x30, 0);
    push_bytes(&mut fields, 0x5a, &span);
    push_bytes(&mut fields, 0x62, &deltas);
    push_number(&mut fields, 0x78, t_ms as u64);
    let mut series = label_bytes.to_vec();
    push_bytes(&mut series, 0x22, &fields);
    push_bytes(out, 0x0a, &series);
}
