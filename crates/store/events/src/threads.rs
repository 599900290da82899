//! The store's threads: one syncs the log, one writes memory to parts, one merges and cleans up.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::limits::{MAINTAIN_EVERY, MERGE_EVERY, RETRY_AFTER, SWEEP_EVERY, SYNC_EVERY};
use crate::store::Store;

/// Starts all.
pub(crate) fn start(store: &Arc<Store>) -> io::Result<Vec<JoinHandle<()>>> {
    let spawn = |name: &str, run: fn(&Store)| {
        let store = store.clone();
        thread::Builder::new().name(name.to_owned()).spawn(move || run(&store))
    };
    Ok(vec![
        spawn("logs-sync", sync_loop)?,
        spawn("logs-flush", flush_loop)?,
        spawn("logs-merge", merge_loop)?,
    ])
}

impl Store {
    /// Sleeps until `pause` is over, a flush is wanted (then `true`), or the store closes.
    fn pause(&self, pause: Duration) -> bool {
        let mut wanted = self.flush_wanted.lock();
        if !*wanted && !self.is_closing() {
            self.wake.wait_for(&mut wanted, pause);
        }
        std::mem::take(&mut *wanted)
    }

    /// Everything beside merging: retention, deletes, tiers, removals; with `sweep`, files nobody lists.
    /// The caller holds `merging`.
    pub(crate) fn maintain(&self, sweep: bool) -> io::Result<()> {
        if !self.exclusive {
            self.refresh()?;
            self.load_deletes()?;
        }
        // What makes room comes first.
        self.enforce_age()?;
        self.enforce_size()?;
        self.apply_deletes()?;
        self.move_to_cold()?;
        self.remove_due(false)?;
        if sweep { self.sweep() } else { Ok(()) }
    }
}

fn sync_loop(store: &Store) {
    while !store.is_closing() {
        thread::park_timeout(SYNC_EVERY);
        store.sync();
    }
}

fn flush_loop(store: &Store) {
    let mut retry_at = Instant::now();
    while !store.is_closing() {
        let wanted = store.pause(SYNC_EVERY);
        let now = Instant::now();
        if store.is_closing() || now < retry_at {
            if wanted {
                // Asked for again by whoever waits; meanwhile this thread must not spin.
                thread::park_timeout(RETRY_AFTER.min(retry_at.saturating_duration_since(now)));
            }
            continue;
        }
        // Whoever asks for a flush for want of memory is helped by any tenant's.
        let pressed = store.pool.limit() < u64::MAX && store.pool.used() > store.pool.limit() / 2;
        if let Err(error) = store.flush(wanted && pressed) {
            tracing::error!(folder = %store.folder.display(), "cannot write memory to parts, will try again: {error}");
            retry_at = Instant::now() + RETRY_AFTER;
        }
    }
}

fn merge_loop(store: &Store) {
    let started = Instant::now();
    let (mut maintain_at, mut sweep_at, mut retry_at) = (started, started, started);
    while !store.is_closing() {
        thread::park_timeout(MERGE_EVERY);
        let now = Instant::now();
        if store.is_closing() || now < retry_at {
            continue;
        }
        let merging = store.merging.lock();
        let mut done = Ok(());
        if now >= maintain_at {
            let sweep = now >= sweep_at;
            done = store.maintain(sweep);
            maintain_at = now + MAINTAIN_EVERY;
            if sweep {
                sweep_at = now + SWEEP_EVERY;
            }
        }
        let done = done.and_then(|()| store.compact(false));
        drop(merging);
        if let Err(error) = done {
            store.metrics.maintenance_failures.inc();
            tracing::error!(folder = %store.folder.display(), "cannot merge or delete parts, will try again: {error}");
            retry_at = Instant::now() + RETRY_AFTER;
        }
        store.update_gauges();
    }
}
