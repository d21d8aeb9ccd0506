//! The views against a decoder made by prost from the same messages.

use proptest::prelude::*;
use prost::Message;

use super::schema;
use super::write_request::{LabelBytes, Part, WriteRequest};
use super::{Reader, WireError};

#[derive(Clone, PartialEq, Message)]
struct PbRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<PbSeries>,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<PbMetadata>,
}

#[derive(Clone, PartialEq, Message)]
struct PbSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<PbLabel>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<PbSample>,
    #[prost(message, repeated, tag = "3")]
    exemplars: Vec<PbExemplar>,
    /// Only so that damage to them is damage here, too.
    #[prost(message, repeated, tag = "4")]
    histograms: Vec<PbHistogram>,
}

#[derive(Clone, PartialEq, Message)]
struct PbHistogram {
    #[prost(uint64, tag = "1")]
    count_int: u64,
    #[prost(double, tag = "2")]
    count_float: f64,
    #[prost(double, tag = "3")]
    sum: f64,
    #[prost(sint32, tag = "4")]
    schema: i32,
    #[prost(double, tag = "5")]
    zero_threshold: f64,
    #[prost(uint64, tag = "6")]
    zero_count_int: u64,
    #[prost(double, tag = "7")]
    zero_count_float: f64,
    #[prost(message, repeated, tag = "8")]
    negative_spans: Vec<PbSpan>,
    #[prost(sint64, repeated, tag = "9")]
    negative_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "10")]
    negative_counts: Vec<f64>,
    #[prost(message, repeated, tag = "11")]
    positive_spans: Vec<PbSpan>,
    #[prost(sint64, repeated, tag = "12")]
    positive_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "13")]
    positive_counts: Vec<f64>,
    #[prost(int32, tag = "14")]
    reset_hint: i32,
    #[prost(int64, tag = "15")]
    timestamp: i64,
    #[prost(double, repeated, tag = "16")]
    custom_values: Vec<f64>,
}

#[derive(Clone, PartialEq, Message)]
struct PbSpan {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

#[derive(Clone, PartialEq, Message)]
struct PbLabel {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct PbSample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct PbExemplar {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<PbLabel>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(int64, tag = "3")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct PbMetadata {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(string, tag = "2")]
    family: String,
    #[prost(string, tag = "4")]
    help: String,
    #[prost(string, tag = "5")]
    unit: String,
}

type Labels = Vec<(Vec<u8>, Vec<u8>)>;

/// Labels, samples and exemplars of a series, values as bits so that NaN compares.
type Series = (Labels, Vec<(i64, u64)>, Vec<(Labels, i64, u64)>);

/// Type, family, help and unit.
type Told = (u64, Vec<u8>, Vec<u8>, Vec<u8>);

fn owned(labels: &[(&[u8], &[u8])]) -> Labels {
    let owned = labels.iter().map(|(n, v)| (n.to_vec(), v.to_vec()));
    owned.collect()
}

fn of_prost(labels: Vec<PbLabel>) -> Labels {
    let owned = labels.into_iter();
    owned
        .map(|l| (l.name.into_bytes(), l.value.into_bytes()))
        .collect()
}

fn by_views(bytes: &[u8]) -> Result<(Vec<Series>, Vec<Told>), WireError> {
    let (mut all, mut told) = (Vec::new(), Vec::new());
    let mut request = WriteRequest::new(bytes);
    while let Some(part) = request.next_part()? {
        match part {
            Part::Series(series) => {
                let mut samples = Vec::new();
                let scanned = series.scan(|t_ms, value| samples.push((t_ms, value.to_bits())))?;
                let mut labels = Vec::new();
                scanned.labels.read(&mut labels)?;
                let mut exemplars = Vec::new();
                series.exemplars(&mut Vec::new(), |labels, t_ms, value| {
                    exemplars.push((owned(labels), t_ms, value.to_bits()));
                })?;
                assert_eq!(exemplars.len(), scanned.n_exemplars);
                all.push((owned(&labels), samples, exemplars));
            }
            Part::Metadata(m) => {
                told.push((m.kind, m.family.to_vec(), m.help.to_vec(), m.unit.to_vec()))
            }
        }
    }
    Ok((all, told))
}

fn by_prost(bytes: &[u8]) -> Option<(Vec<Series>, Vec<Told>)> {
    let request = PbRequest::decode(bytes).ok()?;
    let series = request.timeseries.into_iter().map(|series| {
        let samples = series.samples.iter();
        let exemplars = series.exemplars.into_iter();
        (
            of_prost(series.labels),
            samples.map(|s| (s.timestamp, s.value.to_bits())).collect(),
            exemplars
                .map(|e| (of_prost(e.labels), e.timestamp, e.value.to_bits()))
                .collect(),
        )
    });
    let told = request.metadata.into_iter().map(|m| {
        (
            // The wire has 32 bits as 64, with their sign.
            i64::from(m.kind).cast_unsigned(),
            m.family.into_bytes(),
            m.help.into_bytes(),
            m.unit.into_bytes(),
        )
    });
    Some((series.collect(), told.collect()))
}

/// One encoded field, tag included.
type Encoded = Vec<u8>;

fn varint(mut value: u64) -> Encoded {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn nested(field: u32, content: &[u8]) -> Encoded {
    let mut out = varint(u64::from(field << 3 | 2));
    out.extend(varint(content.len() as u64));
    out.extend_from_slice(content);
    out
}

/// Fields no message knows: numbers, bytes, fixed widths, groups in groups.
fn unknown() -> impl Strategy<Value = Encoded> {
    prop_oneof![
        any::<u64>().prop_map(|n| [varint(100 << 3), varint(n)].concat()),
        any::<[u8; 8]>().prop_map(|n| [varint(101 << 3 | 1), n.to_vec()].concat()),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|content| nested(102, &content)),
        any::<[u8; 4]>().prop_map(|n| [varint(103 << 3 | 5), n.to_vec()].concat()),
        any::<u32>().prop_map(|n| {
            let inner = [varint(105 << 3 | 3), varint(1 << 3), varint(n.into())].concat();
            let ends = [varint(105 << 3 | 4), varint(104 << 3 | 4)].concat();
            [varint(104 << 3 | 3), inner, ends].concat()
        }),
    ]
}

/// Fields in any order, with unknown ones between them.
fn message(fields: impl Strategy<Value = Vec<Encoded>>) -> impl Strategy<Value = Encoded> {
    (fields, prop::collection::vec(unknown(), 0..2))
        .prop_map(|(mut fields, unknown)| {
            fields.extend(unknown);
            fields
        })
        .prop_shuffle()
        .prop_map(|fields| fields.concat())
}

fn label() -> impl Strategy<Value = Encoded> {
    let fields = (".{0,3}", "\\PC{0,150}")
        .prop_map(|(name, value)| vec![nested(1, name.as_bytes()), nested(2, value.as_bytes())]);
    message(fields).prop_map(|content| nested(1, &content))
}

fn sample() -> impl Strategy<Value = Encoded> {
    let fields = (any::<i64>(), any::<u64>()).prop_map(|(t_ms, bits)| {
        let time = [varint(2 << 3), varint(t_ms.cast_unsigned())].concat();
        vec![
            [varint(1 << 3 | 1), bits.to_le_bytes().to_vec()].concat(),
            time,
        ]
    });
    message(fields).prop_map(|content| nested(2, &content))
}

fn exemplar() -> impl Strategy<Value = Encoded> {
    let labels = prop::collection::vec(label(), 0..3);
    let fields = (labels, any::<i64>(), any::<u64>()).prop_map(|(mut fields, t_ms, bits)| {
        fields.push([varint(2 << 3 | 1), bits.to_le_bytes().to_vec()].concat());
        fields.push([varint(3 << 3), varint(t_ms.cast_unsigned())].concat());
        fields
    });
    message(fields).prop_map(|content| nested(3, &content))
}

fn metadata() -> impl Strategy<Value = Encoded> {
    let fields = (0u64..9, ".{0,5}").prop_map(|(kind, text)| {
        vec![
            [varint(1 << 3), varint(kind)].concat(),
            nested(2, text.as_bytes()),
            nested(4, text.to_uppercase().as_bytes()),
            nested(5, b"seconds"),
        ]
    });
    message(fields).prop_map(|content| nested(3, &content))
}

fn labels_then_samples() -> impl Strategy<Value = Vec<Encoded>> {
    let labels = prop::collection::vec(label(), 0..5);
    let samples = prop::collection::vec(sample(), 0..4);
    let exemplars = prop::collection::vec(exemplar(), 0..2);
    (labels, samples, exemplars).prop_map(|(labels, samples, e)| [labels, samples, e].concat())
}

fn part() -> impl Strategy<Value = Encoded> {
    prop_oneof![4 => series(), 1 => metadata()]
}

fn series() -> impl Strategy<Value = Encoded> {
    let in_order = labels_then_samples().prop_map(|fields| fields.concat());
    let content = prop_oneof![in_order, message(labels_then_samples())];
    content.prop_map(|content: Encoded| nested(1, &content))
}

proptest! {
    #[test]
    fn views_agree_with_prost_on_any_order_of_fields(
        bytes in message(prop::collection::vec(part(), 0..4)),
    ) {
        prop_assert_eq!(schema::check(&bytes, &schema::WRITE_REQUEST), Ok(()));
        let expected = by_prost(&bytes);
        prop_assert!(expected.is_some());
        prop_assert_eq!(by_views(&bytes).ok(), expected);
    }

    #[test]
    fn damaged_requests_are_refused_by_views_and_table_alike(
        bytes in message(prop::collection::vec(part(), 1..3)),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = bytes;
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(cut.index(bytes.len() * 4).max(1).min(bytes.len()));
        let views = by_views(&bytes);
        let table = schema::check(&bytes, &schema::WRITE_REQUEST);
        prop_assert_eq!(views.is_ok(), table.is_ok());
        if let Some(expected) = by_prost(&bytes) {
            prop_assert_eq!(views.ok(), Some(expected));
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let views = by_views(&bytes);
        prop_assert_eq!(views.is_ok(), schema::check(&bytes, &schema::WRITE_REQUEST).is_ok());
    }
}

#[test]
fn a_sample_in_place_of_a_histogram_is_damage() {
    let sample = [&[9][..], &[0; 8], &[16, 7]].concat();
    let request = |field| nested(1, &nested(field, &sample));
    assert!(by_views(&request(2)).is_ok() && by_prost(&request(2)).is_some());
    let bytes = request(4);
    assert!(schema::check(&bytes, &schema::WRITE_REQUEST).is_err());
    assert!(by_views(&bytes).is_err() && by_prost(&bytes).is_none());
}

#[test]
fn labels_in_one_run_are_told_from_scattered_ones() {
    let label = |name: &str| nested(1, &nested(1, name.as_bytes()));
    let sample = nested(2, &[]);
    let kind = |fields: &[&[u8]]| {
        let body = nested(1, &fields.concat());
        let mut request = WriteRequest::new(&body);
        let Ok(Some(Part::Series(series))) = request.next_part() else {
            panic!("no series");
        };
        match series.scan(|_, _| ()).unwrap().labels {
            LabelBytes::Run(bytes) => format!("run of {}", bytes.len()),
            LabelBytes::Scattered(_) => "scattered".to_owned(),
        }
    };
    let long = label(&"x".repeat(200));
    assert_eq!(kind(&[&label("a"), &label("b"), &sample]), "run of 10");
    assert_eq!(kind(&[&sample, &label("a"), &label("b")]), "run of 10");
    assert_eq!(kind(&[&label("a"), &long, &label("b")]), "run of 216");
    assert_eq!(kind(&[&label("a"), &sample, &label("b")]), "scattered");
    assert_eq!(kind(&[&sample]), "run of 0");
}

#[test]
fn errors_have_the_texts_senders_know() {
    let cases: [(&[u8], &str); 9] = [
        (&[0x0a], "unexpected EOF"),
        (&[0x0a, 5, 1], "unexpected EOF"),
        (&[0x80; 11], "proto: integer overflow"),
        (
            &[
                0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
            ],
            "proto: negative length found during unmarshaling",
        ),
        (
            &[0x0c],
            "proto: WriteRequest: wiretype end group for non-group",
        ),
        (&[0x02], "proto: WriteRequest: illegal tag 0 (wire type 2)"),
        (&[0x08, 1], "proto: wrong wireType = 0 for field Timeseries"),
        (&[0x26], "proto: illegal wireType 6"),
        (&[0x23, 0x08, 1], "unexpected EOF"),
    ];
    for (bytes, text) in cases {
        assert_eq!(by_views(bytes).unwrap_err().to_string(), text);
        let table = schema::check(bytes, &schema::WRITE_REQUEST);
        assert_eq!(table.unwrap_err().to_string(), text);
    }
}

#[test]
fn a_deep_nest_of_groups_is_passed_over_without_recursion() {
    let depth = 1_000_000;
    let begin = varint(200 << 3 | 3).repeat(depth);
    let end = varint(200 << 3 | 4).repeat(depth);
    let bytes = [begin, end].concat();
    let mut reader = Reader::new(&bytes);
    let tag = reader.tag("Test").unwrap().unwrap();
    assert_eq!(reader.skip(tag), Ok(()));
    assert_eq!(reader.tag("Test"), Ok(None));
}
