//! `meta.json`: what a block holds, written last and read first.
//!
//! ```text
//! {"ulid": "01...", "minTime": 0, "maxTime": 7200000,
//!  "stats": {"numSamples": 1, "numFloatSamples": 1, "numSeries": 1, "numChunks": 1},
//!  "compaction": {"level": 1, "sources": ["01..."]}, "version": 1}
//! ```
//!
//! `maxTime` is the first millisecond behind the block. Fields that are not known are
//! passed over, among them those of Thanos and Mimir.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{PrometheusBlockError, Result};
use crate::fs::Dir;

pub(super) const FILE: &str = "meta.json";

/// A block that was compacted from thousands of others still fits.
const LIMIT_BYTES: u64 = 16 << 20;
const VERSION: u64 = 1;

/// What a block says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockMeta {
    /// Its ULID, 26 characters.
    pub ulid: String,
    /// First millisecond of the block.
    pub min_t_ms: i64,
    /// First millisecond behind the block.
    pub max_t_ms: i64,
    /// Samples, histograms among them; 0 where it does not say.
    pub n_samples: u64,
    /// Histograms among them; 0 where it does not say.
    pub n_histograms: u64,
    /// Series.
    pub n_series: u64,
    /// Chunks.
    pub n_chunks: u64,
    /// Deleted intervals.
    pub n_tombstones: u64,
    /// How often its data was compacted, 1 for the first block.
    pub level: u32,
    /// ULIDs of the first blocks that went into it.
    pub sources: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    ulid: String,
    min_time: i64,
    max_time: i64,
    #[serde(default)]
    stats: Stats,
    #[serde(default)]
    compaction: Compaction,
    version: u64,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Stats {
    #[serde(skip_serializing_if = "is_zero")]
    num_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    num_float_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    num_histogram_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    num_series: u64,
    #[serde(skip_serializing_if = "is_zero")]
    num_chunks: u64,
    #[serde(skip_serializing_if = "is_zero")]
    num_tombstones: u64,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Compaction {
    level: u32,
    sources: Vec<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl BlockMeta {
    pub(super) fn read(dir: &dyn Dir) -> Result<BlockMeta> {
        let path = dir.path().join(FILE);
        let bytes = dir.read(FILE, LIMIT_BYTES).map_err(|error| {
            if error.is_not_found() {
                PrometheusBlockError::NotABlock {
                    path: dir.path().to_path_buf(),
                    detail: format!("it has no {FILE}"),
                }
            } else {
                error.into()
            }
        })?;
        BlockMeta::parse(&bytes, &path)
    }

    fn parse(bytes: &[u8], path: &Path) -> Result<BlockMeta> {
        let file: File = serde_json::from_slice(bytes).map_err(|error| {
            let offset = offset_of(bytes, error.line(), error.column());
            PrometheusBlockError::corrupt(path, offset, format!("not the meta data: {error}"))
        })?;
        if file.version != VERSION {
            return Err(PrometheusBlockError::Version {
                path: path.to_path_buf(),
                detail: format!(
                    "the block has version {}, version {VERSION} is read; let the Prometheus that wrote it write it again",
                    file.version
                ),
            });
        }
        Ok(BlockMeta {
            ulid: file.ulid,
            min_t_ms: file.min_time,
            max_t_ms: file.max_time,
            n_samples: file.stats.num_samples,
            n_histograms: file.stats.num_histogram_samples,
            n_series: file.stats.num_series,
            n_chunks: file.stats.num_chunks,
            n_tombstones: file.stats.num_tombstones,
            level: file.compaction.level,
            sources: file.compaction.sources,
        })
    }

    /// Returns the file.
    pub(super) fn encode(&self) -> serde_json::Result<Vec<u8>> {
        let file = File {
            ulid: self.ulid.clone(),
            min_time: self.min_t_ms,
            max_time: self.max_t_ms,
            stats: Stats {
                num_samples: self.n_samples,
                num_float_samples: self.n_samples - self.n_histograms,
                num_histogram_samples: self.n_histograms,
                num_series: self.n_series,
                num_chunks: self.n_chunks,
                num_tombstones: self.n_tombstones,
            },
            compaction: Compaction {
                level: self.level,
                sources: self.sources.clone(),
            },
            version: VERSION,
        };
        let mut out = Vec::new();
        let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        file.serialize(&mut serde_json::Serializer::with_formatter(&mut out, tabs))?;
        Ok(out)
    }
}

/// Returns the offset of a column of a line, both counted from 1.
fn offset_of(bytes: &[u8], line: usize, column: usize) -> u64 {
    let before: usize = bytes
        .split_inclusive(|&byte| byte == b'\n')
        .take(line.saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    (before + column.saturating_sub(1)).min(bytes.len()) as u64
}

/// Tells whether `text` is a ULID as Prometheus takes them for a directory.
pub(super) fn is_ulid(text: &str) -> bool {
    let letters = |byte: u8| b"0123456789ABCDEFGHJKMNPQRSTVWXYZ".contains(&byte);
    text.len() == 26 && text.as_bytes()[0] <= b'7' && text.bytes().all(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_compacted_block_is_read() {
        let text = r#"{"ulid":"01BKGTZQ1SYQJTR4PB43C8PD98","minTime":-5,"maxTime":7200000,
            "stats":{"numSamples":9,"numHistogramSamples":4,"numSeries":2,"numChunks":3,"numTombstones":1},
            "compaction":{"level":2,"sources":["01BKGTZQ1SYQJTR4PB43C8PD97"],
              "parents":[{"ulid":"01BKGTZQ1SYQJTR4PB43C8PD97","minTime":0,"maxTime":1}],"hints":["x"]},
            "version":1,"thanos":{"labels":{"a":"b"}}}"#;
        let meta = BlockMeta::parse(text.as_bytes(), Path::new("meta.json")).unwrap();
        assert_eq!((meta.min_t_ms, meta.max_t_ms), (-5, 7_200_000));
        assert_eq!((meta.n_samples, meta.n_series, meta.n_chunks), (9, 2, 3));
        assert_eq!((meta.n_tombstones, meta.level), (1, 2));
        assert_eq!(meta.sources, ["01BKGTZQ1SYQJTR4PB43C8PD97"]);
        let again = BlockMeta::parse(&meta.encode().unwrap(), Path::new("meta.json"));
        assert_eq!(again.unwrap(), meta);
    }

    #[test]
    fn what_is_no_meta_data_is_refused_with_its_place() {
        let parse = |text: &str| {
            let error = BlockMeta::parse(text.as_bytes(), Path::new("b/meta.json"));
            error.unwrap_err().to_string()
        };
        let error = parse("{\"ulid\":\"x\",\n\"minTime\":1,\"maxTime\":\"x\"}");
        assert!(error.contains("damaged at byte 37"), "{error}");
        let error = parse(r#"{"ulid":"x","minTime":1,"maxTime":2,"version":7}"#);
        assert!(error.contains("has version 7"), "{error}");
        assert!(parse("").contains("damaged at byte 0"));
    }

    #[test]
    fn ulids_are_told_from_other_names() {
        assert!(is_ulid("01BKGTZQ1SYQJTR4PB43C8PD98"));
        for other in [
            "",
            "01BKGTZQ1SYQJTR4PB43C8PD9",
            "01bkgtzq1syqjtr4pb43c8pd98",
            "81BKGTZQ1SYQJTR4PB43C8PD98",
            "01BKGTZQ1SYQJTR4PB43C8PDI8",
            "../KGTZQ1SYQJTR4PB43C8PD98",
        ] {
            assert!(!is_ulid(other), "{other}");
        }
    }
}
