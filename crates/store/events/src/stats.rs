//! Figures of an open store, for status pages and metrics.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use novaobs_model::Tenant;

use crate::store::Store;

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Per tenant, sorted by name.
    pub tenants: Vec<TenantStats>,
    /// Bytes of the log.
    pub log_bytes: u64,
}

/// What a store holds of one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantStats {
    /// Who.
    pub tenant: Tenant,
    /// Days that have parts.
    pub partitions: u64,
    /// Parts.
    pub parts: u64,
    /// Entries in parts.
    pub rows: u64,
    /// Bytes of the parts' files.
    pub bytes: u64,
    /// Bytes of lines and structured metadata in parts, as they were sent.
    pub raw_bytes: u64,
    /// Parts that failed their checks.
    pub quarantined: u64,
    /// Entries that are only in memory and log.
    pub memory_rows: u64,
    /// Bytes of memory they take.
    pub memory_bytes: u64,
}

impl TenantStats {
    fn new(tenant: &Tenant) -> TenantStats {
        TenantStats {
            tenant: tenant.clone(),
            partitions: 0,
            parts: 0,
            rows: 0,
            bytes: 0,
            raw_bytes: 0,
            quarantined: 0,
            memory_rows: 0,
            memory_bytes: 0,
        }
    }
}

impl Store {
    /// Counts everything.
    pub(crate) fn stats(&self) -> Stats {
        let mut tenants: BTreeMap<Tenant, TenantStats> = BTreeMap::new();
        let view = self.view.read();
        for (partition, state) in &view.partitions {
            let quarantined = state.manifest.quarantined.len() as u64;
            if state.parts.is_empty() && quarantined == 0 {
                continue;
            }
            let tenant = &partition.tenant;
            let stats = tenants.entry(tenant.clone()).or_insert_with(|| TenantStats::new(tenant));
            stats.partitions += 1;
            stats.quarantined += quarantined;
            stats.bytes += state.bytes();
            for part in &state.parts {
                stats.parts += 1;
                stats.rows += part.entry.info.rows;
                stats.raw_bytes += part.entry.info.raw_bytes;
            }
        }
        for (tenant, memory) in &view.memories {
            let (rows, bytes) = memory.size();
            if rows > 0 {
                let stats = tenants.entry(tenant.clone()).or_insert_with(|| TenantStats::new(tenant));
                stats.memory_rows = rows as u64;
                stats.memory_bytes = bytes;
            }
        }
        drop(view);
        Stats { tenants: tenants.into_values().collect(), log_bytes: self.log_bytes() }
    }

    /// All tenants that have entries, sorted.
    pub(crate) fn tenants(&self) -> Vec<Tenant> {
        let view = self.view.read();
        let with_parts = view.partitions.values().filter(|state| !state.parts.is_empty());
        let mut tenants: Vec<Tenant> = with_parts.map(|state| state.partition.tenant.clone()).collect();
        let in_memory = view.memories.iter().filter(|(_, memory)| memory.size().0 > 0);
        tenants.extend(in_memory.map(|(tenant, _)| tenant.clone()));
        drop(view);
        tenants.sort_unstable();
        tenants.dedup();
        tenants
    }

    /// Brings the gauges up to date.
    pub(crate) fn update_gauges(&self) {
        let view = self.view.read();
        let states = || view.partitions.values();
        self.metrics.partitions.set(states().filter(|state| !state.parts.is_empty()).count() as i64);
        self.metrics.parts.set(states().map(|state| state.parts.len() as i64).sum());
        self.metrics.bytes.set(states().map(|state| state.bytes() as i64).sum());
        self.metrics.memory_rows.set(view.memories.values().map(|memory| memory.size().0 as i64).sum());
        drop(view);
        self.metrics.wal_bytes.set(self.log_bytes() as i64);
        self.metrics.scan_threads.set(self.scan_threads.load(Ordering::Relaxed) as i64);
    }
}
