//! Sending JSON and judging the answer.

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use novaobs_alerts::{FailureReason, NotifyError, Retry};
use novaobs_http_client::{HttpClient, Request};
use url::Url;

/// What receivers see of us. The first part is what the peer sends, for filters that look for it.
const USER_AGENT: &str = concat!("Alertmanager/0.34.0 novaobs/", env!("CARGO_PKG_VERSION"));
/// Without a timeout of its own a send ends with the group's time, well before this.
const NO_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// More of an answer is not read.
const MAX_ANSWER: usize = 1 << 20;

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
    retry_after: Option<Duration>,
}

/// Sends `body`, whatever the answer's status.
///
/// # Errors
/// When there is no answer; trying again may help. The URL is not shown, it may be secret.
pub(crate) async fn post_json(
    client: &HttpClient,
    url: Url,
    body: String,
    timeout: Option<Duration>,
) -> Result<Answer, NotifyError> {
    let request = Request::post(url, body)
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header(header::USER_AGENT, HeaderValue::from_static(USER_AGENT))
        .timeout(timeout.unwrap_or(NO_TIMEOUT));
    let no_answer = |error: novaobs_http_client::RequestError| {
        let reason = if error.is_deadline() { FailureReason::Deadline } else { FailureReason::Other };
        let limit = match timeout {
            Some(timeout) if error.is_deadline() => format!(": configured timeout reached ({timeout:?})"),
            _ => String::new(),
        };
        let message = format!("Post \"<redacted>\": {}{limit}", error.failure());
        NotifyError { reason, ..NotifyError::transient(message) }
    };
    let response = client.send(request).await.map_err(no_answer)?;
    let text = |name: header::HeaderName| {
        response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned()
    };
    let (status, content_type) = (response.status(), text(header::CONTENT_TYPE));
    let retry_after = text(header::RETRY_AFTER).trim().parse().ok().map(Duration::from_secs);
    let body = match response.bytes(MAX_ANSWER).await {
        Ok(body) => body.to_vec(),
        // The status says enough.
        Err(_) if !status.is_success() => Vec::new(),
        Err(error) => return Err(no_answer(error)),
    };
    Ok(Answer { status, content_type, body, retry_after })
}

impl Answer {
    /// Success for 2xx. A 5xx and the statuses in `also` are tried again, a 429 not before its
    /// `Retry-After`. `details` is added to the message.
    ///
    /// # Errors
    /// Every other status.
    pub(crate) fn check(&self, also: &[u16], details: &str) -> Result<(), NotifyError> {
        if self.status.is_success() {
            return Ok(());
        }
        let status = self.status.as_u16();
        let again = self.status.is_server_error() || also.contains(&status);
        let retry = match self.retry_after {
            _ if !again => Retry::Never,
            Some(wait) if status == 429 => Retry::After(wait),
            _ => Retry::Backoff,
        };
        let separator = if details.is_empty() { "" } else { ": " };
        let message = format!("unexpected status code {status}{separator}{details}");
        Err(NotifyError { message, retry, reason: FailureReason::of_status(status) })
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A URL or key out of a file, read at each use so that it can be rotated.
pub(crate) async fn read_secret_file(what: &str, path: &std::path::Path) -> Result<String, NotifyError> {
    match tokio::fs::read_to_string(path).await {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => Err(NotifyError::fatal(format!("cannot read {what} from {}: {error}", path.display()))),
    }
}
