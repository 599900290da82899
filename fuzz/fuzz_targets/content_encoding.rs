//! Any bytes as a packed body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novaobs_wire::encoding::{Encoding, unpack};

fuzz_target!(|body: &[u8]| {
    for encoding in [Encoding::Snappy, Encoding::Gzip, Encoding::Deflate, Encoding::Lz4, Encoding::Zstd] {
        if let Ok(unpacked) = unpack(body, encoding, 1 << 20) {
            assert!(unpacked.len() <= 1 << 20);
        }
    }
});
