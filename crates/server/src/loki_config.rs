//! `-config.file` of Loki, 1.6 to 4.0-dev: what has meaning here becomes a [`LokiConfig`], the rest is known
//! by name and warned about with its reason.
//!
//! The text is [expanded](env), parsed, and read section by section on top of the defaults; every dotted flag
//! is then read the same way, as a file of one key, so that a flag beats the file and is checked like it.
//! What depends on several sections (where logs lie, old names of settings) is decided at the end.

mod env;
mod ruler;
mod sections;
mod storage;
mod without_effect;

use std::path::{Path, PathBuf};
use std::time::Duration;

use novaobs_config::{
    ConfigError, Cursor, Document, Fields, Loaded, Node, Problem, Section, Span, ToNode, UnknownKeys, Value,
    emit, value,
};
use novaobs_tenants::Limits;
use novaobs_tenants::limits::{DeletionMode, PUBLISHED};
use novaobs_tenants::value as scalars;

pub use env::{ExpandError, expand};
pub use ruler::{RemoteWrite, RemoteWriteClient, RulerConfig};
pub use sections::{CompactorSection, QuerierSection, RuntimeSection, ServerSection, ServerTls};
pub use storage::{Bucket, StorageConfig};

use storage::StorageSections;
use without_effect::WithoutEffect;

/// A whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct LokiConfig {
    /// `target`: parts of the peer to run. All of them run here, whichever is named.
    pub target: Vec<String>,
    /// Whether `X-Scope-OrgID` is required.
    pub auth_enabled: bool,
    /// The tenant of everyone when it is not.
    pub no_auth_tenant: String,
    /// `server`.
    pub server: ServerSection,
    /// Where logs are kept.
    pub storage: StorageConfig,
    /// `limits_config`.
    pub limits: Limits,
    /// `runtime_config`.
    pub runtime: RuntimeSection,
    /// `compactor`.
    pub compactor: CompactorSection,
    /// `querier`.
    pub querier: QuerierSection,
    /// `frontend.log_queries_longer_than`; `None` logs none, zero all.
    pub log_queries_longer_than: Option<Duration>,
    /// Most bytes of a push, before and after it is unpacked.
    pub max_push_bytes: PushBytes,
    /// `ruler`.
    pub ruler: RulerConfig,
    /// `pattern_ingester.enabled`: whether patterns can be asked for.
    pub patterns_enabled: bool,
    /// Limits that tenants may ask for at `/config/tenant/v1/limits`.
    pub tenant_limits_allow_publish: Vec<String>,
    /// How long to wait between a signal to stop and stopping.
    pub shutdown_delay: Duration,
}

/// `distributor.max_recv_msg_size` and `max_decompressed_size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushBytes {
    /// As received.
    pub received: u64,
    /// Unpacked.
    pub decompressed: u64,
}

impl Default for LokiConfig {
    fn default() -> Self {
        LokiConfig {
            target: vec!["all".to_owned()],
            auth_enabled: true,
            no_auth_tenant: "fake".to_owned(),
            server: ServerSection::default(),
            storage: StorageConfig::default(),
            limits: Limits::default(),
            runtime: RuntimeSection::default(),
            compactor: CompactorSection::default(),
            querier: QuerierSection::default(),
            log_queries_longer_than: None,
            max_push_bytes: PushBytes { received: 100 << 20, decompressed: 5000 << 20 },
            ruler: RulerConfig::default(),
            patterns_enabled: false,
            tenant_limits_allow_publish: PUBLISHED.iter().map(|name| (*name).to_owned()).collect(),
            shutdown_delay: Duration::ZERO,
        }
    }
}

/// What a configuration is made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sources {
    /// Paths with commas between, of which the first that exists is read.
    pub files: String,
    /// Whether `${…}` is replaced by variables of the environment.
    pub expand_env: bool,
    /// Whether unknown keys are errors, as they are to the peer.
    pub strict: bool,
    /// Flags that set a key of the file.
    pub settings: Vec<Setting>,
}

/// A flag that sets a key of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Its name, without dashes.
    pub flag: String,
    /// The key, with dots between its parts.
    pub path: &'static str,
    /// As given.
    pub value: String,
}

/// Why there is no configuration.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LokiConfigError {
    /// No file of the list exists.
    #[error("{0} does not exist, set config.file for custom config path")]
    Missing(String),
    /// A variable cannot be expanded.
    #[error("{}: {error}", file.display())]
    Expand {
        /// The file.
        file: PathBuf,
        /// Where and why.
        error: ExpandError,
    },
    /// A flag's value is not one of its key.
    #[error("invalid value {value:?} for flag {error}\nRun with -help to get list of available parameters")]
    Flag {
        /// As given.
        value: String,
        /// The flag, its key, and what to write.
        error: ConfigError,
    },
    /// Every error of the file.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl LokiConfig {
    /// Loads the file, then the flags on top.
    ///
    /// # Errors
    /// [`LokiConfigError`].
    pub fn load(sources: &Sources) -> Result<Loaded<LokiConfig>, LokiConfigError> {
        let candidates = || sources.files.split(',').map(|file| Path::new(file.trim()));
        let Some(file) = candidates().find(|file| file.is_file()) else {
            return Err(LokiConfigError::Missing(sources.files.clone()));
        };
        let name = file.display().to_string();
        let text = std::fs::read(file)
            .map_err(|error| ConfigError::of_file(&name, format!("cannot read the file: {error}")))?;
        let text = String::from_utf8(text).map_err(|error| {
            ConfigError::of_file(&name, format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
        })?;
        LokiConfig::parse(&name, &text, sources, &|name| std::env::var(name).ok())
    }

    /// Reads the text of a file, then the flags on top.
    ///
    /// # Errors
    /// As [`LokiConfig::load`].
    pub fn parse(
        file: &str,
        text: &str,
        sources: &Sources,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Loaded<LokiConfig>, LokiConfigError> {
        let expanded;
        let text = if sources.expand_env {
            let failed = |error| LokiConfigError::Expand { file: PathBuf::from(file), error };
            expanded = expand(text, environment).map_err(failed)?;
            &expanded
        } else {
            text
        };
        let unknown = if sources.strict { UnknownKeys::Refuse } else { UnknownKeys::Warn };
        let document = Document::parse(file, text)?;
        let mut reader = Reader::new();
        let mut warnings = document.read(unknown, |at| reader.read(at))?.warnings;
        for setting in &sources.settings {
            let failed = |error| LokiConfigError::Flag { value: setting.value.clone(), error };
            warnings.extend(reader.read_setting(setting).map_err(failed)?);
        }
        let resolved = document.read(unknown, |at| reader.resolve(at))?;
        warnings.extend(resolved.warnings);
        Ok(Loaded { value: resolved.value, warnings })
    }

    /// The page `/config`: the configuration in force, secrets hidden; with `mode=diffs` only what differs
    /// from the defaults, with `mode=defaults` these.
    pub fn page(&self, mode: &str) -> String {
        let defaults = || LokiConfig::default().to_node();
        emit(&match mode {
            "defaults" => defaults(),
            "diff" | "diffs" => {
                difference(&self.to_node(), &defaults()).unwrap_or_else(|| Fields::new().node())
            }
            _ => self.to_node(),
        })
    }
}

/// Puts what `key` says into `into`, if it is written and right.
fn set<'a, T>(
    map: &mut Section<'a>,
    key: &'static str,
    read: impl FnOnce(&Cursor<'a>) -> Option<T>,
    into: &mut T,
) {
    if let Some(read) = map.optional(key, read) {
        *into = read;
    }
}

/// A configuration while it is read.
struct Reader {
    config: LokiConfig,
    storage: StorageSections,
    rest: WithoutEffect,
    /// `distributor.otlp_config.default_resource_attributes_as_index_labels`.
    otlp_labels: Option<Vec<String>>,
    /// `table_manager`: whether tables are deleted, and after how long.
    tables: (bool, Duration),
}

impl Reader {
    fn new() -> Self {
        Reader {
            config: LokiConfig::default(),
            storage: StorageSections::default(),
            rest: WithoutEffect::default(),
            otlp_labels: None,
            tables: (false, Duration::ZERO),
        }
    }

    /// Reads a whole file, or one with a single key, on top of what is there.
    fn read(&mut self, at: &Cursor<'_>) -> Option<()> {
        let mut map = at.mapping();
        let config = &mut self.config;
        let rest = &self.rest;
        set(&mut map, "target", scalars::texts, &mut config.target);
        set(&mut map, "auth_enabled", value::boolean, &mut config.auth_enabled);
        set(&mut map, "no_auth_tenant", value::string, &mut config.no_auth_tenant);
        set(&mut map, "shutdown_delay", scalars::duration, &mut config.shutdown_delay);
        if let Some(at) = map.take("http_prefix").filter(|at| !at.node().is_empty()) {
            at.warn("is an old name: write server.http_path_prefix");
            config.server.http_path_prefix = sections::path_prefix(&at).unwrap_or_default();
        }
        let publish = &mut config.tenant_limits_allow_publish;
        set(&mut map, "tenant_limits_allow_publish", scalars::texts, publish);
        map.optional("lbac", read_lbac);
        map.optional("server", |at| config.server.read(at, rest));
        map.optional("common", |at| self.storage.read_common(at, rest));
        map.optional("storage_config", |at| self.storage.read_storage_config(at, rest));
        map.optional("schema_config", |at| self.storage.read_schema(at, rest));
        if let Some(section) = map.optional("limits_config", |at| Limits::read_section(at, &config.limits)) {
            config.limits = section.limits;
            config.runtime.files.extend(section.runtime_file);
            config.runtime.period = section.runtime_period.unwrap_or(config.runtime.period);
        }
        map.optional("runtime_config", |at| config.runtime.read(at, rest));
        if let Some(Some(mode)) = map.optional("compactor", |at| config.compactor.read(at, rest)) {
            config.limits.deletion_mode =
                read_old_deletion_mode(&mode).unwrap_or(config.limits.deletion_mode);
        }
        if let Some(Some(timeout)) = map.optional("querier", |at| config.querier.read(at, rest)) {
            config.limits.query_timeout = timeout;
        }
        map.optional("frontend", |at| {
            let mut map = at.mapping();
            if let Some(least) = map.optional("log_queries_longer_than", longest_unlogged) {
                config.log_queries_longer_than = least;
            }
            // Queries wait for their turn here as well, without a number after which they are refused.
            map.take("max_outstanding_per_tenant");
            rest.take_rest(&mut map, "frontend");
            map.finish();
            Some(())
        });
        map.optional("query_range", |at| take_all(at, rest, "query_range"));
        map.optional("ingester", |at| take_all(at, rest, "ingester"));
        map.optional("distributor", |at| {
            let mut map = at.mapping();
            set(&mut map, "max_recv_msg_size", scalars::bytes, &mut config.max_push_bytes.received);
            set(&mut map, "max_decompressed_size", scalars::bytes, &mut config.max_push_bytes.decompressed);
            map.optional("otlp_config", |at| {
                let mut map = at.mapping();
                let key = "default_resource_attributes_as_index_labels";
                self.otlp_labels = map.optional(key, scalars::texts).or(self.otlp_labels.take());
                map.finish();
                Some(())
            });
            rest.take_rest(&mut map, "distributor");
            map.finish();
            Some(())
        });
        map.optional("pattern_ingester", |at| {
            let mut map = at.mapping();
            set(&mut map, "enabled", value::boolean, &mut config.patterns_enabled);
            rest.take_rest(&mut map, "pattern_ingester");
            map.finish();
            Some(())
        });
        map.optional("ruler", |at| config.ruler.read(at, rest));
        map.optional("ruler_storage", |at| config.ruler.read_storage(at, rest, "ruler_storage", "backend"));
        map.optional("table_manager", |at| {
            let mut map = at.mapping();
            set(&mut map, "retention_deletes_enabled", value::boolean, &mut self.tables.0);
            set(&mut map, "retention_period", scalars::duration, &mut self.tables.1);
            rest.take_rest(&mut map, "table_manager");
            map.finish();
            Some(())
        });
        map.optional("chunk_store_config", |at| {
            let mut map = at.mapping();
            if let Some(at) = map.take("max_look_back_period").filter(|at| !at.node().is_empty())
                && let Some(period) = scalars::duration(&at)
            {
                at.warn("is an old name: write limits_config.max_query_lookback");
                config.limits.max_query_lookback = period;
            }
            rest.take_rest(&mut map, "chunk_store_config");
            map.finish();
            Some(())
        });
        rest.take_rest(&mut map, "");
        map.finish();
        rest.finish(at);
        Some(())
    }

    /// Reads a flag as a file that sets its key only. Answers warnings.
    fn read_setting(&mut self, setting: &Setting) -> Result<Vec<Problem>, ConfigError> {
        // The value goes in as it is written on the command line, so that numbers and booleans are such;
        // what YAML would make a list, mapping or comment of is a text.
        let quoted = setting.value.is_empty()
            || setting.value.contains(['#', '{', '[', '\'', '"', ':', '\n'])
            || setting.value.trim() != setting.value
            || setting.value.starts_with(['*', '&', '!', '%', '@', '`', '|', '>', '-', '?']);
        let leaf = if quoted { Node::text(&setting.value) } else { Node::plain(&setting.value) };
        let tree = setting.path.rsplit('.').fold(leaf, |inner, key| Fields::new().field(key, &inner).node());
        let name = format!("-{}", setting.flag);
        let without_place = |mut problem: Problem| {
            problem.position.span = Span::default();
            problem
        };
        let read = Document::parse(&name, &emit(&tree))
            .and_then(|document| document.read(UnknownKeys::Refuse, |at| self.read(at)));
        match read {
            Ok(loaded) => Ok(loaded.warnings.into_iter().map(without_place).collect()),
            Err(error) => {
                Err(ConfigError { problems: error.problems.into_iter().map(without_place).collect() })
            }
        }
    }

    /// What depends on several sections.
    fn resolve(&self, at: &Cursor<'_>) -> Option<LokiConfig> {
        let mut config = self.config.clone();
        config.storage = self.storage.resolve(at);
        config.ruler.rules = config.ruler.rules.or_else(|| self.storage.rules_folder());
        if let Some(labels) = &self.otlp_labels {
            config.limits.otlp_config.replace_default_labels(labels);
        }
        let (deletes, period) = self.tables;
        if deletes && !config.compactor.retention_enabled && !period.is_zero() {
            at.warn("table_manager.retention_period is an old name: write compactor.retention_enabled and limits_config.retention_period");
            config.compactor.retention_enabled = true;
            config.limits.retention_period = period;
        }
        for target in &config.target {
            if !crate::flags::loki::TARGETS.contains(&target.as_str()) {
                at.error::<()>(format!(
                    "unrecognised module name: {target}: write one of {}",
                    crate::flags::loki::TARGETS.join(", ")
                ));
            } else if target != "all" {
                at.warn(format!(
                    "target {target} runs everything, as all does: one process does all the work"
                ));
            }
        }
        Some(config)
    }
}

/// A section of which nothing has meaning.
fn take_all(at: &Cursor<'_>, rest: &WithoutEffect, section: &str) -> Option<()> {
    let mut map = at.mapping();
    rest.take_rest(&mut map, section);
    map.finish();
    Some(())
}

/// Access by labels is not built, and a server that leaves it out shows logs to people who must not see them.
fn read_lbac(at: &Cursor<'_>) -> Option<()> {
    let mut map = at.mapping();
    if map.or("enabled", value::boolean, false) {
        map.error_at(
            "enabled",
            "access by labels is not built: remove it to give each tenant all of its logs",
        );
    }
    map.finish();
    Some(())
}

/// Names of the first releases with deletes, which did not know the modes of today, change nothing.
fn read_old_deletion_mode(at: &Cursor<'_>) -> Option<DeletionMode> {
    match value::string(at)?.as_str() {
        "disabled" => Some(DeletionMode::Disabled),
        "filter-only" => Some(DeletionMode::FilterOnly),
        "filter-and-delete" => Some(DeletionMode::FilterAndDelete),
        _ => None,
    }
}

/// Zero logs no query, a negative duration every query.
fn longest_unlogged(at: &Cursor<'_>) -> Option<Option<Duration>> {
    if value::string(at)?.starts_with('-') {
        return Some(Some(Duration::ZERO));
    }
    scalars::duration(at).map(|least| Some(least).filter(|least| !least.is_zero()))
}

impl ToNode for LokiConfig {
    fn to_node(&self) -> Node {
        let go = |duration| Node::plain(scalars::go_text(duration));
        let folder = self.storage.folder.clone().unwrap_or_default();
        let longer_than = match self.log_queries_longer_than {
            Some(Duration::ZERO) => Node::plain("-1s"),
            least => go(least.unwrap_or_default()),
        };
        Fields::new()
            .field("target", &self.target.join(","))
            .field("auth_enabled", &self.auth_enabled)
            .field("no_auth_tenant", &self.no_auth_tenant)
            .field("server", &self.server)
            .field(
                "distributor",
                &Fields::new()
                    .field("max_recv_msg_size", &self.max_push_bytes.received)
                    .field("max_decompressed_size", &self.max_push_bytes.decompressed)
                    .node(),
            )
            .field("querier", &self.querier)
            .field("frontend", &Fields::new().field("log_queries_longer_than", &longer_than).node())
            .field("ruler", &self.ruler)
            .field("pattern_ingester", &Fields::new().field("enabled", &self.patterns_enabled).node())
            .nonempty("storage", &self.storage.bucket.as_ref().map(|bucket| bucket.shown.clone()))
            .field("compactor", &self.compactor)
            .field("limits_config", &self.limits)
            .field("runtime_config", &self.runtime)
            .field("tenant_limits_allow_publish", &self.tenant_limits_allow_publish)
            .field("common", &Fields::new().field("path_prefix", &folder).node())
            .field("shutdown_delay", &go(self.shutdown_delay))
            .node()
    }
}

/// The part of `node` that `default` does not have.
fn difference(node: &Node, default: &Node) -> Option<Node> {
    match (&node.value, &default.value) {
        (Value::Mapping(entries), Value::Mapping(_)) => {
            let mut fields = Fields::new();
            let mut any = false;
            for entry in entries {
                let changed = match default.get(&entry.key) {
                    Some(default) => difference(&entry.value, default),
                    None => Some(entry.value.clone()),
                };
                if let Some(changed) = changed {
                    any = true;
                    fields = fields.field(&entry.key, &changed);
                }
            }
            any.then(|| fields.node())
        }
        (a, b) if a == b => None,
        _ => Some(node.clone()),
    }
}

#[cfg(test)]
mod tests;
