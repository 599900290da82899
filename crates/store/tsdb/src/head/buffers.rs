//! Samples in memory since the last flush, one buffer per slot.
//!
//! New samples are appended plain (12 bytes each); every 64 are encoded as a part would. Late samples of
//! a series are kept sorted beside the others.

use novaobs_model::{Lease, Samples};
use parking_lot::{Mutex, RwLock};

use crate::codec::bytes::Reader;
use crate::codec::{ints, values};
use crate::limits::CHUNK_SAMPLES;

/// The samples of all series between two flushes. The store appends to one; when that is sealed, it is
/// written to a part and a new one takes its place. Reads that began before keep what they hold.
pub(crate) struct Samplings {
    pub(crate) buffers: RwLock<Buffers>,
    /// Memory taken for the samples.
    pub(crate) lease: Mutex<Lease>,
}

/// Buffers by slot, and what is in them altogether.
#[derive(Default)]
pub(crate) struct Buffers {
    slots: Vec<Buffer>,
    /// Samples in all buffers.
    pub(crate) samples: u64,
    /// Series that have samples.
    pub(crate) series: u64,
    /// Encoded chunks in all buffers.
    pub(crate) chunks: u64,
    /// First and last time in all buffers.
    pub(crate) range: Option<(i64, i64)>,
}

/// One series' samples.
#[derive(Default)]
pub(crate) struct Buffer {
    /// The times of `points` count from here.
    base: i64,
    points: Vec<Point>,
    more: Option<Box<More>>,
}

/// A plain sample in 12 bytes.
struct Point {
    offset: u32,
    low: u32,
    high: u32,
}

/// What few buffers have.
#[derive(Default)]
struct More {
    /// Encoded, older than `points`, in order.
    chunks: Vec<Chunk>,
    /// Sorted samples that came after a newer one.
    late: Vec<(i64, f64)>,
}

struct Chunk {
    first: i64,
    last: i64,
    count: usize,
    /// Times, then values.
    bytes: Box<[u8]>,
}

impl Samplings {
    pub(crate) fn new(slots: usize, lease: Lease) -> Self {
        let mut buffers = Buffers::default();
        buffers.slots.resize_with(slots, Buffer::default);
        Samplings { buffers: RwLock::new(buffers), lease: Mutex::new(lease) }
    }
}

impl Buffers {
    /// Adds a sample; `late` when its series has a newer one.
    pub(crate) fn push(&mut self, slot: u32, time: i64, value: f64, late: bool) {
        let at = slot as usize;
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, Buffer::default);
        }
        let Some(buffer) = self.slots.get_mut(at) else { return };
        self.series += u64::from(buffer.is_empty());
        if late {
            buffer.insert(time, value);
        } else if buffer.append(time, value) {
            self.chunks += 1;
        }
        self.samples += 1;
        let (first, last) = self.range.unwrap_or((time, time));
        self.range = Some((first.min(time), last.max(time)));
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Buffer> {
        self.slots.get(slot as usize).filter(|buffer| !buffer.is_empty())
    }

    /// The slots that have samples in the range.
    pub(crate) fn slots_in(&self, start: i64, end: i64) -> roaring::RoaringBitmap {
        let inside =
            |buffer: &Buffer| buffer.range().is_some_and(|(first, last)| first <= end && last >= start);
        (0u32..).zip(&self.slots).filter(|(_, buffer)| inside(buffer)).map(|(slot, _)| slot).collect()
    }

    /// Whether any sample may lie in the range.
    pub(crate) fn overlaps(&self, start: i64, end: i64) -> bool {
        self.range.is_some_and(|(first, last)| first <= end && last >= start)
    }
}

impl Buffer {
    pub(crate) fn is_empty(&self) -> bool {
        self.points.is_empty() && self.more.is_none()
    }

    /// Appends the newest sample; `true` when that filled a chunk.
    fn append(&mut self, time: i64, value: f64) -> bool {
        let mut cut = false;
        if self.points.is_empty() {
            self.base = time;
        }
        let mut offset = time.checked_sub(self.base).and_then(|offset| u32::try_from(offset).ok());
        if self.points.len() >= CHUNK_SAMPLES || offset.is_none() {
            self.cut();
            cut = true;
            self.base = time;
            offset = Some(0);
        }
        if self.points.len() == self.points.capacity() {
            // Small steps: doubling would waste a quarter of the head's memory.
            self.points.reserve_exact(if self.points.is_empty() { 4 } else { 8 });
        }
        let bits = value.to_bits();
        self.points.push(Point { offset: offset.unwrap_or(0), low: bits as u32, high: (bits >> 32) as u32 });
        cut
    }

    /// Encodes the plain samples.
    fn cut(&mut self) {
        let (Some(first), Some(last)) = (self.points.first(), self.points.last()) else { return };
        let (first, last) = (self.time(first), self.time(last));
        let times: Vec<i64> = self.points.iter().map(|point| self.time(point)).collect();
        let numbers: Vec<f64> = self.points.iter().map(Point::value).collect();
        let mut bytes = Vec::with_capacity(2 * times.len());
        ints::encode(&times, &mut bytes);
        values::encode(&numbers, &mut bytes);
        self.points.clear();
        let chunk = Chunk { first, last, count: times.len(), bytes: bytes.into() };
        self.more.get_or_insert_default().chunks.push(chunk);
    }

    fn insert(&mut self, time: i64, value: f64) {
        let late = &mut self.more.get_or_insert_default().late;
        let at = late.partition_point(|(t, _)| *t < time);
        late.insert(at, (time, value));
    }

    fn time(&self, point: &Point) -> i64 {
        self.base.wrapping_add(i64::from(point.offset))
    }

    /// First and last time; `None` without samples.
    pub(crate) fn range(&self) -> Option<(i64, i64)> {
        let mut range: Option<(i64, i64)> = None;
        let mut add = |first: i64, last: i64| {
            let (a, b) = range.unwrap_or((first, last));
            range = Some((a.min(first), b.max(last)));
        };
        if let (Some(first), Some(last)) = (self.points.first(), self.points.last()) {
            add(self.time(first), self.time(last));
        }
        if let Some(more) = &self.more {
            more.chunks.iter().for_each(|chunk| add(chunk.first, chunk.last));
            more.late.iter().for_each(|(time, _)| add(*time, *time));
        }
        range
    }

    /// The value at `time`, if there is a sample.
    pub(crate) fn value_at(&self, time: i64) -> Option<f64> {
        let mut found = Samples::default();
        self.read(time, time, &mut Vec::new(), &mut found);
        found.values.first().copied()
    }

    /// Appends the samples in the range to `out`: ascending, but for late ones, which come last.
    pub(crate) fn read(&self, start: i64, end: i64, scratch: &mut Vec<i64>, out: &mut Samples) {
        for chunk in self.more.iter().flat_map(|more| &more.chunks) {
            if chunk.first <= end && chunk.last >= start {
                let good = chunk.read(start, end, scratch, out);
                novaobs_model::always!(good.is_some(), "a chunk of the head does not decode");
            }
        }
        for point in &self.points {
            let time = self.time(point);
            if time >= start && time <= end {
                out.push(time, point.value());
            }
        }
        for (time, value) in self.more.iter().flat_map(|more| &more.late) {
            if *time >= start && *time <= end {
                out.push(*time, *value);
            }
        }
    }
}

impl Point {
    fn value(&self) -> f64 {
        f64::from_bits(u64::from(self.high) << 32 | u64::from(self.low))
    }
}

impl Chunk {
    fn read(&self, start: i64, end: i64, scratch: &mut Vec<i64>, out: &mut Samples) -> Option<()> {
        let mut reader = Reader::new(&self.bytes);
        let mut times = Vec::with_capacity(self.count);
        ints::decode(&mut reader, self.count, &mut times)?;
        let mut numbers = Vec::with_capacity(self.count);
        values::decode(reader.rest(), self.count, scratch, &mut numbers)?;
        let wanted = times.iter().zip(&numbers).filter(|(time, _)| **time >= start && **time <= end);
        wanted.for_each(|(time, value)| out.push(*time, *value));
        Some(())
    }
}
