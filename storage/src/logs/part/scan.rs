//! What values of a page look like, as far as that is known without decoding them, and all
//! of them written at once.

use super::column::PageHead;
use super::moment::{Clock, Layout};
use super::number::{self, Spelling};
use super::pattern;
use super::texts::Texts;
use super::values::{Encoding, Values};

/// Tells whether values of a page may have a text in them, in whatever case. `bytes` are
/// those of the page.
pub(super) fn may_write(head: &PageHead, bytes: &[u8], text: &[u8]) -> bool {
    match head.encoding {
        Encoding::Numbers => match *bytes {
            [scale, least, ..] => {
                let spelling = Spelling { scale, least };
                number::may_write(spelling, (head.least, head.most), text)
            }
            _ => true,
        },
        Encoding::Moments => {
            let layout = bytes.first_chunk().copied().and_then(Layout::decode);
            layout.is_none_or(|layout| layout.may_write(text))
        }
        Encoding::Patterns => pattern::may_write(bytes, text),
        _ => true,
    }
}

/// Writes all values of a page that has no dictionary, of which there are `n`; `time` gives
/// the time of the entry of each.
pub(super) fn write_all(values: &Values, n: usize, time: impl Fn(usize) -> i64, out: &mut Texts) {
    let none = Texts::default();
    match values {
        Values::Numbers { numbers, spelling } => {
            for &number in numbers {
                number::write(number, *spelling, &mut out.bytes);
                out.ends.push(out.bytes.len() as u32);
            }
        }
        Values::Moments { distances, layout } => {
            let mut clock = Clock::new(*layout);
            for (index, &distance) in distances.iter().enumerate() {
                clock.write(time(index), distance, &mut out.bytes);
                out.ends.push(out.bytes.len() as u32);
            }
        }
        values => {
            for index in 0..n {
                values.write(index, &none, time(index), &mut out.bytes);
                out.ends.push(out.bytes.len() as u32);
            }
        }
    }
}
