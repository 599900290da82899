//! Any text: no panic, neither of the parser nor of the printers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novaobs_logql_parser::{parse, parse_matchers, pretty};

fuzz_target!(|text: &str| {
    let _ = parse_matchers(text);
    if let Ok(expr) = parse(text) {
        // Printing need not be parsable: the peer has no literal for infinite and undefined numbers.
        for printed in [expr.to_string(), pretty(&expr)] {
            let _ = parse(&printed);
        }
    }
});
