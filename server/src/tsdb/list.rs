//! The blocks of a store, as a table.

use std::io::{self, Write};

use kymo_storage::compat::duration;
use kymo_storage::metrics::{BlockInfo, MetricStore};

use crate::config::units;

/// Columns are at least so wide, and so far apart.
const LEAST_WIDTH: usize = 13;
const GAP: usize = 2;

const TITLES: [&str; 8] = [
    "BLOCK ULID",
    "MIN TIME",
    "MAX TIME",
    "DURATION",
    "NUM SAMPLES",
    "NUM CHUNKS",
    "NUM SERIES",
    "SIZE",
];

/// How times and sizes are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    /// Milliseconds and bytes.
    Plain,
    /// As people read them.
    Readable,
}

/// Prints the blocks of a store, oldest first.
pub(super) fn list(store: &MetricStore, numbers: Numbers, out: &mut dyn Write) -> io::Result<()> {
    blocks(&store.blocks(), numbers, out)
}

/// Prints blocks.
pub(super) fn blocks(
    blocks: &[BlockInfo],
    numbers: Numbers,
    out: &mut dyn Write,
) -> io::Result<()> {
    let rows: Vec<[String; 8]> = blocks.iter().map(|block| row(block, numbers)).collect();
    write_table(&rows, out)
}

fn row(block: &BlockInfo, numbers: Numbers) -> [String; 8] {
    let bytes = block.index_bytes + block.data_bytes;
    let time = |ms: i64| match numbers {
        Numbers::Plain => ms.to_string(),
        Numbers::Readable => readable_time(ms),
    };
    let len_ms = block.max_t_ms.saturating_sub(block.min_t_ms);
    [
        block.ulid.clone(),
        time(block.min_t_ms),
        time(block.max_t_ms),
        duration::format_go(len_ms.saturating_mul(1_000_000)),
        block.samples.to_string(),
        block.chunks.to_string(),
        block.series.to_string(),
        match numbers {
            Numbers::Plain => bytes.to_string(),
            Numbers::Readable => units::print_size(bytes),
        },
    ]
}

/// Prints a time as Go does.
pub(crate) fn readable_time(ms: i64) -> String {
    match jiff::Timestamp::from_second(ms.div_euclid(1000)) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
        Err(_) => ms.to_string(),
    }
}

fn write_table(rows: &[[String; 8]], out: &mut dyn Write) -> io::Result<()> {
    let titles = TITLES.map(str::to_owned);
    let lines: Vec<&[String; 8]> = std::iter::once(&titles).chain(rows).collect();
    for line in &lines {
        for (column, cell) in line.iter().enumerate() {
            if column + 1 == line.len() {
                writeln!(out, "{cell}")?;
                continue;
            }
            let longest = lines.iter().map(|line| line[column].len()).max();
            let width = (longest.unwrap_or(0) + GAP).max(LEAST_WIDTH);
            write!(out, "{cell:width$}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both tables are as promtool printed them.
    #[test]
    fn tables_look_as_those_of_promtool() {
        let cells = |cells: [&str; 8]| cells.map(str::to_owned);
        let plain = cells([
            "01M8BTNJXSQR5AZVFNZC2YSB15",
            "1600000000000",
            "1600002985001",
            "49m45.001s",
            "2355",
            "26",
            "16",
            "5816",
        ]);
        let mut out = Vec::new();
        write_table(&[plain], &mut out).unwrap();
        let expected = "\
BLOCK ULID                  MIN TIME       MAX TIME       DURATION     NUM SAMPLES  NUM CHUNKS   NUM SERIES   SIZE
01M8BTNJXSQR5AZVFNZC2YSB15  1600000000000  1600002985001  49m45.001s   2355         26           16           5816
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let readable = cells([
            "01M8BTNJXSQR5AZVFNZC2YSB15",
            &readable_time(1_600_000_000_000),
            &readable_time(1_600_002_985_001),
            "49m45.001s",
            "2355",
            "26",
            "16",
            &units::print_size(5816),
        ]);
        let mut out = Vec::new();
        write_table(&[readable], &mut out).unwrap();
        let expected = "\
BLOCK ULID                  MIN TIME                       MAX TIME                       DURATION     NUM SAMPLES  NUM CHUNKS   NUM SERIES   SIZE
01M8BTNJXSQR5AZVFNZC2YSB15  2020-09-13 12:26:40 +0000 UTC  2020-09-13 13:16:25 +0000 UTC  49m45.001s   2355         26           16           5KiB696B
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
