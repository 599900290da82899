//! The bytes of a page, and of the streams of times that pages refer to.

use novaobs_model::Samples;
use xxhash_rust::xxh3::xxh3_128;

use super::writer::StreamOffsets;
use crate::codec::bytes::{Reader, put_uint};
use crate::codec::{ints, values};

/// The streams of times of one part: each is written once, however many series have it.
#[derive(Default)]
pub(crate) struct TimeStreams {
    offsets: StreamOffsets,
    /// The one asked for last: series of one target follow each other.
    last: Vec<i64>,
    last_offset: u64,
    bytes: Vec<u8>,
}

impl TimeStreams {
    /// Writes `times` to `out`, which lies at `offset` of the file, unless the part has them already.
    pub(crate) fn add(&mut self, times: &[i64], offset: u64, out: &mut Vec<u8>) {
        if self.find(times).is_some() {
            return;
        }
        let mut body = Vec::new();
        ints::encode(times, &mut body);
        put_uint(out, times.len() as u64);
        put_uint(out, body.len() as u64);
        out.extend_from_slice(&checksum_of(times.len(), &body).to_le_bytes());
        out.append(&mut body);
        self.offsets.insert(xxh3_128(&self.bytes), offset);
        self.find(times);
    }

    /// Where `times` were written.
    fn find(&mut self, times: &[i64]) -> Option<u64> {
        if self.last == times {
            return Some(self.last_offset);
        }
        self.bytes.clear();
        self.bytes.extend(times.iter().flat_map(|time| time.to_le_bytes()));
        let offset = *self.offsets.get(&xxh3_128(&self.bytes))?;
        self.last.clear();
        self.last.extend_from_slice(times);
        self.last_offset = offset;
        Some(offset)
    }
}

/// Appends the page of `series`, which lies at `offset` of the file. All times have been written.
pub(crate) fn encode(series: &[Samples], offset: u64, streams: &mut TimeStreams, out: &mut Vec<u8>) {
    let mut used: Vec<u64> = Vec::new();
    let mut rows = Vec::new();
    let mut body = Vec::new();
    for samples in series {
        let Some(stream) = (!samples.is_empty()).then(|| streams.find(&samples.timestamps)).flatten() else {
            put_uint(&mut rows, 0);
            continue;
        };
        let place = used.iter().rposition(|o| *o == stream).unwrap_or_else(|| {
            used.push(stream);
            used.len() - 1
        });
        let start = body.len();
        values::encode(&samples.values, &mut body);
        put_uint(&mut rows, place as u64 + 1);
        put_uint(&mut rows, (body.len() - start) as u64);
    }
    put_uint(out, used.len() as u64);
    for stream in used {
        put_uint(out, offset - stream);
    }
    out.append(&mut rows);
    out.append(&mut body);
}

/// A page's table, read once for all its series.
pub(crate) struct PageTable {
    /// Offsets in the file of the streams of times.
    streams: Vec<u64>,
    /// Per series: place in `streams` plus one (0: no samples), and where its values lie in the page.
    rows: Vec<(u32, std::ops::Range<usize>)>,
}

impl PageTable {
    /// Reads the table of a page of `series` series that lies at `offset`.
    pub(crate) fn decode(page: &[u8], offset: u64, series: usize) -> Option<PageTable> {
        let mut reader = Reader::new(page);
        let count = reader.count()?;
        let mut streams = Vec::with_capacity(count);
        for _ in 0..count {
            streams.push(offset.checked_sub(reader.uint()?)?);
        }
        let mut rows = Vec::with_capacity(series.min(page.len()));
        let mut end = 0usize;
        for _ in 0..series {
            let stream = reader.uint32()?;
            let length = if stream == 0 { 0 } else { usize::try_from(reader.uint()?).ok()? };
            let start = end;
            end = start.checked_add(length)?;
            rows.push((stream, start..end));
        }
        let body = page.len() - reader.rest().len();
        for (_, range) in &mut rows {
            *range = body + range.start..body.checked_add(range.end)?;
        }
        (body.checked_add(end)? == page.len()).then_some(PageTable { streams, rows })
    }

    /// The offsets of all streams of times the page refers to.
    pub(crate) fn streams(&self) -> impl Iterator<Item = u64> {
        self.streams.iter().copied()
    }

    /// The offset of a series' times and the place of its values; `Some(None)` when it has no samples
    /// here, `None` when the table is wrong.
    pub(crate) fn row(&self, series: usize) -> Option<Option<(u64, std::ops::Range<usize>)>> {
        let (stream, range) = self.rows.get(series)?;
        match stream.checked_sub(1) {
            None => Some(None),
            Some(place) => Some(Some((*self.streams.get(place as usize)?, range.clone()))),
        }
    }
}

/// A stream of times whose checksum holds.
pub(crate) struct Times<'a> {
    count: usize,
    body: &'a [u8],
}

impl<'a> Times<'a> {
    /// The stream at the start of `bytes`.
    pub(crate) fn open(bytes: &'a [u8]) -> Option<Times<'a>> {
        let mut reader = Reader::new(bytes);
        let count = usize::try_from(reader.uint()?).ok()?;
        let length = usize::try_from(reader.uint()?).ok()?;
        let checksum = reader.u32()?;
        let body = reader.take(length)?;
        (checksum_of(count, body) == checksum).then_some(Times { count, body })
    }

    /// Appends the times to `out`.
    pub(crate) fn decode(&self, out: &mut Vec<i64>) -> Option<()> {
        ints::decode(&mut Reader::new(self.body), self.count, out)
    }
}

/// Covers the count too.
fn checksum_of(count: usize, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(count as u64).to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}
