//! Rules over logs: a rule manager for each tenant, over the files in the tenant's folder.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use novaobs_api::loki::{RuleGroup, RuleStatus, RulesError, RulesStore};
use novaobs_config::{Document, Value, emit};
use novaobs_logql::QueryLimits;
use novaobs_model::logs::LogSource;
use novaobs_model::{AlertSink, Labels, Pool, SampleSink, SeriesSource, Tenant};
use novaobs_rules::{GroupSnapshot, LogQl, RuleConfig, RuleManager, RuleOptions};
use parking_lot::{Mutex, RwLock};
use prometheus::Registry;
use tokio::runtime::Handle;

use crate::prometheus_config::log_warnings;

/// Ending of files that are being written.
const UNFINISHED: &str = "new";
/// How often folders are looked at, unless the configuration says otherwise.
pub(super) const POLL: Duration = Duration::from_secs(60);

/// What rules over logs are evaluated with.
pub(super) struct Parts {
    /// Where entries are read.
    pub(super) source: Arc<dyn LogSource>,
    /// Where recorded series go.
    pub(super) sink: Arc<dyn SampleSink>,
    /// Where the state of alerts is read back.
    pub(super) series: Arc<dyn SeriesSource>,
    /// Where alerts go.
    pub(super) alerts: Arc<dyn AlertSink>,
    /// What evaluations may take.
    pub(super) pool: Pool,
    /// Where metrics are shown.
    pub(super) registry: Registry,
    /// Folder of the alerts' state.
    pub(super) state: PathBuf,
}

/// What a configuration says about rules over logs.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// `<folder>/<tenant>/<namespace>`; none: there are no rules.
    pub(super) folder: Option<PathBuf>,
    /// Between evaluations where a group says nothing.
    pub(super) interval: Duration,
    /// Added to alerts.
    pub(super) external_labels: Labels,
    /// Where alerts link to.
    pub(super) external_url: String,
    /// Longest outage after which `for` is restored.
    pub(super) outage_tolerance: Duration,
    /// Least time between restoring and firing.
    pub(super) grace_period: Duration,
    /// Between two sends of a firing alert.
    pub(super) resend_delay: Duration,
    /// How long one evaluation may take.
    pub(super) timeout: Duration,
    /// Bounds on a result.
    pub(super) limits: QueryLimits,
}

/// All rules over logs.
pub(super) struct LogRules {
    parts: Parts,
    settings: RwLock<Settings>,
    managers: Mutex<BTreeMap<Tenant, RuleManager>>,
    /// One change at a time.
    applying: tokio::sync::Mutex<()>,
    runtime: Handle,
}

impl LogRules {
    /// No rules yet: [`LogRules::apply`] loads them.
    pub(super) fn new(parts: Parts, settings: Settings, runtime: Handle) -> Arc<LogRules> {
        Arc::new(LogRules {
            parts,
            settings: RwLock::new(settings),
            managers: Mutex::default(),
            applying: tokio::sync::Mutex::default(),
            runtime,
        })
    }

    /// Takes new settings and loads all files again.
    ///
    /// # Errors
    /// The faults of files, all of them; tenants whose files are right have their new rules.
    pub(super) async fn apply(&self, settings: Settings) -> Result<(), String> {
        *self.settings.write() = settings;
        self.reload().await
    }

    /// Loads all files again.
    ///
    /// # Errors
    /// As [`LogRules::apply`].
    pub(super) async fn reload(&self) -> Result<(), String> {
        let _one_at_a_time = self.applying.lock().await;
        let settings = self.settings.read().clone();
        let mut files = settings.folder.as_deref().map(tenants_with_files).unwrap_or_default();
        // Tenants whose files are gone lose their rules.
        for tenant in self.managers.lock().keys() {
            files.entry(tenant.clone()).or_default();
        }
        let mut faults = Vec::new();
        for (tenant, files) in files {
            let manager = match self.manager(&tenant, &settings) {
                Ok(manager) => manager,
                Err(error) => {
                    faults.push(format!("rules of tenant {tenant}: {error}"));
                    continue;
                }
            };
            let config = RuleConfig {
                files,
                interval: settings.interval,
                query_offset: Duration::ZERO,
                external_labels: settings.external_labels.clone(),
                external_url: settings.external_url.clone(),
            };
            match manager.apply(config).await {
                Ok(warnings) => log_warnings(&warnings),
                Err(error) => faults.push(error.to_string()),
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
    }

    fn manager(&self, tenant: &Tenant, settings: &Settings) -> Result<RuleManager, String> {
        if let Some(manager) = self.managers.lock().get(tenant) {
            return Ok(manager.clone());
        }
        let language = LogQl {
            source: self.parts.source.clone(),
            tenant: tenant.clone(),
            pool: self.parts.pool.clone(),
            timeout: settings.timeout,
            limits: settings.limits,
        };
        let options = RuleOptions {
            language: Arc::new(language),
            sink: self.parts.sink.clone(),
            source: self.parts.series.clone(),
            alerts: self.parts.alerts.clone(),
            outage_tolerance: settings.outage_tolerance,
            grace_period: settings.grace_period,
            resend_delay: settings.resend_delay,
            max_concurrent_evals: 4,
            keep_file: Some(self.parts.state.join(format!("keep_firing_logs_{tenant}.json"))),
        };
        // The names are the peer's: those of the rules of metrics behind a prefix, by tenant.
        let labels = [("tenant".to_owned(), tenant.to_string())].into();
        let own = Registry::new_custom(Some("loki".to_owned()), Some(labels)).map_err(|e| e.to_string())?;
        let manager = RuleManager::new(options, &own, self.runtime.clone()).map_err(|e| e.to_string())?;
        if let Err(error) = self.parts.registry.register(Box::new(Nested(own))) {
            tracing::warn!(%tenant, %error, "metrics of the tenant's rules are not shown");
        }
        manager.start();
        self.managers.lock().insert(tenant.clone(), manager.clone());
        Ok(manager)
    }

    /// Stops all groups.
    pub(super) async fn stop(&self) {
        let managers: Vec<RuleManager> = self.managers.lock().values().cloned().collect();
        for manager in managers {
            manager.stop().await;
        }
    }

    fn folder(&self, tenant: &Tenant) -> Result<PathBuf, RulesError> {
        let folder = self.settings.read().folder.clone();
        let folder = folder.ok_or_else(|| {
            RulesError::ReadOnly(
                "there is no folder of rules: write ruler.storage.local.directory".to_owned(),
            )
        })?;
        Ok(folder.join(tenant.as_str()))
    }

    /// Runs what the files say now; the change itself is made already.
    fn changed(&self) -> Result<(), RulesError> {
        self.runtime.block_on(self.reload()).map_err(RulesError::Failed)
    }

    fn write(&self, tenant: &Tenant, namespace: &str, groups: &[RuleGroup]) -> Result<(), RulesError> {
        let folder = self.folder(tenant)?;
        let file = folder.join(file_name(namespace));
        let failed = |error: io::Error| RulesError::Failed(format!("{}: {error}", file.display()));
        if groups.is_empty() {
            return fs::remove_file(&file).map_err(failed);
        }
        fs::create_dir_all(&folder).map_err(failed)?;
        let temporary = folder.join(format!("{}.{UNFINISHED}", file_name(namespace)));
        fs::write(&temporary, file_text(groups)).map_err(failed)?;
        fs::rename(&temporary, &file).map_err(failed)
    }
}

impl RulesStore for LogRules {
    fn all(&self, tenant: &Tenant) -> Result<BTreeMap<String, Vec<RuleGroup>>, RulesError> {
        let folder = self.folder(tenant)?;
        let mut all = BTreeMap::new();
        for file in rule_files(&folder) {
            let failed = |error: String| RulesError::Failed(format!("{}: {error}", file.display()));
            let text = fs::read_to_string(&file).map_err(|error| failed(error.to_string()))?;
            let groups = groups_of(&file.to_string_lossy(), &text).map_err(failed)?;
            all.insert(namespace_of(&file), groups);
        }
        Ok(all)
    }

    fn put(&self, tenant: &Tenant, namespace: &str, group: &RuleGroup) -> Result<(), RulesError> {
        let mut groups = self.all(tenant)?.remove(namespace).unwrap_or_default();
        match groups.iter_mut().find(|there| there.name == group.name) {
            Some(there) => there.clone_from(group),
            None => groups.push(group.clone()),
        }
        self.write(tenant, namespace, &groups)?;
        self.changed()
    }

    fn delete_group(&self, tenant: &Tenant, namespace: &str, group: &str) -> Result<bool, RulesError> {
        let mut groups = self.all(tenant)?.remove(namespace).unwrap_or_default();
        let before = groups.len();
        groups.retain(|there| there.name != group);
        if groups.len() == before {
            return Ok(false);
        }
        self.write(tenant, namespace, &groups)?;
        self.changed()?;
        Ok(true)
    }

    fn delete_namespace(&self, tenant: &Tenant, namespace: &str) -> Result<bool, RulesError> {
        if !self.all(tenant)?.contains_key(namespace) {
            return Ok(false);
        }
        self.write(tenant, namespace, &[])?;
        self.changed()?;
        Ok(true)
    }
}

impl RuleStatus for LogRules {
    fn groups(&self, tenant: &Tenant) -> Vec<GroupSnapshot> {
        let manager = self.managers.lock().get(tenant).cloned();
        let mut groups = manager.map(|manager| manager.groups()).unwrap_or_default();
        for group in &mut groups {
            group.file = namespace_of(Path::new(&group.file));
        }
        groups
    }
}

/// The metrics of one registry within another.
struct Nested(Registry);

impl prometheus::core::Collector for Nested {
    fn desc(&self) -> Vec<&prometheus::core::Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<prometheus::proto::MetricFamily> {
        self.0.gather()
    }
}

/// Files of each tenant.
fn tenants_with_files(folder: &Path) -> BTreeMap<Tenant, Vec<PathBuf>> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    folders
        .map(|entry| (Tenant::new(&entry.file_name().to_string_lossy()), rule_files(&entry.path())))
        .filter(|(_, files)| !files.is_empty())
        .collect()
}

fn rule_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_rules = |path: &PathBuf| {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        path.is_file() && !hidden && path.extension().is_none_or(|ending| ending != UNFINISHED)
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_rules).collect();
    files.sort();
    files
}

/// The groups of a rule file.
fn groups_of(file: &str, text: &str) -> Result<Vec<RuleGroup>, String> {
    let document = Document::parse(file, text).map_err(|error| error.to_string())?;
    let Some(Value::Sequence(groups)) = document.root().get("groups").map(|node| &node.value) else {
        return Ok(Vec::new());
    };
    let group = |node| RuleGroup::read(&emit(node)).ok_or_else(|| "a group is no rule group".to_owned());
    groups.iter().map(group).collect()
}

/// A rule file with these groups.
fn file_text(groups: &[RuleGroup]) -> String {
    let mut text = "groups:\n".to_owned();
    for group in groups {
        for (at, line) in group.yaml().lines().enumerate() {
            text.push_str(if at == 0 { "- " } else { "  " });
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// A file whose name says the namespace; what a file name cannot hold is written as in URLs.
fn file_name(namespace: &str) -> String {
    let mut name = String::new();
    for byte in namespace.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && !name.is_empty()) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    name
}

fn namespace_of(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let escaped = (*first == b'%')
            .then(|| more.get(..2))
            .flatten()
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = more.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_groups_read_back() {
        let group = "name: g\ninterval: 1m\nrules:\n- alert: A\n  expr: |-\n    sum(\n    rate({a=\"b\"}[5m]))\n  for: 5m\n";
        let groups = vec![RuleGroup::read(group).unwrap(), RuleGroup::read("name: h").unwrap()];
        let text = file_text(&groups);
        assert_eq!(groups_of("r", &text).unwrap(), groups, "{text}");
        assert_eq!(groups_of("r", "").unwrap(), []);
    }

    #[test]
    fn namespaces_are_file_names_and_back() {
        for (namespace, name) in [
            ("team-a", "team-a"),
            ("a/b", "a%2Fb"),
            ("..", "%2E."),
            ("rules.yml", "rules.yml"),
            ("ü", "%C3%BC"),
            ("100%", "100%25"),
        ] {
            assert_eq!(file_name(namespace), name);
            assert_eq!(namespace_of(Path::new(name)), namespace);
        }
        assert_eq!(namespace_of(Path::new("/x/rules.yml")), "rules.yml");
        assert_eq!(namespace_of(Path::new("100%")), "100%");
    }
}
