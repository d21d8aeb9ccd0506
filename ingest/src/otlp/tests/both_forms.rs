//! Protobuf and JSON of one request, made from the tables by chance: one is turned into
//! the other to the byte, and both store the same. Any bytes at all end in an answer.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::super::json::transcode;
use super::super::schema::{Field, Kind, Message, REQUEST, check};
use super::super::{DecodeError, Family, PointError, Sample, Settings, Sink, Strategy, translate};
use super::Fixture;
use crate::otlp::Format;

/// Decisions taken from bytes; when they are used up, each is 0.
struct Chance<'b> {
    bytes: std::slice::Iter<'b, u8>,
}

impl Chance<'_> {
    fn below(&mut self, n: usize) -> usize {
        usize::from(self.bytes.next().copied().unwrap_or(0)) % n
    }

    fn number(&mut self) -> u64 {
        const SOME: [u64; 8] = [
            0,
            1,
            127,
            128,
            1_699_999_000_000_000_000,
            1_699_999_900_000_000_000,
            i64::MAX as u64,
            u64::MAX,
        ];
        SOME[self.below(SOME.len())]
    }

    fn double(&mut self) -> f64 {
        const SOME: [f64; 8] = [
            0.0,
            -0.0,
            1.5,
            106.9711436488335,
            1e21,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ];
        SOME[self.below(SOME.len())]
    }

    fn text(&mut self) -> &'static str {
        const SOME: [&str; 8] = [
            "",
            "a.b",
            "a_b",
            "service.name",
            "s",
            "é \"q\"\\",
            "1",
            "\u{2028}<&",
        ];
        SOME[self.below(SOME.len())]
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn tag(out: &mut Vec<u8>, field: &Field, wire_type: u64) {
    varint(out, u64::from(field.number) << 3 | wire_type);
}

fn bytes(out: &mut Vec<u8>, field: &Field, content: &[u8]) {
    tag(out, field, 2);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// Returns one of the two names that JSON has for a field.
fn key(field: &Field, chance: &mut Chance<'_>) -> String {
    let snake = chance.below(2) == 1;
    let mut key = String::new();
    for (at, c) in field.name.chars().enumerate() {
        if c.is_ascii_uppercase() && at > 0 && snake {
            key.push('_');
        }
        if at == 0 || snake {
            key.push(c.to_ascii_lowercase());
        } else {
            key.push(c);
        }
    }
    key
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// Writes a number as it is or as a string.
fn number(text: &str, chance: &mut Chance<'_>) -> String {
    match chance.below(2) {
        0 => text.to_owned(),
        _ => quoted(text),
    }
}

fn double(value: f64, chance: &mut Chance<'_>) -> String {
    match value {
        f64::INFINITY => quoted("Infinity"),
        f64::NEG_INFINITY => quoted("-Infinity"),
        value if value.is_nan() => quoted("NaN"),
        value => number(&format!("{value:?}"), chance),
    }
}

/// What Go reads "NaN" as.
fn bits(value: f64) -> [u8; 8] {
    match value.is_nan() {
        true => 0x7ff8_0000_0000_0001u64.to_le_bytes(),
        false => value.to_le_bytes(),
    }
}

/// Makes a message and returns it in both forms.
fn message(message: &'static Message, chance: &mut Chance<'_>, depth: usize) -> (Vec<u8>, String) {
    let (mut out, mut json) = (Vec::new(), "{".to_owned());
    let push = |json: &mut String, key: String, value: String| {
        if json.len() > 1 {
            json.push(',');
        }
        write!(json, "{}:{value}", quoted(&key)).unwrap();
    };
    for _ in 0..chance.below(message.fields.len() + 2) {
        let field = &message.fields[chance.below(message.fields.len())];
        let key = key(field, chance);
        let value = match &field.kind {
            Kind::Text => {
                let text = chance.text();
                bytes(&mut out, field, text.as_bytes());
                quoted(text)
            }
            Kind::Bytes => {
                bytes(&mut out, field, b"hi");
                quoted("aGk=")
            }
            Kind::Id(len) => {
                let id = vec![chance.below(256) as u8; *len];
                bytes(&mut out, field, &id);
                quoted(&format!("{:02x}", id[0]).repeat(*len))
            }
            Kind::Fixed64 => {
                let value = chance.number();
                tag(&mut out, field, 1);
                out.extend(value.to_le_bytes());
                number(&value.to_string(), chance)
            }
            Kind::Fixed32 => {
                let value = chance.number() as u32;
                tag(&mut out, field, 5);
                out.extend(value.to_le_bytes());
                number(&value.to_string(), chance)
            }
            Kind::SignedFixed64 => {
                let value = chance.number().cast_signed();
                tag(&mut out, field, 1);
                out.extend(value.to_le_bytes());
                number(&value.to_string(), chance)
            }
            Kind::Double => {
                let value = chance.double();
                tag(&mut out, field, 1);
                out.extend(bits(value));
                double(value, chance)
            }
            Kind::Uint32 => {
                let value = chance.below(256) as u64;
                tag(&mut out, field, 0);
                varint(&mut out, value);
                number(&value.to_string(), chance)
            }
            Kind::Int64 => {
                let value = chance.number();
                tag(&mut out, field, 0);
                varint(&mut out, value);
                number(&value.cast_signed().to_string(), chance)
            }
            Kind::Zigzag32 => {
                let value = chance.below(256) as i32 - 100;
                tag(&mut out, field, 0);
                let zigzag = (value << 1 ^ value >> 31).cast_unsigned();
                varint(&mut out, u64::from(zigzag));
                number(&value.to_string(), chance)
            }
            Kind::Bool => {
                let value = chance.below(2);
                tag(&mut out, field, 0);
                varint(&mut out, value as u64);
                (value == 1).to_string()
            }
            Kind::Enum(names) => {
                let value = chance.below(names.len());
                tag(&mut out, field, 0);
                varint(&mut out, value as u64);
                match chance.below(2) {
                    0 => value.to_string(),
                    _ => quoted(names[value]),
                }
            }
            Kind::Message(_) | Kind::Messages(_) if depth == 0 => continue,
            Kind::Message(inner) => {
                let (content, text) = self::message(inner, chance, depth - 1);
                bytes(&mut out, field, &content);
                text
            }
            Kind::Messages(inner) => {
                let mut texts = Vec::new();
                for _ in 0..chance.below(4) {
                    let (content, text) = self::message(inner, chance, depth - 1);
                    bytes(&mut out, field, &content);
                    texts.push(text);
                }
                format!("[{}]", texts.join(","))
            }
            Kind::Doubles | Kind::Fixed64s | Kind::Uint64s => {
                let (mut content, mut texts) = (Vec::new(), Vec::new());
                for _ in 0..chance.below(5) {
                    if matches!(field.kind, Kind::Doubles) {
                        let value = chance.double();
                        content.extend(bits(value));
                        texts.push(double(value, chance));
                        continue;
                    }
                    let value = chance.number();
                    match field.kind {
                        Kind::Fixed64s => content.extend(value.to_le_bytes()),
                        _ => varint(&mut content, value),
                    }
                    texts.push(number(&value.to_string(), chance));
                }
                bytes(&mut out, field, &content);
                format!("[{}]", texts.join(", "))
            }
        };
        push(&mut json, key, value);
    }
    json.push('}');
    (out, json)
}

/// Takes everything and keeps nothing.
#[derive(Default)]
struct Anything {
    known: std::collections::HashSet<Vec<u8>>,
    n_samples: usize,
}

impl Sink for Anything {
    type Series = ();

    fn digest(&self, bytes: &[u8]) -> [u8; 16] {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let half = |seed: u8| {
            let mut hasher = DefaultHasher::new();
            (seed, bytes).hash(&mut hasher);
            u128::from(hasher.finish())
        };
        (half(0) << 64 | half(1)).to_le_bytes()
    }

    fn known(&mut self, key: &[u8]) -> Option<()> {
        self.known.contains(key).then_some(())
    }

    fn series(&mut self, key: Option<&[u8]>, labels: &[(&str, &str)]) -> Result<(), PointError> {
        assert!(labels.is_sorted_by_key(|(name, _)| *name), "{labels:?}");
        assert!(labels.iter().all(|(_, value)| !value.is_empty()));
        self.known.extend(key.map(<[u8]>::to_vec));
        Ok(())
    }

    fn family(&mut self, _family: &Family) {}

    fn append(&mut self, (): (), _sample: Sample<'_>) -> Result<(), PointError> {
        self.n_samples += 1;
        Ok(())
    }
}

fn settings(bits: u8) -> Settings {
    let is_on = |bit: u8| bits >> bit & 1 == 1;
    Settings {
        strategy: Strategy::ALL[usize::from(bits & 3)],
        convert_histograms_to_nhcb: is_on(2),
        promote_scope_metadata: is_on(3),
        preserve_multiple_underscores: is_on(4),
        allow_delta: is_on(5),
        type_and_unit_labels: is_on(6),
        keep_identifying_attributes: is_on(7),
        ..Settings::default()
    }
}

/// The body of the fuzz target: what is translated without a mistake is a request.
fn translate_anything(bytes: &[u8], settings: &Settings) {
    let translated = translate(bytes, settings, &mut Anything::default());
    let checked = check(bytes, &REQUEST);
    match translated {
        Ok(translated) if translated.errors.is_empty() => assert_eq!(checked, Ok(())),
        Ok(_) | Err(DecodeError::TooMany { .. }) => {}
        Err(error) => assert!(checked.is_err(), "{error}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn json_becomes_the_protobuf_of_the_same_request(
        choices in proptest::collection::vec(any::<u8>(), 0..400),
        bits in any::<u8>(),
    ) {
        let mut chance = Chance { bytes: choices.iter() };
        let (protobuf, json) = message(&REQUEST, &mut chance, 8);
        let mut out = Vec::new();
        transcode(json.as_bytes(), &REQUEST, &mut out, 1 << 20).unwrap();
        prop_assert_eq!(&out, &protobuf, "{}", json);
        translate_anything(&protobuf, &settings(bits));
    }

    #[test]
    fn json_of_logs_becomes_their_protobuf(choices in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut chance = Chance { bytes: choices.iter() };
        let logs = &crate::otlp::logs::schema::REQUEST;
        let (protobuf, json) = message(logs, &mut chance, 8);
        let mut out = Vec::new();
        transcode(json.as_bytes(), logs, &mut out, 1 << 20).unwrap();
        prop_assert_eq!(&out, &protobuf, "{}", json);
        prop_assert_eq!(check(&protobuf, logs), Ok(()));
    }

    #[test]
    fn spoiled_requests_and_any_bytes_end_in_an_answer(
        choices in proptest::collection::vec(any::<u8>(), 0..400),
        spoils in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..4),
        any_bytes in proptest::collection::vec(any::<u8>(), 0..60),
        bits in any::<u8>(),
    ) {
        let mut chance = Chance { bytes: choices.iter() };
        let (mut protobuf, mut json) = message(&REQUEST, &mut chance, 8);
        for (at, byte) in spoils {
            if !protobuf.is_empty() {
                let at = at % protobuf.len();
                protobuf[at] = byte;
            }
            let at = at % json.len();
            if json.is_char_boundary(at) && json.is_char_boundary(at + 1) {
                json.replace_range(at..=at, if byte < 128 { "\"" } else { "9" });
            }
        }
        for bytes in [&protobuf, &any_bytes] {
            translate_anything(bytes, &settings(bits));
        }
        for text in [json.as_bytes(), &any_bytes] {
            let mut out = Vec::new();
            if transcode(text, &REQUEST, &mut out, 1 << 20).is_ok() {
                // Whatever JSON is taken makes a request.
                prop_assert_eq!(check(&out, &REQUEST), Ok(()));
                translate_anything(&out, &settings(bits));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn both_forms_store_the_same(choices in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut chance = Chance { bytes: choices.iter() };
        let (protobuf, json) = message(&REQUEST, &mut chance, 8);
        let (one, other) = (Fixture::new(), Fixture::new());
        let text = |outcome: Result<super::Receipt, super::PushError>| match outcome {
            Ok(receipt) => format!("stored {}", receipt.samples),
            Err(error) => error.to_string(),
        };
        let by_protobuf = text(one.push_as(Format::Protobuf, &protobuf));
        let by_json = text(other.push_as(Format::Json, json.as_bytes()));
        prop_assert_eq!(by_protobuf, by_json);
        prop_assert_eq!(one.stored(), other.stored());
    }
}

#[test]
fn seeds_of_fuzzing_are_requests_of_all_kinds() {
    let json = include_bytes!("../../../../fuzz/corpus/otlp_json/all_kinds.seed");
    let protobuf = include_bytes!("../../../../fuzz/corpus/otlp_protobuf/all_kinds.seed");
    let mut transcoded = Vec::new();
    transcode(&json[1..], &REQUEST, &mut transcoded, 1 << 20).unwrap();
    for (bits, request) in [(json[0], &transcoded[..]), (protobuf[0], &protobuf[1..])] {
        let mut sink = Anything::default();
        let translated = translate(request, &settings(bits), &mut sink).unwrap();
        assert_eq!(translated.errors, []);
        // A sum, one native histogram of each kind, a summary of two or three, target_info.
        assert!(sink.n_samples >= 6, "{}", sink.n_samples);
    }
}
