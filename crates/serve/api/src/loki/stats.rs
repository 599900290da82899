//! The `stats` object of answers: every key of the peer's, filled where a store like ours has the figure.

use std::fmt::Write;
use std::time::Duration;

use novaobs_logql::Stats;

/// What was done for an answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Statistics {
    pub(super) query: Stats,
    /// Waiting for a place.
    pub(super) queued: Duration,
    /// Running.
    pub(super) ran: Duration,
}

impl Statistics {
    /// As a JSON object.
    pub(super) fn json(&self) -> String {
        let mut out = String::with_capacity(4096);
        // Writing into a text cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let (stats, scan) = (&self.query, &self.query.scan);
        let seconds = self.ran.as_secs_f64();
        let per_second = |count: u64| if seconds > 0.0 { (count as f64 / seconds) as u64 } else { 0 };
        let run = Seconds(self.ran);
        write!(
            out,
            "{{\"summary\":{{\"bytesProcessedPerSecond\":{},\"linesProcessedPerSecond\":{},\"totalBytesProcessed\":{},\"totalLinesProcessed\":{},\"execTime\":{run},\"queueTime\":{},\"subqueries\":0,\"totalEntriesReturned\":{},\"splits\":0,\"shards\":0,\"totalPostFilterLines\":{},\"totalStructuredMetadataBytesProcessed\":{}}},\"querier\":{{",
            per_second(stats.processed_bytes),
            per_second(stats.processed_lines),
            stats.processed_bytes,
            stats.processed_lines,
            Seconds(self.queued),
            stats.returned_entries,
            stats.filtered_lines,
            stats.metadata_bytes,
        )?;
        write_store(
            out,
            &Store {
                references: scan.blocks,
                read: scan.blocks.saturating_sub(scan.blocks_skipped),
                head_bytes: scan.memory_bytes,
                head_lines: scan.memory_rows,
                bytes: scan.bytes,
                lines: scan.rows.saturating_sub(scan.memory_rows),
                compressed: scan.bytes_read,
                filtered: stats.filtered_lines,
            },
        )?;
        write!(
            out,
            ",\"querierExecTime\":{run}}},\"ingester\":{{\"totalReached\":0,\"totalChunksMatched\":0,\"totalBatches\":0,\"totalLinesSent\":0,"
        )?;
        write_store(out, &Store::default())?;
        out.push_str("},\"cache\":{");
        let caches = [
            "chunk",
            "index",
            "result",
            "statsResult",
            "volumeResult",
            "seriesResult",
            "labelResult",
            "instantMetricResult",
        ];
        for (at, name) in caches.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            write!(
                out,
                "\"{name}\":{{\"entriesFound\":0,\"entriesRequested\":0,\"entriesStored\":0,\"bytesReceived\":0,\"bytesSent\":0,\"requests\":0,\"downloadTime\":0,\"queryLengthServed\":0}}"
            )?;
        }
        write!(
            out,
            "}},\"index\":{{\"totalChunks\":{},\"postFilterChunks\":{},\"shardsDuration\":0,\"usedBloomFilters\":{},\"totalStreams\":0,\"chunkRefsLookupTime\":0,\"bloomFilterTime\":0}}}}",
            scan.blocks,
            scan.blocks.saturating_sub(scan.blocks_skipped),
            scan.blocks_skipped > 0,
        )
    }
}

/// Figures of the peer's `store` object that a store in parts and blocks has too.
#[derive(Default)]
struct Store {
    references: u64,
    read: u64,
    head_bytes: u64,
    head_lines: u64,
    bytes: u64,
    lines: u64,
    compressed: u64,
    filtered: u64,
}

fn write_store(out: &mut String, store: &Store) -> std::fmt::Result {
    write!(
        out,
        "\"store\":{{\"totalChunksRef\":{},\"totalChunksDownloaded\":{},\"chunksDownloadTime\":0,\"queryReferencedStructuredMetadata\":false,\"queryUsedV2Engine\":false,\"chunk\":{{\"headChunkBytes\":{},\"headChunkLines\":{},\"decompressedBytes\":{},\"decompressedLines\":{},\"compressedBytes\":{},\"totalDuplicates\":0,\"postFilterLines\":{},\"headChunkStructuredMetadataBytes\":0,\"decompressedStructuredMetadataBytes\":0}},\"chunkRefsFetchTime\":0,\"congestionControlLatency\":0,\"pipelineWrapperFilteredLines\":0,\"dataobj\":{{\"prePredicateDecompressedRows\":0,\"prePredicateDecompressedBytes\":0,\"prePredicateDecompressedStructuredMetadataBytes\":0,\"postPredicateRows\":0,\"postPredicateDecompressedBytes\":0,\"postPredicateStructuredMetadataBytes\":0,\"postFilterRows\":0,\"pagesScanned\":0,\"pagesDownloaded\":0,\"pagesDownloadedBytes\":0,\"pageBatches\":0,\"totalRowsAvailable\":0,\"totalPageDownloadTime\":0}}}}",
        store.references,
        store.read,
        store.head_bytes,
        store.head_lines,
        store.bytes,
        store.lines,
        store.compressed,
        store.filtered,
    )
}

/// A duration as a number of seconds without an exponent.
struct Seconds(Duration);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_is_json_with_all_groups() {
        let mut statistics = Statistics { ran: Duration::from_millis(500), ..Default::default() };
        statistics.query.processed_bytes = 100;
        statistics.query.scan.memory_rows = 3;
        let json: serde_json::Value = serde_json::from_str(&statistics.json()).unwrap();
        assert_eq!(json["summary"]["bytesProcessedPerSecond"], 200);
        assert_eq!(json["summary"]["execTime"], 0.5);
        assert_eq!(json["querier"]["store"]["chunk"]["headChunkLines"], 3);
        assert_eq!(json["ingester"]["store"]["chunk"]["headChunkLines"], 0);
        assert_eq!(json["cache"].as_object().unwrap().len(), 8);
        assert_eq!(json["index"]["usedBloomFilters"], false);
    }
}
