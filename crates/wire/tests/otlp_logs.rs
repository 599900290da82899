//! Log export requests: text out of values, the JSON form, hostile bodies.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::borrow::Cow;

use novaobs_wire::otlp_logs::{
    AnyValue, Attributes, DecodeError, Flatten, Record, Scope, Visitor, decode, json_to_protobuf,
};
use proptest::prelude::*;

/// Writes what it sees, a line each.
#[derive(Default)]
struct Lines(Vec<String>);

/// Values with their names.
struct Pairs(Vec<String>);

impl Flatten for Pairs {
    type Error = DecodeError;

    fn name<'n>(&mut self, joined: &'n str) -> Result<Cow<'n, str>, DecodeError> {
        Ok(joined.into())
    }

    fn pair(&mut self, name: &str, value: &AnyValue<'_>) -> Result<(), DecodeError> {
        let mut text = String::new();
        value.write_text(&mut text)?;
        self.0.push(format!("{name}={text}"));
        Ok(())
    }
}

fn attributes(attributes: Attributes<'_>) -> Result<String, DecodeError> {
    let mut out = Pairs(Vec::new());
    attributes.each(|name, value| value.flatten(&name, &mut out))?;
    Ok(out.0.join(" "))
}

impl Visitor for Lines {
    type Error = DecodeError;

    fn resource(&mut self, resource: Attributes<'_>) -> Result<(), DecodeError> {
        self.0.push(format!("resource {}", attributes(resource)?));
        Ok(())
    }

    fn scope(&mut self, scope: &Scope<'_>) -> Result<(), DecodeError> {
        let name = String::from_utf8_lossy(scope.name);
        self.0.push(format!("scope {name} {}", attributes(scope.attributes)?));
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>) -> Result<(), DecodeError> {
        let mut body = String::new();
        record.body.write_text(&mut body)?;
        let attributes = attributes(record.attributes)?;
        self.0.push(format!("record {} {body} {attributes} {:02x?}", record.time_unix_nano, record.trace_id));
        Ok(())
    }
}

fn lines(json: &str) -> Result<Vec<String>, DecodeError> {
    let mut lines = Lines::default();
    decode(&json_to_protobuf(json.as_bytes())?, &mut lines)?;
    Ok(lines.0)
}

#[test]
fn json_says_what_protobuf_says() {
    let body = r#"{"resourceLogs":[
        {"resource":{"attributes":[{"key":"a","value":{"kvlistValue":{"values":[{"key":"b","value":{"intValue":"-1"}}]}}}]},
         "scopeLogs":[{"scope":{"name":"s","attributes":[{"key":"x","value":{"boolValue":false}}]},
                       "logRecords":[{"timeUnixNano":"18446744073709551615","body":{"stringValue":"hi"},"unknown":[1],
                                      "traceId":"000102030405060708090a0b0c0d0e0f"},
                                     {"timeUnixNano":7,"traceId":"00000000000000000000000000000000"}]}]},
        {"scopeLogs":null}]}"#;
    assert_eq!(
        lines(body).unwrap(),
        [
            "resource a_b=-1",
            "scope s x=false",
            "record 18446744073709551615 hi  [00, 01, 02, 03, 04, 05, 06, 07, 08, 09, 0a, 0b, 0c, 0d, 0e, 0f]",
            "record 7   []",
            "resource ",
        ]
    );
}

#[test]
fn what_is_no_request_is_told() {
    let record =
        |fields: &str| format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{{fields}}}]}}]}}]}}"#);
    let deep = format!("{}{}{}", "{\"arrayValue\":{\"values\":[".repeat(80), "{}", "]}}".repeat(80));
    for (body, want) in [
        ("x".to_owned(), "cannot decode the log export request: expected value at line 1 column 1"),
        ("[]".to_owned(), "cannot decode the log export request: the request must be an object"),
        (
            r#"{"resourceLogs":1}"#.to_owned(),
            "cannot decode the log export request: resourceLogs must be an array",
        ),
        (
            record(r#""timeUnixNano":"x""#),
            "cannot decode the log export request: timeUnixNano must be a whole number",
        ),
        (
            record(r#""timeUnixNano":-1"#),
            "cannot decode the log export request: timeUnixNano must be a whole number",
        ),
        (record(r#""traceId":"zz""#), "cannot decode the log export request: traceId must be hexadecimal"),
        (
            record(r#""traceId":"0"#.to_owned().as_str()),
            "cannot decode the log export request: EOF while parsing a string",
        ),
        (record(r#""traceId":"01""#), "a trace or span id of 1 bytes instead of 16"),
        (
            record(r#""severityNumber":"WARN9""#),
            "cannot decode the log export request: severityNumber must be a number or the name of a severity",
        ),
        (
            record(r#""body":{"bytesValue":"*"}"#),
            "cannot decode the log export request: bytesValue must be base64",
        ),
        (
            record(r#""body":{"boolValue":1}"#),
            "cannot decode the log export request: boolValue must be true or false",
        ),
        (
            record(&format!("\"body\":{deep}")),
            "cannot decode the log export request: recursion limit exceeded",
        ),
    ] {
        let told = lines(&body).unwrap_err().to_string();
        assert!(told.starts_with(want), "{told} instead of {want}");
    }
}

#[test]
fn deep_values_are_refused_in_protobuf_too() {
    let field = |number: u8, bytes: &[u8]| {
        let mut out = vec![number << 3 | 2];
        let mut length = bytes.len();
        while length >= 128 {
            out.push(length as u8 | 128);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend_from_slice(bytes);
        out
    };
    // Arrays in arrays, as the body of the one record.
    let mut value = Vec::new();
    for _ in 0..1000 {
        value = field(5, &field(1, &value));
    }
    let message = field(1, &field(2, &field(2, &field(5, &value))));
    let told = decode(&message, &mut Lines::default()).unwrap_err();
    assert_eq!(told, DecodeError::Depth(64));
}

proptest! {
    #[test]
    fn any_bytes_are_answered(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&body, &mut Lines::default());
        let _ = json_to_protobuf(&body);
    }
}
