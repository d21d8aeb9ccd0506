//! Sorting as Go's `sort.Sort` does it.
//!
//! That sort is not stable, so where equal elements land is up to its choices, and
//! answers show it: `sort()` of many equal values. This is the same pattern-defeating
//! quicksort with the same choices. Any comparison is fine, an inconsistent one
//! included (the reference's calls NaN less than itself).

/// Up to this length elements are inserted one by one.
const INSERTION: usize = 12;
/// From this length on pivots are medians of medians, and shifting pays.
const LONG: usize = 50;

/// Sorts `items` by `less`.
pub(super) fn sort<T>(items: &mut [T], less: impl Fn(&T, &T) -> bool) {
    let len = items.len();
    let limit = usize::BITS - len.leading_zeros();
    let mut sorter = Sorter { items, less };
    sorter.quicksort(0, len, limit);
}

struct Sorter<'a, T, L> {
    items: &'a mut [T],
    less: L,
}

#[derive(PartialEq, Eq)]
enum Hint {
    Unknown,
    Increasing,
    Decreasing,
}

impl<T, L: Fn(&T, &T) -> bool> Sorter<'_, T, L> {
    fn less(&self, a: usize, b: usize) -> bool {
        (self.less)(&self.items[a], &self.items[b])
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.items.swap(a, b);
    }

    /// Sorts `a..b`. `limit`: how many bad pivots are borne before heapsort.
    fn quicksort(&mut self, mut a: usize, mut b: usize, mut limit: u32) {
        let (mut was_balanced, mut was_partitioned) = (true, true);
        loop {
            let len = b - a;
            if len <= INSERTION {
                return self.insertion_sort(a, b);
            }
            if limit == 0 {
                return self.heapsort(a, b);
            }
            if !was_balanced {
                self.break_patterns(a, b);
                limit -= 1;
            }
            let (mut pivot, mut hint) = self.choose_pivot(a, b);
            if hint == Hint::Decreasing {
                self.items[a..b].reverse();
                pivot = (b - 1) - (pivot - a);
                hint = Hint::Increasing;
            }
            let likely_sorted = was_balanced && was_partitioned && hint == Hint::Increasing;
            if likely_sorted && self.partial_insertion_sort(a, b) {
                return;
            }
            if a > 0 && !self.less(a - 1, pivot) {
                a = self.partition_equal(a, b, pivot);
                continue;
            }
            let (middle, already) = self.partition(a, b, pivot);
            was_partitioned = already;
            let (left, right) = (middle - a, b - middle);
            if left < right {
                was_balanced = left >= len / 8;
                self.quicksort(a, middle, limit);
                a = middle + 1;
            } else {
                was_balanced = right >= len / 8;
                self.quicksort(middle + 1, b, limit);
                b = middle;
            }
        }
    }

    fn insertion_sort(&mut self, a: usize, b: usize) {
        for from in a + 1..b {
            let mut at = from;
            while at > a && self.less(at, at - 1) {
                self.swap(at, at - 1);
                at -= 1;
            }
        }
    }

    fn heapsort(&mut self, a: usize, b: usize) {
        let len = b - a;
        for root in (0..=(len - 1) / 2).rev() {
            self.sift_down(a, root, len);
        }
        for last in (0..len).rev() {
            self.swap(a, a + last);
            self.sift_down(a, 0, last);
        }
    }

    fn sift_down(&mut self, first: usize, mut root: usize, len: usize) {
        loop {
            let mut child = 2 * root + 1;
            if child >= len {
                return;
            }
            if child + 1 < len && self.less(first + child, first + child + 1) {
                child += 1;
            }
            if !self.less(first + root, first + child) {
                return;
            }
            self.swap(first + root, first + child);
            root = child;
        }
    }

    /// Parts `a..b` into smaller than the pivot and the rest; returns where the pivot
    /// went, and whether nothing else had to move.
    fn partition(&mut self, a: usize, b: usize, pivot: usize) -> (usize, bool) {
        self.swap(a, pivot);
        let (mut i, mut j) = (a + 1, b - 1);
        let mut already = true;
        loop {
            while i <= j && self.less(i, a) {
                i += 1;
            }
            while i <= j && !self.less(j, a) {
                j -= 1;
            }
            if i > j {
                self.swap(j, a);
                return (j, already);
            }
            already = false;
            self.swap(i, j);
            i += 1;
            j -= 1;
        }
    }

    /// Parts `a..b`, where nothing is smaller than the pivot, into equal and greater.
    fn partition_equal(&mut self, a: usize, b: usize, pivot: usize) -> usize {
        self.swap(a, pivot);
        let (mut i, mut j) = (a + 1, b - 1);
        loop {
            while i <= j && !self.less(a, i) {
                i += 1;
            }
            while i <= j && self.less(a, j) {
                j -= 1;
            }
            if i > j {
                return i;
            }
            self.swap(i, j);
            i += 1;
            j -= 1;
        }
    }

    /// Repairs a nearly sorted range; tells whether that made it sorted.
    fn partial_insertion_sort(&mut self, a: usize, b: usize) -> bool {
        let mut i = a + 1;
        for _ in 0..5 {
            while i < b && !self.less(i, i - 1) {
                i += 1;
            }
            if i == b {
                return true;
            }
            if b - a < LONG {
                return false;
            }
            self.swap(i, i - 1);
            if i - a >= 2 {
                for j in (1..i).rev() {
                    if !self.less(j, j - 1) {
                        break;
                    }
                    self.swap(j, j - 1);
                }
            }
            if b - i >= 2 {
                for j in i + 1..b {
                    if !self.less(j, j - 1) {
                        break;
                    }
                    self.swap(j, j - 1);
                }
            }
        }
        false
    }

    /// Scatters three elements, with random numbers that are the same every time.
    fn break_patterns(&mut self, a: usize, b: usize) {
        let len = b - a;
        if len < 8 {
            return;
        }
        let mut random = len as u64;
        let mask = (1usize << (usize::BITS - len.leading_zeros())) - 1;
        let at = a + (len / 4) * 2 - 1;
        for i in 0..3 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let mut other = random as usize & mask;
            if other >= len {
                other -= len;
            }
            self.swap(at - 1 + i, a + other);
        }
    }

    fn choose_pivot(&self, a: usize, b: usize) -> (usize, Hint) {
        let len = b - a;
        let mut swaps = 0;
        let (mut i, mut j, mut k) = (a + len / 4, a + len / 4 * 2, a + len / 4 * 3);
        if len >= LONG {
            i = self.median(i - 1, i, i + 1, &mut swaps);
            j = self.median(j - 1, j, j + 1, &mut swaps);
            k = self.median(k - 1, k, k + 1, &mut swaps);
        }
        j = self.median(i, j, k, &mut swaps);
        let hint = match swaps {
            0 => Hint::Increasing,
            12 => Hint::Decreasing,
            _ => Hint::Unknown,
        };
        (j, hint)
    }

    fn median(&self, a: usize, b: usize, c: usize, swaps: &mut u32) -> usize {
        let mut ordered = |a: usize, b: usize| {
            if self.less(b, a) {
                *swaps += 1;
                (b, a)
            } else {
                (a, b)
            }
        };
        let (a, b) = ordered(a, b);
        let (b, _) = ordered(b, c);
        let (_, b) = ordered(a, b);
        b
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_comes_is_sorted(mut items in prop::collection::vec(0u16..50, 0..400)) {
            let mut expected = items.clone();
            expected.sort();
            sort(&mut items, |a, b| a < b);
            prop_assert_eq!(items, expected);
        }

        #[test]
        fn nonsense_comparisons_lose_nothing(
            mut items in prop::collection::vec(any::<u8>(), 0..300),
            odd in any::<u8>(),
        ) {
            let mut expected = items.clone();
            expected.sort();
            sort(&mut items, |a, b| a.wrapping_mul(odd) ^ b < 77);
            items.sort();
            prop_assert_eq!(items, expected);
        }
    }

    #[test]
    fn long_patterns_are_sorted() {
        let n = 5_000u32;
        for pattern in [
            (0..n).collect::<Vec<_>>(),
            (0..n).rev().collect(),
            (0..n).map(|i| i % 7).collect(),
            (0..n).map(|i| i ^ 0x2a5).collect(),
        ] {
            let mut items = pattern.clone();
            let mut expected = pattern;
            expected.sort();
            sort(&mut items, |a, b| a < b);
            assert_eq!(items, expected);
        }
    }
}
