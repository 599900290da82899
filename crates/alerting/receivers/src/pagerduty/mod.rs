//! PagerDuty: the group as one incident, triggered while anything fires and resolved after that.

mod config;

use futures::future::BoxFuture;
use novaobs_alerts::{Notification, NotifyError, Receiver};
use novaobs_http_client::{BuildError, HttpClient};
use novaobs_template::notification::Data;
use novaobs_template::{RenderError, json};
use sha2::{Digest, Sha256};
use url::Url;

pub use config::PagerdutyConfig;

use crate::context::{Context, truncate, unrenderable};
use crate::json::{JsonObject, rendered};
use crate::post::{self, Answer};

/// PagerDuty refuses larger events.
const MAX_EVENT: usize = 512_000;
const TOO_LARGE: &str =
    "Custom details have been removed because the original event exceeds the maximum size of 512KB";
/// What PagerDuty keeps of a title, in both APIs.
const MAX_SUMMARY: usize = 1024;
const V1_URL: &str = "https://events.pagerduty.com/generic/2010-04-15/create_event.json";

/// Sends to one service.
pub(crate) struct Pagerduty {
    config: PagerdutyConfig,
    context: Context,
    client: HttpClient,
}

impl Pagerduty {
    pub(crate) fn new(config: &PagerdutyConfig, context: &Context) -> Result<Pagerduty, BuildError> {
        let client = HttpClient::new(&config.http_config)?;
        Ok(Pagerduty { config: config.clone(), context: context.clone(), client })
    }

    /// The event with its details, or with an apology for them when that is too large.
    fn event(&self, notification: &Notification, data: &Data, key: &str) -> Result<String, NotifyError> {
        let write = |details: &str| match self.config.is_v1() {
            true => self.event_v1(notification, data, key, details),
            false => self.event_v2(notification, data, key, details),
        };
        let details = self.details(data).map_err(|error| unrenderable(&error))?;
        let event = write(&details).map_err(|error| unrenderable(&error))?;
        if event.len() < MAX_EVENT {
            return Ok(event);
        }
        tracing::warn!(
            bytes = event.len(),
            limit = MAX_EVENT,
            "a PagerDuty event is too large, its details are left out"
        );
        write(&JsonObject::new().text("error", TOO_LARGE).end()).map_err(|error| unrenderable(&error))
    }

    fn details(&self, data: &Data) -> Result<String, RenderError> {
        let render = |text: &str| self.context.render(text, data);
        self.config
            .details
            .iter()
            .try_fold(JsonObject::new(), |object, (name, node)| {
                let value = rendered(node, &render)?;
                // What YAML can say and JSON cannot are infinities.
                Ok(object.raw(name, &json::encode(&value).unwrap_or_else(|_| "null".to_owned())))
            })
            .map(JsonObject::end)
    }

    fn event_v2(
        &self,
        notification: &Notification,
        data: &Data,
        key: &str,
        details: &str,
    ) -> Result<String, RenderError> {
        let text = |template: &str| self.context.render(template, data);
        let severity = if self.config.severity.is_empty() { "error" } else { &self.config.severity };
        let payload = JsonObject::new()
            .text("summary", &truncate(text(&self.config.description)?, MAX_SUMMARY))
            .text("source", &text(&self.config.source)?)
            .text("severity", &text(severity)?)
            .nonempty("class", &text(&self.config.class)?)
            .nonempty("component", &text(&self.config.component)?)
            .nonempty("group", &text(&self.config.group)?)
            .raw("custom_details", details);
        let mut images = Vec::new();
        for [src, alt, href] in &self.config.images {
            let src = text(src)?;
            if !src.is_empty() {
                images.push(
                    JsonObject::new()
                        .text("src", &src)
                        .text("alt", &text(alt)?)
                        .text("href", &text(href)?)
                        .end(),
                );
            }
        }
        let mut links = Vec::new();
        for [href, label] in &self.config.links {
            let href = text(href)?;
            if !href.is_empty() {
                links.push(JsonObject::new().text("href", &href).text("text", &text(label)?).end());
            }
        }
        Ok(JsonObject::new()
            .nonempty("routing_key", key)
            .text("dedup_key", &dedup_key(&notification.group_key))
            .text("event_action", event_type(data))
            .raw("payload", &payload.end())
            .nonempty("client", &text(&self.config.client)?)
            .nonempty("client_url", &text(&self.config.client_url)?)
            .list("images", &images)
            .list("links", &links)
            .end())
    }

    fn event_v1(
        &self,
        notification: &Notification,
        data: &Data,
        key: &str,
        details: &str,
    ) -> Result<String, RenderError> {
        let text = |template: &str| self.context.render(template, data);
        let event = JsonObject::new()
            .nonempty("service_key", key)
            .text("incident_key", &dedup_key(&notification.group_key))
            .text("event_type", event_type(data))
            .nonempty("description", &truncate(text(&self.config.description)?, MAX_SUMMARY))
            .text("event_action", "")
            .raw("payload", "null");
        let event = if event_type(data) == "trigger" {
            event
                .nonempty("client", &text(&self.config.client)?)
                .nonempty("client_url", &text(&self.config.client_url)?)
        } else {
            event
        };
        Ok(event.raw("details", details).end())
    }

    /// The rendered key.
    async fn key(&self, data: &Data) -> Result<String, NotifyError> {
        let (what, key, file) = match self.config.is_v1() {
            true => ("service key", &self.config.service_key, &self.config.service_key_file),
            false => ("routing key", &self.config.routing_key, &self.config.routing_key_file),
        };
        let template = match key.is_empty() {
            true => post::read_secret_file(what, file).await?,
            false => key.expose().to_owned(),
        };
        match self.context.render(&template, data) {
            Ok(key) if key.is_empty() => Err(NotifyError::fatal(format!("{what} cannot be empty"))),
            Ok(key) => Ok(key),
            Err(error) => Err(unrenderable(&error)),
        }
    }

    async fn send(&self, notification: &Notification) -> Result<(), NotifyError> {
        let data = self.context.data(notification, &notification.alerts);
        let key = self.key(&data).await?;
        let event = self.event(notification, &data, &key)?;
        let url = match self.config.is_v1() {
            true => V1_URL.parse::<Url>().map_err(|error| NotifyError::fatal(error.to_string()))?,
            false => self.config.url.clone(),
        };
        let timeout = (!self.config.timeout.is_zero()).then_some(self.config.timeout);
        let answer = post::post_json(&self.client, url, event + "\n", timeout).await?;
        // Where the two APIs say "too many".
        let also = if self.config.is_v1() { 403 } else { 429 };
        answer.check(&[also], &details_of(&answer))
    }
}

fn event_type(data: &Data) -> &'static str {
    if data.status == crate::context::status(true) { "trigger" } else { "resolve" }
}

/// Receivers limit the length of keys, so it is the hash of the group's.
fn dedup_key(group_key: &str) -> String {
    Sha256::digest(group_key).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What PagerDuty says about an event it refuses.
fn details_of(answer: &Answer) -> String {
    if answer.status.as_u16() != 400 {
        return String::new();
    }
    let Ok(body) = serde_json::from_slice::<serde_json::Value>(&answer.body) else { return String::new() };
    let text = |value: Option<&serde_json::Value>| value.and_then(|v| v.as_str()).unwrap_or("").to_owned();
    let errors = body.get("errors").and_then(|errors| errors.as_array()).cloned().unwrap_or_default();
    let errors: Vec<String> = errors.iter().map(|error| text(Some(error))).collect();
    format!("{}: {}", text(body.get("message")), errors.join(","))
}

impl Receiver for Pagerduty {
    fn notify<'a>(&'a self, notification: &'a Notification) -> BoxFuture<'a, Result<(), NotifyError>> {
        Box::pin(self.send(notification))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use expect_test::expect;
    use novaobs_alerts::{FailureReason, Retry};

    use super::*;
    use crate::testing::{OK, Reply, file_of, firing, resolved, send};

    const SECTION: &str = r#"pagerduty_configs:
  - routing_key: abc
    url: URL/pd
    details: {num: "42", obj: '{"a": [1,2,{"b": "x"}]}', nested: 'q: z'}
    images: [{src: "http://i", alt: al, href: h}, {src: ""}]
    links: [{href: "http://l", text: tx}]
    severity: '{{ .CommonLabels.severity }}'"#;

    #[tokio::test]
    async fn triggers_and_resolves() {
        let (seen, result) = send(&file_of(SECTION), &firing(), OK).await;
        assert_eq!(result, Ok(()));
        expect![[r#"
            /pd
            content-type: application/json
            {"routing_key":"abc","dedup_key":"25fb0bff77cf7f8850f1cb3aeea9e63be0fbd3e78a8c0ef038392ade26e7d3a6","event_action":"trigger","payload":{"summary":"[FIRING:3] X (warning)","source":"Alertmanager","severity":"warning","custom_details":{"firing":[{"annotations":{},"endsAt":"0001-01-01T00:00:00Z","fingerprint":"00e8128a5feb847e","generatorURL":"","labels":{"alertname":"X","instance":"a","job":"j","severity":"warning"},"startsAt":"2026-11-22T17:47:04.308626842Z","status":"firing"},{"annotations":{"empty":"","summary":"sum \u2028 é"},"endsAt":"0001-01-01T00:00:00Z","fingerprint":"2500293fdd3394d2","generatorURL":"http://p/graph?a=1\u0026b","labels":{"alertname":"X","instance":"b\u003c\u003e\u0026","severity":"warning"},"startsAt":"2026-11-22T10:00:00.123456789+02:00","status":"firing"},{"annotations":{},"endsAt":"0001-01-01T00:00:00Z","fingerprint":"7f47de6095732025","generatorURL":"","labels":{"alertname":"X","instance":"c","severity":"warning"},"startsAt":"2026-11-22T17:47:04.308626842Z","status":"firing"}],"nested":{"q":"z"},"num":42,"num_firing":3,"num_resolved":0,"obj":{"a":[1,2,{"b":"x"}]},"resolved":[]}},"client":"Alertmanager","client_url":"http://am:9093/#/alerts?receiver=all","images":[{"src":"http://i","alt":"al","href":"h"}],"links":[{"href":"http://l","text":"tx"}]}
        "#]].assert_eq(&seen);
        let section =
            "pagerduty_configs: [{routing_key: abc, url: URL/pd, component: c, group: g, class: k}]";
        let (seen, _) = send(&file_of(section), &resolved(), OK).await;
        expect![[r#"
            /pd
            content-type: application/json
            {"routing_key":"abc","dedup_key":"25fb0bff77cf7f8850f1cb3aeea9e63be0fbd3e78a8c0ef038392ade26e7d3a6","event_action":"resolve","payload":{"summary":"[RESOLVED] X (a j warning)","source":"Alertmanager","severity":"error","class":"k","component":"c","group":"g","custom_details":{"firing":[],"num_firing":0,"num_resolved":1,"resolved":[{"annotations":{},"endsAt":"2026-11-22T18:00:00Z","fingerprint":"00e8128a5feb847e","generatorURL":"","labels":{"alertname":"X","instance":"a","job":"j","severity":"warning"},"startsAt":"2026-11-22T17:47:04.308626842Z","status":"resolved"}]}},"client":"Alertmanager","client_url":"http://am:9093/#/alerts?receiver=all"}
        "#]].assert_eq(&seen);
    }

    #[tokio::test]
    async fn writes_events_of_the_old_api() {
        let yaml = file_of("pagerduty_configs: [{service_key: old}]");
        let config = crate::Config::parse("am.yml", &yaml).unwrap().value;
        let crate::IntegrationConfig::Pagerduty(config) = &config.receivers[0].integrations[0] else {
            panic!()
        };
        let context = Context::new(novaobs_template::notification::template().unwrap(), "http://am");
        let service = Pagerduty::new(config, &context).unwrap();
        let notification = resolved();
        let data = context.data(&notification, &notification.alerts);
        let key = service.key(&data).await.unwrap();
        expect![[r#"{"service_key":"old","incident_key":"25fb0bff77cf7f8850f1cb3aeea9e63be0fbd3e78a8c0ef038392ade26e7d3a6","event_type":"resolve","description":"[RESOLVED] X (a j warning)","event_action":"","payload":null,"details":{"firing":[],"num_firing":0,"num_resolved":1,"resolved":[{"annotations":{},"endsAt":"2026-11-22T18:00:00Z","fingerprint":"00e8128a5feb847e","generatorURL":"","labels":{"alertname":"X","instance":"a","job":"j","severity":"warning"},"startsAt":"2026-11-22T17:47:04.308626842Z","status":"resolved"}]}}"#]].assert_eq(&service.event(&notification, &data, &key).unwrap());
    }

    #[tokio::test]
    async fn leaves_out_details_that_are_too_large() {
        let section = format!(
            "pagerduty_configs: [{{routing_key: a, url: URL, details: {{x: {}}}}}]",
            "y".repeat(512_000)
        );
        let (seen, result) = send(&file_of(&section), &firing(), OK).await;
        assert_eq!(result, Ok(()));
        assert!(seen.contains(&format!(r#""custom_details":{{"error":"{TOO_LARGE}"}}"#)), "{seen}");
    }

    #[tokio::test]
    async fn refuses_an_empty_key_and_judges_answers() {
        let section = "pagerduty_configs: [{routing_key: '{{ .CommonLabels.nope }}', url: URL}]";
        let (seen, result) = send(&file_of(section), &firing(), OK).await;
        assert_eq!(
            (seen.as_str(), result.unwrap_err().message.as_str()),
            ("", "routing key cannot be empty")
        );
        let f = async |reply: Reply, retry, reason, message: &str| {
            let (_, result) = send(&file_of(SECTION), &firing(), reply).await;
            let error = result.unwrap_err();
            assert_eq!((error.retry, error.reason, error.message.as_str()), (retry, reason, message));
        };
        f(
            (
                StatusCode::BAD_REQUEST,
                vec![],
                r#"{"status":"invalid event","message":"Event object is invalid","errors":["Length of 'routing_key' is incorrect","x"]}"#,
            ),
            Retry::Never,
            FailureReason::Client,
            "unexpected status code 400: Event object is invalid: Length of 'routing_key' is incorrect,x",
        )
        .await;
        let many = (StatusCode::TOO_MANY_REQUESTS, vec![], "");
        f(many, Retry::Backoff, FailureReason::RateLimited, "unexpected status code 429").await;
        let denied = (StatusCode::FORBIDDEN, vec![], "");
        f(denied, Retry::Never, FailureReason::Auth, "unexpected status code 403").await;
    }
}
