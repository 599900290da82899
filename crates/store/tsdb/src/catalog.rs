//! The catalogue: a log of the series in memory, so that the sample log can name them by number.
//!
//! One record adds pairs and series, or drops series. It is written anew when most of it is history.
//! Layout in `docs/formats/metrics-wal.md`.

use std::fs;
use std::io;
use std::path::Path;

use crate::codec::bytes::{Reader, put_int, put_str, put_uint};
use crate::head::index::SeriesIndex;
use crate::names::{Name, temporary};
use crate::record::{HEADER, RecordFile, Records};

const MAGIC: &[u8; HEADER] = b"novaSER\x01";
const ADD: u8 = 1;
const DROP: u8 = 2;
const NEXT_GENERATION: u8 = 3;
/// Pairs or series per record of a rewritten catalogue.
const PER_RECORD: usize = 16 * 1024;

/// A series as it is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewSeries {
    pub slot: u32,
    pub generation: u32,
    pub hash: u64,
    /// Numbers of its pairs in order of name.
    pub pairs: Vec<u32>,
}

/// A pair as it is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewPair {
    pub number: u32,
    pub name: String,
    pub value: String,
}

/// The open catalogue.
pub(crate) struct Catalog {
    number: u64,
    pub(crate) file: RecordFile,
    /// Size when it was last written anew: it is due again at a few times that.
    compact: u64,
}

/// What opening the catalogue found.
pub(crate) struct Opened {
    pub catalog: Catalog,
    pub index: SeriesIndex,
    /// No series had this generation yet.
    pub next_generation: u32,
    /// Bytes cut from its end.
    pub damaged: u64,
}

impl Catalog {
    /// Reads catalogue `number`, or starts one if there is none.
    pub(crate) fn open(folder: &Path, number: Option<u64>) -> io::Result<Opened> {
        let mut index = SeriesIndex::default();
        let mut next_generation = 1;
        let Some(number) = number else {
            let file = RecordFile::create(&Name::Catalog(1).path(folder), MAGIC)?;
            return Ok(Opened {
                catalog: Catalog { number: 1, file, compact: 0 },
                index,
                next_generation,
                damaged: 0,
            });
        };
        let path = Name::Catalog(number).path(folder);
        let bytes = fs::read(&path)?;
        let Some(mut records) = Records::new(&bytes, MAGIC) else {
            let file = RecordFile::create(&path, MAGIC)?;
            let damaged = bytes.len() as u64;
            return Ok(Opened {
                catalog: Catalog { number, file, compact: 0 },
                index,
                next_generation,
                damaged,
            });
        };
        let (mut good, mut left) = (records.good(), records.left());
        while let Some(payload) = records.next() {
            if apply(payload, &mut index, &mut next_generation).is_none() {
                break;
            }
            (good, left) = (records.good(), records.left());
        }
        index.collect_free();
        let file = RecordFile::open(&path, good)?;
        let catalog = Catalog { number, file, compact: 0 };
        Ok(Opened { catalog, index, next_generation, damaged: left as u64 })
    }

    /// Logs new pairs and series.
    pub(crate) fn add(&mut self, pairs: &[NewPair], series: &[NewSeries]) -> io::Result<()> {
        self.file.append(|out| {
            let pairs = pairs.iter().map(|p| (p.number, p.name.as_str(), p.value.as_str()));
            let series = series.iter().map(|s| (s.slot, s.generation, s.hash, s.pairs.iter().copied()));
            put_add(out, pairs, series);
        })
    }

    /// Logs that the series in these slots left memory.
    pub(crate) fn remove(&mut self, slots: &[u32]) -> io::Result<()> {
        self.file.append(|out| {
            out.push(DROP);
            for slot in slots {
                put_uint(out, u64::from(*slot));
            }
        })
    }

    /// Writes the catalogue anew with only what is in memory, when it has grown to several times that.
    pub(crate) fn rewrite_if_due(
        &mut self,
        folder: &Path,
        index: &SeriesIndex,
        next_generation: u32,
    ) -> io::Result<()> {
        let floor = 64 * index.len() as u64 + (1 << 20);
        if self.file.length() < 2 * self.compact.max(floor) {
            return Ok(());
        }
        let path = Name::Catalog(self.number + 1).path(folder);
        let new = temporary(&path);
        let mut file = RecordFile::create(&new, MAGIC)?;
        file.append(|out| {
            out.push(NEXT_GENERATION);
            put_uint(out, u64::from(next_generation));
        })?;
        let none = || std::iter::empty::<(u32, u32, u64, std::iter::Empty<u32>)>();
        let mut pairs = index.iter_pairs().peekable();
        while pairs.peek().is_some() {
            file.append(|out| put_add(out, pairs.by_ref().take(PER_RECORD), none()))?;
        }
        let mut series = index.iter_slots().peekable();
        while series.peek().is_some() {
            file.append(|out| put_add(out, std::iter::empty(), series.by_ref().take(PER_RECORD)))?;
        }
        file.sync()?;
        fs::rename(&new, &path)?;
        sync_folder(folder)?;
        let old = Name::Catalog(self.number).path(folder);
        *self = Catalog { number: self.number + 1, compact: file.length(), file };
        fs::remove_file(old)
    }
}

/// Makes renames and removals in `folder` lasting.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

fn put_add<'a>(
    out: &mut Vec<u8>,
    pairs: impl Iterator<Item = (u32, &'a str, &'a str)>,
    series: impl Iterator<Item = (u32, u32, u64, impl Iterator<Item = u32>)>,
) {
    out.push(ADD);
    let mut body = Vec::new();
    let mut count = 0;
    for (number, name, value) in pairs {
        put_uint(&mut body, u64::from(number));
        put_str(&mut body, name);
        put_str(&mut body, value);
        count += 1;
    }
    put_uint(out, count);
    out.append(&mut body);
    let (mut slot_before, mut generation_before) = (0, 0);
    let mut numbers = Vec::new();
    for (slot, generation, hash, pairs) in series {
        put_int(out, i64::from(slot) - slot_before);
        put_int(out, i64::from(generation) - generation_before);
        (slot_before, generation_before) = (i64::from(slot), i64::from(generation));
        out.extend_from_slice(&hash.to_le_bytes());
        numbers.clear();
        numbers.extend(pairs);
        put_uint(out, numbers.len() as u64);
        for number in &numbers {
            put_uint(out, u64::from(*number));
        }
    }
}

/// Applies one record; `None` when it makes no sense.
pub(crate) fn apply(payload: &[u8], index: &mut SeriesIndex, next_generation: &mut u32) -> Option<()> {
    let mut reader = Reader::new(payload);
    match reader.u8()? {
        ADD => {
            for _ in 0..reader.count()? {
                let number = reader.uint32()?;
                let (name, value) = (reader.str()?, reader.str()?);
                index.add_pair(number, name, value)?;
            }
            let (mut slot, mut generation) = (0i64, 0i64);
            let mut pairs = Vec::new();
            while !reader.is_empty() {
                slot = slot.checked_add(reader.int()?)?;
                generation = generation.checked_add(reader.int()?)?;
                let hash = reader.u64()?;
                pairs.clear();
                for _ in 0..reader.count()? {
                    pairs.push(reader.uint32()?);
                }
                let known = u32::try_from(generation).ok()?;
                *next_generation = (*next_generation).max(known.checked_add(1)?);
                index.add_series(u32::try_from(slot).ok()?, known, hash, &pairs)?;
            }
        }
        DROP => {
            while !reader.is_empty() {
                index.remove(reader.uint32()?);
            }
        }
        NEXT_GENERATION => *next_generation = (*next_generation).max(reader.uint32()?),
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewriting_keeps_numbers_and_forgets_history() {
        let folder = tempfile::tempdir().unwrap();
        let Opened { mut catalog, mut index, .. } = Catalog::open(folder.path(), None).unwrap();
        let mut generation = 0;
        // Churn: each round drops the series of the one before, but for one that stays.
        while catalog.number == 1 {
            let round = generation / 1000;
            let mut vacant = index.vacancies();
            let (mut pairs, mut series) = (Vec::new(), Vec::new());
            for n in 0..1000 {
                generation += 1;
                let number = index.next_pair(&mut vacant);
                pairs.push(NewPair {
                    number,
                    name: "pod".to_owned(),
                    value: format!("{round}-{n}-{}", "x".repeat(100)),
                });
                let slot = index.next_slot(&mut vacant);
                series.push(NewSeries { slot, generation, hash: u64::from(generation), pairs: vec![number] });
            }
            catalog.add(&pairs, &series).unwrap();
            index.take(&vacant);
            pairs.iter().for_each(|p| index.add_pair(p.number, &p.name, &p.value).unwrap());
            series.iter().for_each(|s| index.add_series(s.slot, s.generation, s.hash, &s.pairs).unwrap());
            let gone: Vec<u32> = series.iter().map(|s| s.slot).filter(|slot| *slot != 700 + round).collect();
            catalog.remove(&gone).unwrap();
            gone.iter().for_each(|slot| index.remove(*slot));
            index.collect_free();
            catalog.rewrite_if_due(folder.path(), &index, generation + 1).unwrap();
        }
        let content = |index: &SeriesIndex| -> Vec<_> {
            index.iter().map(|(slot, generation, _, _)| (slot, generation, index.labels(slot))).collect()
        };
        let expected = content(&index);
        assert!(expected.len() > 3, "one series per round stayed");
        assert!(catalog.file.length() < 1 << 18);
        drop(catalog);
        assert!(!Name::Catalog(1).path(folder.path()).exists());
        let again = Catalog::open(folder.path(), Some(2)).unwrap();
        assert_eq!(
            (content(&again.index), again.damaged, again.next_generation),
            (expected, 0, generation + 1)
        );
    }
}
