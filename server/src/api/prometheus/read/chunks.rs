//! The answer in chunks: frames of a few chunks of one series, made while the reader takes
//! them.
//!
//! ```text
//! frame | length of the message uvarint | CRC-32C of it, u32 big-endian | message |
//! ```

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, header};
use http_body::Frame;
use kymo_ingest::wire::writer::{
    put_bytes, put_int, put_message, put_number, put_varint, varint_len,
};
use kymo_storage::metrics::Selection;
use kymo_storage::model::Labels;
use kymo_storage::prometheus_block::chunk::{Chunk, Encoding};

use super::request::Wanted;
use super::series::{Growing, SeriesSamples, for_each_label, put_labels};
use super::{Asked, Failure};
use crate::app::App;
use crate::work::remote_reads::Admitted;

const CONTENT_TYPE: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

/// Bytes after which a piece of the answer ends.
const PIECE_BYTES: usize = 64 << 10;

/// Answers a request. The first piece is made before, so that what fails at once has a
/// status.
pub(super) async fn respond(
    app: &Arc<App>,
    asked: Asked,
    admitted: Admitted,
) -> Result<Response, Failure> {
    let writer = FrameWriter {
        growing: Growing::new(&app.memory),
        max_frame_bytes: app.flags.remote_read.max_bytes_in_frame,
        asked,
        query: 0,
        current: None,
        samples: SeriesSamples::default(),
        _admitted: admitted,
    };
    let (writer, first) = piece(Arc::clone(app), writer).await?;
    let body = match writer {
        None => Body::from(first),
        Some(writer) => Body::new(Frames {
            app: Arc::clone(app),
            first: Some(first),
            next: Next::Idle(Some(writer)),
        }),
    };
    let mut response = body.into_response();
    let content_type = HeaderValue::from_static(CONTENT_TYPE);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}

/// A piece of the answer, and the writer of the next ones, if there are any.
type Piece = (Option<Box<FrameWriter>>, Bytes);

/// Makes the next piece on a thread for queries.
async fn piece(app: Arc<App>, writer: impl Into<Box<FrameWriter>>) -> Result<Piece, Failure> {
    let core = Arc::clone(
        app.core()
            .map_err(|_stopping| Failure::Failed("the server is shutting down".to_owned()))?,
    );
    let mut writer = writer.into();
    let job = move || {
        let mut out = Vec::new();
        let is_over = writer.write(&core.store, &mut out)?;
        Ok(((!is_over).then_some(writer), Bytes::from(out)))
    };
    let made = app.queries.lookup(job).await;
    made.map_err(|stopped| Failure::Failed(stopped.to_string()))?
}

/// The body: pieces, one after the other.
struct Frames {
    app: Arc<App>,
    first: Option<Bytes>,
    next: Next,
}

enum Next {
    /// A writer that waits for the reader; none where the answer is over.
    Idle(Option<Box<FrameWriter>>),
    Making(Pin<Box<dyn Future<Output = Result<Piece, Failure>> + Send>>),
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        loop {
            match &mut self.next {
                Next::Idle(writer) => {
                    let Some(writer) = writer.take() else {
                        return Poll::Ready(None);
                    };
                    let app = Arc::clone(&self.app);
                    self.next = Next::Making(Box::pin(piece(app, writer)));
                }
                Next::Making(making) => {
                    let made = ready!(making.as_mut().poll(cx));
                    self.next = Next::Idle(None);
                    let (writer, bytes) = match made {
                        Ok(piece) => piece,
                        Err(failure) => return Poll::Ready(Some(Err(failure))),
                    };
                    self.next = Next::Idle(writer);
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
            }
        }
    }
}

/// Where the answer is, and what it goes on with.
struct FrameWriter {
    asked: Asked,
    /// The query that is answered.
    query: usize,
    /// Its series, and the first that was not written.
    current: Option<(Selection, usize)>,
    max_frame_bytes: usize,
    growing: Growing,
    samples: SeriesSamples,
    /// The place of the reader, as long as the answer goes on.
    _admitted: Admitted,
}

impl FrameWriter {
    /// Appends frames until a piece is full; tells whether these were the last.
    fn write(
        &mut self,
        store: &kymo_storage::metrics::MetricStore,
        out: &mut Vec<u8>,
    ) -> Result<bool, Failure> {
        while out.len() < PIECE_BYTES {
            let Some(query) = self.asked.queries.get(self.query) else {
                return Ok(true);
            };
            let Some((selection, next)) = &mut self.current else {
                if query.matchers.is_empty() {
                    self.query += 1;
                    continue;
                }
                let selection = store.select_sorted(&query.matchers, query.range)?;
                self.growing.grow_to(selection.memory_bytes())?;
                self.current = Some((selection, 0));
                continue;
            };
            if *next >= selection.len() {
                self.current = None;
                self.query += 1;
                continue;
            }
            let index = *next;
            *next += 1;
            let labels = selection.labels(index);
            let series = SeriesFrames {
                query_index: self.query,
                labels: &labels,
                external: &self.asked.external,
                max_bytes: self.max_frame_bytes,
            };
            if query.labels_only {
                series.write(&[empty_chunk(query)], out);
            } else {
                self.samples.read(selection, index)?;
                series.write(&self.samples.chunks()?, out);
            }
        }
        Ok(false)
    }
}

/// Returns a chunk without samples, for a reader that wants the labels only.
fn empty_chunk(query: &Wanted) -> Chunk {
    Chunk {
        encoding: Encoding::Xor,
        min_t_ms: query.range.start_ms,
        max_t_ms: query.range.end_ms,
        payload: vec![0, 0],
    }
}

/// Returns the message of a chunk.
fn message(chunk: &Chunk) -> Vec<u8> {
    let mut out = Vec::with_capacity(chunk.payload.len() + 24);
    put_int(&mut out, 1, chunk.min_t_ms);
    put_int(&mut out, 2, chunk.max_t_ms);
    put_number(&mut out, 3, chunk.encoding as u64);
    put_bytes(&mut out, 4, &chunk.payload);
    out
}

/// Writes one series.
struct SeriesFrames<'a> {
    query_index: usize,
    labels: &'a Labels,
    external: &'a Labels,
    max_bytes: usize,
}

impl SeriesFrames<'_> {
    /// Appends frames with these chunks. A frame ends with the chunk that fills it.
    fn write(&self, chunks: &[Chunk], out: &mut Vec<u8>) {
        let mut labels_bytes = 0;
        for_each_label(self.labels, self.external, |name, value| {
            labels_bytes += field_len(name.len()) + field_len(value.len());
        });
        let room = self.max_bytes.saturating_sub(labels_bytes);
        let mut held: Vec<Vec<u8>> = Vec::new();
        let mut held_bytes = 0;
        for (i, chunk) in chunks.iter().enumerate() {
            let message = message(chunk);
            held_bytes += message.len();
            held.push(message);
            if held_bytes >= room || i + 1 == chunks.len() {
                self.frame(&held, out);
                held.clear();
                held_bytes = 0;
            }
        }
    }

    fn frame(&self, chunks: &[Vec<u8>], out: &mut Vec<u8>) {
        let mut message = Vec::new();
        put_message(&mut message, 1, |out| {
            put_labels(out, self.labels, self.external);
            for chunk in chunks {
                put_bytes(out, 2, chunk);
            }
        });
        put_number(&mut message, 2, self.query_index as u64);
        put_varint(out, message.len() as u64);
        out.extend_from_slice(&crc32c::crc32c(&message).to_be_bytes());
        out.extend_from_slice(&message);
    }
}

/// Returns how many bytes a field with bytes takes that has a small number.
fn field_len(len_bytes: usize) -> usize {
    1 + varint_len(len_bytes as u64) + len_bytes
}

#[cfg(test)]
mod tests {
    use kymo_ingest::wire::Reader;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_sorted(pairs.iter().copied())
    }

    /// Takes frames apart; returns query index, number of labels and of chunks of each.
    fn frames(mut bytes: &[u8]) -> Vec<(u64, usize, usize)> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let mut reader = Reader::new(bytes);
            let len = reader.varint().unwrap() as usize;
            let at = reader.pos();
            let checksum = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
            let message = &bytes[at + 4..at + 4 + len];
            assert_eq!(crc32c::crc32c(message), checksum);
            bytes = &bytes[at + 4 + len..];
            let mut frame = (0, 0, 0);
            let mut reader = Reader::new(message);
            while let Some(tag) = reader.tag("ChunkedReadResponse").unwrap() {
                if tag.field == 2 {
                    frame.0 = reader.varint().unwrap();
                    continue;
                }
                let mut series = reader.message(tag, "ChunkedSeries").unwrap();
                while let Some(tag) = series.tag("ChunkedSeries").unwrap() {
                    series.bytes().unwrap();
                    match tag.field {
                        1 => frame.1 += 1,
                        _ => frame.2 += 1,
                    }
                }
            }
            found.push(frame);
        }
        found
    }

    #[test]
    fn a_frame_ends_with_the_chunk_that_fills_it_and_each_has_the_labels() {
        let own = labels(&[("__name__", "a"), ("x", "1")]);
        let external = labels(&[("cluster", "c")]);
        let series = |max_bytes| SeriesFrames {
            query_index: 3,
            labels: &own,
            external: &external,
            max_bytes,
        };
        let samples = SeriesSamples {
            timestamps: (0..300).map(|i| i * 1000).collect(),
            values: (0..300).map(f64::from).collect(),
            histograms: Vec::new(),
        };
        let chunks = samples.chunks().unwrap();
        let write = |max_bytes| {
            let mut out = Vec::new();
            series(max_bytes).write(&chunks, &mut out);
            frames(&out)
        };
        assert_eq!(write(1 << 20), [(3, 3, 3)]);
        assert_eq!(write(0), [(3, 3, 1), (3, 3, 1), (3, 3, 1)]);
        let two: usize = chunks[..2].iter().map(|chunk| message(chunk).len()).sum();
        assert_eq!(write(two), [(3, 3, 2), (3, 3, 1)]);
    }
}
