//! Any text: no panic, and what parses prints to something that parses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novaobs_promql_parser::{ParseOptions, format_query, parse, parse_selector};

fuzz_target!(|text: &str| {
    let _ = parse_selector(text);
    if let Ok(expr) = parse(text, ParseOptions::all()) {
        for printed in [expr.to_string(), format_query(&expr)] {
            assert!(parse(&printed, ParseOptions::all()).is_ok(), "{text:?} printed as {printed:?}");
        }
    }
});
