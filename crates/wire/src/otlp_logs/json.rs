//! The JSON form of a log export request, turned into the protobuf one.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>: lowerCamelCase names (snake_case is
//! read too), 64-bit integers as strings or numbers, ids in hexadecimal. Unknown names are ignored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::DecodeError;
use crate::protobuf::{push_bytes, push_double, push_fixed32, push_fixed64, push_integer};

type Result<T> = std::result::Result<T, DecodeError>;

/// Reads JSON and gives an `ExportLogsServiceRequest`. Values may be nested about 100 levels deep.
///
/// # Errors
/// [`DecodeError::Json`].
pub fn json_to_protobuf(body: &[u8]) -> Result<Vec<u8>> {
    let value: Value = serde_json::from_slice(body).map_err(|error| DecodeError::Json(error.to_string()))?;
    let mut out = Vec::new();
    let request = object(&value, "the request")?;
    each(request, "resourceLogs", "resource_logs", |resource_logs| {
        let mut message = Vec::new();
        if let Some(resource) = find(resource_logs, "resource", "resource") {
            let resource = object(resource, "resource")?;
            let mut inner = Vec::new();
            push_attributes(&mut inner, 1, resource)?;
            push_bytes(&mut message, 1, &inner);
        }
        each(resource_logs, "scopeLogs", "scope_logs", |scope_logs| {
            let mut inner = Vec::new();
            if let Some(scope) = find(scope_logs, "scope", "scope") {
                push_bytes(&mut inner, 1, &scope_message(object(scope, "scope")?)?);
            }
            each(scope_logs, "logRecords", "log_records", |record| {
                push_bytes(&mut inner, 2, &record_message(record)?);
                Ok(())
            })?;
            push_bytes(&mut message, 2, &inner);
            Ok(())
        })?;
        push_bytes(&mut out, 1, &message);
        Ok(())
    })?;
    Ok(out)
}

fn scope_message(scope: &Map<String, Value>) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    push_text(&mut out, 1, scope, "name", "name")?;
    push_text(&mut out, 2, scope, "version", "version")?;
    push_attributes(&mut out, 3, scope)?;
    if let Some(count) = find(scope, "droppedAttributesCount", "dropped_attributes_count") {
        push_integer(&mut out, 4, integer(count, "droppedAttributesCount")? as u64);
    }
    Ok(out)
}

fn record_message(record: &Map<String, Value>) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    if let Some(time) = find(record, "timeUnixNano", "time_unix_nano") {
        push_fixed64(&mut out, 1, unsigned(time, "timeUnixNano")?);
    }
    if let Some(time) = find(record, "observedTimeUnixNano", "observed_time_unix_nano") {
        push_fixed64(&mut out, 11, unsigned(time, "observedTimeUnixNano")?);
    }
    if let Some(severity) = find(record, "severityNumber", "severity_number") {
        push_integer(&mut out, 2, severity_number(severity)? as u64);
    }
    push_text(&mut out, 3, record, "severityText", "severity_text")?;
    if let Some(body) = find(record, "body", "body") {
        push_bytes(&mut out, 5, &any_message(body)?);
    }
    push_attributes(&mut out, 6, record)?;
    if let Some(count) = find(record, "droppedAttributesCount", "dropped_attributes_count") {
        push_integer(&mut out, 7, integer(count, "droppedAttributesCount")? as u64);
    }
    if let Some(flags) = find(record, "flags", "flags") {
        push_fixed32(&mut out, 8, integer(flags, "flags")? as u32);
    }
    for (field, name, snake) in [(9, "traceId", "trace_id"), (10, "spanId", "span_id")] {
        if let Some(id) = find(record, name, snake) {
            push_bytes(&mut out, field, &hexadecimal(text(id, name)?, name)?);
        }
    }
    push_text(&mut out, 12, record, "eventName", "event_name")?;
    Ok(out)
}

fn push_attributes(out: &mut Vec<u8>, field: u64, owner: &Map<String, Value>) -> Result<()> {
    each(owner, "attributes", "attributes", |pair| {
        push_bytes(out, field, &pair_message(pair)?);
        Ok(())
    })
}

fn pair_message(pair: &Map<String, Value>) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    push_text(&mut out, 1, pair, "key", "key")?;
    if let Some(value) = find(pair, "value", "value") {
        push_bytes(&mut out, 2, &any_message(value)?);
    }
    Ok(out)
}

fn any_message(value: &Value) -> Result<Vec<u8>> {
    let value = object(value, "value")?;
    let mut out = Vec::new();
    for (name, inner) in value {
        match name.as_str() {
            "stringValue" | "string_value" => push_bytes(&mut out, 1, text(inner, name)?.as_bytes()),
            "boolValue" | "bool_value" => {
                let flag = inner.as_bool().ok_or_else(|| wrong(name, "true or false"))?;
                push_integer(&mut out, 2, u64::from(flag));
            }
            "intValue" | "int_value" => push_integer(&mut out, 3, integer(inner, name)? as u64),
            "doubleValue" | "double_value" => push_double(&mut out, 4, double(inner, name)?),
            "arrayValue" | "array_value" => {
                let mut list = Vec::new();
                if let Some(values) = find(object(inner, name)?, "values", "values") {
                    for value in values.as_array().ok_or_else(|| wrong("values", "an array"))? {
                        push_bytes(&mut list, 1, &any_message(value)?);
                    }
                }
                push_bytes(&mut out, 5, &list);
            }
            "kvlistValue" | "kvlist_value" => {
                let mut list = Vec::new();
                each(object(inner, name)?, "values", "values", |pair| {
                    push_bytes(&mut list, 1, &pair_message(pair)?);
                    Ok(())
                })?;
                push_bytes(&mut out, 6, &list);
            }
            "bytesValue" | "bytes_value" => {
                let bytes = STANDARD.decode(text(inner, name)?).map_err(|_| wrong(name, "base64"))?;
                push_bytes(&mut out, 7, &bytes);
            }
            _ => {}
        }
    }
    Ok(out)
}

/// A field by either of its names; null counts as not there.
fn find<'a>(owner: &'a Map<String, Value>, name: &str, snake: &str) -> Option<&'a Value> {
    owner.get(name).or_else(|| owner.get(snake)).filter(|value| !value.is_null())
}

/// Calls `visit` with each object of a list.
fn each(
    owner: &Map<String, Value>,
    name: &str,
    snake: &str,
    mut visit: impl FnMut(&Map<String, Value>) -> Result<()>,
) -> Result<()> {
    let Some(list) = find(owner, name, snake) else { return Ok(()) };
    for item in list.as_array().ok_or_else(|| wrong(name, "an array"))? {
        visit(object(item, name)?)?;
    }
    Ok(())
}

fn wrong(name: &str, wanted: &str) -> DecodeError {
    DecodeError::Json(format!("{name} must be {wanted}"))
}

fn object<'a>(value: &'a Value, name: &str) -> Result<&'a Map<String, Value>> {
    value.as_object().ok_or_else(|| wrong(name, "an object"))
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value.as_str().ok_or_else(|| wrong(name, "a string"))
}

fn push_text(
    out: &mut Vec<u8>,
    field: u64,
    owner: &Map<String, Value>,
    name: &str,
    snake: &str,
) -> Result<()> {
    if let Some(value) = find(owner, name, snake) {
        push_bytes(out, field, text(value, name)?.as_bytes());
    }
    Ok(())
}

fn integer(value: &Value, name: &str) -> Result<i64> {
    let read = value.as_i64().or_else(|| value.as_str()?.parse().ok());
    read.ok_or_else(|| wrong(name, "a whole number"))
}

fn unsigned(value: &Value, name: &str) -> Result<u64> {
    let read = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    read.ok_or_else(|| wrong(name, "a whole number"))
}

fn double(value: &Value, name: &str) -> Result<f64> {
    let read = value.as_f64().or_else(|| match value.as_str()? {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        digits => digits.parse().ok(),
    });
    read.ok_or_else(|| wrong(name, "a number"))
}

/// A number, or the name of one: `SEVERITY_NUMBER_WARN2`.
fn severity_number(value: &Value) -> Result<i64> {
    const KINDS: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
    let Some(name) = value.as_str() else { return integer(value, "severityNumber") };
    let bare = name.strip_prefix("SEVERITY_NUMBER_").unwrap_or(name);
    if bare == "UNSPECIFIED" {
        return Ok(0);
    }
    let kind = KINDS.iter().enumerate().find_map(|(at, kind)| Some((at, bare.strip_prefix(kind)?)));
    let number = kind.and_then(|(at, rest)| {
        let step: i64 =
            if rest.is_empty() { 1 } else { rest.parse().ok().filter(|n| (2..=4).contains(n))? };
        Some(at as i64 * 4 + step)
    });
    number.ok_or_else(|| wrong("severityNumber", "a number or the name of a severity"))
}

fn hexadecimal(text: &str, name: &str) -> Result<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect::<Option<Vec<u8>>>().ok_or_else(|| wrong(name, "hexadecimal"))
}
