//! Memory of the open chunks: places of a few sizes in pages, without a heap object
//! per series.
//!
//! A chunk that outgrows its place moves to one of the next size, which copies a few
//! hundred bytes once or twice in its life; its old place is given to another.

/// Sizes of places in bytes, ascending. The last one bounds a chunk.
const SIZES: [usize; 14] = [
    24, 32, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512, 768,
];

/// Longest content of a place in bytes.
pub(super) const MAX_BYTES: usize = SIZES[SIZES.len() - 1];

const PAGE_BYTES: usize = 1 << 16;

/// Names a place: its size in the upper 4 bits, its number below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u32);

const NUMBER_BITS: u32 = 28;

/// The places of one shard.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    sizes: [Size; SIZES.len()],
}

#[derive(Debug, Default)]
struct Size {
    pages: Vec<Box<[u8]>>,
    free: Vec<u32>,
    /// Places from here on were never used.
    next: u32,
}

impl Place {
    /// No place.
    pub(super) const NONE: Place = Place(u32::MAX);

    fn split(self) -> (usize, usize) {
        let number = self.0 & ((1 << NUMBER_BITS) - 1);
        ((self.0 >> NUMBER_BITS) as usize, number as usize)
    }
}

impl Buffers {
    /// Takes a place for `len` bytes, which is at most [`MAX_BYTES`]. `None` when all
    /// numbers are used, which is after gigabytes of open chunks.
    fn allocate(&mut self, len: usize) -> Option<Place> {
        let size = SIZES.iter().position(|&size| size >= len)?;
        let places = &mut self.sizes[size];
        let number = match places.free.pop() {
            Some(number) => number,
            None => {
                let per_page = PAGE_BYTES / SIZES[size];
                if places.next as usize == places.pages.len() * per_page {
                    let page = vec![0; per_page * SIZES[size]];
                    places.pages.push(page.into_boxed_slice());
                }
                places.next += 1;
                places.next - 1
            }
        };
        (number < 1 << NUMBER_BITS).then_some(Place((size as u32) << NUMBER_BITS | number))
    }

    /// Gives a place back.
    pub(super) fn free(&mut self, place: Place) {
        if place != Place::NONE {
            let (size, number) = place.split();
            self.sizes[size].free.push(number as u32);
        }
    }

    /// Returns the whole place.
    #[inline]
    pub(super) fn get(&self, place: Place) -> &[u8] {
        if place == Place::NONE {
            return &[];
        }
        let (size, number) = place.split();
        let per_page = PAGE_BYTES / SIZES[size];
        let at = number % per_page * SIZES[size];
        &self.sizes[size].pages[number / per_page][at..at + SIZES[size]]
    }

    #[inline]
    fn get_mut(&mut self, place: Place) -> &mut [u8] {
        let (size, number) = place.split();
        let per_page = PAGE_BYTES / SIZES[size];
        let at = number % per_page * SIZES[size];
        &mut self.sizes[size].pages[number / per_page][at..at + SIZES[size]]
    }

    /// Writes `bytes` behind the first `len` bytes of `place`, which moves where it is
    /// too small. Returns the place, or `None` when there is no room for the chunk.
    #[inline]
    pub(super) fn append(&mut self, place: Place, len: usize, bytes: &[u8]) -> Option<Place> {
        let end = len + bytes.len();
        let mut to = place;
        if place == Place::NONE || end > SIZES[place.split().0] {
            to = self.allocate(end)?;
            if place != Place::NONE {
                let mut content = [0; MAX_BYTES];
                content[..len].copy_from_slice(&self.get(place)[..len]);
                self.get_mut(to)[..len].copy_from_slice(&content[..len]);
                self.free(place);
            }
        }
        self.get_mut(to)[len..end].copy_from_slice(bytes);
        Some(to)
    }

    /// Adds one to the byte before `len`.
    #[inline]
    pub(super) fn increment_last(&mut self, place: Place, len: usize) {
        self.get_mut(place)[len - 1] += 1;
    }

    /// Returns the bytes of memory held; of the last page of a size only what was
    /// ever used, because the rest was never touched.
    pub(super) fn memory_bytes(&self) -> usize {
        let places = self.sizes.iter().zip(SIZES);
        places
            .map(|(places, size)| {
                places.next as usize * size + places.free.capacity() * size_of::<u32>()
            })
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_survives_growing_and_places_are_used_again() {
        let mut buffers = Buffers::default();
        let mut chunks = vec![(Place::NONE, Vec::new()); 500];
        for round in 0..100usize {
            for (i, (place, content)) in chunks.iter_mut().enumerate() {
                let bytes = vec![(i + round) as u8; 1 + (i + round) % 7];
                *place = buffers.append(*place, content.len(), &bytes).unwrap();
                content.extend_from_slice(&bytes);
            }
        }
        for (place, content) in &chunks {
            assert_eq!(&buffers.get(*place)[..content.len()], content);
        }
        for (place, _) in &chunks {
            buffers.free(*place);
        }
        let before = buffers.memory_bytes();
        for _ in 0..500 {
            buffers.append(Place::NONE, 0, &[1; 400]).unwrap();
        }
        assert_eq!(buffers.memory_bytes(), before);
        assert_eq!(buffers.append(Place::NONE, 0, &[0; MAX_BYTES + 1]), None);
    }
}
