//! Rows of streams between two times, found by their times alone.

use std::ops::Range;

use super::PartError;
use super::group::Group;
use super::page::Page;

/// A stretch of time of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Number of the stream in the part.
    pub stream: u32,
    /// The first time in it.
    pub first_ns: i64,
    /// The last one.
    pub last_ns: i64,
}

impl Group<'_> {
    /// Calls `visit` with the rows of each page that are in a stretch, and the number of the
    /// stretch; rows are counted from the start of the page. Stretches come in order of
    /// their streams and times. Of a page nothing but its times is decoded.
    ///
    /// # Errors
    /// The group is damaged, or `visit` fails.
    pub fn stretches<E: From<PartError>>(
        &self,
        stretches: &[Stretch],
        mut visit: impl FnMut(&Page<'_, '_>, Range<usize>, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        for number in 0..self.n_pages() {
            let page = Page::new(self, number);
            let rows = page.rows();
            for run in self.runs_of(rows.clone()) {
                let first = stretches.partition_point(|of| of.stream < run.stream);
                let end = stretches.partition_point(|of| of.stream <= run.stream);
                if first == end {
                    continue;
                }
                let of_page = run.start.max(rows.start)..run.end.min(rows.end);
                let of_page = of_page.start - rows.start..of_page.end - rows.start;
                // Times of a stream ascend.
                let times = &page.times()?[of_page.clone()];
                let mut start = 0;
                for (at, stretch) in stretches.iter().enumerate().take(end).skip(first) {
                    let left = &times[start..];
                    start += left.partition_point(|&t| t < stretch.first_ns);
                    let len = times[start..].partition_point(|&t| t <= stretch.last_ns);
                    if len > 0 {
                        let from = of_page.start + start;
                        visit(&page, from..from + len, at)?;
                    }
                    start += len;
                }
            }
        }
        Ok(())
    }
}
