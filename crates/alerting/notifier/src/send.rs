//! The queue of one Alertmanager and the task that empties it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{CONTENT_TYPE, HeaderValue};
use novaobs_http_client::{HttpClient, Request};
use novaobs_model::Alert;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::metrics::Metrics;
use crate::{NotifierOptions, payload};

/// Bytes of an answer that are read; what it says does not matter.
const ANSWER_LIMIT: usize = 64 << 10;

/// A running queue.
pub(crate) struct SendLoop {
    shared: Arc<Shared>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

struct Shared {
    url: Url,
    client: HttpClient,
    timeout: Duration,
    options: NotifierOptions,
    metrics: Metrics,
    queue: Mutex<VecDeque<Arc<Alert>>>,
    filled: Notify,
}

impl SendLoop {
    /// Starts the task inside the current tokio runtime.
    pub(crate) fn start(
        url: Url,
        client: HttpClient,
        timeout: Duration,
        options: NotifierOptions,
        metrics: Metrics,
    ) -> SendLoop {
        metrics.open(url.as_str());
        let queue = Mutex::default();
        let shared =
            Arc::new(Shared { url, client, timeout, options, metrics, queue, filled: Notify::new() });
        let stop = CancellationToken::new();
        let task = tokio::spawn(shared.clone().run(stop.clone()));
        SendLoop { shared, stop, task }
    }

    /// Queues alerts; the oldest make room.
    pub(crate) fn add(&self, alerts: &[Arc<Alert>]) {
        let shared = &self.shared;
        let capacity = shared.options.queue_capacity;
        let mut queue = shared.queue.lock();
        queue.extend(alerts.iter().cloned());
        let surplus = queue.len().saturating_sub(capacity);
        queue.drain(..surplus);
        shared.show_length(queue.len());
        drop(queue);
        if surplus > 0 {
            tracing::warn!(alertmanager = %shared.url, count = surplus, "alert notification queue full, dropping alerts");
            shared.dropped(surplus);
        }
        shared.filled.notify_one();
    }

    /// Ends the task, after what is queued has been sent if `drain_on_shutdown` says so.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            novaobs_model::never!("sending alerts ended in a panic: {error}");
        }
        self.shared.metrics.close(self.shared.url.as_str());
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
        if self.options.drain_on_shutdown {
            while self.send_batch().await {}
        }
        let left = self.queue.lock().len();
        if left > 0 {
            tracing::warn!(alertmanager = %self.url, count = left, "alert notification queue not drained on shutdown, dropping alerts");
        }
    }

    /// Sends one batch; `false` when there is none.
    async fn send_batch(&self) -> bool {
        let batch: Vec<Arc<Alert>> = {
            let mut queue = self.queue.lock();
            let count = queue.len().min(self.options.max_batch_size.max(1));
            let batch = queue.drain(..count).collect();
            self.show_length(queue.len());
            batch
        };
        if batch.is_empty() {
            return false;
        }
        let url = self.url.as_str();
        let started = Instant::now();
        match self.post(&batch).await {
            Ok(()) => {
                self.metrics.latency.with_label_values(&[url]).observe(started.elapsed().as_secs_f64());
                self.metrics.sent.with_label_values(&[url]).inc_by(batch.len() as f64);
            }
            Err(error) => {
                tracing::error!(alertmanager = url, count = batch.len(), error, "error sending alerts");
                self.metrics.errors.with_label_values(&[url]).inc_by(batch.len() as f64);
                self.dropped(batch.len());
            }
        }
        true
    }

    async fn post(&self, batch: &[Arc<Alert>]) -> Result<(), String> {
        let body = payload::encode(batch.iter().map(Arc::as_ref)).map_err(|error| error.to_string())?;
        let request = Request::post(self.url.clone(), body)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .timeout(self.timeout);
        let response = self.client.send(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        // Read to the end, so that the connection can be used again.
        let _ = response.bytes(ANSWER_LIMIT).await;
        if status.is_success() { Ok(()) } else { Err(format!("bad response status {status}")) }
    }

    fn show_length(&self, length: usize) {
        self.metrics.queue_length.with_label_values(&[self.url.as_str()]).set(length as f64);
    }

    fn dropped(&self, count: usize) {
        self.metrics.dropped.with_label_values(&[self.url.as_str()]).inc_by(count as f64);
    }
}
