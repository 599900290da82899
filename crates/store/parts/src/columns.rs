//! Columns of a row group while it is built, and their way into pages.

use std::ops::Range;
use std::sync::Arc;

use hashbrown::{HashMap, HashTable};
use novaobs_model::logs::{Strings, TextColumn};
use xxhash_rust::xxh3::xxh3_64;

use crate::bits::delta_encode;
use crate::filters::{FilterBuilder, Words};
use crate::kinds::{Kind, MOST_HEX, hex_digits, parse_hex};
use crate::pages::{self, PageRecord, PageWriter};

/// Rows of a block: a page of each column, and the unit of filters and reading.
pub(crate) const BLOCK_ROWS: usize = 4096;
/// Rows of a row group.
pub(crate) const GROUP_ROWS: usize = 16 * BLOCK_ROWS;
/// The columns before those of fields, in order.
pub(crate) const TIME: usize = 0;
pub(crate) const STREAM: usize = 1;
pub(crate) const SHAPE: usize = 2;
pub(crate) const LINE: usize = 3;
pub(crate) const REST: usize = 4;
pub(crate) const METADATA_SHAPE: usize = 5;
pub(crate) const METADATA_REST: usize = 6;
/// How many they are.
pub(crate) const FIXED_COLUMNS: usize = 7;
/// Distinct values and their bytes that a dictionary of a row group has at most.
const MOST_DICTIONARY: usize = 8192;
const MOST_DICTIONARY_BYTES: usize = 1 << 20;
/// Distinct integers that are kept as a dictionary.
const MOST_INTEGERS: usize = 256;

/// What a column is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ColumnSpec {
    /// The field's name; of the first columns what they are called in the file.
    pub(crate) name: Arc<str>,
    /// Whether it is of structured metadata.
    pub(crate) metadata: bool,
    pub(crate) kind: Kind,
}

impl ColumnSpec {
    /// The columns that every part has. `time_digits` tells the unit of times.
    pub(crate) fn fixed(time_digits: u8) -> Vec<Self> {
        let number = Kind::Number { scale: 0, fixed: false };
        let specs = [
            ("_timestamp", Kind::Time { digits: time_digits }),
            ("_stream", Kind::Text),
            ("_shape", number),
            ("_line", Kind::Text),
            ("_rest", Kind::Text),
            ("_metadata_shape", number),
            ("_metadata_rest", Kind::Text),
        ];
        specs.map(|(name, kind)| ColumnSpec { name: name.into(), metadata: false, kind }).into()
    }
}

/// How finely times with this many digits behind the second are kept: nanoseconds of a unit.
pub(crate) fn time_unit(kind: Kind) -> i64 {
    match kind {
        Kind::Time { digits: 0..=3 } => 1_000_000,
        Kind::Time { digits: 4..=6 } => 1_000,
        _ => 1,
    }
}

/// Distinct texts, numbered.
#[derive(Default)]
pub(crate) struct Dictionary {
    values: Strings,
    numbers: HashTable<u32>,
}

impl Dictionary {
    /// The number of a text, which is added if it is new.
    fn number(&mut self, text: &str) -> u32 {
        let values = &self.values;
        let hash = xxh3_64(text.as_bytes());
        if let Some(number) = self.numbers.find(hash, |number| values.get(*number as usize) == text) {
            return *number;
        }
        let number = values.len() as u32;
        self.values.push(text);
        let values = &self.values;
        self.numbers.insert_unique(hash, number, |number| xxh3_64(values.get(*number as usize).as_bytes()));
        number
    }
}

/// Values of one column; rows without one are absent. A column of texts begins with codes; when a row group
/// has too many distinct ones, it and those behind it are spelt out.
enum Data {
    Integers { values: Vec<i64>, present: Present },
    Hex { bytes: Vec<u8>, present: Present },
    Codes { codes: Vec<u32>, dictionary: Dictionary },
    Texts { texts: Strings, present: Present },
}

/// Which rows have a value; nothing is kept while all do.
#[derive(Default)]
struct Present {
    levels: Vec<u32>,
}

impl Present {
    /// Notes a row that comes after `rows` others.
    fn push(&mut self, rows: usize, there: bool) {
        if self.levels.is_empty() && there {
            return;
        }
        if self.levels.is_empty() {
            self.levels.resize(rows, 1);
        }
        self.levels.push(u32::from(there));
    }

    fn slice(&self, rows: &Range<usize>) -> Option<&[u32]> {
        self.levels.get(rows.clone())
    }

    fn has(&self, row: usize) -> bool {
        self.levels.get(row) != Some(&0)
    }
}

/// One column of a row group being built.
pub(crate) struct ColumnBuilder {
    kind: Kind,
    data: Data,
    /// Whether a value has a backslash.
    escapes: bool,
    any: bool,
}

/// A column of a row group in the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChunkRecord {
    /// From the start of the file.
    pub(crate) start: u64,
    /// Bytes with all headers.
    pub(crate) length: u64,
    pub(crate) uncompressed: u64,
    pub(crate) encoding: i32,
    pub(crate) escapes: bool,
    pub(crate) dictionary: Option<PageRecord>,
    /// One for each block; none where no row has a value.
    pub(crate) pages: Vec<PageRecord>,
}

impl ColumnBuilder {
    pub(crate) fn new(kind: Kind) -> Self {
        let data = match kind {
            Kind::Number { .. } | Kind::Time { .. } => {
                Data::Integers { values: Vec::new(), present: Present::default() }
            }
            Kind::Hex { .. } => Data::Hex { bytes: Vec::new(), present: Present::default() },
            Kind::Text => Data::Codes { codes: Vec::new(), dictionary: Dictionary::default() },
        };
        ColumnBuilder { kind, data, escapes: false, any: false }
    }

    /// Forgets all rows, and keeps the buffers.
    pub(crate) fn clear(&mut self) {
        self.escapes = false;
        self.any = false;
        match &mut self.data {
            Data::Integers { values, present } => {
                values.clear();
                present.levels.clear();
            }
            Data::Hex { bytes, present } => {
                bytes.clear();
                present.levels.clear();
            }
            Data::Codes { codes, dictionary } => {
                codes.clear();
                dictionary.values.clear();
                dictionary.numbers.clear();
            }
            Data::Texts { texts, present } => {
                texts.clear();
                present.levels.clear();
            }
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether a row has a value.
    pub(crate) fn any(&self) -> bool {
        self.any
    }

    fn len(&self) -> usize {
        match (&self.data, self.kind) {
            (Data::Integers { values, .. }, _) => values.len(),
            (Data::Hex { bytes, .. }, Kind::Hex { bytes: width }) => bytes.len() / usize::from(width.max(1)),
            (Data::Hex { .. }, _) => 0,
            (Data::Codes { codes, .. }, _) => codes.len(),
            (Data::Texts { texts, .. }, _) => texts.len(),
        }
    }

    /// Fills up with absent values to `rows` rows.
    pub(crate) fn pad(&mut self, rows: usize) {
        let len = self.len();
        for row in len..rows {
            match &mut self.data {
                Data::Integers { values, present } => {
                    present.push(row, false);
                    values.push(0);
                }
                Data::Hex { bytes, present } => {
                    present.push(row, false);
                    if let Kind::Hex { bytes: width } = self.kind {
                        bytes.resize(bytes.len() + usize::from(width), 0);
                    }
                }
                Data::Codes { codes, .. } => codes.push(TextColumn::ABSENT),
                Data::Texts { texts, present } => {
                    present.push(row, false);
                    texts.push("");
                }
            }
        }
    }

    /// Adds the value of row `row`, after absent ones for the rows before that have none. A text that the
    /// kind cannot keep is refused.
    pub(crate) fn push_text(&mut self, row: usize, text: &str) -> bool {
        match self.kind {
            Kind::Text => self.push_string(row, text),
            Kind::Hex { bytes: width } => {
                self.pad(row);
                let Data::Hex { bytes, present } = &mut self.data else { return false };
                if !parse_hex(text, width, bytes) {
                    return false;
                }
                present.push(row, true);
                self.any = true;
            }
            kind => match kind.parse(text) {
                Some(value) => self.push_integer(row, value),
                None => return false,
            },
        }
        true
    }

    /// Adds an integer.
    pub(crate) fn push_integer(&mut self, row: usize, value: i64) {
        self.pad(row);
        if let Data::Integers { values, present } = &mut self.data {
            present.push(row, true);
            values.push(value);
            self.any = true;
        }
    }

    /// Adds the bytes of a hexadecimal text.
    pub(crate) fn push_bytes(&mut self, row: usize, value: &[u8]) {
        self.pad(row);
        if let Data::Hex { bytes, present } = &mut self.data {
            present.push(row, true);
            bytes.extend_from_slice(value);
            self.any = true;
        }
    }

    fn push_string(&mut self, row: usize, text: &str) {
        self.pad(row);
        self.any = true;
        self.escapes |= memchr::memchr(b'\\', text.as_bytes()).is_some();
        match &mut self.data {
            Data::Codes { codes, dictionary } => {
                let last = codes.last().copied().unwrap_or(TextColumn::ABSENT);
                if last != TextColumn::ABSENT && dictionary.values.get(last as usize) == text {
                    codes.push(last);
                    return;
                }
                codes.push(dictionary.number(text));
                let too_many = dictionary.values.len() > MOST_DICTIONARY
                    || dictionary.values.text().len() > MOST_DICTIONARY_BYTES;
                if too_many {
                    self.spell_out();
                }
            }
            Data::Texts { texts, present } => {
                present.push(row, true);
                texts.push(text);
            }
            Data::Integers { .. } | Data::Hex { .. } => {}
        }
    }

    /// The code of a text in this row group's dictionary, for [`ColumnBuilder::push_code`]; none when there
    /// is no dictionary.
    pub(crate) fn code_of(&mut self, text: &str) -> Option<u32> {
        let Data::Codes { dictionary, .. } = &mut self.data else { return None };
        (dictionary.values.len() < MOST_DICTIONARY && dictionary.values.text().len() < MOST_DICTIONARY_BYTES)
            .then(|| dictionary.number(text))
    }

    /// Adds a value by its code; `false` when there is no dictionary any more.
    pub(crate) fn push_code(&mut self, row: usize, code: u32, has_escape: bool) -> bool {
        self.pad(row);
        let Data::Codes { codes, .. } = &mut self.data else { return false };
        codes.push(code);
        self.any = true;
        self.escapes |= has_escape;
        true
    }

    /// Gives up the dictionary.
    fn spell_out(&mut self) {
        let Data::Codes { codes, dictionary } = &self.data else { return };
        let mut texts = Strings::with_capacity(codes.len(), codes.len() * 16);
        let mut present = Present::default();
        for (row, code) in codes.iter().enumerate() {
            present.push(row, *code != TextColumn::ABSENT);
            texts.push(if *code == TextColumn::ABSENT { "" } else { dictionary.values.get(*code as usize) });
        }
        self.data = Data::Texts { texts, present };
    }

    /// Whether a dictionary does not pay for the texts that it has.
    fn dictionary_is_useless(&self) -> bool {
        let Data::Codes { codes, dictionary } = &self.data else { return false };
        dictionary.values.len() > 64 && dictionary.values.len() * 3 > codes.len()
    }

    /// Writes the column's pages behind `out`, whose first byte is at `base` in the file, and puts its words
    /// into the filters of the blocks.
    pub(crate) fn encode(
        &mut self,
        rows: usize,
        required: bool,
        base: u64,
        out: &mut Vec<u8>,
        writer: &mut PageWriter,
    ) -> ChunkRecord {
        self.pad(rows);
        if self.dictionary_is_useless() {
            self.spell_out();
        }
        let start = out.len();
        let mut chunk =
            ChunkRecord { start: base + start as u64, escapes: self.escapes, ..ChunkRecord::default() };
        if !self.any {
            chunk.encoding = pages::PLAIN;
            let (_, bytes) = writer.data_page(out, start, rows, Some(&vec![0; rows]), pages::PLAIN, &[]);
            chunk.uncompressed = bytes as u64;
            chunk.length = (out.len() - start) as u64;
            return chunk;
        }
        let integers = self.integer_dictionary();
        let (mut values, mut buffer) = (Vec::new(), Vec::new());
        if let Some((count, plain)) = self.dictionary_values(integers.as_ref()) {
            let (record, bytes) = writer.dictionary_page(out, start, count, &plain);
            chunk.dictionary = Some(record);
            chunk.uncompressed += bytes as u64;
        }
        let unit = time_unit(self.kind);
        for from in (0..rows).step_by(BLOCK_ROWS) {
            let range = from..rows.min(from + BLOCK_ROWS);
            values.clear();
            let present = self.page_values(&range, integers.as_ref(), unit, &mut values, &mut buffer);
            chunk.encoding = self.encoding(integers.is_some());
            let present = (!required).then_some(present.as_slice());
            let (mut record, bytes) =
                writer.data_page(out, start, range.len(), present, chunk.encoding, &values);
            (record.min, record.max) = self.bounds(&range);
            chunk.pages.push(record);
            chunk.uncompressed += bytes as u64;
        }
        chunk.length = (out.len() - start) as u64;
        chunk
    }

    fn encoding(&self, integers: bool) -> i32 {
        match &self.data {
            Data::Codes { .. } => pages::RLE_DICTIONARY,
            Data::Integers { .. } if integers => pages::RLE_DICTIONARY,
            Data::Integers { .. } => pages::DELTA_BINARY_PACKED,
            Data::Hex { .. } => pages::PLAIN,
            Data::Texts { .. } => pages::DELTA_LENGTH_BYTE_ARRAY,
        }
    }

    /// Codes of the distinct integers, when there are few.
    fn integer_dictionary(&self) -> Option<HashMap<i64, u32>> {
        let Data::Integers { values, present } = &self.data else { return None };
        if matches!(self.kind, Kind::Time { .. }) {
            return None;
        }
        let mut codes = HashMap::new();
        let mut last = None;
        for (row, value) in values.iter().enumerate() {
            if last == Some(*value) || !present.has(row) {
                continue;
            }
            last = Some(*value);
            let next = codes.len() as u32;
            codes.entry(*value).or_insert(next);
            if codes.len() > MOST_INTEGERS {
                return None;
            }
        }
        (codes.len() * 4 <= values.len()).then_some(codes)
    }

    /// The values of the dictionary page: how many, and as `PLAIN`.
    fn dictionary_values(&self, integers: Option<&HashMap<i64, u32>>) -> Option<(usize, Vec<u8>)> {
        let mut plain = Vec::new();
        match (&self.data, integers) {
            (Data::Codes { dictionary, .. }, _) => {
                for text in dictionary.values.iter() {
                    plain.extend_from_slice(&(text.len() as u32).to_le_bytes());
                    plain.extend_from_slice(text.as_bytes());
                }
                Some((dictionary.values.len(), plain))
            }
            (Data::Integers { .. }, Some(codes)) => {
                let mut values: Vec<(u32, i64)> = codes.iter().map(|(value, code)| (*code, *value)).collect();
                values.sort_unstable();
                values.iter().for_each(|(_, value)| plain.extend_from_slice(&value.to_le_bytes()));
                Some((values.len(), plain))
            }
            _ => None,
        }
    }

    /// The encoded values of some rows, and which rows have one.
    fn page_values(
        &self,
        range: &Range<usize>,
        integers: Option<&HashMap<i64, u32>>,
        unit: i64,
        out: &mut Vec<u8>,
        buffer: &mut Vec<u8>,
    ) -> Vec<u32> {
        let all = || vec![1; range.len()];
        match &self.data {
            Data::Codes { codes, dictionary } => {
                let codes = codes.get(range.clone()).unwrap_or_default();
                let there: Vec<u32> =
                    codes.iter().copied().filter(|code| *code != TextColumn::ABSENT).collect();
                pages::encode_codes(&there, dictionary.values.len(), out);
                codes.iter().map(|code| u32::from(*code != TextColumn::ABSENT)).collect()
            }
            Data::Integers { values, present } => {
                let rows = values.get(range.clone()).unwrap_or_default();
                let there = rows.iter().zip(range.clone()).filter(|(_, row)| present.has(*row));
                match integers {
                    Some(codes) => {
                        let codes_there: Vec<u32> =
                            there.map(|(value, _)| codes.get(value).copied().unwrap_or(0)).collect();
                        pages::encode_codes(&codes_there, codes.len(), out);
                    }
                    None => {
                        let there: Vec<i64> = there.map(|(value, _)| value.div_euclid(unit)).collect();
                        delta_encode(&there, out);
                    }
                }
                present.slice(range).map_or_else(all, <[u32]>::to_vec)
            }
            Data::Hex { bytes, present } => {
                if let Kind::Hex { bytes: width } = self.kind {
                    let width = usize::from(width);
                    let rows = bytes.get(range.start * width..range.end * width).unwrap_or_default();
                    let there =
                        rows.chunks_exact(width).zip(range.clone()).filter(|(_, row)| present.has(*row));
                    there.for_each(|(value, _)| out.extend_from_slice(value));
                }
                present.slice(range).map_or_else(all, <[u32]>::to_vec)
            }
            Data::Texts { texts, present } => {
                buffer.clear();
                let mut lengths = Vec::with_capacity(range.len());
                for row in range.clone().filter(|row| present.has(*row)) {
                    let text = texts.get(row);
                    lengths.push(text.len() as i64);
                    buffer.extend_from_slice(text.as_bytes());
                }
                pages::encode_texts(&lengths, buffer, out);
                present.slice(range).map_or_else(all, <[u32]>::to_vec)
            }
        }
    }

    /// Least and greatest integer of some rows.
    fn bounds(&self, range: &Range<usize>) -> (i64, i64) {
        let Data::Integers { values, present } = &self.data else { return (0, 0) };
        let rows = values.get(range.clone()).unwrap_or_default().iter().zip(range.clone());
        let there = rows.filter(|(_, row)| present.has(*row)).map(|(value, _)| *value);
        there.fold((i64::MAX, i64::MIN), |(min, max), value| (min.min(value), max.max(value)))
    }

    /// The words of the values of the dictionary, for [`ColumnBuilder::fill_filter`].
    pub(crate) fn words(&self, hidden: bool) -> Words {
        match &self.data {
            Data::Codes { dictionary, .. } => Words::new(&dictionary.values, hidden),
            _ => Words::default(),
        }
    }

    /// Puts the words of some rows into the filter of their block; `hidden` where lines do not show them.
    pub(crate) fn fill_filter(
        &self,
        filter: &mut FilterBuilder,
        range: Range<usize>,
        words: &Words,
        hidden: bool,
    ) {
        if !self.any {
            return;
        }
        match &self.data {
            Data::Codes { codes, dictionary } => {
                let text = if hidden { &[] } else { dictionary.values.text().as_bytes() };
                let mut seen = vec![false; dictionary.values.len()];
                for code in codes.get(range).unwrap_or_default() {
                    if let Some(seen) = seen.get_mut(*code as usize)
                        && !std::mem::replace(seen, true)
                    {
                        filter.add_known(words, *code as usize, text);
                    }
                }
            }
            Data::Texts { texts, .. } => {
                let all = texts.text().as_bytes();
                let before = range.start.checked_sub(1).and_then(|row| texts.ends().get(row));
                let mut from = before.copied().unwrap_or(0) as usize;
                for end in texts.ends().get(range).unwrap_or_default() {
                    let text = all.get(from..*end as usize).unwrap_or_default();
                    if hidden {
                        filter.add_hidden(text);
                    } else {
                        filter.add_text(text);
                    }
                    from = *end as usize;
                }
            }
            Data::Hex { bytes, present } => {
                let Kind::Hex { bytes: width } = self.kind else { return };
                let width = usize::from(width);
                let rows = bytes.get(range.start * width..range.end * width).unwrap_or_default();
                let mut digits = [0; 2 * MOST_HEX];
                for (value, row) in rows.chunks_exact(width).zip(range) {
                    if present.has(row) {
                        filter.add_word(hex_digits(value, &mut digits));
                    }
                }
            }
            Data::Integers { .. } => {}
        }
    }

    /// The text of each row, for the columns whose values are lists of texts.
    pub(crate) fn text_at(&self, row: usize) -> Option<&str> {
        match &self.data {
            Data::Codes { codes, dictionary } => {
                let code = *codes.get(row).filter(|code| **code != TextColumn::ABSENT)?;
                Some(dictionary.values.get(code as usize))
            }
            Data::Texts { texts, present } => present.has(row).then(|| texts.get(row)),
            Data::Integers { .. } | Data::Hex { .. } => None,
        }
    }

    /// The integer of each row.
    pub(crate) fn integers(&self) -> &[i64] {
        match &self.data {
            Data::Integers { values, .. } => values,
            _ => &[],
        }
    }

    /// Bytes it takes, roughly.
    pub(crate) fn bytes(&self) -> usize {
        match &self.data {
            Data::Integers { values, .. } => 8 * values.len(),
            Data::Hex { bytes, .. } => bytes.len(),
            Data::Codes { codes, dictionary } => 4 * codes.len() + dictionary.values.text().len(),
            Data::Texts { texts, .. } => texts.text().len() + 4 * texts.len(),
        }
    }
}

/// Appends a text to a list of texts that is a text itself: its length, six bits a character with 0x40 as
/// "more follows", then the text.
pub(crate) fn push_listed(list: &mut String, text: &str) {
    let mut length = text.len();
    while length >= 0x40 {
        list.push(char::from(0x40 | (length & 0x3f) as u8));
        length >>= 6;
    }
    list.push(char::from(length as u8));
    list.push_str(text);
}

/// Takes a text off the front of such a list.
pub(crate) fn take_listed<'a>(list: &mut &'a str) -> Option<&'a str> {
    let (mut length, mut shift) = (0usize, 0);
    loop {
        let byte = *list.as_bytes().first()?;
        *list = list.get(1..)?;
        length |= usize::from(byte & 0x3f).checked_shl(shift)?;
        if byte & 0x40 == 0 {
            break;
        }
        shift += 6;
        if shift > 30 {
            return None;
        }
    }
    let text = list.get(..length)?;
    *list = list.get(length..)?;
    Some(text)
}
