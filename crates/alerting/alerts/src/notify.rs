//! What a receiver is given, what it answers, and the trait it implements.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use novaobs_model::Labels;

use crate::alert::Fingerprint;
use crate::time::Time;

/// One integration of a receiver: a webhook, a Slack channel, a PagerDuty service.
pub trait Receiver: Send + Sync {
    /// Delivers a notification once; retries are the caller's. The future is dropped when the group's time
    /// for sending is over. It must not block its thread.
    fn notify<'a>(&'a self, notification: &'a Notification) -> BoxFuture<'a, Result<(), NotifyError>>;
}

/// The integrations that share a receiver's name.
#[derive(Clone)]
pub struct NamedReceiver {
    /// What routes call it.
    pub name: String,
    /// Labels to select receivers by in the API; holds `name`.
    pub labels: BTreeMap<String, String>,
    /// All are notified, each on its own.
    pub integrations: Vec<Integration>,
}

/// A [`Receiver`] and how to treat it.
#[derive(Clone)]
pub struct Integration {
    /// The kind, such as `webhook`.
    pub kind: &'static str,
    /// Its place among those of its kind in the receiver.
    pub index: usize,
    /// Whether it wants to know about resolved alerts.
    pub send_resolved: bool,
    /// The receiver itself.
    pub receiver: Arc<dyn Receiver>,
}

/// What is to be told about a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// The receiver's name.
    pub receiver: String,
    /// Identifies the group over restarts: the route's key, a colon, the group's labels.
    pub group_key: String,
    /// The labels all alerts of the group share by construction.
    pub group_labels: Labels,
    /// The route's labels; values may be templates.
    pub route_labels: BTreeMap<String, String>,
    /// Why now.
    pub reason: Reason,
    /// The alerts, by job, instance and labels.
    pub alerts: Vec<NotifiedAlert>,
}

/// An alert inside a notification.
#[derive(Clone, Debug, PartialEq)]
pub struct NotifiedAlert {
    /// Its identity.
    pub fingerprint: Fingerprint,
    /// Its labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Since when.
    pub starts_at: Time,
    /// When it was resolved; `None` while it fires.
    pub resolved_at: Option<Time>,
    /// Where it comes from.
    pub generator_url: String,
}

/// Why a group is notified about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing firing was sent about the group before.
    First,
    /// Alerts fire that were not in the last notification.
    NewAlerts,
    /// Some alerts are over, others still fire.
    SomeResolved,
    /// Nothing fires any more.
    AllResolved,
    /// Nothing changed for `repeat_interval`.
    Repeat,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::First => "first notification",
            Reason::NewAlerts => "new alerts added",
            Reason::SomeResolved => "some alerts resolved",
            Reason::AllResolved => "all alerts resolved",
            Reason::Repeat => "repeat interval elapsed",
        })
    }
}

/// A failed delivery.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NotifyError {
    /// What happened, without secrets.
    pub message: String,
    /// Whether trying again can help.
    pub retry: Retry,
    /// What the failure is counted as.
    pub reason: FailureReason,
}

/// Whether a failed delivery is tried again before the next flush of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// No.
    Never,
    /// Yes, later and later.
    Backoff,
    /// Yes, but not before this long.
    After(Duration),
}

/// The `reason` label of `alertmanager_notifications_failed_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureReason {
    /// None of the others.
    Other,
    /// A 4xx answer.
    Client,
    /// A 5xx answer.
    Server,
    /// The time for sending was over.
    Deadline,
    /// A 401 or 403 answer.
    Auth,
    /// A 429 answer.
    RateLimited,
}

impl FailureReason {
    /// All of them, to initialise counters.
    pub const ALL: [FailureReason; 6] = [
        FailureReason::Other,
        FailureReason::Client,
        FailureReason::Server,
        FailureReason::Deadline,
        FailureReason::Auth,
        FailureReason::RateLimited,
    ];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureReason::Other => "other",
            FailureReason::Client => "clientError",
            FailureReason::Server => "serverError",
            FailureReason::Deadline => "contextDeadlineExceeded",
            FailureReason::Auth => "authError",
            FailureReason::RateLimited => "rateLimited",
        }
    }

    /// What an HTTP status that is not a success counts as.
    pub fn of_status(status: u16) -> FailureReason {
        match status {
            401 | 403 => FailureReason::Auth,
            429 => FailureReason::RateLimited,
            400..=499 => FailureReason::Client,
            500..=599 => FailureReason::Server,
            _ => FailureReason::Other,
        }
    }
}

impl NotifyError {
    /// A failure that no retry mends.
    pub fn fatal(message: impl Into<String>) -> NotifyError {
        NotifyError { message: message.into(), retry: Retry::Never, reason: FailureReason::Other }
    }

    /// A failure that may pass, such as a refused connection.
    pub fn transient(message: impl Into<String>) -> NotifyError {
        NotifyError { message: message.into(), retry: Retry::Backoff, reason: FailureReason::Other }
    }
}
