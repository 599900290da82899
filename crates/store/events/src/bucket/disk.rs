//! A bucket in a folder.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use novaobs_parts::PartFile;
use parking_lot::Mutex;

use super::{Bucket, Object, Upload};
use crate::limits::OPEN_FILES;

/// Folder of files being written.
const TEMPORARY: &str = "tmp";

/// Objects as files below a folder, atomic by way of a temporary file and a hard link or rename.
#[derive(Debug)]
pub struct DiskBucket {
    folder: PathBuf,
    files: Arc<OpenFiles>,
}

impl DiskBucket {
    /// The bucket in `folder`, which is created if need be.
    ///
    /// # Errors
    /// What the file system says.
    pub fn new(folder: &Path) -> io::Result<DiskBucket> {
        fs::create_dir_all(folder.join(TEMPORARY))?;
        Ok(DiskBucket { folder: folder.to_owned(), files: Arc::default() })
    }

    /// Removes what a process that died left half-written. Only for who has the folder alone.
    pub(crate) fn remove_temporary(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.folder.join(TEMPORARY))? {
            fs::remove_file(entry?.path())?;
        }
        Ok(())
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(key)
    }

    fn begin(&self, key: &str) -> io::Result<DiskUpload> {
        let temporary = self.folder.join(TEMPORARY).join(uuid::Uuid::new_v4().simple().to_string());
        let file = File::options().write(true).create_new(true).open(&temporary)?;
        Ok(DiskUpload { file, temporary, path: self.path(key) })
    }
}

impl Bucket for DiskBucket {
    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> io::Result<bool> {
        let mut upload = self.begin(key)?;
        upload.write_all(bytes)?;
        match upload.publish(|from, to| fs::hard_link(from, to)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn put(&self, key: &str, bytes: &[u8]) -> io::Result<()> {
        let mut upload = Box::new(self.begin(key)?);
        upload.write_all(bytes)?;
        upload.finish()
    }

    fn upload(&self, key: &str) -> io::Result<Box<dyn Upload>> {
        Ok(Box::new(self.begin(key)?))
    }

    fn get(&self, key: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path(key))
    }

    fn open(&self, key: &str, bytes: u64) -> Arc<dyn PartFile> {
        Arc::new(DiskFile { path: self.path(key), bytes, files: self.files.clone() })
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<Object>> {
        let mut found = Vec::new();
        let mut folders = vec![prefix.trim_end_matches('/').to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(self.path(&folder)) {
                Ok(entries) => entries,
                // Also a folder that was emptied and removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for entry in entries {
                let entry = entry?;
                let Some(name) = entry.file_name().to_str().map(|name| format!("{folder}/{name}")) else {
                    continue;
                };
                let meta = match entry.metadata() {
                    Ok(meta) => meta,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                if meta.is_dir() {
                    folders.push(name);
                } else {
                    found.push(Object { key: name, bytes: meta.len(), modified: meta.modified()? });
                }
            }
        }
        Ok(found)
    }

    fn delete(&self, key: &str) -> io::Result<()> {
        let path = self.path(key);
        self.files.forget(&path);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Folders that are empty now go too; one that is not refuses.
        for parent in path.ancestors().skip(1).take(2) {
            if parent == self.folder || fs::remove_dir(parent).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// A file being written under a temporary name.
struct DiskUpload {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
}

impl DiskUpload {
    /// Syncs the file, gives it its name by `place`, and syncs the folder.
    fn publish(&self, place: impl Fn(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
        self.file.sync_data()?;
        let parent = self.path.parent().unwrap_or(Path::new("."));
        let mut attempt = 0;
        loop {
            create_durably(parent)?;
            match place(&self.temporary, &self.path) {
                // The folder was removed as empty between the two calls.
                Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < 3 => attempt += 1,
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        File::open(parent)?.sync_all()
    }
}

/// Creates a folder with all above it, and syncs those that have new entries.
fn create_durably(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.is_dir()).collect();
    fs::create_dir_all(folder)?;
    for created in missing {
        if let Some(parent) = created.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(parent)?.sync_all()?;
        }
    }
    Ok(())
}

impl Write for DiskUpload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Upload for DiskUpload {
    fn finish(self: Box<Self>) -> io::Result<()> {
        self.publish(|from, to| fs::rename(from, to))
    }
}

impl Drop for DiskUpload {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// A file of the bucket; it is opened when read.
struct DiskFile {
    path: PathBuf,
    bytes: u64,
    files: Arc<OpenFiles>,
}

impl PartFile for DiskFile {
    fn len(&self) -> u64 {
        self.bytes
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let end = range.end.min(self.bytes);
        let mut bytes = vec![0; end.saturating_sub(range.start) as usize];
        self.files.get(&self.path)?.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes.into())
    }
}

/// Files kept open for further reads, a bounded number.
#[derive(Debug, Default)]
struct OpenFiles(Mutex<HashMap<PathBuf, Arc<File>>>);

impl OpenFiles {
    fn get(&self, path: &Path) -> io::Result<Arc<File>> {
        if let Some(file) = self.0.lock().get(path) {
            return Ok(file.clone());
        }
        let file = Arc::new(File::open(path)?);
        let mut files = self.0.lock();
        if files.len() >= OPEN_FILES {
            // Any half will do: opening one again costs microseconds.
            let mut keep = false;
            files.retain(|_, _| {
                keep = !keep;
                keep
            });
        }
        files.insert(path.to_owned(), file.clone());
        Ok(file)
    }

    fn forget(&self, path: &Path) {
        self.0.lock().remove(path);
    }
}
