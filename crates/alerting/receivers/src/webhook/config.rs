//! The `webhook_configs` section.

use std::path::PathBuf;
use std::time::Duration;

use novaobs_config::{Cursor, Fields, Node, Secret, ToNode, value};
use novaobs_http_client::HttpConfig;

use crate::global::Global;

/// A webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookConfig {
    /// Whether to tell about resolved alerts. Default true.
    pub send_resolved: bool,
    /// How to reach it.
    pub http_config: HttpConfig,
    /// Where to; may be a template. Either this or `url_file`.
    pub url: Secret,
    /// A file that holds the URL.
    pub url_file: PathBuf,
    /// How many alerts a message holds at most; zero for all.
    pub max_alerts: u64,
    /// How long a send may take; zero for as long as the group's time lasts.
    pub timeout: Duration,
    /// A body of the user's own, with templates in its texts.
    pub payload: Option<Node>,
}

impl WebhookConfig {
    pub(crate) fn read(at: &Cursor<'_>, global: &Global) -> Option<WebhookConfig> {
        let mut map = at.mapping();
        // What is inside is not there when it is wrong; then that was said.
        let url = map.optional("url", |at| Some(crate::global::template_url(at)));
        let wrong_url = url == Some(None);
        let config = WebhookConfig {
            send_resolved: map.or("send_resolved", value::boolean, true),
            http_config: map
                .optional("http_config", HttpConfig::read)
                .unwrap_or_else(|| global.http_config.clone()),
            url: url.flatten().unwrap_or_default(),
            url_file: map.or("url_file", value::path, PathBuf::new()),
            max_alerts: map.or("max_alerts", value::u64, 0),
            timeout: map.or("timeout", value::duration, Duration::ZERO),
            payload: map.optional("payload", |at| Some(at.node().clone())),
        };
        match (config.url.is_empty(), config.url_file.as_os_str().is_empty()) {
            (true, true) if !wrong_url => map.error("one of url or url_file must be configured"),
            (false, false) => map.error("at most one of url & url_file must be configured"),
            _ => {}
        }
        map.finish();
        Some(config)
    }
}

impl ToNode for WebhookConfig {
    fn to_node(&self) -> Node {
        Fields::new()
            .field("send_resolved", &self.send_resolved)
            .field("http_config", &self.http_config)
            .nonempty("url", &crate::global::hidden_url(self.url.expose()))
            .nonempty("url_file", &self.url_file)
            .field("max_alerts", &self.max_alerts)
            .nonempty("timeout", &self.timeout)
            .nonempty("payload", &self.payload)
            .node()
    }
}
