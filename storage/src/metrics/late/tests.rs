use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::metrics::columns;

fn read(buffer: &LateBuffer, slot: u32, range: TimeRange, epoch: Option<u32>) -> Vec<(i64, u64)> {
    let mut samples = Vec::new();
    if let Some(copy) = buffer.copy(slot, range, epoch) {
        copy.read(range, &mut samples).unwrap();
    }
    samples.iter().map(|s| (s.t_ms, s.bits)).collect()
}

#[test]
fn samples_of_the_newest_epoch_are_kept_apart() {
    let mut buffer = LateBuffer::default();
    for t_ms in 0..1000 {
        assert!(buffer.insert(3, t_ms * 10, t_ms as u64, 1));
    }
    assert!(!buffer.insert(3, 500, 1, 1), "the first one stays");
    assert_eq!(read(&buffer, 3, TimeRange::ALL, Some(1)), []);
    assert_eq!(read(&buffer, 3, TimeRange::ALL, Some(2)).len(), 1000);
    assert!(!buffer.insert(3, 500, 1, 2));
    assert!(buffer.insert(3, 505, 1, 2));
    assert_eq!(read(&buffer, 3, TimeRange::ALL, Some(2)).len(), 1000);
    let range = TimeRange::new(490, 510);
    let all = [(490, 49), (500, 50), (505, 1), (510, 51)];
    assert_eq!(read(&buffer, 3, range, Some(3)), all);
    assert_eq!(read(&buffer, 3, range, None), all);
    assert_eq!(read(&buffer, 4, range, None), []);
    assert_eq!(buffer.bounds(3), Some(TimeRange::new(0, 9990)));
    assert_eq!((buffer.n_samples(), buffer.slots()), (1001, vec![3]));
}

#[test]
fn many_samples_take_few_bytes_in_any_order() {
    for stride in [1, 7919] {
        let mut buffer = LateBuffer::default();
        for n in 0..20_000i64 {
            let t_ms = n * stride % 20_000 * 15_000;
            buffer.insert(1, t_ms, (t_ms as f64 / 1000.0).to_bits(), n as u32 / 100);
        }
        assert_eq!(buffer.n_samples(), 20_000);
        let bytes = buffer.memory_bytes();
        assert!(bytes < 20_000 * 5, "{bytes} bytes with stride {stride}");
        let found = read(&buffer, 1, TimeRange::ALL, None);
        assert!(found.is_sorted() && found.len() == 20_000);
        buffer.retain(1, TimeRange::ALL, |_| false);
        assert_eq!((buffer.n_samples(), buffer.slots().len()), (0, 0));
    }
}

#[derive(Debug, Clone)]
enum Step {
    Insert(u32, i64, u64),
    Epoch,
    Delete(u32, i64, i64),
    Remove(u32),
    /// To bytes and back.
    Restore,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let slot = 0u32..3;
    let t_ms = prop_oneof![8 => 0i64..2000, 1 => any::<i64>()];
    let step = prop_oneof![
        400 => (slot.clone(), t_ms, any::<u64>()).prop_map(|(s, t, v)| Step::Insert(s, t, v)),
        30 => Just(Step::Epoch),
        10 => (slot.clone(), 0i64..2000, 0i64..500).prop_map(|(s, t, d)| Step::Delete(s, t, t + d)),
        1 => slot.prop_map(Step::Remove),
        2 => Just(Step::Restore),
    ];
    proptest::collection::vec(step, 0..900)
}

fn restored(buffer: &LateBuffer) -> LateBuffer {
    let (mut bytes, mut again) = (Vec::new(), LateBuffer::default());
    buffer.encode(&mut bytes);
    decode_section(&bytes, |slot, samples| {
        for sample in samples {
            assert!(again.insert(slot, sample.t_ms, sample.bits, 0));
        }
    })
    .unwrap();
    again
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_buffer_is_a_map(steps in steps()) {
        let mut buffer = LateBuffer::default();
        let mut model: BTreeMap<(u32, i64), u64> = BTreeMap::new();
        let mut epoch = 0;
        for step in steps {
            match step {
                Step::Epoch => epoch += 1,
                Step::Insert(slot, t_ms, bits) => {
                    let new = !model.contains_key(&(slot, t_ms));
                    prop_assert_eq!(buffer.insert(slot, t_ms, bits, epoch), new);
                    model.entry((slot, t_ms)).or_insert(bits);
                }
                Step::Delete(slot, start_ms, end_ms) => {
                    let range = TimeRange::new(start_ms, end_ms);
                    buffer.retain(slot, range, |t_ms| t_ms % 3 == 0);
                    model.retain(|&(s, t), _| s != slot || !range.contains(t) || t % 3 == 0);
                }
                Step::Remove(slot) => {
                    let n = model.keys().filter(|(s, _)| *s == slot).count();
                    prop_assert_eq!(buffer.remove(slot).len(), n);
                    model.retain(|&(s, _), _| s != slot);
                }
                Step::Restore => (buffer, epoch) = (restored(&buffer), 0),
            }
        }
        prop_assert_eq!(buffer.n_samples(), model.len() as u64);
        for slot in 0..3 {
            for range in [TimeRange::ALL, TimeRange::new(300, 900)] {
                let expected: Vec<_> = model
                    .iter()
                    .filter(|((s, t), _)| *s == slot && range.contains(*t))
                    .map(|(&(_, t), &bits)| (t, bits))
                    .collect();
                prop_assert_eq!(read(&buffer, slot, range, None), expected);
            }
            let times: Vec<i64> = model.keys().filter(|k| k.0 == slot).map(|k| k.1).collect();
            let bounds = times.first().zip(times.last());
            prop_assert_eq!(buffer.bounds(slot), bounds.map(|(&a, &b)| TimeRange::new(a, b)));
            prop_assert_eq!(buffer.has(slot), bounds.is_some());
        }
    }

    #[test]
    fn merging_lets_samples_in_order_win(
        in_order in proptest::collection::btree_set(0i64..60, 0..40),
        late in proptest::collection::btree_set(0i64..60, 0..40),
    ) {
        let mut expected: BTreeMap<i64, f64> = late.iter().map(|&t| (t, 2.0)).collect();
        expected.extend(in_order.iter().map(|&t| (t, 1.0)));
        let bits = 2f64.to_bits();
        let late: Vec<_> = late.iter().map(|&t_ms| LateSample { t_ms, bits }).collect();
        let mut timestamps: Vec<i64> = in_order.into_iter().collect();
        let mut values = vec![1.0; timestamps.len()];
        columns::merge(&mut timestamps, &mut values, late.iter().map(LateSample::parts));
        let found: Vec<(i64, f64)> = timestamps.into_iter().zip(values).collect();
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn damaged_sections_are_told_or_read(
        steps in steps(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut buffer = LateBuffer::default();
        for step in steps {
            if let Step::Insert(slot, t_ms, bits) = step {
                buffer.insert(slot, t_ms, bits, 0);
            }
        }
        let mut bytes = Vec::new();
        buffer.encode(&mut bytes);
        let cut = cut.index(bytes.len());
        let torn = decode_section(&bytes[..cut], |_, _| {});
        prop_assert!(torn.is_err());
        for (at, to) in flips {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        let _ = decode_section(&bytes, |_, samples| {
            assert!(!samples.is_empty() && samples.len() <= MAX_RUN);
        });
    }

    #[test]
    fn arbitrary_sections_never_panic(bytes: Vec<u8>) {
        let _ = decode_section(&bytes, |_, _| {});
    }
}
