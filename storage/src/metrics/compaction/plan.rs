//! Which blocks become one.
//!
//! Blocks grow along a ladder of aligned windows (2 h, 8 h, 24 h): as soon as a window
//! lies wholly behind the head, all blocks inside it are merged. The widest window
//! comes first, so a store that was filled at once writes everything once. Late samples
//! make blocks that overlap older ones; such a block is small beside the one it belongs
//! to, and waits until enough of its kind have come to be worth the rewrite.

use std::collections::BTreeMap;

/// Late blocks are merged into the block of their window when they are this many, or
/// an eighth of it.
const LATE_BLOCKS: usize = 4;
const LATE_SHARE: u64 = 8;

/// What is looked at of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Oldest time in milliseconds.
    pub(super) min_t_ms: i64,
    /// End in milliseconds, exclusive.
    pub(super) max_t_ms: i64,
    /// Place on the ladder; 1 for what came from the head.
    pub(super) level: u32,
    /// Size on disk in bytes.
    pub(super) len_bytes: u64,
}

/// A merge to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Merge {
    /// Indexes of the blocks.
    pub(super) blocks: Vec<usize>,
    /// Place on the ladder of what they become.
    pub(super) level: u32,
    /// The window in milliseconds, its end exclusive.
    pub(super) min_t_ms: i64,
    pub(super) max_t_ms: i64,
}

/// Returns the next merge, or `None` when there is nothing to do. `ladder` holds the
/// lengths of the windows in milliseconds, ascending, the first that of a new block;
/// nothing before `settled_ms` comes from the head any more, except late samples.
pub(super) fn next(blocks: &[Candidate], ladder: &[i64], settled_ms: i64) -> Option<Merge> {
    for (step, &window_ms) in ladder.iter().enumerate().rev() {
        let level = step as u32 + 1;
        let mut windows: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (at, block) in blocks.iter().enumerate() {
            let start_ms = block.min_t_ms.div_euclid(window_ms) * window_ms;
            let end_ms = start_ms.saturating_add(window_ms);
            if block.max_t_ms <= end_ms && end_ms <= settled_ms {
                windows.entry(start_ms).or_default().push(at);
            }
        }
        let mut due = windows
            .into_iter()
            .filter(|(_, inside)| is_worth(blocks, inside, level));
        if let Some((start_ms, inside)) = due.next() {
            return Some(Merge {
                blocks: inside,
                level,
                min_t_ms: start_ms,
                max_t_ms: start_ms.saturating_add(window_ms),
            });
        }
    }
    None
}

fn is_worth(blocks: &[Candidate], inside: &[usize], level: u32) -> bool {
    let (mut done_bytes, mut late_bytes, mut n_done, mut n_late) = (0, 0, 0, 0);
    for &at in inside {
        let block = blocks[at];
        if block.level >= level {
            done_bytes += block.len_bytes;
            n_done += 1;
        } else {
            late_bytes += block.len_bytes;
            n_late += 1;
        }
    }
    match (n_done, n_late) {
        (0, late) => late > 1,
        (1, 0) => false,
        // On the lowest step every block is "done": the first one is that of the head.
        (more, late) => {
            more + late > LATE_BLOCKS
                || (n_done == 1 && late_bytes * LATE_SHARE >= done_bytes)
                || (n_done > 1 && is_large_beside(blocks, inside))
        }
    }
}

/// Tells whether all but the largest block are worth a rewrite of it.
fn is_large_beside(blocks: &[Candidate], inside: &[usize]) -> bool {
    let sizes = inside.iter().map(|&at| blocks[at].len_bytes);
    let (all, largest) = (sizes.clone().sum::<u64>(), sizes.max().unwrap_or(0));
    (all - largest) * LATE_SHARE >= largest
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: i64 = 3_600_000;
    const LADDER: [i64; 3] = [2 * H, 8 * H, 24 * H];

    fn block(start_h: i64, end_h: i64, level: u32, len_bytes: u64) -> Candidate {
        Candidate {
            min_t_ms: start_h * H,
            max_t_ms: end_h * H,
            level,
            len_bytes,
        }
    }

    fn plan(blocks: &[Candidate], settled_h: i64) -> Option<(Vec<usize>, u32)> {
        next(blocks, &LADDER, settled_h * H).map(|merge| (merge.blocks, merge.level))
    }

    /// Runs plans to their end; returns what is left and how many bytes were written.
    fn run(mut blocks: Vec<Candidate>, settled_h: i64) -> (Vec<Candidate>, u64) {
        let mut written = 0;
        while let Some(merge) = next(&blocks, &LADDER, settled_h * H) {
            let inside: Vec<Candidate> = merge.blocks.iter().map(|&at| blocks[at]).collect();
            let merged = Candidate {
                min_t_ms: inside.iter().map(|b| b.min_t_ms).min().unwrap(),
                max_t_ms: inside.iter().map(|b| b.max_t_ms).max().unwrap(),
                level: merge.level,
                len_bytes: inside.iter().map(|b| b.len_bytes).sum(),
            };
            written += merged.len_bytes;
            let mut at = 0;
            blocks.retain(|_| {
                at += 1;
                !merge.blocks.contains(&(at - 1))
            });
            blocks.push(merged);
        }
        (blocks, written)
    }

    #[test]
    fn windows_are_merged_when_they_are_complete() {
        let four: Vec<_> = (0..4).map(|n| block(n * 2, n * 2 + 2, 1, 100)).collect();
        assert_eq!(plan(&four, 8), Some((vec![0, 1, 2, 3], 2)));
        assert_eq!(plan(&four, 7), None, "the window is not over");
        assert_eq!(
            plan(&four[..1], 8),
            None,
            "one block is merged with nothing"
        );
        assert_eq!(plan(&four[..2], 8), Some((vec![0, 1], 2)), "gaps are fine");
        let eights = [
            block(0, 8, 2, 400),
            block(8, 16, 2, 400),
            block(16, 24, 2, 400),
        ];
        assert_eq!(plan(&eights, 23), None);
        assert_eq!(plan(&eights, 24), Some((vec![0, 1, 2], 3)));
    }

    #[test]
    fn a_store_that_was_filled_at_once_writes_everything_once() {
        let blocks: Vec<_> = (0..24).map(|n| block(n * 2, n * 2 + 2, 1, 100)).collect();
        let (left, written) = run(blocks, 48);
        assert_eq!(left.len(), 2);
        assert_eq!(written, 2400);
    }

    #[test]
    fn growing_writes_everything_less_than_twice() {
        let (mut blocks, mut written) = (Vec::new(), 0);
        for n in 0..120 {
            blocks.push(block(n * 2, n * 2 + 2, 1, 100));
            let (left, more) = run(blocks, n * 2 + 2);
            blocks = left;
            written += more;
        }
        assert_eq!(blocks.len(), 10);
        // The last window of a day goes straight into the block of the day.
        assert_eq!(written, 120 * 100 * 5 / 3);
    }

    #[test]
    fn late_blocks_wait_for_company() {
        let day = block(0, 24, 3, 10_000);
        let late = |n: i64, len_bytes| block(n * 2, n * 2 + 2, 1, len_bytes);
        assert_eq!(plan(&[day, late(3, 10)], 30), None);
        assert_eq!(plan(&[day, late(3, 2000)], 30), Some((vec![0, 1], 3)));
        let mut many = vec![day];
        many.extend((0..4).map(|n| late(n * 3, 10)));
        assert_eq!(plan(&many, 30), Some((vec![0, 1, 2, 3, 4], 3)));
        // On the lowest step, too.
        let two_hours = block(24, 26, 1, 1000);
        assert_eq!(plan(&[two_hours, block(24, 26, 1, 10)], 26), None);
        let merged = plan(&[two_hours, block(24, 26, 1, 500)], 26);
        assert_eq!(merged, Some((vec![0, 1], 1)));
    }

    #[test]
    fn times_before_the_epoch_have_windows_too() {
        let blocks = [block(-8, -6, 1, 1), block(-6, -4, 1, 1)];
        let merge = next(&blocks, &LADDER, 0).unwrap();
        assert_eq!((merge.min_t_ms, merge.max_t_ms), (-24 * H, 0));
    }
}
