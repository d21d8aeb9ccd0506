//! Bytes of logs as text.

use std::borrow::Cow;

/// Returns bytes as text, with one replacement character for each byte that is not part of
/// valid UTF-8. So Go writes such bytes into JSON; [`String::from_utf8_lossy`] makes one of
/// several.
///
/// ```
/// use kymo_query::logql::text_of;
///
/// assert_eq!(text_of(b"a\xe3\x83b"), "a\u{fffd}\u{fffd}b");
/// ```
pub fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(bytes) {
        return text.into();
    }
    let mut text = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        let invalid = chunk.invalid().iter();
        text.extend(invalid.map(|_| char::REPLACEMENT_CHARACTER));
    }
    text.into()
}
