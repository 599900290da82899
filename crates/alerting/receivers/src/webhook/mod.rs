//! Webhooks: the group as JSON to any URL.

mod config;

use futures::future::BoxFuture;
use novaobs_alerts::{Notification, NotifyError, Receiver};
use novaobs_http_client::{BuildError, HttpClient};
use novaobs_template::json;
use url::Url;

pub use config::WebhookConfig;

use crate::context::{Context, unrenderable};
use crate::json::rendered;
use crate::post;

/// Sends to one webhook.
pub(crate) struct Webhook {
    config: WebhookConfig,
    context: Context,
    client: HttpClient,
}

impl Webhook {
    pub(crate) fn new(config: &WebhookConfig, context: &Context) -> Result<Webhook, BuildError> {
        let client = HttpClient::new(&config.http_config)?;
        Ok(Webhook { config: config.clone(), context: context.clone(), client })
    }

    /// The body, and the template of the URL rendered.
    fn message(&self, notification: &Notification, url: &str) -> Result<(String, String), NotifyError> {
        let all = notification.alerts.len();
        let kept = usize::try_from(self.config.max_alerts)
            .ok()
            .filter(|max| *max > 0)
            .map_or(all, |max| max.min(all));
        let alerts = notification.alerts.get(..kept).unwrap_or_default();
        let data = self.context.data(notification, alerts);
        let url = self.context.render(url, &data).map_err(|error| unrenderable(&error))?;
        if let Some(payload) = &self.config.payload {
            let value = rendered(payload, &|text| self.context.render(text, &data));
            let value = value.map_err(|error| unrenderable(&error))?;
            return Ok((json::encode(&value).map_err(NotifyError::fatal)?, url));
        }
        let mut body = json::encode(&data.to_value()).map_err(NotifyError::fatal)?;
        body.pop();
        body.push_str(r#","version":"4","groupKey":"#);
        json::string(&mut body, &notification.group_key);
        body.push_str(&format!(r#","truncatedAlerts":{}}}"#, all - kept));
        Ok((body, url))
    }

    async fn send(&self, notification: &Notification) -> Result<(), NotifyError> {
        let url = if self.config.url.is_empty() {
            post::read_secret_file("url_file", &self.config.url_file).await?
        } else {
            self.config.url.expose().to_owned()
        };
        let (body, url) = self.message(notification, &url)?;
        if url.is_empty() {
            return Err(NotifyError::fatal("webhook URL is empty after templating"));
        }
        let url: Url = url.parse().map_err(|error| NotifyError::fatal(format!("webhook URL: {error}")))?;
        let timeout = (!self.config.timeout.is_zero()).then_some(self.config.timeout);
        // Go's encoder ends with a newline.
        let answer = post::post_json(&self.client, url, body + "\n", timeout).await?;
        answer.check(&[], &answer.text())
    }
}

impl Receiver for Webhook {
    fn notify<'a>(&'a self, notification: &'a Notification) -> BoxFuture<'a, Result<(), NotifyError>> {
        Box::pin(self.send(notification))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use expect_test::expect;
    use novaobs_alerts::{FailureReason, Retry};

    use crate::testing::{OK, file_of, firing, resolved, send};

    #[tokio::test]
    async fn sends_the_group() {
        let (seen, result) =
            send(&file_of("webhook_configs: [{url: URL/hook, max_alerts: 2}]"), &firing(), OK).await;
        assert_eq!(result, Ok(()));
        expect![[r#"
            /hook
            content-type: application/json
            {"receiver":"all","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"X","instance":"a","job":"j","severity":"warning"},"annotations":{},"startsAt":"2026-11-22T17:47:04.308626842Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"","fingerprint":"00e8128a5feb847e"},{"status":"firing","labels":{"alertname":"X","instance":"b\u003c\u003e\u0026","severity":"warning"},"annotations":{"empty":"","summary":"sum \u2028 é"},"startsAt":"2026-11-22T10:00:00.123456789+02:00","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://p/graph?a=1\u0026b","fingerprint":"2500293fdd3394d2"}],"notification_reason":"first notification","groupLabels":{"alertname":"X"},"commonLabels":{"alertname":"X","severity":"warning"},"commonAnnotations":{},"routeLabels":{},"externalURL":"http://am:9093","version":"4","groupKey":"{}:{alertname=\"X\"}","truncatedAlerts":1}
        "#]].assert_eq(&seen);
        let (seen, _) = send(&file_of("webhook_configs: [{url: URL/hook}]"), &resolved(), OK).await;
        expect![[r#"
            /hook
            content-type: application/json
            {"receiver":"all","status":"resolved","alerts":[{"status":"resolved","labels":{"alertname":"X","instance":"a","job":"j","severity":"warning"},"annotations":{},"startsAt":"2026-11-22T17:47:04.308626842Z","endsAt":"2026-11-22T18:00:00Z","generatorURL":"","fingerprint":"00e8128a5feb847e"}],"notification_reason":"all alerts resolved","groupLabels":{"alertname":"X"},"commonLabels":{"alertname":"X","instance":"a","job":"j","severity":"warning"},"commonAnnotations":{},"routeLabels":{},"externalURL":"http://am:9093","version":"4","groupKey":"{}:{alertname=\"X\"}","truncatedAlerts":0}
        "#]].assert_eq(&seen);
    }

    #[tokio::test]
    async fn sends_a_body_of_the_users_own_to_a_rendered_url() {
        let section = r#"webhook_configs:
  - url: URL/{{ .GroupLabels.alertname }}
    payload:
      text: '{{ .Status }} {{ len .Alerts }}'
      count: '{{ len .Alerts }}'
      '{{ .Receiver }}': [a, 2, {deep: '{{ .CommonLabels.severity }}'}]"#;
        let (seen, result) = send(&file_of(section), &firing(), OK).await;
        assert_eq!(result, Ok(()));
        expect![[r#"
            /X
            content-type: application/json
            {"all":["a",2,{"deep":"warning"}],"count":3,"text":"firing 3"}
        "#]]
        .assert_eq(&seen);
    }

    #[tokio::test]
    async fn reads_its_url_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        std::fs::write(&path, "http://127.0.0.1:1/secret\n").unwrap();
        let section = format!("webhook_configs: [{{url_file: {}}}]", path.display());
        let (_, result) = send(&file_of(&section), &firing(), OK).await;
        let error = result.unwrap_err();
        assert_eq!(error.retry, Retry::Backoff);
        assert!(error.message.contains("connection refused") && !error.message.contains("secret"), "{error}");
    }

    #[tokio::test]
    async fn judges_answers() {
        let f = async |status: u16, retry, reason, message: &str| {
            let reply = (StatusCode::from_u16(status).unwrap(), vec![], "why");
            let (_, result) = send(&file_of("webhook_configs: [{url: URL}]"), &firing(), reply).await;
            let error = result.unwrap_err();
            assert_eq!((error.retry, error.reason, error.message.as_str()), (retry, reason, message));
        };
        f(500, Retry::Backoff, FailureReason::Server, "unexpected status code 500: why").await;
        f(404, Retry::Never, FailureReason::Client, "unexpected status code 404: why").await;
        f(429, Retry::Never, FailureReason::RateLimited, "unexpected status code 429: why").await;
        f(401, Retry::Never, FailureReason::Auth, "unexpected status code 401: why").await;
    }
}
