//! Structured metadata as a store has it: names that labels may have, in order, texts that
//! are UTF-8.

use std::borrow::Cow;

use kymo_storage::model::Metadata;

use super::level::DETECTED_LEVEL;
use crate::otlp::sanitized_label_name;

/// Returns how many names there are and the bytes that count against the limit: those of
/// a level that was found before do not.
#[inline]
pub(crate) fn size(metadata: &Metadata<'_>) -> (usize, usize) {
    let counted = metadata.iter().filter(|(name, _)| name != DETECTED_LEVEL);
    let bytes = counted.map(|(name, value)| name.len() + value.len()).sum();
    (metadata.len(), bytes)
}

/// Returns a value as text: what is not UTF-8, and what says that something was not,
/// becomes blanks.
#[inline]
pub(crate) fn value(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => clean(text.into()),
        Err(_) => {
            let mut text = String::with_capacity(bytes.len());
            for chunk in bytes.utf8_chunks() {
                text.push_str(chunk.valid());
                // One for each byte, as in Go.
                text.extend(chunk.invalid().iter().map(|_| ' '));
            }
            clean(text.into())
        }
    }
}

fn clean(text: Cow<'_, str>) -> Cow<'_, str> {
    match memchr::memchr(0xef, text.as_bytes()) {
        Some(_) if text.contains(char::REPLACEMENT_CHARACTER) => {
            text.replace(char::REPLACEMENT_CHARACTER, " ").into()
        }
        _ => text,
    }
}

/// Returns a name as text.
#[inline]
pub(crate) fn name(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Makes names such that labels may have them, puts them in order and leaves out what is
/// empty. Of several values of one name the last one stays.
///
/// # Errors
/// Nothing of a name can be kept, and which.
pub(crate) fn normalise(metadata: &mut Metadata<'_>) -> Result<(), String> {
    for (name, _) in metadata.iter_mut() {
        if !is_normal(name.as_bytes()) {
            *name = sanitized_label_name(name)?.into();
        }
    }
    metadata.retain(|(_, value)| !value.is_empty());
    if !metadata.is_sorted_by(|(one, _), (other, _)| one < other) {
        // Stable, so that those of one name stay in order.
        metadata.sort_by(|(one, _), (other, _)| one.cmp(other));
        metadata.dedup_by(|later, first| {
            let same = later.0 == first.0;
            if same {
                std::mem::swap(&mut later.1, &mut first.1);
            }
            same
        });
    }
    Ok(())
}

/// Tells whether a name stays as it is: letters, digits and single underscores.
#[inline]
fn is_normal(name: &[u8]) -> bool {
    let mut before = b'0';
    let normal = name.iter().all(|&byte| {
        let normal = byte.is_ascii_alphanumeric() || byte == b'_' && before != b'_';
        before = byte;
        normal
    });
    normal && name.first().is_some_and(|byte| !byte.is_ascii_digit()) && name != b"_"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(pairs: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        let mut metadata: Metadata<'_> = pairs
            .iter()
            .map(|&(name, value)| (name.into(), value.into()))
            .collect();
        normalise(&mut metadata)?;
        let owned = metadata.into_iter();
        Ok(owned
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect())
    }

    #[test]
    fn names_become_those_of_labels_in_order() {
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            let owned = pairs.iter().map(|&(n, v)| (n.to_owned(), v.to_owned()));
            owned.collect()
        };
        assert_eq!(
            normal(&[
                ("odd-name", "1"),
                ("b", "2"),
                ("a", "3"),
                ("1x", "4"),
                ("a", "5"),
                ("e", "")
            ])
            .unwrap(),
            pairs(&[("a", "5"), ("b", "2"), ("key_1x", "4"), ("odd_name", "1")])
        );
        assert_eq!(normal(&[("a__b", "1")]).unwrap(), pairs(&[("a_b", "1")]));
        assert_eq!(normal(&[("__a__", "1")]).unwrap(), pairs(&[("__a__", "1")]));
        assert!(normal(&[("", "1")]).is_err());
        assert!(normal(&[("-", "1")]).is_err());
        assert!(normal(&[("_", "1")]).is_err());
    }

    #[test]
    fn values_are_text() {
        assert_eq!(value(b"plain"), "plain");
        assert_eq!(value("naïve \u{fffd}!".as_bytes()), "naïve  !");
        assert_eq!(value(b"a\xff\xe2\x82b"), "a   b");
    }

    proptest! {
        #[test]
        fn a_normal_name_is_what_it_is_made(name in "[a-c_.0-9]{1,6}") {
            if is_normal(name.as_bytes()) {
                prop_assert_eq!(sanitized_label_name(&name).unwrap(), name);
            }
        }
    }
}
