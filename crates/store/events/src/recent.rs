//! Which entries were seen lately, so that a batch sent twice is stored once.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Instant;

use hashbrown::HashSet;
use novaobs_model::{LogStream, Tenant};
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use crate::limits::{RECENT_ENTRIES, RECENT_FOR};

/// Keys that are hashes already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        novaobs_model::never!("only hashes are hashed here");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

type Hashes = HashSet<u64, BuildHasherDefault<Identity>>;

/// Hashes of the entries of a call, over all streams in order. The seed is random for each process, so that
/// nobody can send lines that are mistaken for others; by chance it happens once in 10^13 entries.
pub(crate) fn hash_entries(streams: &[LogStream], seed: u64) -> Vec<u64> {
    let mut hashes = Vec::with_capacity(streams.iter().map(|stream| stream.timestamps.len()).sum());
    for stream in streams {
        let of_stream = seed ^ stream.labels.stable_hash();
        let with_pairs = !stream.metadata.no_pairs();
        for (row, time) in stream.timestamps.iter().enumerate() {
            let of_time = xxh3_64_with_seed(&time.to_le_bytes(), of_stream);
            let mut hash = xxh3_64_with_seed(stream.lines.get(row).as_bytes(), of_time);
            if with_pairs && stream.metadata.get(row).len() > 0 {
                let mut pairs = Xxh3::with_seed(hash);
                for text in stream.metadata.get(row).flat_map(|(name, value)| [name, value]) {
                    pairs.update(&(text.len() as u64).to_le_bytes());
                    pairs.update(text.as_bytes());
                }
                hash = pairs.digest();
            }
            hashes.push(hash);
        }
    }
    hashes
}

/// The entries of all tenants that are remembered.
#[derive(Default)]
pub(crate) struct Recent(HashMap<Tenant, Generations>);

/// Two sets: when the newer is full or old it becomes the older, and that one is forgotten.
struct Generations {
    newer: Hashes,
    older: Hashes,
    since: Instant,
}

impl Recent {
    /// Remembers entries; the rows of those that were there already, ascending.
    pub(crate) fn admit(&mut self, tenant: &Tenant, hashes: &[u64]) -> Vec<u32> {
        let new =
            || Generations { newer: Hashes::default(), older: Hashes::default(), since: Instant::now() };
        let generations = self.0.entry(tenant.clone()).or_insert_with(new);
        let mut dropped = Vec::new();
        for (row, hash) in (0u32..).zip(hashes) {
            if generations.older.contains(hash) || !generations.newer.insert(*hash) {
                dropped.push(row);
            }
        }
        dropped
    }

    /// Forgets entries that [`Recent::admit`] took but for those it `dropped`.
    pub(crate) fn forget(&mut self, tenant: &Tenant, hashes: &[u64], dropped: &[u32]) {
        let Some(generations) = self.0.get_mut(tenant) else { return };
        let mut dropped = dropped.iter().peekable();
        for (row, hash) in (0u32..).zip(hashes) {
            if dropped.next_if_eq(&&row).is_none() {
                generations.newer.remove(hash);
            }
        }
    }

    /// Lets what is old and no longer in memory go; called when a tenant's memory is sealed, so that what
    /// is in memory is in one of the two sets.
    pub(crate) fn turn(&mut self, tenant: &Tenant) {
        if let Some(generations) = self.0.get_mut(tenant)
            && (generations.newer.len() >= RECENT_ENTRIES || generations.since.elapsed() >= RECENT_FOR)
        {
            generations.older = std::mem::take(&mut generations.newer);
            generations.since = Instant::now();
        }
    }

    /// Forgets tenants from whom nothing came for long.
    pub(crate) fn forget_idle(&mut self, busy: impl Fn(&Tenant) -> bool) {
        self.0.retain(|tenant, generations| busy(tenant) || generations.since.elapsed() < RECENT_FOR * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use novaobs_model::Labels;
    use novaobs_model::logs::{PairLists, Strings};

    #[test]
    fn equal_entries_are_known_and_others_are_not() {
        let stream = |app: &str, line: &str, pair: Option<(&str, &str)>| {
            let mut metadata = PairLists::default();
            metadata.push(pair);
            LogStream {
                labels: Labels::from_pairs([("app", app)]),
                timestamps: vec![1],
                lines: [line].into_iter().collect::<Strings>(),
                metadata,
            }
        };
        let hash = |stream: LogStream| hash_entries(&[stream], 7);
        let tenant = Tenant::new("t");
        let mut recent = Recent::default();
        let first = hash(stream("a", "x", None));
        assert!(recent.admit(&tenant, &first).is_empty());
        assert_eq!(recent.admit(&tenant, &first), [0]);
        for other in [stream("b", "x", None), stream("a", "y", None), stream("a", "x", Some(("k", "v")))] {
            assert!(recent.admit(&tenant, &hash(other)).is_empty());
        }
        assert!(recent.admit(&Tenant::new("u"), &first).is_empty());
        recent.forget(&tenant, &first, &[]);
        assert!(recent.admit(&tenant, &first).is_empty());
    }
}
