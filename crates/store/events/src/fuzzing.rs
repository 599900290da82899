//! The decoders of what is on disk, behind their checksums, for fuzz targets.

use crate::manifest::Manifest;
use crate::record;

/// Reads `payload` as a record of the log and returns how many rows it held.
pub fn log_record(payload: &[u8]) -> usize {
    // Refusing is as good as reading here.
    record::decode(payload)
        .map_or(0, |record| record.streams.iter().map(|stream| stream.timestamps.len()).sum())
}

/// Reads `bytes` as a manifest, and as the JSON inside one, and returns how many parts they listed.
pub fn manifest(bytes: &[u8]) -> usize {
    let inside = serde_json::from_slice::<Manifest>(bytes).ok();
    Manifest::decode(bytes).into_iter().chain(inside).map(|manifest| manifest.parts.len()).sum()
}
