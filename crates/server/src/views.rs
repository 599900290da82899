//! What the API shows of this process: the stack behind the API's view traits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use futures::FutureExt;
use futures::future::BoxFuture;
use novaobs_api::prometheus::{
    AlertmanagersView, BuildInfo, HeadStats, Lifecycle, NameValue, RulesView, RuntimeInfo, StatusView,
    TargetsView, TsdbStatus,
};
use novaobs_model::{Labels, duration};
use novaobs_rules::GroupSnapshot;
use novaobs_scrape::{TargetMetadata, Targets};
use tokio_util::sync::CancellationToken;

use crate::stack::Stack;

/// The version of Prometheus whose API this is: clients choose what they ask for by it.
const API_VERSION: &str = "3.5.0";

/// The stack as the API sees it.
pub struct Views {
    /// What is shown.
    pub stack: Arc<Stack>,
    /// Cancelled to end the process.
    pub stop: CancellationToken,
}

impl TargetsView for Views {
    fn targets(&self) -> Targets {
        self.stack.scrape.targets()
    }

    fn metadata(&self) -> Vec<TargetMetadata> {
        self.stack.scrape.metadata()
    }

    fn scrape_pools(&self) -> Vec<String> {
        self.stack.scrape.scrape_pools()
    }
}

impl RulesView for Views {
    fn groups(&self) -> Vec<GroupSnapshot> {
        self.stack.rules.groups()
    }
}

impl AlertmanagersView for Views {
    fn active(&self) -> Vec<String> {
        self.stack.notifier.alertmanagers().active
    }

    fn dropped(&self) -> Vec<String> {
        self.stack.notifier.alertmanagers().dropped
    }
}

impl Lifecycle for Views {
    fn reload(&self) -> BoxFuture<'_, Result<(), String>> {
        self.stack.reload().map(|outcome| outcome.map_err(|error| error.to_string())).boxed()
    }

    fn quit(&self) -> bool {
        let first = !self.stop.is_cancelled();
        self.stop.cancel();
        first
    }
}

impl StatusView for Views {
    fn config(&self) -> String {
        self.stack.config().prometheus.yaml.clone()
    }

    fn flags(&self) -> BTreeMap<String, String> {
        self.stack.options.flags.to_map()
    }

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

    fn runtime_info(&self) -> RuntimeInfo {
        let config = self.stack.config();
        let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
        RuntimeInfo {
            start_time: milliseconds(self.stack.started),
            cwd: std::env::current_dir().map(|path| path.display().to_string()).unwrap_or_default(),
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            server_time: milliseconds(SystemTime::now()),
            reload_config_success: config.last_reload_worked,
            last_config_time: milliseconds(config.at),
            corruption_count: counter(&self.stack.registry, "prometheus_tsdb_wal_corruptions_total"),
            goroutine_count: threads,
            gomaxprocs: std::thread::available_parallelism().map_or(1, usize::from),
            gomemlimit: i64::try_from(self.stack.options.memory).unwrap_or(i64::MAX),
            gogc: String::new(),
            godebug: String::new(),
            storage_retention: self.retention(),
        }
    }

    fn external_labels(&self) -> Labels {
        self.stack.config().prometheus.global.external_labels.clone()
    }

    fn tsdb(&self, limit: usize) -> Result<TsdbStatus, String> {
        let stats = self.stack.store.stats(limit);
        let list = |counted: Vec<novaobs_tsdb::Counted>| {
            counted.into_iter().map(|one| NameValue { name: one.name, value: one.value }).collect()
        };
        Ok(TsdbStatus {
            head_stats: HeadStats {
                num_series: stats.series,
                num_label_pairs: stats.label_pairs,
                chunk_count: stats.chunks,
                // The peer's empty head shows the extremes of the type.
                min_time: stats.min_time.unwrap_or(i64::MAX),
                max_time: stats.max_time.unwrap_or(i64::MIN),
            },
            series_count_by_metric_name: list(stats.series_by_metric),
            label_value_count_by_label_name: list(stats.values_by_label),
            memory_in_bytes_by_label_name: list(stats.bytes_by_label),
            series_count_by_label_value_pair: list(stats.series_by_pair),
        })
    }

    fn refresh_metrics(&self) {
        self.stack.scrape.refresh_metrics();
        if let Some(alertmanager) = &self.stack.alertmanager {
            alertmanager.update_gauges();
        }
    }
}

impl Views {
    /// `15d`, `10GiB` or `15d or 10GiB`.
    fn retention(&self) -> String {
        let settings = self.stack.store.settings();
        let time = settings.retention_time.map(duration::format);
        let size = settings.retention_size.map(|bytes| novaobs_config::size::Bytes(bytes).to_string());
        let both: Vec<String> = time.into_iter().chain(size).collect();
        both.join(" or ")
    }
}

fn milliseconds(time: SystemTime) -> Option<i64> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}

/// The value of a counter without labels, as it is registered.
fn counter(registry: &prometheus::Registry, name: &str) -> u64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == name);
    family
        .and_then(|family| family.get_metric().first())
        .map_or(0, |metric| metric.get_counter().get_value() as u64)
}
