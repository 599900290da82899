//! Lines that come from this machine: the stack's own log, and files that are tailed here.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use novaobs_files::{Deliver, DeliverError};
use novaobs_model::logs::{PairLists, Strings};
use novaobs_model::{Labels, LogStream, Tenant};
use novaobs_push::{Format, Push};
use novaobs_wire::loki_push::PushStream;
use tokio_util::sync::CancellationToken;

use super::now;
use crate::logging;

/// Own lines are kept at least this often.
const PAUSE: Duration = Duration::from_millis(500);
/// And in batches of at most so many.
const BATCH: usize = 1000;

/// Delivers into this process, through the same door as every push.
pub(super) struct Local {
    /// The door.
    pub push: Arc<Push>,
    /// Whose lines they are.
    pub tenant: Tenant,
}

impl Deliver for Local {
    fn deliver(&self, streams: &[LogStream]) -> Result<(), DeliverError> {
        let pushed = |stream: &LogStream| PushStream {
            labels: stream.labels.to_string(),
            timestamps: stream.timestamps.clone(),
            lines: stream.lines.clone(),
            metadata: stream.metadata.clone(),
        };
        let streams = streams.iter().map(pushed).collect();
        match self.push.push(&self.tenant, streams, Format::Loki, now()).error {
            None => Ok(()),
            Some(error) if error.status == 429 || error.status >= 500 => {
                Err(DeliverError::Later(error.to_string()))
            }
            Some(error) => Err(DeliverError::Refused(error.to_string())),
        }
    }
}

/// Keeps the lines of the stack's own log as the stream `{job="novaobs"}`.
pub(super) struct OwnLines {
    thread: Option<JoinHandle<()>>,
    stop: CancellationToken,
}

impl OwnLines {
    /// Starts keeping them; `None` when another runtime of this process does already.
    pub(super) fn start(to: Local) -> Option<OwnLines> {
        let lines = logging::lines()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("own log".to_owned());
        match thread.spawn(move || keep(&lines, &to, &stopped)) {
            Ok(thread) => Some(OwnLines { thread: Some(thread), stop }),
            Err(error) => {
                tracing::warn!(%error, "the stack's own log lines are not kept");
                None
            }
        }
    }

    /// Keeps what is there and ends.
    pub(super) fn stop(mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that keeps own log lines ended with a panic");
        }
    }
}

fn keep(lines: &Receiver<String>, to: &Local, stop: &CancellationToken) {
    let labels = Labels::from_pairs([("job", "novaobs"), ("service_name", "novaobs")]);
    loop {
        let stopping = stop.is_cancelled();
        let mut kept = Strings::default();
        let mut timestamps = Vec::new();
        // The first line is waited for; those that come with it go in the same batch.
        let mut wait = PAUSE;
        loop {
            match lines.recv_timeout(wait) {
                Ok(line) => {
                    kept.push(&line);
                    timestamps.push(now());
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if timestamps.len() == BATCH {
                break;
            }
            wait = Duration::ZERO;
        }
        if !timestamps.is_empty() {
            let metadata = PairLists::empty_rows(timestamps.len());
            // A failure is not logged: its line would come here again.
            let _ = to.deliver(&[LogStream { labels: labels.clone(), timestamps, lines: kept, metadata }]);
        }
        if stopping {
            return;
        }
    }
}
