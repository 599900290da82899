//! The series in memory: labels to slot, slot to labels, label values to slots.
//!
//! Label pairs are interned; a series holds the numbers of its pairs as a few varints. A slot is reused
//! after its series was dropped, told apart by a generation that no two series share.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use hashbrown::HashTable;
use novaobs_model::{Labels, SeriesRef};
use roaring::RoaringBitmap;

use crate::codec::bytes::{Reader, put_uint};
use crate::matching::Lookup;
use crate::postings::Postings;

/// A label and its value, shared by all series that have it.
struct Pair {
    name: Arc<str>,
    value: Arc<str>,
    postings: Postings,
}

struct Slot {
    hash: u64,
    generation: u32,
    live: bool,
    /// Varints: numbers of the pairs in order of name.
    pairs: Box<[u8]>,
}

/// The series in memory.
#[derive(Default)]
pub(crate) struct SeriesIndex {
    slots: Vec<Slot>,
    free: Vec<u32>,
    table: HashTable<u32>,
    pairs: Vec<Option<Pair>>,
    free_pairs: Vec<u32>,
    names: BTreeMap<Arc<str>, BTreeMap<Arc<str>, u32>>,
}

/// A slot and the generation that has it now, as a handle.
pub(crate) fn to_ref(slot: u32, generation: u32) -> SeriesRef {
    SeriesRef(u64::from(generation) << 32 | u64::from(slot))
}

/// A handle's slot and generation.
pub(crate) fn from_ref(series: SeriesRef) -> (u32, u32) {
    (series.0 as u32, (series.0 >> 32) as u32)
}

impl SeriesIndex {
    /// The slot and generation of the series with these labels.
    pub(crate) fn find(&self, hash: u64, labels: &Labels) -> Option<(u32, u32)> {
        let slot = *self.table.find(hash, |slot| {
            self.slot(*slot).is_some_and(|s| s.hash == hash && self.pairs_of(s).eq(labels.iter()))
        })?;
        Some((slot, self.slot(slot)?.generation))
    }

    /// The number of a pair, if some series has it.
    pub(crate) fn pair(&self, name: &str, value: &str) -> Option<u32> {
        self.names.get(name)?.get(value).copied()
    }

    /// Adds a pair under `number` (from [`SeriesIndex::next_pair`] or a log); with an empty value only the
    /// number is kept free. `None` for a number that cannot be next: numbers have no gaps.
    pub(crate) fn add_pair(&mut self, number: u32, name: &str, value: &str) -> Option<()> {
        let at = number as usize;
        if at == self.pairs.len() {
            self.pairs.push(None);
        }
        let place = self.pairs.get_mut(at)?;
        if value.is_empty() {
            return Some(());
        }
        let name = match self.names.get_key_value(name) {
            Some((shared, _)) => shared.clone(),
            None => Arc::from(name),
        };
        let value: Arc<str> = Arc::from(value);
        self.names.entry(name.clone()).or_default().insert(value.clone(), number);
        *place = Some(Pair { name, value, postings: Postings::default() });
        Some(())
    }

    /// The numbers the next new pairs and series will have: free ones first. Nothing is taken.
    pub(crate) fn vacancies(&self) -> Vacancies {
        Vacancies {
            pairs: Numbers { free: self.free_pairs.len(), next: self.pairs.len() as u32 },
            slots: Numbers { free: self.free.len(), next: self.slots.len() as u32 },
        }
    }

    /// The next number for a new pair.
    pub(crate) fn next_pair(&self, vacancies: &mut Vacancies) -> u32 {
        vacancies.pairs.take(&self.free_pairs)
    }

    /// The next number for a new series.
    pub(crate) fn next_slot(&self, vacancies: &mut Vacancies) -> u32 {
        vacancies.slots.take(&self.free)
    }

    /// Adds a series whose pairs have been added; with generation 0 only the slot is kept free. `None` for
    /// a slot that cannot be next: slots have no gaps.
    pub(crate) fn add_series(&mut self, slot: u32, generation: u32, hash: u64, pairs: &[u32]) -> Option<()> {
        let at = slot as usize;
        if at == self.slots.len() {
            self.slots.push(Slot { hash: 0, generation: 0, live: false, pairs: Box::default() });
        }
        let place = self.slots.get_mut(at)?;
        if generation == 0 {
            return Some(());
        }
        let mut packed = Vec::with_capacity(pairs.len() * 2);
        for pair in pairs {
            put_uint(&mut packed, u64::from(*pair));
            if let Some(Some(pair)) = self.pairs.get_mut(*pair as usize) {
                pair.postings.insert(slot);
            }
        }
        let replaced = std::mem::replace(place, Slot { hash, generation, live: true, pairs: packed.into() });
        let slots = &self.slots;
        if !replaced.live {
            self.table.insert_unique(hash, slot, |slot| slots.get(*slot as usize).map_or(0, |s| s.hash));
        }
        Some(())
    }

    /// Drops a series, and the pairs only it had.
    pub(crate) fn remove(&mut self, slot: u32) {
        let Some(place) = self.slots.get_mut(slot as usize) else { return };
        if !std::mem::replace(&mut place.live, false) {
            return;
        }
        let packed = std::mem::take(&mut place.pairs);
        if let Ok(entry) = self.table.find_entry(place.hash, |s| *s == slot) {
            entry.remove();
        }
        for number in numbers(&packed) {
            let Some(vacant) = self.pairs.get_mut(number as usize) else { continue };
            let Some(pair) = vacant else { continue };
            pair.postings.remove(slot);
            if !pair.postings.is_empty() {
                continue;
            }
            if let Some(values) = self.names.get_mut(&pair.name) {
                values.remove(&pair.value);
                if values.is_empty() {
                    self.names.remove(&pair.name);
                }
            }
            *vacant = None;
        }
    }

    /// Makes the slots and pairs that no series uses available; after a replay or a drop.
    pub(crate) fn collect_free(&mut self) {
        self.free.clear();
        self.free.extend((0u32..).zip(&self.slots).filter(|(_, s)| !s.live).map(|(slot, _)| slot));
        self.free_pairs.clear();
        self.free_pairs.extend((0u32..).zip(&self.pairs).filter(|(_, p)| p.is_none()).map(|(pair, _)| pair));
    }

    /// Forgets the free numbers that were taken since [`SeriesIndex::vacancies`].
    pub(crate) fn take(&mut self, vacancies: &Vacancies) {
        self.free.truncate(vacancies.slots.free);
        self.free_pairs.truncate(vacancies.pairs.free);
    }

    /// Series in memory.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Slots ever used at once.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Slot, generation, hash and pair numbers of each series.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u32, u64, impl Iterator<Item = u32> + '_)> {
        let live = (0u32..).zip(&self.slots).filter(|(_, slot)| slot.live);
        live.map(|(number, slot)| (number, slot.generation, slot.hash, numbers(&slot.pairs)))
    }

    /// As [`SeriesIndex::iter`], with the free slots as generation 0.
    pub(crate) fn iter_slots(&self) -> impl Iterator<Item = (u32, u32, u64, impl Iterator<Item = u32> + '_)> {
        (0u32..).zip(&self.slots).map(|(number, slot)| {
            let generation = if slot.live { slot.generation } else { 0 };
            (number, generation, slot.hash, numbers(&slot.pairs))
        })
    }

    /// Number, name and value of each pair; those of free numbers are empty.
    pub(crate) fn iter_pairs(&self) -> impl Iterator<Item = (u32, &str, &str)> {
        (0u32..).zip(&self.pairs).map(|(number, pair)| {
            pair.as_ref().map_or((number, "", ""), |pair| (number, &*pair.name, &*pair.value))
        })
    }

    /// Names and values in order, with the pair's number and the number of series that have it.
    pub(crate) fn sorted(
        &self,
    ) -> impl Iterator<Item = (&Arc<str>, impl Iterator<Item = (&Arc<str>, u32, u64)>)> {
        self.names.iter().map(|(name, values)| {
            let counted = values
                .iter()
                .map(|(value, pair)| (value, *pair, self.postings(*pair).map_or(0, Postings::len)));
            (name, counted)
        })
    }

    /// The values of one label, sorted, with the pairs' numbers.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = (&str, u32)> {
        self.names.get(name).into_iter().flatten().map(|(value, pair)| (&**value, *pair))
    }

    pub(crate) fn postings(&self, pair: u32) -> Option<&Postings> {
        self.pairs.get(pair as usize)?.as_ref().map(|p| &p.postings)
    }

    /// The numbers of a series' pairs in order of name.
    pub(crate) fn pair_numbers(&self, slot: u32) -> impl Iterator<Item = u32> + '_ {
        numbers(self.slot(slot).map_or(&[], |s| &s.pairs))
    }

    pub(crate) fn labels(&self, slot: u32) -> Labels {
        self.slot(slot).map_or_else(Labels::empty, |s| Labels::from_sorted(self.pairs_of(s)))
    }

    fn slot(&self, slot: u32) -> Option<&Slot> {
        self.slots.get(slot as usize)
    }

    fn pairs_of<'a>(&'a self, slot: &'a Slot) -> impl Iterator<Item = (&'a str, &'a str)> {
        numbers(&slot.pairs)
            .filter_map(|number| self.pairs.get(number as usize)?.as_ref().map(|p| (&*p.name, &*p.value)))
    }
}

fn numbers(packed: &[u8]) -> impl Iterator<Item = u32> + '_ {
    let mut reader = Reader::new(packed);
    std::iter::from_fn(move || reader.uint32())
}

/// Numbers that will be given out: used to write a log record before the index changes.
pub(crate) struct Vacancies {
    pairs: Numbers,
    slots: Numbers,
}

struct Numbers {
    /// Free numbers not given out yet.
    free: usize,
    next: u32,
}

impl Numbers {
    fn take(&mut self, free: &[u32]) -> u32 {
        if let Some(number) = self.free.checked_sub(1).and_then(|last| free.get(last)) {
            self.free -= 1;
            return *number;
        }
        self.next += 1;
        self.next - 1
    }
}

impl Lookup for SeriesIndex {
    type Error = Infallible;

    fn all(&self) -> RoaringBitmap {
        (0u32..).zip(&self.slots).filter(|(_, slot)| slot.live).map(|(number, _)| number).collect()
    }

    fn equal(&self, name: &str, value: &str) -> Result<Option<Cow<'_, Postings>>, Infallible> {
        Ok(self.pair(name, value).and_then(|pair| self.postings(pair)).map(Cow::Borrowed))
    }

    fn add_values(
        &self,
        name: &str,
        prefix: &str,
        wanted: &mut dyn FnMut(&str) -> bool,
        set: &mut RoaringBitmap,
    ) -> Result<(), Infallible> {
        let Some(values) = self.names.get(name) else { return Ok(()) };
        let from = (std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded);
        for (value, pair) in values.range::<str, _>(from).take_while(|(value, _)| value.starts_with(prefix)) {
            if wanted(value)
                && let Some(postings) = self.postings(*pair)
            {
                postings.add_to(set);
            }
        }
        Ok(())
    }
}
