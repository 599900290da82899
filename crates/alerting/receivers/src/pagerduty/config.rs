//! The `pagerduty_configs` section.

use std::path::PathBuf;
use std::time::Duration;

use novaobs_config::{Cursor, Fields, Node, Secret, ToNode, value};
use novaobs_http_client::HttpConfig;
use url::Url;

use crate::global::Global;

/// A PagerDuty service.
#[derive(Clone, Debug, PartialEq)]
pub struct PagerdutyConfig {
    /// Whether to resolve incidents. Default true.
    pub send_resolved: bool,
    /// How to reach it.
    pub http_config: HttpConfig,
    /// The key of an Events v2 integration; may be a template.
    pub routing_key: Secret,
    /// A file that holds it.
    pub routing_key_file: PathBuf,
    /// The key of an Events v1 integration; may be a template. Wins over a routing key.
    pub service_key: Secret,
    /// A file that holds it.
    pub service_key_file: PathBuf,
    /// Where Events v2 go.
    pub url: Url,
    /// Who reports.
    pub client: String,
    /// Where to look at the alerts.
    pub client_url: String,
    /// The incident's title.
    pub description: String,
    /// What is affected; by default the client.
    pub source: String,
    /// `critical`, `error`, `warning` or `info`. Default `error`.
    pub severity: String,
    /// The type of the event.
    pub class: String,
    /// The part that is affected.
    pub component: String,
    /// A grouping of parts.
    pub group: String,
    /// Custom details: names to texts or nested values, with templates.
    pub details: Vec<(String, Node)>,
    /// Images: src, alt, href.
    pub images: Vec<[String; 3]>,
    /// Links: href, text.
    pub links: Vec<[String; 2]>,
    /// How long a send may take; zero for as long as the group's time lasts.
    pub timeout: Duration,
}

/// Details that every event has unless the file gives them another text.
const DETAILS: [(&str, &str); 4] = [
    ("firing", "{{ .Alerts.Firing | toJson }}"),
    ("num_firing", "{{ .Alerts.Firing | len }}"),
    ("num_resolved", "{{ .Alerts.Resolved | len }}"),
    ("resolved", "{{ .Alerts.Resolved | toJson }}"),
];

impl PagerdutyConfig {
    pub(crate) fn read(at: &Cursor<'_>, global: &Global) -> Option<PagerdutyConfig> {
        let mut map = at.mapping();
        let mut text = |key: &'static str, default: &str| map.or(key, value::string, default.to_owned());
        let client = text("client", r#"{{ template "pagerduty.default.client" . }}"#);
        let mut source = text("source", "");
        if source.is_empty() {
            source.clone_from(&client);
        }
        let client_url = text("client_url", r#"{{ template "pagerduty.default.clientURL" . }}"#);
        let description = text("description", r#"{{ template "pagerduty.default.description" .}}"#);
        let severity = text("severity", "");
        let (class, component, group) = (text("class", ""), text("component", ""), text("group", ""));
        let mut details = map.or("details", value::map(|at| Some(at.node().clone())), Vec::new());
        for (name, text) in DETAILS {
            if !details.iter().any(|(known, _)| known == name) {
                details.push((name.to_owned(), Node::text(text)));
            }
        }
        details.sort_by(|(a, _), (b, _)| a.cmp(b));
        let config = PagerdutyConfig {
            send_resolved: map.or("send_resolved", value::boolean, true),
            http_config: map
                .optional("http_config", HttpConfig::read)
                .unwrap_or_else(|| global.http_config.clone()),
            routing_key: map.or("routing_key", value::secret, Secret::default()),
            routing_key_file: map.or("routing_key_file", value::path, PathBuf::new()),
            service_key: map.or("service_key", value::secret, Secret::default()),
            service_key_file: map.or("service_key_file", value::path, PathBuf::new()),
            url: map.or("url", value::url, global.pagerduty_url.clone()),
            client,
            client_url,
            description,
            source,
            severity,
            class,
            component,
            group,
            details,
            images: map.list("images", |at| texts(at, ["src", "alt", "href"])),
            links: map.list("links", |at| texts(at, ["href", "text"])),
            timeout: map.or("timeout", value::duration, Duration::ZERO),
        };
        let (routing, routing_file) =
            (!config.routing_key.is_empty(), !config.routing_key_file.as_os_str().is_empty());
        let (service, service_file) =
            (!config.service_key.is_empty(), !config.service_key_file.as_os_str().is_empty());
        if !routing && !routing_file && !service && !service_file {
            map.error("missing service or routing key in PagerDuty config");
        }
        if routing && routing_file {
            map.error("at most one of routing_key & routing_key_file must be configured");
        }
        if service && service_file {
            map.error("at most one of service_key & service_key_file must be configured");
        }
        map.finish();
        Some(config)
    }

    /// Whether it speaks the Events API v1.
    pub(crate) fn is_v1(&self) -> bool {
        !self.service_key.is_empty() || !self.service_key_file.as_os_str().is_empty()
    }
}

fn texts<const N: usize>(at: &Cursor<'_>, keys: [&'static str; N]) -> Option<[String; N]> {
    let mut map = at.mapping();
    let texts = keys.map(|key| map.or(key, value::string, String::new()));
    map.finish();
    Some(texts)
}

impl ToNode for PagerdutyConfig {
    fn to_node(&self) -> Node {
        fn objects<const N: usize>(items: &[[String; N]], keys: [&str; N]) -> Node {
            Node::sequence(items.iter().map(|texts| {
                let pairs = keys.iter().zip(texts);
                pairs.fold(Fields::new(), |fields, (key, text)| fields.nonempty(key, text)).node()
            }))
        }
        let details =
            self.details.iter().fold(Fields::new(), |fields, (name, node)| fields.field(name, node));
        Fields::new()
            .field("send_resolved", &self.send_resolved)
            .field("http_config", &self.http_config)
            .nonempty("service_key", &self.service_key)
            .nonempty("service_key_file", &self.service_key_file)
            .nonempty("routing_key", &self.routing_key)
            .nonempty("routing_key_file", &self.routing_key_file)
            .field("url", &self.url)
            .nonempty("client", &self.client)
            .nonempty("client_url", &self.client_url)
            .nonempty("description", &self.description)
            .field("details", &details.node())
            .nonempty("images", &objects(&self.images, ["src", "alt", "href"]))
            .nonempty("links", &objects(&self.links, ["href", "text"]))
            .nonempty("source", &self.source)
            .nonempty("severity", &self.severity)
            .nonempty("class", &self.class)
            .nonempty("component", &self.component)
            .nonempty("group", &self.group)
            .nonempty("timeout", &self.timeout)
            .node()
    }
}
