//! Columns of numbers to bytes and back: [`ints`] packs integers, [`values`] floats on top of it.
//!
//! Timestamps are plain integer streams. Decoders take any bytes: they return `None` for what no encoder
//! writes, never panic, and never reserve more than the caller's count asks for.

pub(crate) mod bytes;
pub(crate) mod ints;
pub(crate) mod values;
