//! What can go wrong between a request and its response, in the words of Go's client.

use std::fmt;
use std::path::PathBuf;

/// A client that cannot be built from its config.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file of the TLS section cannot be read.
    #[error("unable to load {what} {}: {}", path.display(), io_text(error))]
    File {
        /// What it should hold.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// Certificates or keys that do not make a TLS config.
    #[error("tls_config: {0}")]
    Tls(String),
    /// Something the config asks for that this release does not have.
    #[error("{0} is not supported by this release: {1}")]
    NotBuilt(&'static str, &'static str),
}

/// A request without a usable response: `Get "http://host:9100/metrics": context deadline exceeded`.
#[derive(Debug)]
pub struct RequestError {
    /// `Get`, and the URL without its password; unset once the head of the response is there.
    pub(crate) request: Option<(String, String)>,
    pub(crate) failure: Failure,
}

impl RequestError {
    /// What failed.
    pub fn failure(&self) -> &Failure {
        &self.failure
    }

    /// Whether the time ran out.
    pub fn is_deadline(&self) -> bool {
        matches!(self.failure, Failure::Deadline)
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((verb, url)) = &self.request {
            write!(f, "{verb} \"{url}\": ")?;
        }
        fmt::Display::fmt(&self.failure, f)
    }
}

impl std::error::Error for RequestError {}

impl From<Failure> for RequestError {
    fn from(failure: Failure) -> Self {
        RequestError { request: None, failure }
    }
}

/// Why a request has no usable response.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No answer in time.
    #[error("context deadline exceeded")]
    Deadline,
    /// No connection: the text says what was tried.
    #[error("{0}")]
    Connect(String),
    /// The connection broke, or what came over it was not HTTP.
    #[error("{0}")]
    Protocol(String),
    /// Credentials that could not be had.
    #[error("{0}")]
    Credentials(String),
    /// The body is longer than the caller wants.
    #[error("body size limit of {0} bytes exceeded")]
    BodyTooLarge(usize),
    /// A redirect that leads nowhere.
    #[error("{0}")]
    Redirect(String),
    /// The TLS files changed and no longer make a client.
    #[error(transparent)]
    Rebuild(#[from] BuildError),
}

/// The system's words without the number that Rust adds.
pub(crate) fn io_text(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "no such file or directory".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::ConnectionReset => "connection reset by peer".to_owned(),
        ErrorKind::HostUnreachable => "no route to host".to_owned(),
        ErrorKind::NetworkUnreachable => "network is unreachable".to_owned(),
        ErrorKind::TimedOut => "i/o timeout".to_owned(),
        ErrorKind::UnexpectedEof => "EOF".to_owned(),
        _ => error.to_string(),
    }
}
