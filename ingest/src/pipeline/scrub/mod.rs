//! The stage `scrub`: personal data and secrets are taken out of entries before anything
//! else sees them.
//!
//! What is found is replaced by its kind (`<email>`), or by its kind and a keyed hash
//! (`<email:9f2c...>`), so that equal values can still be compared and counted while nobody
//! without the key can tell which they were, not even by trying all there are. A dry run
//! counts and changes nothing.
//!
//! All finders look at the text as it came. Where findings overlap, all of them is replaced
//! under the kind of the one that starts first, and of these the longest; the rest of the
//! text keeps every byte.
//!
//! Invariant: what is replaced is counted, under its kind.

mod find;
mod json_keys;
mod quotes;
mod secrets;

use std::ops::Range;
use std::sync::Arc;

use ring::hmac;

use super::stats::PipelineStats;
use super::value::Value;
use super::{Entry, Stage, Step, Tools};

/// Bytes of a hash that stand in the text, twice as many digits.
const HASH_BYTES: usize = 8;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Addresses of electronic mail.
    Email,
    /// Addresses of the internet protocol, version 4.
    Ipv4,
    /// Addresses of the internet protocol, version 6.
    Ipv6,
    /// Numbers of payment cards: 13 to 19 digits with the right check digit.
    Card,
    /// Credentials: bearer tokens, JWTs, keys of known services, values of names such as
    /// `password`.
    Token,
    /// Values of chosen keys.
    JsonKey,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 6] = [
        Kind::Email,
        Kind::Ipv4,
        Kind::Ipv6,
        Kind::Card,
        Kind::Token,
        Kind::JsonKey,
    ];

    /// Returns the kind's name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Email => "email",
            Kind::Ipv4 => "ipv4",
            Kind::Ipv6 => "ipv6",
            Kind::Card => "card",
            Kind::Token => "token",
            Kind::JsonKey => "json_key",
        }
    }

    /// Returns the kind of a name that a configuration may list.
    pub fn by_name(name: &str) -> Option<Kind> {
        let mut listed = Kind::ALL.into_iter().filter(|kind| *kind != Kind::JsonKey);
        listed.find(|kind| kind.name() == name)
    }
}

/// How a `scrub` stage works.
#[derive(Debug, Clone, PartialEq)]
pub struct ScrubConfig {
    /// What is looked for, besides keys.
    pub kinds: Vec<Kind>,
    /// Keys of JSON whose values are taken out, whatever they are.
    pub json_keys: Vec<String>,
    /// An extracted value instead of the line.
    pub source: Option<String>,
    /// Key of the hashes that take a finding's place; without, it is only named.
    pub hash_key: Option<HashKey>,
    /// Whether findings are counted and stay.
    pub dry_run: bool,
}

/// A secret that values are hashed with. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct HashKey(pub Vec<u8>);

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<secret>")
    }
}

/// A place in a text that holds what was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) range: Range<usize>,
    pub(super) kind: Kind,
    /// Set where it stands for a whole value of JSON, which a string takes the place of: the
    /// backslashes in front of its quotes.
    pub(super) quote: Option<usize>,
}

impl Finding {
    /// Returns what was found, without the quotes of a string.
    fn value<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        let whole = &text[self.range.clone()];
        match self.quote.and_then(|_| quotes::string(whole, 0, b"\"")) {
            Some(string) => &whole[string.content],
            None => whole,
        }
    }
}

/// Looks for personal data in texts and replaces it.
#[derive(Debug, Clone)]
pub struct Scrubber {
    kinds: Arc<[Kind]>,
    json_keys: Arc<[String]>,
    key: Option<hmac::Key>,
}

impl Scrubber {
    /// Makes a scrubber.
    ///
    /// # Errors
    /// There is nothing to look for, or the key is too short.
    pub fn new(config: &ScrubConfig) -> Result<Scrubber, String> {
        if config.kinds.is_empty() && config.json_keys.is_empty() {
            return Err("scrub stage needs kinds or json_keys to look for".to_owned());
        }
        if config.json_keys.iter().any(String::is_empty) {
            return Err("scrub stage has an empty key in json_keys".to_owned());
        }
        let key = config.hash_key.as_ref();
        if key.is_some_and(|key| key.0.len() < 16) {
            return Err("scrub stage needs a hash_key of 16 bytes at least".to_owned());
        }
        Ok(Scrubber {
            kinds: config.kinds.clone().into(),
            json_keys: config.json_keys.clone().into(),
            key: key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, &key.0)),
        })
    }

    /// Returns the text without what was found, and counts findings by kind; `None` where
    /// nothing was found.
    pub fn scrub(&self, text: &[u8], mut found: impl FnMut(Kind)) -> Option<Vec<u8>> {
        let findings = self.findings(text);
        if findings.is_empty() {
            return None;
        }
        let mut out = Vec::with_capacity(text.len());
        let mut copied_to = 0;
        for finding in findings {
            found(finding.kind);
            out.extend_from_slice(&text[copied_to..finding.range.start]);
            copied_to = finding.range.end;
            let quote = |out: &mut Vec<u8>| {
                if let Some(escapes) = finding.quote {
                    out.resize(out.len() + escapes, b'\\');
                    out.push(b'"');
                }
            };
            quote(&mut out);
            self.replacement(finding.kind, finding.value(text), &mut out);
            quote(&mut out);
        }
        out.extend_from_slice(&text[copied_to..]);
        Some(out)
    }

    /// Returns the findings in order, none over another: one that reaches beyond the one in
    /// front of it makes that longer.
    fn findings(&self, text: &[u8]) -> Vec<Finding> {
        let mut all = Vec::new();
        json_keys::find(text, &self.json_keys, &mut all);
        for kind in self.kinds.iter() {
            match kind {
                Kind::Email => find::emails(text, &mut all),
                Kind::Ipv4 => find::ipv4(text, &mut all),
                Kind::Ipv6 => find::ipv6(text, &mut all),
                Kind::Card => find::cards(text, &mut all),
                Kind::Token => secrets::find(text, &mut all),
                Kind::JsonKey => {}
            }
        }
        all.sort_by_key(|f| (f.range.start, std::cmp::Reverse(f.range.end)));
        all.dedup_by(|later, first| {
            let overlaps = later.range.start < first.range.end;
            if overlaps {
                first.range.end = first.range.end.max(later.range.end);
            }
            overlaps
        });
        all
    }

    fn replacement(&self, kind: Kind, value: &[u8], out: &mut Vec<u8>) {
        out.push(b'<');
        out.extend_from_slice(kind.name().as_bytes());
        if let Some(key) = &self.key {
            out.push(b':');
            let tag = hmac::sign(key, value);
            for byte in tag.as_ref().iter().take(HASH_BYTES) {
                let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0') as u8;
                out.push(digit(byte >> 4));
                out.push(digit(byte & 0xf));
            }
        }
        out.push(b'>');
    }
}

/// The stage.
#[derive(Clone)]
pub(super) struct Scrub {
    scrubber: Scrubber,
    source: Option<Arc<str>>,
    dry_run: bool,
    stats: Arc<PipelineStats>,
}

impl Scrub {
    pub(super) fn new(config: &ScrubConfig, tools: &Tools) -> Result<Scrub, String> {
        Ok(Scrub {
            scrubber: Scrubber::new(config)?,
            source: config.source.as_deref().map(Arc::from),
            dry_run: config.dry_run,
            stats: Arc::clone(&tools.stats),
        })
    }
}

impl Stage for Scrub {
    fn process(&mut self, mut entry: Entry) -> Step {
        let count = |kind| self.stats.scrubbed(kind, self.dry_run);
        match &self.source {
            None => {
                let scrubbed = self.scrubber.scrub(&entry.line, count);
                if let Some(line) = scrubbed.filter(|_| !self.dry_run) {
                    entry.line = line;
                }
            }
            Some(name) => {
                let text = entry.extracted.get(name).and_then(Value::text);
                let scrubbed = text.and_then(|t| self.scrubber.scrub(t.as_bytes(), count));
                if let Some(text) = scrubbed.filter(|_| !self.dry_run) {
                    let text = String::from_utf8_lossy(&text).into_owned();
                    entry.extracted.insert(Arc::clone(name), Value::Text(text));
                }
            }
        }
        Step::On(entry)
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scrubber(hash_key: Option<&str>) -> Scrubber {
        let listed = Kind::ALL.into_iter().filter(|kind| *kind != Kind::JsonKey);
        Scrubber::new(&ScrubConfig {
            kinds: listed.collect(),
            json_keys: vec!["user".to_owned(), "password".to_owned()],
            source: None,
            hash_key: hash_key.map(|key| HashKey(key.as_bytes().to_vec())),
            dry_run: false,
        })
        .unwrap()
    }

    fn scrubbed(text: &str) -> String {
        let out = scrubber(None).scrub(text.as_bytes(), |_| {});
        out.map_or(text.to_owned(), |out| String::from_utf8(out).unwrap())
    }

    #[test]
    fn what_is_found_is_named_and_all_else_stays() {
        for (text, expected) in [
            ("mail from a.b+c@example.co.uk.", "mail from <email>."),
            ("10.0.0.1:80 -> 192.168.1.254", "<ipv4>:80 -> <ipv4>"),
            (
                "version 1.2.3.4.5 and 300.1.1.1 and 1.2.3",
                "version 1.2.3.4.5 and 300.1.1.1 and 1.2.3",
            ),
            (
                "peer [2001:db8::1]:443 at 12:34:56",
                "peer [<ipv6>]:443 at 12:34:56",
            ),
            ("std::string a::b ::", "std::string a::b ::"),
            ("::ffff:10.0.0.1 came", "<ipv6> came"),
            ("fe80::1%eth0 up", "<ipv6>%eth0 up"),
            ("card 4111 1111 1111 1111 ok", "card <card> ok"),
            ("card 4111-1111-1111-1112 no", "card 4111-1111-1111-1112 no"),
            ("order 1234567890123", "order 1234567890123"),
            ("amex 378282246310005.", "amex <card>."),
            (
                "Authorization: Bearer abc.def-123",
                "Authorization: Bearer <token>",
            ),
            ("jwt eyJhbGciOi.eyJzdWIiOi.SflKxw_x1 end", "jwt <token> end"),
            ("key AKIAIOSFODNN7EXAMPLE!", "key <token>!"),
            ("ghp_abcdefghijklmnopqrstuvwxyz0123456789 x", "<token> x"),
            ("password=hunter2&x=1", "password=<token>&x=1"),
            ("api_key: \"k 1\" rest", "api_key: \"<token>\" rest"),
            (
                r#"{"user":{"id":1},"n":[1,2]}"#,
                r#"{"user":"<json_key>","n":[1,2]}"#,
            ),
            (
                r#"{"user" : "a\"b", "x":"user"}"#,
                r#"{"user" : "<json_key>", "x":"user"}"#,
            ),
            (
                r#"pre {"a":{"user":-1.5e3,"b":null}}"#,
                r#"pre {"a":{"user":"<json_key>","b":null}}"#,
            ),
            // Within strings of JSON, as lines of containers have it.
            (
                r#"{"log":"{\"password\":\"a\\\"b\",\"n\":1}\n","s":"x"}"#,
                r#"{"log":"{\"password\":\"<json_key>\",\"n\":1}\n","s":"x"}"#,
            ),
            (
                r#"{"log":"{\"user\":{\"id\":1},\"api_key\": \"k\"}"}"#,
                r#"{"log":"{\"user\":\"<json_key>\",\"api_key\": \"<token>\"}"}"#,
            ),
            (
                r#"{"msg":"login token=\"hunter2 x\" ok","a":1}"#,
                r#"{"msg":"login token=\"<token>\" ok","a":1}"#,
            ),
            (
                r#"{"msg":"token=hunter2","a":"{\"user\":\"cut"}"#,
                r#"{"msg":"token=<token>","a":"{\"user\":\"<json_key>\""}"#,
            ),
            (
                r#"{"log":"{\"user\":[\"cut","x":"y"}"#,
                r#"{"log":"{\"user\":\"<json_key>\"","x":"y"}"#,
            ),
            // What is no string becomes one, so that JSON stays JSON.
            (
                r#"{"token":12345,"secret":{"a":"b"},"pwd":null}"#,
                r#"{"token":"<token>","secret":"<token>","pwd":null}"#,
            ),
            (
                "{'api_key': 'x', 'token': 5}",
                "{'api_key': '<token>', 'token': <token>}",
            ),
            (
                "redis://:p:a@ss@redis:6379/0 http://u@h/a:b@c",
                "redis://:<token>@redis:6379/0 http://u@h/a:b@c",
            ),
            (
                r#""dsn":"postgresql://app:s3cret@db/app""#,
                r#""dsn":"postgresql://app:<token>@db/app""#,
            ),
            (
                "-----BEGIN RSA PRIVATE KEY-----\\nMII\\n-----END RSA PRIVATE KEY-----\\n x",
                "<token>\\n x",
            ),
            ("-----BEGIN PRIVATE KEY-----", "<token>"),
            ("-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----"),
            // A finding over the end of another one.
            ("https://u:p@x:a@b.cc/", "https://u:<token>/"),
            ("https://u:pw@b.cc/", "https://u:<email>/"),
            ("plain text", "plain text"),
            ("", ""),
        ] {
            assert_eq!(scrubbed(text), expected, "{text}");
        }
    }

    #[test]
    fn hashes_are_equal_where_values_are_and_differ_by_key() {
        let text = "a@b.cc x a@b.cc y c@b.cc";
        let one = scrubber(Some("0123456789abcdef")).scrub(text.as_bytes(), |_| {});
        let one = String::from_utf8(one.unwrap()).unwrap();
        let words: Vec<&str> = one.split(' ').collect();
        assert_eq!(words[0], words[2]);
        assert_ne!(words[0], words[4]);
        assert_eq!(words[0].len(), "<email:>".len() + 16);
        let other = scrubber(Some("0123456789abcdeX")).scrub(text.as_bytes(), |_| {});
        assert!(
            !String::from_utf8(other.unwrap())
                .unwrap()
                .starts_with(words[0])
        );
        // At any depth of JSON.
        let text = br#"{"user":"x","l":"{\"user\":\"x\"}"}"#;
        let out = scrubber(Some("0123456789abcdef")).scrub(text, |_| {});
        let out = String::from_utf8(out.unwrap()).unwrap();
        let hashes = out.split("<json_key:").skip(1);
        let hashes: Vec<&str> = hashes.map(|part| &part[..16]).collect();
        assert_eq!(hashes.len(), 2);
        assert_eq!(hashes[0], hashes[1]);
    }

    #[test]
    fn findings_are_counted_by_kind() {
        let mut kinds = Vec::new();
        let text = br#"{"user":"a@b.cc"} c@d.ee 1.2.3.4"#;
        scrubber(None).scrub(text, |kind| kinds.push(kind));
        assert_eq!(kinds, [Kind::JsonKey, Kind::Email, Kind::Ipv4]);
    }

    #[test]
    fn a_scrubber_without_work_or_with_a_weak_key_is_refused() {
        let config = ScrubConfig {
            kinds: Vec::new(),
            json_keys: Vec::new(),
            source: None,
            hash_key: None,
            dry_run: false,
        };
        assert!(Scrubber::new(&config).is_err());
        let weak = ScrubConfig {
            kinds: vec![Kind::Email],
            hash_key: Some(HashKey(b"short".to_vec())),
            ..config
        };
        assert!(Scrubber::new(&weak).is_err());
        assert_eq!(format!("{:?}", HashKey(b"x".to_vec())), "<secret>");
    }

    #[test]
    fn what_repeats_in_a_long_line_is_looked_at_once() {
        // Each reaches to the end of the line: looked at anew each time, these take minutes.
        for (part, findings) in [
            ("\"user\":{", 1),
            ("\"token\":{", 1),
            ("token=", 1),
            ("sk-", 1),
            ("eyJ-", 0),
            ("-----BEGIN PRIVATE KEY-----", 1),
            ("1.", 0),
            ("1 ", 0),
            ("::", 0),
            ("a@", 0),
        ] {
            let text = part.repeat((1 << 18) / part.len());
            let mut found = 0;
            scrubber(None).scrub(text.as_bytes(), |_| found += 1);
            assert_eq!(found, findings, "{part}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_nothing_is_found_twice(
            text in proptest::collection::vec(
                prop_oneof![
                    Just(b"a@b.cc".to_vec()), Just(b"1.2.3.4".to_vec()), Just(b"\"user\":".to_vec()),
                    Just(b"4111111111111111".to_vec()), Just(b"Bearer ".to_vec()), Just(b"fe80::1".to_vec()),
                    Just(b"\\\"user\\\":".to_vec()), Just(b"token=".to_vec()), Just(b"\"pwd\":".to_vec()),
                    Just(b"a://b:c@d".to_vec()), Just(b"-----BEGIN PRIVATE KEY-----".to_vec()),
                    Just(b"{".to_vec()), Just(b"\"".to_vec()), Just(b"\\".to_vec()), Just(b" ".to_vec()),
                    proptest::collection::vec(any::<u8>(), 0..4),
                ],
                0..12,
            ),
        ) {
            let text = text.concat();
            let scrubber = scrubber(None);
            let mut count = 0;
            let findings = scrubber.findings(&text);
            prop_assert!(findings.windows(2).all(|w| w[0].range.end <= w[1].range.start));
            if let Some(out) = scrubber.scrub(&text, |_| count += 1) {
                prop_assert_eq!(count, findings.len());
                // What is between findings is as it was.
                let kept: usize = text.len() - findings.iter().map(|f| f.range.len()).sum::<usize>();
                prop_assert!(out.len() >= kept);
            }
        }
    }
}
