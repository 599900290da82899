//! What a target's scrapes remember: what each raw series text came to, which series are due a staleness
//! marker when they vanish, and the metadata of metric families.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use novaobs_model::{Labels, Metadata, MetricType, SeriesRef};
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Metadata is kept for so many scrapes after its family vanished.
const METADATA_SCRAPES: u64 = 10;

/// Metadata of a metric family, by the family's name as exposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyMetadata {
    /// The family.
    pub family: String,
    /// Its type, help and unit.
    pub metadata: Metadata,
}

/// What a series text came to.
#[derive(Debug)]
pub(crate) enum Known {
    /// Metric relabelling drops it.
    Dropped,
    /// A series of the store.
    Series {
        series: SeriesRef,
        labels: Labels,
        /// The scrape in which it last counted for staleness.
        tracked: u64,
    },
}

#[derive(Debug)]
struct Slot {
    known: Known,
    /// The scrape it was last seen in.
    seen: u64,
}

/// One target's memory.
#[derive(Debug)]
pub(crate) struct Cache {
    /// The number of the current scrape, from 2: no series was tracked in scrape 0 or 1.
    scrape: u64,
    slots: HashMap<Box<[u8]>, Slot, SeriesHasher>,
    /// Slots seen in the current scrape.
    seen: usize,
    /// Slots after the last scrape that worked.
    usual: usize,
    /// Series of an earlier cache that get a marker unless the next scrape has them.
    inherited: Vec<(SeriesRef, Labels)>,
    families: Arc<Mutex<Families>>,
}

impl Default for Cache {
    fn default() -> Self {
        Cache {
            scrape: 2,
            slots: HashMap::with_hasher(SeriesHasher { seed: RandomState::new().hash_one(0) }),
            seen: 0,
            usual: 0,
            inherited: Vec::new(),
            families: Arc::default(),
        }
    }
}

/// What [`Cache::find`] found.
pub(crate) enum Found<'c> {
    New,
    Dropped,
    Series {
        series: SeriesRef,
        /// Whether this scrape had it before.
        again: bool,
        /// To be set to [`Cache::scrape`] when the series counts for staleness.
        tracked: &'c mut u64,
    },
}

impl Cache {
    /// A cache for another configuration of the same target: it knows nothing but which series were there.
    pub(crate) fn succeed(&mut self) -> Cache {
        let previous = self.scrape - 1;
        let tracked = self.slots.drain().filter_map(|(_, slot)| match slot.known {
            Known::Series { series, labels, tracked } if tracked == previous => Some((series, labels)),
            _ => None,
        });
        let mut inherited = std::mem::take(&mut self.inherited);
        inherited.extend(tracked);
        let fresh = Cache::default();
        for (_, seen) in self.families.lock().0.values_mut() {
            *seen = fresh.scrape;
        }
        Cache { inherited, families: self.families.clone(), ..fresh }
    }

    /// The target's metadata, to be kept elsewhere too: it can be read while a scrape is being stored.
    pub(crate) fn families(&self) -> Arc<Mutex<Families>> {
        self.families.clone()
    }

    /// The number of the current scrape.
    pub(crate) fn scrape(&self) -> u64 {
        self.scrape
    }

    /// Looks a series text up and marks it as seen.
    pub(crate) fn find(&mut self, text: &[u8]) -> Found<'_> {
        let Some(slot) = self.slots.get_mut(text) else { return Found::New };
        let again = slot.seen == self.scrape;
        self.seen += usize::from(!again);
        slot.seen = self.scrape;
        match &mut slot.known {
            Known::Dropped => Found::Dropped,
            Known::Series { series, tracked, .. } => Found::Series { series: *series, again, tracked },
        }
    }

    /// Remembers a text that was new.
    pub(crate) fn insert(&mut self, text: &[u8], known: Known) {
        let slot = Slot { known, seen: self.scrape };
        if self.slots.insert(text.into(), slot).is_none() {
            self.seen += 1;
        }
    }

    /// Series of the last scrape that the current one does not have.
    pub(crate) fn vanished(&self) -> Vec<(SeriesRef, Labels)> {
        let previous = self.scrape - 1;
        let mut gone: Vec<(SeriesRef, Labels)> = self.inherited.clone();
        for slot in self.slots.values() {
            if let Known::Series { series, labels, tracked } = &slot.known
                && *tracked == previous
            {
                gone.push((*series, labels.clone()));
            }
        }
        if gone.is_empty() {
            return gone;
        }
        // Another text may stand for the same series now.
        let mut here: HashSet<SeriesRef> = self
            .slots
            .values()
            .filter_map(|slot| match &slot.known {
                Known::Series { series, tracked, .. } if *tracked == self.scrape => Some(*series),
                _ => None,
            })
            .collect();
        gone.retain(|(series, _)| here.insert(*series));
        gone
    }

    /// Takes back that any series was there in the current scrape: it failed, so all of them vanish.
    pub(crate) fn forget_current(&mut self) {
        let (current, previous) = (self.scrape, self.scrape - 1);
        for slot in self.slots.values_mut() {
            if let Known::Series { tracked, .. } = &mut slot.known
                && *tracked == current
            {
                // It was there before this scrape, or the cache would not know it.
                *tracked = previous;
            }
        }
    }

    /// Ends a scrape of which nothing was stored: what the last stored one had is still due its markers.
    pub(crate) fn abandon(&mut self) {
        let (current, previous) = (self.scrape, self.scrape - 1);
        for slot in self.slots.values_mut() {
            if let Known::Series { tracked, .. } = &mut slot.known
                && *tracked == previous
            {
                *tracked = current;
            }
        }
        self.seen = 0;
        self.scrape += 1;
    }

    /// Replaces handles that the store no longer knows.
    pub(crate) fn renew(&mut self, renewed: &HashMap<SeriesRef, SeriesRef>) {
        for slot in self.slots.values_mut() {
            if let Known::Series { series, .. } = &mut slot.known
                && let Some(new) = renewed.get(series)
            {
                *series = *new;
            }
        }
        for (series, _) in &mut self.inherited {
            *series = renewed.get(series).copied().unwrap_or(*series);
        }
    }

    /// The labels behind a handle.
    pub(crate) fn labels_of(&self, wanted: &HashSet<SeriesRef>) -> HashMap<SeriesRef, Labels> {
        let known = self.slots.values().filter_map(|slot| match &slot.known {
            Known::Series { series, labels, .. } => Some((*series, labels.clone())),
            Known::Dropped => None,
        });
        known.chain(self.inherited.iter().cloned()).filter(|(series, _)| wanted.contains(series)).collect()
    }

    /// Ends a scrape. After one that `worked`, texts it did not have are forgotten. Answers whether they
    /// had to be forgotten although it failed, because failing scrapes brought too many new ones.
    pub(crate) fn finish(&mut self, worked: bool) -> bool {
        let mut families = self.families.lock();
        let count = self.slots.len() + families.0.len();
        let forced = !worked && count > self.usual * 2 + 1000;
        if worked {
            self.usual = count;
        }
        let scrape = self.scrape;
        if worked || forced {
            if self.seen != self.slots.len() {
                self.slots.retain(|_, slot| slot.seen == scrape);
            }
            families.0.retain(|_, (_, seen)| scrape.saturating_sub(*seen) <= METADATA_SCRAPES);
        }
        drop(families);
        self.inherited.clear();
        self.seen = 0;
        self.scrape += 1;
        forced
    }
}

/// Metadata of a target's families; shared between its scrapes and who asks.
#[derive(Debug, Default)]
pub(crate) struct Families(HashMap<String, (Metadata, u64)>);

impl Families {
    fn family(&mut self, name: &str, scrape: u64) -> &mut Metadata {
        if !self.0.contains_key(name) {
            self.0.insert(name.to_owned(), (Metadata::default(), scrape));
        }
        let (metadata, seen) = self.0.entry(name.to_owned()).or_default();
        *seen = scrape;
        metadata
    }

    pub(crate) fn set_kind(&mut self, family: &str, kind: MetricType, scrape: u64) {
        self.family(family, scrape).kind = kind;
    }

    pub(crate) fn set_help(&mut self, family: &str, help: &str, scrape: u64) {
        let metadata = self.family(family, scrape);
        if metadata.help != help {
            help.clone_into(&mut metadata.help);
        }
    }

    pub(crate) fn set_unit(&mut self, family: &str, unit: &str, scrape: u64) {
        let metadata = self.family(family, scrape);
        if metadata.unit != unit {
            unit.clone_into(&mut metadata.unit);
        }
    }

    /// The metadata of all families, sorted by name.
    pub(crate) fn list(&self) -> Vec<FamilyMetadata> {
        let families = self.0.iter();
        let mut all: Vec<FamilyMetadata> =
            families.map(|(f, (m, _))| FamilyMetadata { family: f.clone(), metadata: m.clone() }).collect();
        all.sort_by(|a, b| a.family.cmp(&b.family));
        all
    }

    /// The number of families and the bytes of their metadata.
    pub(crate) fn size(&self) -> (usize, usize) {
        let bytes = |m: &Metadata| m.help.len() + m.unit.len() + m.kind.as_str().len();
        (self.0.len(), self.0.values().map(|(metadata, _)| bytes(metadata)).sum())
    }
}

/// Hashes series texts with xxh3, seeded per cache so that no target can make texts collide.
#[derive(Clone, Debug)]
struct SeriesHasher {
    seed: u64,
}

struct Hash(u64);

impl BuildHasher for SeriesHasher {
    type Hasher = Hash;

    fn build_hasher(&self) -> Hash {
        Hash(self.seed)
    }
}

impl Hasher for Hash {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn write_usize(&mut self, length: usize) {
        // A slice's length adds nothing to the hash of its bytes.
        self.0 ^= length as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
