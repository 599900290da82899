//! Where tailed lines go.

use novaobs_model::LogStream;

/// A place lines are delivered to. Calls block and come from one thread.
pub trait Deliver: Send + Sync {
    /// Delivers all entries.
    ///
    /// # Errors
    /// [`DeliverError`]: whether it is worth trying again.
    fn deliver(&self, streams: &[LogStream]) -> Result<(), DeliverError>;
}

/// Why lines were not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliverError {
    /// It may work later: the same lines are tried again.
    #[error("{0}")]
    Later(String),
    /// The receiver will never take (some of) these lines: they are given up.
    #[error("{0}")]
    Refused(String),
}
