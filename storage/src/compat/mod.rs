//! What users can see of Go in the programs we are compatible with: how numbers,
//! durations, times, strings and names are printed and read, and Go's regular
//! expressions.
//!
//! Each file restates one small piece of behaviour exactly, error texts included.
//! Nothing here knows of series, queries or files.

pub mod duration;
pub mod float;
pub mod json;
pub mod letter_case;
pub mod name;
pub mod natural;
pub mod quote;
pub mod regex;
pub mod time;

/// Where text is appended: a `String` or a `Vec<u8>`.
pub trait TextSink {
    /// Appends text.
    fn push_text(&mut self, text: &str);
}

impl TextSink for String {
    #[inline]
    fn push_text(&mut self, text: &str) {
        self.push_str(text);
    }
}

impl TextSink for Vec<u8> {
    #[inline]
    fn push_text(&mut self, text: &str) {
        self.extend_from_slice(text.as_bytes());
    }
}
