//! Any bytes as a scrape body in this format: entries, labels and exemplars, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novaobs_wire::exposition::{Entry, Format, Parser};

fuzz_target!(|body: &[u8]| {
    let mut parser = Parser::new(Format::Protobuf, body);
    while let Ok(Some(entry)) = parser.next() {
        if let Entry::Sample(sample) = entry {
            let _ = sample.labels();
            let _ = sample.exemplar();
        }
    }
});
