//! Messages of a connection: with their length in front (RFC 6587, octet counting), or with
//! a newline behind. Each message tells by its first byte which it is.

/// Cuts what a connection brings into messages.
#[derive(Debug)]
pub(super) struct Frames {
    longest: usize,
    rest: Vec<u8>,
    /// Whether what follows is the rest of a message that is too long, up to a newline.
    skipping: bool,
    broken: bool,
}

/// A message that is longer than allowed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Frames {
    pub(super) fn new(longest: usize) -> Frames {
        Frames {
            longest,
            rest: Vec::new(),
            skipping: false,
            broken: false,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
    }

    /// Tells whether it is not known any more where a message begins.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Returns the next message that is whole.
    pub(super) fn next(&mut self) -> Option<Result<Vec<u8>, TooLong>> {
        if self.broken {
            return None;
        }
        if self.skipping {
            match memchr::memchr(b'\n', &self.rest) {
                Some(end) => {
                    self.rest.drain(..=end);
                    self.skipping = false;
                }
                None => {
                    self.rest.clear();
                    return None;
                }
            }
        }
        let ends = |byte: &u8| matches!(byte, b'\n' | b'\r' | b'\0');
        let blank = self.rest.iter().take_while(|byte| ends(byte)).count();
        self.rest.drain(..blank);
        match self.rest.first()? {
            b'1'..=b'9' => self.counted(),
            _ => self.line(),
        }
    }

    fn counted(&mut self) -> Option<Result<Vec<u8>, TooLong>> {
        let digits = self.rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let behind = self.rest.get(digits);
        if digits > 9 || behind.is_some_and(|byte| *byte != b' ') {
            // No length: it is a line that begins with a digit.
            return self.line();
        }
        behind?;
        let len = std::str::from_utf8(&self.rest[..digits]).ok()?;
        let len: usize = len.parse().ok()?;
        if len > self.longest {
            self.broken = true;
            return Some(Err(TooLong));
        }
        let end = digits + 1 + len;
        if self.rest.len() < end {
            return None;
        }
        let mut message = self.rest[digits + 1..end].to_vec();
        self.rest.drain(..end);
        // Some senders count the newline of their template.
        if message.last() == Some(&b'\n') {
            message.pop();
        }
        Some(Ok(message))
    }

    fn line(&mut self) -> Option<Result<Vec<u8>, TooLong>> {
        let end = memchr::memchr(b'\n', &self.rest);
        match end {
            Some(end) if end <= self.longest => {
                let mut message = self.rest[..end].to_vec();
                self.rest.drain(..=end);
                if message.last() == Some(&b'\r') {
                    message.pop();
                }
                Some(Ok(message))
            }
            None if self.rest.len() <= self.longest => None,
            _ => {
                self.skipping = true;
                Some(Err(TooLong))
            }
        }
    }

    /// Returns a last message that no newline ends.
    pub(super) fn finish(self) -> Option<Vec<u8>> {
        let whole = !self.skipping && !self.broken && self.rest.first() == Some(&b'<');
        whole.then_some(self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(chunks: &[&str]) -> Vec<String> {
        let mut frames = Frames::new(20);
        let mut out = Vec::new();
        for chunk in chunks {
            frames.push(chunk.as_bytes());
            while let Some(frame) = frames.next() {
                out.push(match frame {
                    Ok(bytes) => String::from_utf8(bytes).unwrap(),
                    Err(TooLong) => "too long".to_owned(),
                });
            }
        }
        if frames.is_broken() {
            out.push("broken".to_owned());
        }
        out.extend(frames.finish().map(|rest| String::from_utf8(rest).unwrap()));
        out
    }

    #[test]
    fn both_framings_are_understood_and_lengths_bounded() {
        assert_eq!(
            messages(&["5 <1>ab3 <2>", "<3>x\r\n", "\n<4>y\n<5>z"]),
            ["<1>ab", "<2>", "<3>x", "<4>y", "<5>z"]
        );
        assert_eq!(
            messages(&["1", "0 <1>ab\nb\n", "cd2 ab"]),
            ["<1>ab\nb\ncd", "ab"]
        );
        assert_eq!(messages(&["6 <1>ab\n6 <1>cd\n"]), ["<1>ab", "<1>cd"]);
        let long = format!("<1>{}", "x".repeat(30));
        assert_eq!(messages(&[&long, "yy\n<2>\n"]), ["too long", "<2>"]);
        assert_eq!(messages(&["21 <1>"]), ["too long", "broken"]);
        assert_eq!(messages(&["9999999999 x\n<1>\n"]), ["9999999999 x", "<1>"]);
    }
}
