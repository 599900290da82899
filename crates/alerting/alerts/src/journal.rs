//! The state on disk: a log of records and a snapshot that it starts from.
//!
//! ```text
//! DIR/snapshot-00000007   everything before log-00000007; absent for the first log
//! DIR/log-00000007        what happened since
//!
//! file:    8 bytes "NOVAAM\x01\n", then records
//! record:  +------------+-------------+---------------------+
//!          | length u32 | CRC-32 u32  | payload, length bytes|   little endian; CRC-32 of the payload
//!          +------------+-------------+---------------------+
//! ```
//!
//! A log that ends in half a record (a crash, a full disk) is cut there. A snapshot is written beside and
//! renamed when it is complete, so one that exists is whole; one that is damaged nevertheless is read as
//! far as it goes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"NOVAAM\x01\n";
/// No record is near this; a length beyond it is damage.
const MAX_RECORD: usize = 16 << 20;

/// An open log.
#[derive(Debug)]
pub(crate) struct Journal {
    folder: PathBuf,
    sequence: u64,
    log: File,
    length: u64,
    /// Whether bytes beyond `length` may be in the file, left by a write that failed.
    torn: bool,
}

/// Why the state cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the alert state in {folder}: {error}", folder = folder.display())]
pub struct JournalError {
    folder: PathBuf,
    error: io::Error,
}

impl Journal {
    /// Opens or creates the state and hands every readable record to `replay`, in the order of writing.
    pub(crate) fn open(folder: &Path, mut replay: impl FnMut(&[u8])) -> Result<Journal, JournalError> {
        let failed = |error| JournalError { folder: folder.to_path_buf(), error };
        fs::create_dir_all(folder).map_err(failed)?;
        let sequence = newest(folder).map_err(failed)?;
        if let Ok(bytes) = fs::read(folder.join(format!("snapshot-{sequence:08}"))) {
            let whole = read_records(&bytes, &mut replay);
            if whole < bytes.len() {
                tracing::error!(folder = %folder.display(), at = whole, "the alert snapshot is damaged, the rest of it is lost");
            }
        }
        let path = folder.join(format!("log-{sequence:08}"));
        let mut log = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        let mut bytes = Vec::new();
        log.read_to_end(&mut bytes).map_err(failed)?;
        let whole = read_records(&bytes, &mut replay);
        if whole < bytes.len() {
            let lost = bytes.len() - whole;
            tracing::warn!(file = %path.display(), at = whole, lost, "the alert log ends in half a record, cut there");
        }
        let mut journal =
            Journal { folder: folder.to_path_buf(), sequence, log, length: whole as u64, torn: true };
        if whole < MAGIC.len() {
            journal.length = 0;
            journal.write(MAGIC).map_err(failed)?;
        } else {
            journal.mend().map_err(failed)?;
        }
        Ok(journal)
    }

    /// Appends a record. It survives the death of the process; of the machine only after [`Journal::sync`].
    pub(crate) fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        self.write(&frame(payload))
    }

    /// Forces what was appended to the disk.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.log.sync_data()
    }

    /// Bytes in the log.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Starts a new log after writing `records`, the whole state, as its snapshot.
    pub(crate) fn rotate(&mut self, records: impl Iterator<Item = Vec<u8>>) -> io::Result<()> {
        let next = self.sequence + 1;
        let unfinished = self.folder.join("snapshot.tmp");
        let mut out = BufWriter::new(File::create(&unfinished)?);
        out.write_all(MAGIC)?;
        for record in records {
            out.write_all(&frame(&record))?;
        }
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        let mut log = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.folder.join(format!("log-{next:08}")))?;
        log.write_all(MAGIC)?;
        log.sync_all()?;
        fs::rename(&unfinished, self.folder.join(format!("snapshot-{next:08}")))?;
        File::open(&self.folder)?.sync_all()?;
        for old in ["snapshot", "log"] {
            // What stays is only garbage; the next rotation has another name.
            let _ = fs::remove_file(self.folder.join(format!("{old}-{:08}", self.sequence)));
        }
        (self.sequence, self.log, self.length, self.torn) = (next, log, MAGIC.len() as u64, false);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.torn {
            self.mend()?;
        }
        match self.log.write_all(bytes) {
            Ok(()) => {
                self.length += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.torn = true;
                Err(error)
            }
        }
    }

    /// Cuts off what a failed write left.
    fn mend(&mut self) -> io::Result<()> {
        self.log.set_len(self.length)?;
        self.log.seek(SeekFrom::Start(self.length))?;
        self.torn = false;
        Ok(())
    }
}

/// The number to start from: the newest snapshot, or 1. Logs without a snapshot of their number are the
/// leftovers of a rotation that did not finish, unless there is no snapshot at all.
fn newest(folder: &Path) -> io::Result<u64> {
    let mut newest = 1;
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|n| n.strip_prefix("snapshot-")).and_then(|n| n.parse().ok());
        newest = newest.max(number.unwrap_or(1));
    }
    Ok(newest)
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 8);
    out.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    out.extend_from_slice(payload);
    out
}

/// Hands out the records of a file and says how many bytes of it are whole.
fn read_records(bytes: &[u8], mut replay: impl FnMut(&[u8])) -> usize {
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else { return 0 };
    while let Some((payload, after)) = take_record(rest) {
        replay(payload);
        rest = after;
    }
    bytes.len() - rest.len()
}

fn take_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok().filter(|n| *n <= MAX_RECORD)?;
    let (payload, rest) = rest.split_at_checked(length)?;
    (crc32fast::hash(payload) == u32::from_le_bytes(*checksum)).then_some((payload, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn open(folder: &Path) -> (Journal, Vec<String>) {
        let mut records = Vec::new();
        let journal =
            Journal::open(folder, |record| records.push(String::from_utf8(record.to_vec()).unwrap()))
                .unwrap();
        (journal, records)
    }

    #[test]
    fn keeps_records_over_reopening_and_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, records) = open(folder.path());
        assert!(records.is_empty());
        journal.append(b"one").unwrap();
        journal.append(b"two").unwrap();
        drop(journal);
        let (mut journal, records) = open(folder.path());
        assert_eq!(records, ["one", "two"]);
        journal.rotate([b"both".to_vec()].into_iter()).unwrap();
        journal.append(b"three").unwrap();
        drop(journal);
        assert_eq!(open(folder.path()).1, ["both", "three"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn cuts_a_torn_tail_and_goes_on(cut in 0usize..60, flip in proptest::option::of(0usize..60)) {
            let folder = tempfile::tempdir().unwrap();
            let (mut journal, _) = open(folder.path());
            for record in ["first", "second", "third"] {
                journal.append(record.as_bytes()).unwrap();
            }
            drop(journal);
            let path = folder.path().join("log-00000001");
            let mut bytes = fs::read(&path).unwrap();
            bytes.truncate(bytes.len().saturating_sub(cut));
            if let Some(byte) = flip.and_then(|at| bytes.get_mut(at)) {
                *byte ^= 1;
            }
            fs::write(&path, &bytes).unwrap();
            let (mut journal, records) = open(folder.path());
            prop_assert!(["first", "second", "third"].starts_with(&records.iter().map(String::as_str).collect::<Vec<_>>()));
            journal.append(b"after").unwrap();
            drop(journal);
            let (_, again) = open(folder.path());
            prop_assert_eq!(again.len(), records.len() + 1);
            prop_assert_eq!(again.last().unwrap(), "after");
        }
    }

    #[test]
    fn ignores_a_rotation_that_did_not_finish() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(folder.path());
        journal.append(b"one").unwrap();
        fs::write(folder.path().join("snapshot.tmp"), b"half").unwrap();
        fs::write(folder.path().join("log-00000002"), MAGIC).unwrap();
        drop(journal);
        assert_eq!(open(folder.path()).1, ["one"]);
    }
}
