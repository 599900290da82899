//! The list of parts that exist and the first segment of the log that no part covers: one small text
//! file, replaced by writing its successor under the next number.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use crate::catalog::sync_folder;
use crate::names::{Name, temporary};

const TITLE: &str = "novaobs metrics manifest 1";

/// One version of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Grows with each version.
    pub number: u64,
    /// Segments below this are covered by parts.
    pub first_wal: u64,
    /// The number the next part gets.
    pub next_part: u64,
    /// Numbers of the parts, ascending.
    pub parts: Vec<u64>,
}

impl Manifest {
    pub(crate) fn empty() -> Self {
        Manifest { number: 0, first_wal: 1, next_part: 1, parts: Vec::new() }
    }

    fn print(&self) -> String {
        let mut text = format!("{TITLE}\nwal {}\nnext {}\n", self.first_wal, self.next_part);
        for part in &self.parts {
            text.push_str(&format!("part {part}\n"));
        }
        let checksum = crc32fast::hash(text.as_bytes());
        text.push_str(&format!("crc32 {checksum:08x}\n"));
        text
    }

    /// Reads a version back; `None` when it is not whole.
    fn parse(number: u64, text: &str) -> Option<Manifest> {
        let at = text.rfind("crc32 ")?;
        let (body, checksum) = text.split_at_checked(at)?;
        let checksum = u32::from_str_radix(checksum.strip_prefix("crc32 ")?.trim_end(), 16).ok()?;
        if crc32fast::hash(body.as_bytes()) != checksum {
            return None;
        }
        let mut manifest = Manifest { number, ..Manifest::empty() };
        let mut lines = body.lines();
        if lines.next()? != TITLE {
            return None;
        }
        for line in lines {
            let (key, value) = line.split_once(' ')?;
            let value = value.parse().ok()?;
            match key {
                "wal" => manifest.first_wal = value,
                "next" => manifest.next_part = value,
                "part" => manifest.parts.push(value),
                _ => return None,
            }
        }
        Some(manifest)
    }

    /// The newest whole version among `numbers`, and whether a newer one was damaged.
    pub(crate) fn load(folder: &Path, numbers: &[u64]) -> io::Result<(Option<Manifest>, bool)> {
        let mut damaged = false;
        let mut numbers = numbers.to_vec();
        numbers.sort_unstable();
        for number in numbers.into_iter().rev() {
            let bytes = fs::read(Name::Manifest(number).path(folder))?;
            if let Some(manifest) =
                std::str::from_utf8(&bytes).ok().and_then(|text| Manifest::parse(number, text))
            {
                return Ok((Some(manifest), damaged));
            }
            damaged = true;
        }
        Ok((None, damaged))
    }

    /// Makes this the newest version. The one before it is removed.
    pub(crate) fn commit(&mut self, folder: &Path) -> io::Result<()> {
        let path = Name::Manifest(self.number + 1).path(folder);
        let new = temporary(&path);
        let written = fs::File::create(&new).and_then(|mut file| {
            file.write_all(self.print().as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)
        });
        if let Err(error) = written {
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        let old = Name::Manifest(self.number).path(folder);
        self.number += 1;
        // From here on the new version counts, whether or not the folder could be synced.
        if let Err(error) = sync_folder(folder) {
            tracing::error!(folder = %folder.display(), "cannot sync the folder: {error}");
        }
        let _ = fs::remove_file(old);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_versions_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        let mut manifest = Manifest { parts: vec![1, 5], first_wal: 3, next_part: 6, ..Manifest::empty() };
        manifest.commit(folder.path()).unwrap();
        assert_eq!(Manifest::load(folder.path(), &[1]).unwrap(), (Some(manifest.clone()), false));
        let text = manifest.print();
        for cut in 0..text.len() - 1 {
            fs::write(Name::Manifest(2).path(folder.path()), &text[..cut]).unwrap();
            assert_eq!(
                Manifest::load(folder.path(), &[1, 2]).unwrap(),
                (Some(manifest.clone()), true),
                "cut at {cut}"
            );
        }
    }
}
