//! Pulls the batches of a scan through workers: one thread at first, more when there is much to do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use novaobs_model::logs::{LogBatch, LogCursor, LogScan, LogSource, ScanStats};
use novaobs_model::select::QueryControl;
use parking_lot::Mutex;

use crate::QueryError;

/// Batches one thread takes before others help.
const ALONE: u64 = 2;
/// Threads that work on one scan: the store's decoding is a good part of the work and is not shared, so
/// that more would wait for it.
const THREADS: usize = 4;
/// Rows of one batch are numbered below this, so that rows of a scan are in order across batches.
pub(crate) const PLACES: u64 = 1 << 32;

/// What takes batches; each thread has its own.
pub(crate) trait Worker: Send {
    /// Takes a batch; rows are numbered from `place` on.
    fn batch(&mut self, place: u64, batch: &LogBatch) -> Result<(), Trouble>;
}

/// Why a worker stops.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The query has no answer.
    Query(QueryError),
    /// Columns do not say enough: rows must be looked at one by one.
    NeedsRows,
}

impl<E: Into<QueryError>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Trouble::Query(error.into())
    }
}

struct Shared<'a> {
    cursor: Box<dyn LogCursor + 'a>,
    next: u64,
    /// The first batch in trouble, and what.
    trouble: Option<(u64, Trouble)>,
}

/// Runs a scan to its end and gives back the workers. Trouble of the earliest batch is what is reported, so
/// that an answer does not depend on how threads were scheduled.
pub(crate) fn drive<'a, W: Worker>(
    source: &'a dyn LogSource,
    scan: &LogScan,
    control: &'a QueryControl,
    mut make: impl FnMut() -> Result<W, Trouble>,
) -> Result<(Vec<W>, ScanStats), Trouble> {
    let cursor = source.scan(scan, control).map_err(QueryError::from)?;
    let shared = Mutex::new(Shared { cursor, next: 0, trouble: None });
    let stopped = AtomicBool::new(false);
    let mut first = make()?;
    let mut workers = Vec::new();
    let more = work(&mut first, &shared, &stopped, control, ALONE);
    workers.push(first);
    if more {
        let threads = thread::available_parallelism().map_or(1, |n| n.get()).min(THREADS);
        for _ in 1..threads {
            workers.push(make()?);
        }
        thread::scope(|scope| {
            let mut rest = workers.iter_mut();
            let own = rest.next();
            for worker in rest {
                scope.spawn(|| work(worker, &shared, &stopped, control, u64::MAX));
            }
            if let Some(worker) = own {
                work(worker, &shared, &stopped, control, u64::MAX);
            }
        });
    }
    let shared = shared.into_inner();
    match shared.trouble {
        Some((_, trouble)) => Err(trouble),
        None => Ok((workers, shared.cursor.stats())),
    }
}

/// Takes up to `most` batches; whether there may be more.
fn work<W: Worker>(
    worker: &mut W,
    shared: &Mutex<Shared<'_>>,
    stopped: &AtomicBool,
    control: &QueryControl,
    most: u64,
) -> bool {
    for _ in 0..most {
        if stopped.load(Ordering::Relaxed) {
            return false;
        }
        let mut held = shared.lock();
        let number = held.next;
        held.next += 1;
        let pulled = control.check().map_err(Trouble::from_check).and_then(|()| Ok(held.cursor.next()?));
        drop(held);
        let done = match pulled {
            Ok(None) => return false,
            Ok(Some(batch)) => worker.batch(number * PLACES, &batch),
            Err(trouble) => Err(trouble),
        };
        if let Err(trouble) = done {
            stopped.store(true, Ordering::Relaxed);
            let mut held = shared.lock();
            if held.trouble.as_ref().is_none_or(|(before, _)| number < *before) {
                held.trouble = Some((number, trouble));
            }
            return false;
        }
    }
    true
}

impl Trouble {
    /// A stop from outside.
    pub(crate) fn from_check(stop: novaobs_model::Interrupt) -> Self {
        Trouble::Query(QueryError::Select(stop.into()))
    }
}
