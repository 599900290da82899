//! The block `alerting:` of prometheus.yml.

use std::time::Duration;

use novaobs_config::{Cursor, Fields, Node, Position, Section, ToNode, value};
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
    /// Signatures that this release cannot make: with it these Alertmanagers are not sent to.
    pub sigv4: Option<SigV4Config>,
}

/// The block `sigv4`: understood but not built. The peer signs its requests for AWS with it; without a
/// signature they would be refused, so they are not made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "{position}: sigv4 is not supported by this release: no alerts are sent to these Alertmanagers, point them to a proxy that signs"
)]
pub struct SigV4Config {
    /// Where it is written.
    pub position: Position,
    /// What is written, to be shown again.
    shown: Node,
}

impl SigV4Config {
    fn read(at: &Cursor<'_>) -> Option<SigV4Config> {
        let mut map = at.mapping();
        let mut fields = Fields::new();
        for key in ["region", "access_key"] {
            fields = fields.nonempty(key, &map.or(key, value::string, String::new()));
        }
        fields = fields.nonempty("secret_key", &map.optional("secret_key", value::secret));
        for key in ["profile", "role_arn", "external_id", "service_name"] {
            fields = fields.nonempty(key, &map.or(key, value::string, String::new()));
        }
        fields =
            fields.nonempty("use_fips_sts_endpoint", &map.or("use_fips_sts_endpoint", value::boolean, false));
        map.finish();
        at.warn("sigv4 is not built in this release: no alerts are sent to these Alertmanagers");
        Some(SigV4Config { position: at.position(), shown: fields.node() })
    }
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
        // `sigv4:` with nothing after it is no block, as in the peer.
        let sigv4 = map.optional("sigv4", SigV4Config::read);
        let authenticates =
            http.basic_auth.is_some() || http.authorization.is_some() || http.oauth2.is_some();
        if sigv4.is_some() && authenticates {
            let message = "at most one of basic_auth, authorization, oauth2, & sigv4 must be configured";
            map.error_at("sigv4", message);
        }
        if relabel_configs.is_empty() {
            refuse_urls(&map, &discovery);
        }
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
            sigv4,
        })
    }
}

/// Addresses of static targets are no URLs, unless relabelling makes something else of them.
fn refuse_urls(map: &Section<'_>, discovery: &[SdConfig]) {
    let groups = discovery.iter().filter_map(|config| match config {
        SdConfig::Static(groups) => Some(groups),
        _ => None,
    });
    for address in groups.flatten().flat_map(|group| &group.targets).filter(|address| address.contains('/')) {
        let message = format!(
            "{address:?} is not a valid hostname: write host:port, and use scheme and path_prefix for the rest"
        );
        map.error_at("static_configs", message);
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
            .nonempty("sigv4", &self.sigv4.as_ref().map(|sigv4| sigv4.shown.clone()))
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
