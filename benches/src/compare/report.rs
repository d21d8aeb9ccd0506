//! The table: one row a measurement, one column a system, and Kymo's ratio to each peer.

use std::fmt::Write as _;

/// What a value counts, which also says whether more or less is better.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    PerSecond,
    Milliseconds,
    Megabytes,
    Bytes,
    /// Bytes of which hundredths count.
    SmallBytes,
    Nanoseconds,
    /// A number without a unit.
    Plain,
}

impl Unit {
    fn print(self, value: f64) -> String {
        match self {
            Unit::PerSecond => format!("{:.2} M/s", value / 1e6),
            Unit::Milliseconds => format!("{value:.1} ms"),
            Unit::Megabytes => format!("{value:.0} MB"),
            Unit::Bytes => format!("{value:.2} B"),
            Unit::SmallBytes => format!("{value:.3} B"),
            Unit::Nanoseconds => format!("{value:.0} ns"),
            Unit::Plain => format!("{value:.2}"),
        }
    }

    fn more_is_better(self) -> bool {
        self == Unit::PerSecond
    }
}

/// What is measured.
#[derive(Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) text: String,
    pub(crate) unit: Unit,
}

pub(crate) struct Table {
    systems: Vec<&'static str>,
    rows: Vec<(Row, Vec<Option<f64>>)>,
}

impl Table {
    /// The first system is the one that the others are compared with.
    pub(crate) fn new(systems: Vec<&'static str>) -> Table {
        Table {
            systems,
            rows: Vec::new(),
        }
    }

    pub(crate) fn set(&mut self, row: Row, system: &str, value: f64) {
        let Some(column) = self.systems.iter().position(|name| *name == system) else {
            return;
        };
        let at = match self.rows.iter().position(|(known, _)| *known == row) {
            Some(at) => at,
            None => {
                self.rows.push((row, vec![None; self.systems.len()]));
                self.rows.len() - 1
            }
        };
        self.rows[at].1[column] = Some(value);
    }

    /// Prints the table; a ratio above 1 says how many times better the first system is.
    pub(crate) fn markdown(&self) -> String {
        let mut out = String::from("| |");
        for system in &self.systems {
            let _ = write!(out, " {system} |");
        }
        for peer in self.systems.iter().skip(1) {
            let _ = write!(out, " better than {peer} |");
        }
        out.push_str("\n|---|");
        out.push_str(&"---|".repeat((2 * self.systems.len()).saturating_sub(1)));
        for (row, values) in &self.rows {
            let _ = write!(out, "\n| {} |", row.text);
            for value in values {
                let text = value.map_or_else(|| "-".to_owned(), |value| row.unit.print(value));
                let _ = write!(out, " {text} |");
            }
            for peer in values.iter().skip(1) {
                let ratio = match (values[0], peer) {
                    (Some(own), Some(peer)) if row.unit.more_is_better() => Some(own / peer),
                    (Some(own), Some(peer)) => Some(peer / own),
                    _ => None,
                };
                // Nothing beside nothing has no ratio.
                let ratio = ratio.filter(|ratio| !ratio.is_nan());
                let text = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("x {ratio:.1}"));
                let _ = write!(out, " {text} |");
            }
        }
        out
    }
}
