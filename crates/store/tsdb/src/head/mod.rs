//! What is in memory: the series that are being written ([`index`]) and their samples since the last
//! flush ([`buffers`]).

pub(crate) mod buffers;
pub(crate) mod index;
