//! Bodies of remote write 1.0, written by hand so that wrong ones can be built too.

use kymo_ingest::wire::encode::put_histogram;
use kymo_storage::model::histogram::Histogram;

/// An exemplar of a request.
#[derive(Debug, Clone)]
pub struct Exemplar {
    /// Milliseconds since the epoch.
    pub t_ms: i64,
    /// Its value.
    pub value: f64,
    /// Its labels.
    pub labels: Vec<(String, String)>,
}

/// A `prometheus.WriteRequest` under construction.
#[derive(Debug, Clone, Default)]
pub struct WriteBody {
    message: Vec<u8>,
}

impl WriteBody {
    /// Begins an empty request.
    pub fn new() -> WriteBody {
        WriteBody::default()
    }

    /// Adds a series: labels in the order given, samples as milliseconds and value.
    pub fn series<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        mut self,
        labels: &[(N, V)],
        samples: &[(i64, f64)],
    ) -> WriteBody {
        self.push_series(labels, samples);
        self
    }

    /// Adds a series in place, for loops.
    pub fn push_series<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        labels: &[(N, V)],
        samples: &[(i64, f64)],
    ) {
        let mut series = Vec::new();
        push_labels(&mut series, labels);
        for (t_ms, value) in samples {
            push_sample(&mut series, *t_ms, *value);
        }
        push_bytes(&mut self.message, 1, &series);
    }

    /// Adds a series with a native histogram.
    pub fn push_histogram<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        labels: &[(N, V)],
        t_ms: i64,
        histogram: &Histogram,
    ) {
        let mut series = Vec::new();
        push_labels(&mut series, labels);
        let mut bytes = Vec::new();
        put_histogram(&mut bytes, t_ms, histogram);
        push_bytes(&mut series, 4, &bytes);
        push_bytes(&mut self.message, 1, &series);
    }

    /// Adds a series with exemplars, and a sample if there is one.
    pub fn push_exemplars<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        labels: &[(N, V)],
        sample: Option<(i64, f64)>,
        exemplars: &[Exemplar],
    ) {
        let mut series = Vec::new();
        push_labels(&mut series, labels);
        if let Some((t_ms, value)) = sample {
            push_sample(&mut series, t_ms, value);
        }
        for exemplar in exemplars {
            let mut bytes = Vec::new();
            push_labels(&mut bytes, &exemplar.labels);
            bytes.push(0x11);
            bytes.extend_from_slice(&exemplar.value.to_bits().to_le_bytes());
            bytes.push(0x18);
            push_varint(&mut bytes, exemplar.t_ms as u64);
            push_bytes(&mut series, 3, &bytes);
        }
        push_bytes(&mut self.message, 1, &series);
    }

    /// Adds type (by its number), help and unit of a metric.
    pub fn push_metadata(&mut self, family: &str, kind: u64, help: &str, unit: &str) {
        let mut metadata = vec![0x08];
        push_varint(&mut metadata, kind);
        push_bytes(&mut metadata, 2, family.as_bytes());
        push_bytes(&mut metadata, 4, help.as_bytes());
        push_bytes(&mut metadata, 5, unit.as_bytes());
        push_bytes(&mut self.message, 3, &metadata);
    }

    /// Returns the message without compression.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Returns the message as it is sent: a snappy block.
    pub fn encode(&self) -> Vec<u8> {
        snap::raw::Encoder::new()
            .compress_vec(&self.message)
            .unwrap()
    }
}

fn push_labels<N: AsRef<[u8]>, V: AsRef<[u8]>>(out: &mut Vec<u8>, labels: &[(N, V)]) {
    for (name, value) in labels {
        let mut label = Vec::new();
        push_bytes(&mut label, 1, name.as_ref());
        push_bytes(&mut label, 2, value.as_ref());
        push_bytes(out, 1, &label);
    }
}

fn push_sample(out: &mut Vec<u8>, t_ms: i64, value: f64) {
    let mut sample = vec![0x09];
    sample.extend_from_slice(&value.to_bits().to_le_bytes());
    sample.push(0x10);
    push_varint(&mut sample, t_ms as u64);
    push_bytes(out, 2, &sample);
}

fn push_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    push_varint(out, field << 3 | 2);
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
