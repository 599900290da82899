//! Log files of this machine: found by patterns, tailed with positions, parsed, delivered.
//!
//! A [`Tailer`] runs one thread: it looks for files ([`config::Job`]), reads what is new of each
//! ([`file::TailedFile`]), runs the lines through the job's [stages], hands them as streams to a [`Deliver`]
//! and writes down how far it came ([`positions`]) only when they were taken. So a line is delivered at
//! least once whatever ends the process: kill -9, a rotation or a truncation in between, a server that is
//! away for hours. The configuration is the part of Promtail's format that concerns files and the journal.
//!
//! Delivery is [to a Loki URL](remote) for `novaobs agent`, or straight into the receiver of the process.

pub mod config;
mod deliver;
pub mod file;
mod journal;
pub mod positions;
pub mod remote;
pub mod stages;
mod tailer;
mod timestamp;

pub use config::{AgentConfig, ClientConfig};
pub use deliver::{Deliver, DeliverError};
pub use remote::RemoteLoki;
pub use tailer::Tailer;
