//! YAML in block style, written from the top down.

/// Writes keys and values at a depth.
#[derive(Debug, Default)]
pub(super) struct Writer {
    out: String,
    depth: usize,
}

impl Writer {
    /// Returns what was written.
    pub(super) fn finish(self) -> String {
        self.out
    }

    /// Writes a key with a text.
    pub(super) fn text(&mut self, key: &str, text: &str) {
        self.plain(key, &quoted(text));
    }

    /// Writes a key with a value as it is.
    pub(super) fn plain(&mut self, key: &str, value: &str) {
        self.line(&format!("{}: {value}", key_text(key)));
    }

    /// Writes a key with what `write` writes below it.
    pub(super) fn below(&mut self, key: &str, write: impl FnOnce(&mut Writer)) {
        self.line(&format!("{}:", key_text(key)));
        self.inside(write);
    }

    /// Writes one level further in: below a key, or the rest of an item.
    pub(super) fn inside(&mut self, write: impl FnOnce(&mut Writer)) {
        self.depth += 1;
        write(self);
        self.depth -= 1;
    }

    /// Writes an item of a list that is a text.
    pub(super) fn entry(&mut self, text: &str) {
        self.line(&format!("- {}", quoted(text)));
    }

    /// Writes an item of a list that begins with this key.
    pub(super) fn item(&mut self, key: &str, text: &str) {
        self.line(&format!("- {}: {}", key_text(key), quoted(text)));
    }

    fn line(&mut self, text: &str) {
        for _ in 0..self.depth {
            self.out.push_str("  ");
        }
        self.out.push_str(text);
        self.out.push('\n');
    }
}

/// Quotes a text as JSON does, which YAML reads.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn key_text(key: &str) -> String {
    let is_plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let is_number = key.bytes().all(|b| b.is_ascii_digit());
    match is_plain && !is_number {
        true => key.to_owned(),
        false => quoted(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let mut yaml = Writer::default();
        yaml.text("a", "x: \"y\" #z\n");
        yaml.below("200", |yaml| {
            yaml.item("$ref", "#/b");
            yaml.inside(|yaml| yaml.plain("c", "true"));
            yaml.entry("no");
        });
        let read: serde_json::Value = serde_saphyr::from_str(&yaml.finish()).unwrap();
        assert_eq!(
            read,
            serde_json::json!({
                "a": "x: \"y\" #z\n",
                "200": [{"$ref": "#/b", "c": true}, "no"],
            })
        );
    }
}
