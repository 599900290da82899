//! Configuration files: any text is a tree or an error, and writing a tree never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novaobs_config::{Document, emit};

fuzz_target!(|text: &str| {
    if let Ok(document) = Document::parse("fuzz.yml", text) {
        let written = emit(document.root());
        let _ = Document::parse("again.yml", &written);
    }
});
