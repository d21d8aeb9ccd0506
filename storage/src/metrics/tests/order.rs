//! Series of several blocks and of the head come in label order, each once.

use super::*;

/// Some label sets: names and values that are prefixes of each other, or empty.
fn label_sets() -> impl Strategy<Value = Vec<(Labels, u8)>> {
    let value = prop_oneof![Just(""), Just("a"), Just("ab"), Just("b"), Just("é")];
    let names = ["a", "aa", "b", "job", "z"];
    let set = prop::collection::vec(value, names.len())
        .prop_map(move |values| Labels::from_pairs(names.into_iter().zip(values)));
    // Bits say which of three blocks, and whether the head, have the series.
    prop::collection::vec((set, 1u8..16), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn series_of_all_parts_are_one_list(sets in label_sets()) {
        let sets: BTreeMap<Labels, u8> = sets.into_iter().filter(|(set, _)| !set.is_empty()).collect();
        let place = place();
        let store = place.open();
        for block in 0..3i64 {
            let range = TimeRange::new(block * 100, block * 100 + 99);
            let mut import = store.import(range).unwrap();
            for (set, parts) in &sets {
                if parts & 1 << block != 0 {
                    import.series(set.iter(), &[range.start_ms], &[block as f64]).unwrap();
                }
            }
            import.finish().unwrap();
        }
        let mut appender = store.appender();
        for (set, parts) in sets.iter().rev() {
            if parts & 8 != 0 {
                let series = appender.series(set).unwrap();
                appender.append(series, 300, 3.0).unwrap();
            }
        }
        appender.commit().unwrap();

        for wanted in [0b1111u8, 0b0111, 0b1110, 0b1000, 0b0010] {
            let (first, last) = (wanted.trailing_zeros(), 7 - wanted.leading_zeros());
            let range = TimeRange::new(i64::from(first) * 100, i64::from(last) * 100 + 99);
            let selection = store.select_sorted(&all(), range).unwrap();
            let expected: Vec<(Labels, Samples)> = sets
                .iter()
                .filter(|(_, parts)| *parts & wanted != 0)
                .map(|(set, parts)| {
                    let parts = (0..4i64).filter(|part| parts & wanted & 1 << part != 0);
                    let samples = parts.map(|part| (part * 100, (part as f64).to_bits()));
                    (set.clone(), samples.collect())
                })
                .collect();
            prop_assert_eq!(read_selection(&selection), expected);
            for index in 0..selection.len() {
                let labels = selection.labels(index);
                for names in [&["job", "a"][..], &["none", "z"], &[]] {
                    let wanted = labels.iter().filter(|(name, _)| names.contains(name));
                    let wanted = Labels::from_sorted(wanted.collect::<Vec<_>>());
                    prop_assert_eq!(selection.labels_named(index, names), wanted);
                }
            }
            let series = store.series(&[all()], range, 7).unwrap();
            let first: Vec<Labels> = selected_labels(&selection).into_iter().take(7).collect();
            prop_assert_eq!(series, first);
        }
    }
}

fn selected_labels(selection: &Selection) -> Vec<Labels> {
    (0..selection.len())
        .map(|index| selection.labels(index))
        .collect()
}
