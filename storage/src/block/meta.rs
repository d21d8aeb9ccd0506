//! `meta.json`: what a block is, for people and for the one who opens it.
//!
//! The names are those of Prometheus where it has the field. `checksum` is the CRC-32 of
//! the same document without it, written without spaces, so that no digit changes
//! unnoticed; the layout of the text is free.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{BlockError, Ulid};
use crate::codec::crc;

/// Name of the file in the directory of a block.
pub const META_FILE: &str = "meta.json";

/// Most bytes of the file.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// Prometheus' version of the document.
const VERSION: u32 = 1;

/// Tells the block from those of others.
const FORMAT: &str = "kymo";

/// What a new block is.
#[derive(Debug, Clone, Default)]
pub struct BlockOptions {
    /// First millisecond of the range that the block covers.
    pub min_t_ms: i64,
    /// First millisecond after the range.
    pub max_t_ms: i64,
    /// 1 for a block from the head, one more for each merge.
    pub level: u32,
    /// Blocks of level 1 whose data is in this one; empty means the block itself.
    pub sources: Vec<Ulid>,
    /// Blocks that this one replaces.
    pub parents: Vec<BlockParent>,
    /// End of the range of the head that is in the block, where it comes from the head:
    /// samples before it are in blocks, and the head does not answer for them any more.
    pub head_until_ms: Option<i64>,
    /// Whether to take more time for fewer bytes: long chunks, and codecs that are slow
    /// to write.
    pub cold: bool,
}

/// A block that another one replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockParent {
    /// Its name.
    pub ulid: Ulid,
    /// First millisecond of its range.
    pub min_t_ms: i64,
    /// First millisecond after its range.
    pub max_t_ms: i64,
}

/// What a block is and holds. Times are milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockMeta {
    /// Name of the block.
    pub ulid: Ulid,
    /// First millisecond of the range that the block covers.
    pub min_t_ms: i64,
    /// First millisecond after the range.
    pub max_t_ms: i64,
    /// 1 for a block from the head, one more for each merge.
    pub level: u32,
    /// Blocks of level 1 whose data is in this one.
    pub sources: Vec<Ulid>,
    /// Blocks that this one replaced.
    pub parents: Vec<BlockParent>,
    /// End of the range of the head that is in the block, if it comes from the head.
    pub head_until_ms: Option<i64>,
    /// Whether it was written to take few bytes.
    pub is_cold: bool,
    /// Series in the block.
    pub n_series: u64,
    /// Samples of all series, deleted ones included.
    pub n_samples: u64,
    /// How many of these are histograms.
    pub n_histograms: u64,
    /// Chunks of all series.
    pub n_chunks: u64,
    /// Length of the file `index`.
    pub bytes_index: u64,
    /// Length of the file `data`.
    pub bytes_data: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    ulid: String,
    min_time: i64,
    max_time: i64,
    stats: Stats,
    compaction: Compaction,
    version: u32,
    format: String,
    files: Files,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checksum: Option<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stats {
    num_samples: u64,
    #[serde(default, skip_serializing_if = "is_none")]
    num_histogram_samples: u64,
    num_series: u64,
    num_chunks: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Compaction {
    level: u32,
    sources: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parents: Vec<Parent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    head_until: Option<i64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    cold: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Parent {
    ulid: String,
    min_time: i64,
    max_time: i64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Files {
    index: u64,
    data: u64,
}

fn is_none(number: &u64) -> bool {
    *number == 0
}

impl Document {
    /// Computes the checksum of the document without its checksum.
    fn sum(&self) -> Result<u32, serde_json::Error> {
        Ok(crc::ieee(&[&serde_json::to_vec(self)?]))
    }
}

impl BlockMeta {
    /// Writes the document.
    pub(super) fn encode(&self, path: &Path) -> Result<Vec<u8>, BlockError> {
        let parent = |parent: &BlockParent| Parent {
            ulid: parent.ulid.to_string(),
            min_time: parent.min_t_ms,
            max_time: parent.max_t_ms,
        };
        let mut document = Document {
            ulid: self.ulid.to_string(),
            min_time: self.min_t_ms,
            max_time: self.max_t_ms,
            stats: Stats {
                num_samples: self.n_samples,
                num_histogram_samples: self.n_histograms,
                num_series: self.n_series,
                num_chunks: self.n_chunks,
            },
            compaction: Compaction {
                level: self.level,
                sources: self.sources.iter().map(Ulid::to_string).collect(),
                parents: self.parents.iter().map(parent).collect(),
                head_until: self.head_until_ms,
                cold: self.is_cold,
            },
            version: VERSION,
            format: FORMAT.to_owned(),
            files: Files {
                index: self.bytes_index,
                data: self.bytes_data,
            },
            checksum: None,
        };
        let refused = |error: serde_json::Error| BlockError::Input {
            path: path.to_path_buf(),
            what: format!("its description: {error}"),
        };
        document.checksum = Some(document.sum().map_err(refused)?);
        let mut bytes = serde_json::to_vec_pretty(&document).map_err(refused)?;
        bytes.push(b'\n');
        if bytes.len() as u64 > MAX_BYTES {
            return Err(BlockError::Input {
                path: path.to_path_buf(),
                what: format!(
                    "a description of {} bytes, at most {MAX_BYTES} are allowed",
                    bytes.len()
                ),
            });
        }
        Ok(bytes)
    }

    /// Reads the document; `path` is its file.
    pub(super) fn decode(bytes: &[u8], path: &Path) -> Result<BlockMeta, BlockError> {
        let corrupt = |detail: String| BlockError::corrupt(path, 0, detail);
        let mut document: Document =
            serde_json::from_slice(bytes).map_err(|e| corrupt(e.to_string()))?;
        if document.format != FORMAT {
            return Err(corrupt(format!("the format is not {FORMAT:?}")));
        }
        if document.version != VERSION {
            return Err(BlockError::Version {
                path: path.to_path_buf(),
                found: document.version,
                supported: VERSION,
            });
        }
        let stated = document.checksum.take();
        let found = document.sum().map_err(|e| corrupt(e.to_string()))?;
        if stated != Some(found) {
            return Err(corrupt("the checksum does not fit".to_owned()));
        }
        let ulid = |text: &str| text.parse::<Ulid>().map_err(|e| corrupt(e.to_string()));
        let parent = |parent: &Parent| {
            Ok::<_, BlockError>(BlockParent {
                ulid: ulid(&parent.ulid)?,
                min_t_ms: parent.min_time,
                max_t_ms: parent.max_time,
            })
        };
        let compaction = &document.compaction;
        Ok(BlockMeta {
            ulid: ulid(&document.ulid)?,
            min_t_ms: document.min_time,
            max_t_ms: document.max_time,
            level: compaction.level,
            sources: compaction
                .sources
                .iter()
                .map(|s| ulid(s))
                .collect::<Result<_, _>>()?,
            parents: compaction
                .parents
                .iter()
                .map(parent)
                .collect::<Result<_, _>>()?,
            head_until_ms: compaction.head_until,
            is_cold: compaction.cold,
            n_series: document.stats.num_series,
            n_samples: document.stats.num_samples,
            n_histograms: document.stats.num_histogram_samples,
            n_chunks: document.stats.num_chunks,
            bytes_index: document.files.index,
            bytes_data: document.files.data,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> BlockMeta {
        let ulid = Ulid::new(1_700_000_000_000, [7; 10]);
        BlockMeta {
            ulid,
            min_t_ms: -7_200_000,
            max_t_ms: 7_200_000,
            level: 2,
            sources: vec![ulid, Ulid::from_bits(5)],
            parents: vec![BlockParent {
                ulid: Ulid::from_bits(9),
                min_t_ms: 1,
                max_t_ms: 2,
            }],
            head_until_ms: Some(7_200_000),
            is_cold: true,
            n_series: 3,
            n_samples: 1_000_000,
            n_histograms: 5,
            n_chunks: 4,
            bytes_index: 1234,
            bytes_data: 5678,
        }
    }

    #[test]
    fn comes_back_and_no_changed_byte_passes_for_another_block() {
        let path = Path::new("b/meta.json");
        let bytes = meta().encode(path).unwrap();
        assert_eq!(BlockMeta::decode(&bytes, path).unwrap(), meta());
        let text = str::from_utf8(&bytes).unwrap();
        assert!(text.contains("\"minTime\": -7200000"), "{text}");
        assert!(text.contains("\"numSeries\": 3"), "{text}");
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                match BlockMeta::decode(&damaged, path) {
                    Ok(read) => assert_eq!(read, meta(), "bit {bit} of byte {at}"),
                    Err(error) => assert!(error.to_string().contains("b/meta.json"), "{error}"),
                }
            }
            assert!(BlockMeta::decode(&bytes[..at], path).is_err() || at + 1 == bytes.len());
        }
    }
}
