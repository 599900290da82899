//! The loop of one target: when it is scraped, and what happens at its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use novaobs_http_client::HttpClient;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::append::{Appender, Scrape, ScrapeError};
use crate::cache::{Cache, Families};
use crate::fetch::fetch;

/// Scrape times this close to their turn are taken to be their turn: even steps compress better.
const TOLERANCE: Duration = Duration::from_millis(2);

/// What all loops share.
pub(crate) struct Shared {
    /// Ends with the process: no markers are written then, the next process goes on where this one was.
    pub(crate) shutdown: CancellationToken,
    /// Bounds how many bodies are parsed and stored at once.
    pub(crate) turns: Semaphore,
}

/// A running loop.
pub(crate) struct LoopHandle {
    cache: Arc<Mutex<Cache>>,
    pub(crate) families: Arc<Mutex<Families>>,
    stop: CancellationToken,
    stopped: CancellationToken,
    markers: Arc<AtomicBool>,
    forced: Arc<Mutex<Option<(usize, u64)>>>,
}

/// One target's loop.
pub(crate) struct Loop {
    pub(crate) appender: Appender,
    /// The job's client, or why there is none.
    pub(crate) client: Result<HttpClient, String>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) seed: u64,
}

fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

impl LoopHandle {
    /// Starts a loop with what an earlier one remembered.
    pub(crate) fn start(job: Loop, cache: Arc<Mutex<Cache>>) -> LoopHandle {
        let families = cache.lock().families();
        let handle = LoopHandle {
            cache,
            families,
            stop: CancellationToken::new(),
            stopped: CancellationToken::new(),
            markers: Arc::new(AtomicBool::new(true)),
            forced: Arc::default(),
        };
        tokio::spawn(job.run(
            handle.cache.clone(),
            handle.stop.clone(),
            handle.stopped.clone(),
            handle.markers.clone(),
            handle.forced.clone(),
        ));
        handle
    }

    /// Makes every scrape fail because the job has more targets than allowed (targets, limit), or no longer.
    pub(crate) fn force_target_limit(&self, exceeded: Option<(usize, u64)>) {
        *self.forced.lock() = exceeded;
    }

    /// Ends the loop and waits for a scrape under way. Unless `markers`, no staleness markers follow later.
    pub(crate) async fn stop(self, markers: bool) -> Arc<Mutex<Cache>> {
        self.markers.store(markers, Ordering::Relaxed);
        self.stop.cancel();
        self.stopped.cancelled().await;
        self.cache
    }
}

impl Loop {
    async fn run(
        self,
        cache: Arc<Mutex<Cache>>,
        stop: CancellationToken,
        stopped: CancellationToken,
        markers: Arc<AtomicBool>,
        forced: Arc<Mutex<Option<(usize, u64)>>>,
    ) {
        let interval = self.appender.target.interval;
        let scraped = self.scrape_until(&cache, &stop, &forced).await;
        stopped.cancel();
        if let Some(last) = scraped
            && markers.load(Ordering::Relaxed)
        {
            self.end(last, interval, &cache).await;
        }
    }

    /// Scrapes turn after turn; answers when the last one was, if there was one.
    async fn scrape_until(
        &self,
        cache: &Arc<Mutex<Cache>>,
        stop: &CancellationToken,
        forced: &Mutex<Option<(usize, u64)>>,
    ) -> Option<Instant> {
        let interval = self.appender.target.interval;
        let offset = self.appender.target.offset(unix_now(), self.seed);
        tokio::select! {
            () = tokio::time::sleep(offset) => {}
            () = stop.cancelled() => return None,
        }
        let mut ticker = tokio::time::interval(interval);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut turn = unix_now();
        let mut last: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return last,
                _ = ticker.tick() => {}
            }
            let time = align(unix_now(), &mut turn, interval);
            let began = Instant::now();
            if let Some(last) = last {
                let label = novaobs_model::duration::format(interval);
                self.appender.metrics.interval_length.observe(&label, (began - last).as_secs_f64());
            }
            last = Some(began);
            let exceeded = *forced.lock();
            tokio::select! {
                () = self.scrape(cache, milliseconds(time), began, exceeded) => {}
                () = self.shared.shutdown.cancelled() => return None,
            }
        }
    }

    /// One scrape, from the request to the store.
    async fn scrape(
        &self,
        cache: &Arc<Mutex<Cache>>,
        time: i64,
        began: Instant,
        exceeded: Option<(usize, u64)>,
    ) {
        let fetched = match (&self.client, exceeded) {
            (_, Some((targets, limit))) => Err(ScrapeError::TargetLimit { targets, limit }),
            (Err(problem), None) => Err(ScrapeError::Fetch(problem.clone())),
            (Ok(client), None) => fetch(client, &self.appender.config, &self.appender.target).await,
        };
        let Ok(turn) = self.shared.turns.acquire().await else { return };
        let (appender, cache) = (self.appender.clone(), cache.clone());
        let recorded = tokio::task::spawn_blocking(move || {
            let body = fetched.and_then(|fetched| fetched.unpack());
            if matches!(body, Err(ScrapeError::BodySizeLimit)) {
                appender.metrics.exceeded_body_size_limit.inc();
            }
            appender.record(&mut cache.lock(), Scrape { time, body }, began)
        });
        let error = match recorded.await {
            Ok(error) => error.map(|error| error.to_string()),
            Err(panic) => Some(panic.to_string()),
        };
        drop(turn);
        if let Some(error) = &error {
            tracing::debug!(target_url = self.appender.target.url(), error, "scrape failed");
        }
        self.appender.target.report(time, began.elapsed(), error);
    }

    /// The target is gone: when its next turn has passed twice and it has not come back as another target,
    /// its series get staleness markers at the time of that turn.
    async fn end(&self, last: Instant, interval: Duration, cache: &Arc<Mutex<Cache>>) {
        let next = tokio::time::Instant::from_std(last) + interval;
        let shutdown = self.shared.shutdown.cancelled();
        tokio::pin!(shutdown);
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = &mut shutdown => return,
        }
        let time = milliseconds(unix_now());
        tokio::select! {
            () = tokio::time::sleep(interval + interval / 10) => {}
            () = &mut shutdown => return,
        }
        let (appender, cache) = (self.appender.clone(), cache.clone());
        let written = tokio::task::spawn_blocking(move || appender.record_end(&mut cache.lock(), time));
        if let Err(panic) = written.await {
            tracing::error!(target_url = self.appender.target.url(), %panic, "stale markers were not written");
        }
    }
}

/// The time a scrape counts for: its turn, if it is no more than the tolerance late. `turn` moves on.
fn align(now: Duration, turn: &mut Duration, interval: Duration) -> Duration {
    let late = now.saturating_sub(*turn);
    let missed = u32::try_from(late.as_nanos() / interval.as_nanos().max(1)).unwrap_or(u32::MAX);
    *turn = turn.saturating_add(interval.saturating_mul(missed));
    let tolerance = TOLERANCE.min(interval / 100);
    if now.saturating_sub(*turn) <= tolerance && now >= *turn { *turn } else { now }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrape_times_stay_on_their_turn() {
        let ms = Duration::from_millis;
        let mut turn = ms(1_000);
        let mut f = |now: u64, want: u64| {
            assert_eq!(align(ms(now), &mut turn, ms(1_000)), ms(want));
        };
        f(1_000, 1_000);
        f(2_002, 2_000);
        f(3_003, 3_003);
        f(3_999, 3_999);
        f(7_001, 7_000);
    }
}
