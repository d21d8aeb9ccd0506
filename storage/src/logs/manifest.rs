//! The file that says what the store consists of: which parts count, where the log
//! begins, which deletions were asked for.
//!
//! ```text
//! file     = magic KYMOLOGS | version u16 | body | CRC-32 u32 of all before it
//! body     = next part varint | next deletion varint
//!          | log from varint | log born varint
//!          | n varint, parts | n varint, deletions
//! part     = day zigzag varint | first varint | last varint | turn varint | applied varint
//! deletion = number varint | created zigzag | start zigzag | end zigzag varint
//!          | query text | flags u8: 1 it has a filter, 2 it is processed
//!          | pieces varint | n varint, matchers
//! matcher  = operator u8: = != =~ !~ | name text | value text
//! text     = length varint, UTF-8 bytes
//! ```
//!
//! It is written under another name, synced and renamed: so a flush, a merge or a deletion
//! has happened as a whole or not at all. A part that it does not name is a leftover.

use crate::codec::{CodecError, crc, text, varint};
use crate::error::StorageError;
use crate::fs::{Dir, FsError};
use crate::model::{MatchOp, Matcher, NanoRange};

const MAGIC: [u8; 8] = *b"KYMOLOGS";
const VERSION: u16 = 1;
pub(super) const FILE: &str = "MANIFEST";
const TEMPORARY_FILE: &str = "MANIFEST.tmp";
const ASIDE: &str = "MANIFEST.damaged";
/// Longest file that is read: millions of parts.
const MAX_BYTES: u64 = 256 << 20;
const PART_SUFFIX: &str = ".part";

const HAS_FILTER: u8 = 1;
const IS_PROCESSED: u8 = 2;

/// Operators of matchers, by the number that they have in the file.
const OPS: [MatchOp; 4] = [
    MatchOp::Equal,
    MatchOp::NotEqual,
    MatchOp::Regex,
    MatchOp::NotRegex,
];

fn op_number(op: MatchOp) -> u8 {
    match op {
        MatchOp::Equal => 0,
        MatchOp::NotEqual => 1,
        MatchOp::Regex => 2,
        MatchOp::NotRegex => 3,
    }
}

/// Names a part, and says where it stands among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PartId {
    /// Days since the epoch of its oldest entry.
    pub(super) day: i64,
    /// Numbers of the flushes that its entries came with, first and last.
    pub(super) first: u64,
    pub(super) last: u64,
    /// Counts how often the entries of these flushes were written anew.
    pub(super) turn: u64,
}

impl PartId {
    /// Returns the name of the file.
    pub(super) fn file_name(self) -> String {
        let PartId {
            day,
            first,
            last,
            turn,
        } = self;
        format!("{day}_{first:08}_{last:08}_{turn}{PART_SUFFIX}")
    }

    /// Reads the name of a file, if it is one of a part.
    pub(super) fn of_file_name(name: &str) -> Option<PartId> {
        let mut numbers = name.strip_suffix(PART_SUFFIX)?.split('_');
        let id = PartId {
            day: numbers.next()?.parse().ok()?,
            first: numbers.next()?.parse().ok()?,
            last: numbers.next()?.parse().ok()?,
            turn: numbers.next()?.parse().ok()?,
        };
        (id.file_name() == name).then_some(id)
    }

    /// Tells whether another part has what this one has.
    pub(super) fn is_in(self, other: PartId) -> bool {
        self != other
            && self.day == other.day
            && other.first <= self.first
            && self.last <= other.last
            && ((self.first, self.last) != (other.first, other.last) || self.turn < other.turn)
    }
}

/// A part of the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartEntry {
    pub(super) id: PartId,
    /// Deletions up to this number hide nothing of the part: they were applied to it, or
    /// asked for before its entries came.
    pub(super) applied: u64,
}

/// A deletion of the manifest.
#[derive(Debug, Clone)]
pub(super) struct DeletionEntry {
    pub(super) number: u64,
    pub(super) created_ns: i64,
    pub(super) range: NanoRange,
    pub(super) query: String,
    pub(super) matchers: Vec<Matcher>,
    pub(super) has_filter: bool,
    pub(super) is_processed: bool,
    /// Parts, and blocks of memory as one, that it had to be applied to.
    pub(super) pieces: u64,
}

/// What the store consists of.
#[derive(Debug, Clone, Default)]
pub(super) struct Manifest {
    pub(super) next_part: u64,
    pub(super) next_deletion: u64,
    /// The first segment of the log whose entries are not in parts.
    pub(super) wal_from: u64,
    /// Deletions up to this number were asked for before that segment.
    pub(super) wal_born: u64,
    pub(super) parts: Vec<PartEntry>,
    pub(super) deletions: Vec<DeletionEntry>,
}

/// A manifest was not replaced.
#[derive(Debug)]
pub(super) enum WriteFailure {
    /// The old one stands.
    NotWritten(FsError),
    /// One of the two stands.
    Unknown(FsError),
}

impl From<WriteFailure> for StorageError {
    fn from(failure: WriteFailure) -> StorageError {
        let (WriteFailure::NotWritten(error) | WriteFailure::Unknown(error)) = failure;
        match error.is_disk_full() {
            true => StorageError::DiskFull {
                dir: error.directory(),
            },
            false => error.into(),
        }
    }
}

/// A manifest that was looked for.
pub(super) enum Found {
    Manifest(Manifest),
    /// There is none: the directory is new.
    Nothing,
    /// It was set aside, and why.
    Damaged(String),
}

impl Manifest {
    /// Returns the manifest of a new directory.
    pub(super) fn new() -> Manifest {
        Manifest {
            next_part: 1,
            next_deletion: 1,
            wal_from: 1,
            ..Manifest::default()
        }
    }

    /// Returns a manifest of the parts that are there, for want of a better one.
    pub(super) fn of_parts(there: &[PartId]) -> Manifest {
        let newest = there.iter().map(|part| part.last).max();
        let entry = |&id: &PartId| PartEntry { id, applied: 0 };
        Manifest {
            next_part: newest.unwrap_or(0).saturating_add(1),
            parts: there.iter().map(entry).collect(),
            ..Manifest::new()
        }
    }

    /// Reads the manifest of a directory. A damaged one is set aside.
    pub(super) fn read(dir: &dyn Dir) -> Result<Found, StorageError> {
        let bytes = match dir.read(FILE, MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(Found::Nothing),
            Err(error) => return Err(error.into()),
        };
        if let Some(version) = version(&bytes).filter(|&version| version > VERSION) {
            return Err(StorageError::Version {
                path: dir.path().join(FILE),
                found: format!("version {version}"),
                expected: format!("version {VERSION} and before"),
            });
        }
        match Manifest::decode(&bytes) {
            Ok(manifest) => Ok(Found::Manifest(manifest)),
            Err(error) => {
                dir.rename(FILE, ASIDE)?;
                dir.sync()?;
                Ok(Found::Damaged(format!(
                    "{error}; it was set aside as {ASIDE}, all parts are served, deletions that were not processed are lost"
                )))
            }
        }
    }

    /// Replaces the manifest of a directory.
    pub(super) fn write(&self, dir: &dyn Dir) -> Result<(), WriteFailure> {
        self.prepare(dir).map_err(WriteFailure::NotWritten)?;
        dir.sync().map_err(WriteFailure::Unknown)
    }

    fn prepare(&self, dir: &dyn Dir) -> Result<(), FsError> {
        match dir.remove(TEMPORARY_FILE) {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
        let file = dir.create(TEMPORARY_FILE)?;
        file.append(&self.encode())?;
        file.sync()?;
        dir.rename(TEMPORARY_FILE, FILE)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        for number in [
            self.next_part,
            self.next_deletion,
            self.wal_from,
            self.wal_born,
        ] {
            varint::write_u64(&mut out, number);
        }
        varint::write_u64(&mut out, self.parts.len() as u64);
        for part in &self.parts {
            varint::write_i64(&mut out, part.id.day);
            for number in [part.id.first, part.id.last, part.id.turn, part.applied] {
                varint::write_u64(&mut out, number);
            }
        }
        varint::write_u64(&mut out, self.deletions.len() as u64);
        for deletion in &self.deletions {
            deletion.encode(&mut out);
        }
        let sum = crc::ieee(&[&out]);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Result<Manifest, CodecError> {
        let (bytes, sum) = bytes
            .split_last_chunk::<4>()
            .ok_or(CodecError::Truncated("manifest"))?;
        if version(bytes) != Some(VERSION) {
            return Err(CodecError::Invalid("first bytes of the manifest"));
        }
        if crc::ieee(&[bytes]) != u32::from_le_bytes(*sum) {
            return Err(CodecError::Invalid("checksum of the manifest"));
        }
        let mut body = bytes.get(10..).unwrap_or_default();
        let body = &mut body;
        let mut manifest = Manifest {
            next_part: varint::read_u64(body)?,
            next_deletion: varint::read_u64(body)?,
            wal_from: varint::read_u64(body)?,
            wal_born: varint::read_u64(body)?,
            ..Manifest::default()
        };
        for _ in 0..count(body)? {
            manifest.parts.push(PartEntry {
                id: PartId {
                    day: varint::read_i64(body)?,
                    first: varint::read_u64(body)?,
                    last: varint::read_u64(body)?,
                    turn: varint::read_u64(body)?,
                },
                applied: varint::read_u64(body)?,
            });
        }
        for _ in 0..count(body)? {
            manifest.deletions.push(DeletionEntry::decode(body)?);
        }
        match body.is_empty() {
            true => Ok(manifest),
            false => Err(CodecError::Invalid("end of the manifest")),
        }
    }
}

impl DeletionEntry {
    fn encode(&self, out: &mut Vec<u8>) {
        varint::write_u64(out, self.number);
        for time in [self.created_ns, self.range.start_ns, self.range.end_ns] {
            varint::write_i64(out, time);
        }
        text::write(out, &self.query);
        out.push(
            (u8::from(self.has_filter) * HAS_FILTER) | (u8::from(self.is_processed) * IS_PROCESSED),
        );
        varint::write_u64(out, self.pieces);
        varint::write_u64(out, self.matchers.len() as u64);
        for matcher in &self.matchers {
            out.push(op_number(matcher.op()));
            text::write(out, matcher.name());
            text::write(out, matcher.value());
        }
    }

    fn decode(body: &mut &[u8]) -> Result<DeletionEntry, CodecError> {
        let number = varint::read_u64(body)?;
        let created_ns = varint::read_i64(body)?;
        let range = NanoRange {
            start_ns: varint::read_i64(body)?,
            end_ns: varint::read_i64(body)?,
        };
        let query = text::read(body)?.to_owned();
        let flags = byte(body)?;
        let pieces = varint::read_u64(body)?;
        let mut matchers = Vec::new();
        for _ in 0..count(body)? {
            let op = OPS.get(usize::from(byte(body)?)).copied();
            let op = op.ok_or(CodecError::Invalid("operator of a matcher"))?;
            let (name, value) = (text::read(body)?, text::read(body)?);
            let matcher = Matcher::new(op, name, value);
            matchers.push(matcher.map_err(|_| CodecError::Invalid("matcher"))?);
        }
        Ok(DeletionEntry {
            number,
            created_ns,
            range,
            query,
            matchers,
            has_filter: flags & HAS_FILTER != 0,
            is_processed: flags & IS_PROCESSED != 0,
            pieces,
        })
    }
}

fn version(bytes: &[u8]) -> Option<u16> {
    let rest = bytes.strip_prefix(&MAGIC)?;
    Some(u16::from_le_bytes(*rest.first_chunk()?))
}

/// Takes a number of things that have a byte each at least.
fn count(body: &mut &[u8]) -> Result<u64, CodecError> {
    let (found, limit) = (varint::read_u64(body)?, body.len() as u64);
    match found <= limit {
        true => Ok(found),
        false => Err(CodecError::TooMany { found, limit }),
    }
}

fn byte(body: &mut &[u8]) -> Result<u8, CodecError> {
    let byte = body.split_off_first().copied();
    byte.ok_or(CodecError::Truncated("manifest"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fs::memory::MemoryDir;

    fn example() -> Manifest {
        let matchers = OPS.map(|op| Matcher::new(op, "app", "a.*").unwrap());
        Manifest {
            next_part: 9,
            next_deletion: 4,
            wal_from: 17,
            wal_born: 2,
            parts: vec![PartEntry {
                id: PartId {
                    day: -3,
                    first: 1,
                    last: 7,
                    turn: 2,
                },
                applied: 3,
            }],
            deletions: vec![DeletionEntry {
                number: 3,
                created_ns: 5,
                range: NanoRange::ALL,
                query: r#"{app=~"a.*"} |= "x""#.to_owned(),
                matchers: matchers.to_vec(),
                has_filter: true,
                is_processed: false,
                pieces: 2,
            }],
        }
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let dir = MemoryDir::new("/test");
        assert!(matches!(Manifest::read(&dir).unwrap(), Found::Nothing));
        let manifest = example();
        manifest.write(&dir).unwrap();
        manifest.write(&dir).unwrap();
        let Found::Manifest(found) = Manifest::read(&dir).unwrap() else {
            unreachable!("it was written");
        };
        assert_eq!(format!("{found:?}"), format!("{manifest:?}"));
    }

    #[test]
    fn names_of_parts_are_read_back_and_others_are_not() {
        for day in [-1, 0, 20_000] {
            let id = PartId {
                day,
                first: 3,
                last: 123_456_789,
                turn: 1,
            };
            assert_eq!(PartId::of_file_name(&id.file_name()), Some(id));
        }
        for name in [
            "1_2_3_0.part",
            "MANIFEST",
            "1_00000002_00000002.part",
            "x_00000001_00000001_0.part",
        ] {
            assert_eq!(PartId::of_file_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_newer_version_is_refused() {
        let dir = MemoryDir::new("/test");
        let mut bytes = example().encode();
        bytes[8] = 2;
        dir.put(FILE, bytes);
        assert!(matches!(
            Manifest::read(&dir),
            Err(StorageError::Version { .. })
        ));
    }

    proptest! {
        #[test]
        fn damaged_manifests_are_set_aside(at in 10usize..60, bit in 0u8..8) {
            let dir = MemoryDir::new("/test");
            let mut bytes = example().encode();
            bytes[at] ^= 1 << bit;
            dir.put(FILE, bytes);
            prop_assert!(matches!(Manifest::read(&dir).unwrap(), Found::Damaged(_)));
            prop_assert!(matches!(Manifest::read(&dir).unwrap(), Found::Nothing));
            prop_assert_eq!(dir.files().unwrap(), [ASIDE]);
        }

        #[test]
        fn arbitrary_bodies_never_panic(body: Vec<u8>) {
            let mut bytes = MAGIC.to_vec();
            bytes.extend(VERSION.to_le_bytes());
            bytes.extend(body);
            bytes.extend(crc::ieee(&[&bytes]).to_le_bytes());
            let _ = Manifest::decode(&bytes);
        }
    }
}
