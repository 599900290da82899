//! The peers' http_config block: parsed, and turned into an HTTP client.
//!
//! [`HttpConfig`] reads the block (inline in a scrape job, under `http_config` in a receiver) with the
//! peers' validation; [`HttpClient`] is built from it once and sends [`Request`]s. On the way a request
//! gets its credentials (files are read again each time, so that rotated secrets just work) and its static
//! headers, redirects are followed without handing credentials to another host, and connections are pooled.
//! Below the pool the [connector](connect) resolves, dials, talks to a proxy and does TLS, and names what
//! failed in the words that users of the peers search for: `connection refused`, `no such host`,
//! `context deadline exceeded`.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use novaobs_http_client::{HttpClient, HttpConfig, Request};
//! let client = HttpClient::new(&HttpConfig::default())?;
//! let response = client.send(Request::get("http://localhost:9100/metrics".parse()?)).await?;
//! assert!(response.status().is_success());
//! let body = response.bytes(10 << 20).await?;
//! # Ok(()) }
//! ```

mod client;
mod config;
mod connect;
mod credentials;
mod error;
mod proxy;
mod tls;

pub use client::{HttpClient, Request, Response};
pub use config::{Authorization, BasicAuth, Header, HttpConfig, OAuth2};
pub use error::{BuildError, Failure, RequestError};
pub use proxy::ProxyConfig;
pub use tls::{TlsConfig, TlsVersion};
