//! Any bytes as a push in JSON, in both versions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novaobs_wire::loki_push::{decode_json, decode_legacy_json, parse_labels};

fuzz_target!(|body: &[u8]| {
    for decoded in [decode_json(body, 1 << 24), decode_legacy_json(body, 1 << 24)] {
        for stream in decoded.unwrap_or_default() {
            assert_eq!(stream.timestamps.len(), stream.lines.len());
            assert_eq!(stream.timestamps.len(), stream.metadata.len());
            let _ = parse_labels(&stream.labels);
        }
    }
});
