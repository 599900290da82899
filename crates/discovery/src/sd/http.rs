//! http_sd_configs: a list of target groups fetched from a URL.

use std::time::Duration;

use ::http::{HeaderName, HeaderValue, header};
use novaobs_config::{Cursor, Fields, Node, ToNode, value};
use novaobs_http_client::{HttpClient, HttpConfig, Request};
use url::Url;

use super::groups::{self, RawGroup};
use super::{Provider, TargetGroup};
use crate::manager::Publisher;

/// A longer answer is refused; a hundred thousand targets fit many times.
const MAX_ANSWER: usize = 256 << 20;
const META_URL: &str = "__meta_url";

/// One entry of http_sd_configs.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpSdConfig {
    /// Where the list is.
    pub url: Url,
    /// The URL as written: it names the groups.
    written: String,
    /// How often it is fetched. Default 1m.
    pub refresh_interval: Duration,
    /// How it is reached.
    pub http: HttpConfig,
}

impl HttpSdConfig {
    /// Reads one entry.
    pub fn read(at: &Cursor<'_>) -> Option<HttpSdConfig> {
        let mut map = at.mapping();
        let written = map.or("url", value::string, String::new());
        let url = if written.is_empty() {
            map.error("URL is missing");
            None
        } else {
            map.optional("url", value::url)
        };
        if let Some(url) = &url
            && !matches!(url.scheme(), "http" | "https")
        {
            map.error_at("url", "URL scheme must be 'http' or 'https'");
        }
        let refresh_interval = map.or("refresh_interval", value::duration, Duration::from_secs(60));
        if refresh_interval.is_zero() {
            map.error_at("refresh_interval", "must be longer than zero");
        }
        let http = HttpConfig::read_inline(&mut map);
        map.finish();
        Some(HttpSdConfig { url: url?, written, refresh_interval, http })
    }
}

impl ToNode for HttpSdConfig {
    fn to_node(&self) -> Node {
        Fields::new()
            .inline(&self.http)
            .field("refresh_interval", &self.refresh_interval)
            .field("url", &self.url)
            .node()
    }
}

pub(super) fn provider(config: &HttpSdConfig) -> Provider {
    match HttpClient::new(&config.http) {
        Ok(client) => {
            let config = config.clone();
            Provider::Running(Box::new(move |publisher| Box::pin(run(config, client, publisher))))
        }
        Err(error) => Provider::Failed(format!("http_sd_configs {}: {error}", config.url)),
    }
}

async fn run(config: HttpSdConfig, client: HttpClient, publisher: Publisher) {
    let mut known = 0;
    let mut ticks = tokio::time::interval(config.refresh_interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        match fetch(&config, &client).await {
            Ok(raw) => {
                let source = |i: usize| format!("{}:{i}", config.written);
                let mut groups: Vec<TargetGroup> = raw
                    .iter()
                    .enumerate()
                    .map(|(i, group)| group.named(source(i), META_URL, &config.written))
                    .collect();
                let now = groups.len();
                groups.extend(
                    (now..known).map(|i| TargetGroup { source: source(i), ..TargetGroup::default() }),
                );
                known = now;
                publisher.publish(groups).await;
            }
            // The last good list stays.
            Err(error) => {
                publisher.metrics.http_failures.inc();
                publisher.failed("http", &error);
            }
        }
    }
}

async fn fetch(config: &HttpSdConfig, client: &HttpClient) -> Result<Vec<RawGroup>, String> {
    let seconds = config.refresh_interval.as_secs_f64().to_string();
    let agent = concat!("novaobs/", env!("CARGO_PKG_VERSION"));
    let mut request = Request::get(config.url.clone())
        .timeout(config.refresh_interval)
        .header(header::USER_AGENT, HeaderValue::from_static(agent))
        .header(header::ACCEPT, HeaderValue::from_static("application/json"));
    if let Ok(seconds) = HeaderValue::from_str(&seconds) {
        request = request.header(HeaderName::from_static("x-prometheus-refresh-interval-seconds"), seconds);
    }
    let response = client.send(request).await.map_err(|error| error.to_string())?;
    if response.status() != ::http::StatusCode::OK {
        return Err(format!("server returned HTTP status {}", response.status()));
    }
    let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let kind = String::from_utf8_lossy(kind).trim().to_ascii_lowercase();
    let plain: String = kind.chars().filter(|c| !c.is_whitespace() && *c != '"').collect();
    if !matches!(plain.as_str(), "application/json" | "application/json;charset=utf-8") {
        return Err(format!("unsupported content type {kind:?}"));
    }
    let body = response.bytes(MAX_ANSWER).await.map_err(|error| error.to_string())?;
    groups::from_json(&body)
}
