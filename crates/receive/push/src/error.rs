//! Why a push is refused, with the status Loki answers.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use novaobs_model::AppendError;

/// A refusal, of the whole request or of a part of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PushError {
    /// The HTTP status.
    pub status: u16,
    /// The text of the answer, without the newline at its end.
    pub message: String,
    /// How long a client should wait before it sends the same again, where that may help.
    pub retry_after: Option<Duration>,
}

/// How long clients are asked to wait when the machine, not a limit, is the reason.
const RETRY: Duration = Duration::from_secs(1);

impl PushError {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        PushError { status, message: message.into(), retry_after: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        PushError::new(400, message)
    }

    /// For now there is no room or no store: the client is to come again.
    pub(crate) fn later(status: u16, message: impl Into<String>) -> Self {
        PushError { status, message: message.into(), retry_after: Some(RETRY) }
    }

    pub(crate) fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Adds `Retry-After`, in whole seconds.
    pub(crate) fn add_headers(&self, response: &mut Response) {
        if let Some(wait) = self.retry_after {
            let seconds = HeaderValue::from(wait.as_secs().max(1));
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
    }
}

impl From<AppendError> for PushError {
    fn from(error: AppendError) -> Self {
        let status = if matches!(error, AppendError::OverBudget(_)) { 429 } else { 503 };
        PushError::later(status, error.to_string())
    }
}

impl IntoResponse for PushError {
    /// Plain text, as Loki answers.
    fn into_response(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        let mut response = (self.status_code(), headers, format!("{}\n", self.message)).into_response();
        self.add_headers(&mut response);
        response
    }
}
