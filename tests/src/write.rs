//! Bodies of remote write 1.0, written by hand so that wrong ones can be built too.

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
        for (name, value) in labels {
            let mut label = Vec::new();
            push_bytes(&mut label, 1, name.as_ref());
            push_bytes(&mut label, 2, value.as_ref());
            push_bytes(&mut series, 1, &label);
        }
        for (t_ms, value) in samples {
            let mut sample = vec![0x09];
            sample.extend_from_slice(&value.to_bits().to_le_bytes());
            sample.push(0x10);
            push_varint(&mut sample, *t_ms as u64);
            push_bytes(&mut series, 2, &sample);
        }
        push_bytes(&mut self.message, 1, &series);
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
