//! From flags to what a runtime is started with: every value checked, every default filled in.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use novaobs_config::size;
use novaobs_model::GoRegex;
use tokio::sync::Semaphore;
use url::Url;

use crate::flags::{FlagError, Flags};
use crate::http::Limits;
use crate::logging::LogFormat;
use crate::logs::{LogsOptions, LokiSource};
use crate::loki_config::{LokiConfig, ServerTls, Sources};
use crate::memory;

/// Everything a [`crate::Runtime`] needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where `prometheus.yml` comes from.
    pub prometheus: ConfigSource,
    /// Where `alertmanager.yml` comes from; `None` runs without an Alertmanager.
    pub alertmanager: Option<ConfigSource>,
    /// What logs are started with; `None` runs without them.
    pub logs: Option<LogsOptions>,
    /// Folder of the metrics store.
    pub metrics_path: PathBuf,
    /// Folder of silences, alerts and the notification log.
    pub alerts_path: PathBuf,
    /// Where each face listens.
    pub faces: Faces,
    /// `--storage.tsdb.retention.time`, if given.
    pub retention_time: Option<Duration>,
    /// `--storage.tsdb.retention.size`, if given, in bytes.
    pub retention_size: Option<u64>,
    /// URL under which others reach the Prometheus face, ends with `/`.
    pub external_url: Url,
    /// Path in front of the Prometheus face's routes, without a slash at the end: `""` or `/prom`.
    pub route_prefix: String,
    /// Whether reload and quit answer over HTTP.
    pub lifecycle: bool,
    /// Whether remote write is received.
    pub remote_write: bool,
    /// How often files are looked at for changes; `None`: only reloads that are asked for.
    pub watch: Option<Duration>,
    /// `--web.config.file`: TLS, users and headers of all faces but the host exporter's.
    pub web_config: Option<PathBuf>,
    /// `--query.*`.
    pub query: Query,
    /// `--rules.*`.
    pub rules: Rules,
    /// `--alertmanager.*` of the queue to external Alertmanagers.
    pub notifier: Notifier,
    /// Connections of each face.
    pub limits: Limits,
    /// Origins that may ask from a browser.
    pub cors_origin: GoRegex,
    /// Title of the pages.
    pub page_title: String,
    /// Bytes of the process-wide budget.
    pub memory: u64,
    /// Names given to `--enable-feature`.
    pub features: Vec<String>,
    /// All flags as text, for `/api/v1/status/flags`.
    pub flags: Flags,
}

/// A configuration file, or what is used without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// Loaded from here, reloaded from here.
    File(PathBuf),
    /// The text of a built-in configuration.
    BuiltIn(String),
}

/// Addresses to listen on; an empty list or `None` leaves a face out.
#[derive(Clone, Debug, Default)]
pub struct Faces {
    /// Prometheus' API and pages.
    pub prometheus: Vec<String>,
    /// The pages.
    pub grafana: Option<String>,
    /// Alertmanager's API.
    pub alertmanager: Option<String>,
    /// The host exporter.
    pub node: Option<String>,
    /// Loki's API.
    pub loki: Option<String>,
    /// OTLP over gRPC.
    pub otlp_grpc: Option<String>,
    /// OTLP over HTTP.
    pub otlp_http: Option<String>,
}

/// Limits of queries.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    /// How far an instant selector looks back.
    pub lookback: Duration,
    /// Longest run.
    pub timeout: Duration,
    /// Most at one time.
    pub concurrency: usize,
    /// Most samples in memory.
    pub max_samples: usize,
}

/// Settings of rule evaluation.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Longest outage after which `for` is restored.
    pub outage_tolerance: Duration,
    /// Least time between restoring and firing.
    pub grace_period: Duration,
    /// Least time between sending an alert again.
    pub resend_delay: Duration,
    /// Most evaluations at one time.
    pub concurrency: usize,
}

/// Settings of the queue to external Alertmanagers.
#[derive(Clone, Copy, Debug)]
pub struct Notifier {
    /// Most alerts waiting.
    pub capacity: usize,
    /// Most alerts in one request.
    pub batch: usize,
    /// Whether waiting alerts are sent before shutdown.
    pub drain: bool,
}

/// Where operators of the platform keep their files.
const PROMETHEUS_FILES: [&str; 2] = ["deployment/monitoring/prometheus.yml", "prometheus.yml"];
const LOKI_FILES: [&str; 4] = [
    "deployment/loki/loki-config.yml",
    "deployment/loki/loki-config.yaml",
    "loki-config.yml",
    "loki-config.yaml",
];
const ALERTMANAGER_FILES: [&str; 2] = ["deployment/monitoring/alertmanager.yml", "alertmanager.yml"];
/// How often `serve` and `demo` look at their files.
const WATCH: Duration = Duration::from_secs(5);

impl Options {
    /// What `novaobs prometheus` and a link named `prometheus` start: that face alone.
    ///
    /// # Errors
    /// [`FlagError`].
    pub fn prometheus(flags: &Flags) -> Result<Self, FlagError> {
        let path = PathBuf::from(flags.get("storage.tsdb.path"));
        let faces = Faces { prometheus: flags.all("web.listen-address").to_vec(), ..Faces::default() };
        let source = ConfigSource::File(flags.get("config.file").into());
        let watch = flags.on("config.auto-reload").then(|| flags.duration("config.auto-reload-interval"));
        Options::common(flags, path.clone(), path.join("alerts"), faces, source, None, watch.transpose()?)
    }

    /// What `novaobs serve` starts.
    ///
    /// # Errors
    /// [`FlagError`].
    pub fn serve(flags: &Flags) -> Result<Self, FlagError> {
        let data = PathBuf::from(flags.get("data"));
        let listen = |name: &'static str| Some(flags.get(name)).filter(|at| *at != "off").map(str::to_owned);
        let faces = Faces {
            prometheus: listen("prometheus.listen").into_iter().collect(),
            grafana: listen("grafana.listen"),
            alertmanager: listen("alertmanager.listen"),
            node: listen("node.listen"),
            loki: listen("loki.listen"),
            otlp_grpc: listen("otlp-grpc.listen"),
            otlp_http: listen("otlp-http.listen"),
        };
        let wants_logs = faces.loki.is_some() || faces.otlp_grpc.is_some() || faces.otlp_http.is_some();
        let logs = wants_logs.then(|| logs(flags, &data)).transpose()?;
        let prometheus =
            find_config(flags.get("prometheus.config"), &PROMETHEUS_FILES, || built_in_prometheus(&faces));
        let alertmanager = find_config(flags.get("alertmanager.config"), &ALERTMANAGER_FILES, || {
            BUILT_IN_ALERTMANAGER.to_owned()
        });
        let (metrics, alerts) = (data.join("metrics"), data.join("alerts"));
        let common =
            Options::common(flags, metrics, alerts, faces, prometheus, Some(alertmanager), Some(WATCH))?;
        Ok(Options { logs, ..common })
    }

    /// What `novaobs loki` and a link named `loki` start: that face alone. `flags` are those of Prometheus at
    /// their defaults, `own` those of Loki; `config` is what `sources` say.
    ///
    /// # Errors
    /// [`FlagError`].
    pub fn loki(
        flags: &Flags,
        own: &Flags,
        sources: Sources,
        config: &LokiConfig,
    ) -> Result<Self, FlagError> {
        let data = config.storage.folder.clone().unwrap_or_else(|| PathBuf::from("data"));
        let server = &config.server;
        let loki = format!("{}:{}", server.http_listen_address, server.http_listen_port);
        let faces = Faces { loki: Some(loki), ..Faces::default() };
        let (metrics, alerts) = (data.join("rule-series"), data.join("rule-state"));
        let built_in = ConfigSource::BuiltIn(alertmanagers(&config.ruler.alertmanagers));
        let common = Options::common(flags, metrics, alerts, faces, built_in, None, None)?;
        let memory = match own.get("memory") {
            "" => common.memory,
            _ => own.read("memory", |text| size::parse(text).map(|bytes| bytes.0))?,
        };
        let connections = match server.http_listen_conn_limit {
            0 => Semaphore::MAX_PERMITS,
            limit => limit,
        };
        let logs = LogsOptions {
            source: LokiSource::File(sources),
            path: data,
            cold: None,
            max_bytes: None,
            files: None,
            own_lines: false,
        };
        let limits = Limits { connections, read_timeout: server.http_server_read_timeout };
        let web_config = match server.http_tls.enabled() {
            true => Some(own.read("config.file", |_| write_web_config(&logs.path, &server.http_tls))?),
            false => None,
        };
        Ok(Options { logs: Some(logs), memory, limits, web_config, ..common })
    }

    fn common(
        flags: &Flags,
        metrics_path: PathBuf,
        alerts_path: PathBuf,
        faces: Faces,
        prometheus: ConfigSource,
        alertmanager: Option<ConfigSource>,
        watch: Option<Duration>,
    ) -> Result<Self, FlagError> {
        let time_flag = if flags.given("storage.tsdb.retention.time") {
            "storage.tsdb.retention.time"
        } else {
            "storage.tsdb.retention"
        };
        let retention_time = flags.given(time_flag).then(|| flags.duration(time_flag)).transpose()?;
        let bytes = |flag| flags.read(flag, |text| size::parse(text).map(|bytes| bytes.0));
        let given_bytes = |flag| flags.given(flag).then(|| bytes(flag)).transpose();
        let external_url = flags.read("web.external-url", |text| external_url(text, &faces))?;
        let route_prefix = match flags.get("web.route-prefix") {
            "" => external_url.path().to_owned(),
            given => format!("/{}", given.trim_start_matches('/')),
        };
        Ok(Options {
            prometheus,
            alertmanager,
            logs: None,
            metrics_path,
            alerts_path,
            retention_time,
            retention_size: given_bytes("storage.tsdb.retention.size")?,
            route_prefix: route_prefix.trim_end_matches('/').to_owned(),
            external_url,
            lifecycle: flags.on("web.enable-lifecycle"),
            remote_write: flags.on("web.enable-remote-write-receiver"),
            watch,
            web_config: Some(flags.get("web.config.file")).filter(|file| !file.is_empty()).map(PathBuf::from),
            query: Query {
                lookback: flags.duration("query.lookback-delta")?,
                timeout: flags.duration("query.timeout")?,
                concurrency: flags.number::<usize>("query.max-concurrency")?.max(1),
                max_samples: flags.number("query.max-samples")?,
            },
            rules: Rules {
                outage_tolerance: flags.duration("rules.alert.for-outage-tolerance")?,
                grace_period: flags.duration("rules.alert.for-grace-period")?,
                resend_delay: flags.duration("rules.alert.resend-delay")?,
                concurrency: flags.number::<usize>("rules.max-concurrent-evals")?.max(1),
            },
            notifier: Notifier {
                capacity: flags.number("alertmanager.notification-queue-capacity")?,
                batch: flags.number::<usize>("alertmanager.notification-batch-size")?.max(1),
                drain: flags.on("alertmanager.drain-notification-queue-on-shutdown"),
            },
            limits: Limits {
                connections: flags.number::<usize>("web.max-connections")?.max(1),
                read_timeout: flags.duration("web.read-timeout")?,
            },
            cors_origin: flags.read("web.cors.origin", GoRegex::new)?,
            page_title: flags.get("web.page-title").to_owned(),
            memory: given_bytes("memory")?.unwrap_or_else(memory::default_budget),
            features: flags
                .all("enable-feature")
                .iter()
                .flat_map(|list| list.split(','))
                .map(str::to_owned)
                .collect(),
            faces,
            flags: flags.clone(),
        })
    }
}

/// TLS of a Loki file as the file that guards all faces, in the folder of the data: it may hold a key.
fn write_web_config(folder: &Path, tls: &ServerTls) -> Result<PathBuf, String> {
    let file = folder.join("loki-web.yml");
    let write = || {
        fs::create_dir_all(folder)?;
        let mut options = fs::OpenOptions::new();
        let mut out = options.write(true).create(true).truncate(true).mode(0o600).open(&file)?;
        out.write_all(tls.web_config().as_bytes())
    };
    write().map(|()| file.clone()).map_err(|error: io::Error| format!("{}: {error}", file.display()))
}

/// What `serve` starts logs with.
fn logs(flags: &Flags, data: &Path) -> Result<LogsOptions, FlagError> {
    let named = flags.get("loki.config");
    let source = match LOKI_FILES.iter().find(|file| Path::new(file).is_file()) {
        _ if !named.is_empty() => LokiSource::File(Sources { files: named.to_owned(), ..Sources::default() }),
        Some(file) => LokiSource::File(Sources { files: (*file).to_owned(), ..Sources::default() }),
        None => LokiSource::BuiltIn,
    };
    let path = data.join("logs");
    let cold = match flags.get("logs.cold") {
        "" => data.join("logs-cold").to_string_lossy().into_owned(),
        place => place.to_owned(),
    };
    let after = flags.duration("logs.hot-for")?;
    let bytes = |text: &str| size::parse(text).map(|bytes| bytes.0);
    Ok(LogsOptions {
        source,
        path,
        cold: (!after.is_zero()).then_some((after, cold)),
        max_bytes: match flags.get("logs.max-size") {
            "" => None,
            _ => Some(flags.read("logs.max-size", bytes)?),
        },
        files: Some(flags.get("logs.files")).filter(|file| !file.is_empty()).map(PathBuf::from),
        own_lines: true,
    })
}

/// A `prometheus.yml` that scrapes nothing and sends alerts to these.
fn alertmanagers(urls: &[Url]) -> String {
    let mut text = "scrape_configs: []\n".to_owned();
    if !urls.is_empty() {
        text.push_str("alerting:\n  alertmanagers:\n");
    }
    for url in urls {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let host = url.host_str().unwrap_or("localhost");
        text.push_str(&format!(
            "  - scheme: {}\n    path_prefix: '{}'\n    static_configs: [{{targets: ['{host}{port}']}}]\n",
            url.scheme(),
            url.path().trim_end_matches('/'),
        ));
        if let Some(password) = url.password() {
            text.push_str(&format!(
                "    basic_auth: {{username: '{}', password: '{password}'}}\n",
                url.username()
            ));
        }
    }
    text
}

/// Level and form of log lines.
///
/// # Errors
/// [`FlagError::Value`] for names there are not.
pub fn logging(flags: &Flags) -> Result<(tracing::Level, LogFormat), FlagError> {
    let level = flags.read("log.level", |text| match text {
        "debug" => Ok(tracing::Level::DEBUG),
        "info" => Ok(tracing::Level::INFO),
        "warn" => Ok(tracing::Level::WARN),
        "error" => Ok(tracing::Level::ERROR),
        _ => Err("write debug, info, warn or error"),
    })?;
    let format = flags.read("log.format", |text| match text {
        "logfmt" => Ok(LogFormat::Logfmt),
        "json" => Ok(LogFormat::Json),
        _ => Err("write logfmt or json"),
    })?;
    Ok((level, format))
}

/// The file that was named, else the first of `usual` that exists, else what is built in.
fn find_config(named: &str, usual: &[&str], built_in: impl FnOnce() -> String) -> ConfigSource {
    if !named.is_empty() {
        return ConfigSource::File(named.into());
    }
    match usual.iter().find(|file| Path::new(file).is_file()) {
        Some(file) => ConfigSource::File((*file).into()),
        None => ConfigSource::BuiltIn(built_in()),
    }
}

/// Without a `prometheus.yml`: this server watches itself, and the host where its exporter runs.
fn built_in_prometheus(faces: &Faces) -> String {
    let mut text =
        "global:\n  scrape_interval: 15s\n  evaluation_interval: 15s\nscrape_configs:\n".to_owned();
    let mut job = |name: &str, address: &str| {
        text.push_str(&format!(
            "- job_name: {name}\n  static_configs:\n  - targets: ['{}']\n",
            reachable(address)
        ));
    };
    for address in &faces.prometheus {
        job("novaobs", address);
    }
    if let Some(address) = &faces.node {
        job("node", address);
    }
    text
}

/// Without an `alertmanager.yml`: alerts are grouped and shown, and sent nowhere.
const BUILT_IN_ALERTMANAGER: &str =
    "route: {receiver: shown, group_by: [alertname]}\nreceivers: [{name: shown}]\n";

/// An address to connect to, for one to listen on: `0.0.0.0:9090` is reached as `localhost:9090`.
pub fn reachable(listen: &str) -> String {
    let (host, port) = listen.rsplit_once(':').unwrap_or(("", listen));
    let host = if matches!(host, "" | "0.0.0.0" | "[::]") { "localhost" } else { host };
    format!("{host}:{port}")
}

/// The URL given, or this host's name and the first port; always ends with a slash.
fn external_url(given: &str, faces: &Faces) -> Result<Url, String> {
    let text = if given.is_empty() {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let address = faces.prometheus.first().map_or("0.0.0.0:9090", String::as_str);
        let port = address.rsplit_once(':').map_or("9090", |(_, port)| port);
        format!("http://{host}:{port}/")
    } else if given.contains("://") {
        format!("{}/", given.trim_end_matches('/'))
    } else {
        // The peer takes a bare path as well.
        format!("http://localhost/{}/", given.trim_matches('/'))
    };
    let url = Url::parse(&text)
        .map_err(|error| format!("{error}: write a URL such as https://metrics.example/prometheus"))?;
    if matches!(url.scheme(), "http" | "https") {
        Ok(url)
    } else {
        Err("write an http or https URL".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_urls_end_with_a_slash_and_name_a_host() {
        let faces = Faces { prometheus: vec!["0.0.0.0:9191".to_owned()], ..Faces::default() };
        let f = |given: &str| external_url(given, &faces).map(|url| url.to_string());
        assert!(f("").unwrap().ends_with(":9191/"));
        assert_eq!(f("https://x.example/prom").as_deref(), Ok("https://x.example/prom/"));
        assert_eq!(f("/prom").as_deref(), Ok("http://localhost/prom/"));
        assert!(f("ftp://x").is_err());
    }

    #[test]
    fn listening_everywhere_is_reached_here() {
        for (listen, reached) in [
            ("0.0.0.0:1", "localhost:1"),
            (":1", "localhost:1"),
            ("[::]:1", "localhost:1"),
            ("10.0.0.1:1", "10.0.0.1:1"),
        ] {
            assert_eq!(reachable(listen), reached);
        }
    }
}
