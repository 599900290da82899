//! What every operator of one running query shares: the store, limits, annotations and statistics.

use std::cell::{Cell, RefCell};

use novaobs_model::{Lease, QueryControl, SeriesSource};

use crate::annotations::Annotations;
use crate::result::{QueryError, QueryStats};
use crate::row::{Row, Timeline};

/// One query while it runs. Operators of a query run on one thread, so its counters are plain cells.
pub(crate) struct Run<'q> {
    /// Where series come from.
    pub(crate) source: &'q dyn SeriesSource,
    /// Deadline, cancellation, memory.
    pub(crate) control: &'q QueryControl,
    /// Milliseconds an instant selector looks back.
    pub(crate) lookback: i64,
    /// Milliseconds between evaluations of a subquery that names no step.
    pub(crate) default_step: i64,
    /// The whole query's times, for `start()`, `end()`, `range()`, `step()`.
    pub(crate) span: QuerySpan,
    max_samples: u64,
    held: Cell<u64>,
    peak: Cell<u64>,
    looked_at: Cell<u64>,
    annotations: RefCell<Annotations>,
}

/// The times asked for, before any subquery changes them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuerySpan {
    /// First evaluation, Unix milliseconds.
    pub(crate) start: i64,
    /// Last evaluation.
    pub(crate) end: i64,
    /// Milliseconds between evaluations; 0 for an instant query.
    pub(crate) step: i64,
}

impl<'q> Run<'q> {
    /// A query about to start.
    pub(crate) fn new(
        source: &'q dyn SeriesSource,
        control: &'q QueryControl,
        lookback: i64,
        default_step: i64,
        span: QuerySpan,
        max_samples: u64,
    ) -> Self {
        Run {
            source,
            control,
            lookback,
            default_step,
            span,
            max_samples,
            held: Cell::new(0),
            peak: Cell::new(0),
            looked_at: Cell::new(0),
            annotations: RefCell::default(),
        }
    }

    /// Records annotations.
    pub(crate) fn annotate(&self, record: impl FnOnce(&mut Annotations)) {
        record(&mut self.annotations.borrow_mut());
    }

    /// The annotations recorded so far, leaving none.
    pub(crate) fn take_annotations(&self) -> Annotations {
        self.annotations.take()
    }

    /// Counts samples an expression used, for the statistics.
    pub(crate) fn looked_at(&self, samples: u64) {
        self.looked_at.set(self.looked_at.get() + samples);
    }

    /// The samples counted so far.
    pub(crate) fn looked_at_so_far(&self) -> u64 {
        self.looked_at.get()
    }

    /// How much work the query was so far.
    pub(crate) fn stats(&self) -> QueryStats {
        QueryStats { total_queryable_samples: self.looked_at.get(), peak_samples: self.peak.get() }
    }

    /// An empty count of samples against `--query.max-samples`.
    pub(crate) fn tally(&'q self) -> Tally<'q> {
        Tally { run: self, samples: 0 }
    }

    /// An empty lease of the query's memory.
    pub(crate) fn memory(&self) -> Result<Lease, QueryError> {
        Ok(self.control.pool().take(0)?)
    }

    /// Refuses a timeline whose rows alone would be more samples than the query may hold.
    pub(crate) fn admit(&self, timeline: &Timeline) -> Result<(), QueryError> {
        if timeline.count as u64 > self.max_samples.max(1) {
            return Err(QueryError::TooManySamples);
        }
        Ok(())
    }
}

/// Samples that count as held by one operator until it is dropped.
///
/// The count follows the peer, which evaluates every node of an expression completely before the next:
/// a node's whole output counts until the node above has consumed it. So a limit that stops a query in
/// the peer stops it here too, even though rows stream and most of them are long gone.
pub(crate) struct Tally<'q> {
    run: &'q Run<'q>,
    samples: u64,
}

impl Tally<'_> {
    /// Counts `samples` more.
    ///
    /// # Errors
    /// [`QueryError::TooManySamples`] above the limit.
    pub(crate) fn add(&mut self, samples: u64) -> Result<(), QueryError> {
        self.samples += samples;
        let held = self.run.held.get() + samples;
        self.run.held.set(held);
        self.run.peak.set(self.run.peak.get().max(held));
        if held > self.run.max_samples { Err(QueryError::TooManySamples) } else { Ok(()) }
    }

    /// Counts the samples of a row.
    ///
    /// # Errors
    /// As [`Tally::add`].
    pub(crate) fn add_row(&mut self, row: &Row) -> Result<(), QueryError> {
        self.add(row.present.count() as u64)
    }

    /// Counts `samples` for a moment: they are in the peak but not kept.
    ///
    /// # Errors
    /// As [`Tally::add`].
    pub(crate) fn touch(&mut self, samples: u64) -> Result<(), QueryError> {
        let outcome = self.add(samples);
        self.samples -= samples;
        self.run.held.set(self.run.held.get() - samples);
        outcome
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        self.run.held.set(self.run.held.get() - self.samples);
    }
}
