//! Bodies of Loki's push endpoints: `logproto.PushRequest` and its two JSON forms, read and written.
//!
//! <https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs>. Decoding gives columns that
//! a [`LogSink`](novaobs_model::LogSink) takes almost as they are; labels stay the text they came as, because
//! the peer's errors quote it, until [`parse_labels`] reads them. Error texts of JSON bodies are those of the
//! peer's parsers, with the place and its surroundings.

mod encode;
mod json;
mod labels;
mod reader;

use novaobs_model::logs::{PairLists, Strings};

pub use encode::{encode_json, encode_protobuf};
pub use json::{decode_json, decode_legacy_json};
pub use labels::{LabelsError, parse_labels};

use crate::protobuf::{Fields, ProtobufError, Value};

/// Why a body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not the JSON of a push; the text is the peer's.
    #[error("{0}")]
    Json(String),
    /// Not a `PushRequest`; the text is the peer's.
    #[error("{0}")]
    Protobuf(String),
    /// It would take more memory than allowed once decoded.
    #[error("the push request takes more than {limit} bytes once decoded; send smaller batches")]
    TooLarge {
        /// Bytes it may take.
        limit: usize,
    },
}

impl From<ProtobufError> for DecodeError {
    fn from(error: ProtobufError) -> Self {
        DecodeError::Protobuf(match error {
            ProtobufError::Truncated => "unexpected EOF".to_owned(),
            ProtobufError::Overflow => "proto: integer overflow".to_owned(),
            ProtobufError::Tag(tag) if tag >> 3 == 0 => {
                format!("proto: PushRequest: illegal tag 0 (wire type {})", tag & 7)
            }
            ProtobufError::Tag(tag) => format!("proto: illegal wireType {}", tag & 7),
            ProtobufError::WireType => "proto: wrong wireType".to_owned(),
        })
    }
}

/// The time of an entry that came without one: what Go's zero time is in nanoseconds.
pub const NO_TIME: i64 = -6_795_364_578_871_345_152;

/// Entries of one stream as they were sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PushStream {
    /// The labels, `{a="b"}`, not yet parsed.
    pub labels: String,
    /// Unix nanoseconds.
    pub timestamps: Vec<i64>,
    /// The lines.
    pub lines: Strings,
    /// Structured metadata of each entry, names as sent.
    pub metadata: PairLists,
}

impl PushStream {
    /// Bytes of memory it holds.
    pub fn memory(&self) -> usize {
        size_of::<PushStream>()
            + self.labels.capacity()
            + self.timestamps.capacity() * size_of::<i64>()
            + self.lines.memory()
            + self.metadata.memory()
    }

    fn clear_entries(&mut self) {
        self.timestamps.clear();
        self.lines.clear();
        self.metadata.clear();
    }
}

/// Collects decoded streams and keeps an eye on the memory they take.
struct Collector {
    streams: Vec<PushStream>,
    memory: usize,
    limit: usize,
}

impl Collector {
    fn new(limit: usize) -> Self {
        Collector { streams: Vec::new(), memory: 0, limit }
    }

    fn add(&mut self, stream: PushStream) -> Result<(), DecodeError> {
        self.memory = self.memory.saturating_add(stream.memory());
        if self.memory > self.limit {
            return Err(DecodeError::TooLarge { limit: self.limit });
        }
        self.streams.push(stream);
        Ok(())
    }
}

/// Decodes an unpacked `logproto.PushRequest` into at most `limit` bytes of memory. Text that is not UTF-8 is
/// repaired with U+FFFD.
///
/// # Errors
/// [`DecodeError::Protobuf`] and [`DecodeError::TooLarge`].
pub fn decode_protobuf(message: &[u8], limit: usize) -> Result<Vec<PushStream>, DecodeError> {
    let mut collector = Collector::new(limit);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            let stream = read_stream(message_of(value, "Streams")?, limit)?;
            collector.add(stream)?;
        }
    }
    Ok(collector.streams)
}

/// The bytes of a field, or the peer's error that names it.
fn message_of<'a>(value: Value<'a>, field: &str) -> Result<&'a [u8], DecodeError> {
    let found = match value {
        Value::Bytes(bytes) => return Ok(bytes),
        Value::Varint(_) => 0,
        Value::Fixed64(_) => 1,
        Value::Fixed32(_) => 5,
    };
    Err(DecodeError::Protobuf(format!("proto: wrong wireType = {found} for field {field}")))
}

fn read_stream(message: &[u8], limit: usize) -> Result<PushStream, DecodeError> {
    let (mut entries, mut labels) = (0, &[][..]);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => labels = message_of(value, "Labels")?,
            2 => entries += 1,
            _ => {}
        }
    }
    // A row takes a time and the ends of its line and metadata.
    if entries * 16 + message.len() > limit {
        return Err(DecodeError::TooLarge { limit });
    }
    let mut stream = PushStream {
        labels: String::from_utf8_lossy(labels).into_owned(),
        timestamps: Vec::with_capacity(entries),
        // Most of a message is its lines; one that is mostly metadata wastes a little.
        lines: Strings::with_capacity(entries, message.len().saturating_sub(entries * 16)),
        metadata: PairLists::default(),
    };
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        if number == 2 {
            read_entry(message_of(value, "Entries")?, &mut stream)?;
        }
    }
    Ok(stream)
}

fn read_entry(message: &[u8], stream: &mut PushStream) -> Result<(), DecodeError> {
    let (mut timestamp, mut line) = (NO_TIME, &[][..]);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => timestamp = read_timestamp(message_of(value, "Timestamp")?)?,
            2 => line = message_of(value, "Line")?,
            3 => {
                let (name, value) = read_pair(message_of(value, "StructuredMetadata")?)?;
                stream.metadata.pair(&String::from_utf8_lossy(name), &String::from_utf8_lossy(value));
            }
            _ => {}
        }
    }
    stream.timestamps.push(timestamp);
    stream.lines.push(&String::from_utf8_lossy(line));
    stream.metadata.end_row();
    Ok(())
}

/// A `google.protobuf.Timestamp` in nanoseconds; what lies outside their range becomes its end.
fn read_timestamp(message: &[u8]) -> Result<i64, DecodeError> {
    let (mut seconds, mut nanos) = (0i64, 0i64);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => seconds = value.signed()?,
            2 => nanos = value.signed()?,
            _ => {}
        }
    }
    // Years 1 and 10000 begin.
    let problem = match (seconds, nanos) {
        (..-62_135_596_800, _) => " before 0001-01-01",
        (253_402_300_800.., _) => " after 10000-01-01",
        (_, ..0 | 1_000_000_000..) => ": nanos not in range [0, 1e9)",
        _ => return Ok(nanoseconds(seconds, nanos)),
    };
    Err(DecodeError::Protobuf(format!(
        "timestamp: &types.Timestamp{{Seconds: {seconds},\nNanos: {nanos},\n}}{problem}"
    )))
}

fn nanoseconds(seconds: i64, nanos: i64) -> i64 {
    if (seconds, nanos) == (-62_135_596_800, 0) {
        return NO_TIME;
    }
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

fn read_pair(message: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    let mut pair = (&[][..], &[][..]);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => pair.0 = value.bytes()?,
            2 => pair.1 = value.bytes()?,
            _ => {}
        }
    }
    Ok(pair)
}
