//! Writes a part: pages to the file as they come, the index behind them at the end.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use novaobs_model::Samples;

use super::page::{self, TimeStreams};
use super::{Footer, MAGIC, Section};
use crate::catalog::sync_folder;
use crate::codec::bytes::{put_int, put_uint};
use crate::names::temporary;
use crate::postings::Postings;

/// A part being written. Dropped unfinished, it leaves nothing.
pub(crate) struct PartWriter {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    offset: u64,
    names: Vec<u8>,
    values: Vec<u8>,
    postings: Vec<Postings>,
    groups: Vec<u8>,
    details: Vec<u8>,
    footer: Footer,
    streams: TimeStreams,
    /// Pages and labels of the group being written.
    group_pages: Vec<u8>,
    group_page_count: u64,
    group_labels: Vec<u8>,
    buffer: Vec<u8>,
}

impl PartWriter {
    /// Starts a part whose series have labels among `pairs`, sorted by name, then value. A pair's place in
    /// that order is its number.
    pub(crate) fn create<'a>(
        path: &Path,
        pairs: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> io::Result<Self> {
        let mut file = BufWriter::with_capacity(1 << 18, File::create(temporary(path))?);
        file.write_all(MAGIC)?;
        let (names, values, count) = pair_sections(pairs);
        let mut postings = Vec::new();
        postings.resize_with(count, Postings::default);
        Ok(PartWriter {
            path: path.to_owned(),
            file: Some(file),
            offset: MAGIC.len() as u64,
            names,
            values,
            postings,
            groups: Vec::new(),
            details: Vec::new(),
            footer: Footer { first: i64::MAX, last: i64::MIN, ..Footer::default() },
            streams: TimeStreams::default(),
            group_pages: Vec::new(),
            group_page_count: 0,
            group_labels: Vec::new(),
            buffer: Vec::new(),
        })
    }

    /// Begins a group: for each series, in order, the numbers of its pairs in order of name.
    pub(crate) fn begin_group<'a>(&mut self, series: impl Iterator<Item = &'a [u32]>) {
        self.end_group();
        self.groups.extend_from_slice(&self.footer.series.to_le_bytes());
        self.groups.extend_from_slice(&self.footer.pages.to_le_bytes());
        self.groups.extend_from_slice(&(self.details.len() as u32).to_le_bytes());
        let mut previous: &[u32] = &[];
        for pairs in series {
            let shared = previous.iter().zip(pairs).take_while(|(a, b)| a == b).count();
            put_uint(&mut self.group_labels, shared as u64);
            put_uint(&mut self.group_labels, (pairs.len() - shared) as u64);
            for pair in pairs.iter().skip(shared) {
                put_uint(&mut self.group_labels, u64::from(*pair));
            }
            for pair in pairs {
                if let Some(postings) = self.postings.get_mut(*pair as usize) {
                    postings.insert(self.footer.series);
                }
            }
            previous = pairs;
            self.footer.series += 1;
        }
    }

    /// Writes the next stretch of time of the group: samples per series, in the order of the group;
    /// a series without samples in it is empty.
    pub(crate) fn page(&mut self, series: &[Samples]) -> io::Result<()> {
        let longest = series.iter().map(Samples::len).max().unwrap_or(0);
        if longest > crate::codec::ints::MAX_COUNT {
            return self.halves(series);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let Some(summary) = summarise(series) else { return Ok(()) };
        for samples in series.iter().filter(|samples| !samples.is_empty()) {
            self.buffer.clear();
            self.streams.add(&samples.timestamps, self.offset, &mut self.buffer);
            file.write_all(&self.buffer)?;
            self.offset += self.buffer.len() as u64;
        }
        self.buffer.clear();
        page::encode(series, self.offset, &mut self.streams, &mut self.buffer);
        file.write_all(&self.buffer)?;
        let (first, last, samples) = summary;
        let row = &mut self.group_pages;
        put_int(row, first);
        put_uint(row, last.wrapping_sub(first) as u64);
        put_uint(row, self.offset);
        put_uint(row, self.buffer.len() as u64);
        put_uint(row, samples);
        row.extend_from_slice(&crc32fast::hash(&self.buffer).to_le_bytes());
        self.offset += self.buffer.len() as u64;
        self.group_page_count += 1;
        self.footer.pages += 1;
        self.footer.samples += samples;
        self.footer.first = self.footer.first.min(first);
        self.footer.last = self.footer.last.max(last);
        Ok(())
    }

    /// Writes a stretch that has too many samples as two.
    fn halves(&mut self, series: &[Samples]) -> io::Result<()> {
        let longest = series.iter().max_by_key(|samples| samples.len());
        let Some(middle) = longest.and_then(|s| s.timestamps.get(s.len() / 2)).copied() else {
            return Ok(());
        };
        for after in [false, true] {
            let half = series.iter().map(|samples| {
                let at = samples.timestamps.partition_point(|t| *t < middle);
                let range = if after { at..samples.len() } else { 0..at };
                Samples {
                    timestamps: samples.timestamps.get(range.clone()).unwrap_or(&[]).to_vec(),
                    values: samples.values.get(range).unwrap_or(&[]).to_vec(),
                }
            });
            self.page(&half.collect::<Vec<_>>())?;
        }
        Ok(())
    }

    fn end_group(&mut self) {
        if self.group_labels.is_empty() {
            return;
        }
        put_uint(&mut self.details, self.group_page_count);
        self.details.append(&mut self.group_pages);
        self.details.append(&mut self.group_labels);
        self.group_page_count = 0;
    }

    /// Whether nothing was written.
    pub(crate) fn is_empty(&self) -> bool {
        self.footer.samples == 0
    }

    /// Writes the index and makes the part lasting under its name. It is in no manifest yet.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.end_group();
        let Some(mut file) = self.file.take() else { return Ok(()) };
        let done = self
            .write_index(&mut file)
            .and_then(|()| file.into_inner().map_err(io::Error::from))
            .and_then(|file| {
                file.sync_all()?;
                std::fs::rename(temporary(&self.path), &self.path)?;
                self.path.parent().map_or(Ok(()), sync_folder)
            });
        if done.is_err() {
            let _ = std::fs::remove_file(temporary(&self.path));
        }
        done
    }

    fn write_index(&mut self, file: &mut impl Write) -> io::Result<()> {
        let mut offsets = Vec::with_capacity(4 * self.postings.len() + 4);
        let mut sets = Vec::new();
        for postings in std::mem::take(&mut self.postings) {
            offsets.extend_from_slice(&offset32(sets.len())?);
            postings.encode(&mut sets);
        }
        offsets.extend_from_slice(&offset32(sets.len())?);
        offsets.append(&mut sets);
        offset32(self.details.len())?;
        let sections = [&self.names, &self.values, &offsets, &self.groups, &self.details];
        for (section, bytes) in self.footer.sections.iter_mut().zip(sections) {
            *section =
                Section { offset: self.offset, length: bytes.len() as u64, checksum: crc32fast::hash(bytes) };
            file.write_all(bytes)?;
            self.offset += bytes.len() as u64;
        }
        file.write_all(&self.footer.encode())?;
        file.flush()
    }
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = std::fs::remove_file(temporary(&self.path));
        }
    }
}

fn offset32(offset: usize) -> io::Result<[u8; 4]> {
    let offset = u32::try_from(offset).map_err(|_| io::Error::other("the index of a part exceeds 4 GiB"))?;
    Ok(offset.to_le_bytes())
}

/// First time, last time and number of samples; `None` without samples.
fn summarise(series: &[Samples]) -> Option<(i64, i64, u64)> {
    let first = series.iter().filter_map(|s| s.timestamps.first()).min()?;
    let last = series.iter().filter_map(|s| s.timestamps.last()).max()?;
    Some((*first, *last, series.iter().map(|s| s.len() as u64).sum()))
}

/// The sections of names and of values, and the number of pairs.
fn pair_sections<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> (Vec<u8>, Vec<u8>, usize) {
    let mut names: Vec<(&str, u32)> = Vec::new();
    let (mut value_offsets, mut value_texts) = (Vec::new(), Vec::new());
    let mut count = 0u32;
    for (name, value) in pairs {
        if names.last().is_none_or(|(last, _)| *last != name) {
            names.push((name, count));
        }
        value_offsets.extend_from_slice(&(value_texts.len() as u32).to_le_bytes());
        value_texts.extend_from_slice(value.as_bytes());
        count += 1;
    }
    value_offsets.extend_from_slice(&(value_texts.len() as u32).to_le_bytes());
    value_offsets.append(&mut value_texts);

    let mut section = (names.len() as u32).to_le_bytes().to_vec();
    let mut texts = Vec::new();
    for (name, first_pair) in &names {
        section.extend_from_slice(&first_pair.to_le_bytes());
        section.extend_from_slice(&(texts.len() as u32).to_le_bytes());
        texts.extend_from_slice(name.as_bytes());
    }
    section.extend_from_slice(&count.to_le_bytes());
    section.extend_from_slice(&(texts.len() as u32).to_le_bytes());
    section.append(&mut texts);
    (section, value_offsets, count as usize)
}

/// Where streams of times were written in this part, by a hash of their times.
pub(crate) type StreamOffsets = HashMap<u128, u64>;
