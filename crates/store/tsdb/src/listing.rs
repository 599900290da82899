//! Series, label names and label values, without touching samples.

use std::collections::BTreeSet;

use novaobs_model::{Labels, Matcher, QueryControl, SelectError};
use roaring::RoaringBitmap;

use crate::matching::{Lookup, resolve};
use crate::part::index::{Garbled, PartIndex};
use crate::store::Store;

impl Store {
    /// See [`novaobs_model::SeriesSource::series`].
    pub(crate) fn list_series(
        &self,
        selectors: &[Vec<Matcher>],
        (start, end): (i64, i64),
        limit: usize,
        control: &QueryControl,
    ) -> Result<Vec<Labels>, SelectError> {
        let mut lease = control.pool().take(0)?;
        let mut found = BTreeSet::new();
        for matchers in selectors {
            let mut sources = self.sources(matchers, start, end, control)?;
            while let Some(labels) = sources.advance(control)? {
                lease.grow(labels.heap_bytes() as u64 + 32)?;
                found.insert(labels.clone());
            }
        }
        Ok(found.into_iter().take(if limit == 0 { usize::MAX } else { limit }).collect())
    }

    /// See [`novaobs_model::SeriesSource::label_names`].
    pub(crate) fn list_names(
        &self,
        selectors: &[Vec<Matcher>],
        (start, end): (i64, i64),
        control: &QueryControl,
    ) -> Result<Vec<String>, SelectError> {
        let mut found: BTreeSet<String> = BTreeSet::new();
        if let Some(slots) = self.slots_in(start, end) {
            let index = self.index.read();
            let Ok(wanted) = resolve_any(&*index, selectors);
            let wanted = wanted.map_or(slots.clone(), |wanted| wanted & &slots);
            for (name, mut values) in index.sorted() {
                control.check()?;
                let has = |pair| index.postings(pair).is_some_and(|postings| postings.intersects(&wanted));
                if values.any(|(_, pair, _)| has(pair)) {
                    found.insert(name.to_string());
                }
            }
        }
        self.each_part((start, end), control, |index| {
            let wanted = resolve_any(index, selectors)?;
            for place in 0..index.names() {
                let (name, mut pairs) = index.name(place).ok_or(Garbled)?;
                if !found.contains(name) && pairs.any(|pair| has(index, pair, wanted.as_ref())) {
                    found.insert(name.to_owned());
                }
            }
            Ok(())
        })?;
        Ok(found.into_iter().collect())
    }

    /// See [`novaobs_model::SeriesSource::label_values`].
    pub(crate) fn list_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        (start, end): (i64, i64),
        control: &QueryControl,
    ) -> Result<Vec<String>, SelectError> {
        let mut lease = control.pool().take(0)?;
        let mut found: BTreeSet<String> = BTreeSet::new();
        if let Some(slots) = self.slots_in(start, end) {
            let index = self.index.read();
            let Ok(wanted) = resolve_any(&*index, selectors);
            let wanted = wanted.map_or(slots.clone(), |wanted| wanted & &slots);
            for (value, pair) in index.values(name) {
                if index.postings(pair).is_some_and(|postings| postings.intersects(&wanted)) {
                    lease.grow(value.len() as u64 + 48)?;
                    found.insert(value.to_owned());
                }
            }
        }
        let mut refused = None;
        self.each_part((start, end), control, |index| {
            let wanted = resolve_any(index, selectors)?;
            for pair in index.pairs_of(name).ok_or(Garbled)? {
                let value = index.value(pair).ok_or(Garbled)?;
                if !found.contains(value) && has(index, pair, wanted.as_ref()) {
                    if let Err(over) = lease.grow(value.len() as u64 + 48) {
                        refused = Some(over);
                        break;
                    }
                    found.insert(value.to_owned());
                }
            }
            Ok(())
        })?;
        match refused {
            Some(over) => Err(over.into()),
            None => Ok(found.into_iter().collect()),
        }
    }

    /// The slots that have samples in the range; `None` when memory has none.
    fn slots_in(&self, start: i64, end: i64) -> Option<RoaringBitmap> {
        let view = self.snapshot();
        let samples = view.sealed.map(|s| s.samples).into_iter().chain([view.active]);
        let mut slots = RoaringBitmap::new();
        for samples in samples {
            let buffers = samples.buffers.read();
            if buffers.overlaps(start, end) {
                slots |= buffers.slots_in(start, end);
            }
        }
        (!slots.is_empty()).then_some(slots)
    }

    /// Looks into the index of each part that overlaps the range; damaged ones are left out.
    fn each_part(
        &self,
        (start, end): (i64, i64),
        control: &QueryControl,
        mut look: impl FnMut(&PartIndex<'_>) -> Result<(), Garbled>,
    ) -> Result<(), SelectError> {
        let view = self.snapshot();
        for part in view.parts.iter().filter(|part| part.overlaps(start, end) && !part.is_broken()) {
            control.check()?;
            let Ok(index) = part.index() else { continue };
            if look(&index).is_err() {
                part.garbled();
            }
        }
        Ok(())
    }
}

/// The series any of `selectors` matches; `None` without selectors: all.
fn resolve_any<L: Lookup>(index: &L, selectors: &[Vec<Matcher>]) -> Result<Option<RoaringBitmap>, L::Error> {
    if selectors.is_empty() {
        return Ok(None);
    }
    let mut found = RoaringBitmap::new();
    for matchers in selectors {
        found |= resolve(index, matchers)?;
    }
    Ok(Some(found))
}

/// Whether any wanted series of a part has the pair.
fn has(index: &PartIndex<'_>, pair: u32, wanted: Option<&RoaringBitmap>) -> bool {
    let postings = index.postings(pair);
    postings.is_some_and(|postings| wanted.map_or(!postings.is_empty(), |wanted| postings.intersects(wanted)))
}
