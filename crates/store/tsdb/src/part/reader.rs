//! An open part: the mapped file, its checks, and reading samples from its pages.
#![expect(unsafe_code, reason = "a memory-mapped file: see `map`")]

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use memmap2::Mmap;
use novaobs_model::Samples;

use super::index::{Page, PartIndex};
use super::page::{PageTable, Times};
use super::{FOOTER_BYTES, Footer, MAGIC};
use crate::codec::values;

const BAD_TIMES: &str = "a stream of times does not match its checksum";

/// A part that cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{path}: {what} (it is set aside, the other parts are read)", path = path.display())]
pub(crate) struct Damaged {
    path: PathBuf,
    what: String,
}

/// An immutable part.
pub(crate) struct Part {
    pub(crate) number: u64,
    path: PathBuf,
    map: Mmap,
    footer: Footer,
    index_good: OnceLock<bool>,
    /// A bit per page whose checksum has been seen to hold.
    pages_good: Vec<AtomicU64>,
    broken: AtomicBool,
}

/// Maps a file that the store has finished writing.
///
/// The mapping is sound as long as nobody shortens or rewrites the file: parts are written once under
/// another name, never opened for writing again, and the folder is locked against other stores. Removing
/// the file leaves the mapping intact.
fn map(path: &Path) -> io::Result<Mmap> {
    let file = File::open(path)?;
    // SAFETY: the file is immutable from here on, see above.
    unsafe { Mmap::map(&file) }
}

impl Part {
    /// Opens a part; reads only its first bytes and its footer.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] for what is no whole part, others from the file system.
    pub(crate) fn open(number: u64, path: &Path) -> io::Result<Part> {
        let map = map(path)?;
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        if !map.starts_with(MAGIC) {
            return Err(invalid("it does not begin like a part of a version this program knows"));
        }
        let at = map.len().checked_sub(FOOTER_BYTES).ok_or_else(|| invalid("it is too short"))?;
        let footer =
            map.get(at..).and_then(Footer::decode).ok_or_else(|| invalid("its footer is damaged"))?;
        let in_file =
            |offset: u64, length: u64| offset.checked_add(length).is_some_and(|end| end <= at as u64);
        if !footer.sections.iter().all(|section| in_file(section.offset, section.length)) {
            return Err(invalid("its footer points outside of it"));
        }
        let mut pages_good = Vec::new();
        pages_good.resize_with((footer.pages as usize).div_ceil(64), AtomicU64::default);
        Ok(Part {
            number,
            path: path.to_owned(),
            map,
            footer,
            index_good: OnceLock::new(),
            pages_good,
            broken: AtomicBool::new(false),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn footer(&self) -> &Footer {
        &self.footer
    }

    /// Size of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.map.len() as u64
    }

    /// Whether any sample may lie in the range.
    pub(crate) fn overlaps(&self, start: i64, end: i64) -> bool {
        self.footer.first <= end && self.footer.last >= start
    }

    /// Whether a read found damage.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Notes and logs that the part cannot be read.
    pub(crate) fn damaged(&self, what: &str) -> Damaged {
        if !self.broken.swap(true, Ordering::Relaxed) {
            tracing::error!(part = %self.path.display(), "part is damaged and will be set aside: {what}");
        }
        Damaged { path: self.path.clone(), what: what.to_owned() }
    }

    /// The index, its checksums checked the first time.
    pub(crate) fn index(&self) -> Result<PartIndex<'_>, Damaged> {
        let good = *self.index_good.get_or_init(|| {
            self.footer.sections.iter().all(|section| {
                let bytes = self.map.get(section.offset as usize..(section.offset + section.length) as usize);
                bytes.is_some_and(|bytes| crc32fast::hash(bytes) == section.checksum)
            })
        });
        let index = good.then(|| PartIndex::new(&self.map, &self.footer)).flatten();
        index.ok_or_else(|| self.damaged("its index does not match its checksum"))
    }

    /// The bytes of a page, its checksum checked the first time.
    pub(crate) fn page(&self, page: &Page) -> Result<&[u8], Damaged> {
        let bytes = usize::try_from(page.offset)
            .ok()
            .and_then(|start| self.map.get(start..start.checked_add(page.length)?))
            .ok_or_else(|| self.damaged("a page lies outside of it"))?;
        let bit = 1 << (page.number % 64);
        let Some(word) = self.pages_good.get(page.number as usize / 64) else {
            return Err(self.damaged("it has more pages than its footer says"));
        };
        if word.load(Ordering::Relaxed) & bit == 0 {
            if crc32fast::hash(bytes) != page.checksum {
                return Err(self.damaged("a page does not match its checksum"));
            }
            word.fetch_or(bit, Ordering::Relaxed);
        }
        Ok(bytes)
    }

    /// Checks all of the part.
    pub(crate) fn check(&self) -> Result<(), Damaged> {
        let index = self.index()?;
        let mut checked = HashSet::new();
        for number in 0..index.groups() {
            let group = index.group(number).ok_or_else(|| self.garbled())?;
            for page in &group.pages {
                let table = PageTable::decode(self.page(page)?, page.offset, group.series as usize);
                let table = table.ok_or_else(|| self.damaged("a page's table makes no sense"))?;
                for stream in table.streams().filter(|stream| checked.insert(*stream)) {
                    self.times(stream).ok_or_else(|| self.damaged(BAD_TIMES))?;
                }
            }
        }
        Ok(())
    }

    /// The checked bytes of a stream of times.
    fn times(&self, offset: u64) -> Option<Times<'_>> {
        Times::open(self.map.get(usize::try_from(offset).ok()?..)?)
    }

    pub(crate) fn garbled(&self) -> Damaged {
        self.damaged("its index makes no sense")
    }
}

/// Reads samples from parts; keeps what neighbours share.
#[derive(Default)]
pub(crate) struct PageReader {
    /// Decoded streams of times by part and offset.
    times: HashMap<(u64, u64), Vec<i64>>,
    times_held: usize,
    ints: Vec<i64>,
    values: Vec<f64>,
}

/// Decoded times kept at most: 4 MB.
const TIMES_HELD: usize = 512 * 1024;

impl PageReader {
    /// Appends the samples of the series at `place` of the page that lie in the range.
    pub(crate) fn read(
        &mut self,
        part: &Part,
        page: &Page,
        table: &PageTable,
        place: usize,
        (start, end): (i64, i64),
        out: &mut Samples,
    ) -> Result<(), Damaged> {
        let bytes = part.page(page)?;
        let wrong = || part.damaged("a page's table makes no sense");
        let Some((stream, range)) = table.row(place).ok_or_else(wrong)? else { return Ok(()) };
        let key = (part.number, stream);
        if !self.times.contains_key(&key) {
            if self.times_held > TIMES_HELD {
                self.times.clear();
                self.times_held = 0;
            }
            let mut times = Vec::new();
            let decoded = part.times(stream).and_then(|stored| stored.decode(&mut times));
            decoded.ok_or_else(|| part.damaged(BAD_TIMES))?;
            self.times_held += times.len();
            self.times.insert(key, times);
        }
        let times = self.times.get(&key).map_or(&[][..], Vec::as_slice);
        let from = times.partition_point(|t| *t < start);
        let to = times.partition_point(|t| *t <= end);
        if from >= to {
            return Ok(());
        }
        let stream = bytes.get(range).ok_or_else(wrong)?;
        let garbled = || part.damaged("a stream of values makes no sense");
        if from == 0 && to == times.len() {
            values::decode(stream, times.len(), &mut self.ints, &mut out.values).ok_or_else(garbled)?;
        } else {
            self.values.clear();
            values::decode(stream, times.len(), &mut self.ints, &mut self.values).ok_or_else(garbled)?;
            out.values.extend_from_slice(self.values.get(from..to).ok_or_else(garbled)?);
        }
        out.timestamps.extend_from_slice(times.get(from..to).unwrap_or(&[]));
        Ok(())
    }
}
