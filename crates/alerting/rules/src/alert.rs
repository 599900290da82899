//! The life of alerts of one rule: pending, firing, kept firing, resolved.

use std::collections::{BTreeMap, BTreeSet};

use novaobs_model::{Alert, Labels, LabelsBuilder, METRIC_NAME};
use novaobs_promql::VectorSample;

use crate::file::{AlertDef, RuleDef};
use crate::text::Renderer;

/// Resolved alerts are kept, and sent again, for this long, so that neither a network fault nor a restart
/// of the receiver loses the news. Milliseconds.
const RESOLVED_RETENTION: i64 = 15 * 60 * 1000;

/// The state of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertState {
    /// Not holding any more; kept for a while after it fired.
    Inactive,
    /// The expression holds, not yet long enough.
    Pending,
    /// The expression has held long enough.
    Firing,
}

impl AlertState {
    /// As the API and the label `alertstate` say it.
    pub fn as_str(self) -> &'static str {
        match self {
            AlertState::Inactive => "inactive",
            AlertState::Pending => "pending",
            AlertState::Firing => "firing",
        }
    }
}

/// One alert of a rule. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveAlert {
    /// Where it stands.
    pub state: AlertState,
    /// Its identity.
    pub labels: Labels,
    /// What it says.
    pub annotations: Labels,
    /// The expression's last value.
    pub value: f64,
    /// Since when the expression holds.
    pub active_at: i64,
    /// Since when it fires.
    pub fired_at: Option<i64>,
    /// When it ceased.
    pub resolved_at: Option<i64>,
    /// Since when it fires only because of `keep_firing_for`.
    pub keep_firing_since: Option<i64>,
    /// When it was last handed to the notifiers.
    pub last_sent_at: Option<i64>,
    /// Until when the notifiers may believe it fires.
    pub valid_until: i64,
}

impl ActiveAlert {
    fn needs_sending(&self, now: i64, resend_delay: i64) -> bool {
        if self.state == AlertState::Pending {
            return false;
        }
        match (self.resolved_at, self.last_sent_at) {
            (_, None) => true,
            (Some(resolved), Some(sent)) if resolved > sent => true,
            (_, Some(sent)) => sent.saturating_add(resend_delay) < now,
        }
    }
}

/// The alerts of one rule.
#[derive(Clone, Debug)]
pub(crate) struct AlertSet {
    alerts: BTreeMap<Labels, ActiveAlert>,
    /// Whether the state of before the start has been restored: only then is state written.
    restored: bool,
}

/// The alerts that an evaluation's result asks for, their texts rendered.
///
/// # Errors
/// When two samples make the same alert.
pub(crate) fn wanted(
    rule: &RuleDef,
    alert: &AlertDef,
    samples: &[VectorSample],
    renderer: &Renderer,
    now: i64,
) -> Result<Vec<ActiveAlert>, String> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::with_capacity(samples.len());
    for sample in samples {
        let data = renderer.data(sample);
        let mut labels = LabelsBuilder::from_labels(&sample.labels);
        labels.remove(METRIC_NAME);
        for (name, template) in &rule.labels {
            labels.set(name, &renderer.render(template, &data));
        }
        labels.set("alertname", &alert.name);
        let labels = labels.build();
        if !seen.insert(labels.clone()) {
            return Err(
                "vector contains metrics with the same labelset after applying alert labels".to_owned()
            );
        }
        let annotations = Labels::from_pairs(
            alert.annotations.iter().map(|(name, text)| (name, renderer.render(text, &data))),
        );
        all.push(ActiveAlert {
            state: AlertState::Pending,
            labels,
            annotations,
            value: sample.value,
            active_at: now,
            fired_at: None,
            resolved_at: None,
            keep_firing_since: None,
            last_sent_at: None,
            valid_until: 0,
        });
    }
    Ok(all)
}

impl AlertSet {
    /// No alerts; `restored` says that there is no state of before the start to wait for.
    pub(crate) fn new(restored: bool) -> Self {
        AlertSet { alerts: BTreeMap::new(), restored }
    }

    /// Takes over what one evaluation found and moves every alert on. Gives the samples of `ALERTS` and
    /// `ALERTS_FOR_STATE`.
    ///
    /// # Errors
    /// When there are more alerts than `limit` (0: any number); all are forgotten then.
    pub(crate) fn advance(
        &mut self,
        rule: &AlertDef,
        wanted: Vec<ActiveAlert>,
        now: i64,
        limit: usize,
    ) -> Result<Vec<(Labels, f64)>, String> {
        let hold = millis(rule.hold);
        let keep = millis(rule.keep_firing_for);
        let present: BTreeSet<Labels> = wanted.iter().map(|alert| alert.labels.clone()).collect();
        for new in wanted {
            match self.alerts.get_mut(&new.labels) {
                Some(old) if old.state != AlertState::Inactive => {
                    old.value = new.value;
                    old.annotations = new.annotations;
                }
                _ => drop(self.alerts.insert(new.labels.clone(), new)),
            }
        }
        let mut samples = Vec::new();
        let mut active = 0usize;
        let restored = self.restored;
        self.alerts.retain(|labels, alert| {
            if !present.contains(labels) {
                let (kept, holds) = cease(alert, now, keep);
                if !holds {
                    return kept;
                }
            } else {
                alert.keep_firing_since = None;
            }
            active += 1;
            let held = now - alert.active_at >= hold;
            if alert.state == AlertState::Pending && held {
                alert.state = AlertState::Firing;
                alert.fired_at = Some(now);
            }
            // The rule's `for` has grown at a reload.
            if alert.state == AlertState::Firing && !held {
                alert.state = AlertState::Pending;
                alert.fired_at = None;
                alert.last_sent_at = None;
                alert.keep_firing_since = None;
            }
            if restored {
                samples.push((state_series(alert), 1.0));
                // Whole seconds, as the peer writes and reads them.
                samples.push((for_state_series(labels), alert.active_at.div_euclid(1000) as f64));
            }
            true
        });
        if limit > 0 && active > limit {
            self.alerts.clear();
            return Err(format!("exceeded limit of {limit} with {active} alerts"));
        }
        Ok(samples)
    }

    /// The alerts that are due to be handed to the notifiers now; marks them as sent.
    pub(crate) fn take_due(&mut self, now: i64, resend_delay: i64, interval: i64, url: &str) -> Vec<Alert> {
        let mut all = Vec::new();
        for alert in self.alerts.values_mut() {
            if !alert.needs_sending(now, resend_delay) {
                continue;
            }
            alert.last_sent_at = Some(now);
            // Four times lets one send fail and the next be late without a false resolve.
            alert.valid_until = now.saturating_add(4 * interval.max(resend_delay));
            all.push(Alert {
                labels: alert.labels.clone(),
                annotations: alert.annotations.clone(),
                starts_at: alert.fired_at.unwrap_or(alert.active_at),
                ends_at: alert.resolved_at.unwrap_or(alert.valid_until),
                generator_url: url.to_owned(),
            });
        }
        all
    }

    /// Alerts that are pending or firing, in order of labels.
    pub(crate) fn active(&self) -> impl Iterator<Item = &ActiveAlert> {
        self.alerts.values().filter(|alert| alert.resolved_at.is_none())
    }

    /// The highest state of any alert.
    pub(crate) fn state(&self) -> AlertState {
        self.alerts.values().map(|alert| alert.state).max().unwrap_or(AlertState::Inactive)
    }

    /// Sets since when alerts are active, by `restore`.
    pub(crate) fn restore(&mut self, mut restore: impl FnMut(&ActiveAlert) -> Option<i64>) {
        for alert in self.alerts.values_mut() {
            if let Some(active_at) = restore(alert) {
                alert.active_at = active_at;
            }
        }
        self.restored = true;
    }

    /// Adds an alert of before the restart.
    pub(crate) fn insert(&mut self, alert: ActiveAlert) {
        self.alerts.insert(alert.labels.clone(), alert);
    }

    /// Takes over the alerts of the rule that this one replaces.
    pub(crate) fn copy_from(&mut self, old: &AlertSet) {
        self.alerts.extend(old.alerts.iter().map(|(labels, alert)| (labels.clone(), alert.clone())));
    }
}

/// An alert whose expression does not hold: (whether it stays in memory, whether it goes on firing).
fn cease(alert: &mut ActiveAlert, now: i64, keep: i64) -> (bool, bool) {
    let mut holds = false;
    if alert.state == AlertState::Firing && keep > 0 {
        let since = *alert.keep_firing_since.get_or_insert(now);
        holds = now - since < keep;
    }
    let forgotten = alert.state == AlertState::Pending
        || alert.resolved_at.is_some_and(|resolved| now - resolved > RESOLVED_RETENTION);
    if alert.state != AlertState::Inactive && !holds {
        alert.state = AlertState::Inactive;
        alert.resolved_at = Some(now);
    }
    (!forgotten, holds)
}

fn state_series(alert: &ActiveAlert) -> Labels {
    let mut labels = LabelsBuilder::from_labels(&alert.labels);
    labels.set(METRIC_NAME, "ALERTS").set("alertstate", alert.state.as_str());
    labels.build()
}

fn for_state_series(labels: &Labels) -> Labels {
    let mut labels = LabelsBuilder::from_labels(labels);
    labels.set(METRIC_NAME, FOR_STATE);
    labels.build()
}

/// The series that remember since when an alert is active.
pub(crate) const FOR_STATE: &str = "ALERTS_FOR_STATE";

pub(crate) fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 8)
}
