//! Lines of the text to families.

use std::collections::HashMap;

use kymo_storage::compat::float;
use kymo_storage::compat::quote::{quote, quote_bytes};
use kymo_storage::model::METRIC_NAME;

use super::cursor::{Cursor, is_blank, is_in_label_name, is_in_metric_name};
use super::{Family, Kind, Metric, Parts, TextError, Value};

type Labels = Vec<(String, String)>;

/// Reads a text. Families come in the order of their names.
///
/// # Errors
/// The first line that is not of the format, the last one without an end among them.
pub(crate) fn read(text: &[u8]) -> Result<Vec<Family>, TextError> {
    let mut reader = Reader {
        cursor: Cursor::new(text),
        families: Vec::new(),
        by_name: HashMap::new(),
        parts: HashMap::new(),
    };
    while reader.cursor.begin_line() {
        reader.line()?;
    }
    let mut families: Vec<Family> = reader
        .families
        .into_iter()
        .filter(|draft| !draft.metrics.is_empty())
        .map(|draft| Family {
            name: draft.name,
            help: draft.help,
            kind: draft.kind.unwrap_or(Kind::Untyped),
            metrics: draft.metrics,
            line: draft.line,
        })
        .collect();
    families.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(families)
}

/// A family while it is read.
struct Draft {
    name: String,
    help: Option<String>,
    /// Nothing until a TYPE line or a sample.
    kind: Option<Kind>,
    metrics: Vec<Metric>,
    line: usize,
}

/// Which part of a summary or histogram a line has, or which number.
#[derive(Clone, Copy)]
enum Part {
    Count,
    Sum,
    Step,
}

/// The family of a line, and which part of it its name says.
#[derive(Clone, Copy)]
struct Place {
    family: usize,
    part: Part,
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    families: Vec<Draft>,
    by_name: HashMap<String, usize>,
    /// Metrics of summaries and histograms by family and sorted labels.
    parts: HashMap<(usize, Labels), usize>,
}

/// What stands between braces.
#[derive(Default)]
struct Braces {
    labels: Labels,
    /// The quantile, or the upper bound of a bucket.
    step: Option<f64>,
}

impl Reader<'_> {
    fn line(&mut self) -> Result<(), TextError> {
        match self.cursor.peek()? {
            b'#' => {
                self.cursor.step();
                self.comment()
            }
            b'\n' => {
                self.cursor.step();
                Ok(())
            }
            b'{' => {
                let mut place = None;
                let braces = self.braces(&mut place)?;
                match place {
                    Some(place) => self.value(place, braces),
                    None => Err(self.cursor.error("invalid metric name")),
                }
            }
            _ => self.sample(),
        }
    }

    fn comment(&mut self) -> Result<(), TextError> {
        self.cursor.skip_blanks();
        if self.cursor.ends_line()? {
            return Ok(());
        }
        let keyword = self.cursor.word()?;
        if self.cursor.ends_line()? {
            return Ok(());
        }
        if !matches!(keyword, b"HELP" | b"TYPE") {
            self.cursor.rest()?;
            return Ok(());
        }
        self.cursor.skip_blanks();
        let name = self.cursor.name("metric name", is_in_metric_name)?;
        if self.cursor.ends_line()? {
            return Ok(());
        }
        if !is_blank(self.cursor.peek()?) {
            return Err(self.cursor.error("invalid metric name in comment"));
        }
        let family = self.family(name)?.family;
        self.cursor.skip_blanks();
        if self.cursor.ends_line()? {
            return Ok(());
        }
        match keyword {
            b"HELP" => self.help(family),
            _ => self.kind(family),
        }
    }

    fn help(&mut self, family: usize) -> Result<(), TextError> {
        let draft = &self.families[family];
        if draft.help.is_some() {
            let name = quote(&draft.name);
            let text = format!("second HELP line for metric name {name}");
            return Err(self.cursor.error(text));
        }
        let help = self.cursor.help()?;
        self.families[family].help = Some(String::from_utf8_lossy(&help).into_owned());
        Ok(())
    }

    fn kind(&mut self, family: usize) -> Result<(), TextError> {
        let draft = &self.families[family];
        if draft.kind.is_some() {
            return Err(self.cursor.error(format!(
                "second TYPE line for metric name {}, or TYPE reported after samples",
                quote(&draft.name)
            )));
        }
        let here = self.cursor.error("");
        let word = self.cursor.rest()?;
        let kind = std::str::from_utf8(word).ok().and_then(Kind::by_name);
        if kind.is_none() {
            let message = format!("unknown metric type {}", quote_bytes(word));
            return Err(TextError { message, ..here });
        }
        self.families[family].kind = kind;
        Ok(())
    }

    fn sample(&mut self) -> Result<(), TextError> {
        let name = self.cursor.name("metric name", is_in_metric_name)?;
        if name.is_empty() {
            return Err(self.cursor.error("invalid metric name"));
        }
        let place = self.family(name)?;
        self.typed(place.family);
        self.cursor.skip_blanks();
        let braces = match self.cursor.peek()? {
            b'{' => self.braces(&mut Some(place))?,
            _ => Braces::default(),
        };
        self.value(place, braces)
    }

    /// Fixes the kind of a family that has none before its first sample.
    fn typed(&mut self, family: usize) {
        let kind = &mut self.families[family].kind;
        *kind = kind.or(Some(Kind::Untyped));
    }

    /// Finds or makes the family of a name.
    fn family(&mut self, name: Vec<u8>) -> Result<Place, TextError> {
        let name = match String::from_utf8(name) {
            Ok(name) if !name.is_empty() => name,
            Ok(_) => return Err(self.cursor.error("invalid metric name \"\"")),
            Err(error) => {
                let name = quote_bytes(error.as_bytes());
                return Err(self.cursor.error(format!("invalid metric name {name}")));
            }
        };
        if let Some(&family) = self.by_name.get(&name) {
            let part = Part::Step;
            return Ok(Place { family, part });
        }
        for (end, part, of_summary) in [
            ("_count", Part::Count, true),
            ("_sum", Part::Sum, true),
            ("_bucket", Part::Step, false),
        ] {
            let family = name
                .strip_suffix(end)
                .and_then(|name| self.by_name.get(name));
            let Some(&family) = family else {
                continue;
            };
            match self.families[family].kind {
                Some(Kind::Summary) if of_summary => return Ok(Place { family, part }),
                Some(Kind::Histogram | Kind::GaugeHistogram) => {
                    return Ok(Place { family, part });
                }
                _ => {}
            }
        }
        let family = self.families.len();
        self.by_name.insert(name.clone(), family);
        self.families.push(Draft {
            name,
            help: None,
            kind: None,
            metrics: Vec::new(),
            line: self.cursor.line,
        });
        let part = Part::Step;
        Ok(Place { family, part })
    }

    /// Reads what stands between braces; the name of the metric, too, where it is not
    /// known yet.
    fn braces(&mut self, place: &mut Option<Place>) -> Result<Braces, TextError> {
        self.cursor.step();
        let has_name = place.is_some();
        let mut braces = Braces::default();
        loop {
            self.cursor.skip_blanks();
            if self.cursor.peek()? == b'}' {
                break;
            }
            let name = self.cursor.name("label name", is_in_label_name)?;
            if name.is_empty() {
                let metric = self.name_of(*place);
                let text = format!("invalid label name for metric {metric}");
                return Err(self.cursor.error(text));
            }
            self.cursor.skip_blanks();
            let next = self.cursor.peek()?;
            if next == b'=' {
                self.cursor.step();
                self.label(name, *place, &mut braces)?;
            } else if has_name {
                let found = char::from(next);
                let text = format!("expected '=' after label name, found {found:?}");
                return Err(self.cursor.error(text));
            } else if place.is_some() {
                let metric = self.name_of(*place);
                let text = format!("multiple metric names for metric {metric}");
                return Err(self.cursor.error(text));
            } else if matches!(next, b',' | b'}') {
                let found = self.family(name)?;
                self.typed(found.family);
                *place = Some(found);
            } else {
                let text = format!("unexpected end of metric name {:?}", char::from(next));
                return Err(self.cursor.error(text));
            }
            self.cursor.skip_blanks();
            match self.cursor.peek()? {
                b',' => self.cursor.step(),
                b'}' => break,
                _ => {
                    let value = braces.labels.last().map_or("", |(_, value)| value);
                    let text = format!("unexpected end of label value {}", quote(value));
                    return Err(self.cursor.error(text));
                }
            }
        }
        self.cursor.step();
        self.cursor.skip_blanks();
        Ok(braces)
    }

    /// Reads the value of a label.
    fn label(
        &mut self,
        name: Vec<u8>,
        place: Option<Place>,
        braces: &mut Braces,
    ) -> Result<(), TextError> {
        let name = String::from_utf8(name).map_err(|error| {
            let name = quote_bytes(error.as_bytes());
            self.cursor.error(format!("invalid label name {name}"))
        })?;
        if name == METRIC_NAME {
            let text = format!("label name {} is reserved", quote(METRIC_NAME));
            return Err(self.cursor.error(text));
        }
        if braces.labels.iter().any(|(known, _)| *known == name) {
            let metric = self.name_of(place);
            let text = format!("duplicate label names for metric {metric}");
            return Err(self.cursor.error(text));
        }
        self.cursor.skip_blanks();
        let next = self.cursor.peek()?;
        if next != b'"' {
            let found = char::from(next);
            let text = format!("expected '\"' at start of label value, found {found:?}");
            return Err(self.cursor.error(text));
        }
        self.cursor.step();
        let value = self.cursor.quoted("label value")?;
        let value = String::from_utf8(value).map_err(|error| {
            let value = quote_bytes(error.as_bytes());
            self.cursor.error(format!("invalid label value {value}"))
        })?;
        let kind = place.and_then(|place| self.families[place.family].kind);
        let is_step = match kind {
            Some(Kind::Summary) => name == "quantile",
            Some(Kind::Histogram | Kind::GaugeHistogram) => name == "le",
            _ => false,
        };
        if !is_step {
            braces.labels.push((name, value));
            return Ok(());
        }
        let step = number(value.as_bytes()).ok_or_else(|| {
            let value = quote(&value);
            let text = format!("expected float as value for '{name}' label, got {value}");
            self.cursor.error(text)
        })?;
        braces.step = Some(step);
        Ok(())
    }

    /// Reads the value and the time, and stores them.
    fn value(&mut self, place: Place, braces: Braces) -> Result<(), TextError> {
        let here = self.cursor.error("");
        let word = self.cursor.word()?;
        let value = number(word).ok_or_else(|| TextError {
            message: format!("expected float as value, got {}", quote_bytes(word)),
            ..here
        })?;
        let negative = |reader: &Self, what: &str| {
            let metric = reader.name_of(Some(place));
            reader
                .cursor
                .error(format!("negative {what} for histogram {metric}"))
        };
        let kind = self.families[place.family].kind;
        let is_histogram = matches!(kind, Some(Kind::Histogram | Kind::GaugeHistogram));
        match (place.part, braces.step) {
            (Part::Count, _) if is_histogram && value < 0.0 => {
                return Err(negative(self, "count"));
            }
            (Part::Step, Some(_)) if is_histogram && value < 0.0 => {
                return Err(negative(self, "bucket population"));
            }
            _ => {}
        }
        let t_ms = match self.cursor.ends_line()? {
            true => None,
            false => Some(self.time()?),
        };
        if !is_histogram && kind != Some(Kind::Summary) {
            self.families[place.family].metrics.push(Metric {
                labels: braces.labels,
                t_ms,
                value: Value::Number(value),
            });
            return Ok(());
        }
        let metric = self.metric_of_parts(place.family, braces.labels);
        metric.t_ms = t_ms.or(metric.t_ms);
        if let Value::Parts(parts) = &mut metric.value {
            match (place.part, braces.step) {
                (Part::Count, _) => parts.count = value,
                (Part::Sum, _) => parts.sum = value,
                (Part::Step, Some(step)) if !step.is_nan() => parts.steps.push((step, value)),
                (Part::Step, _) => {}
            }
        }
        Ok(())
    }

    /// Finds or makes the metric of a summary or histogram with these labels.
    fn metric_of_parts(&mut self, family: usize, labels: Labels) -> &mut Metric {
        let mut key = labels.clone();
        key.sort();
        let metrics = &mut self.families[family].metrics;
        let at = *self.parts.entry((family, key)).or_insert_with(|| {
            metrics.push(Metric {
                labels,
                t_ms: None,
                value: Value::Parts(Parts::default()),
            });
            metrics.len() - 1
        });
        &mut metrics[at]
    }

    fn time(&mut self) -> Result<i64, TextError> {
        self.cursor.skip_blanks();
        let here = self.cursor.error("");
        let word = self.cursor.word()?;
        let text = std::str::from_utf8(word).unwrap_or_default();
        let t_ms = text.parse().map_err(|_| TextError {
            message: format!("expected integer as timestamp, got {}", quote_bytes(word)),
            ..here
        })?;
        let here = self.cursor.error("");
        let rest = self.cursor.rest()?;
        match rest.is_empty() {
            true => Ok(t_ms),
            false => Err(TextError {
                message: format!("spurious string after timestamp: {}", quote_bytes(rest)),
                ..here
            }),
        }
    }

    fn name_of(&self, place: Option<Place>) -> String {
        let family = place.and_then(|place| self.families.get(place.family));
        quote(family.map_or("", |family| &family.name))
    }
}

/// Reads a float as Go does, without hexadecimal ones.
fn number(word: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(word).ok()?;
    match text.contains(['p', 'P', '_']) {
        true => None,
        false => float::parse(text).ok(),
    }
}
