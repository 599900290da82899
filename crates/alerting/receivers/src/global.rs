//! The `global` section: what receivers inherit.

use std::path::PathBuf;
use std::time::Duration;

use novaobs_config::{Cursor, Entry, Fields, Node, Secret, Section, ToNode, Value, value};
use novaobs_http_client::HttpConfig;
use url::Url;

/// Defaults for all receivers.
#[derive(Clone, Debug, PartialEq)]
pub struct Global {
    /// After how long an alert without an end counts as over. Default 5 minutes.
    pub resolve_timeout: Duration,
    /// How to reach receivers that do not say it themselves.
    pub http_config: HttpConfig,
    /// Slack's incoming webhook.
    pub slack_api_url: Option<Url>,
    /// A file that holds it.
    pub slack_api_url_file: PathBuf,
    /// The token of a Slack app.
    pub slack_app_token: Secret,
    /// A file that holds it.
    pub slack_app_token_file: PathBuf,
    /// Where a Slack app posts.
    pub slack_app_url: Url,
    /// PagerDuty's Events API v2.
    pub pagerduty_url: Url,
    /// Keys of receivers that this release does not build, kept to be shown.
    others: Vec<Entry>,
}

/// Keys of the section that only receivers not built use.
const OTHERS: [&str; 33] = [
    "jira_api_url",
    "mattermost_webhook_url",
    "mattermost_webhook_url_file",
    "opsgenie_api_key",
    "opsgenie_api_key_file",
    "opsgenie_api_url",
    "rocketchat_api_url",
    "rocketchat_token",
    "rocketchat_token_file",
    "rocketchat_token_id",
    "rocketchat_token_id_file",
    "smtp_auth_identity",
    "smtp_auth_password",
    "smtp_auth_password_file",
    "smtp_auth_secret",
    "smtp_auth_secret_file",
    "smtp_auth_username",
    "smtp_force_implicit_tls",
    "smtp_from",
    "smtp_hello",
    "smtp_require_tls",
    "smtp_smarthost",
    "smtp_tls_config",
    "telegram_api_url",
    "telegram_bot_token",
    "telegram_bot_token_file",
    "victorops_api_key",
    "victorops_api_key_file",
    "victorops_api_url",
    "webex_api_url",
    "wechat_api_corp_id",
    "wechat_api_secret",
    "wechat_api_secret_file",
];
const WECHAT_URL: &str = "wechat_api_url";

impl Global {
    /// The section that a file without one has.
    ///
    /// # Errors
    /// Never: the URLs are constants that parse.
    pub(crate) fn standard() -> Result<Global, url::ParseError> {
        Ok(Global {
            resolve_timeout: Duration::from_secs(5 * 60),
            http_config: HttpConfig::default(),
            slack_api_url: None,
            slack_api_url_file: PathBuf::new(),
            slack_app_token: Secret::default(),
            slack_app_token_file: PathBuf::new(),
            slack_app_url: Url::parse("https://slack.com/api/chat.postMessage")?,
            pagerduty_url: Url::parse("https://events.pagerduty.com/v2/enqueue")?,
            others: Vec::new(),
        })
    }

    pub(crate) fn read(at: &Cursor<'_>) -> Option<Global> {
        let standard = match Global::standard() {
            Ok(standard) => standard,
            Err(error) => return at.error(error.to_string()),
        };
        let mut map = at.mapping();
        let others = map.take_matching(|key| OTHERS.contains(&key) || key == WECHAT_URL);
        let global = Global {
            resolve_timeout: map.or("resolve_timeout", value::duration, standard.resolve_timeout),
            http_config: map.or("http_config", HttpConfig::read, HttpConfig::default()),
            slack_api_url: map.optional("slack_api_url", secret_url),
            slack_api_url_file: map.or("slack_api_url_file", value::path, PathBuf::new()),
            slack_app_token: map.or("slack_app_token", value::secret, Secret::default()),
            slack_app_token_file: map.or("slack_app_token_file", value::path, PathBuf::new()),
            slack_app_url: map.or("slack_app_url", value::url, standard.slack_app_url),
            pagerduty_url: map.or("pagerduty_url", value::url, standard.pagerduty_url),
            others: others
                .into_iter()
                .map(|(key, at)| Entry {
                    key: key.to_owned(),
                    key_span: at.node().span,
                    value: at.node().clone(),
                })
                .collect(),
        };
        global.check(&map);
        map.finish();
        Some(global)
    }

    fn check(&self, map: &Section<'_>) {
        let webhook_file = !self.slack_api_url_file.as_os_str().is_empty();
        let token_file = !self.slack_app_token_file.as_os_str().is_empty();
        let token = !self.slack_app_token.is_empty();
        if token && token_file {
            map.error("at most one of slack_app_token & slack_app_token_file must be configured");
        }
        if self.slack_api_url.is_some() && webhook_file {
            map.error("at most one of slack_api_url & slack_api_url_file must be configured");
        }
        let same = self.slack_api_url.as_ref() == Some(&self.slack_app_url);
        if (token || token_file) && (self.slack_api_url.is_some() || webhook_file) && !same {
            map.error(
                "at most one of slack_app_token/slack_app_token_file & slack_api_url/slack_api_url_file must be configured",
            );
        }
        for key in OTHERS {
            let file = format!("{key}_file");
            let has = |wanted: &str| self.others.iter().any(|e| e.key == wanted && !e.value.is_empty());
            if has(key) && has(&file) {
                map.error(format!("at most one of {key} & {file} must be configured"));
            }
        }
    }
}

impl ToNode for Global {
    fn to_node(&self) -> Node {
        let fields = Fields::new()
            .field("resolve_timeout", &self.resolve_timeout)
            .field("http_config", &self.http_config)
            .nonempty("slack_api_url", &self.slack_api_url.as_ref().map(|_| Secret::new("set")))
            .nonempty("slack_api_url_file", &self.slack_api_url_file)
            .nonempty("slack_app_token", &self.slack_app_token)
            .nonempty("slack_app_token_file", &self.slack_app_token_file)
            .field("pagerduty_url", &self.pagerduty_url);
        // Older amtool refuses the key, so the default is not shown.
        let shown = self.slack_app_url.as_str() != "https://slack.com/api/chat.postMessage";
        let fields = if shown { fields.field("slack_app_url", &self.slack_app_url) } else { fields };
        let others =
            Node { value: Value::Mapping(self.others.clone()), span: novaobs_config::Span::default() };
        fields.inline(&hidden(&others)).node()
    }
}

/// A node with every secret in it replaced, for sections that are only shown.
pub(crate) fn hidden(node: &Node) -> Node {
    const SECRETS: [&str; 24] = [
        "alert_source_token",
        "api_key",
        "api_secret",
        "auth_password",
        "auth_secret",
        "bearer_token",
        "bot_token",
        "client_secret",
        "credentials",
        "mattermost_webhook_url",
        "opsgenie_api_key",
        "password",
        "rocketchat_token",
        "rocketchat_token_id",
        "secret_key",
        "smtp_auth_password",
        "smtp_auth_secret",
        "telegram_bot_token",
        "token",
        "token_id",
        "user_key",
        "victorops_api_key",
        "webhook_url",
        "wechat_api_secret",
    ];
    let value = match &node.value {
        Value::Mapping(entries) => Value::Mapping(
            entries
                .iter()
                .map(|entry| {
                    let secret = SECRETS.contains(&entry.key.as_str()) && !entry.value.is_empty();
                    let value = if secret { Node::text(Secret::HIDDEN) } else { hidden(&entry.value) };
                    Entry { value, ..entry.clone() }
                })
                .collect(),
        ),
        Value::Sequence(items) => Value::Sequence(items.iter().map(hidden).collect()),
        other => other.clone(),
    };
    Node { value, span: node.span }
}

/// An http(s) URL that must not be shown, not even in an error.
pub(crate) fn secret_url(at: &Cursor<'_>) -> Option<Url> {
    match Url::parse(&value::string(at)?) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            at.error(format!("unsupported scheme {:?} for URL: write it as https://host/path", url.scheme()))
        }
        Ok(url) if url.has_host() => Some(url),
        Ok(_) => at.error("missing host for URL: write it as https://host/path"),
        Err(error) => at.error(format!("not a valid URL ({error}): write it as https://host/path")),
    }
}

/// A secret URL that may be a template; only one that is not can be checked.
pub(crate) fn template_url(at: &Cursor<'_>) -> Option<Secret> {
    let text = value::string(at)?;
    if !text.contains("{{") && !text.is_empty() {
        secret_url(at)?;
    }
    Some(Secret::new(text))
}

/// A secret URL as it is shown: where it leads, not what it says there. Still a URL, because older amtool
/// refuses a config whose webhook has none.
pub(crate) fn hidden_url(text: &str) -> String {
    match Url::parse(text) {
        Ok(url) if url.has_host() && !text.contains("{{") => {
            let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
            format!("{}://{}{port}/{}", url.scheme(), url.host_str().unwrap_or(""), Secret::HIDDEN)
        }
        _ if text.is_empty() => String::new(),
        _ => Secret::HIDDEN.to_owned(),
    }
}
