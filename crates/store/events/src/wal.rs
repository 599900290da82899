//! The log's segments: what was acknowledged and is perhaps in no part yet.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::limits::{RECORD_BYTES, SEGMENT_BYTES};
use crate::names;

const MAGIC: &[u8; 8] = b"novaLOG\x01";
/// Bytes in front of a record's payload.
const HEAD: usize = 8;

/// A place in the log: number of a segment and offset in it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub(crate) struct Position(pub u64, pub u64);

/// Puts a record of a payload in two pieces behind `out`.
pub(crate) fn put_record(out: &mut Vec<u8>, front: &[u8], back: &[u8]) {
    let length = ((front.len() + back.len()) as u32).to_le_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&checksum(&length, &[front, back]).to_le_bytes());
    out.extend_from_slice(front);
    out.extend_from_slice(back);
}

fn checksum(length: &[u8], pieces: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(length);
    pieces.iter().for_each(|piece| hasher.update(piece));
    hasher.finalize()
}

/// The open end of the log. Used by one at a time.
pub(crate) struct Wal {
    folder: PathBuf,
    number: u64,
    length: u64,
    file: Arc<File>,
    /// Files with bytes that were not synced.
    unsynced: Vec<Arc<File>>,
}

impl Wal {
    /// Begins segment `number`.
    pub(crate) fn create(folder: &Path, number: u64) -> io::Result<Wal> {
        let path = names::segment(folder, number);
        let file = File::options().write(true).create(true).truncate(true).open(path)?;
        file.write_all_at(MAGIC, 0)?;
        // Otherwise a power cut could take the name with all that was synced below it.
        File::open(folder)?.sync_all()?;
        let file = Arc::new(file);
        Ok(Wal { folder: folder.to_owned(), number, length: MAGIC.len() as u64, file, unsynced: Vec::new() })
    }

    /// Where the next record will stand, unless a new segment begins.
    pub(crate) fn end(&self) -> Position {
        Position(self.number, self.length)
    }

    /// Whether the open segment has no record.
    pub(crate) fn is_empty(&self) -> bool {
        self.length <= MAGIC.len() as u64
    }

    /// Begins the next segment.
    pub(crate) fn rotate(&mut self) -> io::Result<()> {
        let mut next = Wal::create(&self.folder, self.number + 1)?;
        next.unsynced = std::mem::take(&mut self.unsynced);
        *self = next;
        Ok(())
    }

    /// Writes records made by [`put_record`]; where the first one stands. On an error nothing is written.
    pub(crate) fn append(&mut self, records: &[u8]) -> io::Result<Position> {
        if self.length + records.len() as u64 > SEGMENT_BYTES && !self.is_empty() {
            self.rotate()?;
        }
        if let Err(error) = self.file.write_all_at(records, self.length) {
            // What came onto the disk must not stand before the next record; if the cut fails too, that
            // record overwrites it.
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        if !self.unsynced.last().is_some_and(|file| Arc::ptr_eq(file, &self.file)) {
            self.unsynced.push(self.file.clone());
        }
        let at = self.end();
        self.length += records.len() as u64;
        Ok(at)
    }

    /// Writes to another file from here on, for tests of disks that fail; the file until now.
    #[cfg(test)]
    pub(crate) fn replace_file(&mut self, file: Arc<File>) -> Arc<File> {
        std::mem::replace(&mut self.file, file)
    }

    /// Files that need a sync, which is the caller's to do from here on.
    pub(crate) fn take_unsynced(&mut self) -> Vec<Arc<File>> {
        std::mem::take(&mut self.unsynced)
    }
}

/// Numbers of the segments in a folder, ascending.
pub(crate) fn segments(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        numbers.extend(entry?.file_name().to_str().and_then(names::parse_segment));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Calls `each` with offset and payload of every good record of a segment, until it says `false`; how many
/// bytes behind the last good record are damaged.
pub(crate) fn replay(bytes: &[u8], mut each: impl FnMut(u64, &[u8]) -> bool) -> u64 {
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else { return bytes.len() as u64 };
    let mut offset = MAGIC.len() as u64;
    while let Some((payload, after)) = take_record(rest) {
        if !each(offset, payload) {
            break;
        }
        offset += (HEAD + payload.len()) as u64;
        rest = after;
    }
    rest.len() as u64
}

fn take_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let size = u32::from_le_bytes(*length) as usize;
    if size > RECORD_BYTES {
        return None;
    }
    let (payload, rest) = rest.split_at_checked(size)?;
    (checksum(length, &[payload]) == u32::from_le_bytes(*crc)).then_some((payload, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_come_back_up_to_the_cut(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut wal = Wal::create(folder.path(), 3).unwrap();
            let mut ends = vec![];
            for payload in &payloads {
                let mut record = Vec::new();
                let (front, back) = payload.split_at(payload.len() / 2);
                put_record(&mut record, front, back);
                prop_assert_eq!(wal.append(&record).unwrap(), Position(3, wal.end().1 - record.len() as u64));
                ends.push(wal.end().1);
            }
            let bytes = fs::read(names::segment(folder.path(), 3)).unwrap();
            let cut = cut.index(bytes.len() + 1);
            let mut seen: Vec<Vec<u8>> = Vec::new();
            let damaged = replay(&bytes[..cut], |_, payload| { seen.push(payload.to_vec()); true });
            let good = ends.iter().take_while(|end| **end <= cut as u64).count();
            prop_assert_eq!(&seen[..], &payloads[..good]);
            let whole = if good == 0 { if cut >= 8 { 8 } else { 0 } } else { ends[good - 1] };
            prop_assert_eq!(damaged, cut as u64 - whole);
        }
    }
}
