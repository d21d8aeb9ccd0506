//! What a query has cost, as the inspector of Grafana lists it.
//!
//! Groups that are about a cluster, its caches and chunks are there with zeros, because
//! clients look for them; `summary` is what happened.

use std::time::Duration;

use serde_json::{Value, json};

/// What a query has cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) queued: Duration,
    pub(super) ran: Duration,
    /// Bytes of lines that were looked at.
    pub(super) bytes: u64,
    /// Entries that were looked at.
    pub(super) lines: u64,
    /// Entries that are left of them.
    pub(super) kept_lines: u64,
    /// Bytes of structured metadata that were looked at.
    pub(super) metadata_bytes: u64,
    /// Entries, or points, in the answer.
    pub(super) returned: u64,
}

const CACHES: [&str; 10] = [
    "chunk",
    "index",
    "result",
    "statsResult",
    "volumeResult",
    "seriesResult",
    "labelResult",
    "instantMetricResult",
    "logResult",
    "taskResult",
];

/// Appends the object.
pub(super) fn push(out: &mut Vec<u8>, cost: &Cost) {
    let seconds = cost.ran.as_secs_f64();
    let per_second = |count: u64| match seconds > 0.0 {
        true => (count as f64 / seconds) as u64,
        false => 0,
    };
    let mut text = |bytes: &str| out.extend_from_slice(bytes.as_bytes());
    text("{\"summary\":{");
    for (name, value) in [
        ("bytesProcessedPerSecond", json!(per_second(cost.bytes))),
        ("linesProcessedPerSecond", json!(per_second(cost.lines))),
        ("totalBytesProcessed", json!(cost.bytes)),
        ("totalLinesProcessed", json!(cost.lines)),
        ("execTime", json!(seconds)),
        ("queueTime", json!(cost.queued.as_secs_f64())),
        ("subqueries", json!(0)),
        ("totalEntriesReturned", json!(cost.returned)),
        ("splits", json!(0)),
        ("shards", json!(0)),
        ("totalPostFilterLines", json!(cost.kept_lines)),
    ] {
        text(&format!("\"{name}\":{value},"));
    }
    let metadata_bytes = cost.metadata_bytes;
    text(&format!(
        "\"totalStructuredMetadataBytesProcessed\":{metadata_bytes}}},"
    ));
    let chunk = zeros(&[
        "headChunkBytes",
        "headChunkLines",
        "decompressedBytes",
        "decompressedLines",
        "compressedBytes",
        "totalDuplicates",
        "postFilterLines",
        "headChunkStructuredMetadataBytes",
        "decompressedStructuredMetadataBytes",
    ]);
    let objects = zeros(&[
        "prePredicateDecompressedRows",
        "prePredicateDecompressedBytes",
        "prePredicateDecompressedStructuredMetadataBytes",
        "postPredicateRows",
        "postPredicateDecompressedBytes",
        "postPredicateStructuredMetadataBytes",
        "postFilterRows",
        "pagesScanned",
        "pagesDownloaded",
        "pagesDownloadedBytes",
        "pageBatches",
        "totalRowsAvailable",
        "totalPageDownloadTime",
        "wireBytesTransferred",
    ]);
    let store = format!(
        "{{\"totalChunksRef\":0,\"totalChunksDownloaded\":0,\"chunksDownloadTime\":0,\
         \"queryReferencedStructuredMetadata\":{},\"queryUsedV2Engine\":false,\
         \"chunk\":{chunk},\"chunkRefsFetchTime\":0,\
         \"congestionControlLatency\":0,\"pipelineWrapperFilteredLines\":0,\"dataobj\":{objects}}}",
        cost.metadata_bytes > 0,
    );
    text(&format!(
        "\"querier\":{{\"store\":{store},\"querierExecTime\":{}}},",
        json!(seconds)
    ));
    text(&format!(
        "\"ingester\":{{\"totalReached\":0,\"totalChunksMatched\":0,\"totalBatches\":0,\
         \"totalLinesSent\":0,\"store\":{store}}},"
    ));
    let cache = zeros(&[
        "entriesFound",
        "entriesRequested",
        "entriesStored",
        "bytesReceived",
        "bytesSent",
        "requests",
        "downloadTime",
        "queryLengthServed",
    ]);
    let caches = CACHES.map(|name| format!("\"{name}\":{cache}"));
    text(&format!("\"cache\":{{{}}},", caches.join(",")));
    text(
        "\"index\":{\"totalChunks\":0,\"postFilterChunks\":0,\"shardsDuration\":0,\
         \"usedBloomFilters\":false,\"totalStreams\":0,\"chunkRefsLookupTime\":0,\
         \"bloomFilterTime\":0}}",
    );
}

/// Returns an object of zeros.
fn zeros(names: &[&str]) -> String {
    let fields: Vec<String> = names
        .iter()
        .map(|name| format!("\"{name}\":{}", Value::from(0)))
        .collect();
    format!("{{{}}}", fields.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_what_happened_and_all_groups_are_there() {
        let cost = Cost {
            queued: Duration::from_millis(1),
            ran: Duration::from_millis(500),
            bytes: 1000,
            lines: 10,
            kept_lines: 4,
            metadata_bytes: 77,
            returned: 3,
        };
        let mut out = Vec::new();
        push(&mut out, &cost);
        let stats: Value = serde_json::from_slice(&out).unwrap();
        let summary = json!({
            "bytesProcessedPerSecond": 2000, "linesProcessedPerSecond": 20,
            "totalBytesProcessed": 1000, "totalLinesProcessed": 10, "execTime": 0.5,
            "queueTime": 0.001, "subqueries": 0, "totalEntriesReturned": 3, "splits": 0,
            "shards": 0, "totalPostFilterLines": 4,
            "totalStructuredMetadataBytesProcessed": 77,
        });
        assert_eq!(stats["summary"], summary);
        let groups: Vec<&String> = stats.as_object().unwrap().keys().collect();
        let mut expected = ["summary", "querier", "ingester", "cache", "index"];
        expected.sort_unstable();
        assert_eq!(groups, expected);
        assert_eq!(stats["querier"]["store"]["chunk"]["decompressedBytes"], 0);
        assert_eq!(stats["querier"]["querierExecTime"], 0.5);
        assert_eq!(
            stats["querier"]["store"]["dataobj"]["wireBytesTransferred"],
            0
        );
        assert_eq!(stats["querier"]["store"]["queryUsedV2Engine"], false);
        assert_eq!(stats["index"]["totalStreams"], 0);
        assert_eq!(stats["cache"]["taskResult"]["requests"], 0);
        assert!(out.starts_with(b"{\"summary\":{\"bytesProcessedPerSecond\":2000,"));
    }

    #[test]
    fn no_time_is_no_rate() {
        let mut out = Vec::new();
        push(&mut out, &Cost::default());
        let stats: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(stats["summary"]["bytesProcessedPerSecond"], 0);
    }
}
