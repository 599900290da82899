//! The two shapes of refusals.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::shapes::go_json;

/// A refusal.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    /// Present when the schema refuses: the generated server's own code.
    code: Option<u16>,
    message: String,
}

impl ApiError {
    /// What the API refuses: 400 and a JSON string.
    pub(super) fn refused(message: impl Into<String>) -> ApiError {
        ApiError { status: StatusCode::BAD_REQUEST, code: None, message: message.into() }
    }

    /// 404 and a JSON string.
    pub(super) fn not_found(message: String) -> ApiError {
        ApiError { status: StatusCode::NOT_FOUND, code: None, message }
    }

    /// 500 and a JSON string.
    pub(super) fn internal(message: String) -> ApiError {
        ApiError { status: StatusCode::INTERNAL_SERVER_ERROR, code: None, message }
    }

    /// What the schema or the server refuses: `{"code":…,"message":…}`.
    pub(super) fn schema(status: StatusCode, code: u16, message: impl Into<String>) -> ApiError {
        ApiError { status, code: Some(code), message: message.into() }
    }

    /// 422: a value of a wrong type (601), missing (602) or too few (612).
    pub(super) fn unprocessable(code: u16, message: impl Into<String>) -> ApiError {
        ApiError::schema(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = match self.code {
            None => go_json(&self.message),
            Some(code) => go_json(&serde_json::json!({ "code": code, "message": self.message })),
        };
        (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}
