//! OpenTelemetry's `ExportLogsServiceRequest`: protobuf read in place, and its JSON form.
//!
//! <https://opentelemetry.io/docs/specs/otlp/>. What becomes of resources, scopes and attributes is the
//! receiver's business, so decoding calls a [`Visitor`] with views into the message; nothing is copied for a
//! record. The JSON form is first turned into the protobuf one.

mod answer;
mod json;
mod value;

pub use answer::{partial_success, retry_details, status_message};
pub use json::json_to_protobuf;
pub use value::{Any, AnyValue, Attributes, Flatten};

use crate::protobuf::{Fields, ProtobufError, Value};

/// Why a request cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not an `ExportLogsServiceRequest`; the text is the peer's.
    #[error("{0}")]
    Protobuf(String),
    /// Values nested deeper than anything sensible.
    #[error("an attribute or body is nested more than {0} levels deep")]
    Depth(usize),
    /// Not the JSON form of one.
    #[error("cannot decode the log export request: {0}")]
    Json(String),
}

impl From<ProtobufError> for DecodeError {
    fn from(error: ProtobufError) -> Self {
        DecodeError::Protobuf(match error {
            ProtobufError::Truncated => "unexpected EOF".to_owned(),
            ProtobufError::Overflow => "proto: integer overflow".to_owned(),
            ProtobufError::Tag(tag) if tag >> 3 == 0 => {
                format!("proto: ExportLogsServiceRequest: illegal tag 0 (wire type {})", tag & 7)
            }
            ProtobufError::Tag(tag) => format!("proto: illegal wireType {}", tag & 7),
            ProtobufError::WireType => "proto: wrong wireType".to_owned(),
        })
    }
}

/// Where a request comes from: an instrumentation scope.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "the fields of InstrumentationScope")]
pub struct Scope<'a> {
    pub name: &'a [u8],
    pub version: &'a [u8],
    pub attributes: Attributes<'a>,
    pub dropped_attributes_count: u32,
}

/// One record. Text is as it came and may not be UTF-8.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "the fields of LogRecord")]
pub struct Record<'a> {
    pub time_unix_nano: u64,
    pub observed_time_unix_nano: u64,
    pub severity_number: i32,
    pub severity_text: &'a [u8],
    pub body: AnyValue<'a>,
    pub attributes: Attributes<'a>,
    pub dropped_attributes_count: u32,
    pub flags: u32,
    /// 16 bytes, or none.
    pub trace_id: &'a [u8],
    /// 8 bytes, or none.
    pub span_id: &'a [u8],
    pub event_name: &'a [u8],
}

/// What [`decode`] calls: for each resource once, then for each of its scopes, then for each record of that.
pub trait Visitor {
    /// What a call may fail with.
    type Error: From<DecodeError>;

    /// A resource begins.
    ///
    /// # Errors
    /// The visitor's own, which ends decoding.
    fn resource(&mut self, attributes: Attributes<'_>) -> Result<(), Self::Error>;

    /// A scope begins.
    ///
    /// # Errors
    /// The visitor's own, which ends decoding.
    fn scope(&mut self, scope: &Scope<'_>) -> Result<(), Self::Error>;

    /// A record.
    ///
    /// # Errors
    /// The visitor's own, which ends decoding.
    fn record(&mut self, record: &Record<'_>) -> Result<(), Self::Error>;
}

/// Walks a request.
///
/// # Errors
/// [`DecodeError`], or the visitor's; what was visited before stands.
pub fn decode<V: Visitor>(message: &[u8], visitor: &mut V) -> Result<(), V::Error> {
    each(message, 1, &mut |resource_logs| {
        let mut attributes = Attributes::default();
        each(resource_logs, 1, &mut |resource| {
            attributes = Attributes::new(resource, 1);
            Ok::<_, V::Error>(())
        })?;
        visitor.resource(attributes)?;
        each(resource_logs, 2, &mut |scope_logs| {
            let mut scope = Scope::default();
            each(scope_logs, 1, &mut |message| {
                scope = read_scope(message)?;
                Ok::<_, V::Error>(())
            })?;
            visitor.scope(&scope)?;
            each(scope_logs, 2, &mut |record| visitor.record(&read_record(record)?))
        })
    })
}

/// Calls `visit` with each embedded message of this field number.
fn each<'a, E: From<DecodeError>>(
    message: &'a [u8],
    wanted: u64,
    visit: &mut impl FnMut(&'a [u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next().map_err(DecodeError::from)? {
        if number == wanted {
            visit(value.bytes().map_err(DecodeError::from)?)?;
        }
    }
    Ok(())
}

fn read_scope(message: &[u8]) -> Result<Scope<'_>, DecodeError> {
    let mut scope = Scope { attributes: Attributes::new(message, 3), ..Scope::default() };
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => scope.name = value.bytes()?,
            2 => scope.version = value.bytes()?,
            4 => scope.dropped_attributes_count = value.integer()? as u32,
            _ => {}
        }
    }
    Ok(scope)
}

fn read_record(message: &[u8]) -> Result<Record<'_>, DecodeError> {
    let mut record = Record { attributes: Attributes::new(message, 6), ..Record::default() };
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, value) => record.time_unix_nano = fixed64(value)?,
            (11, value) => record.observed_time_unix_nano = fixed64(value)?,
            (2, value) => record.severity_number = value.integer()? as i32,
            (3, value) => record.severity_text = value.bytes()?,
            (5, value) => record.body = AnyValue::new(value.bytes()?),
            (7, value) => record.dropped_attributes_count = value.integer()? as u32,
            (8, Value::Fixed32(flags)) => record.flags = flags,
            (8, _) => return Err(ProtobufError::WireType.into()),
            (9, value) => record.trace_id = identifier(value.bytes()?, 16)?,
            (10, value) => record.span_id = identifier(value.bytes()?, 8)?,
            (12, value) => record.event_name = value.bytes()?,
            _ => {}
        }
    }
    Ok(record)
}

fn fixed64(value: Value<'_>) -> Result<u64, ProtobufError> {
    if let Value::Fixed64(bits) = value { Ok(bits) } else { Err(ProtobufError::WireType) }
}

/// An identifier of a fixed length; one of zeros is none.
fn identifier(bytes: &[u8], length: usize) -> Result<&[u8], DecodeError> {
    if !bytes.is_empty() && bytes.len() != length {
        return Err(DecodeError::Protobuf(format!(
            "a trace or span id of {} bytes instead of {length}",
            bytes.len()
        )));
    }
    Ok(if bytes.iter().all(|byte| *byte == 0) { &[] } else { bytes })
}
