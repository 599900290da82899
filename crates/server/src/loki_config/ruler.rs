//! `ruler` and `ruler_storage`: where rules of logs lie, when they are evaluated, where their alerts and
//! recorded samples go.

use std::path::PathBuf;
use std::time::Duration;

use novaobs_config::{Cursor, Fields, Node, Secret, Section, ToNode, value};
use novaobs_discovery::RelabelConfig;
use novaobs_http_client::{Authorization, BasicAuth, HttpConfig, TlsConfig, TlsVersion};
use novaobs_model::Labels;
use novaobs_tenants::value as scalars;
use url::Url;

use super::{set, without_effect::WithoutEffect};

/// The ruler.
#[derive(Clone, Debug, PartialEq)]
pub struct RulerConfig {
    /// Base of links in alerts.
    pub external_url: Option<Url>,
    /// Added to alerts.
    pub external_labels: Labels,
    /// The Grafana data source that links in alerts open.
    pub datasource_uid: String,
    /// How often groups without an interval are evaluated.
    pub evaluation_interval: Duration,
    /// How often the folder of rules is looked at.
    pub poll_interval: Duration,
    /// The folder of rules: `<folder>/<tenant>/*.yaml`. `None`: there are none.
    pub rules: Option<PathBuf>,
    /// Scratch folder of the peer.
    pub rule_path: PathBuf,
    /// Alertmanagers that alerts are sent to.
    pub alertmanagers: Vec<Url>,
    /// How they are reached: credentials, TLS.
    pub alertmanager_client: HttpConfig,
    /// Rules over the labels of alerts.
    pub alert_relabel_configs: Vec<RelabelConfig>,
    /// Most alerts waiting to be sent.
    pub notification_queue_capacity: usize,
    /// For one batch of alerts.
    pub notification_timeout: Duration,
    /// Longest outage after which the `for` state of alerts is restored.
    pub for_outage_tolerance: Duration,
    /// Least time between a restored `for` state and its alert firing.
    pub for_grace_period: Duration,
    /// Least time between sending an alert again.
    pub resend_delay: Duration,
    /// Whether the API of rules is served.
    pub enable_api: bool,
    /// Only rules of these tenants are evaluated; empty for all.
    pub enabled_tenants: Vec<String>,
    /// Rules of these are not.
    pub disabled_tenants: Vec<String>,
    /// Where recorded samples are sent.
    pub remote_write: RemoteWrite,
}

/// `ruler.remote_write`.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteWrite {
    /// Whether recorded samples are sent on.
    pub enabled: bool,
    /// To whom, by name.
    pub clients: Vec<(String, RemoteWriteClient)>,
    /// Whether the tenant goes along as `X-Scope-OrgID`.
    pub add_org_id_header: bool,
}

/// A `remote_write` block of Prometheus.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteWriteClient {
    /// Where samples are sent.
    pub url: Url,
    /// For one request.
    pub remote_timeout: Duration,
    /// Headers sent along.
    pub headers: Vec<(String, Secret)>,
    /// Rules over the labels of samples.
    pub write_relabel_configs: Vec<RelabelConfig>,
    /// Credentials, TLS, proxy.
    pub http: HttpConfig,
}

impl Default for RulerConfig {
    fn default() -> Self {
        let minutes = |count: u64| Duration::from_secs(count * 60);
        RulerConfig {
            external_url: None,
            external_labels: Labels::default(),
            datasource_uid: String::new(),
            evaluation_interval: minutes(1),
            poll_interval: minutes(1),
            rules: None,
            rule_path: PathBuf::new(),
            alertmanagers: Vec::new(),
            alertmanager_client: HttpConfig::default(),
            alert_relabel_configs: Vec::new(),
            notification_queue_capacity: 10_000,
            notification_timeout: Duration::from_secs(10),
            for_outage_tolerance: minutes(60),
            for_grace_period: minutes(10),
            resend_delay: minutes(1),
            enable_api: true,
            enabled_tenants: Vec::new(),
            disabled_tenants: Vec::new(),
            remote_write: RemoteWrite { enabled: false, clients: Vec::new(), add_org_id_header: true },
        }
    }
}

impl RulerConfig {
    /// Reads `ruler`, on top of what is there.
    pub(super) fn read(&mut self, at: &Cursor<'_>, rest: &WithoutEffect) -> Option<()> {
        let mut map = at.mapping();
        let duration = scalars::duration;
        if let Some(at) = map.take("external_url").filter(|at| !at.node().is_empty()) {
            self.external_url = value::url(&at);
        }
        set(&mut map, "external_labels", value::labels, &mut self.external_labels);
        set(&mut map, "datasource_uid", value::string, &mut self.datasource_uid);
        set(&mut map, "evaluation_interval", duration, &mut self.evaluation_interval);
        set(&mut map, "poll_interval", duration, &mut self.poll_interval);
        map.optional("storage", |at| self.read_storage(at, rest, "ruler.storage", "type"));
        let path = |at: &Cursor<'_>| value::string(at).map(PathBuf::from);
        set(&mut map, "rule_path", path, &mut self.rule_path);
        set(&mut map, "alertmanager_url", urls, &mut self.alertmanagers);
        if let Some(at) = map.take("enable_alertmanager_v2")
            && value::boolean(&at) == Some(false)
        {
            at.warn("alerts are sent by the API v2 only, which every Alertmanager since 0.16 has");
        }
        map.optional("alertmanager_client", |at| self.read_client(at));
        set(&mut map, "alert_relabel_configs", RelabelConfig::read_list, &mut self.alert_relabel_configs);
        set(&mut map, "notification_queue_capacity", value::usize, &mut self.notification_queue_capacity);
        set(&mut map, "notification_timeout", duration, &mut self.notification_timeout);
        set(&mut map, "for_outage_tolerance", duration, &mut self.for_outage_tolerance);
        set(&mut map, "for_grace_period", duration, &mut self.for_grace_period);
        set(&mut map, "resend_delay", duration, &mut self.resend_delay);
        set(&mut map, "enable_api", value::boolean, &mut self.enable_api);
        set(&mut map, "enabled_tenants", scalars::texts, &mut self.enabled_tenants);
        set(&mut map, "disabled_tenants", scalars::texts, &mut self.disabled_tenants);
        map.optional("remote_write", |at| self.remote_write.read(at, rest));
        map.optional("evaluation", |at| {
            let mut map = at.mapping();
            if let Some(at) = map.take("mode")
                && value::string(&at)?.as_str() == "remote"
            {
                at.warn("rules are evaluated in this process, not by a query frontend");
            }
            rest.take_rest(&mut map, "ruler.evaluation");
            map.finish();
            Some(())
        });
        rest.take_rest(&mut map, "ruler");
        map.finish();
        Some(())
    }

    /// Reads `ruler.storage` or `ruler_storage`, whose kind is under `kind_key`.
    pub(super) fn read_storage(
        &mut self,
        at: &Cursor<'_>,
        rest: &WithoutEffect,
        section: &'static str,
        kind_key: &'static str,
    ) -> Option<()> {
        let mut map = at.mapping();
        let mut kind = String::new();
        set(&mut map, kind_key, value::string, &mut kind);
        map.optional("local", |at| {
            let mut map = at.mapping();
            if let Some(folder) = map.optional("directory", value::string).filter(|folder| !folder.is_empty())
            {
                self.rules = Some(PathBuf::from(folder));
            }
            map.finish();
            Some(())
        });
        if matches!(kind.as_str(), "" | "local" | "filesystem") {
            // A file that lists every default has blocks of the kinds that are not chosen.
            map.take_matching(|key| STORES.contains(&key));
        } else {
            at.warn(format!("rules are not read from {kind}: write {kind_key}: local and local.directory"));
            rest.take_rest(&mut map, section);
        }
        map.finish();
        Some(())
    }

    fn read_client(&mut self, at: &Cursor<'_>) -> Option<()> {
        let mut map = at.mapping();
        let client = &mut self.alertmanager_client;
        read_tls(&mut map, &mut client.tls);
        let mut user = BasicAuth::default();
        set(&mut map, "basic_auth_username", value::string, &mut user.username);
        set(&mut map, "basic_auth_password", value::secret, &mut user.password);
        let mut header = Authorization { kind: "Bearer".to_owned(), ..Authorization::default() };
        set(&mut map, "type", value::string, &mut header.kind);
        set(&mut map, "credentials", value::secret, &mut header.credentials);
        set(
            &mut map,
            "credentials_file",
            |at| value::string(at).map(PathBuf::from),
            &mut header.credentials_file,
        );
        let has_header = !header.credentials.is_empty() || !header.credentials_file.as_os_str().is_empty();
        if !user.username.is_empty() && has_header {
            map.error_at(
                "credentials",
                "at most one of basic_auth_username and credentials must be configured",
            );
        }
        if !user.username.is_empty() {
            client.basic_auth = Some(user);
        } else if has_header {
            client.authorization = Some(header);
        }
        map.finish();
        Some(())
    }
}

const STORES: [&str; 10] =
    ["azure", "gcs", "s3", "swift", "alibabacloud", "alibaba", "bos", "cos", "filesystem", "storage_prefix"];

/// Loki's own names of the keys of TLS clients.
fn read_tls(map: &mut Section<'_>, tls: &mut TlsConfig) {
    let path = |at: &Cursor<'_>| value::string(at).map(PathBuf::from);
    set(map, "tls_cert_path", path, &mut tls.cert_file);
    set(map, "tls_key_path", path, &mut tls.key_file);
    set(map, "tls_ca_path", path, &mut tls.ca_file);
    set(map, "tls_server_name", value::string, &mut tls.server_name);
    set(map, "tls_insecure_skip_verify", value::boolean, &mut tls.insecure_skip_verify);
    if let Some(at) = map.take("tls_cipher_suites").filter(|at| !at.node().is_empty()) {
        at.warn("cipher suites are not chosen one by one: those that are safe are offered");
    }
    if let Some(at) = map.take("tls_min_version").filter(|at| !at.node().is_empty()) {
        let versions = value::one_of(&[
            ("VersionTLS10", TlsVersion::Tls10),
            ("VersionTLS11", TlsVersion::Tls11),
            ("VersionTLS12", TlsVersion::Tls12),
            ("VersionTLS13", TlsVersion::Tls13),
        ]);
        tls.min_version = versions(&at);
    }
}

/// URLs with commas between.
fn urls(at: &Cursor<'_>) -> Option<Vec<Url>> {
    let text = value::string(at)?;
    let mut all = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match Url::parse(part) {
            Ok(url) if url.has_host() => all.push(url),
            _ => {
                return at.error(format!(
                    "{part:?} is not a URL: write http://host:port, with commas between several"
                ));
            }
        }
    }
    Some(all)
}

impl RemoteWrite {
    fn read(&mut self, at: &Cursor<'_>, rest: &WithoutEffect) -> Option<()> {
        let mut map = at.mapping();
        set(&mut map, "enabled", value::boolean, &mut self.enabled);
        set(&mut map, "add_org_id_header", value::boolean, &mut self.add_org_id_header);
        if let Some(at) = map.take("client").filter(|at| !holds_no_url(at.node())) {
            at.warn("is an old name: write clients with a name for each");
            self.clients.extend(RemoteWriteClient::read(&at).map(|client| ("default".to_owned(), client)));
        }
        if let Some(clients) = map.optional("clients", value::map(RemoteWriteClient::read)) {
            self.clients = clients;
        }
        if self.enabled && self.clients.is_empty() {
            map.error(
                "remote-write enabled but no clients URL are configured: write clients: {name: {url: …}}",
            );
        }
        rest.take_rest(&mut map, "ruler.remote_write");
        map.finish();
        Some(())
    }
}

fn holds_no_url(node: &Node) -> bool {
    node.get("url").is_none_or(Node::is_empty)
}

impl RemoteWriteClient {
    fn read(at: &Cursor<'_>) -> Option<RemoteWriteClient> {
        let mut map = at.mapping();
        let url = map.required("url", value::url);
        let remote_timeout = map.or("remote_timeout", scalars::duration, Duration::from_secs(30));
        let headers = map.optional("headers", value::map(value::secret)).unwrap_or_default();
        let write_relabel_configs = map.or("write_relabel_configs", RelabelConfig::read_list, Vec::new());
        let http = HttpConfig::read_inline(&mut map);
        map.take("name");
        for key in ["queue_config", "metadata_config", "protobuf_message", "round_robin_dns"] {
            map.obsolete(key, "batches and retries are not tuned here");
        }
        for key in ["send_exemplars", "send_native_histograms"] {
            map.obsolete(key, "rules record plain samples");
        }
        for key in ["sigv4", "azuread", "google_iam"] {
            map.obsolete(key, "requests are not signed: send them through a proxy that signs");
        }
        map.finish();
        Some(RemoteWriteClient { url: url?, remote_timeout, headers, write_relabel_configs, http })
    }
}

impl ToNode for RemoteWriteClient {
    fn to_node(&self) -> Node {
        let headers =
            self.headers.iter().fold(Fields::new(), |fields, (name, value)| fields.field(name, value));
        Fields::new()
            .field("url", &self.url)
            .field("remote_timeout", &self.remote_timeout)
            .nonempty("headers", &headers.node())
            .nonempty("write_relabel_configs", &self.write_relabel_configs)
            .inline(&self.http)
            .node()
    }
}

impl ToNode for RemoteWrite {
    fn to_node(&self) -> Node {
        let clients =
            self.clients.iter().fold(Fields::new(), |fields, (name, client)| fields.field(name, client));
        Fields::new()
            .field("enabled", &self.enabled)
            .nonempty("clients", &clients.node())
            .field("add_org_id_header", &self.add_org_id_header)
            .node()
    }
}

impl ToNode for RulerConfig {
    fn to_node(&self) -> Node {
        let urls: Vec<String> = self.alertmanagers.iter().map(shown).collect();
        let directory = self.rules.as_ref().map(|folder| folder.display().to_string()).unwrap_or_default();
        let local = Fields::new().field("directory", &directory).node();
        let storage = Fields::new().field("type", "local").field("local", &local).node();
        Fields::new()
            .field("external_url", &self.external_url.as_ref().map(shown).unwrap_or_default())
            .nonempty("external_labels", &self.external_labels)
            .field("datasource_uid", &self.datasource_uid)
            .field("evaluation_interval", scalars::go_text(self.evaluation_interval).as_str())
            .field("poll_interval", scalars::go_text(self.poll_interval).as_str())
            .field("storage", &storage)
            .field("rule_path", &self.rule_path)
            .field("alertmanager_url", &urls.join(","))
            .nonempty("alertmanager_client", &self.alertmanager_client)
            .nonempty("alert_relabel_configs", &self.alert_relabel_configs)
            .field("notification_queue_capacity", &self.notification_queue_capacity)
            .field("notification_timeout", scalars::go_text(self.notification_timeout).as_str())
            .field("for_outage_tolerance", scalars::go_text(self.for_outage_tolerance).as_str())
            .field("for_grace_period", scalars::go_text(self.for_grace_period).as_str())
            .field("resend_delay", scalars::go_text(self.resend_delay).as_str())
            .field("enable_api", &self.enable_api)
            .field("enabled_tenants", &self.enabled_tenants.join(","))
            .field("disabled_tenants", &self.disabled_tenants.join(","))
            .field("remote_write", &self.remote_write)
            .node()
    }
}

/// A URL as it was written, its password hidden.
fn shown(url: &Url) -> String {
    match url.to_node().value {
        novaobs_config::Value::Scalar { text, .. } => {
            let bare = url.path() == "/" && url.query().is_none();
            if bare { text.trim_end_matches('/').to_owned() } else { text }
        }
        _ => String::new(),
    }
}
