//! The names of all files in a store's folder.
//!
//! Numbers only grow; a number is never used for two files of one kind.

use std::path::{Path, PathBuf};

/// Held with an exclusive lock while a process has the store open.
pub(crate) const LOCK: &str = "lock";
/// Appended to the name of a part that failed its checks.
pub(crate) const CORRUPT: &str = "corrupt";

/// What a file in the folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// A segment of the sample log.
    Wal(u64),
    /// The catalogue of the head's series.
    Catalog(u64),
    /// An immutable part.
    Part(u64),
    /// A version of the list of parts.
    Manifest(u64),
    /// Something half-written by a process that died.
    Temporary,
}

impl Name {
    /// What the file called `name` is; `None` for files that are none of the store's business.
    pub(crate) fn parse(name: &str) -> Option<Name> {
        if name.ends_with(".tmp") {
            return Some(Name::Temporary);
        }
        let number = |prefix: &str, suffix: &str| -> Option<u64> {
            let digits = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
            (digits.len() >= 8 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
        };
        number("wal-", ".log")
            .map(Name::Wal)
            .or_else(|| number("series-", ".log").map(Name::Catalog))
            .or_else(|| number("part-", ".col").map(Name::Part))
            .or_else(|| number("manifest-", ".txt").map(Name::Manifest))
    }

    /// Where the file is.
    pub(crate) fn path(self, folder: &Path) -> PathBuf {
        folder.join(match self {
            Name::Wal(n) => format!("wal-{n:08}.log"),
            Name::Catalog(n) => format!("series-{n:08}.log"),
            Name::Part(n) => format!("part-{n:08}.col"),
            Name::Manifest(n) => format!("manifest-{n:08}.txt"),
            Name::Temporary => "new.tmp".to_owned(),
        })
    }
}

/// The name under which a file is written before it is complete.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        let folder = Path::new("/x");
        for name in [Name::Wal(1), Name::Catalog(2), Name::Part(123_456_789), Name::Manifest(4)] {
            let path = name.path(folder);
            assert_eq!(Name::parse(path.file_name().unwrap().to_str().unwrap()), Some(name));
        }
        assert_eq!(Name::parse("part-00000001.col.corrupt"), None);
        assert_eq!(Name::parse("part-00000001.col.tmp"), Some(Name::Temporary));
        assert_eq!(Name::parse("wal-+0000001.log"), None);
    }
}
