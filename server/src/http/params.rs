//! Parameters of a request: the URL's query and a form body, merged as Go does it.
//!
//! Values of the form come before those of the URL, so the form wins where one
//! value is asked for and both are seen where a list is. A pair that cannot be
//! decoded is left out and remembered; whoever cares asks for [`Params::defect`].

/// Decoded parameters in the order in which they count.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    defect: Option<String>,
}

impl Params {
    /// Decodes the raw query of a URL and, where there is one, a form body.
    pub(crate) fn decode(query: Option<&str>, form: Option<&[u8]>) -> Params {
        let mut params = Params::default();
        if let Some(form) = form {
            params.add(form);
        }
        if let Some(query) = query {
            params.add(query.as_bytes());
        }
        params
    }

    /// Returns the first value of a parameter, empty where it is absent.
    pub(crate) fn get(&self, name: &str) -> &str {
        let first = self.pairs.iter().find(|(n, _)| n == name);
        first.map_or("", |(_, value)| value)
    }

    /// Iterates over all values of a parameter.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// Says what was wrong with the first pair that could not be decoded.
    pub(crate) fn defect(&self) -> Option<&str> {
        self.defect.as_deref()
    }

    fn add(&mut self, text: &[u8]) {
        for pair in text.split(|byte| *byte == b'&') {
            if pair.is_empty() {
                continue;
            }
            match decode_pair(pair) {
                Ok(pair) => self.pairs.push(pair),
                Err(defect) => {
                    self.defect.get_or_insert(defect);
                }
            }
        }
    }
}

fn decode_pair(pair: &[u8]) -> Result<(String, String), String> {
    if pair.contains(&b';') {
        return Err("invalid semicolon separator in query".to_owned());
    }
    let equals = pair.iter().position(|byte| *byte == b'=');
    let (name, value) = match equals {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, &pair[pair.len()..]),
    };
    Ok((unescape(name)?, unescape(value)?))
}

/// Undoes percent encoding and `+`. Bytes that are not UTF-8 become U+FFFD.
fn unescape(text: &[u8]) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let Some(byte) = rest.get(..2).and_then(hex_byte) else {
                    let shown = &rest[..rest.len().min(2)];
                    let shown = String::from_utf8_lossy(shown);
                    return Err(format!("invalid URL escape \"%{shown}\""));
                };
                bytes.push(byte);
                rest = &rest[2..];
            }
            byte => bytes.push(*byte),
        }
    }
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let value = digit(*digits.first()?)? * 16 + digit(*digits.get(1)?)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(query: &str) -> Params {
        Params::decode(Some(query), None)
    }

    #[test]
    fn the_form_comes_before_the_url_and_lists_see_both() {
        let params = Params::decode(
            Some("query=url&match%5B%5D=c"),
            Some(b"match[]=a&query=form&match[]=b"),
        );
        assert_eq!(params.get("query"), "form");
        assert_eq!(params.all("match[]").collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(params.get("absent"), "");
    }

    #[test]
    fn plus_percent_and_missing_values_decode_as_in_go() {
        let params = url("a=1+2%2B3&b&c=&=d&e=%C3%A9%ff&&f=x=y");
        assert_eq!(params.get("a"), "1 2+3");
        assert_eq!(params.all("b").collect::<Vec<_>>(), [""]);
        assert_eq!(params.get("c"), "");
        assert_eq!(params.get(""), "d");
        assert_eq!(params.get("e"), "é\u{fffd}");
        assert_eq!(params.get("f"), "x=y");
        assert_eq!(params.defect(), None);
    }

    #[test]
    fn a_pair_that_does_not_decode_is_left_out_and_named() {
        for (query, defect) in [
            ("query=%zz&time=1", "invalid URL escape \"%zz\""),
            ("query=up%4&time=1", "invalid URL escape \"%4\""),
            (
                "query=up;x=2&time=1",
                "invalid semicolon separator in query",
            ),
        ] {
            let params = url(query);
            assert_eq!(params.get("query"), "", "{query}");
            assert_eq!(params.get("time"), "1", "{query}");
            assert_eq!(params.defect(), Some(defect), "{query}");
        }
    }
}
