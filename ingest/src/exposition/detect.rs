//! Which format a response is in, by its Content-Type.
//!
//! Only the media type decides; parameters such as `version` or `encoding` have to
//! be well formed and are not looked at. Without a type that is known, the format
//! configured as `fallback_scrape_protocol` is used, with a warning, or the scrape
//! fails.

use kymo_storage::compat::quote::quote;

/// An exposition format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Prometheus' text format.
    Text,
    /// The OpenMetrics text format.
    OpenMetrics,
    /// Delimited protobuf messages. Known by name, not read yet.
    Protobuf,
}

impl Format {
    /// Returns the media type, without parameters.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain",
            Format::OpenMetrics => "application/openmetrics-text",
            Format::Protobuf => "application/vnd.google.protobuf",
        }
    }

    fn from_media_type(media_type: &str) -> Option<Format> {
        [Format::Text, Format::OpenMetrics, Format::Protobuf]
            .into_iter()
            .find(|format| format.media_type() == media_type)
    }
}

/// The format a response is read in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// The format.
    pub format: Format,
    /// Set where the Content-Type did not tell and the fallback was taken.
    pub warning: Option<String>,
}

/// A Content-Type that does not tell the format, and no fallback to take instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownFormat {
    /// There is no Content-Type.
    #[error(
        "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol \
         specified for target"
    )]
    Blank,
    /// The Content-Type is malformed.
    #[error(
        "cannot parse Content-Type {content_type} and no fallback_scrape_protocol for target\n\
         {reason}"
    )]
    Malformed {
        /// The header, quoted.
        content_type: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The Content-Type names something else.
    #[error(
        "received unsupported Content-Type {0} and no fallback_scrape_protocol specified for target"
    )]
    Unsupported(
        /// The header, quoted.
        String,
    ),
}

/// Picks the format for a response with this Content-Type (empty where it has none).
///
/// # Errors
///
/// [`UnknownFormat`] where the header does not tell and there is no fallback.
pub fn detect(content_type: &str, fallback: Option<Format>) -> Result<Detected, UnknownFormat> {
    let (error, warning) = match parse_media_type(content_type) {
        _ if content_type.is_empty() => (
            UnknownFormat::Blank,
            "non-compliant scrape target sending blank Content-Type".to_owned(),
        ),
        Ok(media_type) => {
            if let Some(format) = Format::from_media_type(&media_type) {
                return Ok(Detected {
                    format,
                    warning: None,
                });
            }
            let quoted = quote(content_type);
            let warning = format!("received unsupported Content-Type {quoted}");
            (UnknownFormat::Unsupported(quoted), warning)
        }
        Err(reason) => {
            let content_type = quote(content_type);
            let warning = format!("could not parse received Content-Type {content_type}");
            let error = UnknownFormat::Malformed {
                content_type,
                reason,
            };
            (error, warning)
        }
    };
    let Some(format) = fallback else {
        return Err(error);
    };
    let mut warning = format!(
        "{warning}, using fallback_scrape_protocol \"{}\"",
        format.media_type()
    );
    if let UnknownFormat::Malformed { reason, .. } = error {
        warning.push('\n');
        warning.push_str(reason);
    }
    Ok(Detected {
        format,
        warning: Some(warning),
    })
}

const INVALID_PARAMETER: &str = "mime: invalid media parameter";

/// Returns the media type in lower case. The rules are those of Go's `mime` package,
/// whose texts the errors have.
fn parse_media_type(header: &str) -> Result<String, &'static str> {
    let base = header.split(';').next().unwrap_or_default();
    let media_type = base.to_lowercase().trim().to_owned();
    check_media_type(&media_type)?;

    let mut params: Vec<(String, String)> = Vec::new();
    let mut rest = header[base.len()..].trim_start();
    while !rest.is_empty() {
        let Some((name, value, tail)) = take_param(rest) else {
            // A semicolon at the end is let pass.
            if rest.trim() == ";" {
                break;
            }
            return Err(INVALID_PARAMETER);
        };
        match params.iter().find(|(known, _)| *known == name) {
            Some((_, known)) if *known != value => {
                return Err("mime: duplicate parameter name");
            }
            Some(_) => {}
            None => params.push((name, value)),
        }
        rest = tail.trim_start();
    }
    Ok(media_type)
}

fn check_media_type(media_type: &str) -> Result<(), &'static str> {
    let (kind, rest) = take_token(media_type);
    if kind.is_empty() {
        return Err("mime: no media type");
    }
    if rest.is_empty() {
        return Ok(());
    }
    let Some(rest) = rest.strip_prefix('/') else {
        return Err("mime: expected slash after first token");
    };
    let (subtype, rest) = take_token(rest);
    if subtype.is_empty() {
        return Err("mime: expected token after slash");
    }
    if !rest.is_empty() {
        return Err("mime: unexpected content after media subtype");
    }
    Ok(())
}

/// Takes `; name=value` off the front.
fn take_param(text: &str) -> Option<(String, String, &str)> {
    let rest = text.trim_start().strip_prefix(';')?;
    let (name, rest) = take_token(rest.trim_start());
    if name.is_empty() {
        return None;
    }
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let (value, tail) = match rest.strip_prefix('"') {
        Some(quoted) => take_quoted(quoted)?,
        None => {
            let (value, tail) = take_token(rest);
            if value.is_empty() {
                return None;
            }
            (value.to_owned(), tail)
        }
    };
    Some((name.to_lowercase(), value, tail))
}

fn take_quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\r' | '\n' => return None,
            '\\' => match chars.next_if(|&(_, next)| is_special(next)) {
                Some((_, escaped)) => value.push(escaped),
                None => value.push(c),
            },
            _ => value.push(c),
        }
    }
    None
}

fn take_token(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_graphic() || is_special(c))
        .unwrap_or(text.len());
    text.split_at(end)
}

fn is_special(c: char) -> bool {
    r#"()<>@,;:\"/[]?="#.contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media_type(header: &str) -> Result<String, &'static str> {
        parse_media_type(header)
    }

    #[test]
    fn media_types_are_read_like_go_reads_them() {
        let good = [
            ("text/plain", "text/plain"),
            ("TEXT/Plain ; Charset=UTF-8;", "text/plain"),
            ("text/plain; a=\"b;\\\"c\"; d=e", "text/plain"),
            ("text/plain; a=b; A=b", "text/plain"),
            ("garbage", "garbage"),
        ];
        for (header, expected) in good {
            assert_eq!(media_type(header).as_deref(), Ok(expected), "{header}");
        }
        let bad = [
            ("", "mime: no media type"),
            (";", "mime: no media type"),
            ("text plain", "mime: expected slash after first token"),
            ("text/", "mime: expected token after slash"),
            (
                "text/plain/x",
                "mime: unexpected content after media subtype",
            ),
            ("text/plain; a", INVALID_PARAMETER),
            ("text/plain; a=", INVALID_PARAMETER),
            ("text/plain; a=\"b", INVALID_PARAMETER),
            ("text/plain; a=b c", INVALID_PARAMETER),
            ("text/plain; a=b; a=c", "mime: duplicate parameter name"),
        ];
        for (header, reason) in bad {
            assert_eq!(media_type(header), Err(reason), "{header}");
        }
    }

    #[test]
    fn fallback_is_taken_with_a_warning_only_where_the_type_does_not_tell() {
        let known = detect("text/plain; version=9", Some(Format::OpenMetrics)).unwrap();
        assert_eq!(known.format, Format::Text);
        assert_eq!(known.warning, None);

        let taken = detect("text/html", Some(Format::OpenMetrics)).unwrap();
        assert_eq!(taken.format, Format::OpenMetrics);
        assert_eq!(
            taken.warning.as_deref(),
            Some(
                "received unsupported Content-Type \"text/html\", using \
                 fallback_scrape_protocol \"application/openmetrics-text\""
            )
        );
        assert_eq!(
            detect("", None).unwrap_err().to_string(),
            "non-compliant scrape target sending blank Content-Type and no \
             fallback_scrape_protocol specified for target"
        );
    }
}
