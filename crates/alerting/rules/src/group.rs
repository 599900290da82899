//! One group: its rules evaluated in order at one time, their results written, their alerts sent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use novaobs_model::{
    AlertSink, Labels, LabelsBuilder, METRIC_NAME, Matcher, QueryControl, RejectReason, Sample, SampleSink,
    SelectError, SelectRequest, SeriesSamples, SeriesSource, is_stale, stale_nan,
};
use novaobs_promql::VectorSample;
use parking_lot::Mutex;

use crate::alert::{AlertSet, FOR_STATE, millis, wanted};
use crate::file::{AlertDef, GroupDef, RuleDef, RuleKind};
use crate::keep::KeptAlert;
use crate::language::{EvalError, Expression, Language};
use crate::metrics::Metrics;
use crate::snapshot::{GroupSnapshot, Health, RuleSnapshot, SnapshotKind};
use crate::text::{Renderer, TextContext};

/// What groups evaluate with.
pub(crate) struct Environment {
    pub sink: Arc<dyn SampleSink>,
    pub source: Arc<dyn SeriesSource>,
    pub alerts: Arc<dyn AlertSink>,
    pub metrics: Metrics,
    /// Milliseconds, the peer's `--rules.alert.*` flags.
    pub outage_tolerance: i64,
    pub grace_period: i64,
    pub resend_delay: i64,
}

/// A group and its state.
pub(crate) struct Group {
    pub name: String,
    pub file: String,
    /// Between evaluations, milliseconds.
    pub interval: i64,
    /// How far behind the clock expressions are evaluated, milliseconds.
    offset: i64,
    limit: usize,
    rules: Vec<Rule>,
    /// Whether this is the first configuration after a start.
    pub should_restore: bool,
    stopped: AtomicBool,
    state: Mutex<GroupState>,
}

#[derive(Default)]
struct GroupState {
    /// The series each rule gave last time.
    previous: Vec<BTreeSet<Labels>>,
    /// Series of rules that are gone, to be ended.
    stale: Vec<Labels>,
    evaluation_time: Duration,
    last_evaluation: Option<i64>,
}

struct Rule {
    def: RuleDef,
    expression: Arc<dyn Expression>,
    status: Mutex<Status>,
    alerts: Mutex<AlertSet>,
}

#[derive(Default)]
struct Status {
    health: Health,
    last_error: Option<String>,
    evaluation_time: Duration,
    last_evaluation: Option<i64>,
}

impl Group {
    /// A group as defined; intervals and offsets left open come from the globals.
    ///
    /// # Errors
    /// When an expression does not compile.
    pub(crate) fn new(
        def: &GroupDef,
        file: &str,
        interval: Duration,
        offset: Duration,
        should_restore: bool,
        language: &dyn Language,
    ) -> Result<Group, String> {
        let mut rules = Vec::with_capacity(def.rules.len());
        for def in &def.rules {
            rules.push(Rule {
                expression: language.compile(&def.expr)?,
                def: def.clone(),
                status: Mutex::default(),
                alerts: Mutex::new(AlertSet::new(!should_restore)),
            });
        }
        Ok(Group {
            name: def.name.clone(),
            file: file.to_owned(),
            interval: millis(def.interval.unwrap_or(interval)).max(1),
            offset: millis(def.query_offset.unwrap_or(offset)),
            limit: def.limit,
            state: Mutex::new(GroupState {
                previous: vec![BTreeSet::new(); rules.len()],
                ..GroupState::default()
            }),
            rules,
            should_restore,
            stopped: AtomicBool::new(false),
        })
    }

    /// The group's name among all groups and in metrics.
    pub(crate) fn key(&self) -> String {
        format!("{};{}", self.file, self.name)
    }

    pub(crate) fn rule_count(&self) -> usize {
        self.rules.len()
    }

    /// Makes a running evaluation end after the current rule.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether a reload changed nothing about the group.
    pub(crate) fn same_as(&self, other: &Group) -> bool {
        let defs = |group: &Group| group.rules.iter().map(|rule| rule.def.clone()).collect::<Vec<_>>();
        self.key() == other.key()
            && self.interval == other.interval
            && self.offset == other.offset
            && self.limit == other.limit
            && defs(self) == defs(other)
    }

    /// Takes over what the group knew before a reload changed it. Rules are the same when name and labels
    /// are; the first is matched with the first, the second with the second.
    pub(crate) fn copy_state(&self, old: &Group) {
        let mut old_state = old.state.lock();
        let mut state = self.state.lock();
        state.evaluation_time = old_state.evaluation_time;
        state.last_evaluation = old_state.last_evaluation;
        state.stale = std::mem::take(&mut old_state.stale);
        let mut by_identity: BTreeMap<(String, Labels), Vec<usize>> = BTreeMap::new();
        for (i, rule) in old.rules.iter().enumerate().rev() {
            by_identity.entry(rule.identity()).or_default().push(i);
        }
        for (rule, previous) in self.rules.iter().zip(&mut state.previous) {
            let Some(from) = by_identity.get_mut(&rule.identity()).and_then(Vec::pop) else { continue };
            if let Some(series) = old_state.previous.get_mut(from) {
                *previous = std::mem::take(series);
            }
            if let (Some(old_rule), RuleKind::Alert(_)) = (old.rules.get(from), &rule.def.kind) {
                rule.alerts.lock().copy_from(&old_rule.alerts.lock());
            }
        }
        for series in old_state.previous.iter_mut() {
            state.stale.extend(std::mem::take(series));
        }
    }

    /// Evaluates all rules at `time`; `now` is the clock's time. Blocks.
    pub(crate) fn evaluate(&self, environment: &Environment, texts: &TextContext, time: i64, now: i64) {
        let key = self.key();
        let metrics = &environment.metrics;
        metrics.iterations.with_label_values(&[&key]).inc();
        let started = Instant::now();
        let mut samples = 0;
        let mut rule_time = Duration::ZERO;
        for (i, rule) in self.rules.iter().enumerate() {
            if self.stopped.load(Ordering::Relaxed) {
                return;
            }
            let rule_started = Instant::now();
            metrics.evaluations.with_label_values(&[&key]).inc();
            let outcome = self.evaluate_rule(environment, texts, i, rule, time);
            let took = rule_started.elapsed();
            rule_time += took;
            metrics.evaluation_duration.observe(took.as_secs_f64());
            let mut status = rule.status.lock();
            status.evaluation_time = took;
            status.last_evaluation = Some(now);
            match outcome {
                Ok(count) => {
                    samples += count;
                    status.health = Health::Ok;
                    status.last_error = None;
                }
                Err(error) => {
                    if error != EvalError::Canceled {
                        tracing::warn!(group = self.name, file = self.file, rule = rule.def.name(), %error, "evaluating a rule failed");
                    }
                    metrics.failures.with_label_values(&[&key]).inc();
                    status.health = Health::Error;
                    status.last_error = Some(error.to_string());
                }
            }
        }
        self.end_stale_series(environment, time);
        let took = started.elapsed();
        metrics.group_duration.observe(took.as_secs_f64());
        metrics.last_samples.with_label_values(&[&key]).set(samples as f64);
        metrics.last_duration.with_label_values(&[&key]).set(took.as_secs_f64());
        metrics.last_rule_duration_sum.with_label_values(&[&key]).set(rule_time.as_secs_f64());
        metrics.last_evaluation.with_label_values(&[&key]).set(now as f64 / 1000.0);
        let mut state = self.state.lock();
        state.evaluation_time = took;
        state.last_evaluation = Some(now);
    }

    /// One rule; gives the number of samples of its result.
    fn evaluate_rule(
        &self,
        environment: &Environment,
        texts: &TextContext,
        index: usize,
        rule: &Rule,
        time: i64,
    ) -> Result<usize, EvalError> {
        let result = rule.expression.eval(time - self.offset)?;
        let series = match &rule.def.kind {
            RuleKind::Record(name) => {
                record(name, &rule.def.labels, &result, self.limit).map_err(EvalError::Failed)?
            }
            RuleKind::Alert(alert) => {
                let renderer =
                    Renderer::new(texts, &alert.name, time, rule.expression.clone(), time - self.offset);
                let wanted = wanted(&rule.def, alert, &result, &renderer, time).map_err(EvalError::Failed)?;
                let url = generator_url(&texts.external_url, rule.expression.text());
                let mut alerts = rule.alerts.lock();
                let series = alerts.advance(alert, wanted, time, self.limit).map_err(EvalError::Failed)?;
                let sent = alerts.take_due(time, environment.resend_delay, self.interval, &url);
                drop(alerts);
                if !sent.is_empty() {
                    environment.alerts.send(&sent);
                }
                series
            }
        };
        let count = series.len();
        self.write(environment, index, series, time - self.offset)?;
        Ok(count)
    }

    /// Writes a rule's result, and ends the series it gave last time but not now.
    fn write(
        &self,
        environment: &Environment,
        index: usize,
        series: Vec<(Labels, f64)>,
        time: i64,
    ) -> Result<(), EvalError> {
        let previous = self.state.lock().previous.get(index).cloned().unwrap_or_default();
        let mut returned: BTreeSet<Labels> = series.iter().map(|(labels, _)| labels.clone()).collect();
        let fresh = series.len();
        let gone = previous.iter().filter(|labels| !returned.contains(*labels)).cloned();
        let all: Vec<(Labels, f64)> =
            series.into_iter().chain(gone.map(|labels| (labels, stale_nan()))).collect();
        let rejected = append(environment.sink.as_ref(), &all, time).map_err(EvalError::Failed)?;
        let mut first_reason = None;
        for (at, reason) in rejected {
            // A rejected end is expected when another rule gives the series now.
            if at >= fresh {
                continue;
            }
            if let Some((labels, _)) = all.get(at) {
                returned.remove(labels);
            }
            first_reason.get_or_insert(reason);
        }
        if let Some(slot) = self.state.lock().previous.get_mut(index) {
            *slot = returned;
        }
        match first_reason {
            Some(reason) => Err(EvalError::Failed(reason.to_string())),
            None => Ok(()),
        }
    }

    /// Ends the series of rules that are gone.
    pub(crate) fn end_stale_series(&self, environment: &Environment, time: i64) {
        let stale = std::mem::take(&mut self.state.lock().stale);
        if stale.is_empty() {
            return;
        }
        let all: Vec<(Labels, f64)> = stale.iter().map(|labels| (labels.clone(), stale_nan())).collect();
        if let Err(error) = append(environment.sink.as_ref(), &all, time - self.offset) {
            tracing::warn!(
                group = self.name,
                file = self.file,
                error,
                "ending series of removed rules failed"
            );
            self.state.lock().stale.extend(stale);
        }
    }

    /// Makes all series of the group ready for [`end_stale_series`](Group::end_stale_series): it is removed.
    pub(crate) fn mark_all_stale(&self) {
        let mut state = self.state.lock();
        let all: Vec<Labels> = state.previous.iter_mut().flat_map(std::mem::take).collect();
        state.stale.extend(all);
    }

    /// Restores since when alerts are active from what was written before the restart. Blocks.
    pub(crate) fn restore(&self, environment: &Environment, now: i64) {
        let started = Instant::now();
        for rule in &self.rules {
            let RuleKind::Alert(alert) = &rule.def.kind else { continue };
            let remembered = if millis(alert.hold) < environment.grace_period {
                // Waiting for the grace period would take longer than starting afresh.
                BTreeMap::new()
            } else {
                last_for_states(environment, &rule.def, alert, now).unwrap_or_else(|error| {
                    tracing::error!(rule = alert.name, %error, "restoring the state of alerts failed");
                    BTreeMap::new()
                })
            };
            rule.alerts.lock().restore(|active| {
                let (down_at, active_at) = *remembered.get(&active.labels)?;
                Some(restored_active_at(environment, millis(alert.hold), down_at, active_at, now))
            });
        }
        let took = started.elapsed().as_secs_f64();
        environment.metrics.last_restore_duration.with_label_values(&[&self.key()]).set(took);
    }

    /// Firing alerts of rules with `keep_firing_for`, to be kept over a restart.
    pub(crate) fn kept_alerts(&self) -> Vec<KeptAlert> {
        let mut all = Vec::new();
        for rule in &self.rules {
            let RuleKind::Alert(alert) = &rule.def.kind else { continue };
            if alert.keep_firing_for.is_zero() {
                continue;
            }
            let alerts = rule.alerts.lock();
            all.extend(alerts.active().filter_map(|active| KeptAlert::of(&self.key(), &alert.name, active)));
        }
        all
    }

    /// Takes back an alert that was firing before the restart, if its rule is still here.
    pub(crate) fn take_back(&self, kept: &KeptAlert) {
        for rule in &self.rules {
            if let RuleKind::Alert(alert) = &rule.def.kind
                && alert.name == kept.rule
                && !alert.keep_firing_for.is_zero()
                && carries(&kept.labels(), &rule.def.labels)
            {
                rule.alerts.lock().insert(kept.to_active());
                return;
            }
        }
    }

    /// What the API shows.
    pub(crate) fn snapshot(&self) -> GroupSnapshot {
        let state = self.state.lock();
        GroupSnapshot {
            name: self.name.clone(),
            file: self.file.clone(),
            interval: Duration::from_millis(self.interval.unsigned_abs()),
            limit: self.limit,
            rules: self.rules.iter().map(Rule::snapshot).collect(),
            evaluation_time: state.evaluation_time,
            last_evaluation: state.last_evaluation,
        }
    }
}

impl Rule {
    fn identity(&self) -> (String, Labels) {
        (self.def.name().to_owned(), self.def.labels.clone())
    }

    fn snapshot(&self) -> RuleSnapshot {
        let status = self.status.lock();
        let kind = match &self.def.kind {
            RuleKind::Record(_) => SnapshotKind::Recording,
            RuleKind::Alert(alert) => {
                let alerts = self.alerts.lock();
                SnapshotKind::Alerting {
                    state: status.last_evaluation.map(|_| alerts.state()),
                    hold: alert.hold,
                    keep_firing_for: alert.keep_firing_for,
                    annotations: alert.annotations.clone(),
                    alerts: alerts.active().cloned().collect(),
                }
            }
        };
        RuleSnapshot {
            name: self.def.name().to_owned(),
            query: self.expression.text().to_owned(),
            labels: self.def.labels.clone(),
            health: status.health,
            last_error: status.last_error.clone(),
            evaluation_time: status.evaluation_time,
            last_evaluation: status.last_evaluation,
            kind,
        }
    }
}

/// A recording rule's series.
fn record(
    name: &str,
    labels: &Labels,
    result: &[VectorSample],
    limit: usize,
) -> Result<Vec<(Labels, f64)>, String> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::with_capacity(result.len());
    for sample in result {
        let mut series = LabelsBuilder::from_labels(&sample.labels);
        series.set(METRIC_NAME, name);
        for (name, value) in labels {
            series.set(name, value);
        }
        let series = series.build();
        if !seen.insert(series.clone()) {
            return Err(
                "vector contains metrics with the same labelset after applying rule labels".to_owned()
            );
        }
        all.push((series, sample.value));
    }
    if limit > 0 && all.len() > limit {
        return Err(format!("exceeded limit of {limit} with {} series", all.len()));
    }
    Ok(all)
}

/// Writes samples of one time; gives index and reason of those left out.
fn append(
    sink: &dyn SampleSink,
    all: &[(Labels, f64)],
    timestamp: i64,
) -> Result<Vec<(usize, RejectReason)>, String> {
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let labels: Vec<Labels> = all.iter().map(|(labels, _)| labels.clone()).collect();
    // A series may be dropped from memory between the two calls: once more then.
    for attempt in 0..2 {
        let mut series = Vec::with_capacity(labels.len());
        sink.series(&labels, &mut series).map_err(|error| error.to_string())?;
        let samples: Vec<Sample> = series
            .iter()
            .zip(all)
            .map(|(series, (_, value))| Sample { series: *series, timestamp, value: *value })
            .collect();
        let report = sink.append(&samples).map_err(|error| error.to_string())?;
        let unknown = report.rejected.iter().any(|(_, reason)| *reason == RejectReason::UnknownSeries);
        if !unknown || attempt == 1 {
            return Ok(report.rejected);
        }
    }
    Ok(Vec::new())
}

fn generator_url(external_url: &str, expr: &str) -> String {
    format!("{external_url}/graph?g0.expr={}&g0.tab=1", novaobs_template::escape::query(expr))
}

/// Whether `labels` has every label of `rule` that is not a template.
fn carries(labels: &Labels, rule: &Labels) -> bool {
    rule.iter().filter(|(_, value)| !value.contains("{{")).all(|(name, value)| labels.value(name) == value)
}

/// By alert: when it was last written, and since when it was active then.
fn last_for_states(
    environment: &Environment,
    rule: &RuleDef,
    alert: &AlertDef,
    now: i64,
) -> Result<BTreeMap<Labels, (i64, i64)>, SelectError> {
    let mut matchers = Vec::new();
    let mut equal = |name: &str, value: &str| matchers.push(Matcher::equal(name, value));
    equal(METRIC_NAME, FOR_STATE);
    equal("alertname", &alert.name);
    // Labels that are templates differ from alert to alert.
    for (name, value) in
        rule.labels.iter().filter(|(name, value)| *name != "alertname" && !value.contains("{{"))
    {
        equal(name, value);
    }
    let request = SelectRequest { matchers, start: now - environment.outage_tolerance, end: now };
    let control = QueryControl::unlimited();
    let mut cursor = environment.source.select(&request, &control)?;
    let mut found = BTreeMap::new();
    let mut series = SeriesSamples::default();
    while cursor.next(&mut series)? {
        if let Some((time, value)) = series.samples.iter().next_back()
            && !is_stale(value)
        {
            found.insert(series.labels.without_name(), (time, (value as i64).saturating_mul(1000)));
        }
    }
    Ok(found)
}

/// Since when an alert counts as active: the time the server was down does not count towards `for`, and
/// the alert does not fire before the grace period is over.
fn restored_active_at(environment: &Environment, hold: i64, down_at: i64, active_at: i64, now: i64) -> i64 {
    let remaining = hold - (down_at - active_at);
    if remaining <= 0 {
        active_at
    } else if remaining < environment.grace_period {
        now + environment.grace_period - hold
    } else {
        active_at + (now - down_at)
    }
}
