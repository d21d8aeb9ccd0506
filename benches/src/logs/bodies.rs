//! Pushes as Promtail makes them: Loki's protobuf, a block of snappy, entries by stream.

use kymo_ingest::wire::writer::{put_bytes, put_int, put_message};

use super::lines::{LineKind, STREAMS, labels, write};

/// Makes pushes of all lines, one after the other.
pub(super) struct Bodies {
    kind: LineKind,
    next: u64,
    end: u64,
    per_push: u64,
    /// Labels of the streams as they are sent.
    labels: Vec<String>,
    encoder: snap::raw::Encoder,
}

/// A push.
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    /// Bytes of its lines.
    pub(super) line_bytes: u64,
}

impl Bodies {
    pub(super) fn new(kind: LineKind, lines: u64, per_push: u64) -> Bodies {
        let labels = (0..STREAMS).map(|stream| {
            let pairs = labels(stream);
            let pairs = pairs
                .iter()
                .map(|(name, value)| format!("{name}=\"{value}\""));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        });
        Bodies {
            kind,
            next: 0,
            end: lines,
            per_push: per_push.max(1),
            labels: labels.collect(),
            encoder: snap::raw::Encoder::new(),
        }
    }

    pub(super) fn next_body(&mut self) -> Option<Body> {
        if self.next >= self.end {
            return None;
        }
        let last = (self.next + self.per_push).min(self.end);
        let mut entries = vec![Vec::new(); self.labels.len()];
        let (mut line, mut line_bytes) = (Vec::new(), 0);
        for number in self.next..last {
            line.clear();
            let head = write(self.kind, number, &mut line);
            line_bytes += line.len() as u64;
            put_message(&mut entries[head.stream as usize], 2, |entry| {
                put_message(entry, 1, |time| {
                    put_int(time, 1, head.t_ns / 1_000_000_000);
                    put_int(time, 2, head.t_ns % 1_000_000_000);
                });
                put_bytes(entry, 2, &line);
            });
        }
        self.next = last;
        let mut push = Vec::new();
        for (labels, entries) in self.labels.iter().zip(entries) {
            if !entries.is_empty() {
                put_message(&mut push, 1, |stream| {
                    put_bytes(stream, 1, labels.as_bytes());
                    stream.extend_from_slice(&entries);
                });
            }
        }
        let mut bytes = vec![0; snap::raw::max_compress_len(push.len())];
        // The room is as much as it can take.
        let len = self.encoder.compress(&push, &mut bytes).unwrap_or(0);
        bytes.truncate(len);
        Some(Body { bytes, line_bytes })
    }
}
