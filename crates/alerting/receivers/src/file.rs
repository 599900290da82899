//! `alertmanager.yml` as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use novaobs_alerts::inhibit::InhibitRule;
use novaobs_alerts::interval::NamedIntervals;
use novaobs_alerts::route::{RouteConfig, RouteTree};
use novaobs_alerts::{Integration, NamedReceiver, Receiver, Setup};
use novaobs_config::{
    ConfigError, Cursor, Document, Fields, Loaded, Node, Section, ToNode, UnknownKeys, emit, value,
};
use novaobs_http_client::BuildError;
use novaobs_template::ParseError;
use novaobs_template::notification;

use crate::context::Context;
use crate::global::Global;
use crate::pagerduty::{Pagerduty, PagerdutyConfig};
use crate::slack::{Slack, SlackConfig};
use crate::unbuilt::{KINDS, Unbuilt, UnbuiltConfig};
use crate::webhook::{Webhook, WebhookConfig};

/// The file.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Defaults for receivers.
    pub global: Global,
    /// The routing tree.
    pub route: RouteConfig,
    /// What inhibits what.
    pub inhibit_rules: Vec<InhibitRule>,
    /// Whom to notify.
    pub receivers: Vec<ReceiverConfig>,
    /// Glob patterns of template files.
    pub templates: Vec<PathBuf>,
    /// Deprecated name of `time_intervals`.
    mute_time_intervals: Vec<NamedIntervals>,
    time_intervals: Vec<NamedIntervals>,
}

/// An entry of `receivers`.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceiverConfig {
    /// Its name.
    pub name: String,
    /// Labels to select it by; always holds `name`.
    pub labels: BTreeMap<String, String>,
    /// Its integrations, by kind.
    pub integrations: Vec<IntegrationConfig>,
}

/// One integration of a receiver.
#[derive(Clone, Debug, PartialEq)]
pub enum IntegrationConfig {
    /// `webhook_configs`
    Webhook(Box<WebhookConfig>),
    /// `pagerduty_configs`
    Pagerduty(Box<PagerdutyConfig>),
    /// `slack_configs`
    Slack(Box<SlackConfig>),
    /// A kind this release does not build.
    Unbuilt(UnbuiltConfig),
}

/// Why a valid file does not make receivers.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A template file that cannot be read.
    #[error("cannot read the templates {pattern}: {error}")]
    Read {
        /// The file or pattern.
        pattern: String,
        /// Why not.
        error: String,
    },
    /// A template file that does not parse.
    #[error(transparent)]
    Template(#[from] ParseError),
    /// An HTTP client that cannot be built.
    #[error("receiver {receiver:?}: {error}")]
    Client {
        /// Whose.
        receiver: String,
        /// Why not.
        error: BuildError,
    },
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// Everything that is wrong in it, with its place.
    pub fn load(path: &Path) -> Result<Loaded<Config>, ConfigError> {
        Document::load(path)?.read(UnknownKeys::Warn, Config::read)
    }

    /// Reads a text; `name` is what errors call the file.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(name: &str, text: &str) -> Result<Loaded<Config>, ConfigError> {
        Document::parse(name, text)?.read(UnknownKeys::Warn, Config::read)
    }

    fn read(at: &Cursor<'_>) -> Option<Config> {
        let mut map = at.mapping();
        for key in ["tracing", "event_recorder"] {
            map.obsolete(key, "it is not built in this release");
        }
        let standard = match Global::standard() {
            Ok(standard) => standard,
            Err(error) => return at.error(error.to_string()),
        };
        let global = map.or("global", Global::read, standard);
        let receivers = map.list("receivers", |at| ReceiverConfig::read(at, &global));
        let names = unique(&map, "receivers", receivers.iter().map(|r| &r.name), |name| {
            format!("notification config name {name:?} is not unique")
        });
        let mute_time_intervals = map.list("mute_time_intervals", NamedIntervals::read);
        let time_intervals = map.list("time_intervals", NamedIntervals::read);
        if map.has("mute_time_intervals") {
            map.cursor().warn("mute_time_intervals is deprecated: write time_intervals instead");
        }
        let all = mute_time_intervals.iter().chain(&time_intervals).map(|interval| &interval.name);
        let intervals =
            unique(&map, "time_intervals", all, |name| format!("time interval {name:?} is not unique"));
        let templates = map.or("templates", value::list(value::path), Vec::new());
        let inhibit_rules = map.list("inhibit_rules", InhibitRule::read);
        let route = match map.take("route") {
            Some(at) if !at.is_null() => RouteConfig::read(&at, &names, &intervals),
            _ => map.cursor().error("no route provided in config"),
        };
        map.finish();
        Some(Config {
            global,
            route: route?,
            inhibit_rules,
            receivers,
            templates,
            mute_time_intervals,
            time_intervals,
        })
    }

    /// The file as `/api/v2/status` shows it: defaults filled in, secrets hidden.
    pub fn to_yaml(&self) -> String {
        emit(&self.to_node())
    }

    /// Builds the receivers. `external_url` is where users reach the pages; notifications link there. Must
    /// be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn setup(&self, external_url: &str) -> Result<Setup, SetupError> {
        let mut templates = notification::template()?;
        for pattern in &self.templates {
            for (name, text) in read_templates(pattern)? {
                templates.add(&name, &text)?;
            }
        }
        let context = Context::new(templates, external_url);
        let receivers = self.receivers.iter().map(|config| config.build(&context));
        Ok(Setup {
            resolve_timeout: self.global.resolve_timeout,
            route: RouteTree::new(&self.route),
            inhibit_rules: self.inhibit_rules.clone(),
            time_intervals: self.mute_time_intervals.iter().chain(&self.time_intervals).cloned().collect(),
            receivers: receivers.collect::<Result<_, _>>()?,
        })
    }
}

/// The names, after reporting those that come twice.
fn unique<'a>(
    map: &Section<'_>,
    key: &str,
    names: impl Iterator<Item = &'a String>,
    message: impl Fn(&str) -> String,
) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name.clone()) {
            map.error_at(key, message(name));
        }
    }
    seen
}

/// The files of a pattern, by name. A pattern without wildcards must exist.
fn read_templates(pattern: &Path) -> Result<Vec<(String, String)>, SetupError> {
    let pattern = pattern.display().to_string();
    let failed = |error: String| SetupError::Read { pattern: pattern.clone(), error };
    let mut files = Vec::new();
    for path in glob::glob(&pattern).map_err(|error| failed(error.to_string()))? {
        let path = path.map_err(|error| failed(error.to_string()))?;
        let text = std::fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        files.push((name, text));
    }
    if files.is_empty() && !pattern.contains(['*', '?', '[']) {
        return Err(failed("no such file".to_owned()));
    }
    Ok(files)
}

impl ReceiverConfig {
    fn read(at: &Cursor<'_>, global: &Global) -> Option<ReceiverConfig> {
        let mut map = at.mapping();
        let name = map.or("name", value::string, String::new());
        if name.is_empty() {
            map.error("missing name in receiver");
        }
        let mut labels: BTreeMap<String, String> =
            map.or("labels", value::map(value::string), Vec::new()).into_iter().collect();
        if let Some(label) = labels.get("name").filter(|label| **label != name) {
            map.error_at(
                "labels",
                format!("receiver label \"name\" must match receiver name {name:?}, got {label:?}"),
            );
        }
        labels.insert("name".to_owned(), name.clone());
        let mut integrations = Vec::new();
        let webhooks = map.list("webhook_configs", |at| WebhookConfig::read(at, global));
        integrations.extend(webhooks.into_iter().map(|c| IntegrationConfig::Webhook(Box::new(c))));
        let services = map.list("pagerduty_configs", |at| PagerdutyConfig::read(at, global));
        integrations.extend(services.into_iter().map(|c| IntegrationConfig::Pagerduty(Box::new(c))));
        let channels = map.list("slack_configs", |at| SlackConfig::read(at, global));
        integrations.extend(channels.into_iter().map(|c| IntegrationConfig::Slack(Box::new(c))));
        for kind in &KINDS {
            let unbuilt = map.list(kind.key, |at| UnbuiltConfig::read(at, kind));
            integrations.extend(unbuilt.into_iter().map(IntegrationConfig::Unbuilt));
        }
        map.finish();
        Some(ReceiverConfig { name, labels, integrations })
    }

    fn build(&self, context: &Context) -> Result<NamedReceiver, SetupError> {
        let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
        let mut integrations = Vec::new();
        for config in &self.integrations {
            let built: Result<(bool, Arc<dyn Receiver>), BuildError> = match config {
                IntegrationConfig::Webhook(c) => {
                    Webhook::new(c, context).map(|r| (c.send_resolved, Arc::new(r) as _))
                }
                IntegrationConfig::Pagerduty(c) => {
                    Pagerduty::new(c, context).map(|r| (c.send_resolved, Arc::new(r) as _))
                }
                IntegrationConfig::Slack(c) => {
                    Slack::new(c, context).map(|r| (c.send_resolved, Arc::new(r) as _))
                }
                IntegrationConfig::Unbuilt(c) => {
                    Ok((c.send_resolved, Arc::new(Unbuilt { kind: c.kind }) as _))
                }
            };
            let (send_resolved, receiver) =
                built.map_err(|error| SetupError::Client { receiver: self.name.clone(), error })?;
            let kind = config.kind();
            let index = counts.entry(kind).or_default();
            integrations.push(Integration { kind, index: *index, send_resolved, receiver });
            *index += 1;
        }
        Ok(NamedReceiver { name: self.name.clone(), labels: self.labels.clone(), integrations })
    }
}

impl IntegrationConfig {
    /// The kind as metrics and logs call it.
    pub fn kind(&self) -> &'static str {
        match self {
            IntegrationConfig::Webhook(_) => "webhook",
            IntegrationConfig::Pagerduty(_) => "pagerduty",
            IntegrationConfig::Slack(_) => "slack",
            IntegrationConfig::Unbuilt(config) => config.kind,
        }
    }
}

impl ToNode for IntegrationConfig {
    fn to_node(&self) -> Node {
        match self {
            IntegrationConfig::Webhook(config) => config.to_node(),
            IntegrationConfig::Pagerduty(config) => config.to_node(),
            IntegrationConfig::Slack(config) => config.to_node(),
            IntegrationConfig::Unbuilt(config) => config.to_node(),
        }
    }
}

impl ToNode for ReceiverConfig {
    fn to_node(&self) -> Node {
        let own = self.labels.iter().filter(|(name, _)| *name != "name");
        let labels: BTreeMap<String, String> =
            own.map(|(name, value)| (name.clone(), value.clone())).collect();
        let fields = Fields::new().field("name", &self.name).nonempty("labels", &labels);
        let kinds = ["webhook", "pagerduty", "slack"].into_iter().chain(KINDS.iter().map(|kind| kind.name));
        kinds
            .fold(fields, |fields, kind| {
                let of_kind = self.integrations.iter().filter(|config| config.kind() == kind);
                fields.nonempty(&format!("{kind}_configs"), &Node::sequence(of_kind.map(ToNode::to_node)))
            })
            .node()
    }
}

impl ToNode for Config {
    fn to_node(&self) -> Node {
        Fields::new()
            .field("global", &self.global)
            .field("route", &self.route)
            .nonempty("inhibit_rules", &self.inhibit_rules)
            .nonempty("receivers", &self.receivers)
            .field("templates", &self.templates)
            .nonempty("mute_time_intervals", &self.mute_time_intervals)
            .nonempty("time_intervals", &self.time_intervals)
            .node()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(yaml: &str) -> String {
        Config::parse("am.yml", yaml).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn refuses_with_place_and_the_peers_words() {
        let f = |yaml: &str, want: &str| {
            let problems = problems(yaml);
            assert!(problems.contains(want), "{yaml}: {problems}");
        };
        f("", "no route provided in config");
        f("receivers: [{name: a}]", "no route provided in config");
        f("{route: , receivers: [{name: a}]}", "am.yml:1:1: no route provided in config");
        f(
            "{route: {receiver: a}, receivers: [{name: a}, {name: a}]}",
            r#"notification config name "a" is not unique"#,
        );
        f("{route: {receiver: b}, receivers: [{name: a}]}", r#"undefined receiver "b" used in route"#);
        f("{route: {receiver: a}, receivers: [{webhook_configs: []}]}", "missing name in receiver");
        let one = |section: &str| format!("{{route: {{receiver: a}}, receivers: [{{name: a, {section}}}]}}");
        f(&one("webhook_configs: [{}]"), "one of url or url_file must be configured");
        f(&one("webhook_configs: [{url: }]"), "one of url or url_file must be configured");
        f(&one("webhook_configs: [{url: ''}]"), "one of url or url_file must be configured");
        f(
            &one("webhook_configs: [{url: 'http://x', url_file: y}]"),
            "at most one of url & url_file must be configured",
        );
        f(
            &one("webhook_configs: [{url: 'ftp://x'}]"),
            "am.yml:1:70: receivers[0].webhook_configs[0].url: unsupported scheme \"ftp\" for URL",
        );
        f(
            &one("slack_configs: [{channel: x}]"),
            "no Slack API URL nor App token set either inline or in a file",
        );
        f(
            &one("slack_configs: [{channel: x, api_url: }]"),
            "no Slack API URL nor App token set either inline or in a file",
        );
        f(
            &one("webhook_configs: [{url: 'http://x', http_config: {oauth2: {client_id: a, token_url: }}}]"),
            "oauth2 token_url must be configured",
        );
        f(
            &one("slack_configs: [{api_url: 'http://x', app_token: y}]"),
            "at most one of api_url/api_url_file & app_token",
        );
        f(
            &one("slack_configs: [{api_url: 'http://x', actions: [{type: b}]}]"),
            "missing text in Slack action configuration",
        );
        f(
            &one("slack_configs: [{api_url: 'http://x', fields: [{title: b}]}]"),
            "missing value in Slack field configuration",
        );
        f(
            &one("slack_configs: [{api_url: 'http://x', update_message: true}]"),
            "update_message is not built in this release",
        );
        f(&one("pagerduty_configs: [{}]"), "missing service or routing key in PagerDuty config");
        f(&one("labels: {name: b}"), r#"receiver label "name" must match receiver name "a", got "b""#);
        f(
            "{route: {receiver: a}, receivers: [{name: a}], time_intervals: [{name: x}, {name: x}]}",
            r#"time interval "x" is not unique"#,
        );
        f(
            "{global: {slack_api_url: 'http://x', slack_api_url_file: y}, route: {receiver: a}, receivers: [{name: a}]}",
            "at most one of slack_api_url & slack_api_url_file",
        );
    }

    #[test]
    fn says_what_it_does_not_build_and_does_not_know() {
        let yaml = "\
route: {receiver: a}
receivers:
- name: a
  email_configs:
  - {to: x@y, smarthost: 'h:25', auth_password: hunter2, colour: red}
tracing: {endpoint: x}
colors: {}
";
        let loaded = Config::parse("am.yml", yaml).unwrap();
        let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        expect_test::expect![[r#"
            am.yml:5:5: receivers[0].email_configs[0]: email receivers are not built in this release: alerts routed here are counted as failed notifications
            am.yml:5:58: receivers[0].email_configs[0].colour: unknown key "colour" is ignored
            am.yml:6:1: tracing: tracing is ignored: it is not built in this release
            am.yml:7:1: colors: unknown key "colors" is ignored"#]].assert_eq(&warnings.join("\n"));
        assert_eq!(loaded.value.receivers[0].integrations[0].kind(), "email");
        assert!(!loaded.value.to_yaml().contains("hunter2"));
    }

    #[test]
    fn prints_itself_without_secrets() {
        let yaml = r##"
global:
  slack_api_url: https://hooks.slack.com/services/T0/B0/hunter2
  opsgenie_api_key: hunter2
  http_config: {basic_auth: {username: u, password: hunter2}}
route:
  receiver: all
  routes: [{matchers: ['a="b"'], mute_time_intervals: [night]}]
inhibit_rules: [{source_matchers: [a=b], target_matchers: [c=d], equal: [e]}]
receivers:
- name: all
  webhook_configs: [{url: 'https://u:hunter2@example.org:8443/hunter2?hunter2'}]
  slack_configs: [{channel: '#a'}]
  pagerduty_configs: [{routing_key: hunter2}]
time_intervals: [{name: night, time_intervals: [{times: [{start_time: '00:00', end_time: '06:00'}]}]}]
"##;
        let printed = Config::parse("am.yml", yaml).unwrap().value.to_yaml();
        assert!(!printed.contains("hunter2"), "{printed}");
        expect_test::expect![[r#"
            global:
              resolve_timeout: 5m
              http_config:
                basic_auth:
                  username: u
                  password: <secret>
                follow_redirects: true
                enable_http2: true
              slack_api_url: <secret>
              pagerduty_url: https://events.pagerduty.com/v2/enqueue
              opsgenie_api_key: <secret>
            route:
              receiver: all
              continue: false
              routes:
              - matchers:
                - a="b"
                mute_time_intervals:
                - night
                continue: false
            inhibit_rules:
            - source_matchers:
              - a="b"
              target_matchers:
              - c="d"
              equal:
              - e
            receivers:
            - name: all
              webhook_configs:
              - send_resolved: true
                http_config:
                  basic_auth:
                    username: u
                    password: <secret>
                  follow_redirects: true
                  enable_http2: true
                url: https://example.org:8443/<secret>
                max_alerts: 0
              pagerduty_configs:
              - send_resolved: true
                http_config:
                  basic_auth:
                    username: u
                    password: <secret>
                  follow_redirects: true
                  enable_http2: true
                routing_key: <secret>
                url: https://events.pagerduty.com/v2/enqueue
                client: '{{ template "pagerduty.default.client" . }}'
                client_url: '{{ template "pagerduty.default.clientURL" . }}'
                description: '{{ template "pagerduty.default.description" .}}'
                details:
                  firing: '{{ .Alerts.Firing | toJson }}'
                  num_firing: '{{ .Alerts.Firing | len }}'
                  num_resolved: '{{ .Alerts.Resolved | len }}'
                  resolved: '{{ .Alerts.Resolved | toJson }}'
                source: '{{ template "pagerduty.default.client" . }}'
              slack_configs:
              - send_resolved: false
                http_config:
                  basic_auth:
                    username: u
                    password: <secret>
                  follow_redirects: true
                  enable_http2: true
                api_url: <secret>
                channel: '#a'
                username: '{{ template "slack.default.username" . }}'
                color: '{{ template "slack.default.color" . }}'
                title: '{{ template "slack.default.title" . }}'
                title_link: '{{ template "slack.default.titlelink" . }}'
                pretext: '{{ template "slack.default.pretext" . }}'
                text: '{{ template "slack.default.text" . }}'
                footer: '{{ template "slack.default.footer" . }}'
                fallback: '{{ template "slack.default.fallback" . }}'
                callback_id: '{{ template "slack.default.callbackid" . }}'
                icon_emoji: '{{ template "slack.default.iconemoji" . }}'
                icon_url: '{{ template "slack.default.iconurl" . }}'
                short_fields: false
                link_names: false
            templates: []
            time_intervals:
            - name: night
              time_intervals:
              - times:
                - start_time: "00:00"
                  end_time: "06:00"
        "#]]
        .assert_eq(&printed);
    }

    #[tokio::test]
    async fn reads_template_files() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.tmpl"), r#"{{ define "slack.default.title" }}mine{{ end }}"#)
            .unwrap();
        let file = folder.path().join("am.yml");
        let setup = |templates: &str| {
            let yaml =
                format!("route: {{receiver: a}}\nreceivers: [{{name: a}}]\ntemplates: [{templates}]\n");
            std::fs::write(&file, yaml).unwrap();
            Config::load(&file).unwrap().value.setup("http://am").map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(setup("'*.tmpl'"), Ok(()));
        assert_eq!(setup("'none*.tmpl'"), Ok(()));
        assert!(setup("none.tmpl").unwrap_err().contains("none.tmpl: no such file"));
        std::fs::write(folder.path().join("b.tmpl"), "{{ define }}").unwrap();
        assert!(setup("'*.tmpl'").unwrap_err().starts_with("template: b.tmpl:1:"));
    }
}
