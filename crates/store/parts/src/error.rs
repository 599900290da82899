//! Why a part could not be written, read or merged.

use std::io;
use std::sync::Arc;

use novaobs_model::select::{Interrupt, SelectError};

/// A part could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// There is no row: a part has at least one.
    #[error("a part without rows is not written")]
    Empty,
    /// More than a part can number.
    #[error("{0} is more than one part can hold: write several")]
    TooLarge(&'static str),
}

/// A part could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// The file could not be read.
    #[error("read part {part}: {error}")]
    Io {
        /// Which.
        part: Arc<str>,
        /// Why.
        error: io::Error,
    },
    /// The file is not what a writer wrote: torn, changed, or no part at all.
    #[error("part {part} is corrupt: {what}")]
    Corrupt {
        /// Which.
        part: Arc<str>,
        /// Where.
        what: String,
    },
    /// The file is of a version this program does not know.
    #[error(
        "part {part} has format version {version}, this program reads version 1: use the program that wrote it or a newer one"
    )]
    Version {
        /// Which.
        part: Arc<str>,
        /// Its version.
        version: u64,
    },
    /// Stopped from outside.
    #[error(transparent)]
    Interrupted(#[from] Interrupt),
}

impl PartError {
    /// Whether the file itself is damaged, and asking again will not help.
    pub fn is_corrupt(&self) -> bool {
        matches!(self, PartError::Corrupt { .. })
    }
}

impl From<PartError> for SelectError {
    fn from(error: PartError) -> Self {
        match error {
            PartError::Interrupted(interrupt) => SelectError::Interrupted(interrupt),
            other => SelectError::Storage(other.to_string()),
        }
    }
}

/// Parts could not be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// One of them could not be read, or the merge was stopped.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The result could not be written.
    #[error("write merged part: {0}")]
    Write(#[from] io::Error),
    /// The result would be larger than a part can be.
    #[error(transparent)]
    Limit(#[from] WriteError),
}

impl From<Interrupt> for MergeError {
    fn from(interrupt: Interrupt) -> Self {
        MergeError::Part(interrupt.into())
    }
}
