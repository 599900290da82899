//! What the API and pages ask about alerts, groups and silences.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use novaobs_model::{GoRegex, Labels, Matcher};

use crate::alert::{Alert, Fingerprint, label_set_order, notification_order};
use crate::engine::Engine;
use crate::matchers::filter_matches;
use crate::silence::{Silence, SilenceState, silence_has};
use crate::time::Time;

/// Which alerts are wanted.
#[derive(Clone, Debug)]
pub struct AlertFilter {
    /// Those that would notify.
    pub active: bool,
    /// Silenced ones.
    pub silenced: bool,
    /// Inhibited ones.
    pub inhibited: bool,
    /// Groups whose route is muted by a time interval; only for [`Engine::alert_groups`].
    pub muted: bool,
    /// Conditions on the alert's labels.
    pub matchers: Vec<Matcher>,
    /// The name of a receiver it is routed to.
    pub receiver: Option<GoRegex>,
    /// Conditions on the labels of a receiver it is routed to.
    pub receiver_matchers: Vec<Matcher>,
}

impl Default for AlertFilter {
    fn default() -> AlertFilter {
        AlertFilter {
            active: true,
            silenced: true,
            inhibited: true,
            muted: true,
            matchers: Vec::new(),
            receiver: None,
            receiver_matchers: Vec::new(),
        }
    }
}

/// An alert with what keeps it from notifying.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertView {
    /// The alert.
    pub alert: Arc<Alert>,
    /// The receivers it is routed to.
    pub receivers: Vec<String>,
    /// Ids of silences.
    pub silenced_by: Vec<String>,
    /// Fingerprints of alerts.
    pub inhibited_by: Vec<Fingerprint>,
    /// Names of time intervals.
    pub muted_by: Vec<String>,
}

impl AlertView {
    /// Whether anything keeps it from notifying.
    pub fn is_suppressed(&self) -> bool {
        !(self.silenced_by.is_empty() && self.inhibited_by.is_empty() && self.muted_by.is_empty())
    }
}

/// A group with its alerts.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupView {
    /// The labels its alerts share.
    pub labels: Labels,
    /// The labels of its route.
    pub route_labels: BTreeMap<String, String>,
    /// Whom it notifies.
    pub receiver: String,
    /// Its alerts.
    pub alerts: Vec<AlertView>,
}

impl Engine {
    /// The alerts that are not over, by fingerprint.
    pub(crate) fn list_alerts(&self, filter: &AlertFilter, now: Time) -> Vec<AlertView> {
        let mut views: Vec<AlertView> =
            self.alerts.values().filter_map(|alert| self.alert_view(alert, filter, now)).collect();
        views.sort_by_key(|view| view.alert.fingerprint);
        views
    }

    fn alert_view(&self, alert: &Arc<Alert>, filter: &AlertFilter, now: Time) -> Option<AlertView> {
        if alert.ends_at < now || !filter_matches(&filter.matchers, &alert.labels) {
            return None;
        }
        let route = &self.setup().route;
        let nodes = route.matching(&alert.labels);
        let receivers: Vec<String> =
            nodes.iter().filter_map(|index| route.get(*index)).map(|node| node.receiver.clone()).collect();
        if !receivers.iter().any(|name| self.receiver_fits(name, filter)) {
            return None;
        }
        self.suppression(alert, receivers, filter, now)
    }

    /// The view, unless the filter does not want its state.
    fn suppression(
        &self,
        alert: &Arc<Alert>,
        receivers: Vec<String>,
        filter: &AlertFilter,
        now: Time,
    ) -> Option<AlertView> {
        let view = AlertView {
            alert: alert.clone(),
            receivers,
            silenced_by: self.silences.silencing(&alert.labels, now),
            inhibited_by: self.inhibitor.inhibited_by(&alert.labels, &self.alerts, now).into_iter().collect(),
            muted_by: Vec::new(),
        };
        let wanted = (filter.active || view.is_suppressed())
            && (filter.silenced || view.silenced_by.is_empty())
            && (filter.inhibited || view.inhibited_by.is_empty());
        wanted.then_some(view)
    }

    fn receiver_fits(&self, name: &str, filter: &AlertFilter) -> bool {
        let by_labels = || {
            let named = self.setup().receivers.iter().find(|named| named.name == name);
            named.is_some_and(|named| {
                filter_matches(&filter.receiver_matchers, &Labels::from_pairs(named.labels.iter()))
            })
        };
        filter.receiver.as_ref().is_none_or(|regex| regex.is_match(name))
            && (filter.receiver_matchers.is_empty() || by_labels())
    }

    /// The groups that have alerts that are not over, by labels and receiver.
    pub(crate) fn alert_groups(&self, filter: &AlertFilter, now: Time) -> Vec<GroupView> {
        let mut receivers: HashMap<Fingerprint, Vec<String>> = HashMap::new();
        let mut groups = Vec::new();
        for (index, labels, alerts) in self.groups() {
            let Some(route) = self.setup().route.get(index) else { continue };
            if !self.receiver_fits(&route.receiver, filter) {
                continue;
            }
            let fits =
                |alert: &&Arc<Alert>| alert.ends_at >= now && filter_matches(&filter.matchers, &alert.labels);
            let mut views: Vec<AlertView> = alerts
                .filter(fits)
                .filter_map(|alert| self.suppression(alert, Vec::new(), filter, now))
                .collect();
            for view in &views {
                receivers.entry(view.alert.fingerprint).or_default().push(route.receiver.clone());
            }
            let muted_by = self.muted_by(route, now);
            if views.is_empty() || (!muted_by.is_empty() && !filter.muted) {
                continue;
            }
            views.iter_mut().for_each(|view| view.muted_by.clone_from(&muted_by));
            views.sort_by(|a, b| notification_order(&a.alert.labels, &b.alert.labels));
            groups.push(GroupView {
                labels: labels.clone(),
                route_labels: route.labels.clone(),
                receiver: route.receiver.clone(),
                alerts: views,
            });
        }
        receivers.values_mut().for_each(|names| names.sort_unstable());
        for view in groups.iter_mut().flat_map(|group| &mut group.alerts) {
            view.receivers = receivers.get(&view.alert.fingerprint).cloned().unwrap_or_default();
        }
        groups
            .sort_by(|a, b| label_set_order(&a.labels, &b.labels).then_with(|| a.receiver.cmp(&b.receiver)));
        groups
    }

    /// The silences in one of `states` that hold all of `filter` literally: active ones by their end, then
    /// pending ones by their start, then expired ones, the latest first.
    pub(crate) fn list_silences(
        &self,
        states: &[SilenceState],
        filter: &[Matcher],
        now: Time,
    ) -> Vec<Silence> {
        let wanted = |silence: &&Silence| {
            (states.is_empty() || states.contains(&silence.state(now))) && silence_has(silence, filter)
        };
        let mut silences: Vec<Silence> = self.silences.iter().filter(wanted).cloned().collect();
        silences.sort_by_key(|silence| {
            let state = silence.state(now);
            let (first, last) = match state {
                SilenceState::Active => (Some(silence.ends_at), None),
                SilenceState::Pending => (Some(silence.starts_at), None),
                SilenceState::Expired => (None, Some(Reverse(silence.ends_at))),
            };
            (state, first, last, silence.id.clone())
        });
        silences
    }

    /// Brings the gauges that count alerts and silences up to date.
    pub(crate) fn update_gauges(&self, now: Time) {
        let (mut active, mut suppressed) = (0.0, 0.0);
        for view in self.list_alerts(&AlertFilter::default(), now) {
            *(if view.is_suppressed() { &mut suppressed } else { &mut active }) += 1.0;
        }
        self.metrics.alerts.with_label_values(&["active"]).set(active);
        self.metrics.alerts.with_label_values(&["suppressed"]).set(suppressed);
        for state in [SilenceState::Active, SilenceState::Pending, SilenceState::Expired] {
            let count = self.silences.iter().filter(|silence| silence.state(now) == state).count();
            self.metrics.silences.with_label_values(&[state.as_str()]).set(count as f64);
        }
    }
}
