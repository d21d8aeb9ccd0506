//! Entries that wait to become a row group.

use std::collections::HashMap;

/// Entries in flat memory, in order of arrival.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    /// Texts of all lines.
    pub(super) lines: Vec<u8>,
    pub(super) pairs: Vec<Pair>,
    /// Values of structured metadata.
    pub(super) text: String,
    pub(super) names: Vec<String>,
    numbers: HashMap<String, u32, foldhash::fast::FixedState>,
}

/// One entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) stream: u32,
    pub(super) t_ns: i64,
    pub(super) line: (u32, u32),
    pub(super) pairs: (u32, u32),
}

/// One name with its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) name: u32,
    pub(super) value: (u32, u32),
}

impl Rows {
    /// Makes room for the lines of a group at once: lines that grow over and over would
    /// leave twice their memory behind.
    pub(super) fn with_room(line_bytes: usize, rows: usize) -> Rows {
        Rows {
            lines: Vec::with_capacity(line_bytes),
            rows: Vec::with_capacity(rows),
            ..Rows::default()
        }
    }

    /// Makes room for more lines.
    pub(super) fn make_room(&mut self, line_bytes: usize, rows: usize) {
        self.lines.reserve_exact(line_bytes);
        self.rows.reserve_exact(rows);
    }

    pub(super) fn push<'p>(
        &mut self,
        stream: u32,
        t_ns: i64,
        line: &[u8],
        metadata: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) {
        let (line_start, first) = (self.lines.len() as u32, self.pairs.len() as u32);
        self.lines.extend_from_slice(line);
        for (name, value) in metadata {
            let name = match self.numbers.get(name) {
                Some(&number) => number,
                None => {
                    let number = self.names.len() as u32;
                    self.names.push(name.to_owned());
                    self.numbers.insert(name.to_owned(), number);
                    number
                }
            };
            let start = self.text.len() as u32;
            self.text.push_str(value);
            self.pairs.push(Pair {
                name,
                value: (start, self.text.len() as u32),
            });
        }
        self.rows.push(Row {
            stream,
            t_ns,
            line: (line_start, self.lines.len() as u32),
            pairs: (first, self.pairs.len() as u32),
        });
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.lines.clear();
        self.pairs.clear();
        self.text.clear();
        self.names.clear();
        self.numbers.clear();
    }

    /// Returns the bytes of memory that it takes, but for names, which are few.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.lines.capacity()
            + self.text.capacity()
            + self.rows.capacity() * size_of::<Row>()
            + self.pairs.capacity() * size_of::<Pair>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the bytes of the entries.
    pub(super) fn len_bytes(&self) -> usize {
        self.lines.len() + self.text.len()
    }

    pub(super) fn line(&self, row: Row) -> &[u8] {
        &self.lines[row.line.0 as usize..row.line.1 as usize]
    }

    pub(super) fn pairs(&self, row: Row) -> &[Pair] {
        &self.pairs[row.pairs.0 as usize..row.pairs.1 as usize]
    }

    pub(super) fn value(&self, pair: Pair) -> &str {
        &self.text[pair.value.0 as usize..pair.value.1 as usize]
    }
}
