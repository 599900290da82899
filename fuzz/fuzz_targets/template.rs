//! Templates: any text is rendered or refused within bounds, over a notification's data.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novaobs_template::Limits;
use novaobs_template::notification::{Data, render, template};

fuzz_target!(|text: &str| {
    if let Ok(template) = template() {
        let _ = render(&template, text, &Data::default(), &Limits::default());
    }
});
