//! Records of the log of events and manifests: any bytes are refused or read.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    novaobs_events::fuzzing::log_record(data);
    novaobs_events::fuzzing::manifest(data);
});
