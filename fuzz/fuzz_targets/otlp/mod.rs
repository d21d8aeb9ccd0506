//! A translation to nowhere, for the targets of OTLP.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use kymo_ingest::otlp::{
    DecodeError, Family, PointError, Sample, Settings, Sink, Strategy, check_request, translate,
};

/// Knows keys as a store does, and keeps nothing else.
#[derive(Default)]
struct Nowhere {
    known: HashSet<Vec<u8>>,
}

impl Sink for Nowhere {
    type Series = ();

    fn digest(&self, bytes: &[u8]) -> [u8; 16] {
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

/// Translates bytes; what is translated without a mistake is a request.
pub fn run(bits: u8, bytes: &[u8]) {
    let translated = translate(bytes, &settings(bits), &mut Nowhere::default());
    let checked = check_request(bytes);
    match translated {
        Ok(translated) if translated.errors.is_empty() => assert_eq!(checked, Ok(())),
        Ok(_) | Err(DecodeError::TooMany { .. }) => {}
        Err(error) => assert!(checked.is_err(), "{error}"),
    }
}
