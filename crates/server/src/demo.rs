//! `novaobs demo`: a configuration that watches this machine, written where its user can edit it.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::Path;

use crate::flags::Flags;
use crate::options::{ConfigSource, Options, reachable};

const PROMETHEUS: &str = include_str!("../../../deployment/demo/prometheus.yml");
const RULES: &str = include_str!("../../../deployment/demo/rules.yml");
const LOG_FILES: &str = include_str!("../../../deployment/demo/files.yml");
const ALERTMANAGER: &str = include_str!("../../../deployment/demo/alertmanager.yml");
/// node_exporter's own port: what watches this machine is found where people look for it.
const NODE: &str = "127.0.0.1:9100";

/// Fills in what the demo has and `serve` has not: the host exporter and the demo's files.
///
/// # Errors
/// When the files cannot be written.
pub fn prepare(options: &mut Options, flags: &Flags) -> io::Result<()> {
    if !flags.given("node.listen") {
        // An exporter that is there already is as good as ours.
        let is_free = TcpListener::bind(NODE).is_ok();
        options.faces.node = is_free.then(|| NODE.to_owned());
        if !is_free {
            tracing::info!("port 9100 is taken: the exporter there is scraped");
        }
    }
    let node = options.faces.node.clone().unwrap_or_else(|| NODE.to_owned());
    let folder = Path::new(flags.get("data")).join("demo");
    fs::create_dir_all(&folder)?;
    let own = options.faces.prometheus.first().map_or("localhost:9090".to_owned(), |at| reachable(at));
    let prometheus =
        PROMETHEUS.replace("NODE_ADDRESS", &reachable(&node)).replace("PROMETHEUS_ADDRESS", &own);
    let files = [
        ("prometheus.yml", prometheus.as_str()),
        ("rules.yml", RULES),
        ("alertmanager.yml", ALERTMANAGER),
        ("files.yml", LOG_FILES),
    ];
    for (name, text) in files {
        let file = folder.join(name);
        if !file.exists() {
            fs::write(file, text)?;
        }
    }
    if !flags.given("prometheus.config") {
        options.prometheus = ConfigSource::File(folder.join("prometheus.yml"));
    }
    if !flags.given("alertmanager.config") {
        options.alertmanager = Some(ConfigSource::File(folder.join("alertmanager.yml")));
    }
    if let Some(logs) = options.logs.as_mut().filter(|logs| logs.files.is_none()) {
        logs.files = Some(folder.join("files.yml"));
    }
    Ok(())
}

/// What a person who started the demo wants to know.
pub fn where_to_look(options: &Options) -> String {
    let mut text = String::from("\nnovaobs is running. Look at:\n\n");
    let mut row = |what: &str, address: Option<&str>, path: &str| {
        if let Some(address) = address {
            text.push_str(&format!("  {what:<22} http://{}{path}\n", reachable(address)));
        }
    };
    let pages = options.faces.grafana.as_deref();
    row("Explore this machine", pages, "/explore");
    row("Targets", pages, "/targets");
    row("Alerts", pages, "/alerts");
    row("Prometheus API", options.faces.prometheus.first().map(String::as_str), "/api/v1/query?query=up");
    row("Loki API", options.faces.loki.as_deref(), "/loki/api/v1/labels");
    row("Alertmanager API", options.faces.alertmanager.as_deref(), "/api/v2/status");
    row("Host metrics", options.faces.node.as_deref(), "/metrics");
    if let ConfigSource::File(file) = &options.prometheus {
        let folder = file.parent().unwrap_or(Path::new(".")).display();
        text.push_str(&format!(
            "\nIts configuration is in {folder}: edit it, changes load within seconds.\n"
        ));
    }
    text.push_str("Ctrl+C stops it; the data stays.\n");
    text
}
