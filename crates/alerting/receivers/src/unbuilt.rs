//! The kinds of receivers that this release knows but does not build. A file may hold them: each says so
//! when the file is read, and alerts routed to it are counted as failed, never dropped in silence.

use futures::future::BoxFuture;
use novaobs_alerts::{Notification, NotifyError, Receiver};
use novaobs_config::{Cursor, Node, ToNode, value};

/// A kind: its name, its keys apart from `send_resolved` and `http_config`, and whether it tells about
/// resolved alerts by default.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) key: &'static str,
    keys: &'static str,
    send_resolved: bool,
}

/// In the order the peer builds them.
pub(crate) const KINDS: [Kind; 15] = [
    Kind {
        name: "email",
        key: "email_configs",
        keys: "to from hello smarthost auth_username auth_password auth_password_file auth_secret auth_secret_file \
               auth_identity headers html text require_tls tls_config force_implicit_tls threading",
        send_resolved: false,
    },
    Kind {
        name: "opsgenie",
        key: "opsgenie_configs",
        keys: "actions api_key api_key_file api_url description details entity message note priority responders \
               source tags update_alerts",
        send_resolved: true,
    },
    Kind {
        name: "wechat",
        key: "wechat_configs",
        keys: "api_secret api_secret_file corp_id message api_url to_user to_party to_tag agent_id message_type",
        send_resolved: false,
    },
    Kind {
        name: "victorops",
        key: "victorops_configs",
        keys: "api_key api_key_file api_url routing_key message_type state_message entity_display_name \
               monitoring_tool custom_fields",
        send_resolved: true,
    },
    Kind {
        name: "pushover",
        key: "pushover_configs",
        keys: "device expire html message monospace priority retry sound title token token_file ttl url url_title \
               user_key user_key_file",
        send_resolved: true,
    },
    Kind {
        name: "sns",
        key: "sns_configs",
        keys: "api_url attributes message phone_number sigv4 subject target_arn topic_arn use_aws_http_client",
        send_resolved: true,
    },
    Kind {
        name: "telegram",
        key: "telegram_configs",
        keys: "api_url bot_token bot_token_file chat_id chat_id_file disable_notifications message \
               message_thread_id parse_mode",
        send_resolved: true,
    },
    Kind {
        name: "discord",
        key: "discord_configs",
        keys: "avatar_url content message title username webhook_url webhook_url_file",
        send_resolved: true,
    },
    Kind { name: "webex", key: "webex_configs", keys: "api_url message room_id", send_resolved: true },
    Kind {
        name: "msteams",
        key: "msteams_configs",
        keys: "summary text title webhook_url webhook_url_file",
        send_resolved: true,
    },
    Kind {
        name: "msteamsv2",
        key: "msteamsv2_configs",
        keys: "text title webhook_url webhook_url_file",
        send_resolved: true,
    },
    Kind {
        name: "jira",
        key: "jira_configs",
        keys: "api_type api_url description fields issue_type labels priority project reopen_duration \
               reopen_transition resolve_transition summary wont_fix_resolution",
        send_resolved: true,
    },
    Kind {
        name: "incidentio",
        key: "incidentio_configs",
        keys: "alert_source_token alert_source_token_file max_alerts timeout url url_file",
        send_resolved: true,
    },
    Kind {
        name: "rocketchat",
        key: "rocketchat_configs",
        keys: "actions api_url channel color emoji fields icon_url image_url link_names short_fields text thumb_url \
               title title_link token token_file token_id token_id_file",
        send_resolved: false,
    },
    Kind {
        name: "mattermost",
        key: "mattermost_configs",
        keys: "attachments author_icon author_link author_name channel color fallback fields footer footer_icon \
               icon_emoji icon_url image_url pretext priority props text thumb_url title title_link type username \
               webhook_url webhook_url_file",
        send_resolved: true,
    },
];

/// A section of such a kind.
#[derive(Clone, Debug, PartialEq)]
pub struct UnbuiltConfig {
    /// The kind.
    pub kind: &'static str,
    /// Whether it wants to know about resolved alerts.
    pub send_resolved: bool,
    section: Node,
}

impl UnbuiltConfig {
    pub(crate) fn read(at: &Cursor<'_>, kind: &Kind) -> Option<UnbuiltConfig> {
        let mut map = at.mapping();
        let send_resolved = map.or("send_resolved", value::boolean, kind.send_resolved);
        map.optional("http_config", novaobs_http_client::HttpConfig::read);
        drop(map.take_matching(|key| kind.keys.split_whitespace().any(|known| known == key)));
        map.finish();
        at.warn(format!(
            "{} receivers are not built in this release: alerts routed here are counted as failed notifications",
            kind.name
        ));
        Some(UnbuiltConfig { kind: kind.name, send_resolved, section: at.node().clone() })
    }
}

impl ToNode for UnbuiltConfig {
    fn to_node(&self) -> Node {
        crate::global::hidden(&self.section)
    }
}

/// Fails each notification.
pub(crate) struct Unbuilt {
    pub(crate) kind: &'static str,
}

impl Receiver for Unbuilt {
    fn notify<'a>(&'a self, _: &'a Notification) -> BoxFuture<'a, Result<(), NotifyError>> {
        let message = format!("{} receivers are not built in this release", self.kind);
        Box::pin(std::future::ready(Err(NotifyError::fatal(message))))
    }
}
