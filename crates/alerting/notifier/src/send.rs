//! The queue of one Alertmanager and the task that empties it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use novaobs_http_client::{HttpClient, Request};
use novaobs_model::Alert;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::metrics::Metrics;
use crate::{NotifierOptions, payload};

const AGENT: &str = concat!("novaobs/", env!("CARGO_PKG_VERSION"));
/// Bytes of an answer that are read; what it says does not matter.
const ANSWER_LIMIT: usize = 64 << 10;
/// What is not sent so long after a queue was told to stop is given up: an Alertmanager that does not
/// answer must not hold up the end of the process.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// What all queues of a notifier share.
pub(crate) struct Common {
    pub options: NotifierOptions,
    pub metrics: Metrics,
    /// Queues that were told to stop and are being emptied.
    stopping: Mutex<JoinSet<()>>,
}

impl Common {
    pub(crate) fn new(options: NotifierOptions, metrics: Metrics) -> Common {
        Common { options, metrics, stopping: Mutex::default() }
    }

    /// Ends queues in the background.
    pub(crate) fn stop(&self, queues: impl IntoIterator<Item = SendLoop>) {
        let mut stopping = self.stopping.lock();
        while stopping.try_join_next().is_some() {}
        for queue in queues {
            stopping.spawn(queue.stop());
        }
    }

    /// Waits for the queues that were told to stop.
    pub(crate) async fn stopped(&self) {
        let mut stopping = std::mem::take(&mut *self.stopping.lock());
        while let Some(ended) = stopping.join_next().await {
            novaobs_model::always!(ended.is_ok(), "stopping a queue of alerts ended in a panic: {ended:?}");
        }
    }
}

/// An Alertmanager.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Address {
    pub url: Url,
    /// The URL as the peer writes it: with the port of its scheme, if that is written.
    pub text: String,
}

/// A running queue.
pub(crate) struct SendLoop {
    shared: Arc<Shared>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

struct Shared {
    address: Address,
    client: HttpClient,
    timeout: Duration,
    common: Arc<Common>,
    queue: Mutex<VecDeque<Arc<Alert>>>,
    /// Alerts of the batch that is on its way.
    sending: AtomicUsize,
    filled: Notify,
}

impl SendLoop {
    /// Starts the task inside the current tokio runtime.
    pub(crate) fn start(
        address: Address,
        client: HttpClient,
        timeout: Duration,
        common: Arc<Common>,
    ) -> SendLoop {
        common.metrics.open(&address.text);
        let shared = Arc::new(Shared {
            address,
            client,
            timeout,
            common,
            queue: Mutex::default(),
            sending: AtomicUsize::new(0),
            filled: Notify::new(),
        });
        let stop = CancellationToken::new();
        let task = tokio::spawn(shared.clone().run(stop.clone()));
        SendLoop { shared, stop, task }
    }

    /// The URL as it is shown.
    pub(crate) fn url(&self) -> &str {
        &self.shared.address.text
    }

    /// Queues alerts; the oldest make room.
    pub(crate) fn add(&self, alerts: &[Arc<Alert>]) {
        let shared = &self.shared;
        let mut queue = shared.queue.lock();
        let before = queue.len();
        queue.extend(alerts.iter().cloned());
        let surplus = queue.len().saturating_sub(shared.common.options.queue_capacity);
        queue.drain(..surplus);
        shared.length_changed(before, queue.len());
        drop(queue);
        if surplus > 0 {
            tracing::warn!(
                alertmanager = self.url(),
                count = surplus,
                "alert notification queue full, dropping alerts"
            );
            shared.dropped(surplus);
        }
        shared.filled.notify_one();
    }

    /// Ends the task, after what is queued has been sent if `drain_on_shutdown` says so and time allows.
    async fn stop(mut self) {
        self.stop.cancel();
        match tokio::time::timeout(STOP_TIMEOUT, &mut self.task).await {
            Ok(ended) => {
                novaobs_model::always!(ended.is_ok(), "sending alerts ended in a panic: {ended:?}");
            }
            Err(_) => {
                self.task.abort();
                // It says that it was aborted.
                let _ = self.task.await;
            }
        }
        self.shared.give_up_rest();
        self.shared.common.metrics.close(&self.shared.address.text);
    }
}

impl Shared {
    async fn run(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if !self.send_batch().await {
                tokio::select! {
                    () = self.filled.notified() => {}
                    () = stop.cancelled() => {}
                }
            }
        }
        if self.common.options.drain_on_shutdown {
            while self.send_batch().await {}
        }
    }

    /// Sends one batch; `false` when there is none.
    async fn send_batch(&self) -> bool {
        let batch: Vec<Arc<Alert>> = {
            let mut queue = self.queue.lock();
            let before = queue.len();
            let batch: Vec<_> =
                queue.drain(..before.min(self.common.options.max_batch_size.max(1))).collect();
            self.sending.store(batch.len(), Ordering::Relaxed);
            self.length_changed(before, queue.len());
            batch
        };
        if batch.is_empty() {
            return false;
        }
        let (url, metrics) = (self.address.text.as_str(), &self.common.metrics);
        let started = Instant::now();
        let outcome = self.post(&batch).await;
        self.sending.store(0, Ordering::Relaxed);
        match outcome {
            Ok(()) => metrics.sent(url, batch.len(), started.elapsed().as_secs_f64()),
            Err(error) => {
                tracing::error!(alertmanager = url, count = batch.len(), error, "error sending alerts");
                metrics.errors.with_label_values(&[url]).inc_by(batch.len() as f64);
                self.dropped(batch.len());
            }
        }
        true
    }

    async fn post(&self, batch: &[Arc<Alert>]) -> Result<(), String> {
        let body = payload::encode(batch.iter().map(Arc::as_ref)).map_err(|error| error.to_string())?;
        let request = Request::post(self.address.url.clone(), body)
            .header(USER_AGENT, HeaderValue::from_static(AGENT))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .timeout(self.timeout);
        let response = self.client.send(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        // Read to the end, so that the connection can be used again.
        let _ = response.bytes(ANSWER_LIMIT).await;
        if status.is_success() { Ok(()) } else { Err(format!("bad response status {status}")) }
    }

    /// Counts what the task left behind.
    fn give_up_rest(&self) {
        let mut queue = self.queue.lock();
        let waiting = queue.len();
        queue.clear();
        self.length_changed(waiting, 0);
        let count = waiting + self.sending.load(Ordering::Relaxed);
        if count > 0 {
            let url = &self.address.text;
            tracing::warn!(
                alertmanager = url,
                count,
                "alert notification queue not drained, dropping alerts"
            );
            self.dropped(count);
        }
    }

    /// The gauge is the sum of the queues of this URL.
    fn length_changed(&self, before: usize, after: usize) {
        let length = self.common.metrics.queue_length.with_label_values(&[self.address.text.as_str()]);
        length.add(after as f64 - before as f64);
    }

    fn dropped(&self, count: usize) {
        let dropped = &self.common.metrics.dropped;
        dropped.with_label_values(&[self.address.text.as_str()]).inc_by(count as f64);
    }
}
