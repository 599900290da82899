//! Reading: one snapshot of memory and parts, series merged in order, samples decoded as they are pulled.

use std::sync::Arc;

use novaobs_model::{
    Labels, Lease, Matcher, QueryControl, Samples, SelectError, SelectRequest, SeriesCursor, SeriesSamples,
};
use roaring::RoaringBitmap;

use crate::head::buffers::{Buffer, Samplings};
use crate::matching::resolve;
use crate::part::index::Page;
use crate::part::page::PageTable;
use crate::part::reader::{Damaged, PageReader, Part};
use crate::store::Store;
use crate::tidy::tidy;

/// Series between two looks at the clock.
const CHECK_EVERY: usize = 64;
/// Bytes a series of a selection's head costs besides its labels.
const ENTRY_BYTES: u64 = 48;

impl From<Damaged> for SelectError {
    fn from(damaged: Damaged) -> Self {
        SelectError::Storage(damaged.to_string())
    }
}

impl Store {
    /// See [`novaobs_model::SeriesSource::select`].
    pub(crate) fn select<'a>(
        &self,
        request: &SelectRequest,
        control: &'a QueryControl,
    ) -> Result<Cursor<'a>, SelectError> {
        let sources = self.sources(&request.matchers, request.start, request.end, control)?;
        Ok(Cursor {
            sources,
            control,
            range: (request.start, request.end),
            pages: PageReader::default(),
            ints: Vec::new(),
        })
    }

    /// The series that match, from memory and from each part, each sorted by [`order`].
    pub(crate) fn sources(
        &self,
        matchers: &[Matcher],
        start: i64,
        end: i64,
        control: &QueryControl,
    ) -> Result<Sources, SelectError> {
        control.check()?;
        let mut sources = Sources { head: None, parts: Vec::new(), current: None, steps: 0 };
        if start > end {
            return Ok(sources);
        }
        let view = {
            // The view stays locked until the slots are resolved: a slot means the same in both.
            let view = self.view.read();
            let head = [view.sealed.as_ref().map(|s| s.samples.clone()), Some(view.active.clone())];
            let samples = head.into_iter().flatten().filter(|s| s.buffers.read().overlaps(start, end));
            sources.head = HeadSource::of(self, samples.collect(), matchers, (start, end), control)?;
            view.clone()
        };
        for part in view.parts.iter().filter(|part| part.overlaps(start, end) && !part.is_broken()) {
            control.check()?;
            // A damaged index was logged; what the other parts have is the best answer there is.
            let Ok(index) = part.index() else { continue };
            let Ok(wanted) = resolve(&index, matchers) else {
                part.garbled();
                continue;
            };
            if !wanted.is_empty() {
                sources.parts.push(PartSource::new(part.clone(), wanted, (start, end)));
            }
        }
        for part in &mut sources.parts {
            part.advance()?;
        }
        Ok(sources)
    }
}

/// Series by metric name, then labels: how parts store them.
pub(crate) fn order(a: &Labels, b: &Labels) -> std::cmp::Ordering {
    a.metric_name().cmp(b.metric_name()).then_with(|| a.cmp(b))
}

/// The series of a selection, merged from all places.
pub(crate) struct Sources {
    head: Option<HeadSource>,
    parts: Vec<PartSource>,
    current: Option<Labels>,
    steps: usize,
}

impl Sources {
    /// Goes to the next series.
    pub(crate) fn advance(&mut self, control: &QueryControl) -> Result<Option<&Labels>, SelectError> {
        self.steps += 1;
        if self.steps.is_multiple_of(CHECK_EVERY) {
            control.check()?;
        }
        if let Some(current) = self.current.take() {
            if let Some(head) = &mut self.head
                && head.labels() == Some(&current)
            {
                head.series.pop();
            }
            for part in &mut self.parts {
                if part.labels() == Some(&current) {
                    part.advance()?;
                }
            }
        }
        let candidates = self
            .head
            .iter()
            .filter_map(HeadSource::labels)
            .chain(self.parts.iter().filter_map(PartSource::labels));
        self.current = candidates.min_by(|a, b| order(a, b)).cloned();
        Ok(self.current.as_ref())
    }
}

/// Matching series in memory.
struct HeadSource {
    /// Sorted, last first.
    series: Vec<(Labels, u32)>,
    samples: Vec<Arc<Samplings>>,
    _lease: Lease,
}

impl HeadSource {
    fn of(
        store: &Store,
        samples: Vec<Arc<Samplings>>,
        matchers: &[Matcher],
        (start, end): (i64, i64),
        control: &QueryControl,
    ) -> Result<Option<HeadSource>, SelectError> {
        if samples.is_empty() {
            return Ok(None);
        }
        let mut lease = control.pool().take(0)?;
        let index = store.index.read();
        let Ok(slots) = resolve(&*index, matchers);
        let buffers: Vec<_> = samples.iter().map(|samples| samples.buffers.read()).collect();
        let in_range =
            |buffer: &Buffer| buffer.range().is_some_and(|(first, last)| first <= end && last >= start);
        let present = slots.iter().filter(|slot| buffers.iter().any(|b| b.get(*slot).is_some_and(in_range)));
        let mut series = Vec::new();
        for (count, slot) in present.enumerate() {
            if count.is_multiple_of(CHECK_EVERY) {
                control.check()?;
            }
            let labels = index.labels(slot);
            lease.grow(labels.heap_bytes() as u64 + ENTRY_BYTES)?;
            series.push((labels, slot));
        }
        drop(buffers);
        drop(index);
        series.sort_unstable_by(|a, b| order(&b.0, &a.0));
        Ok(Some(HeadSource { series, samples, _lease: lease }))
    }

    fn labels(&self) -> Option<&Labels> {
        self.series.last().map(|(labels, _)| labels)
    }

    fn read(&self, (start, end): (i64, i64), ints: &mut Vec<i64>, out: &mut Samples) {
        let Some((_, slot)) = self.series.last() else { return };
        for samples in &self.samples {
            if let Some(buffer) = samples.buffers.read().get(*slot) {
                buffer.read(start, end, ints, out);
            }
        }
    }
}

/// Matching series of one part.
struct PartSource {
    part: Arc<Part>,
    wanted: roaring::bitmap::IntoIter,
    range: (i64, i64),
    group: Option<OpenGroup>,
    current: Option<(Labels, usize)>,
}

/// The group the current series is in.
struct OpenGroup {
    first: u32,
    series: usize,
    /// Those that overlap the wanted range.
    pages: Vec<(Page, Option<PageTable>)>,
    /// Pairs of all its series, and where each series' end.
    pairs: Vec<u32>,
    ends: Vec<usize>,
}

impl PartSource {
    fn new(part: Arc<Part>, wanted: RoaringBitmap, range: (i64, i64)) -> Self {
        PartSource { part, wanted: wanted.into_iter(), range, group: None, current: None }
    }

    fn labels(&self) -> Option<&Labels> {
        self.current.as_ref().map(|(labels, _)| labels)
    }

    /// Goes to the next series of a group that has pages in the range.
    fn advance(&mut self) -> Result<(), Damaged> {
        self.current = None;
        while let Some(series) = self.wanted.next() {
            let inside =
                |group: &OpenGroup| (group.first..group.first + group.series as u32).contains(&series);
            if !self.group.as_ref().is_some_and(inside) {
                self.open_group(series)?;
            }
            let Some(group) = self.group.as_ref() else { continue };
            if group.pages.is_empty() {
                // On to the next group without looking at each of its series.
                self.wanted.advance_to(group.first + group.series as u32);
                continue;
            }
            let place = (series - group.first) as usize;
            let labels = self.labels_of(group, place).ok_or_else(|| self.part.garbled())?;
            self.current = Some((labels, place));
            return Ok(());
        }
        Ok(())
    }

    fn labels_of(&self, group: &OpenGroup, place: usize) -> Option<Labels> {
        let index = self.part.index().ok()?;
        let start = match place.checked_sub(1) {
            Some(before) => *group.ends.get(before)?,
            None => 0,
        };
        let pairs = group.pairs.get(start..*group.ends.get(place)?)?;
        let mut texts = Vec::with_capacity(pairs.len());
        for pair in pairs {
            texts.push((index.name_of(*pair)?, index.value(*pair)?));
        }
        Some(Labels::from_sorted(texts))
    }

    fn open_group(&mut self, series: u32) -> Result<(), Damaged> {
        let garbled = || self.part.garbled();
        let index = self.part.index()?;
        let group = index.group_of(series).and_then(|number| index.group(number)).ok_or_else(garbled)?;
        let count = group.series as usize;
        let (mut pairs, mut ends) = (Vec::new(), Vec::new());
        let (start, end) = self.range;
        let mut labels = group.labels();
        let pages: Vec<_> = group
            .pages
            .into_iter()
            .filter(|p| p.first <= end && p.last >= start)
            .map(|p| (p, None))
            .collect();
        if !pages.is_empty() {
            for _ in 0..count {
                pairs.extend_from_slice(labels.next().ok_or_else(garbled)?);
                ends.push(pairs.len());
            }
        }
        if series < group.first || series - group.first >= group.series {
            return Err(garbled());
        }
        self.group = Some(OpenGroup { first: group.first, series: count, pages, pairs, ends });
        Ok(())
    }

    fn read(&mut self, reader: &mut PageReader, out: &mut Samples) -> Result<(), Damaged> {
        let (Some(group), Some((_, place))) = (&mut self.group, &self.current) else { return Ok(()) };
        for (page, table) in &mut group.pages {
            if table.is_none() {
                let decoded = PageTable::decode(self.part.page(page)?, page.offset, group.series);
                *table = Some(decoded.ok_or_else(|| self.part.damaged("a page's table makes no sense"))?);
            }
            if let Some(table) = table {
                reader.read(&self.part, page, table, *place, self.range, out)?;
            }
        }
        Ok(())
    }
}

/// A running selection.
pub(crate) struct Cursor<'a> {
    sources: Sources,
    control: &'a QueryControl,
    range: (i64, i64),
    pages: PageReader,
    ints: Vec<i64>,
}

impl Cursor<'_> {
    fn pull(&mut self, out: &mut SeriesSamples) -> Result<bool, SelectError> {
        loop {
            let Some(labels) = self.sources.advance(self.control)? else { return Ok(false) };
            out.labels = labels.clone();
            out.samples.clear();
            for part in &mut self.sources.parts {
                if part.labels() == Some(&out.labels) {
                    part.read(&mut self.pages, &mut out.samples)?;
                }
            }
            if let Some(head) = &self.sources.head
                && head.labels() == Some(&out.labels)
            {
                head.read(self.range, &mut self.ints, &mut out.samples);
            }
            tidy(&mut out.samples);
            if !out.samples.is_empty() {
                return Ok(true);
            }
        }
    }
}

impl SeriesCursor for Cursor<'_> {
    fn next(&mut self, out: &mut SeriesSamples) -> Result<bool, SelectError> {
        let pulled = self.pull(out);
        if pulled.is_err() {
            self.sources = Sources { head: None, parts: Vec::new(), current: None, steps: 0 };
        }
        pulled
    }
}
