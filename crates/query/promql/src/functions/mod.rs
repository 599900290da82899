//! What the functions of the language compute, by family; the operators call them.

pub(crate) mod buckets;
pub(crate) mod calendar;
pub(crate) mod extended;
pub(crate) mod float;
pub(crate) mod gofmt;
pub(crate) mod math;
pub(crate) mod natural;
pub(crate) mod over_time;
pub(crate) mod rate;
pub(crate) mod regression;
