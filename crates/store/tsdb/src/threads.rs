//! The store's two threads: one syncs the log and flushes the head, one merges and deletes parts.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::limits::{RETENTION_EVERY, SYNC_EVERY};
use crate::store::Store;

/// After a failed flush or merge (a full disk, mostly) the next attempt waits this long.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Starts both.
pub(crate) fn start(store: &Arc<Store>) -> io::Result<Vec<JoinHandle<()>>> {
    let spawn = |name: &str, run: fn(&Store)| {
        let store = store.clone();
        thread::Builder::new().name(name.to_owned()).spawn(move || run(&store))
    };
    Ok(vec![spawn("tsdb-flush", flush_loop)?, spawn("tsdb-merge", merge_loop)?])
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

    /// Makes what was logged survive a power cut.
    pub(crate) fn sync(&self) {
        let (catalog, wal) = {
            let writer = self.writer.lock();
            (writer.catalog.file.handle(), writer.wal.file.handle())
        };
        // The catalogue first: the log names its series.
        if let Err(error) = catalog.sync_data().and_then(|()| wal.sync_data()) {
            tracing::error!(folder = %self.folder.display(), "cannot sync the log: {error}");
        }
    }
}

fn flush_loop(store: &Store) {
    let mut retry_at = Instant::now();
    let mut wanted = false;
    while !store.is_closing() {
        wanted |= store.pause(SYNC_EVERY);
        store.sync();
        if Instant::now() < retry_at || store.is_closing() || !(wanted || store.flush_is_due()) {
            continue;
        }
        wanted = false;
        if let Err(error) = store.flush() {
            tracing::error!(folder = %store.folder.display(), "cannot write the head to a part, will try again: {error}");
            retry_at = Instant::now() + RETRY_AFTER;
        }
    }
}

fn merge_loop(store: &Store) {
    let mut retention_at = Instant::now();
    let mut retry_at = Instant::now();
    while !store.is_closing() {
        thread::park_timeout(SYNC_EVERY);
        let now = Instant::now();
        if store.is_closing() || now < retry_at {
            continue;
        }
        let mut done = Ok(());
        if now >= retention_at {
            done = store.enforce_retention();
            retention_at = now + RETENTION_EVERY;
        }
        if let Err(error) = done.and_then(|()| store.compact()) {
            tracing::error!(folder = %store.folder.display(), "cannot merge or delete parts, will try again: {error}");
            retry_at = Instant::now() + RETRY_AFTER;
        }
        store.update_gauges();
    }
}
