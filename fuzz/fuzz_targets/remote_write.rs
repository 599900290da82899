//! Any bytes as the body of a remote write request, packed and unpacked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novaobs_wire::remote_write::{decode, decompress};

fuzz_target!(|body: &[u8]| {
    if let Ok(batch) = decode(body) {
        assert!(batch.samples.len() * 2 <= body.len());
        assert!(batch.samples.iter().all(|sample| (sample.series as usize) < batch.series.len()));
    }
    if let Ok(message) = decompress(body, 1 << 20) {
        let _ = decode(&message);
    }
});
