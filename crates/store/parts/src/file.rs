//! Where the bytes of a part come from.

use std::io;
use std::ops::Range;

use bytes::Bytes;

/// The bytes of one immutable file: local, mapped or in a bucket. Calls may block; any number at once.
pub trait PartFile: Send + Sync {
    /// How long the file is.
    fn len(&self) -> u64;

    /// Whether it has no byte.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of a range, all of them.
    ///
    /// # Errors
    /// When they cannot be read, or the range goes past the end.
    fn read(&self, range: Range<u64>) -> io::Result<Bytes>;
}

/// A file in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryFile(Bytes);

impl MemoryFile {
    /// A file of these bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        MemoryFile(bytes.into())
    }
}

impl PartFile for MemoryFile {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        if range.start > range.end || range.end > self.len() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "range past the end of the file"));
        }
        Ok(self.0.slice(range.start as usize..range.end as usize))
    }
}
