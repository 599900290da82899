//! The protobuf encoding, just enough of it: fields read in place without copies, fields written.
//!
//! Messages are read field by field by their own modules, which gives proto3's rules for free: unknown
//! fields are skipped, of a scalar given twice the last wins, an embedded message given twice is merged.

/// Bytes that are not a protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtobufError {
    /// A length or a value reaches beyond the end.
    #[error("unexpected end of the message")]
    Truncated,
    /// A variable-length integer of more than 64 bits.
    #[error("integer overflow")]
    Overflow,
    /// Field number 0, or a wire type that proto3 does not have.
    #[error("illegal tag {0}")]
    Tag(u64),
    /// A known field of another type.
    #[error("wrong wire type for a field")]
    WireType,
}

/// One field's value as it is on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

impl<'a> Value<'a> {
    /// An integer or enum.
    pub(crate) fn integer(self) -> Result<u64, ProtobufError> {
        if let Value::Varint(value) = self { Ok(value) } else { Err(ProtobufError::WireType) }
    }

    /// A signed integer (`int64`, not zig-zag).
    pub(crate) fn signed(self) -> Result<i64, ProtobufError> {
        self.integer().map(|value| value as i64)
    }

    /// A `double`.
    pub(crate) fn double(self) -> Result<f64, ProtobufError> {
        if let Value::Fixed64(bits) = self { Ok(f64::from_bits(bits)) } else { Err(ProtobufError::WireType) }
    }

    /// A string, `bytes` or embedded message.
    pub(crate) fn bytes(self) -> Result<&'a [u8], ProtobufError> {
        if let Value::Bytes(bytes) = self { Ok(bytes) } else { Err(ProtobufError::WireType) }
    }
}

/// Reads a message's fields in order.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Fields { rest: message }
    }

    /// What is left to read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next field's number and value.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, ProtobufError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = varint(&mut self.rest)?;
        let value = match tag & 7 {
            0 => Value::Varint(varint(&mut self.rest)?),
            1 => Value::Fixed64(u64::from_le_bytes(array(&mut self.rest)?)),
            2 => Value::Bytes(delimited(&mut self.rest)?),
            5 => Value::Fixed32(u32::from_le_bytes(array(&mut self.rest)?)),
            _ => return Err(ProtobufError::Tag(tag)),
        };
        if tag >> 3 == 0 {
            return Err(ProtobufError::Tag(tag));
        }
        Ok(Some((tag >> 3, value)))
    }
}

/// Takes a length and as many bytes off the front of `rest`.
pub(crate) fn delimited<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], ProtobufError> {
    let length = usize::try_from(varint(rest)?).map_err(|_| ProtobufError::Truncated)?;
    let (head, tail) = rest.split_at_checked(length).ok_or(ProtobufError::Truncated)?;
    *rest = tail;
    Ok(head)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], ProtobufError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(ProtobufError::Truncated)?;
    *rest = tail;
    Ok(*head)
}

fn varint(rest: &mut &[u8]) -> Result<u64, ProtobufError> {
    let mut value = 0u64;
    for (i, &byte) in rest.iter().enumerate() {
        if i == 9 && byte > 1 {
            return Err(ProtobufError::Overflow);
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            *rest = rest.get(i + 1..).unwrap_or(&[]);
            return Ok(value);
        }
    }
    Err(ProtobufError::Truncated)
}

/// Appends a variable-length integer.
pub(crate) fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a string or embedded message field.
pub(crate) fn push_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    push_varint(out, field << 3 | 2);
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends an integer field.
pub(crate) fn push_integer(out: &mut Vec<u8>, field: u64, value: u64) {
    push_varint(out, field << 3);
    push_varint(out, value);
}

/// Appends a `double` field.
pub(crate) fn push_double(out: &mut Vec<u8>, field: u64, value: f64) {
    push_varint(out, field << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a `fixed64` field.
pub(crate) fn push_fixed64(out: &mut Vec<u8>, field: u64, value: u64) {
    push_varint(out, field << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a `fixed32` field.
pub(crate) fn push_fixed32(out: &mut Vec<u8>, field: u64, value: u32) {
    push_varint(out, field << 3 | 5);
    out.extend_from_slice(&value.to_le_bytes());
}
