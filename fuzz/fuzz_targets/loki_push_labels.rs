//! Any text as the labels of a stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novaobs_wire::loki_push::parse_labels;

fuzz_target!(|text: &str| {
    match parse_labels(text) {
        Ok(pairs) => assert!(pairs.is_sorted_by(|a, b| a.0 <= b.0) && pairs.iter().all(|(_, value)| !value.is_empty())),
        Err(error) => assert!(error.to_string().contains(": parse error: ")),
    }
});
