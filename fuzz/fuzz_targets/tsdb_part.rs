//! Any bytes as a part's index, page and value stream: no panic, no memory beyond the count asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novaobs_tsdb::fuzzing;

fuzz_target!(|input: (u16, &[u8])| {
    let (count, bytes) = input;
    fuzzing::part_index(bytes, None, u32::from(count));
    assert!(fuzzing::page(bytes, usize::from(count)) <= usize::from(count));
});
