//! What tests share that let stores live and die at random: a source of chance, and crashes
//! of a recording directory at any moment.
//!
//! `KYMO_CRASH_LIVES` sets how many lives are lived, `KYMO_CRASH_SEED` where to begin; a
//! failure names its seed.

use std::panic::RefUnwindSafe;

use super::crash::{CrashDir, Cut, Loss};
use crate::SyncPolicy;

/// A small source of chance (splitmix64).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// Lives as many lives as are asked for, or `lives`, each from a seed of its own.
pub(crate) fn live_all(lives: u64, live: impl Fn(u64) + RefUnwindSafe) {
    let setting = |name: &str, default: u64| {
        let value = std::env::var(name).ok();
        value.map_or(default, |value| value.parse().expect(name))
    };
    let begin = setting("KYMO_CRASH_SEED", 0);
    for seed in begin..begin + setting("KYMO_CRASH_LIVES", lives) {
        let lived = std::panic::catch_unwind(|| live(seed));
        if let Err(panic) = lived {
            println!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// Returns when a store of a life syncs, and what crashes then may take.
pub(crate) fn losses(seed: u64) -> (SyncPolicy, [Loss; 2]) {
    match seed % 2 {
        0 => (SyncPolicy::Never, [Loss::Process, Loss::Process]),
        _ => (SyncPolicy::Always, [Loss::Everything, Loss::Chance(seed)]),
    }
}

/// Returns a moment after the first `begun` changes of a directory.
pub(crate) fn cut(chance: &mut Chance, dir: &CrashDir, begun: usize) -> Cut {
    let ops = begun + chance.below((dir.ops() - begun) as u64) as usize;
    let len = dir.write_len(ops) as u64;
    Cut {
        ops,
        partial_bytes: chance.below(len + 1) as usize,
    }
}

/// Returns what was acknowledged before a crash, and what would have been next. A ledger
/// says after how many changes what was acknowledged, the first one before any cut.
pub(crate) fn around<Content>(ledger: &[(usize, Content)], cut: Cut) -> (&Content, &Content) {
    let next = ledger.partition_point(|(done, _)| *done <= cut.ops);
    let before = &ledger[next - 1].1;
    let after = ledger.get(next).map_or(before, |(_, content)| content);
    (before, after)
}
