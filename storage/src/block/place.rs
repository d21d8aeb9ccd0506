//! The directory of blocks: what in it is a block, and how one goes away.

use std::sync::Arc;

use super::meta::META_FILE;
use super::{BlockError, Ulid};
use crate::fs::Dir;

/// Behind the name of a block that is being written.
pub(super) const WRITING: &str = ".tmp";

/// Behind the name of a block that is being removed.
const DELETING: &str = ".deleting";

/// Returns the blocks in a directory, ascending, and removes what an interrupted write or
/// removal left behind.
///
/// # Errors
/// The disk refuses.
pub fn list_blocks(blocks: &Arc<dyn Dir>) -> Result<Vec<Ulid>, BlockError> {
    let mut found = Vec::new();
    let mut is_changed = false;
    for name in blocks.dirs()? {
        if let Ok(ulid) = name.parse::<Ulid>() {
            let files = blocks.subdir(&name)?.files()?;
            if files.iter().any(|file| file == META_FILE) {
                found.push(ulid);
            }
        } else if is_remains(&name) {
            remove_tree(blocks, &name)?;
            is_changed = true;
        }
    }
    if is_changed {
        blocks.sync()?;
    }
    found.sort_unstable();
    Ok(found)
}

/// Removes a block. Whoever has it open can go on reading. A crash leaves it whole or
/// lets [`list_blocks`] finish the work.
///
/// # Errors
/// The disk refuses.
pub fn remove_block(blocks: &Arc<dyn Dir>, ulid: Ulid) -> Result<(), BlockError> {
    let name = ulid.to_string();
    let going = format!("{name}{DELETING}");
    blocks.rename_dir(&name, &going)?;
    // Files must not go before the name does.
    blocks.sync()?;
    remove_tree(blocks, &going)?;
    blocks.sync()?;
    Ok(())
}

/// Removes a directory with the files in it.
pub(super) fn remove_tree(parent: &Arc<dyn Dir>, name: &str) -> Result<(), BlockError> {
    let dir = parent.subdir(name)?;
    for file in dir.files()? {
        dir.remove(&file)?;
    }
    drop(dir);
    parent.remove_dir(name)?;
    Ok(())
}

fn is_remains(name: &str) -> bool {
    [WRITING, DELETING].iter().any(|suffix| {
        name.strip_suffix(suffix)
            .is_some_and(|ulid| ulid.parse::<Ulid>().is_ok())
    })
}
