//! What a tenant has used of its rates, and which of its streams are active.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use novaobs_tenants::Limits;
use parking_lot::Mutex;

/// A stream that got nothing for so long counts as gone: the peer flushes idle streams after that time.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// How often streams that are gone are looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// Tokens that refill with time, at most `burst` of them.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(burst: f64, now: Instant) -> Self {
        Bucket { tokens: burst, at: now }
    }

    fn refill(&mut self, rate: f64, burst: f64, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * rate).min(burst);
        self.at = now;
    }

    /// Takes all of `wanted`, or nothing.
    fn take(&mut self, wanted: f64, rate: f64, burst: f64, now: Instant) -> bool {
        self.refill(rate, burst, now);
        let enough = wanted <= self.tokens;
        if enough {
            self.tokens -= wanted;
        }
        enough
    }
}

/// Why a stream is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamRefusal {
    /// The tenant has as many streams as it may.
    TooMany,
    /// The stream got more bytes than it may.
    Rate,
}

/// The accounts of one tenant.
pub(crate) struct TenantRates {
    inner: Mutex<Inner>,
}

struct Inner {
    ingested: Bucket,
    /// By hash of the labels. Empty while no limit asks for it.
    streams: HashMap<u64, Bucket>,
    swept: Instant,
}

/// Bytes of the binary megabyte that `ingestion_rate_mb` counts in.
const MEGABYTE: f64 = 1_048_576.0;

impl TenantRates {
    pub(crate) fn new(limits: &Limits, now: Instant) -> Self {
        let ingested = Bucket::full(limits.ingestion_burst_size_mb * MEGABYTE, now);
        TenantRates { inner: Mutex::new(Inner { ingested, streams: HashMap::new(), swept: now }) }
    }

    /// Takes the bytes of a request from the tenant's rate; no rate: 0 or infinity.
    pub(crate) fn take(&self, bytes: u64, limits: &Limits, now: Instant) -> bool {
        let rate = limits.ingestion_rate_mb * MEGABYTE;
        if rate <= 0.0 || !rate.is_finite() {
            return true;
        }
        // The peer's burst is a whole number of bytes.
        let burst = (limits.ingestion_burst_size_mb * MEGABYTE).floor();
        self.inner.lock().ingested.take(bytes as f64, rate, burst, now)
    }

    /// Takes the bytes of a stream from its rate, after making it one of the tenant's streams.
    pub(crate) fn take_stream(
        &self,
        stream: u64,
        bytes: u64,
        limits: &Limits,
        now: Instant,
    ) -> Result<(), StreamRefusal> {
        let most = [limits.max_streams_per_user, limits.max_global_streams_per_user];
        let most = most.into_iter().filter(|limit| *limit > 0).min();
        let rate = limits.per_stream_rate_limit as f64;
        if most.is_none() && rate == 0.0 {
            return Ok(());
        }
        let burst = limits.per_stream_rate_limit_burst as f64;
        let mut inner = self.inner.lock();
        if now.saturating_duration_since(inner.swept) > SWEEP {
            inner.sweep(now);
        }
        let known = inner.streams.len() as u64;
        let bucket = match inner.streams.entry(stream) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                if most.is_some_and(|most| known >= most) {
                    return Err(StreamRefusal::TooMany);
                }
                entry.insert(Bucket::full(burst, now))
            }
        };
        if rate > 0.0 && !bucket.take(bytes as f64, rate, burst, now) {
            return Err(StreamRefusal::Rate);
        }
        bucket.at = now;
        Ok(())
    }

    /// Whether nothing is remembered that a new account would not have: nobody pushed for a while.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        let inner = self.inner.lock();
        let newest = inner.streams.values().map(|bucket| bucket.at).chain([inner.ingested.at]).max();
        newest.is_none_or(|at| now.saturating_duration_since(at) > IDLE)
    }
}

impl Inner {
    fn sweep(&mut self, now: Instant) {
        self.streams.retain(|_, bucket| now.saturating_duration_since(bucket.at) <= IDLE);
        self.swept = now;
    }
}
