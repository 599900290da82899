//! Log entries that clients push: decoded by `wire`, checked against a tenant's limits, given to a store.
//!
//! A request passes through four hands: [`loki_routes`], [`otlp_http_routes`] or [`otlp_grpc_routes`] read
//! its body within the memory there is; `wire` decodes it; the OTLP mapping turns records into streams; and
//! [`Push::push`] checks labels and entries, adds `service_name` and `detected_level`, applies rate and
//! stream limits, and appends what is left to a [`LogSink`](novaobs_model::LogSink). What is refused is named
//! in the answer in Loki's words and counted in Loki's metrics; what is good in a mixed request is kept.
//!
//! ```
//! use std::sync::Arc;
//! use novaobs_model::{AppendError, LogSink, LogStream, Pool, Tenant};
//! use novaobs_push::{Format, Push, PushOptions};
//! use novaobs_tenants::Limits;
//!
//! struct Nowhere;
//! impl LogSink for Nowhere {
//!     fn append(&self, _: &Tenant, _: &[LogStream]) -> Result<(), AppendError> {
//!         Ok(())
//!     }
//! }
//! let limits = Arc::new(Limits::default());
//! let push = Push::new(
//!     Arc::new(Nowhere),
//!     Arc::new(move |_: &Tenant| limits.clone()),
//!     Pool::root("pushes", 1 << 30),
//!     &prometheus::Registry::new(),
//!     PushOptions::default(),
//! )?;
//! let body = br#"{"streams":[{"stream":{"app":"api"},"values":[["1700000000000000000","hello"]]}]}"#;
//! let streams = novaobs_wire::loki_push::decode_json(body, 1 << 20)?;
//! let outcome = push.push(&Tenant::new("fake"), streams, Format::Loki, 1_700_000_000_000_000_000);
//! assert_eq!(outcome.accepted, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod body;
mod error;
mod level;
mod loki;
mod metadata;
mod metrics;
mod otlp;
mod otlp_grpc;
mod otlp_http;
mod push;
mod rate;
mod tenant;
mod text;
mod validate;

pub use error::PushError;
pub use loki::loki_routes;
pub use otlp_grpc::otlp_grpc_routes;
pub use otlp_http::otlp_http_routes;
pub use push::{Format, LimitsOf, Outcome, Push, PushOptions};
pub use tenant::{TenantError, tenant_of};
