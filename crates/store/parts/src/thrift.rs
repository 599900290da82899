//! Thrift's compact protocol, as far as Parquet's page headers and footer need it.

use crate::bits::{put_int, put_text, put_uint, take_text, take_uint};

/// Type codes of fields and list elements.
pub(crate) const I32: u8 = 5;
pub(crate) const BINARY: u8 = 8;
pub(crate) const STRUCT: u8 = 12;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const LIST: u8 = 9;
const SET: u8 = 10;

/// Writes structs; fields of a struct must be given in ascending order.
#[derive(Default)]
pub(crate) struct Writer {
    pub(crate) out: Vec<u8>,
    last: i16,
}

impl Writer {
    fn field(&mut self, id: i16, kind: u8) {
        let distance = id - self.last;
        if (1..=15).contains(&distance) {
            self.out.push((distance as u8) << 4 | kind);
        } else {
            self.out.push(kind);
            put_int(&mut self.out, i64::from(id));
        }
        self.last = id;
    }

    pub(crate) fn i32(&mut self, id: i16, value: i32) {
        self.field(id, I32);
        put_int(&mut self.out, i64::from(value));
    }

    pub(crate) fn i64(&mut self, id: i16, value: i64) {
        self.field(id, I64);
        put_int(&mut self.out, value);
    }

    pub(crate) fn bool(&mut self, id: i16, value: bool) {
        self.field(id, if value { TRUE } else { FALSE });
    }

    pub(crate) fn text(&mut self, id: i16, value: &str) {
        self.field(id, BINARY);
        put_text(&mut self.out, value.as_bytes());
    }

    /// A struct as a field, with the fields `write` gives it.
    pub(crate) fn nested(&mut self, id: i16, write: impl FnOnce(&mut Writer)) {
        self.field(id, STRUCT);
        self.element(write);
    }

    /// A list as a field; `write` appends its `count` elements.
    pub(crate) fn list(&mut self, id: i16, kind: u8, count: usize, write: impl FnOnce(&mut Writer)) {
        self.field(id, LIST);
        if count < 15 {
            self.out.push((count as u8) << 4 | kind);
        } else {
            self.out.push(0xf0 | kind);
            put_uint(&mut self.out, count as u64);
        }
        let last = self.last;
        write(self);
        self.last = last;
    }

    /// A struct that stands alone or in a list.
    pub(crate) fn element(&mut self, write: impl FnOnce(&mut Writer)) {
        let last = std::mem::take(&mut self.last);
        write(self);
        self.out.push(0);
        self.last = last;
    }
}

/// The value of key `wanted` in field 5 of a struct, a list of key and value: where Parquet's footer has
/// its key-value metadata.
pub(crate) fn footer_value<'a>(mut data: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    let data = &mut data;
    let mut id = 0i64;
    while let Some(kind) = take_field(data, &mut id)? {
        if id != 5 {
            skip(data, kind, 0)?;
            continue;
        }
        for _ in 0..take_list(data)?.1 {
            let (mut key, mut value, mut field) = (None, None, 0i64);
            while let Some(kind) = take_field(data, &mut field)? {
                match field {
                    1 if kind == BINARY => key = Some(take_text(data)?),
                    2 if kind == BINARY => value = Some(take_text(data)?),
                    _ => skip(data, kind, 0)?,
                }
            }
            if key == Some(wanted.as_bytes()) {
                return value;
            }
        }
        return None;
    }
    None
}

/// The type of the next field, whose number `id` becomes; none at the end of the struct.
fn take_field(data: &mut &[u8], id: &mut i64) -> Option<Option<u8>> {
    let (byte, rest) = data.split_first()?;
    *data = rest;
    if *byte == 0 {
        return Some(None);
    }
    *id = match byte >> 4 {
        0 => crate::bits::take_int(data)?,
        distance => id.checked_add(i64::from(distance))?,
    };
    Some(Some(byte & 15))
}

/// Type and count of the elements of a list.
fn take_list(data: &mut &[u8]) -> Option<(u8, u64)> {
    let (byte, rest) = data.split_first()?;
    *data = rest;
    let count = if byte >> 4 == 15 { take_uint(data)? } else { u64::from(byte >> 4) };
    Some((byte & 15, count))
}

fn skip(data: &mut &[u8], kind: u8, depth: u32) -> Option<()> {
    if depth > 16 {
        return None;
    }
    match kind {
        TRUE | FALSE => {}
        BYTE => *data = data.get(1..)?,
        4..=I64 => {
            take_uint(data)?;
        }
        DOUBLE => *data = data.get(8..)?,
        BINARY => {
            take_text(data)?;
        }
        LIST | SET => {
            let (element, count) = take_list(data)?;
            for _ in 0..count {
                match element {
                    TRUE | FALSE => *data = data.get(1..)?,
                    other => skip(data, other, depth + 1)?,
                }
            }
        }
        STRUCT => {
            let mut id = 0;
            while let Some(kind) = take_field(data, &mut id)? {
                skip(data, kind, depth + 1)?;
            }
        }
        _ => return None,
    }
    Some(())
}
