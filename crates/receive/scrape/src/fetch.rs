//! Fetching a target's body over HTTP.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT,
};
use novaobs_http_client::{HttpClient, Request, Response};
use novaobs_wire::exposition::negotiate::accept_header;
use url::Url;

use crate::append::{Body, ScrapeError};
use crate::config::ScrapeConfig;
use crate::target::Target;

/// What scrapes call themselves.
const AGENT: &str = concat!("novaobs/", env!("CARGO_PKG_VERSION"));
/// No body is taken beyond this, whatever the job allows: memory is finite.
const MAX_BODY: u64 = 1 << 30;

/// A body as it came over the wire.
pub(crate) struct Fetched {
    content_type: String,
    bytes: Bytes,
    gzip: bool,
    limit: u64,
}

/// Asks a target for its metrics.
pub(crate) async fn fetch(
    client: &HttpClient,
    config: &ScrapeConfig,
    target: &Target,
) -> Result<Fetched, ScrapeError> {
    let url = Url::parse(target.url())
        .map_err(|error| ScrapeError::Fetch(format!("parse {:?}: {error}", target.url())))?;
    let failed = |error: novaobs_http_client::RequestError| ScrapeError::Fetch(error.to_string());
    let mut response = client.send(request(config, target, url)).await.map_err(failed)?;
    let status = response.status();
    if status != http::StatusCode::OK {
        let reason = status.canonical_reason().unwrap_or("");
        let message = format!("server returned HTTP status {} {reason}", status.as_u16());
        return Err(ScrapeError::Fetch(message.trim_end().to_owned()));
    }
    let limit = match config.limits.body_size.0 {
        0 => MAX_BODY,
        limit => limit.min(MAX_BODY),
    };
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() as u64 >= limit {
            return Err(ScrapeError::BodySizeLimit);
        }
    }
    let gzip = header(&response, &CONTENT_ENCODING) == "gzip";
    Ok(Fetched { content_type: header(&response, &CONTENT_TYPE), bytes: bytes.into(), gzip, limit })
}

fn request(config: &ScrapeConfig, target: &Target, url: Url) -> Request {
    let encoding = if config.enable_compression { "gzip" } else { "identity" };
    let mut request = Request::get(url)
        .header(ACCEPT_ENCODING, HeaderValue::from_static(encoding))
        .header(USER_AGENT, HeaderValue::from_static(AGENT))
        .timeout(target.timeout);
    let timeout = target.timeout.as_secs_f64().to_string();
    let accept = accept_header(&config.scrape_protocols, config.escaping);
    let own = [(ACCEPT, accept), (HeaderName::from_static("x-prometheus-scrape-timeout-seconds"), timeout)];
    for (name, value) in own {
        if let Ok(value) = HeaderValue::try_from(value) {
            request = request.header(name, value);
        }
    }
    request
}

fn header(response: &Response, name: &HeaderName) -> String {
    let value =
        response.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    value.unwrap_or_default()
}

impl Fetched {
    /// Unpacks the body, no further than the limit.
    pub(crate) fn unpack(self) -> Result<Body, ScrapeError> {
        let Fetched { content_type, bytes, gzip, limit } = self;
        if !gzip {
            return Ok(Body { content_type, bytes: bytes.into() });
        }
        let mut unpacked = Vec::new();
        MultiGzDecoder::new(&*bytes)
            .take(limit)
            .read_to_end(&mut unpacked)
            .map_err(|error| ScrapeError::Fetch(format!("gzip: {error}")))?;
        if unpacked.len() as u64 >= limit {
            return Err(ScrapeError::BodySizeLimit);
        }
        Ok(Body { content_type, bytes: unpacked })
    }
}
