//! What is tailed and where it goes: the part of Promtail's configuration that concerns files.
//!
//! Ours on top: the stage `auto`, and `path_labels`, an expression over the path whose named groups become
//! labels. Stages and sources of Promtail that are not built are errors that name them: a pipeline that
//! silently leaves one out would store other lines than the operator means.

use std::path::{Path, PathBuf};
use std::time::Duration;

use novaobs_config::{ConfigError, Cursor, Document, Loaded, Section, UnknownKeys, value};
use novaobs_http_client::HttpConfig;
use novaobs_model::{Labels, LabelsBuilder};
use regex::Regex;
use url::Url;

use crate::stages::Stage;
use crate::timestamp::TimeFormat;

/// The whole file.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Where lines are pushed to.
    pub clients: Vec<ClientConfig>,
    /// The file of positions.
    pub positions: PathBuf,
    /// What is read.
    pub jobs: Vec<Job>,
}

/// An entry of `clients`.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The push URL.
    pub url: Url,
    /// `X-Scope-OrgID`.
    pub tenant: Option<String>,
    /// Labels added to every stream.
    pub external_labels: Labels,
    /// How long one push may take.
    pub timeout: Duration,
    /// Credentials, TLS, proxy.
    pub http: HttpConfig,
}

/// An entry of `scrape_configs`.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name: the label `job`, unless a group sets one.
    pub name: String,
    /// Files by pattern.
    pub groups: Vec<FileGroup>,
    /// The systemd journal.
    pub journal: Option<JournalConfig>,
    /// What is done to each line.
    pub stages: Vec<Stage>,
}

/// Files of one pattern, with their labels.
#[derive(Clone, Debug)]
pub struct FileGroup {
    /// A glob; `{a,b}` gives several.
    pub pattern: String,
    /// Globs of files that are left out.
    pub excluded: Vec<String>,
    /// Labels of all their lines.
    pub labels: Labels,
    /// Named groups of an expression over the path become labels.
    pub path_labels: Option<Regex>,
}

/// The journal of systemd.
#[derive(Clone, Debug)]
pub struct JournalConfig {
    /// Labels of all entries.
    pub labels: Labels,
    /// How far back the first reading begins.
    pub max_age: Duration,
    /// Another folder than the system's.
    pub path: Option<PathBuf>,
    /// The line is the whole entry as JSON instead of its message.
    pub json: bool,
    /// Terms for `journalctl`, such as `_SYSTEMD_UNIT=ssh.service`.
    pub matches: String,
}

impl AgentConfig {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// Every fault of the file, with its place.
    pub fn load(path: &Path) -> Result<Loaded<AgentConfig>, ConfigError> {
        Document::load(path)?.read(UnknownKeys::Warn, read)
    }

    /// [`AgentConfig::load`] for a text that is already here.
    ///
    /// # Errors
    /// As there.
    pub fn parse(name: &str, text: &str) -> Result<Loaded<AgentConfig>, ConfigError> {
        Document::parse(name, text)?.read(UnknownKeys::Warn, read)
    }
}

fn read(at: &Cursor<'_>) -> Option<AgentConfig> {
    let mut map = at.mapping();
    for (key, reason) in [
        ("server", "the agent has no port of its own"),
        ("target_config", "files are looked for every five seconds"),
        ("limits_config", "the receiver's limits hold"),
        ("options", "there is nothing to choose"),
        ("global", "there is nothing to choose"),
        ("tracing", "the agent makes no traces"),
    ] {
        map.obsolete(key, reason);
    }
    let mut clients = map.list("clients", client);
    clients.extend(map.optional("client", client));
    let positions = map.optional("positions", |at| {
        let mut map = at.mapping();
        let file = map.optional("filename", value::path);
        map.obsolete("sync_period", "positions are saved with every delivery");
        map.obsolete("ignore_invalid_yaml", "positions are never thrown away");
        map.finish();
        file
    });
    let jobs = map.list("scrape_configs", job);
    map.finish();
    Some(AgentConfig {
        clients,
        positions: positions.unwrap_or_else(|| at.base_dir().join("positions.json")),
        jobs,
    })
}

fn client(at: &Cursor<'_>) -> Option<ClientConfig> {
    let mut map = at.mapping();
    let url = map.required("url", value::url);
    let tenant = map.optional("tenant_id", value::string).filter(|tenant| !tenant.is_empty());
    let external_labels = map.or("external_labels", value::labels, Labels::empty());
    let timeout = map.or("timeout", value::duration, Duration::from_secs(10));
    for key in ["batchwait", "batchsize", "backoff_config", "name", "headers", "drop_rate_limited_batches"] {
        map.obsolete(key, "lines are sent as they come, in batches of up to 1 MiB, and tried until taken");
    }
    let http = HttpConfig::read_inline(&mut map);
    map.finish();
    Some(ClientConfig { url: url?, tenant, external_labels, timeout, http })
}

fn job(at: &Cursor<'_>) -> Option<Job> {
    let mut map = at.mapping();
    let name = map.required("job_name", value::string);
    let path_labels = map.optional("path_labels", expression);
    let groups = map.list("static_configs", |at| group(at, path_labels.as_ref()));
    let journal = map.optional("journal", journal);
    let stages = map.list("pipeline_stages", stage);
    for key in [
        "syslog",
        "gcplog",
        "docker_sd_configs",
        "kubernetes_sd_configs",
        "file_sd_configs",
        "loki_push_api",
        "windows_events",
        "gelf",
        "cloudflare",
        "heroku_drain",
        "kafka",
        "consul_sd_configs",
        "consulagent_sd_configs",
        "azure_event_hubs",
        "relabel_configs",
    ] {
        if map.has(key) {
            map.error_at(key, format!("{key} is not built: write static_configs with __path__, or journal"));
            drop(map.take(key));
        }
    }
    map.obsolete("encoding", "lines are read as UTF-8, other bytes are replaced");
    map.obsolete("decompression", "compressed files are not read");
    map.finish();
    Some(Job { name: name?, groups, journal, stages })
}

fn group(at: &Cursor<'_>, path_labels: Option<&Regex>) -> Option<FileGroup> {
    let mut map = at.mapping();
    map.obsolete("targets", "files are always those of this machine");
    let labels = map.or("labels", value::labels, Labels::empty());
    map.finish();
    let pattern = labels.value("__path__").to_owned();
    if pattern.is_empty() {
        return at.error("labels has no __path__: write the pattern of the files, such as /var/log/*.log");
    }
    if let Some((pattern, error)) =
        alternatives(&pattern).into_iter().find_map(|p| glob::Pattern::new(&p).err().map(|e| (p, e)))
    {
        return at.error(format!("__path__: {pattern:?} is no pattern: {error}"));
    }
    let excluded = match labels.value("__path_exclude__") {
        "" => Vec::new(),
        excluded => alternatives(excluded),
    };
    let labels = labels.without(|name| name.starts_with("__"));
    Some(FileGroup { pattern, excluded, labels, path_labels: path_labels.cloned() })
}

fn journal(at: &Cursor<'_>) -> Option<JournalConfig> {
    let mut map = at.mapping();
    let journal = JournalConfig {
        labels: map.or("labels", value::labels, Labels::empty()),
        max_age: map.or("max_age", value::duration, Duration::from_secs(7 * 3600)),
        path: map.optional("path", value::path).filter(|path| !path.as_os_str().is_empty()),
        json: map.or("json", value::boolean, false),
        matches: map.or("matches", value::string, String::new()),
    };
    map.finish();
    Some(journal)
}

fn expression(at: &Cursor<'_>) -> Option<Regex> {
    let text = value::string(at)?;
    match Regex::new(&text) {
        Ok(expression) => Some(expression),
        Err(error) => at.error(format!("{text:?} is no regular expression: {error}")),
    }
}

/// Pairs of names and, perhaps empty, sources.
fn pairs(at: &Cursor<'_>) -> Option<Vec<(String, String)>> {
    let one = |value: &Cursor<'_>| if value.is_null() { Some(String::new()) } else { value::string(value) };
    Some(at.entries()?.iter().filter_map(|(name, v)| Some(((*name).to_owned(), one(v)?))).collect())
}

/// A size in bytes; Promtail writes units in any case.
fn size(at: &Cursor<'_>) -> Option<usize> {
    let text = value::string(at)?;
    match novaobs_config::size::parse(&text.to_uppercase()) {
        Ok(size) => usize::try_from(size.0).ok(),
        Err(error) => at.error(error.to_string()),
    }
}

fn names(at: &Cursor<'_>) -> Option<Vec<String>> {
    value::list(value::string)(at)
}

fn stage(at: &Cursor<'_>) -> Option<Stage> {
    let entries = at.entries()?;
    let [(name, config)] = entries.as_slice() else {
        return at.error("a stage is one key, such as json, with its settings");
    };
    match *name {
        "auto" => Some(Stage::Auto),
        "labels" => pairs(config).map(Stage::Labels),
        "static_labels" => pairs(config).map(Stage::StaticLabels),
        "structured_metadata" => pairs(config).map(Stage::StructuredMetadata),
        "labeldrop" => names(config).map(Stage::LabelDrop),
        "labelallow" => names(config).map(Stage::LabelAllow),
        "json" => settings(config, |map| {
            let expressions = map.optional("expressions", pairs).unwrap_or_default();
            let source = map.optional("source", value::string);
            map.obsolete("drop_malformed", "lines that are no JSON are kept as they are");
            Some(Stage::Json { expressions, source })
        }),
        "logfmt" => settings(config, |map| {
            let mapping = map.optional("mapping", pairs).unwrap_or_default();
            Some(Stage::Logfmt { mapping, source: map.optional("source", value::string) })
        }),
        "regex" => settings(config, |map| {
            let expression = map.required("expression", expression)?;
            Some(Stage::Regex { expression, source: map.optional("source", value::string) })
        }),
        "output" => settings(config, |map| map.required("source", value::string).map(Stage::Output)),
        "timestamp" => settings(config, |map| {
            let source = map.required("source", value::string);
            let format = map.required("format", value::string);
            let mut formats = vec![TimeFormat::parse(&format?)];
            let more = map.optional("fallback_formats", names).unwrap_or_default();
            formats.extend(more.iter().map(|format| TimeFormat::parse(format)));
            map.obsolete("location", "times without a zone are local");
            map.obsolete("action_on_failure", "the time of reading is taken instead");
            Some(Stage::Timestamp { source: source?, formats })
        }),
        "drop" => settings(config, |map| {
            let expression = map.optional("expression", expression);
            let source = map.optional("source", value::string);
            let longer_than = map.optional("longer_than", size);
            map.obsolete("drop_counter_reason", "dropped lines are not counted");
            if expression.is_none() && longer_than.is_none() {
                map.error("drop needs expression or longer_than");
            }
            Some(Stage::Drop { expression, source, longer_than })
        }),
        other => at.error(format!(
            "the stage {other:?} is not built: write one of auto, drop, json, labelallow, labeldrop, labels, \
             logfmt, output, regex, static_labels, structured_metadata, timestamp"
        )),
    }
}

fn settings<'a>(at: &Cursor<'a>, read: impl FnOnce(&mut Section<'a>) -> Option<Stage>) -> Option<Stage> {
    let mut map = at.mapping();
    let stage = read(&mut map);
    map.finish();
    stage
}

impl FileGroup {
    /// The files there are now.
    pub fn expand(&self) -> Vec<PathBuf> {
        let excluded = |path: &Path| {
            self.excluded.iter().any(|p| glob::Pattern::new(p).is_ok_and(|p| p.matches_path(path)))
        };
        alternatives(&self.pattern)
            .iter()
            .filter_map(|pattern| glob::glob(pattern).ok())
            .flatten()
            .filter_map(Result::ok)
            .filter(|path| path.is_file() && !excluded(path))
            .collect()
    }

    /// Labels of the lines of one file.
    pub fn labels_of(&self, path: &Path, job: &str) -> Labels {
        let path = path.to_string_lossy();
        let mut labels = LabelsBuilder::from_labels(&self.labels);
        if labels.get("job").is_empty() {
            labels.set("job", job);
        }
        if labels.get("filename").is_empty() {
            labels.set("filename", &path);
        }
        if let Some(expression) = &self.path_labels
            && let Some(found) = expression.captures(&path)
        {
            for name in expression.capture_names().flatten() {
                if let Some(value) = found.name(name) {
                    labels.set(name, value.as_str());
                }
            }
        }
        labels.build()
    }
}

/// `/a/{b,c}/*.log` as two patterns.
fn alternatives(pattern: &str) -> Vec<String> {
    let Some((before, rest)) = pattern.split_once('{') else { return vec![pattern.to_owned()] };
    let Some((inside, behind)) = rest.split_once('}') else { return vec![pattern.to_owned()] };
    inside.split(',').flat_map(|one| alternatives(&format!("{before}{one}{behind}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_of_promtail_loads() {
        let text = r"
server: {http_listen_port: 9080}
positions: {filename: /run/positions.yaml}
clients:
- url: http://loki:3100/loki/api/v1/push
  tenant_id: team
  basic_auth: {username: u, password: p}
scrape_configs:
- job_name: app
  path_labels: /srv/(?P<service>[^/]+)/
  static_configs:
  - targets: [localhost]
    labels: {env: prod, __path__: '/srv/{api,core}/*.log', __path_exclude__: /srv/api/debug.log}
  pipeline_stages:
  - json: {expressions: {level: , msg: message}}
  - labels: {level: }
  - timestamp: {source: ts, format: RFC3339}
  - drop: {longer_than: 8kb}
- job_name: journal
  journal: {max_age: 12h, labels: {job: systemd}}
";
        let loaded = AgentConfig::parse("agent.yml", text).unwrap();
        let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        let config = loaded.value;
        assert_eq!(config.clients[0].tenant.as_deref(), Some("team"));
        assert_eq!(config.jobs[0].stages.len(), 4);
        let labels = config.jobs[0].groups[0].labels_of(Path::new("/srv/api/x.log"), "app");
        assert_eq!(
            labels.to_string(),
            r#"{env="prod", filename="/srv/api/x.log", job="app", service="api"}"#
        );
        assert_eq!(alternatives("/srv/{api,core}/*.log"), ["/srv/api/*.log", "/srv/core/*.log"]);
        assert_eq!(config.jobs[1].journal.as_ref().unwrap().max_age, Duration::from_secs(12 * 3600));
    }

    #[test]
    fn what_is_not_built_or_wrong_is_an_error_with_its_place() {
        let error = |text: &str| AgentConfig::parse("a.yml", text).err().unwrap().to_string();
        let scrape = |inside: &str| format!("scrape_configs:\n- job_name: a\n{inside}");
        let cases = [
            (scrape("  syslog: {}\n"), "a.yml:3:11"),
            (scrape("  pipeline_stages: [{multiline: {}}]\n"), "multiline\" is not built"),
            (scrape("  static_configs: [{labels: {a: b}}]\n"), "no __path__"),
            (scrape("  pipeline_stages: [{regex: {expression: '('}}]\n"), "no regular expression"),
            (scrape("  pipeline_stages: [{drop: {}}]\n"), "drop needs"),
            ("clients: [{tenant_id: x}]".to_owned(), "the key url is missing"),
        ];
        for (text, wanted) in cases {
            assert!(error(&text).contains(wanted), "{text}: {}", error(&text));
        }
    }
}
