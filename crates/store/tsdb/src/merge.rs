//! Several parts become one: series are merged in order, their samples re-encoded in longer streams.

use std::cell::OnceCell;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use novaobs_model::{METRIC_NAME, Samples};

use crate::limits::{PAGE_SAMPLES, PAGE_SERIES, PAGE_TOTAL_SAMPLES, SMALLEST_RANGE_MS};
use crate::part::index::{Group, GroupLabels, Page, PartIndex};
use crate::part::page::PageTable;
use crate::part::reader::{Damaged, PageReader, Part};
use crate::part::writer::PartWriter;
use crate::tidy::tidy;

/// Why parts could not be merged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MergeError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// The store is closing.
    #[error("merging was stopped")]
    Stopped,
}

/// Writes the content of `parts` to `path`.
pub(crate) fn merge(parts: &[Arc<Part>], path: &Path, stop: impl Fn() -> bool) -> Result<(), MergeError> {
    let mut indexes = Vec::with_capacity(parts.len());
    for part in parts {
        indexes.push(part.index()?);
    }
    let union = PairUnion::of(parts, &indexes)?;
    let mut out = PartWriter::create(path, union.pairs.iter().copied())?;
    let mut walks = Vec::with_capacity(parts.len());
    for ((part, index), places) in parts.iter().zip(&indexes).zip(&union.places) {
        let mut walk = Walk {
            part,
            index: *index,
            places,
            metrics: union.metrics.clone(),
            next_group: 0,
            group: None,
            key: Vec::new(),
        };
        if walk.advance()? {
            walks.push(walk);
        }
    }
    let mut reader = PageReader::default();
    let mut group: Vec<Series<'_>> = Vec::new();
    while let Some(key) = walks.iter().map(|walk| &walk.key).min().cloned() {
        let full = group.len() >= PAGE_SERIES;
        if full || group.first().is_some_and(|series| series.key.first() != key.first()) {
            if stop() {
                return Err(MergeError::Stopped);
            }
            write_group(&mut group, &mut reader, &mut out)?;
        }
        let mut series = Series { key, sources: Vec::new() };
        let mut at = 0;
        while let Some(walk) = walks.get_mut(at) {
            if walk.key == series.key {
                series.sources.extend(walk.source());
                if !walk.advance()? {
                    walks.remove(at);
                    continue;
                }
            }
            at += 1;
        }
        group.push(series);
    }
    write_group(&mut group, &mut reader, &mut out)?;
    out.finish()?;
    Ok(())
}

/// The pairs of all parts in order, and where each part's pairs are among them.
struct PairUnion<'a> {
    pairs: Vec<(&'a str, &'a str)>,
    places: Vec<Vec<u32>>,
    /// The pairs that are metric names.
    metrics: std::ops::Range<u32>,
}

impl<'a> PairUnion<'a> {
    fn of(parts: &[Arc<Part>], indexes: &[PartIndex<'a>]) -> Result<Self, Damaged> {
        let mut lists = Vec::with_capacity(indexes.len());
        for (part, index) in parts.iter().zip(indexes) {
            lists.push(pairs_of(index).ok_or_else(|| part.garbled())?);
        }
        let mut pairs: Vec<(&str, &str)> = lists.iter().flatten().copied().collect();
        // The lists are sorted: a stable sort finds their runs and merges them.
        pairs.sort();
        pairs.dedup();
        let places = lists.iter().map(|list| {
            let mut union = (0u32..).zip(&pairs);
            list.iter().map(|pair| union.find(|(_, p)| *p == pair).map_or(0, |(place, _)| place)).collect()
        });
        let places = places.collect();
        let from = pairs.partition_point(|(name, _)| *name < METRIC_NAME) as u32;
        let to = pairs.partition_point(|(name, _)| *name <= METRIC_NAME) as u32;
        Ok(PairUnion { pairs, places, metrics: from..to })
    }
}

fn pairs_of<'a>(index: &PartIndex<'a>) -> Option<Vec<(&'a str, &'a str)>> {
    let mut pairs = Vec::with_capacity(index.pairs() as usize);
    for place in 0..index.names() {
        let (name, range) = index.name(place)?;
        for pair in range {
            pairs.push((name, index.value(pair)?));
        }
    }
    (pairs.len() == index.pairs() as usize).then_some(pairs)
}

/// A group of a part that is read from, with what its series share.
struct OpenGroup {
    pages: Vec<(Page, OnceCell<PageTable>)>,
    series: usize,
}

/// Steps through a part's series in order.
struct Walk<'a> {
    part: &'a Arc<Part>,
    index: PartIndex<'a>,
    places: &'a [u32],
    metrics: std::ops::Range<u32>,
    next_group: u32,
    group: Option<(Rc<OpenGroup>, GroupLabels<'a>, usize)>,
    /// Of the current series: its metric's place plus one (0: no name), then the places of all its pairs.
    key: Vec<u32>,
}

impl<'a> Walk<'a> {
    /// Goes to the next series; `false` at the end.
    fn advance(&mut self) -> Result<bool, Damaged> {
        let garbled = || self.part.garbled();
        loop {
            if let Some((open, labels, place)) = &mut self.group
                && *place < open.series
            {
                let pairs = labels.next().ok_or_else(garbled)?;
                *place += 1;
                self.key.clear();
                self.key.push(0);
                for pair in pairs {
                    let place = *self.places.get(*pair as usize).ok_or_else(garbled)?;
                    self.key.push(place);
                    if self.metrics.contains(&place)
                        && let Some(metric) = self.key.first_mut()
                    {
                        *metric = place + 1;
                    }
                }
                return Ok(true);
            }
            if self.next_group >= self.index.groups() {
                return Ok(false);
            }
            let group: Group<'a> = self.index.group(self.next_group).ok_or_else(garbled)?;
            self.next_group += 1;
            let labels = group.labels();
            let pages = group.pages.into_iter().map(|page| (page, OnceCell::new())).collect();
            self.group = Some((Rc::new(OpenGroup { pages, series: group.series as usize }), labels, 0));
        }
    }

    /// The current series' samples.
    fn source(&self) -> Option<Source<'a>> {
        let (group, _, place) = self.group.as_ref()?;
        let (group, place) = (group.clone(), place.checked_sub(1)?);
        Some(Source { part: self.part, group, place, next_page: 0, samples: Samples::default(), taken: 0 })
    }
}

/// A series of the part being written.
struct Series<'a> {
    key: Vec<u32>,
    sources: Vec<Source<'a>>,
}

/// One part's samples of a series, read page by page.
struct Source<'a> {
    part: &'a Arc<Part>,
    group: Rc<OpenGroup>,
    place: usize,
    next_page: usize,
    samples: Samples,
    taken: usize,
}

impl Source<'_> {
    /// No sample before this time is left; `None` when none is left.
    fn next_time(&self) -> Option<i64> {
        let held = self.samples.timestamps.get(self.taken).copied();
        held.or_else(|| self.group.pages.get(self.next_page).map(|(page, _)| page.first))
    }

    /// Moves the samples before `limit` to `out`.
    fn take_before(&mut self, limit: i64, reader: &mut PageReader, out: &mut Samples) -> Result<(), Damaged> {
        loop {
            let left = self.samples.timestamps.get(self.taken..).unwrap_or(&[]);
            let until = self.taken + left.partition_point(|time| *time < limit);
            out.timestamps.extend_from_slice(self.samples.timestamps.get(self.taken..until).unwrap_or(&[]));
            out.values.extend_from_slice(self.samples.values.get(self.taken..until).unwrap_or(&[]));
            self.taken = until;
            if until < self.samples.len() {
                return Ok(());
            }
            let Some((page, table)) = self.group.pages.get(self.next_page) else { return Ok(()) };
            if page.first >= limit {
                return Ok(());
            }
            self.next_page += 1;
            let bytes = self.part.page(page)?;
            if table.get().is_none() {
                let decoded = PageTable::decode(bytes, page.offset, self.group.series);
                let _ = table.set(decoded.ok_or_else(|| self.part.damaged("a page's table makes no sense"))?);
            }
            self.samples.clear();
            self.taken = 0;
            if let Some(table) = table.get() {
                reader.read(self.part, page, table, self.place, (i64::MIN, i64::MAX), &mut self.samples)?;
            }
        }
    }
}

/// Writes a group's samples in pages and empties it.
fn write_group(
    group: &mut Vec<Series<'_>>,
    reader: &mut PageReader,
    out: &mut PartWriter,
) -> Result<(), MergeError> {
    if group.is_empty() {
        return Ok(());
    }
    out.begin_group(group.iter().map(|series| series.key.get(1..).unwrap_or(&[])));
    let mut page: Vec<Samples> = Vec::new();
    page.resize_with(group.len(), Samples::default);
    loop {
        let next = group.iter().flat_map(|series| &series.sources).filter_map(Source::next_time).min();
        let longest = page.iter().map(Samples::len).max().unwrap_or(0);
        let total: usize = page.iter().map(Samples::len).sum();
        if longest > 0 && (next.is_none() || longest >= PAGE_SAMPLES || total >= PAGE_TOTAL_SAMPLES) {
            page.iter_mut().for_each(tidy);
            out.page(&page)?;
            page.iter_mut().for_each(Samples::clear);
        }
        let Some(next) = next else { break };
        let limit = next.div_euclid(SMALLEST_RANGE_MS).saturating_add(1).saturating_mul(SMALLEST_RANGE_MS);
        for (series, samples) in group.iter_mut().zip(&mut page) {
            for source in &mut series.sources {
                source.take_before(limit, reader, samples)?;
            }
        }
    }
    group.clear();
    Ok(())
}
