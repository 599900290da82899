//! Log streams into the body of a push, as an agent sends them.

use std::fmt::Write as _;

use novaobs_model::LogStream;

use crate::protobuf::{push_bytes, push_integer};

/// A snappy block around a `logproto.PushRequest` of these streams. Streams without entries are left out.
///
/// # Errors
/// [`snap::Error`] when the message is larger than a snappy block can be (4 GiB).
pub fn encode_protobuf(streams: &[LogStream]) -> Result<Vec<u8>, snap::Error> {
    let mut message = Vec::new();
    let (mut stream, mut entry, mut field) = (Vec::new(), Vec::new(), Vec::new());
    for sent in streams.iter().filter(|stream| !stream.timestamps.is_empty()) {
        stream.clear();
        push_bytes(&mut stream, 1, label_text(sent).as_bytes());
        for (row, timestamp) in sent.timestamps.iter().enumerate() {
            entry.clear();
            field.clear();
            push_integer(&mut field, 1, timestamp.div_euclid(1_000_000_000) as u64);
            push_integer(&mut field, 2, timestamp.rem_euclid(1_000_000_000) as u64);
            push_bytes(&mut entry, 1, &field);
            push_bytes(&mut entry, 2, sent.lines.get(row).as_bytes());
            for (name, value) in sent.metadata.get(row) {
                field.clear();
                push_bytes(&mut field, 1, name.as_bytes());
                push_bytes(&mut field, 2, value.as_bytes());
                push_bytes(&mut entry, 3, &field);
            }
            push_bytes(&mut stream, 2, &entry);
        }
        push_bytes(&mut message, 1, &stream);
    }
    snap::raw::Encoder::new().compress_vec(&message)
}

/// `{"streams":[…]}` of these streams. Streams without entries are left out.
pub fn encode_json(streams: &[LogStream]) -> String {
    let mut out = String::from("{\"streams\":[");
    let mut first = true;
    for stream in streams.iter().filter(|stream| !stream.timestamps.is_empty()) {
        out.push_str(if first { "{\"stream\":" } else { ",{\"stream\":" });
        first = false;
        push_object(&mut out, stream.labels.iter());
        out.push_str(",\"values\":[");
        for (row, timestamp) in stream.timestamps.iter().enumerate() {
            let _ = write!(out, "{}[\"{timestamp}\",", if row > 0 { "," } else { "" });
            push_string(&mut out, stream.lines.get(row));
            if stream.metadata.get(row).len() > 0 {
                out.push(',');
                push_object(&mut out, stream.metadata.get(row));
            }
            out.push(']');
        }
        out.push_str("]}");
    }
    out.push_str("]}");
    out
}

/// The labels as Loki writes them; names that are not plain are quoted.
fn label_text(stream: &LogStream) -> String {
    let mut out = String::from("{");
    for (at, (name, value)) in stream.labels.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        if novaobs_model::labels::is_legacy_label_name(name) {
            out.push_str(name);
        } else {
            out.push_str(&crate::quote::quote(name.as_bytes()));
        }
        out.push('=');
        out.push_str(&crate::quote::quote(value.as_bytes()));
    }
    out.push('}');
    out
}

fn push_object<'a>(out: &mut String, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
    out.push('{');
    for (at, (name, value)) in pairs.enumerate() {
        if at > 0 {
            out.push(',');
        }
        push_string(out, name);
        out.push(':');
        push_string(out, value);
    }
    out.push('}');
}

fn push_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = tail.chars();
        match chars.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(c) => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}
