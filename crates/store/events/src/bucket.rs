//! Where parts and manifests stand: a folder, or an object store.
//!
//! Everything the store asks of one is in [`Bucket`]; errors are [`io::Error`]s whose kind tells what the
//! store must tell apart: `NotFound`, and `StorageFull`. All calls block.

mod cache;
mod disk;
mod remote;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use novaobs_parts::PartFile;

pub use disk::DiskBucket;
pub use remote::{BucketUrlError, RemoteBucket};

/// An object in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name, pieces parted by `/`.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// When it was written.
    pub modified: SystemTime,
}

/// Named, immutable objects.
pub trait Bucket: fmt::Debug + Send + Sync {
    /// Writes an object unless there is one of this name; whether it did. Atomic and durable; of several
    /// writers at once exactly one is told `true`.
    ///
    /// # Errors
    /// When it is not known whether it was written, or it was not.
    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> io::Result<bool>;

    /// Writes an object, in place of one of this name. Atomic and durable.
    ///
    /// # Errors
    /// As above.
    fn put(&self, key: &str, bytes: &[u8]) -> io::Result<()>;

    /// Begins an object that comes in pieces; it is there when [`Upload::finish`] returns.
    ///
    /// # Errors
    /// When it cannot be begun.
    fn upload(&self, key: &str) -> io::Result<Box<dyn Upload>>;

    /// The whole object.
    ///
    /// # Errors
    /// `NotFound`, or why it cannot be read.
    fn get(&self, key: &str) -> io::Result<Vec<u8>>;

    /// An object of `bytes` length to be read in pieces, which is when a missing one is noticed.
    fn open(&self, key: &str, bytes: u64) -> Arc<dyn PartFile>;

    /// All objects whose name begins with `prefix`, which ends in `/`.
    ///
    /// # Errors
    /// Why they cannot be listed.
    fn list(&self, prefix: &str) -> io::Result<Vec<Object>>;

    /// Removes an object; one that is not there is no error.
    ///
    /// # Errors
    /// Why it cannot be removed.
    fn delete(&self, key: &str) -> io::Result<()>;
}

/// An object being written. Dropped unfinished, it never existed.
pub trait Upload: io::Write + Send {
    /// Makes the object appear, durably.
    ///
    /// # Errors
    /// Why it cannot; it is not there then.
    fn finish(self: Box<Self>) -> io::Result<()>;
}
