//! Texts as `alertmanager.yml` and as matchers: errors, never panics; what is read prints and reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novaobs_alerts::matchers;
use novaobs_receivers::Config;

fuzz_target!(|text: &str| {
    if let Ok(parsed) = matchers::parse_list(text) {
        // An empty name is printed bare, as the peer does, and that is no matcher.
        for matcher in parsed.value.into_iter().filter(|matcher| !matcher.name.is_empty()) {
            let again = matchers::parse_one(&matchers::text(&matcher));
            assert_eq!(again.map(|parsed| parsed.value), Ok(matcher));
        }
    }
    if let Ok(loaded) = Config::parse("fuzz.yml", text) {
        assert!(!loaded.value.to_yaml().is_empty());
    }
});
