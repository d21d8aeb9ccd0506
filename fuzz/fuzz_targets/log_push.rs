//! A byte of form and any bytes as a push of logs, in each form there is: whatever comes out
//! is in bounds and in order. Protobuf comes as it is, so that inputs are not stopped by
//! snappy; what another decoder reads is read here, too.
#![no_main]

use kymo_ingest::loki::{
    BodyLimits, Buffers, Encoding, Format, LineFields, Limits, Receiver,
};

const LIMIT_BYTES: usize = 1 << 20;
const NOW_NS: i64 = 1_795_323_600_000_000_000;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((form, bytes)) = input.split_first() else {
        return;
    };
    let fields = LineFields {
        stream: vec!["app".to_owned(), "a.b".to_owned()],
        ..LineFields::default()
    };
    let formats = [
        Format::Protobuf,
        Format::Json,
        Format::JsonLines(&fields),
        Format::OtlpProtobuf,
        Format::OtlpJson,
    ];
    let encodings = [
        Encoding::Identity,
        Encoding::Gzip,
        Encoding::Deflate,
        Encoding::Snappy,
        Encoding::Zstd,
        Encoding::Lz4,
    ];
    let format = formats[usize::from(form & 15) % formats.len()];
    let encoding = encodings[usize::from(form >> 4) % encodings.len()];
    let packed;
    let body = match (format, encoding) {
        (Format::Protobuf, Encoding::Identity) => {
            packed = literal_block(bytes);
            &packed
        }
        _ => bytes,
    };
    let limits = Limits {
        reject_old_samples: false,
        creation_grace_period_ns: i64::MAX,
        ..Limits::default()
    };
    let body_limits = BodyLimits {
        body_bytes: LIMIT_BYTES,
        decoded_bytes: LIMIT_BYTES,
    };
    let receiver = Receiver::new(limits, body_limits);
    let mut buffers = Buffers::default();
    let admitted = receiver.admit((format, encoding), body, &mut buffers, &mut |_| true, NOW_NS);
    let Ok(admitted) = admitted else {
        return;
    };
    let mut entries = 0;
    for batch in &admitted.batches {
        assert!(!batch.entries.is_empty());
        assert!(batch.labels.get("service_name").is_some());
        for entry in &batch.entries {
            entries += 1;
            let metadata = &entry.metadata;
            assert!(metadata.is_sorted_by(|(one, _), (other, _)| one < other));
            assert!(metadata.iter().all(|(_, value)| !value.is_empty()));
        }
    }
    assert_eq!(entries, receiver_accepted(&admitted.tally));
});

fn receiver_accepted(tally: &kymo_ingest::loki::Tally) -> u64 {
    let refused: u64 = tally.discarded.iter().map(|one| one.lines).sum();
    assert_eq!(tally.lines, tally.accepted_lines + refused);
    tally.accepted_lines
}

/// Returns a block of snappy that says `bytes`, without looking for repetitions.
fn literal_block(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 16);
    kymo_ingest::wire::writer::put_varint(&mut out, bytes.len() as u64);
    for piece in bytes.chunks(1 << 16) {
        // Two bytes of length, less one, behind a tag.
        out.push(61 << 2);
        out.extend_from_slice(&((piece.len() - 1) as u16).to_le_bytes());
        out.extend_from_slice(piece);
    }
    out
}
