//! Any bytes as a log export request, in protobuf and JSON.
#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::fuzz_target;
use novaobs_wire::otlp_logs::{
    AnyValue, Attributes, DecodeError, Flatten, Record, Scope, Visitor, decode, json_to_protobuf,
};

/// Writes out the text of everything.
struct Everything(String);

impl Flatten for Everything {
    type Error = DecodeError;

    fn name<'n>(&mut self, joined: &'n str) -> Result<Cow<'n, str>, DecodeError> {
        Ok(joined.into())
    }

    fn pair(&mut self, _: &str, value: &AnyValue<'_>) -> Result<(), DecodeError> {
        self.0.clear();
        value.write_text(&mut self.0)
    }
}

impl Everything {
    fn attributes(&mut self, attributes: Attributes<'_>) -> Result<(), DecodeError> {
        attributes.each(|name, value| value.flatten(&name, self))
    }
}

impl Visitor for Everything {
    type Error = DecodeError;

    fn resource(&mut self, attributes: Attributes<'_>) -> Result<(), DecodeError> {
        self.attributes(attributes)
    }

    fn scope(&mut self, scope: &Scope<'_>) -> Result<(), DecodeError> {
        self.attributes(scope.attributes)
    }

    fn record(&mut self, record: &Record<'_>) -> Result<(), DecodeError> {
        self.0.clear();
        record.body.write_text(&mut self.0)?;
        self.attributes(record.attributes)
    }
}

fuzz_target!(|body: &[u8]| {
    let _ = decode(body, &mut Everything(String::new()));
    if let Ok(message) = json_to_protobuf(body) {
        let read = decode(&message, &mut Everything(String::new()));
        assert!(!matches!(read, Err(DecodeError::Json(_))));
    }
});
