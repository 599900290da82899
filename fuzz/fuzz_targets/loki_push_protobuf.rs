//! Any bytes as an unpacked push in protobuf.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novaobs_wire::loki_push::{decode_protobuf, parse_labels};

fuzz_target!(|message: &[u8]| {
    for stream in decode_protobuf(message, 1 << 24).unwrap_or_default() {
        assert_eq!(stream.timestamps.len(), stream.lines.len());
        assert_eq!(stream.timestamps.len(), stream.metadata.len());
        let _ = parse_labels(&stream.labels);
    }
});
