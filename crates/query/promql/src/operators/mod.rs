//! The operators a plan is made of, one kind per file. Each pulls rows from the operators below it.

pub(crate) mod absent;
pub(crate) mod aggregate;
pub(crate) mod binary;
pub(crate) mod count_values;
pub(crate) mod elementwise;
pub(crate) mod feed;
pub(crate) mod histogram;
pub(crate) mod info;
pub(crate) mod join;
pub(crate) mod labels;
pub(crate) mod range;
pub(crate) mod selector;
pub(crate) mod set;
pub(crate) mod sort;
pub(crate) mod step_invariant;
pub(crate) mod topk;
