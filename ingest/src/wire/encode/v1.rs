//! `prometheus.WriteRequest`, the request of remote write 1.0.

use kymo_storage::model::histogram::Histogram;

use super::{
    Exemplar, MetricMetadata, Symbols, histogram, put_bytes, put_double, put_number, put_sample,
    put_text, put_varint, varint_len,
};

const SERIES_TAG: u8 = 0x0a;
const LABEL_TAG: u8 = 0x0a;
const NAME_TAG: u8 = 0x0a;
const VALUE_TAG: u8 = 0x12;

/// Puts a request together.
#[derive(Debug, Default)]
pub struct WriteRequestBuilder {
    out: Vec<u8>,
    series: Vec<u8>,
    inner: Vec<u8>,
}

impl WriteRequestBuilder {
    /// Begins a series; `labels` are pairs of symbols, sorted by name.
    pub fn begin_series(&mut self, labels: &[(u32, u32)], symbols: &impl Symbols) {
        self.series.clear();
        for &(name, value) in labels {
            let (name, value) = (symbols.text(name), symbols.text(value));
            put_label(&mut self.series, name, value);
        }
    }

    /// Adds a sample to the series.
    #[inline]
    pub fn sample(&mut self, t_ms: i64, value: f64) {
        put_sample(&mut self.series, t_ms, value);
    }

    /// Adds an exemplar to the series, behind all samples.
    pub fn exemplar(&mut self, exemplar: &Exemplar) {
        self.inner.clear();
        for (name, value) in &exemplar.labels {
            put_label(&mut self.inner, name, value);
        }
        put_double(&mut self.inner, 2, exemplar.value);
        put_number(&mut self.inner, 3, exemplar.t_ms.cast_unsigned());
        put_bytes(&mut self.series, 3, &self.inner);
    }

    /// Adds a native histogram to the series, behind all exemplars.
    pub fn histogram(&mut self, t_ms: i64, found: &Histogram) {
        self.inner.clear();
        histogram::put(&mut self.inner, t_ms, found);
        put_bytes(&mut self.series, 4, &self.inner);
    }

    /// Ends the series.
    pub fn end_series(&mut self) {
        self.out.push(SERIES_TAG);
        put_varint(&mut self.out, self.series.len() as u64);
        self.out.extend_from_slice(&self.series);
    }

    /// Adds the metadata of a metric.
    pub fn metadata(&mut self, name: &str, metadata: &MetricMetadata) {
        self.inner.clear();
        put_number(&mut self.inner, 1, u64::from(metadata.kind.number()));
        put_text(&mut self.inner, 2, name);
        put_text(&mut self.inner, 4, &metadata.help);
        put_text(&mut self.inner, 5, &metadata.unit);
        put_bytes(&mut self.out, 3, &self.inner);
    }

    /// Hands the request to `take`, and begins the next one.
    pub fn finish<T>(&mut self, take: impl FnOnce(&[u8]) -> T) -> T {
        let taken = take(&self.out);
        self.out.clear();
        taken
    }
}

#[inline]
fn put_label(out: &mut Vec<u8>, name: &str, value: &str) {
    let (name_len, value_len) = (name.len() as u64, value.len() as u64);
    let len = 2 + varint_len(name_len) + name.len() + varint_len(value_len) + value.len();
    out.push(LABEL_TAG);
    put_varint(out, len as u64);
    out.push(NAME_TAG);
    put_varint(out, name_len);
    out.extend_from_slice(name.as_bytes());
    out.push(VALUE_TAG);
    put_varint(out, value_len);
    out.extend_from_slice(value.as_bytes());
}
