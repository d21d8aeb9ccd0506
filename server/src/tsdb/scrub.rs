//! Checks every stored byte against its checksum.

use std::io::Write;
use std::ops::ControlFlow;

use anyhow::bail;
use kymo_storage::metrics::{Damage, MetricStore};

use crate::config::units;

/// Checks a store that was just opened; `found` is the damage found at that.
pub(super) fn scrub(
    store: &MetricStore,
    mut found: Vec<Damage>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let n_blocks = store.blocks().len();
    found.extend(store.verify_head());
    store.scrub(&mut || ControlFlow::Continue(()))?;
    found.extend(store.take_damages());
    let bytes = units::print_size(store.stats().blocks.scrubbed_bytes_total);
    for damage in &found {
        let (file, offset) = (damage.path.display(), damage.offset);
        writeln!(out, "{file}: byte {offset}: {}", damage.detail)?;
    }
    match found.len() {
        0 => {
            writeln!(
                out,
                "no damage in {n_blocks} blocks ({bytes}), head and log"
            )?;
            Ok(())
        }
        1 => bail!("one place is damaged"),
        n => bail!("{n} places are damaged"),
    }
}
