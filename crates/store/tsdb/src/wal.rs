//! The sample log: what was acknowledged and is in no part yet.
//!
//! A segment begins with the newest sample of every series in memory, so that each segment can be read
//! without the ones before it. Values are logged as the difference in bits to the series' newest value. Layout in `docs/formats/metrics-wal.md`.

use std::io;
use std::path::Path;

use crate::codec::bytes::{Reader, put_int, put_uint};
use crate::names::{Name, temporary};
use crate::record::{RecordFile, Records};

const MAGIC: &[u8; 8] = b"novaWAL\x01";
const NEWEST: u8 = 1;
const SAME_TIME: u8 = 2;
const ANY_TIME: u8 = 3;
/// Series per record of newest samples, so that no record grows with the store.
const NEWEST_PER_RECORD: usize = 32 * 1024;

/// The newest sample of one series in memory: what decides whether the next one is in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Which of the series that had this slot.
    pub generation: u32,
    /// Time of the newest sample; [`Tail::NONE`] without one.
    pub time: i64,
    /// Bits of the newest sample's value.
    pub bits: u64,
}

impl Tail {
    /// Before any sample's time.
    pub(crate) const NONE: i64 = i64::MIN;

    /// A series that has no sample yet.
    pub(crate) fn new(generation: u32) -> Self {
        Tail { generation, time: Tail::NONE, bits: 0 }
    }
}

/// One sample to log: the series' slot, time, value bits, and the bits of the series' newest value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Logged {
    pub slot: u32,
    pub time: i64,
    pub bits: u64,
    pub before: u64,
    /// Not newer than its series' newest: not logged, the times tell.
    pub late: bool,
}

/// The open segment.
pub(crate) struct Wal {
    pub(crate) number: u64,
    pub(crate) file: RecordFile,
}

impl Wal {
    /// Starts segment `number` with the newest samples in `tails`.
    pub(crate) fn create(folder: &Path, number: u64, tails: &[Tail]) -> io::Result<Wal> {
        let path = Name::Wal(number).path(folder);
        // A segment without all newest samples must not be found at the next start.
        let new = temporary(&path);
        let written = RecordFile::create(&new, MAGIC).and_then(|mut file| {
            let mut present = (0u32..).zip(tails).filter(|(_, tail)| tail.time != Tail::NONE).peekable();
            while present.peek().is_some() {
                file.append(|out| put_newest(out, present.by_ref().take(NEWEST_PER_RECORD)))?;
            }
            std::fs::rename(&new, &path)?;
            Ok(Wal { number, file })
        });
        if written.is_err() {
            let _ = std::fs::remove_file(&new);
        }
        written
    }

    /// Goes on with segment `number` behind its first `length` bytes.
    pub(crate) fn reopen(folder: &Path, number: u64, length: u64) -> io::Result<Wal> {
        Ok(Wal { number, file: RecordFile::open(&Name::Wal(number).path(folder), length)? })
    }

    /// Appends one batch as one record.
    pub(crate) fn append(&mut self, samples: &[Logged]) -> io::Result<()> {
        self.file.append(|out| put_samples(out, samples))
    }
}

fn put_newest<'a>(out: &mut Vec<u8>, tails: impl Iterator<Item = (u32, &'a Tail)>) {
    out.push(NEWEST);
    let (mut slot_before, mut generation_before, mut time_before) = (0, 0, 0);
    for (slot, tail) in tails {
        put_int(out, i64::from(slot) - slot_before);
        put_int(out, i64::from(tail.generation) - generation_before);
        put_int(out, tail.time.wrapping_sub(time_before));
        out.extend_from_slice(&tail.bits.to_le_bytes());
        (slot_before, generation_before, time_before) =
            (i64::from(slot), i64::from(tail.generation), tail.time);
    }
}

fn put_samples(out: &mut Vec<u8>, samples: &[Logged]) {
    let Some(first) = samples.first() else { return };
    let same_time = samples.iter().all(|sample| sample.time == first.time);
    out.push(if same_time { SAME_TIME } else { ANY_TIME });
    if same_time {
        put_int(out, first.time);
    }
    put_uint(out, samples.len() as u64);
    let (mut slot_before, mut time_before) = (0, 0);
    for sample in samples {
        put_int(out, i64::from(sample.slot) - slot_before);
        slot_before = i64::from(sample.slot);
        if !same_time {
            put_int(out, sample.time.wrapping_sub(time_before));
            time_before = sample.time;
        }
        put_difference(out, sample.bits ^ sample.before);
    }
}

/// The bytes between the leading and the trailing zero bytes of `difference`, behind a byte that counts
/// them (high half) and the trailing zero bytes (low half).
fn put_difference(out: &mut Vec<u8>, difference: u64) {
    if difference == 0 {
        out.push(0);
        return;
    }
    let trailing = difference.trailing_zeros() / 8;
    let count = 8 - difference.leading_zeros() / 8 - trailing;
    out.push((count << 4 | trailing) as u8);
    let bytes = (difference >> (8 * trailing)).to_le_bytes();
    out.extend(bytes.iter().take(count as usize));
}

fn difference(reader: &mut Reader<'_>) -> Option<u64> {
    let head = reader.u8()?;
    let (count, trailing) = (usize::from(head >> 4), u32::from(head & 0xf));
    if count + trailing as usize > 8 || (count == 0 && trailing > 0) {
        return None;
    }
    let mut bytes = [0u8; 8];
    bytes.get_mut(..count)?.copy_from_slice(reader.take(count)?);
    u64::from_le_bytes(bytes).checked_shl(8 * trailing)
}

/// What a replay hands over, record by record.
pub(crate) trait Replay {
    /// A segment begins: forget what was known of newest samples.
    fn segment(&mut self);
    /// The newest sample of a series before the segment.
    fn newest(&mut self, slot: u32, generation: u32, time: i64, bits: u64);
    /// A logged sample; its value is `difference` applied to the bits of the slot's newest.
    fn sample(&mut self, slot: u32, time: i64, difference: u64);
}

/// What reading a segment found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replayed {
    /// Bytes up to the last good record; 0 when not even the header is good.
    pub good: u64,
    /// Bytes behind them.
    pub damaged: u64,
}

/// Reads a segment's bytes into `to`, up to the first record that is torn or damaged.
pub(crate) fn replay(bytes: &[u8], to: &mut impl Replay) -> Replayed {
    let Some(mut records) = Records::new(bytes, MAGIC) else {
        return Replayed { good: 0, damaged: bytes.len() as u64 };
    };
    to.segment();
    let mut good = records.good();
    let mut left = records.left();
    while let Some(payload) = records.next() {
        if replay_record(payload, to).is_none() {
            break;
        }
        good = records.good();
        left = records.left();
    }
    Replayed { good, damaged: left as u64 }
}

pub(crate) fn replay_record(payload: &[u8], to: &mut impl Replay) -> Option<()> {
    let mut reader = Reader::new(payload);
    let kind = reader.u8()?;
    if kind == NEWEST {
        let (mut slot, mut generation, mut time) = (0i64, 0i64, 0i64);
        while !reader.is_empty() {
            slot = slot.checked_add(reader.int()?)?;
            generation = generation.checked_add(reader.int()?)?;
            time = time.wrapping_add(reader.int()?);
            to.newest(u32::try_from(slot).ok()?, u32::try_from(generation).ok()?, time, reader.u64()?);
        }
        return Some(());
    }
    let same_time = match kind {
        SAME_TIME => true,
        ANY_TIME => false,
        _ => return None,
    };
    let mut time = if same_time { reader.int()? } else { 0 };
    let count = reader.count()?;
    let mut slot = 0i64;
    for _ in 0..count {
        slot = slot.checked_add(reader.int()?)?;
        if !same_time {
            time = time.wrapping_add(reader.int()?);
        }
        to.sample(u32::try_from(slot).ok()?, time, difference(&mut reader)?);
    }
    reader.is_empty().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Default)]
    struct Seen(Vec<(u32, i64, u64)>);

    impl Replay for Seen {
        fn segment(&mut self) {}
        fn newest(&mut self, slot: u32, _: u32, time: i64, bits: u64) {
            self.0.push((slot, time, bits));
        }
        fn sample(&mut self, slot: u32, time: i64, difference: u64) {
            self.0.push((slot, time, difference));
        }
    }

    proptest! {
        #[test]
        fn samples_come_back_up_to_the_cut(
            batches in prop::collection::vec(prop::collection::vec((any::<u32>(), any::<i64>(), any::<u64>()), 1..20), 1..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let tails = [Tail { generation: 3, time: 7, bits: 11 }, Tail::new(4)];
            let mut wal = Wal::create(folder.path(), 1, &tails).unwrap();
            let mut ends = vec![(wal.file.length(), 1)];
            let mut all = vec![(0, 7, 11)];
            for batch in &batches {
                let logged: Vec<Logged> =
                    batch.iter().map(|&(slot, time, bits)| Logged { slot, time, bits, before: 0, late: false }).collect();
                wal.append(&logged).unwrap();
                all.extend(batch.iter().copied());
                ends.push((wal.file.length(), all.len()));
            }
            let bytes = std::fs::read(Name::Wal(1).path(folder.path())).unwrap();
            let cut = cut.index(bytes.len() + 1);
            let mut seen = Seen::default();
            let found = replay(&bytes[..cut], &mut seen);
            let (length, count) = ends.iter().rev().find(|(end, _)| *end <= cut as u64).copied().unwrap_or((0, 0));
            prop_assert_eq!(&seen.0[..], &all[..count]);
            if length > 0 {
                prop_assert_eq!(found, Replayed { good: length, damaged: cut as u64 - length });
            }
        }

        #[test]
        fn hostile_records_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut seen = Seen::default();
            replay_record(&bytes, &mut seen);
            prop_assert!(seen.0.len() <= bytes.len());
        }
    }
}
