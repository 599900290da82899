//! Error answers: `{"status":"error","errorType":…,"error":…}` and their status codes.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use novaobs_model::Interrupt;
use novaobs_sql::SqlError;

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl ApiError {
    /// The request is wrong.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        ApiError { status: StatusCode::BAD_REQUEST, kind: "bad_data", message: message.into() }
    }

    /// It does not say whose logs it is about.
    pub(super) fn no_tenant() -> Self {
        ApiError { status: StatusCode::UNAUTHORIZED, kind: "unauthorized", message: "no org id".to_owned() }
    }
}

impl From<SqlError> for ApiError {
    fn from(error: SqlError) -> Self {
        let (status, kind) = match &error {
            SqlError::Invalid(_) | SqlError::Forbidden(_) => (StatusCode::BAD_REQUEST, "bad_data"),
            SqlError::Execution(_) | SqlError::OverBudget(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "execution")
            }
            SqlError::Interrupted(Interrupt::TimedOut) => (StatusCode::GATEWAY_TIMEOUT, "timeout"),
            SqlError::Interrupted(Interrupt::Canceled) => (StatusCode::SERVICE_UNAVAILABLE, "canceled"),
            SqlError::Storage(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            SqlError::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        if let SqlError::Internal(text) = &error {
            tracing::error!("a query in SQL failed unexpectedly: {text}");
        }
        ApiError { status, kind, message: error.to_string() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = serde_json::json!({"status": "error", "errorType": self.kind, "error": self.message});
        (self.status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
    }
}
