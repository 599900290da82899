//! The alert pipeline at work: the state machine on the wall clock, sends on the async runtime.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use novaobs_model::Matcher;
use parking_lot::{Condvar, Mutex};
use tokio::runtime::Handle;

use crate::alert::{InvalidAlert, PostableAlert};
use crate::engine::{Attempt, Engine, OpenError, Options, Setup};
use crate::notify::{FailureReason, NotifyError, Retry};
use crate::query::{AlertFilter, AlertView, GroupView};
use crate::silence::{PostableSilence, Silence, SilenceError, SilenceState};
use crate::time;

/// The clock is looked at this often even when nothing is due, so that a changed wall clock is noticed.
const MAX_SLEEP: Duration = Duration::from_secs(5);

/// A running Alertmanager. Clones share it.
///
/// All methods take a lock and those that change something write a file: call them from threads that may
/// block (`spawn_blocking` in handlers).
#[derive(Clone)]
pub struct Alertmanager {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Mutex<State>,
    changed: Condvar,
    runtime: Handle,
}

struct State {
    engine: Engine,
    stopping: bool,
    clock: Option<std::thread::JoinHandle<()>>,
}

impl Alertmanager {
    /// Reads the state under `folder` back (creating it if needed) and starts. Sends run on `runtime`.
    ///
    /// # Errors
    /// [`OpenError`] when the state cannot be read or the metrics' names are taken in `registry`.
    pub fn open(
        folder: &Path,
        options: Options,
        setup: Setup,
        registry: &prometheus::Registry,
        runtime: Handle,
    ) -> Result<Alertmanager, OpenError> {
        let engine = Engine::open(folder, options, setup, registry, time::now())?;
        let state = Mutex::new(State { engine, stopping: false, clock: None });
        let shared = Arc::new(Shared { engine: state, changed: Condvar::new(), runtime });
        let thread = {
            let shared = shared.clone();
            std::thread::Builder::new().name("alertmanager".to_owned()).spawn(move || shared.run())
        };
        match thread {
            Ok(thread) => shared.engine.lock().clock = Some(thread),
            Err(error) => {
                tracing::error!(%error, "no thread for the alert pipeline: nothing will be notified")
            }
        }
        Ok(Alertmanager { shared })
    }

    /// Replaces the configuration; see the crate's description for what that does to groups.
    pub fn apply(&self, setup: Setup) {
        self.change(|engine| engine.apply(setup, time::now()));
    }

    /// Hands alerts in. The valid ones count even when others are refused.
    ///
    /// # Errors
    /// Why each refused alert was refused.
    pub fn put_alerts(&self, alerts: Vec<PostableAlert>) -> Result<(), Vec<InvalidAlert>> {
        let refused = self.change(|engine| engine.put_alerts(alerts, time::now()));
        if refused.is_empty() { Ok(()) } else { Err(refused) }
    }

    /// The alerts that are not over, by fingerprint.
    pub fn alerts(&self, filter: &AlertFilter) -> Vec<AlertView> {
        self.shared.engine.lock().engine.list_alerts(filter, time::now())
    }

    /// The groups that have alerts, by labels and receiver.
    pub fn groups(&self, filter: &AlertFilter) -> Vec<GroupView> {
        self.shared.engine.lock().engine.alert_groups(filter, time::now())
    }

    /// The silences in one of `states` that hold all of `filter` literally, most relevant first.
    pub fn silences(&self, states: &[SilenceState], filter: &[Matcher]) -> Vec<Silence> {
        self.shared.engine.lock().engine.list_silences(states, filter, time::now())
    }

    /// One silence.
    pub fn silence(&self, id: &str) -> Option<Silence> {
        self.shared.engine.lock().engine.silences.get(id).cloned()
    }

    /// Creates or changes a silence and answers its id, after it is on the disk.
    ///
    /// # Errors
    /// [`SilenceError`].
    pub fn set_silence(&self, silence: PostableSilence) -> Result<String, SilenceError> {
        self.change(|engine| engine.set_silence(silence, time::now()))
    }

    /// Ends a silence now; one that is over already stays as it is.
    ///
    /// # Errors
    /// [`SilenceError::NotFound`], [`SilenceError::Disk`].
    pub fn expire_silence(&self, id: &str) -> Result<(), SilenceError> {
        self.change(|engine| engine.expire_silence(id, time::now()))
    }

    /// Brings the gauges that count alerts and silences up to date; call it before gathering metrics.
    pub fn update_gauges(&self) {
        self.shared.engine.lock().engine.update_gauges(time::now());
    }

    /// What is configured.
    pub fn setup(&self) -> Setup {
        self.shared.engine.lock().engine.setup().clone()
    }

    /// Writes a snapshot and stops. Groups that wait continue after the next start.
    pub fn stop(&self) {
        let clock = {
            let mut state = self.shared.engine.lock();
            state.stopping = true;
            state.clock.take()
        };
        self.shared.changed.notify_all();
        if clock.is_some_and(|clock| clock.join().is_err()) {
            tracing::error!("the thread of the alert pipeline ended by a panic");
        }
        self.shared.engine.lock().engine.maintain(time::now());
    }

    fn change<T>(&self, change: impl FnOnce(&mut Engine) -> T) -> T {
        let answer = change(&mut self.shared.engine.lock().engine);
        self.shared.changed.notify_all();
        answer
    }
}

impl Shared {
    /// Polls the engine whenever something is due or changed, until it is to stop.
    fn run(self: Arc<Self>) {
        let mut state = self.engine.lock();
        while !state.stopping {
            let now = time::now();
            for attempt in state.engine.poll(now) {
                self.clone().send(attempt);
            }
            let wait = match state.engine.next_wake() {
                Some(next) => (next - now).to_std().unwrap_or(Duration::ZERO).min(MAX_SLEEP),
                None => MAX_SLEEP,
            };
            self.changed.wait_for(&mut state, wait);
        }
    }

    /// Makes an attempt on the runtime and reports its result to the engine.
    fn send(self: Arc<Self>, attempt: Attempt) {
        let runtime = self.runtime.clone();
        runtime.spawn(async move {
            let started = std::time::Instant::now();
            let left = (attempt.deadline - time::now()).to_std().unwrap_or(Duration::ZERO);
            let result =
                match tokio::time::timeout(left, attempt.receiver.notify(&attempt.notification)).await {
                    Ok(result) => result,
                    Err(_) => Err(NotifyError {
                        message: format!("no answer before the group's time for sending was over ({left:?})"),
                        retry: Retry::Never,
                        reason: FailureReason::Deadline,
                    }),
                };
            let took = started.elapsed();
            // The result is written to the log on disk.
            let report = tokio::task::spawn_blocking(move || {
                let mut state = self.engine.lock();
                state.engine.metrics.latency.with_label_values(&[attempt.kind]).observe(took.as_secs_f64());
                state.engine.finish(attempt.flight, result, time::now());
                drop(state);
                self.changed.notify_all();
            });
            if let Err(error) = report.await {
                tracing::error!(%error, "the result of a notification is lost");
            }
        });
    }
}
