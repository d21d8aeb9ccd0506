//! Memory of the open chunks: places of a few sizes in pages, without a heap object
//! per series.
//!
//! A chunk that outgrows its place moves to one of the next size, which copies a few
//! hundred bytes a few times in its life. Chunks of a store grow side by side, so the
//! pages of a size empty as those of the next one fill: a page without a chunk is given
//! back at once. The free places of a page are a list inside the page.

/// Sizes of places in bytes, ascending. The last one bounds a chunk.
const SIZES: [usize; 12] = [24, 32, 48, 64, 96, 128, 160, 192, 256, 384, 512, 768];

/// Longest content of a place in bytes.
pub(super) const MAX_BYTES: usize = SIZES[SIZES.len() - 1];

const PAGE_BYTES: usize = 1 << 13;

/// Names a place: its size in the upper 4 bits, its number below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u32);

const NUMBER_BITS: u32 = 28;

/// Ends a list of free places.
const NO_PLACE: u16 = u16::MAX;

/// The places of one shard.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    sizes: [Size; SIZES.len()],
}

/// The places of one size.
#[derive(Debug, Default)]
struct Size {
    pages: Vec<Page>,
    /// Pages that had a free place when they were put here.
    open: Vec<u32>,
    /// Pages that were given back.
    absent: Vec<u32>,
}

#[derive(Debug, Default)]
struct Page {
    /// Empty while the page is given back.
    bytes: Box<[u8]>,
    /// The first free place; its first two bytes name the next one.
    free: u16,
    live: u16,
    /// Stands in `open`.
    listed: bool,
}

impl Place {
    /// No place.
    pub(super) const NONE: Place = Place(u32::MAX);

    fn new(size: usize, page: usize, index: usize) -> Option<Place> {
        let number = page * per_page(size) + index;
        (number < 1 << NUMBER_BITS).then_some(Place((size as u32) << NUMBER_BITS | number as u32))
    }

    /// Returns the size, the page and the index in the page.
    #[inline]
    fn split(self) -> (usize, usize, usize) {
        let size = (self.0 >> NUMBER_BITS) as usize;
        let number = (self.0 & ((1 << NUMBER_BITS) - 1)) as usize;
        (size, number / per_page(size), number % per_page(size))
    }
}

fn per_page(size: usize) -> usize {
    PAGE_BYTES / SIZES[size]
}

impl Page {
    /// Makes a page of places of `size`, all free.
    fn fill(&mut self, size: usize) {
        let n = per_page(size);
        let mut bytes = vec![0; n * SIZES[size]].into_boxed_slice();
        for (index, place) in bytes.chunks_exact_mut(SIZES[size]).enumerate() {
            let next = if index + 1 < n {
                index as u16 + 1
            } else {
                NO_PLACE
            };
            place[..2].copy_from_slice(&next.to_le_bytes());
        }
        self.bytes = bytes;
        self.free = 0;
        self.live = 0;
    }

    fn has_room(&self) -> bool {
        !self.bytes.is_empty() && self.free != NO_PLACE
    }
}

impl Size {
    /// Returns a page with a free place.
    fn page_with_room(&mut self, size: usize) -> usize {
        while let Some(&page) = self.open.last() {
            if self.pages[page as usize].has_room() {
                return page as usize;
            }
            self.pages[page as usize].listed = false;
            self.open.pop();
        }
        let page = match self.absent.pop() {
            Some(page) => page as usize,
            None => {
                self.pages.push(Page::default());
                self.pages.len() - 1
            }
        };
        self.pages[page].fill(size);
        self.list(page);
        page
    }

    fn list(&mut self, page: usize) {
        if !self.pages[page].listed {
            self.pages[page].listed = true;
            self.open.push(page as u32);
        }
    }
}

impl Buffers {
    /// Takes a place for `len` bytes, which is at most [`MAX_BYTES`]. `None` when all
    /// numbers are used, which is after gigabytes of open chunks.
    fn allocate(&mut self, len: usize) -> Option<Place> {
        let size = SIZES.iter().position(|&size| size >= len)?;
        let number = self.sizes[size].page_with_room(size);
        let page = &mut self.sizes[size].pages[number];
        let index = usize::from(page.free);
        let place = Place::new(size, number, index)?;
        let at = index * SIZES[size];
        page.free = u16::from_le_bytes([page.bytes[at], page.bytes[at + 1]]);
        page.live += 1;
        Some(place)
    }

    /// Gives a place back.
    pub(super) fn free(&mut self, place: Place) {
        if place == Place::NONE {
            return;
        }
        let (size, number, index) = place.split();
        let sizes = &mut self.sizes[size];
        let page = &mut sizes.pages[number];
        let at = index * SIZES[size];
        page.bytes[at..at + 2].copy_from_slice(&page.free.to_le_bytes());
        page.free = index as u16;
        page.live -= 1;
        if page.live == 0 {
            page.bytes = Box::default();
            sizes.absent.push(number as u32);
        } else {
            sizes.list(number);
        }
    }

    /// Returns the whole place.
    #[inline]
    pub(super) fn get(&self, place: Place) -> &[u8] {
        if place == Place::NONE {
            return &[];
        }
        let (size, page, index) = place.split();
        let at = index * SIZES[size];
        &self.sizes[size].pages[page].bytes[at..at + SIZES[size]]
    }

    #[inline]
    fn get_mut(&mut self, place: Place) -> &mut [u8] {
        let (size, page, index) = place.split();
        let at = index * SIZES[size];
        &mut self.sizes[size].pages[page].bytes[at..at + SIZES[size]]
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

    /// Returns the bytes of memory held.
    pub(super) fn memory_bytes(&self) -> usize {
        let sizes = self.sizes.iter();
        sizes
            .map(|size| {
                let pages = size.pages.iter().map(|page| page.bytes.len());
                let lists = size.open.capacity() + size.absent.capacity();
                pages.sum::<usize>()
                    + size.pages.capacity() * size_of::<Page>()
                    + lists * size_of::<u32>()
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
        assert!(
            buffers.memory_bytes() < 100_000,
            "{}",
            buffers.memory_bytes()
        );
        let mut places = Vec::new();
        for round in 0..3 {
            for n in 0..1000usize {
                places.push(buffers.append(Place::NONE, 0, &[n as u8; 40]).unwrap());
            }
            for place in places.drain(..).step_by(2 + round) {
                buffers.free(place);
            }
        }
        let held = buffers.memory_bytes();
        assert!(held < 200_000, "{held}");
        assert_eq!(buffers.append(Place::NONE, 0, &[0; MAX_BYTES + 1]), None);
    }
}
