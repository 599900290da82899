//! Which limits a tenant has now: those of the main file, changed by the runtime file.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use novaobs_config::{ConfigError, Cursor, Document, Fields, Node, Problem, UnknownKeys};
use novaobs_model::Tenant;
use parking_lot::{Mutex, RwLock};
use prometheus::{IntGauge, Registry};

use crate::limits::Limits;

const RELOAD_OK: &str = "loki_runtime_config_last_reload_successful";

/// The limits of all tenants.
///
/// Asking is cheap and never waits for a file. [`Tenants::refresh`] reads the runtime files, so it blocks on
/// file I/O; one caller does it now and then.
pub struct Tenants {
    defaults: Arc<Limits>,
    overrides: RwLock<Overrides>,
    files: Vec<PathBuf>,
    /// What the files said when they were last read, good or bad.
    seen: Mutex<Vec<Vec<u8>>>,
    /// Whether the last reading was used.
    ok: AtomicBool,
    gauge: Option<IntGauge>,
}

type Overrides = Arc<HashMap<Tenant, Arc<Limits>>>;

/// What looking at the runtime files led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// They say what they said before.
    Unchanged,
    /// New limits are in force.
    Changed,
    /// They cannot be used, the log says why; what they said before is in force.
    Kept,
}

impl Tenants {
    /// The same limits for everyone.
    pub fn fixed(defaults: Limits) -> Self {
        Tenants {
            defaults: Arc::new(defaults),
            overrides: RwLock::default(),
            files: Vec::new(),
            seen: Mutex::default(),
            ok: AtomicBool::new(true),
            gauge: None,
        }
    }

    /// Limits with the overrides of `files`, a later file changing what an earlier one says of a tenant.
    /// Warnings go to the log; `loki_runtime_config_last_reload_successful` goes to `registry`.
    ///
    /// # Errors
    /// When a file is missing or wrong.
    pub fn open(defaults: Limits, files: Vec<PathBuf>, registry: &Registry) -> Result<Self, ConfigError> {
        let mut tenants = Tenants { files, ..Tenants::fixed(defaults) };
        if tenants.files.is_empty() {
            return Ok(tenants);
        }
        let help = "Whether the last reload of the runtime configuration was successful.";
        match prometheus::register_int_gauge_with_registry!(RELOAD_OK, help, registry) {
            Ok(gauge) => tenants.gauge = Some(gauge),
            Err(error) => tracing::warn!(%error, "{RELOAD_OK} is not shown"),
        }
        let texts = tenants.texts()?;
        tenants.put(&texts)?;
        *tenants.seen.lock() = texts;
        tenants.set_ok(true);
        Ok(tenants)
    }

    /// The limits of a tenant.
    pub fn limits_for(&self, tenant: &Tenant) -> Arc<Limits> {
        self.overrides.read().get(tenant).unwrap_or(&self.defaults).clone()
    }

    /// The limits of tenants without overrides.
    pub fn defaults(&self) -> &Arc<Limits> {
        &self.defaults
    }

    /// Tenants with limits of their own, sorted.
    pub fn overridden(&self) -> Vec<(Tenant, Arc<Limits>)> {
        let overrides = self.overrides.read().clone();
        let mut all: Vec<_> =
            overrides.iter().map(|(tenant, limits)| (tenant.clone(), limits.clone())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// Reads the runtime files again and puts them in force if they changed. A file that is gone or wrong
    /// leaves everything as it is and is named in the log, once per change.
    pub fn refresh(&self) -> Refreshed {
        let texts = match self.texts() {
            Ok(texts) => texts,
            Err(error) => return self.keep(&error, Vec::new()),
        };
        if *self.seen.lock() == texts {
            return Refreshed::Unchanged;
        }
        match self.put(&texts) {
            Ok(()) => {
                *self.seen.lock() = texts;
                self.set_ok(true);
                tracing::info!(files = ?self.files, "runtime configuration loaded");
                Refreshed::Changed
            }
            Err(error) => self.keep(&error, texts),
        }
    }

    /// The page `/runtime_config`: the overrides in force.
    pub fn overrides_node(&self) -> Node {
        let overrides = self
            .overridden()
            .iter()
            .fold(Fields::new(), |fields, (tenant, limits)| fields.field(tenant.as_str(), limits.as_ref()));
        Fields::new().field("overrides", &overrides.node()).node()
    }

    fn set_ok(&self, ok: bool) {
        self.ok.store(ok, Ordering::Relaxed);
        if let Some(gauge) = &self.gauge {
            gauge.set(i64::from(ok));
        }
    }

    fn keep(&self, error: &ConfigError, texts: Vec<Vec<u8>>) -> Refreshed {
        let mut seen = self.seen.lock();
        if *seen != texts || self.ok.load(Ordering::Relaxed) {
            tracing::error!(%error, "runtime configuration not loaded: what was loaded before stays in force");
            *seen = texts;
            self.set_ok(false);
        }
        Refreshed::Kept
    }

    fn texts(&self) -> Result<Vec<Vec<u8>>, ConfigError> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|error| {
                let message = format!("cannot read the runtime configuration: {error}");
                ConfigError::of_file(&path.display().to_string(), message)
            })
        };
        self.files.iter().map(read).collect()
    }

    fn put(&self, texts: &[Vec<u8>]) -> Result<(), ConfigError> {
        let mut overrides = HashMap::new();
        for (path, bytes) in self.files.iter().zip(texts) {
            let name = path.display().to_string();
            let text = std::str::from_utf8(bytes).map_err(|error| {
                ConfigError::of_file(&name, format!("not UTF-8 at byte {}", error.valid_up_to()))
            })?;
            let document = Document::parse(&name, text)?;
            let loaded = document.read(UnknownKeys::Warn, |at| read(at, &self.defaults, &mut overrides))?;
            log(&loaded.warnings);
        }
        *self.overrides.write() = Arc::new(overrides);
        Ok(())
    }
}

fn read(at: &Cursor<'_>, defaults: &Arc<Limits>, overrides: &mut HashMap<Tenant, Arc<Limits>>) -> Option<()> {
    let mut map = at.mapping();
    if let Some(at) = map.take("overrides") {
        for (name, at) in at.entries()? {
            let tenant = Tenant::new(name);
            let base = overrides.get(&tenant).unwrap_or(defaults).clone();
            if let Some(limits) = Limits::read_override(&at, &base) {
                overrides.insert(tenant, Arc::new(limits));
            }
        }
    }
    for key in ["configs", "multi_kv_config"] {
        map.obsolete(key, "only overrides of limits are read from this file");
    }
    map.finish();
    Some(())
}

fn log(warnings: &[Problem]) {
    for warning in warnings {
        tracing::warn!(place = %warning.position, "{}", warning.message);
    }
}

impl std::fmt::Debug for Tenants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tenants").field("files", &self.files).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use novaobs_config::emit;

    use super::*;

    fn write(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn series(tenants: &Tenants, tenant: &str) -> usize {
        tenants.limits_for(&Tenant::new(tenant)).max_query_series
    }

    #[test]
    fn overrides_lie_on_top_of_the_defaults_and_follow_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(&folder, "overrides.yaml", "overrides: {a: {max_query_series: 7}, b: }\n");
        let defaults = Limits { max_label_names_per_series: 30, ..Limits::default() };
        let tenants = Tenants::open(defaults, vec![path], &Registry::new()).unwrap();
        assert_eq!((series(&tenants, "a"), series(&tenants, "b"), series(&tenants, "c")), (7, 500, 500));
        assert_eq!(tenants.limits_for(&Tenant::new("a")).max_label_names_per_series, 30);
        assert_eq!(tenants.refresh(), Refreshed::Unchanged);
        write(&folder, "overrides.yaml", "overrides: {c: {max_query_series: 9}}\n");
        assert_eq!(tenants.refresh(), Refreshed::Changed);
        assert_eq!((series(&tenants, "a"), series(&tenants, "c")), (500, 9));
        assert!(emit(&tenants.overrides_node()).starts_with("overrides:\n  c:\n    ingestion_rate_mb: 4\n"));
    }

    #[test]
    fn a_bad_file_keeps_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(&folder, "overrides.yaml", "overrides: {a: {max_query_series: 7}}\n");
        let registry = Registry::new();
        let tenants = Tenants::open(Limits::default(), vec![path.clone()], &registry).unwrap();
        let ok = || registry.gather().first().unwrap().get_metric().first().unwrap().get_gauge().get_value();
        assert_eq!(ok(), 1.0);
        write(&folder, "overrides.yaml", "overrides: {a: {max_query_series: many}}\n");
        assert_eq!((tenants.refresh(), series(&tenants, "a"), ok()), (Refreshed::Kept, 7, 0.0));
        std::fs::remove_file(&path).unwrap();
        assert_eq!((tenants.refresh(), series(&tenants, "a")), (Refreshed::Kept, 7));
        write(&folder, "overrides.yaml", "overrides: {a: {max_query_series: 8}}\n");
        assert_eq!((tenants.refresh(), series(&tenants, "a"), ok()), (Refreshed::Changed, 8, 1.0));
    }

    #[test]
    fn a_file_restored_after_a_fault_counts_as_good_again() {
        let folder = tempfile::tempdir().unwrap();
        let good = "overrides: {a: {max_query_series: 7}}\n";
        let path = write(&folder, "overrides.yaml", good);
        let tenants = Tenants::open(Limits::default(), vec![path], &Registry::new()).unwrap();
        write(&folder, "overrides.yaml", "overrides: [");
        assert_eq!(tenants.refresh(), Refreshed::Kept);
        write(&folder, "overrides.yaml", good);
        assert_eq!((tenants.refresh(), tenants.ok.load(Ordering::Relaxed)), (Refreshed::Changed, true));
    }

    #[test]
    fn later_files_change_earlier_ones() {
        let folder = tempfile::tempdir().unwrap();
        let first =
            write(&folder, "1.yaml", "overrides: {a: {max_query_series: 7, minimum_labels_number: 2}}\n");
        let second = write(&folder, "2.yaml", "overrides: {a: {max_query_series: 9}}\n");
        let tenants = Tenants::open(Limits::default(), vec![first, second], &Registry::new()).unwrap();
        let limits = tenants.limits_for(&Tenant::new("a"));
        assert_eq!((limits.max_query_series, limits.minimum_labels_number), (9, 2));
    }

    #[test]
    fn a_start_with_a_bad_or_missing_file_fails_and_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(&folder, "overrides.yaml", "overrides:\n  a: {max_query_series: x}\n");
        let error = Tenants::open(Limits::default(), vec![path], &Registry::new()).unwrap_err().to_string();
        assert!(
            error.contains("overrides.yaml:2:25: overrides.a.max_query_series: expected a whole number"),
            "{error}"
        );
        let missing = folder.path().join("none.yaml");
        let error =
            Tenants::open(Limits::default(), vec![missing], &Registry::new()).unwrap_err().to_string();
        assert!(error.contains("none.yaml: cannot read the runtime configuration"), "{error}");
    }
}
