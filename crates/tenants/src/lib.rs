//! Limits of tenants: defaults, overrides, the runtime file.

pub mod limits;

pub use limits::Limits;
