//! Prints and hashes of a label set that users and other programs see.

use std::fmt;

use xxhash_rust::xxh64::xxh64;

use super::{Labels, METRIC_NAME};
use crate::compat::name::is_legacy_label_name;
use crate::compat::quote::push_quoted;
use crate::compat::{TextSink, json};

/// Prints as Prometheus does: `{__name__="up", "a.b"="c"}`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(64);
        text.push('{');
        for (at, (name, value)) in self.iter().enumerate() {
            if at > 0 {
                text.push_str(", ");
            }
            if is_legacy_label_name(name) {
                text.push_str(name);
            } else {
                push_quoted(&mut text, name);
            }
            text.push('=');
            push_quoted(&mut text, value);
        }
        text.push('}');
        f.write_str(&text)
    }
}

impl Labels {
    /// Appends the set as a JSON object, in order of name, escaped as Go escapes.
    pub fn push_json(&self, out: &mut impl TextSink) {
        out.push_text("{");
        for (at, (name, value)) in self.iter().enumerate() {
            if at > 0 {
                out.push_text(",");
            }
            json::push_string(out, name);
            out.push_text(":");
            json::push_string(out, value);
        }
        out.push_text("}");
    }

    /// Returns the set in the older print, as in `up{job="api"}`: names of labels are
    /// never quoted, and the metric's name stands in front as it is.
    pub fn to_metric_string(&self) -> String {
        let mut text = self.metric_name().to_owned();
        let mut separator = "{";
        for (name, value) in self.iter().filter(|(name, _)| *name != METRIC_NAME) {
            text.push_str(separator);
            text.push_str(name);
            text.push('=');
            push_quoted(&mut text, value);
            separator = ", ";
        }
        if separator == ", " {
            text.push('}');
        } else if text.is_empty() {
            text.push_str("{}");
        }
        text
    }

    /// Returns the hash that Prometheus gives the set: xxHash64 of its label encoding.
    /// Used where its value is visible, such as the order of sharded targets.
    pub fn prometheus_hash(&self) -> u64 {
        let mut encoded = Vec::with_capacity(256);
        for text in self.iter().flat_map(|(name, value)| [name, value]) {
            // One byte of length, or the byte 255 and three bytes.
            match u8::try_from(text.len()) {
                Ok(len) if len < 255 => encoded.push(len),
                _ => {
                    encoded.push(255);
                    encoded.extend_from_slice(&(text.len() as u32).to_le_bytes()[..3]);
                }
            }
            encoded.extend_from_slice(text.as_bytes());
        }
        xxh64(&encoded, 0)
    }

    /// Returns the fingerprint of the older model, which Alertmanager's API shows:
    /// FNV-1a over names and values, each followed by the byte 255.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        let mut add = |byte: u8| {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        };
        for text in self.iter().flat_map(|(name, value)| [name, value]) {
            text.bytes().for_each(&mut add);
            add(255);
        }
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_outside_the_old_alphabet_are_quoted() {
        let labels = Labels::from_pairs([("__name__", "up"), ("a.b", "c\n"), ("z", "é")]);
        assert_eq!(labels.to_string(), r#"{__name__="up", "a.b"="c\n", z="é"}"#);
        assert_eq!(labels.to_metric_string(), r#"up{a.b="c\n", z="é"}"#);
        let mut json = String::new();
        labels.push_json(&mut json);
        assert_eq!(json, r#"{"__name__":"up","a.b":"c\n","z":"é"}"#);
        assert_eq!(Labels::empty().to_string(), "{}");
        assert_eq!(Labels::empty().to_metric_string(), "{}");
    }

    #[test]
    fn long_values_are_hashed_with_three_length_bytes() {
        let hash = |len: usize| Labels::from_pairs([("a", "x".repeat(len))]).prometheus_hash();
        let encoded = [&b"\x01a\xff\xff\0\0"[..], &[b'x'; 255]].concat();
        assert_eq!(hash(255), xxh64(&encoded, 0));
        let encoded = [&b"\x01a\xfe"[..], &[b'x'; 254]].concat();
        assert_eq!(hash(254), xxh64(&encoded, 0));
    }
}
