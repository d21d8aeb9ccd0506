//! The series of one label pair, in the form that suits their number.

use roaring::RoaringBitmap;

/// Longest list that is kept as a plain vector.
const FEW: usize = 16;

/// A set of series ids. Most pairs of a busy store have one series or thousands.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Postings {
    #[default]
    Empty,
    One(u32),
    /// Ascending, at most [`FEW`].
    Few(Vec<u32>),
    Many(Box<RoaringBitmap>),
}

impl Postings {
    /// Returns the set of these ids, which ascend.
    pub(crate) fn from_ascending(ids: &[u32]) -> Postings {
        match *ids {
            [] => Postings::Empty,
            [id] => Postings::One(id),
            _ if ids.len() <= FEW => Postings::Few(ids.to_vec()),
            _ => Postings::Many(Box::new(ids.iter().copied().collect())),
        }
    }

    /// Adds an id; one that is present already changes nothing.
    pub(crate) fn insert(&mut self, id: u32) {
        match self {
            Postings::Empty => *self = Postings::One(id),
            Postings::One(one) => {
                if *one != id {
                    *self = Postings::Few(vec![id.min(*one), id.max(*one)]);
                }
            }
            Postings::Few(ids) => {
                if let Err(at) = ids.binary_search(&id) {
                    ids.insert(at, id);
                    if ids.len() > FEW {
                        *self = Postings::Many(Box::new(ids.iter().copied().collect()));
                    }
                }
            }
            Postings::Many(bitmap) => {
                bitmap.insert(id);
            }
        }
    }

    /// Removes all ids of `dead`.
    pub(crate) fn remove_all(&mut self, dead: &RoaringBitmap) {
        match self {
            Postings::Empty => {}
            Postings::One(id) => {
                if dead.contains(*id) {
                    *self = Postings::Empty;
                }
            }
            Postings::Few(ids) => {
                ids.retain(|&id| !dead.contains(id));
                if ids.is_empty() {
                    *self = Postings::Empty;
                }
            }
            Postings::Many(bitmap) => {
                **bitmap -= dead;
                if bitmap.len() <= FEW as u64 {
                    let ids: Vec<u32> = bitmap.iter().collect();
                    *self = if ids.is_empty() {
                        Postings::Empty
                    } else {
                        Postings::Few(ids)
                    };
                }
            }
        }
    }

    /// Counts the ids.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Postings::Empty => 0,
            Postings::One(_) => 1,
            Postings::Few(ids) => ids.len() as u64,
            Postings::Many(bitmap) => bitmap.len(),
        }
    }

    /// Tells whether there is no id.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Postings::Empty)
    }

    /// Tells whether the id is in the set.
    pub(crate) fn contains(&self, id: u32) -> bool {
        match self {
            Postings::Empty => false,
            Postings::One(one) => *one == id,
            Postings::Few(ids) => ids.binary_search(&id).is_ok(),
            Postings::Many(bitmap) => bitmap.contains(id),
        }
    }

    /// Appends the ids in ascending order.
    pub(crate) fn append_to(&self, into: &mut Vec<u32>) {
        match self {
            Postings::Empty => {}
            Postings::One(id) => into.push(*id),
            Postings::Few(ids) => into.extend_from_slice(ids),
            Postings::Many(bitmap) => into.extend(bitmap.iter()),
        }
    }

    /// Returns the bytes of memory held apart from the enum itself.
    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            Postings::Empty | Postings::One(_) => 0,
            Postings::Few(ids) => ids.capacity() * size_of::<u32>(),
            Postings::Many(bitmap) => {
                let statistics = bitmap.statistics();
                size_of::<RoaringBitmap>()
                    + statistics.n_containers as usize * 40
                    + (statistics.n_bytes_array_containers
                        + statistics.n_bytes_bitset_containers
                        + statistics.n_bytes_run_containers) as usize
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_as_a_set(ids in proptest::collection::vec(0u32..200_000, 0..80), dead in proptest::collection::vec(0usize..80, 0..80)) {
            let mut postings = Postings::default();
            let mut model = BTreeSet::new();
            for &id in &ids {
                postings.insert(id);
                model.insert(id);
            }
            let dead: BTreeSet<u32> = dead.iter().filter_map(|&at| ids.get(at).copied()).collect();
            postings.remove_all(&dead.iter().copied().collect());
            model.retain(|id| !dead.contains(id));
            let mut listed = Vec::new();
            postings.append_to(&mut listed);
            prop_assert_eq!(&listed, &model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(postings.len(), model.len() as u64);
            prop_assert_eq!(postings.is_empty(), model.is_empty());
            prop_assert!(model.iter().all(|&id| postings.contains(id)));
            prop_assert!(ids.iter().all(|id| postings.contains(*id) == model.contains(id)));
        }
    }
}
