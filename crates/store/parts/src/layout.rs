//! What stands where in a part file: the directory of pages and filters, and Parquet's footer.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::PartInfo;
use crate::columns::{BLOCK_ROWS, ChunkRecord, ColumnSpec, FIXED_COLUMNS, STREAM, time_unit};
use crate::kinds::Kind;
use crate::pages::{self, PageRecord};
use crate::thrift::{BINARY, I32, STRUCT, Writer};

/// The version of the format this program writes and reads.
pub(crate) const VERSION: u64 = 1;
/// The key of our own description among the footer's metadata.
pub(crate) const FOOTER_KEY: &str = "novaobs.logs";
/// How a Parquet file begins and ends.
pub(crate) const MAGIC: &[u8; 4] = b"PAR1";
const CHUNK_BYTES: usize = 36;
const PAGE_BYTES: usize = 40;
const FILTER_BYTES: usize = 32;
const ZSTD: i32 = 6;

/// A stretch of the file with its checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Section {
    pub(crate) offset: u64,
    pub(crate) length: u32,
    pub(crate) crc: u32,
    /// Bytes when decompressed; 0 when it is not compressed.
    #[serde(default)]
    pub(crate) raw: u32,
}

/// Our description of the file, as JSON in the footer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Description {
    pub(crate) version: u64,
    pub(crate) rows: u64,
    pub(crate) raw_bytes: u64,
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) streams: u32,
    pub(crate) columns: Vec<ColumnText>,
    pub(crate) stream_table: Section,
    pub(crate) shapes: Section,
    pub(crate) pages: Section,
    pub(crate) filters: Section,
}

/// A column as the description has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ColumnText {
    name: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    metadata: bool,
    kind: KindText,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindText {
    Text,
    Number { scale: u8, fixed: bool },
    Hex { bytes: u8 },
    Time { digits: u8 },
}

impl ColumnText {
    pub(crate) fn new(spec: &ColumnSpec) -> Self {
        let kind = match spec.kind {
            Kind::Text => KindText::Text,
            Kind::Number { scale, fixed } => KindText::Number { scale, fixed },
            Kind::Hex { bytes } => KindText::Hex { bytes },
            Kind::Time { digits } => KindText::Time { digits },
        };
        ColumnText { name: spec.name.to_string(), metadata: spec.metadata, kind }
    }

    /// The column, when its figures are in range.
    pub(crate) fn spec(&self) -> Option<ColumnSpec> {
        let kind = match self.kind {
            KindText::Text => Kind::Text,
            KindText::Number { scale, fixed } if scale <= 18 => Kind::Number { scale, fixed },
            KindText::Hex { bytes } if (4..=32).contains(&bytes) => Kind::Hex { bytes },
            KindText::Time { digits } if digits <= 9 => Kind::Time { digits },
            _ => return None,
        };
        Some(ColumnSpec { name: self.name.as_str().into(), metadata: self.metadata, kind })
    }
}

/// The filters of a block.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FilterRecord {
    pub(crate) words: Section,
    pub(crate) pieces: Section,
}

/// A row group in the file.
pub(crate) struct GroupRecord {
    pub(crate) rows: usize,
    /// One for each column.
    pub(crate) chunks: Vec<ChunkRecord>,
}

/// The directory of pages.
pub(crate) fn encode_pages(groups: &[GroupRecord]) -> Vec<u8> {
    let (mut chunks, mut pages) = (Vec::new(), Vec::new());
    chunks.extend((groups.len() as u32).to_le_bytes());
    let mut block = 0u32;
    for group in groups {
        chunks.extend(block.to_le_bytes());
        block += group.rows.div_ceil(BLOCK_ROWS) as u32;
    }
    for chunk in groups.iter().flat_map(|group| &group.chunks) {
        let first = if chunk.pages.is_empty() { u32::MAX } else { (pages.len() / PAGE_BYTES) as u32 };
        let dictionary = chunk.dictionary.unwrap_or_default();
        chunks.extend(chunk.start.to_le_bytes());
        chunks.extend(first.to_le_bytes());
        chunks.extend([chunk.encoding as u8, u8::from(chunk.escapes), 0, 0]);
        for number in
            [dictionary.offset, dictionary.length, dictionary.crc, dictionary.raw, dictionary.present]
        {
            chunks.extend(number.to_le_bytes());
        }
        for page in &chunk.pages {
            for number in [page.offset, page.length, page.crc, page.levels, page.raw, page.present] {
                pages.extend(number.to_le_bytes());
            }
            pages.extend(page.min.to_le_bytes());
            pages.extend(page.max.to_le_bytes());
        }
    }
    chunks.extend(pages);
    chunks
}

/// The directory of pages, read in place.
#[derive(Clone, Debug)]
pub(crate) struct Pages {
    data: Bytes,
    columns: usize,
    /// The first block of each row group.
    groups: Vec<u32>,
    chunks_at: usize,
    pages_at: usize,
}

/// A column of a row group, as the directory has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk {
    pub(crate) start: u64,
    pub(crate) encoding: i32,
    pub(crate) escapes: bool,
    /// Its `length` is 0 where there is none.
    pub(crate) dictionary: PageRecord,
    first_page: u32,
}

impl Pages {
    pub(crate) fn new(data: Bytes, columns: usize) -> Option<Self> {
        let count = u32_at(&data, 0)? as usize;
        let chunks_at = count.checked_mul(4)?.checked_add(4)?;
        let groups: Vec<u32> =
            data.get(4..chunks_at)?.chunks_exact(4).filter_map(|bytes| u32_at(bytes, 0)).collect();
        let pages_at = count.checked_mul(columns)?.checked_mul(CHUNK_BYTES)?.checked_add(chunks_at)?;
        let whole = data.len() >= pages_at && (data.len() - pages_at).is_multiple_of(PAGE_BYTES);
        (whole && groups.is_sorted() && groups.first() == Some(&0)).then_some(Pages {
            data,
            columns,
            groups,
            chunks_at,
            pages_at,
        })
    }

    /// The row group of a block.
    pub(crate) fn group_of(&self, block: usize) -> usize {
        self.groups.partition_point(|first| *first as usize <= block).saturating_sub(1)
    }

    /// A column of the row group of a block.
    pub(crate) fn chunk(&self, block: usize, column: usize) -> Option<Chunk> {
        let at = self.chunks_at + (self.group_of(block) * self.columns + column) * CHUNK_BYTES;
        let data = self.data.get(at..at + CHUNK_BYTES)?;
        Some(Chunk {
            start: u64_at(data, 0)?,
            first_page: u32_at(data, 8)?,
            encoding: i32::from(*data.get(12)?),
            escapes: *data.get(13)? != 0,
            dictionary: PageRecord {
                offset: u32_at(data, 16)?,
                length: u32_at(data, 20)?,
                crc: u32_at(data, 24)?,
                raw: u32_at(data, 28)?,
                present: u32_at(data, 32)?,
                ..PageRecord::default()
            },
        })
    }

    /// A block's page of a chunk; the inner `None` where no row of the chunk has a value.
    pub(crate) fn page(&self, chunk: &Chunk, block: usize) -> Option<Option<PageRecord>> {
        if chunk.first_page == u32::MAX {
            return Some(None);
        }
        let first = self.groups.get(self.group_of(block)).copied().unwrap_or(0);
        let page = (chunk.first_page as usize).checked_add(block.checked_sub(first as usize)?)?;
        let at = self.pages_at.checked_add(page.checked_mul(PAGE_BYTES)?)?;
        let data = self.data.get(at..at.checked_add(PAGE_BYTES)?)?;
        Some(Some(PageRecord {
            offset: u32_at(data, 0)?,
            length: u32_at(data, 4)?,
            crc: u32_at(data, 8)?,
            levels: u32_at(data, 12)?,
            raw: u32_at(data, 16)?,
            present: u32_at(data, 20)?,
            min: u64_at(data, 24)? as i64,
            max: u64_at(data, 32)? as i64,
        }))
    }

    /// How many pages there are, of all columns.
    pub(crate) fn count(&self) -> usize {
        (self.data.len() - self.pages_at) / PAGE_BYTES
    }

    pub(crate) fn memory(&self) -> usize {
        self.data.len()
    }
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(data: &[u8], at: usize) -> Option<u64> {
    data.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

/// The directory of filters.
pub(crate) fn encode_filters(filters: &[FilterRecord]) -> Vec<u8> {
    let mut out = Vec::with_capacity(filters.len() * FILTER_BYTES);
    for section in filters.iter().flat_map(|record| [record.words, record.pieces]) {
        out.extend(section.offset.to_le_bytes());
        out.extend(section.length.to_le_bytes());
        out.extend(section.crc.to_le_bytes());
    }
    out
}

/// The filters of a block.
pub(crate) fn filter_record(data: &[u8], block: usize) -> Option<FilterRecord> {
    let data = data.get(block * FILTER_BYTES..(block + 1) * FILTER_BYTES)?;
    let section = |at: usize| {
        Some(Section {
            offset: u64_at(data, at)?,
            length: u32_at(data, at + 8)?,
            crc: u32_at(data, at + 12)?,
            raw: 0,
        })
    };
    Some(FilterRecord { words: section(0)?, pieces: section(16)? })
}

/// The description as the text that stands in the footer: its checksum, then JSON.
pub(crate) fn describe(description: &Description) -> String {
    let json = serde_json::to_string(description).unwrap_or_default();
    format!("{:08x} {json}", crc32fast::hash(json.as_bytes()))
}

/// Reads such a text.
pub(crate) fn read_description(text: &[u8]) -> Result<Description, String> {
    let damaged = || "its description in the footer fails its checksum".to_owned();
    let (crc, json) =
        std::str::from_utf8(text).ok().and_then(|text| text.split_once(' ')).ok_or_else(damaged)?;
    if u32::from_str_radix(crc, 16) != Ok(crc32fast::hash(json.as_bytes())) || crc.len() != 8 {
        return Err(damaged());
    }
    serde_json::from_str(json).map_err(|error| format!("its description in the footer: {error}"))
}

impl Description {
    pub(crate) fn info(&self, file_bytes: u64) -> PartInfo {
        PartInfo {
            rows: self.rows,
            raw_bytes: self.raw_bytes,
            first: self.first,
            last: self.last,
            streams: self.streams,
            file_bytes,
        }
    }
}

/// Parquet's `FileMetaData`.
pub(crate) fn footer(specs: &[ColumnSpec], groups: &[GroupRecord], description: &Description) -> Vec<u8> {
    let names: Vec<String> = specs.iter().enumerate().map(|(at, spec)| file_name(at, spec)).collect();
    let mut thrift = Writer::default();
    thrift.element(|file| {
        file.i32(1, 2);
        file.list(2, STRUCT, specs.len() + 1, |list| {
            list.element(|root| {
                root.text(4, "logs");
                root.i32(5, specs.len() as i32);
            });
            for (at, (spec, name)) in specs.iter().zip(&names).enumerate() {
                list.element(|element| schema_element(element, at, spec, name));
            }
        });
        file.i64(3, description.rows as i64);
        file.list(4, STRUCT, groups.len(), |list| {
            for GroupRecord { rows, chunks } in groups {
                list.element(|group| {
                    group.list(1, STRUCT, chunks.len(), |list| {
                        for ((chunk, spec), name) in chunks.iter().zip(specs).zip(&names) {
                            list.element(|column| column_chunk(column, chunk, spec, name, *rows as i64));
                        }
                    });
                    group.i64(2, chunks.iter().map(|chunk| chunk.uncompressed as i64).sum());
                    group.i64(3, *rows as i64);
                });
            }
        });
        file.list(5, STRUCT, 1, |list| {
            list.element(|pair| {
                pair.text(1, FOOTER_KEY);
                pair.text(2, &describe(description));
            });
        });
        file.text(6, concat!("novaobs version ", env!("CARGO_PKG_VERSION")));
    });
    thrift.out
}

/// What a column is called in the file: names of fields that begin with `_` get one more, those of metadata
/// `_meta_`, so that none is one of ours.
fn file_name(at: usize, spec: &ColumnSpec) -> String {
    match (at < FIXED_COLUMNS, spec.metadata, spec.name.starts_with('_')) {
        (true, ..) => spec.name.to_string(),
        (false, true, _) => format!("_meta_{}", spec.name),
        (false, false, true) => format!("_{}", spec.name),
        (false, false, false) => spec.name.to_string(),
    }
}

/// Whether a column has a value in each row.
pub(crate) fn is_required(column: usize) -> bool {
    column <= STREAM
}

fn physical_type(kind: Kind) -> i32 {
    match kind {
        Kind::Number { .. } | Kind::Time { .. } => 2,
        Kind::Text => 6,
        Kind::Hex { .. } => 7,
    }
}

fn schema_element(element: &mut Writer, at: usize, spec: &ColumnSpec, name: &str) {
    element.i32(1, physical_type(spec.kind));
    if let Kind::Hex { bytes } = spec.kind {
        element.i32(2, i32::from(bytes));
    }
    element.i32(3, i32::from(!is_required(at)));
    element.text(4, name);
    match spec.kind {
        Kind::Text => {
            element.i32(6, 0);
            element.nested(10, |logical| logical.nested(1, |_| {}));
        }
        Kind::Number { scale, .. } if scale > 0 => {
            element.i32(6, 5);
            element.i32(7, i32::from(scale));
            element.i32(8, 18);
            element.nested(10, |logical| {
                logical.nested(5, |decimal| {
                    decimal.i32(1, i32::from(scale));
                    decimal.i32(2, 18);
                });
            });
        }
        Kind::Time { .. } => {
            let unit = match time_unit(spec.kind) {
                1_000_000 => 1,
                1_000 => 2,
                _ => 3,
            };
            if unit < 3 {
                element.i32(6, 8 + unit);
            }
            element.nested(10, |logical| {
                logical.nested(8, |time| {
                    time.bool(1, true);
                    time.nested(2, |choice| choice.nested(unit as i16, |_| {}));
                });
            });
        }
        Kind::Number { .. } | Kind::Hex { .. } => {}
    }
}

fn column_chunk(column: &mut Writer, chunk: &ChunkRecord, spec: &ColumnSpec, name: &str, rows: i64) {
    let first_header = chunk.start as i64;
    column.i64(2, first_header);
    column.nested(3, |meta| {
        let mut encodings = vec![chunk.encoding, pages::RLE];
        if chunk.dictionary.is_some() {
            encodings.push(pages::PLAIN);
        }
        meta.i32(1, physical_type(spec.kind));
        meta.list(2, I32, encodings.len(), |list| {
            encodings.iter().for_each(|encoding| crate::bits::put_int(&mut list.out, i64::from(*encoding)));
        });
        meta.list(3, BINARY, 1, |list| crate::bits::put_text(&mut list.out, name.as_bytes()));
        meta.i32(4, ZSTD);
        meta.i64(5, rows);
        meta.i64(6, chunk.uncompressed as i64);
        meta.i64(7, chunk.length as i64);
        let dictionary_end = chunk.dictionary.map(|page| u64::from(page.offset) + u64::from(page.length));
        meta.i64(9, first_header + dictionary_end.unwrap_or(0) as i64);
        if chunk.dictionary.is_some() {
            meta.i64(11, first_header);
        }
    });
}
