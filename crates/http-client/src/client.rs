//! Requests, responses, and the client between them: credentials, redirects, deadlines.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use tokio::time::Instant;
use url::Url;

use crate::config::HttpConfig;
use crate::connect::{ConnectError, Connector, proxy_credentials, tls_reason};
use crate::credentials::Credentials;
use crate::error::{BuildError, Failure, RequestError, io_text};
use crate::proxy::ProxyRule;
use crate::tls::Material;

/// Without a timeout of its own a request has this long.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// Idle connections are kept this long, as the peers do.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// Longer chains of redirects are loops.
const MAX_REDIRECTS: usize = 10;

/// A request to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
    timeout: Duration,
}

impl Request {
    /// A request without headers and body, with a minute to be answered.
    pub fn new(method: Method, url: Url) -> Request {
        Request { method, url, headers: HeaderMap::new(), body: Bytes::new(), timeout: DEFAULT_TIMEOUT }
    }

    /// A GET.
    pub fn get(url: Url) -> Request {
        Request::new(Method::GET, url)
    }

    /// A POST with a body.
    pub fn post(url: Url, body: impl Into<Bytes>) -> Request {
        Request::new(Method::POST, url).body(body)
    }

    /// Sets a header. One that the client would add (Authorization) is then left alone.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Request {
        self.headers.insert(name, value);
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Request {
        self.body = body.into();
        self
    }

    /// Sets the time that the whole exchange may take, from the look-up to the last byte of the body.
    pub fn timeout(mut self, timeout: Duration) -> Request {
        self.timeout = timeout;
        self
    }
}

/// Sends requests by one http_config. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct HttpClient {
    inner: Arc<Inner>,
}

struct Inner {
    config: HttpConfig,
    rule: ProxyRule,
    credentials: Credentials,
    pool: Mutex<Pool>,
}

/// The connections, and the TLS files they were made with.
struct Pool {
    material: Material,
    client: Client<Connector, Full<Bytes>>,
}

impl Pool {
    fn new(config: &HttpConfig, rule: &ProxyRule, material: Material) -> Result<Pool, BuildError> {
        let tls = config.tls.client(&material, config.enable_http2)?;
        let connector = Connector::new(tls, &config.tls.server_name, rule.clone(), &config.proxy);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(connector);
        Ok(Pool { material, client })
    }
}

impl HttpClient {
    /// Builds a client. Must be called, and used, inside a tokio runtime.
    ///
    /// # Errors
    /// [`BuildError`] when TLS files cannot be read or make no TLS config, or when the config asks for
    /// something this release does not have.
    pub fn new(config: &HttpConfig) -> Result<HttpClient, BuildError> {
        let rule = config.proxy.rule();
        let pool = Pool::new(config, &rule, config.tls.material()?)?;
        let credentials = Credentials::new(config)?;
        let inner = Inner { config: config.clone(), rule, credentials, pool: Mutex::new(pool) };
        Ok(HttpClient { inner: Arc::new(inner) })
    }

    /// Sends a request and waits for the head of the response. Any status is a response.
    ///
    /// # Errors
    /// [`RequestError`] when there is no response in time.
    pub async fn send(&self, request: Request) -> Result<Response, RequestError> {
        let deadline = Instant::now() + request.timeout;
        let described = describe(&request);
        match tokio::time::timeout_at(deadline, self.follow(request, deadline)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(failure)) => Err(RequestError { request: Some(described), failure }),
            Err(_) => Err(RequestError { request: Some(described), failure: Failure::Deadline }),
        }
    }

    async fn follow(&self, request: Request, deadline: Instant) -> Result<Response, Failure> {
        let Request { mut method, mut url, mut headers, mut body, .. } = request;
        let origin = url.clone();
        let mut trusted = true;
        for _ in 0..=MAX_REDIRECTS {
            let mut all = headers.clone();
            if trusted {
                self.inner.credentials.add(&mut all).await?;
            }
            let response = self.exchange(&method, &url, all, body.clone()).await?;
            let next = match self.inner.config.follow_redirects {
                true => redirect(response.status(), response.headers(), &url)?,
                false => None,
            };
            let Some(next) = next else {
                return Ok(Response { url, response, deadline });
            };
            let keeps_method =
                matches!(response.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
            if !keeps_method && method != Method::HEAD {
                if method != Method::GET {
                    headers.remove(header::CONTENT_TYPE);
                    headers.remove(header::CONTENT_ENCODING);
                }
                method = Method::GET;
                body = Bytes::new();
            }
            // Once off the host that the config names, nothing secret is sent any more, even on the way back.
            if trusted && !may_see_credentials(&origin, &next) {
                trusted = false;
                let private: Vec<HeaderName> =
                    headers.keys().filter(|name| self.inner.credentials.is_private(name)).cloned().collect();
                for name in private {
                    headers.remove(name);
                }
            }
            url = next;
        }
        Err(Failure::Redirect(format!("stopped after {MAX_REDIRECTS} redirects")))
    }

    /// One request and its response, without redirects. A reused connection that the server closed in the
    /// same moment is tried once more where that is harmless.
    async fn exchange(
        &self,
        method: &Method,
        url: &Url,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<http::Response<Incoming>, Failure> {
        let client = self.current_pool().await?;
        let uri: Uri = without_credentials(url)
            .as_str()
            .parse()
            .map_err(|error| Failure::Protocol(format!("cannot send to {url}: {error}")))?;
        if !url.username().is_empty() && !headers.contains_key(header::AUTHORIZATION) {
            let value = HeaderValue::from_str(&proxy_credentials(url))
                .map_err(|e| Failure::Credentials(e.to_string()))?;
            headers.insert(header::AUTHORIZATION, value);
        }
        let https = url.scheme() == "https";
        let port = url.port_or_known_default().unwrap_or(80);
        if let Some(proxy) = self.inner.rule.proxy_for(https, url.host_str().unwrap_or(""), port)
            && !https
            && !proxy.username().is_empty()
        {
            let value = HeaderValue::from_str(&proxy_credentials(proxy))
                .map_err(|e| Failure::Credentials(e.to_string()))?;
            headers.insert(header::PROXY_AUTHORIZATION, value);
        }
        let mut retry = matches!(*method, Method::GET | Method::HEAD);
        loop {
            let mut request = http::Request::new(Full::new(body.clone()));
            *request.method_mut() = method.clone();
            *request.uri_mut() = uri.clone();
            *request.headers_mut() = headers.clone();
            match client.request(request).await {
                Ok(response) => return Ok(response),
                Err(error) if retry && closed_under_us(&error) => retry = false,
                Err(error) => return Err(explain(&error)),
            }
        }
    }

    /// The pool, made anew when a TLS file has changed.
    async fn current_pool(&self) -> Result<Client<Connector, Full<Bytes>>, Failure> {
        if self.inner.config.tls.has_files() {
            let tls = self.inner.config.tls.clone();
            let read = tokio::task::spawn_blocking(move || tls.material()).await;
            let material = read.map_err(|error| Failure::Protocol(error.to_string()))??;
            let mut pool = self.inner.pool.lock();
            if pool.material != material {
                *pool = Pool::new(&self.inner.config, &self.inner.rule, material)?;
            }
        }
        Ok(self.inner.pool.lock().client.clone())
    }
}

/// A response whose body has not been read yet.
pub struct Response {
    url: Url,
    response: http::Response<Incoming>,
    deadline: Instant,
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Response")
            .field("url", &self.url.as_str())
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

impl Response {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The URL that answered, after redirects.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The next piece of the body, `None` at its end. Pieces come as the server sends them.
    ///
    /// # Errors
    /// When the request's time is over or the connection breaks.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, RequestError> {
        loop {
            let frame = tokio::time::timeout_at(self.deadline, self.response.body_mut().frame()).await;
            match frame {
                Err(_) => return Err(Failure::Deadline.into()),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(broken_body(&error).into()),
                Ok(Some(Ok(frame))) => {
                    // Trailers are of no interest.
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The whole body of at most `limit` bytes.
    ///
    /// # Errors
    /// As [`chunk`](Response::chunk), and when the body is longer than `limit`.
    pub async fn bytes(mut self, limit: usize) -> Result<Bytes, RequestError> {
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        let too_large = || RequestError::from(Failure::BodyTooLarge(limit));
        if first.len() > limit {
            return Err(too_large());
        }
        let Some(second) = self.chunk().await? else { return Ok(first) };
        let mut all = BytesMut::from(first);
        let mut next = Some(second);
        while let Some(piece) = next {
            if all.len() + piece.len() > limit {
                return Err(too_large());
            }
            all.extend_from_slice(&piece);
            next = self.chunk().await?;
        }
        Ok(all.freeze())
    }
}

/// Where a response redirects to, if it does.
fn redirect(status: StatusCode, headers: &HeaderMap, from: &Url) -> Result<Option<Url>, Failure> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = headers.get(header::LOCATION) else { return Ok(None) };
    let location = String::from_utf8_lossy(location.as_bytes());
    let next = from.join(&location).map_err(|error| {
        Failure::Redirect(format!("failed to parse Location header {location:?}: {error}"))
    })?;
    match next.scheme() {
        "http" | "https" => Ok(Some(next)),
        other => Err(Failure::Redirect(format!("unsupported protocol scheme {other:?}"))),
    }
}

/// Whether what was meant for `origin` may go to `next`: the same host or one below it, and never from TLS to
/// plain text.
fn may_see_credentials(origin: &Url, next: &Url) -> bool {
    let downgrade = origin.scheme() == "https" && next.scheme() != "https";
    let (Some(a), Some(b)) = (origin.host_str(), next.host_str()) else { return false };
    let below = || origin.domain().is_some() && b.strip_suffix(a).is_some_and(|head| head.ends_with('.'));
    !downgrade && (a == b || below())
}

fn without_credentials(url: &Url) -> Url {
    let mut plain = url.clone();
    // Both fail only for URLs without a host, which have no credentials either.
    let _ = plain.set_username("");
    let _ = plain.set_password(None);
    plain
}

/// The operation and URL as Go names them in errors.
fn describe(request: &Request) -> (String, String) {
    let method = request.method.as_str();
    let (head, tail) = method.split_at_checked(1).unwrap_or((method, ""));
    let mut url = request.url.clone();
    if url.password().is_some() {
        let _ = url.set_password(Some("xxxxx"));
    }
    (format!("{head}{}", tail.to_ascii_lowercase()), url.to_string())
}

fn sources<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |e| e.source())
}

fn closed_under_us(error: &hyper_util::client::legacy::Error) -> bool {
    !error.is_connect()
        && sources(error).any(|e| {
            e.downcast_ref::<hyper::Error>().is_some_and(|e| e.is_incomplete_message() || e.is_canceled())
        })
}

/// The innermost reason of a failed exchange.
fn explain(error: &hyper_util::client::legacy::Error) -> Failure {
    if let Some(connect) = sources(error).find_map(|e| e.downcast_ref::<ConnectError>()) {
        return Failure::Connect(connect.0.clone());
    }
    sources(error)
        .find_map(|e| e.downcast_ref::<hyper::Error>())
        .map_or_else(|| Failure::Protocol(error.to_string()), broken_body)
}

fn broken_body(error: &hyper::Error) -> Failure {
    if error.is_incomplete_message() {
        return Failure::Protocol("EOF".to_owned());
    }
    if let Some(io) = sources(error).find_map(|e| e.downcast_ref::<std::io::Error>()) {
        let tls = io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
        return Failure::Protocol(if tls { tls_reason(io, "") } else { format!("read: {}", io_text(io)) });
    }
    if error.is_parse() {
        return Failure::Protocol(format!("malformed HTTP response: {error}"));
    }
    Failure::Protocol(error.to_string())
}
