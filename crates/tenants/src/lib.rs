//! Limits of tenants: defaults, overrides, the runtime file.
//!
//! `limits_config` of a Loki file is read into [`Limits`] on top of [`Limits::default`]; the runtime file's
//! `overrides` on top of that, a set per tenant. [`Tenants`] holds both: receivers and query engines ask it
//! for a tenant's limits on every request, and it looks at the runtime file again when told to.
//!
//! ```
//! use novaobs_model::Tenant;
//! use novaobs_tenants::{Limits, Tenants};
//! let tenants = Tenants::fixed(Limits { max_query_series: 10, ..Limits::default() });
//! assert_eq!(tenants.limits_for(&Tenant::new("team-a")).max_query_series, 10);
//! ```

pub mod limits;
pub mod selector;
mod tenants;
pub mod value;

pub use limits::{Limits, LimitsSection};
pub use tenants::{Refreshed, Tenants};
