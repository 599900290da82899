//! How far each file was delivered, kept in a file of its own.
//!
//! A file is known by device and inode, and by a fingerprint of its first bytes: an inode that was used
//! again for another file, or a file written anew in place, is not taken for the old one. The positions are
//! JSON, replaced as a whole by a rename.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes at the start of a file that its fingerprint covers.
const FINGERPRINT_BYTES: usize = 256;

/// A file whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
}

impl FileId {
    /// Who this is.
    pub fn of(metadata: &fs::Metadata) -> Self {
        FileId { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// How far a file was delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Where it was last seen.
    pub path: PathBuf,
    /// Who it is.
    #[serde(flatten)]
    pub id: FileId,
    /// Bytes delivered.
    pub offset: u64,
    /// Of its first bytes, at most 256 and not beyond `offset`.
    pub fingerprint: Fingerprint,
}

/// A hash of the first bytes of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// How many bytes.
    pub bytes: usize,
    /// Their hash.
    pub hash: u64,
}

impl Fingerprint {
    /// Of the first bytes of `file` before `offset`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn take(file: &File, offset: u64) -> io::Result<Self> {
        let mut buffer = [0; FINGERPRINT_BYTES];
        let wanted = usize::try_from(offset).unwrap_or(FINGERPRINT_BYTES).min(FINGERPRINT_BYTES);
        let head = buffer.get_mut(..wanted).unwrap_or_default();
        file.read_exact_at(head, 0)?;
        Ok(Fingerprint { bytes: wanted, hash: xxh3_64(head) })
    }

    /// Whether `file` still begins so.
    pub fn fits(self, file: &File) -> bool {
        self.bytes == 0 || Fingerprint::take(file, self.bytes as u64).is_ok_and(|now| now == self)
    }
}

/// All positions.
#[derive(Debug, Default)]
pub struct Positions {
    file: PathBuf,
    files: BTreeMap<FileId, Position>,
    /// Cursors of journals by the name of their job.
    cursors: BTreeMap<String, String>,
}

#[derive(Default, Serialize, Deserialize)]
struct Stored {
    #[serde(default)]
    files: Vec<Position>,
    #[serde(default)]
    journals: BTreeMap<String, String>,
}

impl Positions {
    /// Reads the positions kept in `file`; none when there is no such file.
    ///
    /// # Errors
    /// When it cannot be read or is not ours: positions are not thrown away silently.
    pub fn load(file: &Path) -> io::Result<Self> {
        let stored = match fs::read(file) {
            Ok(bytes) => serde_json::from_slice::<Stored>(&bytes).map_err(|error| {
                let text = format!(
                    "{}: these are not positions: {error}; move the file away to read all logs anew",
                    file.display()
                );
                io::Error::new(io::ErrorKind::InvalidData, text)
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Stored::default(),
            Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", file.display()))),
        };
        let files = stored.files.into_iter().map(|position| (position.id, position)).collect();
        Ok(Positions { file: file.to_owned(), files, cursors: stored.journals })
    }

    /// Writes them down. After it returns they survive the end of the process.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self) -> io::Result<()> {
        if let Some(folder) = self.file.parent() {
            fs::create_dir_all(folder)?;
        }
        let stored = Stored { files: self.files.values().cloned().collect(), journals: self.cursors.clone() };
        let temporary = self.file.with_extension("new");
        fs::write(&temporary, serde_json::to_vec_pretty(&stored)?)?;
        fs::rename(&temporary, &self.file)
    }

    /// The position of a file.
    pub fn get(&self, id: FileId) -> Option<&Position> {
        self.files.get(&id)
    }

    /// Notes how far a file was delivered.
    pub fn set(&mut self, position: Position) {
        self.files.insert(position.id, position);
    }

    /// Files last seen under `path` that are not `now`: what was rotated away while nobody looked.
    pub fn rotated_from(&self, path: &Path, now: FileId) -> Vec<Position> {
        self.files.values().filter(|p| p.path == path && p.id != now).cloned().collect()
    }

    /// Forgets files that are gone.
    pub fn forget(&mut self, gone: impl Fn(&Position) -> bool) {
        self.files.retain(|_, position| !gone(position));
    }

    /// The cursor of a journal.
    pub fn cursor(&self, job: &str) -> Option<&str> {
        self.cursors.get(job).map(String::as_str)
    }

    /// Notes the cursor of a journal.
    pub fn set_cursor(&mut self, job: &str, cursor: String) {
        self.cursors.insert(job.to_owned(), cursor);
    }
}
