//! The alert contract: how rules hand alerts to what notifies.

use crate::labels::Labels;

/// An alert on its way from a rule to notifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its identity, `alertname` among them.
    pub labels: Labels,
    /// What it says.
    pub annotations: Labels,
    /// When it began to fire, Unix milliseconds.
    pub starts_at: i64,
    /// When it was resolved, or else until when it holds if nothing more is heard of it; Unix milliseconds.
    pub ends_at: i64,
    /// Link to the expression.
    pub generator_url: String,
}

/// A place alerts are handed to.
///
/// Firing alerts come again and again, until one comes whose end has passed; an implementation may lose
/// some under pressure, and then loses the oldest.
pub trait AlertSink: Send + Sync {
    /// Takes a batch. May write a local log, so it is called from threads that may block; it never waits for
    /// the network.
    fn send(&self, alerts: &[Alert]);
}
