//! DataFusion's memory pool over ours: what its operators hold counts against the query's budget.

use std::fmt;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool, MemoryReservation};
use novaobs_model::memory::Lease;
use novaobs_model::{OverBudget, Pool};
use parking_lot::Mutex;

/// The budget of one query.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    lease: Lease,
    /// Bytes that operators reported as theirs without asking, and that the pool did not have.
    unpaid: u64,
    refused: Option<OverBudget>,
}

impl Budget {
    /// A budget that takes from `pool` what the query holds.
    ///
    /// # Errors
    /// [`OverBudget`] when the pool refuses even nothing.
    pub(crate) fn new(pool: &Pool) -> Result<Self, OverBudget> {
        let held = Held { lease: pool.take(0)?, unpaid: 0, refused: None };
        Ok(Budget { limit: pool.limit(), held: Mutex::new(held) })
    }

    /// What was refused last.
    pub(crate) fn refused(&self) -> Option<OverBudget> {
        self.held.lock().refused.clone()
    }
}

impl MemoryPool for Budget {
    fn name(&self) -> &str {
        "query budget"
    }

    fn grow(&self, _: &MemoryReservation, additional: usize) {
        let mut held = self.held.lock();
        if let Err(over) = held.lease.grow(additional as u64) {
            held.unpaid += additional as u64;
            held.refused = Some(over);
        }
    }

    fn shrink(&self, _: &MemoryReservation, less: usize) {
        let mut held = self.held.lock();
        let unpaid = held.unpaid.min(less as u64);
        held.unpaid -= unpaid;
        held.lease.shrink(less as u64 - unpaid);
    }

    fn try_grow(&self, _: &MemoryReservation, additional: usize) -> Result<()> {
        let mut held = self.held.lock();
        // DataFusion tells a full pool by this variant; who reports the error takes `refused` instead.
        held.lease.grow(additional as u64).map_err(|over| {
            let error = DataFusionError::ResourcesExhausted(over.to_string());
            held.refused = Some(over);
            error
        })
    }

    fn reserved(&self) -> usize {
        let held = self.held.lock();
        usize::try_from(held.lease.bytes() + held.unpaid).unwrap_or(usize::MAX)
    }

    fn memory_limit(&self) -> MemoryLimit {
        usize::try_from(self.limit).map_or(MemoryLimit::Infinite, MemoryLimit::Finite)
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "query budget of {} bytes", self.limit)
    }
}
