//! Reading snapshots of the head: the newest that is whole, or the one before it.
//!
//! Parts are read and put in place by as many threads as there are cores. Nothing of a
//! snapshot counts unless all of it is sound: every frame is verified, every reference
//! is checked, and every page that a row may refer to is there. What pages say inside
//! is verified when they are first read.

use std::sync::Arc;

use super::head_files::{self, HeadFiles};
use super::log::SlotSet;
use super::page::{HEADER_BYTES, PAGE_BYTES, Page};
use super::recovery::each_core;
use super::shard::Shard;
use super::snapshot::Head;
use super::snapshot_format::{
    Fault, Fields, Frame, Manifest, Part, STORE_SECTIONS, Section, VERSION, decode_page_info,
    decode_pages, decode_rows, kind, manifest_seq, n_rows, read_part, seq_of,
};
use super::stats::Damage;
use crate::codec::varint;
use crate::error::StorageError;
use crate::fs::{Dir, FsError};
use crate::index::{Dictionary, Index, Rows};
use crate::wal::Start;

/// Longest manifest in bytes.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;
/// Ending of a file that could not be used and that nothing replaces.
const DAMAGED: &str = ".damaged";

/// The head as a snapshot has it.
pub(super) struct Loaded {
    pub(super) manifest: Manifest,
    /// With all pairs, and no series.
    pub(super) index: Index,
    pub(super) shards: Vec<LoadedShard>,
    /// What belongs to the store, and not to a shard.
    pub(super) sections: Vec<Section>,
}

/// One shard of it.
#[derive(Default)]
pub(super) struct LoadedShard {
    pub(super) shard: Shard,
    pub(super) rows: Rows,
    /// By slot.
    pub(super) born: Vec<u32>,
    /// The series that the log before the position defined.
    pub(super) defined: SlotSet,
    /// Pages that are missing.
    pub(super) damages: Vec<Damage>,
}

/// What is in the directory of the head.
pub(super) struct Found {
    pub(super) loaded: Option<Loaded>,
    /// Snapshots that stay, oldest first; the last one is the loaded one.
    pub(super) kept: Vec<Manifest>,
    /// No snapshot has this number or a higher one.
    pub(super) next_seq: u64,
    pub(super) damages: Vec<Damage>,
    pub(super) is_damaged: bool,
}

/// Reads the newest snapshot that is whole.
pub(super) fn load(dir: &Arc<dyn Dir>, n_shards: usize) -> Result<Found, StorageError> {
    let files = dir.files()?;
    let mut seqs: Vec<u64> = files.iter().filter_map(|name| manifest_seq(name)).collect();
    seqs.sort_unstable();
    let highest = files.iter().filter_map(|name| seq_of(name)).max();
    let mut found = Found {
        loaded: None,
        kept: Vec::new(),
        next_seq: highest.map_or(1, |seq| seq.saturating_add(1)),
        damages: Vec::new(),
        is_damaged: false,
    };
    let mut manifests = Vec::new();
    for seq in seqs {
        match read_manifest(&**dir, seq, n_shards)? {
            Ok(manifest) => manifests.push(manifest),
            Err(damage) => found.damages.push(damage),
        }
    }
    // Pages that are missing are better than all of them, but an older snapshot and
    // more of the log may have what was in them.
    for needs_pages in [true, false] {
        for at in (0..manifests.len()).rev() {
            match load_parts(dir, &manifests[at], needs_pages)? {
                Ok(mut loaded) => {
                    for shard in &mut loaded.shards {
                        found.damages.append(&mut shard.damages);
                    }
                    found.loaded = Some(loaded);
                    manifests.truncate(at + 1);
                    found.kept = manifests;
                    return Ok(found);
                }
                Err(damages) if needs_pages => found.damages.extend(damages),
                Err(_) => {}
            }
        }
    }
    found.is_damaged = !found.damages.is_empty();
    Ok(found)
}

/// Returns where each log is read from: the older snapshot may be needed, too.
pub(super) fn starts(kept: &[Manifest], n_shards: usize) -> Vec<Start> {
    let position = |manifest: &Manifest, shard: usize| manifest.shards[shard].position;
    let start = |shard| match (kept.first(), kept.last()) {
        (Some(oldest), Some(newest)) if kept.len() > 1 => Start {
            keep: position(oldest, shard),
            replay: position(newest, shard),
        },
        (Some(only), _) => Start {
            keep: 1,
            replay: position(only, shard),
        },
        _ => Start::default(),
    };
    (0..n_shards).map(start).collect()
}

/// Removes files that are not needed and returns what goes on writing.
pub(super) fn open_head(
    dir: Arc<dyn Dir>,
    found: Found,
    n_shards: usize,
) -> Result<Head, StorageError> {
    clean(&*dir, &found)?;
    let names = dir.files()?;
    let left: Vec<(usize, u64)> = names.iter().filter_map(|n| head_files::parse(n)).collect();
    let files = (0..n_shards).map(|shard| {
        let left = left.iter().filter(|(of, _)| *of == shard);
        let left = left.map(|(_, file)| *file);
        let named = found
            .kept
            .iter()
            .map(|manifest| manifest.shards[shard].next_file);
        let next = left.clone().map(|file| file.saturating_add(1)).chain(named);
        let next = next.max().unwrap_or(1);
        HeadFiles::new(Arc::clone(&dir), shard, left.min().unwrap_or(next), next)
    });
    let files = files.collect();
    Ok(Head::new(dir, files, found.kept, found.next_seq))
}

/// Removes what no kept snapshot needs. Where damage left none, the files of those that
/// were there keep their bytes under another name, for whoever can read them.
fn clean(dir: &dyn Dir, found: &Found) -> Result<(), FsError> {
    let nothing_left = found.kept.is_empty() && found.is_damaged;
    for name in dir.files()? {
        let is_needed = match (seq_of(&name), head_files::parse(&name)) {
            (Some(seq), _) => found.kept.iter().any(|manifest| manifest.seq == seq),
            (None, Some((shard, file))) => found.kept.iter().any(|manifest| {
                let entry = manifest.shards.get(shard);
                entry.is_some_and(|entry| (entry.first_file..entry.next_file).contains(&file))
            }),
            (None, None) => true,
        };
        if is_needed {
            continue;
        }
        if nothing_left {
            dir.rename(&name, &format!("{name}{DAMAGED}"))?;
        } else {
            dir.remove(&name)?;
        }
    }
    Ok(())
}

fn damage(dir: &dyn Dir, name: &str, len_bytes: u64, fault: &Fault) -> Damage {
    let offset = fault.offset as u64;
    Damage {
        path: dir.path().join(name),
        offset,
        lost_bytes: len_bytes.saturating_sub(offset),
        detail: format!("{}; an older snapshot or the log is used", fault.detail),
    }
}

/// Turns a file that cannot be read into damage, and a version that is too new into an
/// error.
fn judge(dir: &dyn Dir, name: &str, len_bytes: u64, fault: &Fault) -> Result<Damage, StorageError> {
    match fault.version {
        Some(version) if version > VERSION => Err(StorageError::Version {
            path: dir.path().join(name),
            found: format!("version {version}"),
            expected: format!("version {VERSION} and before"),
        }),
        _ => Ok(damage(dir, name, len_bytes, fault)),
    }
}

fn read_manifest(
    dir: &dyn Dir,
    seq: u64,
    n_shards: usize,
) -> Result<Result<Manifest, Damage>, StorageError> {
    let name = Part::Manifest.name(seq);
    let bytes = match dir.read(&name, MAX_MANIFEST_BYTES) {
        Ok(bytes) => bytes,
        Err(error) => {
            let fault = Fault::new(0, &error.to_string());
            return Ok(Err(damage(dir, &name, 0, &fault)));
        }
    };
    let manifest = Manifest::read(&bytes, seq).and_then(|manifest| {
        if manifest.shards.len() == n_shards {
            Ok(manifest)
        } else {
            Err(Fault::new(0, "the number of shards is another one"))
        }
    });
    match manifest {
        Ok(manifest) => Ok(Ok(manifest)),
        Err(fault) => judge(dir, &name, bytes.len() as u64, &fault).map(Err),
    }
}

/// What a part gave.
enum Piece {
    Store(Box<Index>, Vec<Section>),
    Shard(Box<LoadedShard>),
}

fn load_parts(
    dir: &Arc<dyn Dir>,
    manifest: &Manifest,
    needs_pages: bool,
) -> Result<Result<Loaded, Vec<Damage>>, StorageError> {
    let n_shards = manifest.shards.len();
    // The texts come first: they take longest.
    let pieces = each_core(n_shards + 1, |n| {
        let (part, len_bytes) = match n.checked_sub(1) {
            None => (Part::Store, manifest.store_bytes),
            Some(shard) => (Part::Shard(shard), manifest.shards[shard].len_bytes),
        };
        let name = part.name(manifest.seq);
        let read = dir.read(&name, len_bytes);
        let bytes = read.map_err(|error| (name.clone(), 0, Fault::new(0, &error.to_string())))?;
        let piece = read_piece(&**dir, &bytes, part, manifest, needs_pages);
        piece.map_err(|fault| (name, bytes.len() as u64, fault))
    });
    let mut loaded = Loaded {
        manifest: manifest.clone(),
        index: Index::default(),
        shards: Vec::with_capacity(n_shards),
        sections: Vec::new(),
    };
    let mut damages = Vec::new();
    for piece in pieces {
        match piece {
            Ok(Piece::Store(index, sections)) => {
                loaded.index = *index;
                loaded.sections = sections;
            }
            Ok(Piece::Shard(shard)) => loaded.shards.push(*shard),
            Err((name, len_bytes, fault)) => {
                damages.push(judge(&**dir, &name, len_bytes, &fault)?);
            }
        }
    }
    Ok(if damages.is_empty() {
        Ok(loaded)
    } else {
        Err(damages)
    })
}

fn read_piece(
    dir: &dyn Dir,
    bytes: &[u8],
    part: Part,
    manifest: &Manifest,
    needs_pages: bool,
) -> Result<Piece, Fault> {
    let frames = read_part(bytes, part, manifest.seq)?;
    match part {
        Part::Shard(number) => {
            let shard = read_shard(dir, number, &frames, manifest.n_pairs, needs_pages)?;
            Ok(Piece::Shard(Box::new(shard)))
        }
        _ => {
            let (dictionary, sections) = read_texts(&frames, manifest.n_pairs)?;
            Ok(Piece::Store(
                Box::new(Index::with_pairs(dictionary)),
                sections,
            ))
        }
    }
}

/// Reads the part of the store.
pub(super) fn read_texts(
    frames: &[Frame<'_>],
    n_pairs: u32,
) -> Result<(Dictionary, Vec<Section>), Fault> {
    let mut dictionary = Dictionary::default();
    let mut sections = Vec::new();
    let bytes: usize = frames.iter().map(|frame| frame.body.len()).sum();
    // A pair takes two bytes at least.
    dictionary.reserve((n_pairs as usize).min(bytes / 2));
    for frame in frames {
        match frame.kind {
            kind::TEXTS => {
                let read = read_pairs(frame.body, &mut dictionary);
                read.ok_or_else(|| frame.fault("the texts cannot be decoded"))?;
            }
            known if STORE_SECTIONS.contains(&known) => {
                sections.push((known, frame.body.to_vec()));
            }
            _ => return Err(frame.fault("the kind of the frame is not known")),
        }
    }
    if dictionary.n_pairs() != n_pairs as usize {
        return Err(Fault::new(0, "the number of texts is another one"));
    }
    Ok((dictionary, sections))
}

fn read_pairs(mut body: &[u8], dictionary: &mut Dictionary) -> Option<()> {
    while !body.is_empty() {
        let name = u32::try_from(varint::read_u64(&mut body).ok()?).ok()?;
        let n_names = dictionary.n_names() as u32;
        if name > n_names {
            return None;
        }
        if name == n_names {
            dictionary.add_name(read_text(&mut body)?);
        }
        dictionary.add_pair(name, read_text(&mut body)?);
    }
    Some(())
}

fn read_text<'a>(body: &mut &'a [u8]) -> Option<&'a str> {
    let len = usize::try_from(varint::read_u64(body).ok()?).ok()?;
    str::from_utf8(body.split_off(..len)?).ok()
}

/// Reads the part of a shard.
pub(super) fn read_shard(
    dir: &dyn Dir,
    number: usize,
    frames: &[Frame<'_>],
    n_pairs: u32,
    needs_pages: bool,
) -> Result<LoadedShard, Fault> {
    let mut loaded = LoadedShard::default();
    let rows = frames.iter().filter(|frame| frame.kind == kind::ROWS);
    let n_rows = rows.map(|frame| n_rows(frame.body)).sum();
    loaded.shard.reserve(n_rows);
    loaded.rows.reserve(n_rows);
    loaded.born.reserve_exact(n_rows);
    let mut kept_from_ms = None;
    let mut sections = Vec::new();
    for frame in frames {
        let unsound = || frame.fault("the frame cannot be decoded");
        match frame.kind {
            kind::STATE => {
                let mut fields = Fields(frame.body);
                kept_from_ms = Some(fields.i64().ok_or_else(unsound)?);
                let next_serial = fields.u32().ok_or_else(unsound)?;
                loaded.shard.sealed_mut().begin_serials(next_serial);
            }
            kind::ROWS => {
                let rows = decode_rows(frame.body, n_pairs, |saved, defined, row| {
                    let slot = saved.slot as usize;
                    if !loaded.shard.restore(&saved) || !loaded.rows.set(saved.slot, row.bytes()) {
                        return false;
                    }
                    if defined {
                        loaded.defined.insert(saved.slot);
                    }
                    if loaded.born.len() <= slot {
                        loaded.born.resize(slot + 1, u32::MAX);
                    }
                    loaded.born[slot] = saved.born;
                    true
                });
                rows.ok_or_else(unsound)?;
            }
            kind::PAGES => map_pages(dir, number, *frame, &mut loaded, needs_pages)?,
            kind::MEMORY_PAGE => {
                restore_page(frame.body, &mut loaded.shard).ok_or_else(unsound)?;
            }
            kind::FIRST_SECTION.. => sections.push(frame),
            _ => return Err(frame.fault("the kind of the frame is not known")),
        }
    }
    let kept_from_ms = kept_from_ms.ok_or_else(|| Fault::new(0, "the state is missing"))?;
    loaded.shard.finish_restore(kept_from_ms);
    for section in sections {
        if !loaded.shard.restore_section(section.kind, section.body) {
            return Err(section.fault("the section cannot be decoded"));
        }
    }
    Ok(loaded)
}

/// Maps the pages that are stored in head files.
fn map_pages(
    dir: &dyn Dir,
    number: usize,
    frame: Frame<'_>,
    loaded: &mut LoadedShard,
    needs_pages: bool,
) -> Result<(), Fault> {
    let pages =
        decode_pages(frame.body).ok_or_else(|| frame.fault("the pages cannot be decoded"))?;
    for (page_number, mut info, place) in pages {
        let name = head_files::name(number, place.file);
        let start = u64::from(place.slot) * PAGE_BYTES as u64;
        let is_possible = (HEADER_BYTES..=PAGE_BYTES).contains(&(info.len as usize));
        let map = is_possible.then(|| dir.map(&name, start..start + u64::from(info.len)));
        let Some(Ok(map)) = map else {
            if needs_pages {
                return Err(frame.fault(&format!("there is no page {} in {name}", place.slot)));
            }
            loaded.damages.push(Damage {
                path: dir.path().join(name),
                offset: start,
                lost_bytes: u64::from(info.len),
                detail: format!(
                    "a page of {} finished chunks is missing; their samples are lost",
                    info.n_chunks
                ),
            });
            continue;
        };
        info.place = Some(place);
        let page = Page::mapped(number as u32, info.serial, map);
        let sealed = loaded.shard.sealed_mut();
        if !sealed.restore(page_number, page, info, false) {
            return Err(frame.fault("a page has no free number"));
        }
    }
    Ok(())
}

/// Puts back a page that was in memory.
fn restore_page(body: &[u8], shard: &mut Shard) -> Option<()> {
    let mut fields = Fields(body);
    let (number, is_current) = (fields.u32()?, fields.u32()? != 0);
    let info = decode_page_info(&mut fields)?;
    let bytes = fields.0;
    let len = info.len as usize;
    if bytes.len() != len || !(HEADER_BYTES..=PAGE_BYTES).contains(&len) {
        return None;
    }
    let mut content = Vec::with_capacity(PAGE_BYTES);
    content.extend_from_slice(bytes);
    let page = Page::from_bytes(info.serial, content);
    let sealed = shard.sealed_mut();
    sealed
        .restore(number as usize, page, info, is_current)
        .then_some(())
}
