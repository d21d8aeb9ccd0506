//! Collects and changes labels before they become a set.

use super::Labels;

/// Collects labels in any order and builds a [`Labels`].
///
/// Names and values lie in one text that only grows, with sorted places into it: a
/// builder that is cleared and filled again allocates nothing. It also remembers which
/// labels were set since [`LabelsBuilder::from_labels`] and in what order, because
/// relabelling visits the others first.
#[derive(Debug, Clone, Default)]
pub struct LabelsBuilder {
    text: String,
    /// Sorted by name, each name once.
    places: Vec<Place>,
    /// How many labels have been set.
    set_count: u32,
}

/// Where a label lies in the text.
#[derive(Debug, Clone, Copy)]
struct Place {
    name_at: usize,
    name_len: usize,
    value_at: usize,
    value_len: usize,
    /// The turn at which the label was set, 0 for those of the start.
    turn: u32,
}

impl LabelsBuilder {
    /// Returns a builder without labels.
    pub fn new() -> LabelsBuilder {
        LabelsBuilder::default()
    }

    /// Returns a builder that starts with the labels of a set.
    pub fn from_labels(labels: &Labels) -> LabelsBuilder {
        let mut builder = LabelsBuilder::new();
        builder.reset(labels);
        builder
    }

    /// Forgets everything and starts anew with the labels of a set.
    pub fn reset(&mut self, labels: &Labels) {
        self.clear();
        for (name, value) in labels {
            let place = self.put(name, value, 0);
            self.places.push(place);
        }
    }

    /// Removes all labels and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.places.clear();
        self.set_count = 0;
    }

    /// Takes the labels that are there now for those of the start.
    pub fn rebase(&mut self) {
        for place in &mut self.places {
            place.turn = 0;
        }
        self.set_count = 0;
    }

    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut LabelsBuilder {
        let found = self.find(name);
        if value.is_empty() {
            if let Ok(at) = found {
                self.places.remove(at);
            }
            return self;
        }
        match found {
            Ok(at) => {
                let turn = match self.places[at].turn {
                    0 => self.next_turn(),
                    turn => turn,
                };
                let value_at = self.overwrite(self.places[at], value);
                let place = &mut self.places[at];
                (place.value_at, place.value_len) = (value_at, value.len());
                place.turn = turn;
            }
            Err(at) => {
                let turn = self.next_turn();
                let place = self.put(name, value, turn);
                self.places.insert(at, place);
            }
        }
        self
    }

    /// Removes a label where present.
    pub fn remove(&mut self, name: &str) -> &mut LabelsBuilder {
        self.set(name, "")
    }

    /// Returns the value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.find(name).ok()?;
        Some(self.value(&self.places[at]))
    }

    /// Keeps the labels for which `keep(name, value)` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) -> &mut LabelsBuilder {
        let text = &self.text;
        self.places.retain(|place| {
            let name = &text[place.name_at..place.name_at + place.name_len];
            let value = &text[place.value_at..place.value_at + place.value_len];
            keep(name, value)
        });
        self
    }

    /// Iterates over `(name, value)` in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.places
            .iter()
            .map(|place| (self.name(place), self.value(place)))
    }

    /// Returns the labels in the order in which Prometheus' builder visits them: those
    /// of the start by name, then those set since in the order of their setting.
    pub(super) fn visit_order(&self) -> Vec<(&str, &str)> {
        let mut places: Vec<&Place> = self.places.iter().collect();
        // The sort is stable, so the labels of the start stay in order of name.
        places.sort_by_key(|place| place.turn);
        places
            .into_iter()
            .map(|place| (self.name(place), self.value(place)))
            .collect()
    }

    /// Counts the labels.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Tells whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Builds the set.
    pub fn labels(&self) -> Labels {
        Labels::from_sorted(self.iter())
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        // Most are filled in order of name.
        match self.places.last() {
            Some(last) if self.name(last) < name => Err(self.places.len()),
            _ => self
                .places
                .binary_search_by(|place| self.name(place).cmp(name)),
        }
    }

    fn put(&mut self, name: &str, value: &str, turn: u32) -> Place {
        let name_at = self.text.len();
        self.text.push_str(name);
        let value_at = self.text.len();
        self.text.push_str(value);
        Place {
            name_at,
            name_len: name.len(),
            value_at,
            value_len: value.len(),
            turn,
        }
    }

    /// Writes a value over that of a label where it fits, so that a label that is set
    /// again and again does not let the text grow. Returns where it stands.
    fn overwrite(&mut self, place: Place, value: &str) -> usize {
        let end = place.value_at + value.len();
        if value.len() <= place.value_len && self.text.is_char_boundary(end) {
            self.text.replace_range(place.value_at..end, value);
            return place.value_at;
        }
        let value_at = self.text.len();
        self.text.push_str(value);
        value_at
    }

    fn next_turn(&mut self) -> u32 {
        self.set_count += 1;
        self.set_count
    }

    fn name(&self, place: &Place) -> &str {
        &self.text[place.name_at..place.name_at + place.name_len]
    }

    fn value(&self, place: &Place) -> &str {
        &self.text[place.value_at..place.value_at + place.value_len]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn labels_set_later_are_visited_last() {
        let mut builder = LabelsBuilder::from_labels(&Labels::from_pairs([("b", "1"), ("d", "1")]));
        builder
            .set("c", "2")
            .set("a", "2")
            .set("b", "2")
            .set("c", "3");
        let names: Vec<_> = builder
            .visit_order()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["d", "c", "a", "b"]);
        builder.rebase();
        builder.set("a", "4");
        let names: Vec<_> = builder
            .visit_order()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["b", "c", "d", "a"]);
    }

    proptest! {
        #[test]
        fn a_builder_behaves_as_a_sorted_map(
            steps in prop::collection::vec(("[a-c]{1,2}", "[xé]{0,3}"), 0..30),
        ) {
            let mut builder = LabelsBuilder::new();
            builder.set("left", "over").clear();
            let mut map = BTreeMap::new();
            for (name, value) in &steps {
                builder.set(name, value);
                if value.is_empty() {
                    map.remove(name.as_str());
                } else {
                    map.insert(name.as_str(), value.as_str());
                }
                prop_assert_eq!(builder.get(name), map.get(name.as_str()).copied());
            }
            prop_assert!(builder.iter().eq(map.iter().map(|(name, value)| (*name, *value))));
            builder.retain(|name, _| name.starts_with('a'));
            map.retain(|name, _| name.starts_with('a'));
            prop_assert_eq!(builder.labels(), Labels::from_pairs(&map));
        }
    }
}
