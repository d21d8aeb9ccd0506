//! The OpenMetrics text format 1.0 (and 0.0.1): entries, and the look ahead for
//! the times at which series began.
//!
//! Upstream checks less than the standard asks: neither grouping nor suffixes nor
//! the limits of exemplars. What it does check, it checks here.

use std::ops::Range;

use kymo_storage::compat::quote::quote_bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::error::ExpositionError;
use super::labels::{written, written_name};
use super::lexer::Lexer;
use super::series::{Form, Series};
use super::text::{check_label_value, help_text, invalid_type, unexpected, unquoted};
use super::token::Token;
use super::{
    Entry, Escapes, Exemplar, ExemplarLabels, Family, MetricType, ParserOptions, Sample, canonical,
    number,
};

type Result<T> = std::result::Result<T, ExpositionError>;

/// Parser of OpenMetrics. See [`super::Parser`].
#[derive(Debug)]
pub(super) struct OpenMetricsParser<'a> {
    lexer: Lexer<'a>,
    family: Family<'a>,
    is_utf8: bool,
    done: bool,
    skip_created: bool,
    /// Reading ahead for a `_created` sample: exemplars are not looked at.
    ahead: bool,
    /// Length of the family name in the last metadata line, which upstream takes as
    /// the length of the family name in every sample after it.
    family_name_len: usize,
    /// Where the series of the sample that was handed out last stands in the body.
    last_series: Option<Range<usize>>,
    /// The series a start time was found for, and the time.
    started: Option<(u64, i64)>,
    scratch: Vec<u8>,
}

impl<'a> OpenMetricsParser<'a> {
    pub(super) fn new(body: &'a [u8], options: ParserOptions) -> OpenMetricsParser<'a> {
        OpenMetricsParser {
            lexer: Lexer::new(body),
            family: Family {
                as_labels: options.type_and_unit_labels,
                ..Family::default()
            },
            is_utf8: std::str::from_utf8(body).is_ok(),
            done: false,
            skip_created: options.skip_created_series,
            ahead: false,
            family_name_len: 0,
            last_series: None,
            started: None,
            scratch: Vec::new(),
        }
    }

    pub(super) fn next_entry(&mut self) -> Option<Result<Entry<'a>>> {
        if self.done {
            return None;
        }
        let entry = self.read_entry().transpose();
        self.done = !matches!(entry, Some(Ok(_)));
        if let Some(Ok(Entry::Sample(sample))) = &entry {
            let start = self.lexer.cursor.line;
            self.last_series = Some(start..start + line(sample).len());
        }
        entry
    }

    fn read_entry(&mut self) -> Result<Option<Entry<'a>>> {
        loop {
            self.lexer.cursor.line = self.lexer.cursor.pos;
            let sample = match self.lexer.next() {
                Token::EofWord => {
                    return match self.lexer.next() {
                        Token::Eof => Ok(None),
                        _ => Err(ExpositionError::DataAfterEof),
                    };
                }
                Token::Eof => return Err(ExpositionError::NoEof),
                token @ (Token::Help | Token::Type | Token::Unit) => {
                    return self.metadata(token).map(Some);
                }
                Token::MetricName => {
                    let mut end = self.lexer.cursor.pos;
                    let mut token = self.lexer.next();
                    if token == Token::BraceOpen {
                        self.labels(LabelsOf::Named)?;
                        end = self.lexer.cursor.pos;
                        token = self.lexer.next();
                    }
                    self.sample(end, token)?
                }
                Token::BraceOpen => {
                    let has_name = self.labels(LabelsOf::Unnamed)?;
                    let end = self.lexer.cursor.pos;
                    let token = self.lexer.next();
                    if !has_name {
                        return Err(self.invalid("metric name not set".to_owned()));
                    }
                    self.sample(end, token)?
                }
                token => return Err(self.unexpected("expected a valid start token", token)),
            };
            if self.skip_created && begins_series(self.family.kind) && is_created(&sample) {
                continue;
            }
            return Ok(Some(Entry::Sample(sample)));
        }
    }

    fn metadata(&mut self, line: Token) -> Result<Entry<'a>> {
        let token = self.lexer.next();
        if token != Token::MetricName {
            let expected = format!("expected metric name after {}", line.name());
            return Err(self.unexpected(&expected, token));
        }
        let name = unquoted(self.lexer.cursor.token());
        self.family_name_len = name.len();
        if self.lexer.next() != Token::Text {
            let text = format!("expected text in {}", line.name());
            return Err(ExpositionError::Content(text));
        }
        let text = match self.lexer.cursor.token() {
            [_, text @ .., _] => text,
            _ => &[],
        };
        match line {
            Token::Type => {
                let kind = match text {
                    b"counter" => MetricType::Counter,
                    b"gauge" => MetricType::Gauge,
                    b"histogram" => MetricType::Histogram,
                    b"gaugehistogram" => MetricType::GaugeHistogram,
                    b"summary" => MetricType::Summary,
                    b"info" => MetricType::Info,
                    b"stateset" => MetricType::StateSet,
                    b"unknown" => MetricType::Unknown,
                    _ => return Err(invalid_type(text)),
                };
                self.family.kind = kind;
                Ok(Entry::Type { name, kind })
            }
            Token::Unit => {
                self.family.unit = text;
                let stem = name.strip_suffix(text);
                if !text.is_empty() && stem.is_none_or(|stem| !stem.ends_with(b"_")) {
                    return Err(ExpositionError::Content(format!(
                        "unit {} not a suffix of metric {}",
                        quote_bytes(text),
                        quote_bytes(name)
                    )));
                }
                Ok(Entry::Unit { name, unit: text })
            }
            _ => {
                let help = help_text(text, Escapes::Quoted)?;
                Ok(Entry::Help { name, help })
            }
        }
    }

    /// Reads what is between braces, and tells whether there is a metric name.
    fn labels(&mut self, of: LabelsOf) -> Result<bool> {
        let mut has_name = of == LabelsOf::Named;
        let mut token = self.lexer.next();
        loop {
            match token {
                Token::BraceClose => return Ok(has_name),
                Token::LabelName | Token::Quoted => {}
                _ => return Err(self.unexpected("expected label name", token)),
            }
            let was_quoted = token == Token::Quoted;
            token = self.lexer.next();
            if was_quoted && matches!(token, Token::Comma | Token::BraceClose) {
                if of == LabelsOf::Exemplar {
                    return Err(self.unexpected("expected label name", token));
                }
                if has_name {
                    return Err(self.invalid("metric name already set".to_owned()));
                }
                has_name = true;
                if token == Token::BraceClose {
                    return Ok(has_name);
                }
                token = self.lexer.next();
                continue;
            }
            if token != Token::Equal {
                return Err(self.unexpected("expected equal", token));
            }
            let token_of_value = self.lexer.next();
            if token_of_value != Token::LabelValue {
                return Err(self.unexpected("expected label value", token_of_value));
            }
            if !self.is_utf8 {
                check_label_value(self.lexer.cursor.token())?;
            }
            token = self.lexer.next();
            if token == Token::Comma {
                token = self.lexer.next();
            } else if token != Token::BraceClose {
                return Err(self.unexpected("expected comma or brace close", token));
            }
        }
    }

    /// Reads value, timestamp, exemplar and end of a sample whose series ends at `end`.
    fn sample(&mut self, end: usize, token: Token) -> Result<Sample<'a>> {
        let mut sample = Sample {
            series: Series {
                form: Form::Line(self.lexer.cursor.slice(self.lexer.cursor.line, end)),
                family: self.family,
            },
            value: self.value(token, "metric")?,
            timestamp_ms: None,
            exemplar: None,
        };
        match self.lexer.next() {
            Token::Eof => return Err(ExpositionError::NoEof),
            Token::Comment => sample.exemplar = self.exemplar()?,
            Token::Timestamp => {
                sample.timestamp_ms = Some(self.seconds("timestamp")?);
                match self.lexer.next() {
                    Token::Linebreak => {}
                    Token::Comment => sample.exemplar = self.exemplar()?,
                    token => {
                        return Err(self.unexpected("expected next entry after timestamp", token));
                    }
                }
            }
            // A newline; upstream lets everything else pass too, and trips over it
            // when it looks for the next entry.
            _ => {}
        }
        Ok(sample)
    }

    fn exemplar(&mut self) -> Result<Option<Exemplar<'a>>> {
        if self.ahead {
            return self.skip_exemplar();
        }
        let start = self.lexer.cursor.pos;
        self.labels(LabelsOf::Exemplar)?;
        let raw = self.lexer.cursor.slice(start, self.lexer.cursor.pos);
        let token = self.lexer.next();
        let value = self.value(token, "exemplar labels")?;
        let mut timestamp_ms = None;
        match self.lexer.next() {
            Token::Eof => return Err(ExpositionError::NoEof),
            Token::Linebreak => {}
            Token::Timestamp => {
                timestamp_ms = Some(self.seconds("exemplar timestamp")?);
                let token = self.lexer.next();
                if token != Token::Linebreak {
                    let expected = "expected next entry after exemplar timestamp";
                    return Err(self.unexpected(expected, token));
                }
            }
            token => return Err(self.unexpected("expected timestamp or comment", token)),
        }
        Ok(Some(Exemplar {
            labels: ExemplarLabels::Line(raw),
            value,
            timestamp_ms,
        }))
    }

    /// Goes to the end of a line without reading its exemplar. Stops with an error
    /// where no token can be read.
    fn skip_exemplar(&mut self) -> Result<Option<Exemplar<'a>>> {
        loop {
            let before = self.lexer.cursor.pos;
            match self.lexer.next() {
                Token::Linebreak => return Ok(None),
                Token::Eof => return Err(ExpositionError::NoEof),
                token if self.lexer.cursor.pos == before => {
                    return Err(self.unexpected("expected label name", token));
                }
                _ => {}
            }
        }
    }

    fn value(&self, token: Token, after: &str) -> Result<f64> {
        if token != Token::Value {
            return Err(self.unexpected(&format!("expected value after {after}"), token));
        }
        self.float().map(canonical)
    }

    /// Reads the number of the current token, which begins with a space.
    fn float(&self) -> Result<f64> {
        let text = self.lexer.cursor.token().get(1..).unwrap_or_default();
        number::parse_value(text).map_err(|reason| self.invalid(reason))
    }

    fn seconds(&self, what: &str) -> Result<i64> {
        let seconds = self.float()?;
        if !seconds.is_finite() {
            let shown = number::show_not_finite(seconds);
            return Err(ExpositionError::Content(format!("invalid {what} {shown}")));
        }
        Ok(number::seconds_to_ms(seconds))
    }

    /// See [`super::Parser::start_timestamp_ms`].
    pub(super) fn start_timestamp_ms(&mut self) -> Option<i64> {
        if !begins_series(self.family.kind) {
            self.started = None;
            return None;
        }
        let place = self.last_series.clone()?;
        let series = self.lexer.cursor.slice(place.start, place.end);
        let name = self.family_name(place.start, series);
        let wanted = self.hash(series, name);
        if let Some((series, start_ms)) = self.started
            && series == wanted
            && start_ms > 0
        {
            return Some(start_ms);
        }

        let lexer = self.lexer.clone();
        let kind = self.family.kind;
        self.skip_created = false;
        self.ahead = true;
        let found = self.find_created(wanted);
        self.lexer = lexer;
        self.family.kind = kind;
        self.ahead = false;
        self.skip_created = true;
        self.started = found.map(|start_ms| (wanted, start_ms));
        found
    }

    fn find_created(&mut self, wanted: u64) -> Option<i64> {
        loop {
            let Ok(Some(Entry::Sample(sample))) = self.read_entry() else {
                return None;
            };
            let (_, name) = written_name(line(&sample));
            let Some(family) = name.strip_suffix(CREATED) else {
                continue;
            };
            if self.hash(line(&sample), family) != wanted {
                return None;
            }
            return Some(number::seconds_to_ms(sample.value));
        }
    }

    /// Returns the name of the family a series belongs to, by the length upstream
    /// believes it has: that may reach past the series into the line.
    fn family_name(&self, start: usize, series: &'a [u8]) -> &'a [u8] {
        let (at, _) = written_name(series);
        let quote = if series.starts_with(b"{\"") { 2 } else { 0 };
        let end = start + self.family_name_len + quote;
        self.lexer.cursor.slice(start + at, end)
    }

    /// Hashes labels and family name, without the label that tells the series of a
    /// histogram or summary apart.
    fn hash(&mut self, series: &[u8], family_name: &[u8]) -> u64 {
        self.scratch.clear();
        for (name, value) in written(series) {
            let skip = match self.family.kind {
                MetricType::Histogram => name == b"le",
                MetricType::Summary => name == b"quantile",
                _ => false,
            };
            if !skip {
                self.scratch.extend_from_slice(name);
                self.scratch.extend_from_slice(value);
            }
        }
        self.scratch.extend_from_slice(family_name);
        xxh3_64(&self.scratch)
    }

    #[cold]
    fn unexpected(&self, expected: &str, token: Token) -> ExpositionError {
        unexpected(&self.lexer.cursor, expected, token)
    }

    #[cold]
    fn invalid(&self, reason: String) -> ExpositionError {
        ExpositionError::Invalid {
            reason,
            entry: quote_bytes(&self.lexer.cursor.quote_read()),
        }
    }
}

/// Whose labels stand between braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LabelsOf {
    /// A sample with its name before the brace.
    Named,
    /// A sample with its name, if any, inside.
    Unnamed,
    Exemplar,
}

const CREATED: &[u8] = b"_created";

/// Tells whether series of a type have a start that `_created` gives.
fn begins_series(kind: MetricType) -> bool {
    matches!(
        kind,
        MetricType::Counter | MetricType::Summary | MetricType::Histogram
    )
}

/// Returns the series part of a sample, which is always there in this format.
fn line<'a>(sample: &Sample<'a>) -> &'a [u8] {
    sample.series.line().unwrap_or_default()
}

fn is_created(sample: &Sample<'_>) -> bool {
    written_name(line(sample)).1.ends_with(CREATED)
}
