use kymo_ingest::wire::writer::{put_bytes, put_int, put_message, put_number_always};

use super::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_sorted(pairs.iter().copied())
}

fn query(kind: u64, name: &str, value: &str) -> Query {
    Query {
        start_ms: 10,
        end_ms: 90,
        matchers: vec![WireMatcher {
            kind,
            name: name.to_owned(),
            value: value.to_owned(),
        }],
        hints: None,
    }
}

#[test]
fn a_request_is_read_with_its_hints_and_what_is_unknown_passed_over() {
    let mut bytes = Vec::new();
    put_message(&mut bytes, 1, |out| {
        put_int(out, 1, -5);
        put_int(out, 2, 7);
        put_message(out, 3, |out| {
            put_number_always(out, 1, 2);
            put_bytes(out, 2, b"job");
            put_bytes(out, 3, b"a|b");
        });
        put_message(out, 4, |out| {
            put_int(out, 1, 30);
            put_bytes(out, 2, b"series");
            put_int(out, 3, -4);
            put_int(out, 4, 6);
            put_bytes(out, 5, b"le");
        });
        put_bytes(out, 99, b"later");
    });
    put_bytes(&mut bytes, 2, &[1, 0]);
    let request = ReadRequest::read(&bytes).unwrap();
    assert_eq!(request.accepted, [1, 0]);
    assert_eq!(request.response_type(), Ok(ResponseType::Chunks));
    let wanted = request.queries[0].wanted(&Labels::empty()).unwrap();
    assert_eq!(wanted.range, TimeRange::new(-4, 6));
    assert!(wanted.labels_only);
    assert!(wanted.matchers[0].matches("b") && !wanted.matchers[0].matches("c"));
    for len in 0..bytes.len() {
        // No part of it is a reason to panic.
        let _cut = ReadRequest::read(&bytes[..len]);
    }
}

#[test]
fn the_first_way_to_answer_that_is_known_is_taken() {
    let chosen = |accepted: &[u64]| {
        let request = ReadRequest {
            queries: Vec::new(),
            accepted: accepted.to_vec(),
        };
        request.response_type().map_err(|error| error.to_string())
    };
    assert_eq!(chosen(&[]), Ok(ResponseType::Samples));
    assert_eq!(chosen(&[9, 1, 0]), Ok(ResponseType::Chunks));
    assert_eq!(
        chosen(&[9, 8]),
        Err(
            "server does not support any of the requested response types: [9 8]; supported: \
             map[SAMPLES:{} STREAMED_XOR_CHUNKS:{}]"
                .to_owned()
        )
    );
}

#[test]
fn a_matcher_for_an_external_label_wants_none() {
    let external = labels(&[("cluster", "a")]);
    let wanted = |kind, name, value| query(kind, name, value).wanted(&external).unwrap();
    let matches = |wanted: &Wanted, value| wanted.matchers[0].matches(value);
    assert!(matches(&wanted(0, "cluster", "a"), ""));
    assert!(matches(&wanted(0, "cluster", "b"), "b"));
    assert!(matches(&wanted(0, "job", "a"), "a"));
    assert!(!matches(&wanted(1, "cluster", "a"), "a"));
    assert_eq!(
        query(7, "a", "b").wanted(&external).unwrap_err(),
        "invalid matcher type"
    );
    assert_eq!(
        query(2, "a", "(").wanted(&external).unwrap_err(),
        "error parsing regexp: missing closing ): `(`"
    );
}

#[test]
fn hints_narrow_the_range_unless_they_say_nothing() {
    let range = |start_ms, end_ms| {
        let hints = Hints {
            start_ms,
            end_ms,
            function: String::new(),
        };
        let query = Query {
            hints: Some(hints),
            ..query(0, "a", "b")
        };
        query.wanted(&Labels::empty()).unwrap().range
    };
    assert_eq!(range(20, 30), TimeRange::new(20, 30));
    assert_eq!(range(0, 30), TimeRange::new(10, 30));
    assert_eq!(range(0, 0), TimeRange::new(10, 90));
}

#[test]
fn bodies_that_are_no_snappy_or_too_large_are_told_so() {
    let text = |body: &[u8]| unpacked_len(body).unwrap_err().to_string();
    assert_eq!(text(b""), "snappy: corrupt input");
    assert_eq!(text(&[0xff; 12]), "snappy: corrupt input");
    let mut bomb = Vec::new();
    kymo_ingest::wire::writer::put_varint(&mut bomb, 33 << 20);
    assert_eq!(
        text(&bomb),
        "snappy: decoded length 34603008 exceeds limit 33554432"
    );
    let packed = snap::raw::Encoder::new().compress_vec(b"hello").unwrap();
    assert_eq!(unpacked_len(&packed), Ok(5));
    assert_eq!(unpack(&packed).unwrap(), b"hello");
    assert_eq!(unpack(&packed[..4]), Err(RequestError::Snappy));
}
