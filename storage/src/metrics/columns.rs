//! Two columns of one series, times and values, from several places.

/// Merges samples in order of time into columns in order of time. Of two samples at the
/// same time that of the columns stays.
pub(super) fn merge(
    timestamps: &mut Vec<i64>,
    values: &mut Vec<f64>,
    others: impl DoubleEndedIterator<Item = (i64, f64)> + Clone,
) {
    let mut at = 0;
    let is_new = |&(t_ms, _): &(i64, f64)| {
        at += timestamps[at..].partition_point(|&known_ms| known_ms < t_ms);
        timestamps.get(at) != Some(&t_ms)
    };
    let n_new = others.clone().filter(is_new).count();
    // From the end, so that nothing is moved twice.
    let mut from = timestamps.len();
    let mut to = from + n_new;
    timestamps.resize(to, 0);
    values.resize(to, 0.0);
    for (t_ms, value) in others.rev() {
        if from == to {
            break;
        }
        while from > 0 && timestamps[from - 1] > t_ms {
            (from, to) = (from - 1, to - 1);
            timestamps[to] = timestamps[from];
            values[to] = values[from];
        }
        if from == 0 || timestamps[from - 1] != t_ms {
            to -= 1;
            timestamps[to] = t_ms;
            values[to] = value;
        }
    }
}

/// As [`merge`], of columns.
pub(super) fn merge_columns(
    timestamps: &mut Vec<i64>,
    values: &mut Vec<f64>,
    other_timestamps: &[i64],
    other_values: &[f64],
) {
    let first_ms = other_timestamps.first();
    if first_ms.is_some_and(|first_ms| timestamps.last().is_none_or(|last_ms| last_ms < first_ms)) {
        timestamps.extend_from_slice(other_timestamps);
        values.extend_from_slice(other_values);
        return;
    }
    let others = other_timestamps.iter().zip(other_values);
    merge(
        timestamps,
        values,
        others.map(|(&t_ms, &value)| (t_ms, value)),
    );
}

/// Merges the samples from `begin` on into those before, both in order of time, as
/// [`merge`] does. The other two columns are a place to put them.
pub(super) fn settle(
    timestamps: &mut Vec<i64>,
    values: &mut Vec<f64>,
    begin: usize,
    (other_timestamps, other_values): (&mut Vec<i64>, &mut Vec<f64>),
) {
    let in_order = match (begin.checked_sub(1), timestamps.get(begin)) {
        (Some(last), Some(&first_ms)) => timestamps[last] < first_ms,
        _ => true,
    };
    if !in_order {
        other_timestamps.clear();
        other_values.clear();
        other_timestamps.extend(timestamps.drain(begin..));
        other_values.extend(values.drain(begin..));
        merge_columns(timestamps, values, other_timestamps, other_values);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn columns_merge_like_maps(one: BTreeMap<i8, u8>, other: BTreeMap<i8, u8>) {
            let columns = |map: &BTreeMap<i8, u8>, add: f64| -> (Vec<i64>, Vec<f64>) {
                map.iter().map(|(&t, &v)| (i64::from(t), f64::from(v) + add)).unzip()
            };
            let (mut t, mut v) = columns(&one, 0.0);
            let (other_t, other_v) = columns(&other, 0.5);
            let begin = t.len();
            let (mut appended_t, mut appended_v) = (t.clone(), v.clone());
            appended_t.extend(&other_t);
            appended_v.extend(&other_v);
            merge_columns(&mut t, &mut v, &other_t, &other_v);
            let mut model: BTreeMap<i64, f64> = other_t.into_iter().zip(other_v).collect();
            model.extend(one.iter().map(|(&t, &v)| (i64::from(t), f64::from(v))));
            prop_assert_eq!(&t, &model.keys().copied().collect::<Vec<_>>());
            prop_assert_eq!(&v, &model.values().copied().collect::<Vec<_>>());
            let room = (&mut vec![7], &mut vec![7.0]);
            settle(&mut appended_t, &mut appended_v, begin, room);
            prop_assert_eq!((appended_t, appended_v), (t, v));
        }
    }
}
