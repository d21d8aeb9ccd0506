//! OpenMetrics with timestamps, line by line.
//!
//! A line means the same whatever stands around it, but for `# EOF`, which is the last. So
//! each is read as an exposition of its own, and a line that is wrong is one line.

use anyhow::Context;
use kymo_ingest::exposition::{Entry, ExpositionError, Format, Parser, ParserOptions, Sample};
use kymo_storage::model::{Labels, LabelsBuilder};

use super::TIMES;
use super::input::{Input, Line};
use super::sorter::Sorter;
use super::tally::{Reason, Tally};

/// Longest line that is taken.
pub(super) const MAX_LINE_BYTES: usize = 4 << 20;

const END: &[u8] = b"# EOF";

/// Why a line is refused, and the words for it.
type Refusal = (Reason, String);

/// Reads an input into `sorter`, with the labels `extra` for all its series.
pub(super) fn read(
    input: Input,
    extra: &[(String, String)],
    sorter: &mut Sorter,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let name = input.name.clone();
    let mut lines = input.into_lines(MAX_LINE_BYTES);
    let (mut exposition, mut has_end) = (Vec::new(), false);
    loop {
        let number = lines.number() + 1;
        let line = lines.next_line();
        let line = line.with_context(|| format!("read {name} behind line {}", number - 1))?;
        let Some(line) = line else {
            break;
        };
        let found = match line {
            Line::TooLong => Err((Reason::TooLong, format!("more than {MAX_LINE_BYTES} bytes"))),
            Line::Text(_) if has_end => {
                Err((Reason::Syntax, ExpositionError::DataAfterEof.to_string()))
            }
            Line::Text(END) => {
                has_end = true;
                continue;
            }
            Line::Text(text) => {
                exposition.clear();
                exposition.extend_from_slice(text);
                exposition.push(b'\n');
                exposition.extend_from_slice(END);
                read_line(&exposition, extra)
            }
        };
        match found {
            Ok(Some((labels, t_ms, value))) => {
                sorter.add(labels, &[(t_ms, value)])?;
                tally.samples(1, &name, number);
            }
            Ok(None) => {}
            Err((reason, detail)) => tally.refuse(reason, &name, number, &detail)?,
        }
    }
    if !has_end {
        let detail = ExpositionError::NoEof.to_string();
        tally.refuse(Reason::Truncated, &name, lines.number() + 1, &detail)?;
    }
    Ok(())
}

/// Reads the sample of a line, `None` where it has none.
fn read_line(
    exposition: &[u8],
    extra: &[(String, String)],
) -> Result<Option<(Labels, i64, f64)>, Refusal> {
    let mut found = None;
    for entry in Parser::new(Format::OpenMetrics, exposition, ParserOptions::default()) {
        let entry = entry.map_err(|error| (Reason::Syntax, error.to_string()))?;
        if let Entry::Sample(sample) = entry {
            let t_ms = sample.timestamp_ms.ok_or_else(|| {
                let detail = "expected timestamp for series got none";
                (Reason::NoTime, detail.to_owned())
            })?;
            if !TIMES.contains(&t_ms) {
                return Err((Reason::Time, format!("the time is {t_ms} ms")));
            }
            found = Some((labels(&sample, extra)?, t_ms, sample.value));
        }
    }
    Ok(found)
}

/// Returns the labels of a sample with those of the command line, which stand above them.
fn labels(sample: &Sample<'_>, extra: &[(String, String)]) -> Result<Labels, Refusal> {
    let mut labels = LabelsBuilder::new();
    let read = sample.series.decode_labels(&mut labels);
    read.map_err(|error| (Reason::Labels, error.to_string()))?;
    for (name, value) in extra {
        labels.set(name, value);
    }
    Ok(labels.labels())
}
