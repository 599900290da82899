//! One file that is read as it grows.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::positions::{FileId, Fingerprint, Position};

/// A line longer than this is delivered in pieces: one endless line must not fill the memory.
pub const LONGEST_LINE: usize = 1 << 20;
const READ_AT_ONCE: usize = 256 << 10;

/// A file being tailed. What was read and not yet delivered is read again after a failure.
#[derive(Debug)]
pub struct TailedFile {
    /// Where it was opened, or has been moved to since.
    pub path: PathBuf,
    /// Who it is.
    pub id: FileId,
    file: File,
    /// Bytes delivered.
    offset: u64,
    fingerprint: Fingerprint,
    /// Its length when all of it had been read.
    read_up_to: u64,
    buffer: Vec<u8>,
}

/// What became of a file since it was last read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// There is more to read.
    Grown,
    /// It was cut or written anew: it is read from its start.
    Restarted,
}

impl TailedFile {
    /// Opens a file at the position it was left at, if that is still the same file, else at its start.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, position: Option<&Position>) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let known = position.filter(|p| {
            p.id == FileId::of(&metadata) && metadata.len() >= p.offset && p.fingerprint.fits(&file)
        });
        Ok(TailedFile {
            path: path.to_owned(),
            id: FileId::of(&metadata),
            offset: known.map_or(0, |p| p.offset),
            fingerprint: known.map_or_else(Fingerprint::default, |p| p.fingerprint),
            read_up_to: 0,
            file,
            buffer: Vec::new(),
        })
    }

    /// Opens a file whose lines before now are of no interest.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open_at_end(path: &Path) -> io::Result<Self> {
        let mut tailed = TailedFile::open(path, None)?;
        let end = tailed.file.metadata()?.len();
        tailed.commit(end)?;
        Ok(tailed)
    }

    /// Looks whether there is something to read.
    ///
    /// # Errors
    /// When the file cannot be looked at.
    pub fn look(&mut self) -> io::Result<Change> {
        let length = self.file.metadata()?.len();
        if length == self.read_up_to && length >= self.offset {
            return Ok(Change::None);
        }
        if length < self.offset || !self.fingerprint.fits(&self.file) {
            self.offset = 0;
            self.fingerprint = Fingerprint::default();
            self.read_up_to = 0;
            return Ok(Change::Restarted);
        }
        Ok(if length > self.offset { Change::Grown } else { Change::None })
    }

    /// Hands complete lines (without their end) to `each`, at most about `budget` bytes of them, from the
    /// last delivered byte on, and gives the offset behind them, to be [committed](TailedFile::commit) when
    /// they are delivered. With `all`, a last line without an end counts as complete.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&mut self, budget: usize, all: bool, mut each: impl FnMut(&str)) -> io::Result<u64> {
        let mut offset = self.offset;
        let mut wanted = READ_AT_ONCE.min(budget.max(1));
        while offset - self.offset < budget as u64 {
            self.buffer.resize(wanted, 0);
            let read = self.file.read_at(&mut self.buffer, offset)?;
            let chunk = self.buffer.get(..read).unwrap_or_default();
            let complete = chunk.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let at_end = read < wanted;
            if complete == 0 {
                match (at_end, wanted < LONGEST_LINE) {
                    (false, true) => wanted = (wanted * 4).min(LONGEST_LINE),
                    (true, _) if !all || read == 0 => {
                        self.read_up_to = offset + read as u64;
                        break;
                    }
                    _ => {
                        each(&String::from_utf8_lossy(chunk));
                        offset += read as u64;
                    }
                }
                continue;
            }
            for line in chunk.get(..complete).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                each(&String::from_utf8_lossy(line));
            }
            offset += complete as u64;
            wanted = READ_AT_ONCE;
        }
        Ok(offset)
    }

    /// Notes that everything before `offset` is delivered.
    ///
    /// # Errors
    /// When the first bytes of the file cannot be read.
    pub fn commit(&mut self, offset: u64) -> io::Result<()> {
        if self.fingerprint.bytes < 256 {
            self.fingerprint = Fingerprint::take(&self.file, offset)?;
        }
        self.offset = offset;
        Ok(())
    }

    /// To be written down.
    pub fn position(&self) -> Position {
        Position { path: self.path.clone(), id: self.id, offset: self.offset, fingerprint: self.fingerprint }
    }

    /// Whether its path still leads to it.
    pub fn is_in_place(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| FileId::of(&metadata) == self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn lines(file: &mut TailedFile, all: bool) -> Vec<String> {
        let mut lines = Vec::new();
        if file.look().unwrap() != Change::None || all {
            let offset = file.read(1 << 20, all, |line| lines.push(line.to_owned())).unwrap();
            file.commit(offset).unwrap();
        }
        lines
    }

    #[test]
    fn lines_are_read_when_they_are_complete_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(&path, "one\r\ntwo\nthr").unwrap();
        let mut file = TailedFile::open(&path, None).unwrap();
        assert_eq!(lines(&mut file, false), ["one", "two"]);
        assert_eq!(file.look().unwrap(), Change::None);
        let mut writer = fs::OpenOptions::new().append(true).open(&path).unwrap();
        writer.write_all(b"ee\nfour").unwrap();
        assert_eq!(lines(&mut file, false), ["three"]);

        let mut again = TailedFile::open(&path, Some(&file.position())).unwrap();
        assert_eq!(lines(&mut again, false), Vec::<String>::new());
        assert_eq!(lines(&mut again, true), ["four"]);
    }

    #[test]
    fn a_cut_or_rewritten_file_is_read_from_its_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(&path, "one\ntwo\n").unwrap();
        let mut file = TailedFile::open(&path, None).unwrap();
        assert_eq!(lines(&mut file, false).len(), 2);
        fs::write(&path, "new\n").unwrap();
        assert_eq!(lines(&mut file, false), ["new"]);
        // In place, and longer than what was read: only the fingerprint tells.
        fs::write(&path, "other\nlines\n").unwrap();
        assert_eq!(lines(&mut file, false), ["other", "lines"]);

        let position = file.position();
        fs::write(&path, "while nobody looked\n").unwrap();
        let mut again = TailedFile::open(&path, Some(&position)).unwrap();
        assert_eq!(lines(&mut again, false), ["while nobody looked"]);
    }

    #[test]
    fn an_endless_line_comes_in_pieces_and_bad_bytes_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut bytes = vec![b'x'; LONGEST_LINE + 10];
        bytes.extend_from_slice(b"\nbad \xff byte\n");
        fs::write(&path, bytes).unwrap();
        let mut file = TailedFile::open(&path, None).unwrap();
        let mut lengths = Vec::new();
        while file.look().unwrap() == Change::Grown {
            let offset = file.read(1 << 20, false, |line| lengths.push(line.to_owned())).unwrap();
            file.commit(offset).unwrap();
        }
        let lengths: Vec<usize> = lengths.iter().map(String::len).collect();
        assert_eq!(lengths, [LONGEST_LINE, 10, "bad \u{fffd} byte".len()]);
    }
}
