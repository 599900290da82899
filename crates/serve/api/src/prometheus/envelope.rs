//! The frame of every answer: `{"status":…,"data":…}`, error types and their status codes, CORS, and
//! values as Go's JSON encoder writes them.

use std::io;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::DateTime;
use novaobs_model::Labels;
use novaobs_promql::QueryError;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::ser::{CompactFormatter, Formatter};

use super::Api;

/// Error types of the API; each has its status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong: 400.
    BadData,
    /// The query failed while running: 422.
    Execution,
    /// The query took too long: 503.
    Timeout,
    /// The client went away: 499.
    Canceled,
    /// The server is at fault: 500.
    Internal,
}

impl ErrorKind {
    fn name(self) -> &'static str {
        match self {
            ErrorKind::BadData => "bad_data",
            ErrorKind::Execution => "execution",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Canceled => "canceled",
            ErrorKind::Internal => "internal",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            ErrorKind::BadData => StatusCode::BAD_REQUEST,
            ErrorKind::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::Timeout => StatusCode::SERVICE_UNAVAILABLE,
            // Not registered: nginx's "client closed request".
            ErrorKind::Canceled => StatusCode::from_u16(499).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// Its type and status.
    pub kind: ErrorKind,
    /// Its text.
    pub message: String,
}

impl ApiError {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        ApiError { kind, message: message.into() }
    }

    pub(super) fn bad_data(message: impl Into<String>) -> Self {
        ApiError::new(ErrorKind::BadData, message)
    }

    /// `invalid parameter "name": reason`.
    pub(super) fn parameter(name: &str, reason: impl std::fmt::Display) -> Self {
        ApiError::bad_data(format!("invalid parameter \"{name}\": {reason}"))
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let kind = match error {
            QueryError::Timeout => ErrorKind::Timeout,
            QueryError::Canceled => ErrorKind::Canceled,
            QueryError::Storage(_) => ErrorKind::Internal,
            QueryError::Execution(_) | QueryError::TooManySamples | QueryError::OverBudget(_) => {
                ErrorKind::Execution
            }
        };
        ApiError::new(kind, error.to_string())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorBody<'a> {
    status: &'static str,
    error_type: &'static str,
    error: &'a str,
}

#[derive(Serialize)]
struct SuccessBody<'a, T> {
    status: &'static str,
    data: &'a T,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody { status: "error", error_type: self.kind.name(), error: &self.message };
        json_response(self.kind.status(), &body)
    }
}

/// A good answer.
pub(super) fn success<T: Serialize>(data: &T, warnings: &[String]) -> Response {
    json_response(StatusCode::OK, &SuccessBody { status: "success", data, warnings })
}

fn json_response<T: Serialize>(status: StatusCode, body: &T) -> Response {
    match to_json(body) {
        Ok(bytes) => (status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => text_error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// JSON as Go's encoder writes it: `<`, `>` and `&` escaped.
pub(super) fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, HtmlSafe))?;
    Ok(bytes)
}

/// Escapes what could end a script element, as Go does.
struct HtmlSafe;

impl Formatter for HtmlSafe {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        let mut rest = text;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (before, from) = rest.split_at(at);
            let c = from.chars().next().unwrap_or_default();
            CompactFormatter.write_string_fragment(writer, before)?;
            write!(writer, "\\u{:04x}", u32::from(c))?;
            rest = from.get(c.len_utf8()..).unwrap_or_default();
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}

/// A plain text error with a line end, as Go's `http.Error` sends it.
pub(super) fn text_error(status: StatusCode, message: &str) -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (status, headers, format!("{message}\n")).into_response()
}

pub(super) async fn method_not_allowed() -> Response {
    text_error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}

pub(super) async fn not_found() -> Response {
    text_error(StatusCode::NOT_FOUND, "404 page not found")
}

/// Lets browsers of allowed origins read the answers, and answers their preflight requests.
pub(super) async fn cors(State(api): State<Api>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = match *request.method() {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin else { return response };
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, Origin"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let allowed = &api.state.cors_origin;
    if allowed.matches_all() {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    } else if origin.to_str().is_ok_and(|text| allowed.is_match(text)) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    response
}

/// Tells caches that answers differ by `Accept-Encoding` even when this one is too short to compress.
pub(super) async fn vary_by_encoding(request: Request, next: Next) -> Response {
    const NAME: HeaderName = header::ACCEPT_ENCODING;
    let preflight = request.method() == Method::OPTIONS;
    let mut response = next.run(request).await;
    let says_so = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(NAME.as_str().as_bytes());
    if !preflight && !response.headers().get_all(header::VARY).iter().any(says_so) {
        response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    response
}

/// Unix milliseconds as Go writes times: RFC 3339 in UTC without trailing zeros, the year 1 for none.
pub(super) fn go_time<S: Serializer>(time: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    let Some(time) = time.and_then(DateTime::from_timestamp_millis) else {
        return serializer.serialize_str("0001-01-01T00:00:00Z");
    };
    let millis = time.timestamp_subsec_millis();
    let fraction = if millis == 0 { String::new() } else { format!(".{millis:03}") };
    let text = time.format("%Y-%m-%dT%H:%M:%S");
    serializer.serialize_str(&format!("{text}{}Z", fraction.trim_end_matches('0')))
}

/// Seconds as Go writes floats: whole numbers without a point.
pub(super) fn go_seconds<S: Serializer>(
    duration: &std::time::Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if duration.subsec_nanos() == 0 {
        serializer.serialize_u64(duration.as_secs())
    } else {
        serializer.serialize_f64(duration.as_secs_f64())
    }
}

/// A label set as an object.
pub(super) fn label_object<S: Serializer>(labels: &Labels, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(labels.len()))?;
    for (name, value) in labels {
        map.serialize_entry(name, value)?;
    }
    map.end()
}

/// A label set in a list.
#[derive(Serialize)]
pub(super) struct LabelObject(#[serde(serialize_with = "label_object")] pub(super) Labels);
