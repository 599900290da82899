//! Where lines pass on their way into the store, and those who tail listen.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use novaobs_model::{AppendError, Labels, LogSink, LogStream, Matcher, Tenant};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

/// Most bytes that wait for one listener; what does not fit is dropped and reported.
const MAX_WAITING: usize = 8 << 20;
/// Most dropped entries reported at once.
const MAX_DROPPED: usize = 100;

/// Passes entries on to a sink, and, once that has them, to listeners. Listeners never slow the sink down.
pub struct TailHub {
    sink: Arc<dyn LogSink>,
    listeners: RwLock<Vec<Arc<Listener>>>,
    /// How many listeners there are, to be asked without the lock.
    count: AtomicUsize,
}

struct Listener {
    tenant: Tenant,
    matchers: Vec<Matcher>,
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Default)]
struct Waiting {
    streams: VecDeque<Arc<LogStream>>,
    bytes: usize,
    dropped: Vec<(i64, Labels)>,
}

/// What came since the last look.
#[derive(Default)]
pub(super) struct News {
    pub(super) streams: VecDeque<Arc<LogStream>>,
    /// Times and streams of entries that were dropped because the listener was slow; not all of them when
    /// there were many.
    pub(super) dropped: Vec<(i64, Labels)>,
}

/// A listener's end; dropping it ends the listening.
pub(super) struct Subscription {
    hub: Arc<TailHub>,
    listener: Arc<Listener>,
}

impl TailHub {
    /// In front of a sink.
    pub fn new(sink: Arc<dyn LogSink>) -> Self {
        TailHub { sink, listeners: RwLock::default(), count: AtomicUsize::new(0) }
    }

    /// Listens to streams of a tenant; refused when `most` (0: any number) listen already.
    ///
    /// # Errors
    /// How many there would be.
    pub(super) fn subscribe(
        self: &Arc<Self>,
        tenant: &Tenant,
        matchers: Vec<Matcher>,
        most: usize,
    ) -> Result<Subscription, usize> {
        let listener = Arc::new(Listener {
            tenant: tenant.clone(),
            matchers,
            waiting: Mutex::default(),
            wake: Notify::new(),
        });
        let mut listeners = self.listeners.write();
        let same = listeners.iter().filter(|other| other.tenant == *tenant).count();
        if most > 0 && same >= most {
            return Err(same + 1);
        }
        listeners.push(listener.clone());
        self.count.store(listeners.len(), Ordering::Release);
        Ok(Subscription { hub: self.clone(), listener })
    }
}

impl LogSink for TailHub {
    fn append(&self, tenant: &Tenant, streams: &[LogStream]) -> Result<(), AppendError> {
        self.sink.append(tenant, streams)?;
        if self.count.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        let listeners = self.listeners.read();
        let mine: Vec<_> = listeners.iter().filter(|listener| listener.tenant == *tenant).collect();
        for stream in streams {
            let mut shared = None;
            for listener in &mine {
                if listener.matchers.iter().all(|matcher| matcher.matches_labels(&stream.labels)) {
                    listener.push(shared.get_or_insert_with(|| Arc::new(stream.clone())));
                }
            }
        }
        Ok(())
    }
}

impl Listener {
    fn push(&self, stream: &Arc<LogStream>) {
        let bytes = stream.lines.memory() + stream.metadata.memory() + 64;
        let mut waiting = self.waiting.lock();
        if waiting.bytes + bytes > MAX_WAITING {
            let room = MAX_DROPPED.saturating_sub(waiting.dropped.len());
            let lost = stream.timestamps.iter().take(room).map(|time| (*time, stream.labels.clone()));
            waiting.dropped.extend(lost);
        } else {
            waiting.bytes += bytes;
            waiting.streams.push_back(stream.clone());
        }
        drop(waiting);
        self.wake.notify_one();
    }
}

impl Subscription {
    /// Waits until something came.
    pub(super) async fn next(&self) -> News {
        loop {
            let woken = self.listener.wake.notified();
            let news = self.take();
            if !news.streams.is_empty() || !news.dropped.is_empty() {
                return news;
            }
            woken.await;
        }
    }

    fn take(&self) -> News {
        let waiting = std::mem::take(&mut *self.listener.waiting.lock());
        News { streams: waiting.streams, dropped: waiting.dropped }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut listeners = self.hub.listeners.write();
        listeners.retain(|listener| !Arc::ptr_eq(listener, &self.listener));
        self.hub.count.store(listeners.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use novaobs_model::logs::{PairLists, Strings};

    use super::*;

    struct Nothing;

    impl LogSink for Nothing {
        fn append(&self, _: &Tenant, _: &[LogStream]) -> Result<(), AppendError> {
            Ok(())
        }
    }

    fn stream(app: &str, lines: &[&str]) -> LogStream {
        LogStream {
            labels: Labels::from_pairs([("app", app)]),
            timestamps: (0..lines.len() as i64).collect(),
            lines: lines.iter().copied().collect::<Strings>(),
            metadata: PairLists::empty_rows(lines.len()),
        }
    }

    #[tokio::test]
    async fn listeners_get_what_matches_of_their_tenant() {
        let hub = Arc::new(TailHub::new(Arc::new(Nothing)));
        let (a, b) = (Tenant::new("a"), Tenant::new("b"));
        let subscription = hub.subscribe(&a, vec![Matcher::equal("app", "x")], 1).ok().unwrap();
        assert_eq!(hub.subscribe(&a, Vec::new(), 1).err(), Some(2));
        hub.append(&b, &[stream("x", &["other tenant"])]).unwrap();
        hub.append(&a, &[stream("y", &["other app"]), stream("x", &["mine"])]).unwrap();
        let news = subscription.next().await;
        assert_eq!(news.streams.iter().map(|s| s.lines.get(0)).collect::<Vec<_>>(), ["mine"]);
        assert!(subscription.next().now_or_never().is_none());
        drop(subscription);
        assert_eq!(hub.count.load(Ordering::Acquire), 0);
        assert!(hub.subscribe(&a, Vec::new(), 1).is_ok());
    }

    #[tokio::test]
    async fn what_a_slow_listener_misses_is_reported() {
        let hub = Arc::new(TailHub::new(Arc::new(Nothing)));
        let tenant = Tenant::new("a");
        let subscription = hub.subscribe(&tenant, Vec::new(), 0).ok().unwrap();
        let long = "x".repeat(1 << 20);
        for _ in 0..20 {
            hub.append(&tenant, &[stream("x", &[&long])]).unwrap();
        }
        let news = subscription.next().await;
        assert!(news.streams.len() < 9 && news.streams.len() + news.dropped.len() == 20);
    }
}
