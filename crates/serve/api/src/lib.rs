//! The peers' HTTP APIs: JSON shapes and status codes live only here.
//!
//! One folder per peer; each has a state struct with what it serves and a function that makes an
//! `axum::Router` of it. Crate `novaobs-server` opens the ports. Handlers only translate: parameters into
//! calls, results into the peer's bytes. Calls that block run on blocking threads, and queries are
//! cancelled when the client goes away.

pub mod alertmanager;
mod form;
pub mod loki;
pub mod prometheus;
mod tenant;
