//! Groups and rules as the API shows them.

use std::time::Duration;

use novaobs_model::Labels;

use crate::alert::{ActiveAlert, AlertState};

/// How a rule's last evaluation went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Not evaluated yet.
    #[default]
    Unknown,
    /// Well.
    Ok,
    /// It failed.
    Error,
}

impl Health {
    /// As the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Ok => "ok",
            Health::Error => "err",
        }
    }
}

/// A group at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupSnapshot {
    /// Its name.
    pub name: String,
    /// The file it is from.
    pub file: String,
    /// Between evaluations.
    pub interval: Duration,
    /// Most series or alerts a rule may give; 0: any number.
    pub limit: usize,
    /// Its rules in order.
    pub rules: Vec<RuleSnapshot>,
    /// How long the last evaluation took.
    pub evaluation_time: Duration,
    /// When it began, Unix milliseconds.
    pub last_evaluation: Option<i64>,
}

/// A rule at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleSnapshot {
    /// Name of the series or alert.
    pub name: String,
    /// The expression.
    pub query: String,
    /// Labels it sets, templates unexpanded.
    pub labels: Labels,
    /// How the last evaluation went.
    pub health: Health,
    /// What went wrong.
    pub last_error: Option<String>,
    /// How long the last evaluation took.
    pub evaluation_time: Duration,
    /// When it was, Unix milliseconds.
    pub last_evaluation: Option<i64>,
    /// What it makes.
    pub kind: SnapshotKind,
}

/// What a rule makes.
#[derive(Clone, Debug, PartialEq)]
pub enum SnapshotKind {
    /// Series.
    Recording,
    /// Alerts.
    Alerting {
        /// The highest state of its alerts; none before the first evaluation (`unknown`).
        state: Option<AlertState>,
        /// Its `for`.
        hold: Duration,
        /// Its `keep_firing_for`.
        keep_firing_for: Duration,
        /// Templates.
        annotations: Labels,
        /// Those pending or firing.
        alerts: Vec<ActiveAlert>,
    },
}
