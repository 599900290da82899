//! Error answers: plain texts, as the peer sends them, and one place that maps kinds of errors to codes.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use novaobs_logql::QueryError;
use novaobs_logql_parser::ParseError;
use novaobs_model::{Interrupt, SelectError};

const TIMED_OUT: &str = "request timed out, decrease the duration of the request or add more label matchers (prefer exact match over regex match) to reduce the amount of data processed";

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The code.
    pub status: StatusCode,
    /// The text.
    pub message: String,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        ApiError { status, message: message.into() }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    pub(super) fn timed_out() -> Self {
        ApiError::new(StatusCode::GATEWAY_TIMEOUT, TIMED_OUT)
    }

    /// The same error with a line end: the peer has two ways of writing errors.
    pub(super) fn with_line_end(mut self) -> Self {
        if !self.message.ends_with('\n') {
            self.message.push('\n');
        }
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        const TEXT: [(HeaderName, HeaderValue); 2] = [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ];
        (self.status, TEXT, self.message).into_response()
    }
}

impl From<ParseError> for ApiError {
    fn from(error: ParseError) -> Self {
        ApiError::bad(error.message)
    }
}

impl From<SelectError> for ApiError {
    fn from(error: SelectError) -> Self {
        match error {
            SelectError::Interrupted(Interrupt::TimedOut) => ApiError::timed_out(),
            SelectError::Interrupted(Interrupt::Canceled) => ApiError::new(
                // Not registered: nginx's "client closed request".
                StatusCode::from_u16(499).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                "the request was cancelled by the client",
            ),
            SelectError::OverBudget(refused) => ApiError::bad(refused.to_string()),
            SelectError::Storage(text) => ApiError::internal(text),
        }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Bad(text) => ApiError::bad(text),
            QueryError::Execution(text) => ApiError::internal(text),
            QueryError::Select(error) => error.into(),
        }
    }
}

/// The peer's router answers wrong methods without a body.
pub(super) async fn method_not_allowed() -> StatusCode {
    StatusCode::METHOD_NOT_ALLOWED
}

/// Of any unknown route.
pub(super) async fn not_found() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "404 page not found\n")
}
