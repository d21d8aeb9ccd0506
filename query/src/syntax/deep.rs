//! Recursion over trees that may be as deep as a query is long.
//!
//! Every pass over a tree calls itself once per level. Where it does so it goes through
//! [`grow`], which takes another piece of stack from the heap when the current one is
//! nearly used up, so that depth costs memory and never the process. Dropping a tree
//! takes no stack at all: see `drop_tree`.

/// Stack that must be left for a pass to go one level further. It is enough for all
/// that a level does without calling itself, such as reading samples.
const LEAST_STACK_BYTES: usize = 512 << 10;

/// Length of a further piece of stack. Only what is used of it takes memory.
const PIECE_BYTES: usize = 8 << 20;

/// Goes one level down in a tree.
#[inline]
pub(crate) fn grow<R>(level: impl FnOnce() -> R) -> R {
    stacker::maybe_grow(LEAST_STACK_BYTES, PIECE_BYTES, level)
}

/// Takes a tree apart, piece by piece. `take_parts` moves those parts of a node that
/// have parts themselves to the end of a list.
pub(crate) fn drop_tree<T>(root: &mut T, take_parts: impl Fn(&mut T, &mut Vec<T>)) {
    let mut waiting = Vec::new();
    take_parts(root, &mut waiting);
    while let Some(mut part) = waiting.pop() {
        take_parts(&mut part, &mut waiting);
    }
}
