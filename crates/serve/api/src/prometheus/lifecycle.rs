//! `/-/healthy`, `/-/ready`, `/-/reload`, `/-/quit`, and the gate in front of the API until the server is
//! ready.

use std::sync::atomic::{AtomicU8, Ordering};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;

use super::Api;
use super::envelope::text_error;

/// What `/-/reload` and `/-/quit` do.
pub trait Lifecycle: Send + Sync {
    /// Loads the configuration again; the error is what was wrong with it.
    fn reload(&self) -> BoxFuture<'_, Result<(), String>>;
    /// Begins to shut down; `false` when that has begun already.
    fn quit(&self) -> bool;
}

/// Whether the server answers requests. Starts as not ready.
#[derive(Debug, Default)]
pub struct Readiness(AtomicU8);

const READY: u8 = 1;
const STOPPING: u8 = 2;

impl Readiness {
    /// The log is replayed, the configuration loaded.
    pub fn set_ready(&self) {
        self.0.store(READY, Ordering::Relaxed);
    }

    /// The server is going down.
    pub fn set_stopping(&self) {
        self.0.store(STOPPING, Ordering::Relaxed);
    }
}

/// Lets requests pass once the server is ready.
pub(super) async fn when_ready(State(api): State<Api>, request: Request, next: Next) -> Response {
    let stopping = match api.state.readiness.0.load(Ordering::Relaxed) {
        READY => return next.run(request).await,
        STOPPING => "true",
        _ => "false",
    };
    let headers = [("X-Prometheus-Stopping", stopping)];
    (StatusCode::SERVICE_UNAVAILABLE, headers, "Service Unavailable").into_response()
}

/// Clients look for the peer's name in these two texts.
pub(super) async fn healthy() -> &'static str {
    "Prometheus Server is Healthy.\n"
}

pub(super) async fn ready() -> &'static str {
    "Prometheus Server is Ready.\n"
}

pub(super) async fn not_by_get() -> (StatusCode, &'static str) {
    (StatusCode::METHOD_NOT_ALLOWED, "Only POST or PUT requests allowed")
}

const DISABLED: (StatusCode, &str) = (StatusCode::FORBIDDEN, "Lifecycle API is not enabled.");

pub(super) async fn reload(State(api): State<Api>) -> Response {
    let Some(lifecycle) = &api.state.lifecycle else { return DISABLED.into_response() };
    match lifecycle.reload().await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => {
            let message = format!("failed to reload config: {error}");
            text_error(StatusCode::INTERNAL_SERVER_ERROR, &message)
        }
    }
}

pub(super) async fn quit(State(api): State<Api>) -> Response {
    match &api.state.lifecycle {
        None => DISABLED.into_response(),
        Some(lifecycle) if lifecycle.quit() => "Requesting termination... Goodbye!".into_response(),
        Some(_) => "Termination already in progress.".into_response(),
    }
}
