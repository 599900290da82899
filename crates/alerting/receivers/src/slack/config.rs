//! The `slack_configs` section.

use std::path::PathBuf;
use std::time::Duration;

use novaobs_config::{Cursor, Fields, Node, Secret, Section, ToNode, value};
use novaobs_http_client::{Authorization, HttpConfig};
use url::Url;

use crate::global::{Global, secret_url};

/// A Slack channel.
#[derive(Clone, Debug, PartialEq)]
pub struct SlackConfig {
    /// Whether to tell about resolved alerts. Default false.
    pub send_resolved: bool,
    /// How to reach it, with the app's token as its credentials.
    pub http_config: HttpConfig,
    /// Where to: an incoming webhook, or the app's URL.
    pub api_url: Option<Url>,
    /// A file that holds the URL.
    pub api_url_file: PathBuf,
    /// Templates, by the key of the file.
    pub texts: Texts,
    /// Whether names and channels in texts become links.
    pub link_names: bool,
    /// The fields of the attachment.
    pub fields: Vec<SlackField>,
    /// Whether fields are short when they do not say so themselves.
    pub short_fields: bool,
    /// The attachment's buttons.
    pub actions: Vec<SlackAction>,
    /// Which texts hold Slack's markup.
    pub mrkdwn_in: Vec<String>,
    /// How long a send may take; zero for as long as the group's time lasts.
    pub timeout: Duration,
}

/// A table in the attachment.
#[derive(Clone, Debug, PartialEq)]
pub struct SlackField {
    /// Heading.
    pub title: String,
    /// Text.
    pub value: String,
    /// Whether two fit beside each other.
    pub short: Option<bool>,
}

/// A button.
#[derive(Clone, Debug, PartialEq)]
pub struct SlackAction {
    /// Texts by key: type, text, url, style, name, value.
    pub texts: Vec<(&'static str, String)>,
    /// What is asked before it acts: title, text, ok_text, dismiss_text, each possibly empty.
    pub confirm: Option<Vec<(&'static str, String)>>,
}

/// The plain template keys with their values, defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Texts(Vec<(&'static str, String)>);

/// Key and default of each text.
const TEXTS: [(&str, &str); 15] = [
    ("channel", ""),
    ("username", r#"{{ template "slack.default.username" . }}"#),
    ("color", r#"{{ template "slack.default.color" . }}"#),
    ("title", r#"{{ template "slack.default.title" . }}"#),
    ("title_link", r#"{{ template "slack.default.titlelink" . }}"#),
    ("pretext", r#"{{ template "slack.default.pretext" . }}"#),
    ("text", r#"{{ template "slack.default.text" . }}"#),
    ("message_text", ""),
    ("footer", r#"{{ template "slack.default.footer" . }}"#),
    ("fallback", r#"{{ template "slack.default.fallback" . }}"#),
    ("callback_id", r#"{{ template "slack.default.callbackid" . }}"#),
    ("icon_emoji", r#"{{ template "slack.default.iconemoji" . }}"#),
    ("icon_url", r#"{{ template "slack.default.iconurl" . }}"#),
    ("image_url", ""),
    ("thumb_url", ""),
];

impl Texts {
    fn read(map: &mut Section<'_>) -> Texts {
        let read =
            |(key, default): &(&'static str, &str)| (*key, map.or(key, value::string, (*default).to_owned()));
        Texts(TEXTS.iter().map(read).collect())
    }

    /// The template of a key.
    pub fn get(&self, key: &str) -> &str {
        self.0.iter().find(|(name, _)| *name == key).map_or("", |(_, text)| text)
    }
}

impl SlackConfig {
    pub(crate) fn read(at: &Cursor<'_>, global: &Global) -> Option<SlackConfig> {
        let mut map = at.mapping();
        let send_resolved = map.or("send_resolved", value::boolean, false);
        let own_http = map.optional("http_config", HttpConfig::read);
        // What is inside is not there when it is wrong; then that was said.
        let own_url = map.optional("api_url", |at| Some(secret_url(at)));
        let wrong_url = own_url == Some(None);
        let mut api_url = own_url.flatten();
        let mut api_url_file = map.or("api_url_file", value::path, PathBuf::new());
        let mut token = map.or("app_token", value::secret, Secret::default());
        let mut token_file = map.or("app_token_file", value::path, PathBuf::new());
        let app_url = map.optional("app_url", value::url).unwrap_or_else(|| global.slack_app_url.clone());
        let texts = Texts::read(&mut map);
        let config = SlackConfig {
            send_resolved,
            http_config: HttpConfig::default(),
            api_url: None,
            api_url_file: PathBuf::new(),
            texts,
            link_names: map.or("link_names", value::boolean, false),
            fields: map.list("fields", SlackField::read),
            short_fields: map.or("short_fields", value::boolean, false),
            actions: map.list("actions", SlackAction::read),
            mrkdwn_in: map.or("mrkdwn_in", value::list(value::string), Vec::new()),
            timeout: map.or("timeout", value::duration, Duration::ZERO),
        };
        if map.or("update_message", value::boolean, false) {
            map.error_at(
                "update_message",
                "update_message is not built in this release: remove it, new messages are sent",
            );
        }
        let (has_url, has_url_file) = (api_url.is_some(), !api_url_file.as_os_str().is_empty());
        let (has_token, has_token_file) = (!token.is_empty(), !token_file.as_os_str().is_empty());
        if has_url && has_url_file {
            map.error("at most one of api_url & api_url_file must be configured");
        }
        if has_token && has_token_file {
            map.error("at most one of app_token & app_token_file must be configured");
        }
        if (has_url || has_url_file) && (has_token || has_token_file) {
            map.error("at most one of api_url/api_url_file & app_token/app_token_file must be configured");
        }
        let own_credentials = own_http.as_ref().is_some_and(|http| http.authorization.is_some());
        if !has_token && !has_token_file && !own_credentials && !has_url {
            token = global.slack_app_token.clone();
            token_file.clone_from(&global.slack_app_token_file);
        }
        if !has_url && !has_url_file {
            api_url.clone_from(&global.slack_api_url);
            api_url_file.clone_from(&global.slack_api_url_file);
        }
        let by_token = !token.is_empty() || !token_file.as_os_str().is_empty();
        if api_url.is_none() && api_url_file.as_os_str().is_empty() && !by_token && !wrong_url {
            map.error("no Slack API URL nor App token set either inline or in a file");
        }
        let mut http_config = own_http.unwrap_or_else(|| global.http_config.clone());
        if by_token {
            if http_config.authorization.is_some() {
                map.error("http authorization can't be set when using Slack App tokens");
            }
            http_config.authorization = Some(Authorization {
                kind: "Bearer".to_owned(),
                credentials: token,
                credentials_file: token_file,
            });
            api_url = Some(app_url);
        }
        map.finish();
        Some(SlackConfig { http_config, api_url, api_url_file, ..config })
    }
}

impl SlackField {
    fn read(at: &Cursor<'_>) -> Option<SlackField> {
        let mut map = at.mapping();
        let field = SlackField {
            title: map.or("title", value::string, String::new()),
            value: map.or("value", value::string, String::new()),
            short: map.optional("short", value::boolean),
        };
        if field.title.is_empty() {
            map.error("missing title in Slack field configuration");
        }
        if field.value.is_empty() {
            map.error("missing value in Slack field configuration");
        }
        map.finish();
        Some(field)
    }
}

impl SlackAction {
    fn read(at: &Cursor<'_>) -> Option<SlackAction> {
        const KEYS: [&str; 6] = ["type", "text", "url", "style", "name", "value"];
        let mut map = at.mapping();
        let mut texts: Vec<(&'static str, String)> =
            KEYS.iter().map(|key| (*key, map.or(key, value::string, String::new()))).collect();
        let mut confirm = map.optional("confirm", |at| {
            const KEYS: [&str; 4] = ["text", "title", "ok_text", "dismiss_text"];
            let mut map = at.mapping();
            let texts: Vec<(&'static str, String)> =
                KEYS.iter().map(|key| (*key, map.or(key, value::string, String::new()))).collect();
            if texts.iter().any(|(key, text)| *key == "text" && text.is_empty()) {
                map.error("missing text in Slack confirmation configuration");
            }
            map.finish();
            Some(texts)
        });
        let has = |wanted: &str| texts.iter().any(|(key, text)| *key == wanted && !text.is_empty());
        for key in ["type", "text"] {
            if !has(key) {
                map.error(format!("missing {key} in Slack action configuration"));
            }
        }
        if has("url") {
            // A link acts by itself; the fields of an interactive message do not apply.
            texts.retain(|(key, _)| !matches!(*key, "name" | "value"));
            confirm = None;
        } else if !has("name") {
            map.error("missing name or url in Slack action configuration");
        }
        map.finish();
        Some(SlackAction { texts, confirm })
    }
}

impl ToNode for SlackConfig {
    fn to_node(&self) -> Node {
        let api_url = self.api_url.as_ref().map(|_| Secret::new("set"));
        let texts = |fields: Fields, pairs: &[(&'static str, String)]| {
            pairs.iter().fold(fields, |fields, (key, text)| fields.nonempty(key, text))
        };
        let slack_fields = self.fields.iter().map(|field| {
            let fields = Fields::new().field("title", &field.title).field("value", &field.value);
            // An absent one is not false: the section's default applies to it.
            match field.short {
                Some(short) => fields.field("short", &short).node(),
                None => fields.node(),
            }
        });
        let actions = self.actions.iter().map(|action| {
            let fields = texts(Fields::new(), &action.texts);
            let confirm = action.confirm.as_ref().map(|confirm| texts(Fields::new(), confirm).node());
            fields.nonempty("confirm", &confirm).node()
        });
        let fields = Fields::new()
            .field("send_resolved", &self.send_resolved)
            .field("http_config", &self.http_config)
            .nonempty("api_url", &api_url)
            .nonempty("api_url_file", &self.api_url_file);
        texts(fields, &self.texts.0)
            .nonempty("fields", &Node::sequence(slack_fields))
            .field("short_fields", &self.short_fields)
            .field("link_names", &self.link_names)
            .nonempty("mrkdwn_in", &self.mrkdwn_in)
            .nonempty("actions", &Node::sequence(actions))
            .nonempty("timeout", &self.timeout)
            .node()
    }
}
