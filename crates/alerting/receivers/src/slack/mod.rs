//! Slack: the group as one attachment to an incoming webhook or, by an app's token, to chat.postMessage.

mod config;

use futures::future::BoxFuture;
use novaobs_alerts::{FailureReason, Notification, NotifyError, Receiver, Retry};
use novaobs_http_client::{BuildError, HttpClient};
use novaobs_template::notification::Data;
use novaobs_template::{RenderError, json};
use url::Url;

pub use config::{SlackAction, SlackConfig, SlackField, Texts};

use crate::context::{Context, truncate, unrenderable};
use crate::json::{JsonObject, array};
use crate::post::{self, Answer};

/// What Slack shows of a title.
const MAX_TITLE: usize = 1024;

/// Sends to one channel.
pub(crate) struct Slack {
    config: SlackConfig,
    context: Context,
    client: HttpClient,
}

impl Slack {
    pub(crate) fn new(config: &SlackConfig, context: &Context) -> Result<Slack, BuildError> {
        let client = HttpClient::new(&config.http_config)?;
        Ok(Slack { config: config.clone(), context: context.clone(), client })
    }

    /// The body and the channel it names.
    fn message(&self, data: &Data) -> Result<(String, String), RenderError> {
        let text = |key: &str| self.context.render(self.config.texts.get(key), data);
        let channel = text("channel")?;
        let body = JsonObject::new()
            .nonempty("channel", &channel)
            .nonempty("username", &text("username")?)
            .nonempty("icon_emoji", &text("icon_emoji")?)
            .nonempty("icon_url", &text("icon_url")?);
        let body = if self.config.link_names { body.raw("link_names", "true") } else { body };
        let body = body
            .nonempty("text", &text("message_text")?)
            .raw("attachments", &array(&[self.attachment(data)?]));
        Ok((body.end(), channel))
    }

    fn attachment(&self, data: &Data) -> Result<String, RenderError> {
        let text = |key: &str| self.context.render(self.config.texts.get(key), data);
        let fields =
            self.config.fields.iter().map(|field| self.field(field, data)).collect::<Result<Vec<_>, _>>()?;
        let actions =
            self.config.actions.iter().map(|one| self.action(one, data)).collect::<Result<Vec<_>, _>>()?;
        let markup: Vec<&str> = if self.config.mrkdwn_in.is_empty() {
            vec!["fallback", "pretext", "text"]
        } else {
            self.config.mrkdwn_in.iter().map(String::as_str).collect()
        };
        let quoted = |text: &&str| {
            let mut out = String::new();
            json::string(&mut out, text);
            out
        };
        Ok(JsonObject::new()
            .nonempty("title", &truncate(text("title")?, MAX_TITLE))
            .nonempty("title_link", &text("title_link")?)
            .nonempty("pretext", &text("pretext")?)
            .text("text", &text("text")?)
            .text("fallback", &text("fallback")?)
            .text("callback_id", &text("callback_id")?)
            .list("fields", &fields)
            .list("actions", &actions)
            .nonempty("image_url", &text("image_url")?)
            .nonempty("thumb_url", &text("thumb_url")?)
            .text("footer", &text("footer")?)
            .nonempty("color", &text("color")?)
            .list("mrkdwn_in", &markup.iter().map(quoted).collect::<Vec<_>>())
            .end())
    }

    fn field(&self, field: &SlackField, data: &Data) -> Result<String, RenderError> {
        let short = field.short.unwrap_or(self.config.short_fields);
        Ok(JsonObject::new()
            .nonempty("title", &self.context.render(&field.title, data)?)
            .nonempty("value", &self.context.render(&field.value, data)?)
            .raw("short", if short { "true" } else { "false" })
            .end())
    }

    fn action(&self, action: &SlackAction, data: &Data) -> Result<String, RenderError> {
        let texts = |pairs: &[(&'static str, String)]| {
            pairs.iter().try_fold(JsonObject::new(), |object, (key, text)| {
                Ok::<_, RenderError>(object.nonempty(key, &self.context.render(text, data)?))
            })
        };
        let object = texts(&action.texts)?;
        Ok(match &action.confirm {
            Some(confirm) => object.raw("confirm", &texts(confirm)?.end()).end(),
            None => object.end(),
        })
    }

    async fn send(&self, notification: &Notification) -> Result<(), NotifyError> {
        let data = self.context.data(notification, &notification.alerts);
        let (body, channel) = self.message(&data).map_err(|error| unrenderable(&error))?;
        let url = match &self.config.api_url {
            Some(url) => url.clone(),
            None => {
                let text = post::read_secret_file("api_url_file", &self.config.api_url_file).await?;
                text.parse::<Url>().map_err(|error| NotifyError::fatal(format!("api_url_file: {error}")))?
            }
        };
        let timeout = (!self.config.timeout.is_zero()).then_some(self.config.timeout);
        let answer = post::post_json(&self.client, url, body + "\n", timeout).await?;
        // Unlike the peer we honour a 429: Slack sends Retry-After with it.
        let checked = answer.check(&[429], &answer.text()).and_then(|()| check_body(&answer));
        checked.map_err(|error| {
            let message = format!("channel {}: {error}", novaobs_model::labels::go_quote(&channel));
            NotifyError { message, ..error }
        })
    }
}

/// Slack says 200 to what it refuses: a webhook answers `ok`, the API `{"ok": true}`, else an error.
fn check_body(answer: &Answer) -> Result<(), NotifyError> {
    let failed = |message: String, retry| Err(NotifyError { message, retry, reason: FailureReason::Client });
    if !answer.content_type.starts_with("application/json") {
        return if answer.body == b"ok" {
            Ok(())
        } else {
            failed(format!("received an error response from Slack: {}", answer.text()), Retry::Never)
        };
    }
    match serde_json::from_slice::<serde_json::Value>(&answer.body) {
        Ok(body) if body.get("ok") == Some(&serde_json::Value::Bool(true)) => Ok(()),
        Ok(body) => {
            let error = body.get("error").and_then(serde_json::Value::as_str).unwrap_or("");
            failed(format!("error response from Slack: {error}"), Retry::Never)
        }
        Err(error) => {
            failed(format!("could not unmarshal JSON response {:?}: {error}", answer.text()), Retry::Backoff)
        }
    }
}

impl Receiver for Slack {
    fn notify<'a>(&'a self, notification: &'a Notification) -> BoxFuture<'a, Result<(), NotifyError>> {
        Box::pin(self.send(notification))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::StatusCode;
    use expect_test::expect;

    use super::*;
    use crate::testing::{OK, Reply, file_of, firing, resolved, send};

    #[tokio::test]
    async fn sends_an_attachment_to_a_webhook() {
        let section = r##"slack_configs:
  - channel: '#ops'
    api_url: URL/services/T0
    fields: [{title: a<b, value: "{{ .Status }}"}, {title: b, value: c, short: true}]
    actions:
    - {type: button, text: go, url: "http://x/?a=1&b=2", style: primary, name: dropped}
    - {type: button, text: n, name: nm, value: vv, confirm: {text: sure}}
    text: "{{ range .Alerts }}{{ .Annotations.summary }} {{ end }}""##;
        let (seen, result) = send(&file_of(section), &firing(), OK).await;
        assert_eq!(result, Ok(()));
        expect![[r##"
            /services/T0
            content-type: application/json
            {"channel":"#ops","username":"Alertmanager","attachments":[{"title":"[FIRING:3] X (warning)","title_link":"http://am:9093/#/alerts?receiver=all","text":" sum \u2028 é  ","fallback":"[FIRING:3] X (warning) | http://am:9093/#/alerts?receiver=all","callback_id":"","fields":[{"title":"a\u003cb","value":"firing","short":false},{"title":"b","value":"c","short":true}],"actions":[{"type":"button","text":"go","url":"http://x/?a=1\u0026b=2","style":"primary"},{"type":"button","text":"n","name":"nm","value":"vv","confirm":{"text":"sure"}}],"footer":"","color":"danger","mrkdwn_in":["fallback","pretext","text"]}]}
        "##]].assert_eq(&seen);
    }

    #[tokio::test]
    async fn sends_to_the_api_with_the_apps_token() {
        let section = "slack_configs: [{app_token: xoxb-1, app_url: URL/api/chat.postMessage, channel: C1, \
                       message_text: '{{ .Status }}', link_names: true, mrkdwn_in: [text]}]";
        let reply: Reply =
            (StatusCode::OK, vec![("content-type", "application/json")], r#"{"ok":true,"ts":"1"}"#);
        let (seen, result) = send(&file_of(section), &resolved(), reply).await;
        assert_eq!(result, Ok(()));
        expect![[r#"
            /api/chat.postMessage
            content-type: application/json
            authorization: Bearer xoxb-1
            {"channel":"C1","username":"Alertmanager","link_names":true,"text":"resolved","attachments":[{"title":"[RESOLVED] X (a j warning)","title_link":"http://am:9093/#/alerts?receiver=all","text":"","fallback":"[RESOLVED] X (a j warning) | http://am:9093/#/alerts?receiver=all","callback_id":"","footer":"","color":"good","mrkdwn_in":["text"]}]}
        "#]].assert_eq(&seen);
    }

    #[tokio::test]
    async fn cuts_long_titles() {
        let section = format!("slack_configs: [{{api_url: URL, title: {}}}]", "é".repeat(1025));
        let (seen, _) = send(&file_of(&section), &firing(), OK).await;
        assert!(seen.contains(&format!("\"title\":\"{}…\"", "é".repeat(1023))));
    }

    #[tokio::test]
    async fn judges_answers() {
        const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");
        let f = async |reply: Reply, retry, reason, message: &str| {
            let section = "slack_configs: [{api_url: URL, channel: '#a'}]";
            let (_, result) = send(&file_of(section), &firing(), reply).await;
            let error = result.unwrap_err();
            assert_eq!((error.retry, error.reason, error.message.as_str()), (retry, reason, message));
        };
        f(
            (StatusCode::OK, vec![], "no_team"),
            Retry::Never,
            FailureReason::Client,
            "channel \"#a\": received an error response from Slack: no_team",
        )
        .await;
        f(
            (StatusCode::OK, vec![JSON], r#"{"ok":false,"error":"channel_not_found"}"#),
            Retry::Never,
            FailureReason::Client,
            "channel \"#a\": error response from Slack: channel_not_found",
        )
        .await;
        f(
            (StatusCode::TOO_MANY_REQUESTS, vec![("retry-after", "7")], "rate_limited"),
            Retry::After(Duration::from_secs(7)),
            FailureReason::RateLimited,
            "channel \"#a\": unexpected status code 429: rate_limited",
        )
        .await;
        f(
            (StatusCode::BAD_GATEWAY, vec![], ""),
            Retry::Backoff,
            FailureReason::Server,
            "channel \"#a\": unexpected status code 502",
        )
        .await;
    }
}
