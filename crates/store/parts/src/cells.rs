//! The values of one column in one block, decoded.

use std::sync::Arc;

use bytes::Bytes;
use novaobs_model::logs::{Strings, TextColumn};

use crate::bits::delta_decode;
use crate::columns::time_unit;
use crate::kinds::{Kind, render_hex};
use crate::layout::Chunk;
use crate::pages::{self, PageRecord, decode_codes, decode_texts, open_page};

/// Distinct values of a column of a row group.
#[derive(Debug, Default)]
pub(crate) struct DictionaryValues {
    /// As they stand in lines.
    pub(crate) texts: Strings,
    /// The numbers they are, in columns of integers.
    pub(crate) integers: Vec<i64>,
}

/// The values of a column, by row of the block; `present` is empty when all rows have one.
pub(crate) enum Cells {
    /// No row has one.
    Absent,
    Codes {
        codes: Vec<u32>,
        dictionary: Arc<DictionaryValues>,
    },
    Integers {
        kind: Kind,
        values: Vec<i64>,
        present: Vec<bool>,
    },
    Hex {
        width: usize,
        bytes: Vec<u8>,
        present: Vec<bool>,
    },
    Texts {
        texts: Strings,
        present: Vec<bool>,
    },
}

impl DictionaryValues {
    /// Reads a dictionary page.
    pub(crate) fn decode(body: &Bytes, record: &PageRecord, kind: Kind) -> Option<Self> {
        if crc32fast::hash(body) != record.crc {
            return None;
        }
        let data = pages::decompress(body, record.raw as usize)?;
        let count = record.present as usize;
        let mut out = DictionaryValues::default();
        if kind.is_integer() {
            let mut text = String::new();
            for value in data.chunks_exact(8).filter_map(|bytes| bytes.try_into().ok()) {
                let value = i64::from_le_bytes(value);
                text.clear();
                kind.render(value, &mut text);
                out.texts.push(&text);
                out.integers.push(value);
            }
        } else {
            let mut rest = data.as_slice();
            while let Some((length, after)) = rest.split_first_chunk::<4>() {
                let (text, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
                out.texts.push(std::str::from_utf8(text).ok()?);
                rest = after;
            }
        }
        (out.texts.len() == count).then_some(out)
    }

    pub(crate) fn memory(&self) -> usize {
        self.texts.memory() + 8 * self.integers.capacity()
    }
}

impl Cells {
    /// Reads a data page of `rows` rows.
    pub(crate) fn decode(
        body: &Bytes,
        record: &PageRecord,
        rows: usize,
        kind: Kind,
        chunk: &Chunk,
        dictionary: Option<Arc<DictionaryValues>>,
    ) -> Option<Self> {
        let (levels, values) = open_page(body, record, rows)?;
        let count = if levels.is_empty() { rows } else { record.present as usize };
        let present: Vec<bool> = levels.iter().map(|level| *level == 1).collect();
        match (chunk.encoding, kind) {
            (pages::RLE_DICTIONARY, _) => {
                let dictionary = dictionary?;
                let there = decode_codes(&values, dictionary.texts.len(), count)?;
                Some(Cells::Codes { codes: spread(there, &present, TextColumn::ABSENT), dictionary })
            }
            (pages::DELTA_BINARY_PACKED, Kind::Number { .. } | Kind::Time { .. }) => {
                let mut there = Vec::new();
                delta_decode(&mut values.as_slice(), count, &mut there)?;
                if there.len() != count {
                    return None;
                }
                let unit = time_unit(kind);
                if unit > 1 {
                    there.iter_mut().for_each(|value| *value = value.wrapping_mul(unit));
                }
                Some(Cells::Integers { kind, values: spread(there, &present, 0), present })
            }
            (pages::PLAIN, Kind::Hex { bytes }) => {
                let width = usize::from(bytes);
                if values.len() != count * width {
                    return None;
                }
                let bytes = if present.is_empty() {
                    values
                } else {
                    let mut spread = Vec::with_capacity(rows * width);
                    let mut there = values.chunks_exact(width);
                    for present in &present {
                        match present.then(|| there.next()).flatten() {
                            Some(value) => spread.extend_from_slice(value),
                            None => spread.resize(spread.len() + width, 0),
                        }
                    }
                    spread
                };
                Some(Cells::Hex { width, bytes, present })
            }
            (pages::DELTA_LENGTH_BYTE_ARRAY, Kind::Text) => {
                let (there, text) = decode_texts(values, count)?;
                let mut ends = Vec::with_capacity(rows);
                if present.is_empty() {
                    ends = there;
                } else {
                    let (mut there, mut end) = (there.into_iter(), 0);
                    for present in &present {
                        if *present {
                            end = there.next()?;
                        }
                        ends.push(end);
                    }
                }
                Some(Cells::Texts { texts: Strings::from_parts(text, ends)?, present })
            }
            _ => None,
        }
    }

    /// The value of a row as it stands in the line; `scratch` is used where it must be written out.
    pub(crate) fn text<'a>(&'a self, row: usize, scratch: &'a mut String) -> Option<&'a str> {
        match self {
            Cells::Absent => None,
            Cells::Codes { codes, dictionary } => {
                let code = *codes.get(row).filter(|code| **code != TextColumn::ABSENT)?;
                Some(dictionary.texts.get(code as usize))
            }
            Cells::Texts { texts, present } => (present.get(row) != Some(&false)).then(|| texts.get(row)),
            Cells::Integers { .. } | Cells::Hex { .. } => {
                scratch.clear();
                self.push_text(row, scratch).then_some(scratch.as_str())
            }
        }
    }

    /// Appends the value of a row; `false` when it has none.
    pub(crate) fn push_text(&self, row: usize, out: &mut String) -> bool {
        match self {
            Cells::Integers { kind, values, present } if present.get(row) != Some(&false) => {
                match values.get(row) {
                    Some(value) => kind.render(*value, out),
                    None => return false,
                }
            }
            Cells::Hex { width, bytes, present } if present.get(row) != Some(&false) => {
                match bytes.get(row * width..(row + 1) * width) {
                    Some(value) => render_hex(value, out),
                    None => return false,
                }
            }
            Cells::Integers { .. } | Cells::Hex { .. } => return false,
            _ => match self.text(row, &mut String::new()) {
                Some(text) => out.push_str(text),
                None => return false,
            },
        }
        true
    }

    /// Whether a row has a value.
    pub(crate) fn has(&self, row: usize) -> bool {
        match self {
            Cells::Absent => false,
            Cells::Codes { codes, .. } => codes.get(row).is_some_and(|code| *code != TextColumn::ABSENT),
            Cells::Integers { present, .. } | Cells::Hex { present, .. } | Cells::Texts { present, .. } => {
                present.get(row) != Some(&false)
            }
        }
    }

    /// The integer of a row; 0 where it has none.
    pub(crate) fn integer(&self, row: usize) -> i64 {
        match self {
            Cells::Integers { values, .. } => values.get(row).copied().unwrap_or(0),
            Cells::Codes { codes, dictionary } => {
                codes.get(row).and_then(|code| dictionary.integers.get(*code as usize)).copied().unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// Bytes it stands for.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Cells::Absent => 0,
            Cells::Codes { codes, .. } => 4 * codes.len(),
            Cells::Integers { values, .. } => 8 * values.len(),
            Cells::Hex { bytes, .. } => bytes.len(),
            Cells::Texts { texts, .. } => texts.text().len(),
        }
    }
}

/// Values put to the rows that have one.
fn spread<T: Copy>(there: Vec<T>, present: &[bool], absent: T) -> Vec<T> {
    if present.is_empty() {
        return there;
    }
    let mut there = there.into_iter();
    present.iter().map(|present| if *present { there.next().unwrap_or(absent) } else { absent }).collect()
}
