//! The sections of the file that are a handful of settings: server, querier, compactor and the like.

use std::path::PathBuf;
use std::time::Duration;

use novaobs_config::{Cursor, Fields, Node, Secret, ToNode, emit, value};
use novaobs_tenants::value as scalars;
use tracing::Level;

use super::{set, without_effect::WithoutEffect};
use crate::logging::LogFormat;

/// `server`.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerSection {
    /// Address of the HTTP face; empty for every one.
    pub http_listen_address: String,
    /// Its port.
    pub http_listen_port: u16,
    /// Most connections at one time; 0 for any number.
    pub http_listen_conn_limit: usize,
    /// Address of the gRPC face; empty for every one.
    pub grpc_listen_address: String,
    /// Its port.
    pub grpc_listen_port: u16,
    /// TLS of the HTTP face.
    pub http_tls: ServerTls,
    /// TLS of the gRPC face.
    pub grpc_tls: ServerTls,
    /// How long a request may take to arrive.
    pub http_server_read_timeout: Duration,
    /// How long an answer may take to be sent.
    pub http_server_write_timeout: Duration,
    /// After how long an idle connection ends.
    pub http_server_idle_timeout: Duration,
    /// How long running requests are waited for at the end.
    pub graceful_shutdown_timeout: Duration,
    /// Most bytes of a message to the gRPC face.
    pub grpc_server_max_recv_msg_size: u64,
    /// Most bytes of a message from it.
    pub grpc_server_max_send_msg_size: u64,
    /// Least important log lines that are printed.
    pub log_level: Level,
    /// How they look.
    pub log_format: LogFormat,
    /// In front of every route, without a slash at its end; empty for none.
    pub http_path_prefix: String,
}

/// `http_tls_config` and `grpc_tls_config`.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "names and meaning are those of the keys")]
pub struct ServerTls {
    pub cert: String,
    pub key: Secret,
    pub client_ca: String,
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
    pub client_ca_file: PathBuf,
    pub client_auth_type: String,
    /// `TLS12` and the like, of `tls_min_version`.
    pub min_version: Option<&'static str>,
}

impl ServerTls {
    /// Whether TLS is spoken.
    pub fn enabled(&self) -> bool {
        !self.cert.is_empty() || !self.cert_file.as_os_str().is_empty()
    }

    /// The same as a file for [`WebGuard`](crate::web_config::WebGuard): it holds the key in the clear.
    pub fn web_config(&self) -> String {
        let tls = Fields::new()
            .nonempty("cert", &self.cert)
            .nonempty("cert_file", &self.cert_file)
            .nonempty("key", self.key.expose())
            .nonempty("key_file", &self.key_file)
            .nonempty("client_ca", &self.client_ca)
            .nonempty("client_ca_file", &self.client_ca_file)
            .nonempty("client_auth_type", &self.client_auth_type)
            .nonempty("min_version", self.min_version.unwrap_or_default());
        emit(&Fields::new().field("tls_server_config", &tls.node()).node())
    }

    fn read(&mut self, at: &Cursor<'_>) -> Option<()> {
        let mut map = at.mapping();
        let path = |at: &Cursor<'_>| value::string(at).map(PathBuf::from);
        set(&mut map, "cert", value::string, &mut self.cert);
        set(&mut map, "key", value::secret, &mut self.key);
        set(&mut map, "client_ca", value::string, &mut self.client_ca);
        set(&mut map, "cert_file", path, &mut self.cert_file);
        set(&mut map, "key_file", path, &mut self.key_file);
        set(&mut map, "client_ca_file", path, &mut self.client_ca_file);
        let kinds = value::one_of(&[
            ("", ""),
            ("NoClientCert", "NoClientCert"),
            ("RequestClientCert", "RequestClientCert"),
            ("RequireClientCert", "RequireAnyClientCert"),
            ("RequireAnyClientCert", "RequireAnyClientCert"),
            ("VerifyClientCertIfGiven", "VerifyClientCertIfGiven"),
            ("RequireAndVerifyClientCert", "RequireAndVerifyClientCert"),
        ]);
        if let Some(kind) = map.optional("client_auth_type", kinds) {
            self.client_auth_type = kind.to_owned();
        }
        let has_key = !self.key.is_empty() || !self.key_file.as_os_str().is_empty();
        if self.enabled() != has_key {
            map.error("a certificate and its key go together: write cert_file and key_file");
        }
        map.finish();
        Some(())
    }
}

impl Default for ServerSection {
    fn default() -> Self {
        ServerSection {
            http_listen_address: String::new(),
            http_listen_port: 3100,
            http_listen_conn_limit: 0,
            grpc_listen_address: String::new(),
            grpc_listen_port: 9095,
            http_tls: ServerTls::default(),
            grpc_tls: ServerTls::default(),
            http_server_read_timeout: Duration::from_secs(30),
            http_server_write_timeout: Duration::from_secs(30),
            http_server_idle_timeout: Duration::from_secs(120),
            graceful_shutdown_timeout: Duration::from_secs(30),
            grpc_server_max_recv_msg_size: 4 << 20,
            grpc_server_max_send_msg_size: 4 << 20,
            log_level: Level::INFO,
            log_format: LogFormat::Logfmt,
            http_path_prefix: String::new(),
        }
    }
}

impl ServerSection {
    pub(super) fn read(&mut self, at: &Cursor<'_>, rest: &WithoutEffect) -> Option<()> {
        let mut map = at.mapping();
        set(&mut map, "http_listen_address", value::string, &mut self.http_listen_address);
        set(&mut map, "http_listen_port", value::u16, &mut self.http_listen_port);
        set(&mut map, "http_listen_conn_limit", value::usize, &mut self.http_listen_conn_limit);
        set(&mut map, "grpc_listen_address", value::string, &mut self.grpc_listen_address);
        set(&mut map, "grpc_listen_port", value::u16, &mut self.grpc_listen_port);
        map.optional("http_tls_config", |at| self.http_tls.read(at));
        map.optional("grpc_tls_config", |at| self.grpc_tls.read(at));
        let versions = value::one_of(&[
            ("", None),
            ("VersionTLS10", Some("TLS10")),
            ("VersionTLS11", Some("TLS11")),
            ("VersionTLS12", Some("TLS12")),
            ("VersionTLS13", Some("TLS13")),
        ]);
        if let Some(version) = map.optional("tls_min_version", versions) {
            self.http_tls.min_version = version;
            self.grpc_tls.min_version = version;
        }
        let duration = scalars::duration;
        set(&mut map, "http_server_read_timeout", duration, &mut self.http_server_read_timeout);
        set(&mut map, "http_server_write_timeout", duration, &mut self.http_server_write_timeout);
        set(&mut map, "http_server_idle_timeout", duration, &mut self.http_server_idle_timeout);
        set(&mut map, "graceful_shutdown_timeout", duration, &mut self.graceful_shutdown_timeout);
        set(
            &mut map,
            "grpc_server_max_recv_msg_size",
            scalars::bytes,
            &mut self.grpc_server_max_recv_msg_size,
        );
        set(
            &mut map,
            "grpc_server_max_send_msg_size",
            scalars::bytes,
            &mut self.grpc_server_max_send_msg_size,
        );
        let levels = value::one_of(&[
            ("debug", Level::DEBUG),
            ("info", Level::INFO),
            ("warn", Level::WARN),
            ("error", Level::ERROR),
        ]);
        set(&mut map, "log_level", levels, &mut self.log_level);
        set(&mut map, "log_format", log_format, &mut self.log_format);
        for key in ["http_prefix", "http_path_prefix"] {
            set(&mut map, key, path_prefix, &mut self.http_path_prefix);
        }
        rest.take_rest(&mut map, "server");
        map.finish();
        Some(())
    }
}

/// The peer writes logfmt whatever else is asked for.
fn log_format(at: &Cursor<'_>) -> Option<LogFormat> {
    match value::string(at)?.as_str() {
        "json" => Some(LogFormat::Json),
        "logfmt" | "" => Some(LogFormat::Logfmt),
        other => {
            at.warn(format!("{other:?} is no format of log lines, logfmt is written: write logfmt or json"));
            Some(LogFormat::Logfmt)
        }
    }
}

/// A prefix of routes: begins with a slash and does not end with one.
pub(super) fn path_prefix(at: &Cursor<'_>) -> Option<String> {
    let text = value::string(at)?;
    let trimmed = text.trim_matches('/');
    Some(if trimmed.is_empty() { String::new() } else { format!("/{trimmed}") })
}

impl ToNode for ServerSection {
    fn to_node(&self) -> Node {
        let go = |duration| Node::plain(scalars::go_text(duration));
        let format = match self.log_format {
            LogFormat::Logfmt => "logfmt",
            LogFormat::Json => "json",
        };
        Fields::new()
            .field("http_listen_address", &self.http_listen_address)
            .field("http_listen_port", &self.http_listen_port)
            .field("http_listen_conn_limit", &self.http_listen_conn_limit)
            .field("grpc_listen_address", &self.grpc_listen_address)
            .field("grpc_listen_port", &self.grpc_listen_port)
            .field("http_tls_config", &self.http_tls)
            .field("grpc_tls_config", &self.grpc_tls)
            .field("graceful_shutdown_timeout", &go(self.graceful_shutdown_timeout))
            .field("http_server_read_timeout", &go(self.http_server_read_timeout))
            .field("http_server_write_timeout", &go(self.http_server_write_timeout))
            .field("http_server_idle_timeout", &go(self.http_server_idle_timeout))
            .field("grpc_server_max_recv_msg_size", &self.grpc_server_max_recv_msg_size)
            .field("grpc_server_max_send_msg_size", &self.grpc_server_max_send_msg_size)
            .field("log_format", format)
            .field("log_level", self.log_level.as_str().to_lowercase().as_str())
            .field("http_path_prefix", &self.http_path_prefix)
            .node()
    }
}

impl ToNode for ServerTls {
    fn to_node(&self) -> Node {
        Fields::new()
            .field("cert", &self.cert)
            .field("key", &self.key)
            .field("client_ca", &self.client_ca)
            .field("cert_file", &self.cert_file)
            .field("key_file", &self.key_file)
            .field("client_auth_type", &self.client_auth_type)
            .field("client_ca_file", &self.client_ca_file)
            .node()
    }
}

/// `querier`.
#[derive(Clone, Debug, PartialEq)]
pub struct QuerierSection {
    /// Whether `X-Scope-OrgID: a|b` asks several tenants at once.
    pub multi_tenant_queries_enabled: bool,
    /// When a tail ends by itself.
    pub tail_max_duration: Duration,
    /// Most queries at one time.
    pub max_concurrent: usize,
    /// Younger entries than this are those the peer's ingesters are asked for; every entry is found here.
    pub query_ingesters_within: Duration,
    /// How far back an instant log query looks.
    pub max_look_back_period: Duration,
}

impl Default for QuerierSection {
    fn default() -> Self {
        QuerierSection {
            multi_tenant_queries_enabled: false,
            tail_max_duration: Duration::from_secs(3600),
            max_concurrent: 4,
            query_ingesters_within: Duration::from_secs(3 * 3600),
            max_look_back_period: Duration::from_secs(30),
        }
    }
}

impl QuerierSection {
    /// Answers the query timeout that older files have here.
    pub(super) fn read(&mut self, at: &Cursor<'_>, rest: &WithoutEffect) -> Option<Option<Duration>> {
        let mut map = at.mapping();
        let duration = scalars::duration;
        set(&mut map, "multi_tenant_queries_enabled", value::boolean, &mut self.multi_tenant_queries_enabled);
        set(&mut map, "tail_max_duration", duration, &mut self.tail_max_duration);
        set(&mut map, "max_concurrent", scalars::count_usize, &mut self.max_concurrent);
        set(&mut map, "query_ingesters_within", duration, &mut self.query_ingesters_within);
        let mut timeout = old_timeout(map.take("query_timeout"));
        map.optional("engine", |at| {
            let mut map = at.mapping();
            timeout = old_timeout(map.take("timeout")).or(timeout);
            set(&mut map, "max_look_back_period", duration, &mut self.max_look_back_period);
            rest.take_rest(&mut map, "querier.engine");
            map.finish();
            Some(())
        });
        rest.take_rest(&mut map, "querier");
        map.finish();
        Some(timeout)
    }
}

fn old_timeout(at: Option<Cursor<'_>>) -> Option<Duration> {
    let at = at?;
    let read = scalars::duration(&at)?;
    at.warn("is an old name: write limits_config.query_timeout");
    Some(read)
}

impl ToNode for QuerierSection {
    fn to_node(&self) -> Node {
        let go = |duration| Node::plain(scalars::go_text(duration));
        let engine = Fields::new().field("max_look_back_period", &go(self.max_look_back_period)).node();
        Fields::new()
            .field("tail_max_duration", &go(self.tail_max_duration))
            .field("query_ingesters_within", &go(self.query_ingesters_within))
            .field("engine", &engine)
            .field("max_concurrent", &self.max_concurrent)
            .field("multi_tenant_queries_enabled", &self.multi_tenant_queries_enabled)
            .node()
    }
}

/// `compactor`.
#[derive(Clone, Debug, PartialEq)]
pub struct CompactorSection {
    /// Whether retention and deletes are carried out.
    pub retention_enabled: bool,
    /// How long after its time data stays readable.
    pub retention_delete_delay: Duration,
    /// How often retention is applied.
    pub apply_retention_interval: Duration,
    /// How long a request to delete can be taken back.
    pub delete_request_cancel_period: Duration,
    /// A request over more than this is split.
    pub delete_max_interval: Duration,
}

impl Default for CompactorSection {
    fn default() -> Self {
        let hours = |count: u64| Duration::from_secs(count * 3600);
        CompactorSection {
            retention_enabled: false,
            retention_delete_delay: hours(2),
            // The peer's compaction_interval stands in when this is 0.
            apply_retention_interval: Duration::ZERO,
            delete_request_cancel_period: hours(24),
            delete_max_interval: hours(24),
        }
    }
}

impl CompactorSection {
    /// Answers the `deletion_mode` that older files have here.
    pub(super) fn read<'a>(&mut self, at: &Cursor<'a>, rest: &WithoutEffect) -> Option<Option<Cursor<'a>>> {
        let mut map = at.mapping();
        let duration = scalars::duration;
        set(&mut map, "retention_enabled", value::boolean, &mut self.retention_enabled);
        set(&mut map, "retention_delete_delay", duration, &mut self.retention_delete_delay);
        set(&mut map, "apply_retention_interval", duration, &mut self.apply_retention_interval);
        set(&mut map, "delete_request_cancel_period", duration, &mut self.delete_request_cancel_period);
        set(&mut map, "delete_max_interval", duration, &mut self.delete_max_interval);
        let mode = map.take("deletion_mode").filter(|at| !at.is_null());
        if let Some(at) = &mode {
            at.warn("is an old name: write limits_config.deletion_mode");
        }
        rest.take_rest(&mut map, "compactor");
        map.finish();
        Some(mode)
    }
}

impl ToNode for CompactorSection {
    fn to_node(&self) -> Node {
        let go = |duration| Node::plain(scalars::go_text(duration));
        Fields::new()
            .field("apply_retention_interval", &go(self.apply_retention_interval))
            .field("retention_enabled", &self.retention_enabled)
            .field("retention_delete_delay", &go(self.retention_delete_delay))
            .field("delete_request_cancel_period", &go(self.delete_request_cancel_period))
            .field("delete_max_interval", &go(self.delete_max_interval))
            .node()
    }
}

/// `runtime_config`.
#[derive(Clone, Debug, PartialEq)]
pub struct RuntimeSection {
    /// Files with overrides, later ones on top.
    pub files: Vec<PathBuf>,
    /// How often they are looked at.
    pub period: Duration,
}

impl Default for RuntimeSection {
    fn default() -> Self {
        RuntimeSection { files: Vec::new(), period: Duration::from_secs(10) }
    }
}

impl RuntimeSection {
    pub(super) fn read(&mut self, at: &Cursor<'_>, rest: &WithoutEffect) -> Option<()> {
        let mut map = at.mapping();
        let files = |at: &Cursor<'_>| Some(scalars::texts(at)?.into_iter().map(PathBuf::from).collect());
        set(&mut map, "file", files, &mut self.files);
        set(&mut map, "period", scalars::duration, &mut self.period);
        rest.take_rest(&mut map, "runtime_config");
        map.finish();
        Some(())
    }
}

impl ToNode for RuntimeSection {
    fn to_node(&self) -> Node {
        let files: Vec<String> = self.files.iter().map(|file| file.display().to_string()).collect();
        Fields::new()
            .field("period", &Node::plain(scalars::go_text(self.period)))
            .field("file", &files.join(","))
            .node()
    }
}
