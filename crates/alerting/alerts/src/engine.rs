//! The alert pipeline as a state machine: time and the results of sends go in, sends come out. It does no
//! waiting and no network, so tests run it on a clock of their own; [`crate::Alertmanager`] drives it.
//!
//! ```text
//! put_alerts -> route -> group --(group_wait, then every group_interval)--> flush
//! flush: inhibition -> active and mute intervals -> silences
//!        -> per integration: notification log -> send, retried until the group's time is over -> log
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use novaobs_model::{Labels, always};

use crate::alert::{Alert, Fingerprint, InvalidAlert, PostableAlert, label_set_text, notification_order};
use crate::inhibit::{InhibitRule, Inhibitor};
use crate::interval::NamedIntervals;
use crate::journal::{Journal, JournalError};
use crate::metrics::Metrics;
use crate::notify::{
    FailureReason, Integration, NamedReceiver, Notification, NotifiedAlert, NotifyError, Receiver, Retry,
};
use crate::record::Record;
use crate::route::{Route, RouteTree};
use crate::sent::{Sent, SentKey, SentLog, decide};
use crate::silence::{PostableSilence, Silence, SilenceError, SilenceLimits, Silences};
use crate::time::{self, Time};

/// What the file and the receivers built from it amount to.
#[derive(Clone)]
pub struct Setup {
    /// After how long an alert without an end counts as over.
    pub resolve_timeout: Duration,
    /// The routing tree.
    pub route: RouteTree,
    /// The inhibition rules.
    pub inhibit_rules: Vec<InhibitRule>,
    /// The time intervals that routes name.
    pub time_intervals: Vec<NamedIntervals>,
    /// The receivers that routes name.
    pub receivers: Vec<NamedReceiver>,
}

/// What is fixed from the start.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long expired silences and the notification log are kept (`--data.retention`).
    pub retention: Duration,
    /// How often a snapshot is written (`--data.maintenance-interval`).
    pub maintenance_interval: Duration,
    /// How often alerts that are over are forgotten (`--alerts.gc-interval`).
    pub alert_gc_interval: Duration,
    /// Bounds on silences.
    pub silence_limits: SilenceLimits,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            retention: Duration::from_secs(120 * 60 * 60),
            maintenance_interval: Duration::from_secs(15 * 60),
            alert_gc_interval: Duration::from_secs(30 * 60),
            silence_limits: SilenceLimits::default(),
        }
    }
}

/// A send has at least this long, whatever the group interval.
const MIN_SEND_TIME: Duration = Duration::from_secs(10);
/// The first pause between two attempts; each next one is half as long again.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// A log longer than this is replaced by a snapshot before its time.
const MAX_LOG_BYTES: u64 = 64 << 20;

/// A send to make.
pub(crate) struct Attempt {
    pub(crate) flight: u64,
    pub(crate) kind: &'static str,
    pub(crate) receiver: Arc<dyn Receiver>,
    pub(crate) notification: Arc<Notification>,
    /// When to give up.
    pub(crate) deadline: Time,
}

/// A group is known by the number of its route and its labels.
type GroupId = (usize, Labels);

struct Group {
    key: String,
    alerts: BTreeMap<Fingerprint, Arc<Alert>>,
    /// When to flush next.
    next: Time,
    flush: Option<Flush>,
    /// Whether the time to flush came while sends were under way.
    overdue: bool,
}

/// A flush that waits for its sends.
struct Flush {
    open: usize,
    failed: bool,
    /// Resolved alerts to drop when all sends succeed, with the update that was sent.
    resolved: Vec<(Fingerprint, Time)>,
}

/// A notification on its way to one integration.
struct Flight {
    group: GroupId,
    integration: Integration,
    notification: Arc<Notification>,
    sent: Sent,
    deadline: Time,
    attempts: u32,
    last_error: Option<NotifyError>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Flush(GroupId),
    Retry(u64),
    CollectAlerts,
    Maintain,
}

pub(crate) struct Engine {
    options: Options,
    setup: Setup,
    intervals: HashMap<String, NamedIntervals>,
    pub(crate) inhibitor: Inhibitor,
    pub(crate) alerts: HashMap<Fingerprint, Arc<Alert>>,
    pub(crate) silences: Silences,
    sent: SentLog,
    groups: BTreeMap<GroupId, Group>,
    flights: HashMap<u64, Flight>,
    next_flight: u64,
    timers: BTreeSet<(Time, Timer)>,
    journal: Journal,
    pub(crate) metrics: Metrics,
}

/// Why the alert pipeline cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its state on disk.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Its metrics.
    #[error("cannot register the metrics of the alert pipeline: {0}")]
    Metrics(#[from] prometheus::Error),
}

impl Engine {
    /// Reads the state under `folder` back and starts with `setup`.
    pub(crate) fn open(
        folder: &Path,
        options: Options,
        setup: Setup,
        registry: &prometheus::Registry,
        now: Time,
    ) -> Result<Engine, OpenError> {
        let mut silences = Silences::new(options.retention, options.silence_limits);
        let mut sent = SentLog::default();
        let mut alerts: HashMap<Fingerprint, Alert> = HashMap::new();
        let journal = Journal::open(folder, |bytes| match Record::decode(bytes) {
            Some(Record::Silence(silence)) => silences.insert(silence),
            Some(Record::Sent(entry)) => sent.insert(entry),
            Some(Record::Alert(stored)) => {
                let alert = Alert::from(stored);
                alerts.insert(alert.fingerprint, alert);
            }
            Some(Record::Seen { fingerprint, ends_at, updated_at, timeout }) => {
                if let Some(alert) = alerts.get_mut(&fingerprint) {
                    (alert.ends_at, alert.updated_at, alert.timeout) = (ends_at, updated_at, timeout);
                }
            }
            None => {}
        })?;
        silences.remove_expired(now);
        sent.remove_expired(now);
        let mut engine = Engine {
            options,
            intervals: HashMap::new(),
            inhibitor: Inhibitor::default(),
            alerts: alerts.into_values().map(|alert| (alert.fingerprint, Arc::new(alert))).collect(),
            silences,
            sent,
            groups: BTreeMap::new(),
            flights: HashMap::new(),
            next_flight: 0,
            timers: BTreeSet::new(),
            journal,
            metrics: Metrics::new(registry)?,
            setup: setup.clone(),
        };
        engine.timers.insert((time::after(now, options.alert_gc_interval), Timer::CollectAlerts));
        engine.timers.insert((time::after(now, options.maintenance_interval), Timer::Maintain));
        engine.setup = setup.clone();
        engine.outlive_restart(now);
        engine.apply(setup, now);
        Ok(engine)
    }

    /// Alerts that ran out while the process was away, and that receivers believe to fire: their senders get
    /// time to say whether they still do.
    fn outlive_restart(&mut self, now: Time) {
        let ran_out = |alert: &&Arc<Alert>| alert.is_resolved(now) && alert.ends_at > alert.updated_at;
        let ran_out: Vec<Arc<Alert>> = self.alerts.values().filter(ran_out).cloned().collect();
        for alert in ran_out {
            let routes = self.setup.route.matching(&alert.labels);
            if routes.into_iter().any(|index| self.awaits_resolve(index, &alert)) {
                let ends_at = time::after(now, self.setup.resolve_timeout);
                self.alerts.insert(
                    alert.fingerprint,
                    Arc::new(Alert { ends_at, timeout: true, ..(*alert).clone() }),
                );
            }
        }
    }

    pub(crate) fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Replaces the setup. Groups start anew from the alerts that are kept; the notification log keeps
    /// them from notifying twice. Sends under way are given up.
    pub(crate) fn apply(&mut self, setup: Setup, now: Time) {
        self.inhibitor = Inhibitor::new(&setup.inhibit_rules);
        self.intervals = setup.time_intervals.iter().map(|i| (i.name.clone(), i.clone())).collect();
        self.metrics.receivers.set(setup.receivers.len() as f64);
        self.metrics
            .integrations
            .set(setup.receivers.iter().map(|r| r.integrations.len()).sum::<usize>() as f64);
        self.metrics.inhibition_rules.set(self.inhibitor.len() as f64);
        self.setup = setup;
        self.groups.clear();
        self.flights.clear();
        self.timers.retain(|(_, timer)| matches!(timer, Timer::CollectAlerts | Timer::Maintain));
        let mut alerts: Vec<Arc<Alert>> = self.alerts.values().cloned().collect();
        alerts.sort_by_key(|alert| (alert.starts_at, alert.fingerprint));
        for alert in alerts {
            self.inhibitor.add(&alert);
            for index in self.setup.route.matching(&alert.labels) {
                if !alert.is_resolved(now) || self.awaits_resolve(index, &alert) {
                    self.insert(index, &alert, now);
                }
            }
        }
    }

    /// Whether an integration was told that the alert fires, and not yet that it is over.
    fn awaits_resolve(&self, index: usize, alert: &Alert) -> bool {
        let Some(route) = self.setup.route.get(index) else { return false };
        let group_key = group_key(route, &route.group_labels(&alert.labels));
        self.integrations(&route.receiver).any(|(receiver, integration)| {
            let key = sent_key(&group_key, &receiver.name, integration);
            self.sent.get(&key).is_some_and(|sent| sent.firing.contains(&alert.fingerprint))
        })
    }

    fn integrations(&self, receiver: &str) -> impl Iterator<Item = (&NamedReceiver, &Integration)> {
        let named = self.setup.receivers.iter().find(move |named| named.name == receiver);
        named.into_iter().flat_map(|named| named.integrations.iter().map(move |one| (named, one)))
    }

    /// Takes alerts in. The valid ones count even when others are refused.
    pub(crate) fn put_alerts(&mut self, posted: Vec<PostableAlert>, now: Time) -> Vec<InvalidAlert> {
        let mut refused = Vec::new();
        for posted in posted {
            let firing = posted.ends_at.is_none_or(|end| end > now);
            let status = if firing { "firing" } else { "resolved" };
            self.metrics.received.with_label_values(&[status, "v2"]).inc();
            match Alert::from_postable(posted, now, self.setup.resolve_timeout) {
                Ok(alert) => self.put_alert(alert, now),
                Err(error) => {
                    self.metrics.invalid.with_label_values(&["v2"]).inc();
                    refused.push(error);
                }
            }
        }
        refused
    }

    fn put_alert(&mut self, mut alert: Alert, now: Time) {
        let _timer = self.metrics.processing.clone().start_timer();
        let old = self.alerts.get(&alert.fingerprint).cloned();
        if let Some(old) = old.as_deref().filter(|old| alert.overlaps(old)) {
            alert = old.merge(&alert, now);
        }
        let same_text = |old: &Alert| {
            old.annotations == alert.annotations
                && old.starts_at == alert.starts_at
                && old.generator_url == alert.generator_url
        };
        let record = if old.as_deref().is_some_and(same_text) {
            Record::Seen {
                fingerprint: alert.fingerprint,
                ends_at: alert.ends_at,
                updated_at: alert.updated_at,
                timeout: alert.timeout,
            }
        } else {
            Record::Alert((&alert).into())
        };
        // An alert that cannot be written still notifies: it is only lost to a restart.
        let _ = self.write(&record);
        let alert = Arc::new(alert);
        self.alerts.insert(alert.fingerprint, alert.clone());
        self.inhibitor.add(&alert);
        for index in self.setup.route.matching(&alert.labels) {
            self.insert(index, &alert, now);
        }
    }

    /// Puts an alert into its group of a route; a new group whose alert has waited enough flushes at once.
    fn insert(&mut self, index: usize, alert: &Arc<Alert>, now: Time) {
        let Some(route) = self.setup.route.get(index) else { return };
        let labels = route.group_labels(&alert.labels);
        let id = (index, labels);
        if let Some(group) = self.groups.get_mut(&id) {
            group.alerts.insert(alert.fingerprint, alert.clone());
            return;
        }
        let waited = time::after(alert.starts_at, route.group_wait) < now;
        let next = if waited { now } else { time::after(now, route.group_wait) };
        let group = Group {
            key: group_key(route, &id.1),
            alerts: BTreeMap::from([(alert.fingerprint, alert.clone())]),
            next,
            flush: None,
            overdue: false,
        };
        self.timers.insert((next, Timer::Flush(id.clone())));
        self.groups.insert(id, group);
        self.metrics.groups.set(self.groups.len() as f64);
    }

    /// When [`Engine::poll`] has something to do next.
    pub(crate) fn next_wake(&self) -> Option<Time> {
        self.timers.first().map(|(time, _)| *time)
    }

    /// Does what is due at `now` and answers the sends to make.
    pub(crate) fn poll(&mut self, now: Time) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        while self.timers.first().is_some_and(|(due, _)| *due <= now) {
            let Some((_, timer)) = self.timers.pop_first() else { break };
            match timer {
                Timer::Flush(id) => self.flush(id, now, &mut attempts),
                Timer::Retry(flight) => self.attempt(flight, now, &mut attempts),
                Timer::CollectAlerts => {
                    self.collect_alerts(now);
                    self.timers
                        .insert((time::after(now, self.options.alert_gc_interval), Timer::CollectAlerts));
                }
                Timer::Maintain => {
                    self.maintain(now);
                    self.timers
                        .insert((time::after(now, self.options.maintenance_interval), Timer::Maintain));
                }
            }
        }
        attempts
    }

    fn flush(&mut self, id: GroupId, now: Time, attempts: &mut Vec<Attempt>) {
        let Some(route) = self.setup.route.get(id.0).cloned() else { return };
        let Some(group) = self.groups.get_mut(&id) else { return };
        if group.flush.is_some() {
            // Sends may outlast a short interval; the group flushes as soon as they end.
            group.overdue = true;
            return;
        }
        group.next = time::after(now, route.group_interval);
        self.timers.insert((group.next, Timer::Flush(id.clone())));
        let mut batch: Vec<Arc<Alert>> = group.alerts.values().cloned().collect();
        let group_key = group.key.clone();
        batch.sort_by(|a, b| notification_order(&a.labels, &b.labels));
        let is_resolved = |alert: &&Arc<Alert>| alert.is_resolved(now);
        let resolved = batch.iter().filter(is_resolved).map(|a| (a.fingerprint, a.updated_at)).collect();
        let batch = self.unsuppressed(&route, batch, now);
        let mut flush = Flush { open: 0, failed: false, resolved };
        if !batch.is_empty() {
            let deadline = time::after(now, route.group_interval.max(MIN_SEND_TIME));
            for flight in self.flights_of(&route, &id, &group_key, &batch, deadline, now) {
                self.metrics.notifications.with_label_values(&[flight.integration.kind]).inc();
                let number = self.next_flight;
                self.next_flight += 1;
                self.flights.insert(number, flight);
                flush.open += 1;
                self.attempt(number, now, attempts);
            }
        }
        if let Some(group) = self.groups.get_mut(&id) {
            group.flush = Some(flush);
        }
        self.end_flush_if_done(&id, now);
    }

    /// The alerts of a batch that may be notified about now.
    fn unsuppressed(&self, route: &Route, mut batch: Vec<Arc<Alert>>, now: Time) -> Vec<Arc<Alert>> {
        let count =
            |reason: &str, n: usize| self.metrics.suppressed.with_label_values(&[reason]).inc_by(n as f64);
        let before = batch.len();
        batch.retain(|alert| self.inhibitor.inhibited_by(&alert.labels, &self.alerts, now).is_none());
        count("inhibition", before - batch.len());
        if !self.is_active(route, now) {
            count("active_time_interval", batch.len());
            return Vec::new();
        }
        if !self.muting(route, now).is_empty() {
            count("mute_time_interval", batch.len());
            return Vec::new();
        }
        let before = batch.len();
        batch.retain(|alert| self.silences.silencing(&alert.labels, now).is_empty());
        count("silence", before - batch.len());
        batch
    }

    fn is_active(&self, route: &Route, now: Time) -> bool {
        let names = &route.active_time_intervals;
        names.is_empty() || names.iter().any(|name| self.intervals.get(name).is_some_and(|i| i.contains(now)))
    }

    fn muting(&self, route: &Route, now: Time) -> Vec<String> {
        let contains = |name: &&String| self.intervals.get(*name).is_some_and(|i| i.contains(now));
        route.mute_time_intervals.iter().filter(contains).cloned().collect()
    }

    /// The names of the intervals that mute a route now: those it is in, or all those it should be in.
    pub(crate) fn muted_by(&self, route: &Route, now: Time) -> Vec<String> {
        if self.is_active(route, now) { self.muting(route, now) } else { route.active_time_intervals.clone() }
    }

    /// The notifications that the log says are needed.
    fn flights_of(
        &mut self,
        route: &Route,
        id: &GroupId,
        group_key: &str,
        batch: &[Arc<Alert>],
        deadline: Time,
        now: Time,
    ) -> Vec<Flight> {
        let ids = |resolved: bool| {
            let wanted = move |alert: &&Arc<Alert>| alert.is_resolved(now) == resolved;
            batch.iter().filter(wanted).map(|alert| alert.fingerprint).collect::<BTreeSet<_>>()
        };
        let (firing, resolved) = (ids(false), ids(true));
        let mut flights = Vec::new();
        let mut unsent = Vec::new();
        for (named, integration) in self.integrations(&route.receiver) {
            let key = sent_key(group_key, &named.name, integration);
            let send_resolved = integration.send_resolved;
            let last = self.sent.get(&key);
            let Some(reason) = decide(last, &firing, &resolved, send_resolved, route.repeat_interval, now)
            else {
                continue;
            };
            let expiry = route.repeat_interval.saturating_mul(2).min(self.options.retention);
            let sent = Sent {
                key,
                firing: firing.clone(),
                resolved: resolved.clone(),
                at: now,
                expires_at: time::after(now, expiry),
            };
            if !send_resolved && firing.is_empty() {
                // The receiver does not want to know, but the log must forget what fired.
                unsent.push(sent);
                continue;
            }
            let wanted = |alert: &&Arc<Alert>| send_resolved || !alert.is_resolved(now);
            let notification = Notification {
                receiver: named.name.clone(),
                group_key: group_key.to_owned(),
                group_labels: id.1.clone(),
                route_labels: route.labels.clone(),
                reason,
                alerts: batch.iter().filter(wanted).map(|alert| notified(alert, now)).collect(),
            };
            flights.push(Flight {
                group: id.clone(),
                integration: integration.clone(),
                notification: Arc::new(notification),
                sent,
                deadline,
                attempts: 0,
                last_error: None,
            });
        }
        for sent in unsent {
            self.log_sent(sent);
        }
        flights
    }

    /// Makes the next attempt of a flight, or ends it when its time is over.
    fn attempt(&mut self, number: u64, now: Time, attempts: &mut Vec<Attempt>) {
        let Some(flight) = self.flights.get_mut(&number) else { return };
        if now >= flight.deadline && flight.attempts > 0 {
            self.end_flight(number, false, now);
            return;
        }
        flight.attempts += 1;
        attempts.push(Attempt {
            flight: number,
            kind: flight.integration.kind,
            receiver: flight.integration.receiver.clone(),
            notification: flight.notification.clone(),
            deadline: flight.deadline,
        });
    }

    /// Takes the result of an attempt. One of a flight that a reload gave up is ignored.
    pub(crate) fn finish(&mut self, number: u64, result: Result<(), NotifyError>, now: Time) {
        let Some(flight) = self.flights.get_mut(&number) else { return };
        let kind = flight.integration.kind;
        self.metrics.requests.with_label_values(&[kind]).inc();
        let error = match result {
            Ok(()) => {
                let sent = Sent { at: now, ..flight.sent.clone() };
                tracing::debug!(
                    receiver = sent.key.receiver,
                    integration = kind,
                    group = sent.key.group_key,
                    "notified"
                );
                self.log_sent(sent);
                self.end_flight(number, true, now);
                return;
            }
            Err(error) => error,
        };
        self.metrics.requests_failed.with_label_values(&[kind]).inc();
        let pause = match error.retry {
            Retry::Never => None,
            Retry::Backoff => Some(pause(number, flight.attempts)),
            Retry::After(wait) => Some(wait.max(pause(number, flight.attempts))),
        };
        if flight.last_error.as_ref().is_none_or(|last| last.message != error.message) && pause.is_some() {
            tracing::warn!(
                receiver = flight.sent.key.receiver,
                integration = kind,
                group = flight.sent.key.group_key,
                attempts = flight.attempts,
                %error,
                "notification failed, will be tried again"
            );
        }
        flight.last_error = Some(error);
        match pause.map(|pause| time::after(now, pause)) {
            Some(next) if now < flight.deadline => {
                self.timers.insert((next.min(flight.deadline), Timer::Retry(number)));
            }
            _ => self.end_flight(number, false, now),
        }
    }

    fn end_flight(&mut self, number: u64, success: bool, now: Time) {
        let Some(flight) = self.flights.remove(&number) else { return };
        if !success {
            let reason = flight.last_error.as_ref().map_or(FailureReason::Deadline, |error| error.reason);
            let kind = flight.integration.kind;
            self.metrics.notifications_failed.with_label_values(&[kind, reason.as_str()]).inc();
            tracing::error!(
                receiver = flight.sent.key.receiver,
                integration = kind,
                group = flight.sent.key.group_key,
                attempts = flight.attempts,
                error = flight.last_error.as_ref().map_or("", |error| error.message.as_str()),
                "notification given up until the next group interval"
            );
        }
        if let Some(flush) = self.groups.get_mut(&flight.group).and_then(|group| group.flush.as_mut()) {
            always!(flush.open > 0, "a send ended that its flush did not wait for");
            flush.open = flush.open.saturating_sub(1);
            flush.failed |= !success;
        }
        self.end_flush_if_done(&flight.group, now);
    }

    /// After all sends of a flush succeeded its resolved alerts leave the group, unless they changed since.
    fn end_flush_if_done(&mut self, id: &GroupId, now: Time) {
        let Some(group) = self.groups.get_mut(id) else { return };
        let Some(flush) = group.flush.take_if(|flush| flush.open == 0) else { return };
        if std::mem::take(&mut group.overdue) {
            group.next = now;
            self.timers.insert((now, Timer::Flush(id.clone())));
        }
        if flush.failed {
            return;
        }
        for (fingerprint, updated_at) in flush.resolved {
            if group.alerts.get(&fingerprint).is_some_and(|alert| alert.updated_at == updated_at) {
                group.alerts.remove(&fingerprint);
            }
        }
        if group.alerts.is_empty() {
            let next = group.next;
            self.timers.remove(&(next, Timer::Flush(id.clone())));
            self.groups.remove(id);
            self.metrics.groups.set(self.groups.len() as f64);
        }
    }

    fn log_sent(&mut self, sent: Sent) {
        // One that cannot be written means a duplicate after a restart, not a loss.
        let _ = self.write(&Record::Sent(sent.clone()));
        self.sent.insert(sent);
    }

    /// Creates or changes a silence and answers its id. It is on the disk then.
    pub(crate) fn set_silence(&mut self, posted: PostableSilence, now: Time) -> Result<String, SilenceError> {
        let records = self.silences.plan_set(posted, now)?;
        let id = records.last().map(|silence| silence.id.clone()).unwrap_or_default();
        self.store_silences(records)?;
        Ok(id)
    }

    /// Ends a silence now. It is on the disk then.
    pub(crate) fn expire_silence(&mut self, id: &str, now: Time) -> Result<(), SilenceError> {
        let record = self.silences.plan_expire(id, now)?;
        self.store_silences(record.into_iter().collect())
    }

    fn store_silences(&mut self, records: Vec<Silence>) -> Result<(), SilenceError> {
        for silence in &records {
            self.write(&Record::Silence(silence.clone())).map_err(|e| SilenceError::Disk(e.to_string()))?;
        }
        self.journal.sync().map_err(|error| SilenceError::Disk(error.to_string()))?;
        records.into_iter().for_each(|silence| self.silences.insert(silence));
        Ok(())
    }

    fn write(&mut self, record: &Record) -> std::io::Result<()> {
        self.journal.append(&record.encode()).inspect_err(|error| {
            self.metrics.disk_errors.inc();
            tracing::error!(%error, "the alert state cannot be written");
        })
    }

    fn collect_alerts(&mut self, now: Time) {
        let over: Vec<Arc<Alert>> =
            self.alerts.values().filter(|alert| alert.is_resolved(now)).cloned().collect();
        for alert in over {
            self.inhibitor.remove(&alert);
            self.alerts.remove(&alert.fingerprint);
        }
        if self.journal.length() > MAX_LOG_BYTES {
            self.maintain(now);
        }
    }

    /// Forgets what is past its retention and writes a snapshot.
    pub(crate) fn maintain(&mut self, now: Time) {
        self.silences.remove_expired(now);
        self.sent.remove_expired(now);
        // Groups hold resolved alerts that were collected but not notified yet.
        let grouped = self.groups.values().flat_map(|group| group.alerts.values());
        let mut alerts: BTreeMap<Fingerprint, &Arc<Alert>> = grouped.map(|a| (a.fingerprint, a)).collect();
        alerts.extend(self.alerts.values().map(|a| (a.fingerprint, a)));
        let silences = self.silences.iter().map(|silence| Record::Silence(silence.clone()));
        let sent = self.sent.iter().map(|sent| Record::Sent(sent.clone()));
        let alerts = alerts.into_values().map(|alert| Record::Alert((&**alert).into()));
        let mut bytes = 0;
        let records =
            silences.chain(sent).chain(alerts).map(|record| record.encode()).inspect(|r| bytes += r.len());
        match self.journal.rotate(records) {
            Ok(()) => self.metrics.snapshot_bytes.set(bytes as f64),
            Err(error) => {
                self.metrics.disk_errors.inc();
                tracing::error!(%error, "the snapshot of the alert state cannot be written, the log goes on");
            }
        }
    }

    /// Groups with their alerts, for the API: route number, group labels, group key, alerts.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (usize, &Labels, impl Iterator<Item = &Arc<Alert>>)> {
        self.groups.iter().map(|((route, labels), group)| (*route, labels, group.alerts.values()))
    }
}

fn notified(alert: &Alert, now: Time) -> NotifiedAlert {
    NotifiedAlert {
        fingerprint: alert.fingerprint,
        labels: alert.labels.clone(),
        annotations: alert.annotations.clone(),
        starts_at: alert.starts_at,
        resolved_at: alert.is_resolved(now).then_some(alert.ends_at),
        generator_url: alert.generator_url.clone(),
    }
}

fn group_key(route: &Route, labels: &Labels) -> String {
    format!("{}:{}", route.key, label_set_text(labels))
}

fn sent_key(group_key: &str, receiver: &str, integration: &Integration) -> SentKey {
    SentKey {
        group_key: group_key.to_owned(),
        receiver: receiver.to_owned(),
        kind: integration.kind.to_owned(),
        index: integration.index,
    }
}

/// The pause after the n-th attempt, spread by up to half either way so that groups do not retry in step.
fn pause(flight: u64, attempts: u32) -> Duration {
    let growth = 1.5f64.powi(i32::try_from(attempts.saturating_sub(1)).unwrap_or(i32::MAX).min(64));
    let base = FIRST_PAUSE.mul_f64(growth.min(1e4)).min(MAX_PAUSE);
    let mixed =
        (flight ^ (u64::from(attempts) << 32)).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let share = mixed as f64 / f64::from(1u32 << 24);
    base.mul_f64(0.5 + share)
}
