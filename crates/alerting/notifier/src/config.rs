//! The block `alerting:` of prometheus.yml.

use std::time::Duration;

use novaobs_config::{Cursor, Fields, Node, ToNode, value};
use novaobs_discovery::{RelabelConfig, SdConfig};
use novaobs_http_client::HttpConfig;

/// Where alerts go and what is done to their labels before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlertingConfig {
    /// Rules over the labels of every alert.
    pub alert_relabel_configs: Vec<RelabelConfig>,
    /// The Alertmanagers.
    pub alertmanagers: Vec<AlertmanagerConfig>,
}

/// Alertmanagers that are found and spoken to in one way.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertmanagerConfig {
    /// How they are found.
    pub discovery: Vec<SdConfig>,
    /// `http` or `https`, unless relabelling says otherwise.
    pub scheme: String,
    /// In front of `/api/v2/alerts`.
    pub path_prefix: String,
    /// For one batch.
    pub timeout: Duration,
    /// Rules over discovered targets.
    pub relabel_configs: Vec<RelabelConfig>,
    /// Rules over the labels of alerts sent to these, after those for all.
    pub alert_relabel_configs: Vec<RelabelConfig>,
    /// Credentials, TLS, proxy.
    pub http: HttpConfig,
}

impl AlertingConfig {
    /// Reads the block.
    pub fn read(at: &Cursor<'_>) -> Option<Self> {
        let mut map = at.mapping();
        let alert_relabel_configs = map.or("alert_relabel_configs", RelabelConfig::read_list, Vec::new());
        let alertmanagers = map.list("alertmanagers", AlertmanagerConfig::read);
        map.finish();
        Some(AlertingConfig { alert_relabel_configs, alertmanagers })
    }
}

impl AlertmanagerConfig {
    fn read(at: &Cursor<'_>) -> Option<Self> {
        let mut map = at.mapping();
        let scheme = map.or("scheme", value::one_of(&[("http", "http"), ("https", "https")]), "http");
        let path_prefix = map.or("path_prefix", value::string, String::new());
        let timeout = map.or("timeout", value::duration, Duration::from_secs(10));
        map.or("api_version", api_version, ());
        let relabel_configs = map.or("relabel_configs", RelabelConfig::read_list, Vec::new());
        let alert_relabel_configs = map.or("alert_relabel_configs", RelabelConfig::read_list, Vec::new());
        let discovery = novaobs_discovery::sd::read_inline(&mut map);
        let http = HttpConfig::read_inline(&mut map);
        map.finish();
        let scheme = scheme.to_owned();
        Some(AlertmanagerConfig {
            discovery,
            scheme,
            path_prefix,
            timeout,
            relabel_configs,
            alert_relabel_configs,
            http,
        })
    }
}

/// Only `v2` is left; the peer dropped `v1` too.
fn api_version(at: &Cursor<'_>) -> Option<()> {
    match value::string(at)?.as_str() {
        "v2" => Some(()),
        other => at.error(format!("expected Alertmanager api version to be one of [v2] but got {other}")),
    }
}

impl ToNode for AlertingConfig {
    fn to_node(&self) -> Node {
        Fields::new()
            .nonempty("alert_relabel_configs", &self.alert_relabel_configs)
            .nonempty("alertmanagers", &self.alertmanagers)
            .node()
    }
}

impl ToNode for AlertmanagerConfig {
    fn to_node(&self) -> Node {
        Fields::new()
            .inline(&self.http)
            .field("scheme", self.scheme.as_str())
            .nonempty("path_prefix", self.path_prefix.as_str())
            .field("timeout", &self.timeout)
            .field("api_version", "v2")
            .nonempty("relabel_configs", &self.relabel_configs)
            .nonempty("alert_relabel_configs", &self.alert_relabel_configs)
            .inline(&Discovered(&self.discovery))
            .node()
    }
}

struct Discovered<'a>(&'a [SdConfig]);

impl ToNode for Discovered<'_> {
    fn to_node(&self) -> Node {
        novaobs_discovery::sd::to_node(self.0)
    }
}
