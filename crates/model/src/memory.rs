//! The process-wide memory budget: pools that stores, caches and queries take from and return to.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A share of the process's memory. Cheap to clone; clones are the same pool.
///
/// `server` builds one root pool from `--memory` and splits it with [`Pool::child`]; an engine makes a
/// child for each query. Taking from a child also takes from its ancestors, so the root is never exceeded
/// however the shares overlap.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    name: &'static str,
    limit: u64,
    used: AtomicU64,
    parent: Option<Pool>,
}

/// A pool had less left than was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{pool} would use more than its {limit} bytes of memory ({used} in use, {wanted} more wanted); narrow the request or raise --memory"
)]
pub struct OverBudget {
    /// The pool that refused.
    pub pool: &'static str,
    /// Its size in bytes.
    pub limit: u64,
    /// Bytes taken before the refused request.
    pub used: u64,
    /// Bytes asked for.
    pub wanted: u64,
}

impl Pool {
    /// A pool of its own.
    pub fn root(name: &'static str, limit: u64) -> Self {
        Pool(Arc::new(Inner { name, limit, used: AtomicU64::new(0), parent: None }))
    }

    /// A pool without a limit, for tests and tools.
    pub fn unlimited() -> Self {
        Pool::root("memory", u64::MAX)
    }

    /// A share of this pool.
    pub fn child(&self, name: &'static str, limit: u64) -> Self {
        Pool(Arc::new(Inner { name, limit, used: AtomicU64::new(0), parent: Some(self.clone()) }))
    }

    /// Takes `bytes`, to be returned when the lease is dropped.
    ///
    /// # Errors
    /// [`OverBudget`] when this pool or an ancestor has less left; then nothing is taken.
    pub fn take(&self, bytes: u64) -> Result<Lease, OverBudget> {
        let mut lease = Lease { pool: self.clone(), bytes: 0 };
        lease.grow(bytes)?;
        Ok(lease)
    }

    /// Bytes taken now.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The pool's size in bytes.
    pub fn limit(&self) -> u64 {
        self.0.limit
    }

    fn add(&self, bytes: u64) -> Result<(), OverBudget> {
        let inner = &*self.0;
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= inner.limit);
        inner.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).map_err(|used| OverBudget {
            pool: inner.name,
            limit: inner.limit,
            used,
            wanted: bytes,
        })?;
        if let Some(parent) = &inner.parent
            && let Err(refused) = parent.add(bytes)
        {
            inner.used.fetch_sub(bytes, Ordering::Relaxed);
            return Err(refused);
        }
        Ok(())
    }

    fn subtract(&self, bytes: u64) {
        self.0.used.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(parent) = &self.0.parent {
            parent.subtract(bytes);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({}: {}/{})", self.0.name, self.used(), self.limit())
    }
}

/// Bytes held from a pool; returned on drop.
#[derive(Debug)]
pub struct Lease {
    pool: Pool,
    bytes: u64,
}

impl Lease {
    /// Takes `more` bytes on top.
    ///
    /// # Errors
    /// [`OverBudget`]; then the lease is as before.
    pub fn grow(&mut self, more: u64) -> Result<(), OverBudget> {
        self.pool.add(more)?;
        self.bytes += more;
        Ok(())
    }

    /// Returns up to `less` bytes.
    pub fn shrink(&mut self, less: u64) {
        let less = less.min(self.bytes);
        self.pool.subtract(less);
        self.bytes -= less;
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.subtract(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_child_leaves_everything_as_it_was() {
        let root = Pool::root("all", 100);
        let one = root.child("one", 80);
        let two = root.child("two", 80);
        let mut held = one.take(70).unwrap();
        let refused = two.take(40).unwrap_err();
        assert_eq!((refused.pool, refused.used, refused.wanted), ("all", 70, 40));
        assert_eq!((root.used(), two.used()), (70, 0));
        assert_eq!(held.grow(20).unwrap_err().pool, "one");
        held.shrink(30);
        drop(two.take(40).unwrap());
        drop(held);
        assert_eq!((root.used(), one.used()), (0, 0));
    }
}
