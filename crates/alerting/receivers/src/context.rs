//! What all receivers render with: templates, and the data of a notification.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use novaobs_alerts::{Notification, NotifiedAlert, NotifyError, time};
use novaobs_model::Labels;
use novaobs_template::notification::{self, Alert, Data};
use novaobs_template::{Limits, RenderError, Template, Time};

/// A text may take this long to render.
const RENDER_TIME: Duration = Duration::from_secs(5);

/// Templates and where the alerts can be looked at. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Context {
    templates: Template,
    external_url: Arc<str>,
}

impl Context {
    /// From parsed templates and the URL under which users reach Alertmanager's pages.
    pub fn new(templates: Template, external_url: &str) -> Context {
        Context { templates, external_url: external_url.trim_end_matches('/').into() }
    }

    /// The data that templates see for `alerts`, some or all of a notification's.
    pub(crate) fn data(&self, notification: &Notification, alerts: &[NotifiedAlert]) -> Data {
        let firing = notification.alerts.iter().any(|alert| alert.resolved_at.is_none());
        let mut data = Data {
            receiver: quote_meta(&notification.receiver),
            status: status(firing).to_owned(),
            alerts: alerts.iter().map(alert).collect(),
            notification_reason: notification.reason.to_string(),
            group_labels: kv(&notification.group_labels),
            common_labels: common(alerts.iter().map(|alert| kv(&alert.labels))),
            common_annotations: common(alerts.iter().map(|alert| alert.annotations.clone())),
            route_labels: notification.route_labels.clone(),
            external_url: self.external_url.to_string(),
        };
        data.route_labels = self.route_labels(&data);
        data
    }

    /// The route's labels with their templates rendered; one that fails is left out.
    fn route_labels(&self, data: &Data) -> BTreeMap<String, String> {
        let render = |(name, text): (&String, &String)| match self.render(text, data) {
            Ok(text) => Some((name.clone(), text)),
            Err(error) => {
                tracing::error!(label = name, %error, "a route label does not render and is left out");
                None
            }
        };
        data.route_labels.iter().filter_map(render).collect()
    }

    pub(crate) fn render(&self, text: &str, data: &Data) -> Result<String, RenderError> {
        let limits = Limits { deadline: Some(Instant::now() + RENDER_TIME), ..Limits::default() };
        notification::render(&self.templates, text, data, &limits)
    }
}

/// A text that does not render will not at the next try either.
pub(crate) fn unrenderable(error: &RenderError) -> NotifyError {
    NotifyError::fatal(error.to_string())
}

pub(crate) fn status(firing: bool) -> &'static str {
    if firing { "firing" } else { "resolved" }
}

fn alert(alert: &NotifiedAlert) -> Alert {
    Alert {
        status: status(alert.resolved_at.is_none()).to_owned(),
        labels: kv(&alert.labels),
        annotations: alert.annotations.clone(),
        starts_at: template_time(&alert.starts_at),
        ends_at: alert.resolved_at.as_ref().map_or(Time::zero(), template_time),
        generator_url: alert.generator_url.clone(),
        fingerprint: alert.fingerprint.to_string(),
    }
}

fn template_time(time: &time::Time) -> Time {
    const RFC3339_NANO: &str = "2006-01-02T15:04:05.999999999Z07:00";
    novaobs_template::time::parse(RFC3339_NANO, &time::rfc3339_nano(time)).unwrap_or_else(|error| {
        novaobs_model::never!("a time does not read back: {error}");
        Time::utc(time.to_utc())
    })
}

fn kv(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The pairs that all sets share.
fn common(mut sets: impl Iterator<Item = BTreeMap<String, String>>) -> BTreeMap<String, String> {
    let mut shared = sets.next().unwrap_or_default();
    for set in sets {
        // A label that is missing equals one that is empty.
        shared.retain(|name, value| set.get(name).map_or("", String::as_str) == value);
    }
    shared
}

/// Escapes what means something in a regular expression: receivers' names end up in links that filter.
fn quote_meta(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// At most `limit` characters, the last being an ellipsis if any are cut.
pub(crate) fn truncate(text: String, limit: usize) -> String {
    match text.char_indices().nth(limit.saturating_sub(1)) {
        Some((cut, c)) if cut + c.len_utf8() < text.len() => format!("{}…", text.get(..cut).unwrap_or("")),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncates_by_characters() {
        assert_eq!(truncate("éééé".to_owned(), 4), "éééé");
        assert_eq!(truncate("ééééé".to_owned(), 4), "ééé…");
    }

    #[test]
    fn shares_pairs() {
        let set =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let sets = [set(&[("a", "1"), ("b", ""), ("c", "1")]), set(&[("a", "1"), ("c", "2")])];
        assert_eq!(common(sets.into_iter()), set(&[("a", "1"), ("b", "")]));
    }
}
