//! `prometheus.yml`: the sections that other crates read, composed into one value.

use std::path::{Path, PathBuf};
use std::time::Duration;

use novaobs_config::{
    ConfigError, Cursor, Document, Fields, Loaded, Node, Problem, ToNode, UnknownKeys, Value, emit, size,
    value,
};
use novaobs_notifier::AlertingConfig;
use novaobs_scrape::{Global, ScrapeConfig};

/// A whole configuration.
#[derive(Clone, Debug)]
pub struct PrometheusConfig {
    /// `global`.
    pub global: Global,
    /// `scrape_configs`, those of `scrape_config_files` included.
    pub scrape_configs: Vec<ScrapeConfig>,
    /// `rule_files` as written, relative to the file's folder.
    pub rule_globs: Vec<PathBuf>,
    /// `alerting`.
    pub alerting: AlertingConfig,
    /// `storage.tsdb`.
    pub storage: StorageConfig,
    /// Every file that was read, and the patterns that may name more: what a watcher looks at.
    pub sources: Vec<PathBuf>,
    /// The configuration as loaded, secrets hidden.
    pub yaml: String,
}

/// `storage.tsdb`. What is set here beats the flags.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StorageConfig {
    /// `path`: a folder; novaobs' own, the peer has it as a flag only.
    pub path: Option<PathBuf>,
    /// `retention.time`.
    pub retention_time: Option<Duration>,
    /// `retention.size`, bytes.
    pub retention_size: Option<u64>,
    /// `retention.percentage` of the disk.
    pub retention_percentage: Option<f64>,
    /// `out_of_order_time_window`.
    pub out_of_order_window: Duration,
}

impl PrometheusConfig {
    /// Loads a file with all the files it names but the rules.
    ///
    /// # Errors
    /// Every error of the first file that has any.
    pub fn load(path: &Path) -> Result<Loaded<PrometheusConfig>, ConfigError> {
        let document = Document::load(path)?;
        PrometheusConfig::read(&document, path)
    }

    /// Reads the text of a built-in configuration, which names no files.
    ///
    /// # Errors
    /// As [`PrometheusConfig::load`].
    pub fn built_in(text: &str) -> Result<Loaded<PrometheusConfig>, ConfigError> {
        let mut loaded =
            PrometheusConfig::read(&Document::parse("built-in prometheus.yml", text)?, Path::new(""))?;
        loaded.value.sources.clear();
        Ok(loaded)
    }

    fn read(document: &Document, path: &Path) -> Result<Loaded<PrometheusConfig>, ConfigError> {
        let Loaded { value: mut sections, mut warnings } =
            document.read(UnknownKeys::Warn, Sections::read)?;
        let mut sources = vec![path.to_owned()];
        for pattern in &sections.scrape_globs {
            sources.push(pattern.clone());
            for file in matching_files(pattern) {
                let document = Document::load(&file)?;
                let loaded = document.read(UnknownKeys::Warn, |at| {
                    let mut map = at.mapping();
                    let read =
                        |at: &Cursor<'_>| ScrapeConfig::read_list(at, &sections.global, &mut sections.names);
                    let jobs = map.optional("scrape_configs", read);
                    map.finish();
                    Some(jobs.unwrap_or_default())
                })?;
                warnings.extend(loaded.warnings);
                sections.scrape_configs.extend(loaded.value);
            }
        }
        sources.extend(sections.rule_globs.iter().cloned());
        let yaml = emit(&sections.to_node());
        let value = PrometheusConfig {
            global: sections.global,
            scrape_configs: sections.scrape_configs,
            rule_globs: sections.rule_globs,
            alerting: sections.alerting,
            storage: sections.storage,
            sources,
            yaml,
        };
        Ok(Loaded { value, warnings })
    }
}

/// Existing files that a pattern names, sorted; a pattern without wildcards names its file even when that
/// is missing, so that reading it says so.
pub fn matching_files(pattern: &Path) -> Vec<PathBuf> {
    let text = pattern.to_string_lossy();
    if !text.contains(['*', '?', '[']) {
        return vec![pattern.to_owned()];
    }
    glob::glob(&text).map(|paths| paths.flatten().collect()).unwrap_or_default()
}

/// The main file's sections while it is read.
struct Sections {
    global: Global,
    scrape_configs: Vec<ScrapeConfig>,
    names: Vec<String>,
    scrape_globs: Vec<PathBuf>,
    rule_globs: Vec<PathBuf>,
    alerting: AlertingConfig,
    storage: StorageConfig,
}

/// Sections that are understood and not built, with what follows from that.
const NOT_BUILT: [(&str, &str); 4] = [
    ("remote_write", "samples are not sent on"),
    ("remote_read", "other storages are not asked"),
    ("otlp", "OTLP metrics are not received"),
    ("tracing", "the server's own traces are not sent"),
];

impl Sections {
    fn read(at: &Cursor<'_>) -> Option<Sections> {
        let mut map = at.mapping();
        let environment = |name: &str| std::env::var(name).ok();
        let global = map.optional("global", |at| Global::read(at, &environment)).unwrap_or_default();
        let mut names = Vec::new();
        let scrape_configs = map
            .optional("scrape_configs", |at| ScrapeConfig::read_list(at, &global, &mut names))
            .unwrap_or_default();
        let scrape_globs = map.optional("scrape_config_files", read_globs).unwrap_or_default();
        let rule_globs = map.optional("rule_files", read_globs).unwrap_or_default();
        let alerting = map.optional("alerting", AlertingConfig::read).unwrap_or_default();
        let storage = map.optional("storage", read_storage).unwrap_or_default();
        for (key, consequence) in NOT_BUILT {
            if let Some(at) = map.take(key)
                && !at.node().is_empty()
            {
                at.warn(format!("{key} is not built yet: {consequence}"));
            }
        }
        // Settings of the Go runtime have no counterpart here.
        map.take("runtime");
        map.finish();
        Some(Sections { global, scrape_configs, names, scrape_globs, rule_globs, alerting, storage })
    }
}

fn read_globs(at: &Cursor<'_>) -> Option<Vec<PathBuf>> {
    let read = |at: &Cursor<'_>| {
        let path = value::path(at)?;
        match glob::Pattern::new(&path.to_string_lossy()) {
            Ok(_) => Some(path),
            Err(error) => at.error(format!("not a pattern of file names: {error}")),
        }
    };
    value::list(read)(at)
}

fn read_storage(at: &Cursor<'_>) -> Option<StorageConfig> {
    let mut map = at.mapping();
    let tsdb = map.optional("tsdb", read_tsdb).unwrap_or_default();
    if let Some(at) = map.take("exemplars") {
        at.warn("exemplars are not stored yet");
    }
    map.finish();
    Some(tsdb)
}

fn read_tsdb(at: &Cursor<'_>) -> Option<StorageConfig> {
    let mut map = at.mapping();
    let mut storage = StorageConfig { path: map.optional("path", value::path), ..StorageConfig::default() };
    let bytes = |at: &Cursor<'_>| value::size(at).map(|bytes| bytes.0);
    // Files in the field write the flags' names as keys; the peer's own form is the section `retention`.
    storage.retention_time = map.optional("retention.time", value::duration);
    storage.retention_size = map.optional("retention.size", bytes);
    if let Some(at) = map.take("retention") {
        if matches!(at.node().value, Value::Scalar { .. }) {
            storage.retention_time = value::duration(&at);
        } else {
            let mut section = at.mapping();
            storage.retention_time = section.optional("time", value::duration).or(storage.retention_time);
            storage.retention_size = section.optional("size", bytes).or(storage.retention_size);
            storage.retention_percentage = section.optional("percentage", read_percentage);
            section.finish();
        }
    }
    storage.out_of_order_window = map.or("out_of_order_time_window", value::duration, Duration::ZERO);
    for key in ["stale_series_compaction_threshold", "chunk_encoding"] {
        map.obsolete(key, "has no meaning for this store");
    }
    map.finish();
    Some(storage)
}

fn read_percentage(at: &Cursor<'_>) -> Option<f64> {
    let percentage = value::f64(at)?;
    if (0.0..=100.0).contains(&percentage) {
        return Some(percentage);
    }
    at.error(format!("{percentage} is not a percentage: write a number from 0 to 100"))
}

impl ToNode for Sections {
    fn to_node(&self) -> Node {
        Fields::new()
            .field("global", &self.global)
            .nonempty("alerting", &self.alerting)
            .nonempty("rule_files", &self.rule_globs)
            .nonempty("scrape_config_files", &self.scrape_globs)
            .nonempty("scrape_configs", &self.scrape_configs)
            .nonempty("storage", &Fields::new().nonempty("tsdb", &self.storage).node())
            .node()
    }
}

impl ToNode for StorageConfig {
    fn to_node(&self) -> Node {
        let percentage = self.retention_percentage.map(Node::plain).unwrap_or_else(Node::null);
        let retention = Fields::new()
            .nonempty("time", &self.retention_time.unwrap_or_default())
            .nonempty("size", &size::Bytes(self.retention_size.unwrap_or_default()))
            .nonempty("percentage", &percentage);
        Fields::new()
            .nonempty("path", &self.path.clone().unwrap_or_default())
            .nonempty("retention", &retention.node())
            .nonempty("out_of_order_time_window", &self.out_of_order_window)
            .node()
    }
}

/// Prints each warning of a file to the log.
pub fn log_warnings(warnings: &[Problem]) {
    for warning in warnings {
        tracing::warn!(place = %warning.position, "{}", warning.message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Loaded<PrometheusConfig>, ConfigError> {
        PrometheusConfig::read(&Document::parse("prometheus.yml", text)?, Path::new("prometheus.yml"))
    }

    #[test]
    fn retention_is_read_in_every_dialect() {
        let month = Some(Duration::from_secs(30 * 86_400));
        for text in [
            "storage: {tsdb: {retention: {time: 30d, size: 100GB}, path: /x}}",
            "storage: {tsdb: {retention.time: 30d, retention.size: 100GB, path: /x}}",
        ] {
            let storage = load(text).unwrap().value.storage;
            assert_eq!((storage.retention_time, storage.retention_size), (month, Some(100 << 30)), "{text}");
            assert_eq!(storage.path, Some(PathBuf::from("/x")));
        }
        assert_eq!(load("storage: {tsdb: {retention: 30d}}").unwrap().value.storage.retention_time, month);
    }

    #[test]
    fn what_is_not_built_is_said_and_the_rest_runs() {
        let text = "remote_write: [{url: 'http://x'}]\nscrape_configs: [{job_name: a}]\nnonsense: 1\n";
        let loaded = load(text).unwrap();
        let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(loaded.value.scrape_configs.len(), 1);
        assert!(
            warnings[0].starts_with("prometheus.yml:1:15: remote_write: remote_write is not built yet"),
            "{warnings:?}"
        );
        assert!(
            warnings[1].contains("prometheus.yml:3:1") && warnings[1].contains("nonsense"),
            "{warnings:?}"
        );
    }

    #[test]
    fn secrets_do_not_come_back() {
        let text = "scrape_configs: [{job_name: a, basic_auth: {username: u, password: hunter2}}]";
        let yaml = load(text).unwrap().value.yaml;
        assert!(yaml.contains("<secret>") && !yaml.contains("hunter2"), "{yaml}");
    }
}
