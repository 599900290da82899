//! Framed, checksummed records in an append-only file: what the sample log and the series catalogue are.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Bytes before the first record: eight that name the kind and version of the file.
pub(crate) const HEADER: usize = 8;
const FRAME: usize = 8;

/// A file records are appended to.
///
/// Writes go to the offset behind the last good record, so a write that failed half-way is simply written
/// over by the next one; nothing is ever logged by halves.
pub(crate) struct RecordFile {
    file: Arc<File>,
    length: u64,
    /// Bytes of a failed write may lie behind `length`.
    dirty: bool,
    frame: Vec<u8>,
}

impl RecordFile {
    /// Creates the file with its header.
    pub(crate) fn create(path: &Path, magic: &[u8; HEADER]) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        file.write_all_at(magic, 0)?;
        Ok(RecordFile { file: Arc::new(file), length: HEADER as u64, dirty: false, frame: Vec::new() })
    }

    /// Opens the file to append behind its first `length` bytes; what follows them is cut off.
    pub(crate) fn open(path: &Path, length: u64) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        if file.metadata()?.len() != length {
            file.set_len(length)?;
        }
        Ok(RecordFile { file: Arc::new(file), length, dirty: false, frame: Vec::new() })
    }

    /// Appends one record, its payload written by `build`.
    ///
    /// # Errors
    /// When the file system refuses; the file is then as before.
    pub(crate) fn append(&mut self, build: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut frame = std::mem::take(&mut self.frame);
        frame.clear();
        frame.resize(FRAME, 0);
        build(&mut frame);
        let done = self.write(&mut frame);
        self.frame = frame;
        self.frame.shrink_to(1 << 20);
        done
    }

    fn write(&mut self, frame: &mut [u8]) -> io::Result<()> {
        let Some((head, payload)) = frame.split_first_chunk_mut::<FRAME>() else { return Ok(()) };
        let length = u32::try_from(payload.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let (size, sum) = head.split_at_mut(4);
        size.copy_from_slice(&length.to_le_bytes());
        sum.copy_from_slice(&checksum(length, payload).to_le_bytes());
        if self.dirty {
            self.file.set_len(self.length)?;
            self.dirty = false;
        }
        if let Err(error) = self.file.write_all_at(frame, self.length) {
            self.dirty = self.file.set_len(self.length).is_err();
            return Err(error);
        }
        self.length += frame.len() as u64;
        Ok(())
    }

    /// Bytes of header and good records.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The file itself, to be synced without holding the writer up.
    pub(crate) fn handle(&self) -> Arc<File> {
        self.file.clone()
    }

    /// Waits until all records are on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Also covers the length, so that a run of zeros is no valid empty record.
fn checksum(length: u32, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// The records of a file's bytes, up to the first that is torn or damaged.
pub(crate) struct Records<'a> {
    rest: &'a [u8],
    good: usize,
}

impl<'a> Records<'a> {
    /// `None` when the header is not `magic`.
    pub(crate) fn new(bytes: &'a [u8], magic: &[u8; HEADER]) -> Option<Self> {
        let rest = bytes.strip_prefix(magic)?;
        Some(Records { rest, good: HEADER })
    }

    /// The next record's payload; `None` at the end or at damage.
    pub(crate) fn next(&mut self) -> Option<&'a [u8]> {
        let (size, rest) = self.rest.split_first_chunk::<4>()?;
        let (sum, rest) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*size);
        let (payload, rest) = rest.split_at_checked(length as usize)?;
        if checksum(length, payload) != u32::from_le_bytes(*sum) {
            return None;
        }
        self.rest = rest;
        self.good += FRAME + payload.len();
        Some(payload)
    }

    /// Bytes up to the end of the last good record.
    pub(crate) fn good(&self) -> u64 {
        self.good as u64
    }

    /// Bytes behind the last good record.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }
}
