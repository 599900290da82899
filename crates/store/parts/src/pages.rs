//! Parquet pages: values to checked, compressed bytes and back.

use bytes::Bytes;

use crate::bits::{delta_decode, delta_encode, hybrid_decode, hybrid_encode, width_of};
use crate::thrift::Writer;

/// Compression level: higher ones were larger and slower on log fields with random ids.
const ZSTD_LEVEL: i32 = 1;
/// Parquet's numbers of encodings.
pub(crate) const PLAIN: i32 = 0;
pub(crate) const RLE: i32 = 3;
pub(crate) const DELTA_BINARY_PACKED: i32 = 5;
pub(crate) const DELTA_LENGTH_BYTE_ARRAY: i32 = 6;
pub(crate) const RLE_DICTIONARY: i32 = 8;
/// No page has more decompressed bytes: a larger figure is a corrupt one.
const LARGEST_PAGE: usize = 1 << 30;

/// Where a page stands in its chunk, and what reading it needs beside its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PageRecord {
    /// From the start of the chunk to the page's body, behind its header.
    pub(crate) offset: u32,
    /// Bytes of the body.
    pub(crate) length: u32,
    /// CRC-32 of the body.
    pub(crate) crc: u32,
    /// Bytes of definition levels at its start, 0 where every row has a value.
    pub(crate) levels: u32,
    /// Bytes of the values when decompressed; 0 where they are not compressed.
    pub(crate) raw: u32,
    /// Values that are there.
    pub(crate) present: u32,
    /// Least and greatest value of integer columns.
    pub(crate) min: i64,
    /// See `min`.
    pub(crate) max: i64,
}

/// Writes pages.
pub(crate) struct PageWriter {
    compressor: zstd::bulk::Compressor<'static>,
    levels: Vec<u8>,
    /// Where pages are compressed to; it only grows.
    scratch: Vec<u8>,
}

impl PageWriter {
    pub(crate) fn new() -> std::io::Result<Self> {
        let compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
        Ok(PageWriter { compressor, levels: Vec::new(), scratch: Vec::new() })
    }

    /// Compresses `values` into the front of `scratch`: the length.
    fn compress(&mut self, values: &[u8]) -> usize {
        let most = zstd::zstd_safe::compress_bound(values.len());
        if self.scratch.len() < most {
            self.scratch.resize(most, 0);
        }
        self.compressor.compress_to_buffer(values, self.scratch.as_mut_slice()).unwrap_or(usize::MAX)
    }

    /// Appends a data page of `rows` rows. `present` is empty when all have a value; a column that is never
    /// null has no `optional` levels.
    pub(crate) fn data_page(
        &mut self,
        out: &mut Vec<u8>,
        chunk_start: usize,
        rows: usize,
        present: Option<&[u32]>,
        encoding: i32,
        values: &[u8],
    ) -> (PageRecord, usize) {
        self.levels.clear();
        let mut levels = std::mem::take(&mut self.levels);
        let there = match present {
            Some(present) => {
                hybrid_encode(present, 1, &mut levels);
                present.iter().filter(|level| **level == 1).count()
            }
            None => rows,
        };
        let length = self.compress(values);
        let compressed = length < values.len() - values.len() / 20;
        let body = self.scratch.get(..length).filter(|_| compressed).unwrap_or(values);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&levels);
        hasher.update(body);
        let crc = hasher.finalize();
        let mut header = Writer::default();
        header.element(|header| {
            header.i32(1, 3);
            header.i32(2, (levels.len() + values.len()) as i32);
            header.i32(3, (levels.len() + body.len()) as i32);
            header.i32(4, crc as i32);
            header.nested(8, |page| {
                page.i32(1, rows as i32);
                page.i32(2, (rows - there) as i32);
                page.i32(3, rows as i32);
                page.i32(4, encoding);
                page.i32(5, levels.len() as i32);
                page.i32(6, 0);
                page.bool(7, compressed);
            });
        });
        out.extend_from_slice(&header.out);
        let record = PageRecord {
            offset: (out.len() - chunk_start) as u32,
            length: (levels.len() + body.len()) as u32,
            crc,
            levels: levels.len() as u32,
            raw: if compressed { values.len() as u32 } else { 0 },
            present: there as u32,
            min: 0,
            max: 0,
        };
        out.extend_from_slice(&levels);
        out.extend_from_slice(body);
        let uncompressed = header.out.len() + levels.len() + values.len();
        self.levels = levels;
        (record, uncompressed)
    }

    /// Appends a dictionary page of `count` values.
    pub(crate) fn dictionary_page(
        &mut self,
        out: &mut Vec<u8>,
        chunk_start: usize,
        count: usize,
        values: &[u8],
    ) -> (PageRecord, usize) {
        let length = self.compress(values);
        let body = self.scratch.get(..length).unwrap_or_default();
        let crc = crc32fast::hash(body);
        let mut header = Writer::default();
        header.element(|header| {
            header.i32(1, 2);
            header.i32(2, values.len() as i32);
            header.i32(3, body.len() as i32);
            header.i32(4, crc as i32);
            header.nested(7, |page| {
                page.i32(1, count as i32);
                page.i32(2, PLAIN);
            });
        });
        out.extend_from_slice(&header.out);
        let record = PageRecord {
            offset: (out.len() - chunk_start) as u32,
            length: body.len() as u32,
            crc,
            raw: values.len() as u32,
            present: count as u32,
            ..PageRecord::default()
        };
        out.extend_from_slice(body);
        (record, header.out.len() + values.len())
    }
}

thread_local! {
    static DECOMPRESSOR: std::cell::RefCell<Option<zstd::bulk::Decompressor<'static>>> =
        const { std::cell::RefCell::new(None) };
}

/// Decompresses a zstd frame of exactly `raw` bytes.
pub(crate) fn decompress(data: &[u8], raw: usize) -> Option<Vec<u8>> {
    if raw > LARGEST_PAGE {
        return None;
    }
    DECOMPRESSOR.with_borrow_mut(|decompressor| {
        let decompressor = match decompressor {
            Some(there) => there,
            None => decompressor.insert(zstd::bulk::Decompressor::new().ok()?),
        };
        let out = decompressor.decompress(data, raw).ok()?;
        (out.len() == raw).then_some(out)
    })
}

/// The body of a page, checked: which rows have a value (empty: all), and the values decompressed.
pub(crate) fn open_page(body: &Bytes, record: &PageRecord, rows: usize) -> Option<(Vec<u32>, Vec<u8>)> {
    if crc32fast::hash(body) != record.crc {
        return None;
    }
    let levels = body.get(..record.levels as usize)?;
    let mut present = Vec::new();
    if (record.present as usize) < rows {
        hybrid_decode(levels, 1, rows, &mut present)?;
        if present.iter().filter(|level| **level == 1).count() != record.present as usize {
            return None;
        }
    }
    let values = body.get(record.levels as usize..)?;
    let values = match record.raw {
        0 => values.to_vec(),
        raw => decompress(values, raw as usize)?,
    };
    Some((present, values))
}

/// Texts as `DELTA_LENGTH_BYTE_ARRAY`.
pub(crate) fn encode_texts(lengths: &[i64], text: &[u8], out: &mut Vec<u8>) {
    delta_encode(lengths, out);
    out.extend_from_slice(text);
}

/// The ends of `count` texts and the text of all.
pub(crate) fn decode_texts(mut data: Vec<u8>, count: usize) -> Option<(Vec<u32>, String)> {
    let mut rest = data.as_slice();
    let mut lengths = Vec::new();
    delta_decode(&mut rest, count, &mut lengths)?;
    if lengths.len() != count {
        return None;
    }
    let head = data.len() - rest.len();
    data.drain(..head);
    let text = String::from_utf8(data).ok()?;
    let mut end = 0u32;
    let mut ends = Vec::with_capacity(count);
    for length in lengths {
        end = end.checked_add(u32::try_from(length).ok()?)?;
        ends.push(end);
    }
    (end as usize == text.len()).then_some((ends, text))
}

/// Codes into a dictionary of `size` values as `RLE_DICTIONARY`.
pub(crate) fn encode_codes(codes: &[u32], size: usize, out: &mut Vec<u8>) {
    let width = code_width(size);
    out.push(width as u8);
    hybrid_encode(codes, width, out);
}

fn code_width(size: usize) -> u32 {
    width_of(size.saturating_sub(1) as u64)
}

/// Reads `count` codes, all below `size`.
pub(crate) fn decode_codes(data: &[u8], size: usize, count: usize) -> Option<Vec<u32>> {
    let (width, data) = data.split_first()?;
    let mut codes = Vec::new();
    hybrid_decode(data, u32::from(*width), count, &mut codes)?;
    codes.iter().max().is_none_or(|most| (*most as usize) < size).then_some(codes)
}
