//! Texts with their length in front: length varint, UTF-8 bytes.

use super::{CodecError, varint};

/// Appends `text`.
pub fn write(out: &mut Vec<u8>, text: &str) {
    varint::write_u64(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Takes one text from the front of `bytes`.
///
/// # Errors
/// [`CodecError`] when the bytes end early or are not UTF-8.
pub fn read<'a>(bytes: &mut &'a [u8]) -> Result<&'a str, CodecError> {
    let len = usize::try_from(varint::read_u64(bytes)?).unwrap_or(usize::MAX);
    let text = bytes
        .split_off(..len)
        .ok_or(CodecError::Truncated("text"))?;
    str::from_utf8(text).map_err(|_| CodecError::Invalid("UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trips(texts: Vec<String>) {
            let mut out = Vec::new();
            for text in &texts {
                write(&mut out, text);
            }
            let mut rest = &out[..];
            for text in &texts {
                prop_assert_eq!(read(&mut rest), Ok(text.as_str()));
            }
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let mut rest = &bytes[..];
            while read(&mut rest).is_ok() {}
        }
    }
}
