//! Immutable parts: one file of column pages and their index, memory-mapped to read.
//!
//! A part's series are sorted by metric name, then labels; up to 128 neighbours of one metric are a group.
//! A page holds one group's samples of one stretch of time: a stream of values per series, and references
//! to streams of times, which all pages of the part share. Layout in `docs/formats/metrics-block.md`.

pub(crate) mod index;
pub(crate) mod page;
pub(crate) mod reader;
pub(crate) mod writer;

use crate::codec::bytes::Reader;

/// First bytes of a part: kind and version.
pub(crate) const MAGIC: &[u8; 8] = b"novaCOL\x01";
/// Last bytes of a part, behind the footer and its checksum.
pub(crate) const FOOTER_BYTES: usize = SECTIONS * 20 + 4 + 8 + 8 + 8 + 4 + 4;
/// Index sections in the order of the footer.
pub(crate) const SECTIONS: usize = 5;

/// Where an index section lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Section {
    pub offset: u64,
    pub length: u64,
    pub checksum: u32,
}

/// The end of a part: where its index is and what the part holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footer {
    pub sections: [Section; SECTIONS],
    pub series: u32,
    pub samples: u64,
    pub first: i64,
    pub last: i64,
    pub pages: u32,
}

impl Footer {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        for section in &self.sections {
            out.extend_from_slice(&section.offset.to_le_bytes());
            out.extend_from_slice(&section.length.to_le_bytes());
            out.extend_from_slice(&section.checksum.to_le_bytes());
        }
        out.extend_from_slice(&self.series.to_le_bytes());
        out.extend_from_slice(&self.samples.to_le_bytes());
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.last.to_le_bytes());
        out.extend_from_slice(&self.pages.to_le_bytes());
        let checksum = crc32fast::hash(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Footer> {
        let (body, checksum) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let mut reader = Reader::new(body);
        let mut footer = Footer::default();
        for section in &mut footer.sections {
            *section = Section { offset: reader.u64()?, length: reader.u64()?, checksum: reader.u32()? };
        }
        footer.series = reader.u32()?;
        footer.samples = reader.u64()?;
        footer.first = reader.u64()? as i64;
        footer.last = reader.u64()? as i64;
        footer.pages = reader.u32()?;
        Some(footer)
    }
}
