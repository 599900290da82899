//! Records of the log of events and manifests: any bytes are refused or read, packed or plain.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    novaobs_events::fuzzing::log_record(data);
    novaobs_events::fuzzing::manifest(data);
    // No row dropped, then the length of the plain form, then that as an LZ4 block.
    let mut record = vec![0];
    let mut length = data.len();
    while length >= 0x80 {
        record.push(length as u8 | 0x80);
        length >>= 7;
    }
    record.push(length as u8);
    record.extend(lz4_flex::block::compress(data));
    novaobs_events::fuzzing::log_record(&record);
});
