//! Values as Go's `encoding/json` writes them: keys sorted, `<`, `>` and `&` escaped.

use std::fmt::Write as _;

use crate::value::Value;

/// `value` as JSON.
///
/// # Errors
/// Go's text for numbers JSON cannot hold.
pub fn encode(value: &Value) -> Result<String, String> {
    let mut out = String::new();
    write_value(&mut out, value)?;
    Ok(out)
}

fn write_value(out: &mut String, value: &Value) -> Result<(), String> {
    match value {
        Value::Nil => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(n) | Value::Duration(n) => {
            let _ = write!(out, "{n}");
        }
        Value::Float(f) => out.push_str(&number(*f)?),
        Value::String(text) => string(out, text),
        Value::Time(time) => string(out, &time.rfc3339_nano()),
        Value::List(list) => {
            out.push('[');
            for (i, item) in list.items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_value(out, item)?;
            }
            out.push(']');
        }
        Value::Map(map) => {
            let pairs = map.entries.iter().map(|(key, value)| (key.as_str(), value));
            write_pairs(out, pairs)?;
        }
        Value::Object(object) => match object.plain() {
            Value::Nil => {
                let fields = object.fields();
                write_pairs(out, fields.iter().map(|(key, value)| (*key, value)))?;
            }
            plain => write_value(out, &plain)?,
        },
    }
    Ok(())
}

fn write_pairs<'a>(
    out: &mut String,
    pairs: impl Iterator<Item = (&'a str, &'a Value)>,
) -> Result<(), String> {
    out.push('{');
    for (i, (key, value)) in pairs.enumerate() {
        if i > 0 {
            out.push(',');
        }
        string(out, key);
        out.push(':');
        write_value(out, value)?;
    }
    out.push('}');
    Ok(())
}

/// A float: plain between 1e-6 and 1e21, with an exponent outside.
fn number(f: f64) -> Result<String, String> {
    if !f.is_finite() {
        return Err(format!("json: unsupported value: {}", crate::fmt::format_float(f, 'g', None)));
    }
    let magnitude = f.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        // Go drops the zero of e-09.
        return Ok(crate::fmt::format_float(f, 'e', None).replace("e-0", "e-"));
    }
    Ok(crate::fmt::format_float(f, 'f', None))
}

/// Writes `text` as a JSON string.
pub fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
