//! Any bytes as records of the metrics log and catalogue: no panic, no more samples than bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novaobs_tsdb::fuzzing;

fuzz_target!(|payload: &[u8]| {
    assert!(fuzzing::log_record(payload) <= payload.len() as u64);
    assert!(fuzzing::catalog_record(payload) <= payload.len());
});
