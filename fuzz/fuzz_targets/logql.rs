//! Any text: no panic, neither of the parser nor of the printers, and what was printed prints the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novaobs_logql_parser::{parse, parse_matchers, pretty};

fuzz_target!(|text: &str| {
    let _ = parse_matchers(text);
    if let Ok(expr) = parse(text) {
        // Printing need not be parsable: the peer has no literal for infinite and undefined numbers.
        let line = expr.to_string();
        for printed in [&line, &pretty(&expr)] {
            if let Ok(again) = parse(printed) {
                assert_eq!(again.to_string(), line);
            }
        }
    }
});
