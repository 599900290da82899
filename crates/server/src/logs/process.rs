//! What Loki's administrative pages show of this process.

use std::sync::Arc;

use novaobs_api::loki::{BuildInfo, ProcessView};
use novaobs_config::{Node, Value};
use novaobs_events::Events;
use novaobs_model::Tenant;
use novaobs_tenants::Tenants;
use tokio_util::sync::CancellationToken;
use tracing::Level;

use crate::logging;
use crate::loki_config::LokiConfig;

/// The version of Loki whose API this is: Grafana and logcli choose what they ask for by it.
pub(super) const API_VERSION: &str = "3.7.0";

/// The process behind the Loki face.
pub(super) struct Process {
    /// Its configuration.
    pub config: Arc<LokiConfig>,
    /// Limits of tenants.
    pub tenants: Arc<Tenants>,
    /// Its store.
    pub store: Arc<Events>,
    /// Cancelled to end the process.
    pub stop: CancellationToken,
}

/// A node as JSON: numbers and booleans where they stand without quotes.
fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Scalar { text, plain: true } => {
            serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into())
        }
        Value::Scalar { text, plain: false } => text.as_str().into(),
        Value::Sequence(items) => items.iter().map(json).collect(),
        Value::Mapping(entries) => {
            entries.iter().map(|entry| (entry.key.clone(), json(&entry.value))).collect()
        }
    }
}

impl ProcessView for Process {
    fn config(&self) -> String {
        self.config.page("")
    }

    fn default_config(&self) -> String {
        self.config.page("defaults")
    }

    fn config_diffs(&self) -> String {
        self.config.page("diffs")
    }

    fn published_limits(&self, tenant: &Tenant) -> serde_json::Map<String, serde_json::Value> {
        let node = self.tenants.limits_for(tenant).published(&self.config.tenant_limits_allow_publish);
        match json(&node) {
            serde_json::Value::Object(limits) => limits,
            _ => serde_json::Map::new(),
        }
    }

    fn services(&self) -> Vec<(String, String)> {
        // The peer's names of what runs here.
        let names =
            ["server", "store", "ingester", "distributor", "querier", "query-frontend", "compactor", "ruler"];
        names.iter().map(|name| ((*name).to_owned(), "Running".to_owned())).collect()
    }

    fn ready(&self) -> Result<(), String> {
        // The face is opened when everything behind it stands.
        if self.stop.is_cancelled() { Err("the process is stopping".to_owned()) } else { Ok(()) }
    }

    fn log_level(&self) -> String {
        logging::level().to_string().to_lowercase()
    }

    fn set_log_level(&self, level: &str) -> Result<(), String> {
        let level = match level {
            "debug" => Level::DEBUG,
            "info" => Level::INFO,
            "warn" => Level::WARN,
            "error" => Level::ERROR,
            _ => return Err(format!("unrecognized log level {level:?}: write debug, info, warn or error")),
        };
        logging::set_level(level)
    }

    fn flush(&self) -> Result<(), String> {
        self.store.flush().map_err(|error| error.to_string())
    }

    fn shutdown(&self) {
        self.stop.cancel();
    }

    fn refresh_metrics(&self) {}

    fn build_info(&self) -> BuildInfo {
        BuildInfo {
            version: API_VERSION.to_owned(),
            revision: format!("novaobs {}", env!("CARGO_PKG_VERSION")),
            branch: "main".to_owned(),
            build_user: "novaobs".to_owned(),
            build_date: String::new(),
            go_version: format!("rust {}", env!("CARGO_PKG_RUST_VERSION")),
        }
    }
}
