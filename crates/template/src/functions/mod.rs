//! The function sets of the peers.

pub mod alertmanager;
pub mod prometheus;
mod shared;
