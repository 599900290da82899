//! Timelines: samples in, rules evaluated at given times, states out; on an in-memory store and no clock.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use novaobs_model::{
    Alert, AlertSink, AppendError, AppendReport, Labels, Matcher, Pool, QueryControl, Sample, SampleSink,
    SelectError, SelectRequest, SeriesCursor, SeriesRef, SeriesSamples, SeriesSource, is_stale,
};
use novaobs_promql::{Engine, EngineOptions};
use novaobs_promql_parser::ParseOptions;
use parking_lot::Mutex;
use prometheus::Registry;

use crate::alert::AlertState;
use crate::group::{Environment, Group};
use crate::language::PromQl;
use crate::metrics::Metrics;
use crate::snapshot::SnapshotKind;
use crate::text::TextContext;
use crate::{RuleConfig, RuleManager, RuleOptions, file};

/// A store in memory: series in order of their creation.
#[derive(Default)]
struct Memory {
    series: Mutex<Vec<SeriesSamples>>,
}

struct Cursor(std::vec::IntoIter<SeriesSamples>);

impl SeriesCursor for Cursor {
    fn next(&mut self, out: &mut SeriesSamples) -> Result<bool, SelectError> {
        Ok(self.0.next().map(|series| *out = series).is_some())
    }
}

impl SeriesSource for Memory {
    fn select<'a>(
        &'a self,
        request: &SelectRequest,
        _: &'a QueryControl,
    ) -> Result<Box<dyn SeriesCursor + 'a>, SelectError> {
        let mut found = Vec::new();
        for series in self.series.lock().iter() {
            if !request.matchers.iter().all(|m| m.matches_labels(&series.labels)) {
                continue;
            }
            let mut cut = SeriesSamples { labels: series.labels.clone(), ..SeriesSamples::default() };
            for (t, v) in series.samples.iter().filter(|(t, _)| (request.start..=request.end).contains(t)) {
                cut.samples.push(t, v);
            }
            if !cut.samples.is_empty() {
                found.push(cut);
            }
        }
        Ok(Box::new(Cursor(found.into_iter())))
    }

    fn series(
        &self,
        _: &[Vec<Matcher>],
        _: i64,
        _: i64,
        _: usize,
        _: &QueryControl,
    ) -> Result<Vec<Labels>, SelectError> {
        Ok(Vec::new())
    }

    fn label_names(
        &self,
        _: &[Vec<Matcher>],
        _: i64,
        _: i64,
        _: &QueryControl,
    ) -> Result<Vec<String>, SelectError> {
        Ok(Vec::new())
    }

    fn label_values(
        &self,
        _: &str,
        _: &[Vec<Matcher>],
        _: i64,
        _: i64,
        _: &QueryControl,
    ) -> Result<Vec<String>, SelectError> {
        Ok(Vec::new())
    }
}

impl SampleSink for Memory {
    fn series(&self, labels: &[Labels], out: &mut Vec<SeriesRef>) -> Result<(), AppendError> {
        let mut all = self.series.lock();
        for labels in labels {
            let at = all.iter().position(|series| series.labels == *labels).unwrap_or_else(|| {
                all.push(SeriesSamples { labels: labels.clone(), ..SeriesSamples::default() });
                all.len() - 1
            });
            out.push(SeriesRef(at as u64));
        }
        Ok(())
    }

    fn append(&self, samples: &[Sample]) -> Result<AppendReport, AppendError> {
        let mut all = self.series.lock();
        for sample in samples {
            all[sample.series.0 as usize].samples.push(sample.timestamp, sample.value);
        }
        Ok(AppendReport { accepted: samples.len(), rejected: Vec::new() })
    }
}

#[derive(Default)]
struct Sent(Mutex<Vec<Alert>>);

impl AlertSink for Sent {
    fn send(&self, alerts: &[Alert]) {
        self.0.lock().extend_from_slice(alerts);
    }
}

struct World {
    store: Arc<Memory>,
    sent: Arc<Sent>,
    environment: Environment,
    texts: TextContext,
    group: Group,
}

fn engine() -> Arc<Engine> {
    Arc::new(Engine::new(EngineOptions {
        lookback: Duration::from_secs(300),
        timeout: Duration::from_secs(60),
        max_samples: 1_000_000,
        default_step: Duration::from_secs(60),
        pool: Pool::unlimited(),
        query_memory: 1 << 30,
    }))
}

const MINUTE: i64 = 60_000;

impl World {
    /// A group from the text of its rules, evaluated each minute.
    fn new(rules: &str, restore: bool) -> World {
        let store = Arc::new(Memory::default());
        let sent = Arc::new(Sent::default());
        let language = Arc::new(PromQl::new(engine(), store.clone(), ParseOptions::default()));
        let texts = TextContext {
            language: language.clone(),
            external_labels: Labels::from_pairs([("region", "eu")]),
            external_url: "http://p:9090".to_owned(),
            path_prefix: String::new(),
        };
        let environment = Environment {
            sink: store.clone(),
            source: store.clone(),
            alerts: sent.clone(),
            metrics: Metrics::new(&Registry::new()).unwrap(),
            outage_tolerance: 60 * MINUTE,
            grace_period: 10 * MINUTE,
            resend_delay: MINUTE,
        };
        let file = file::parse("r.yml", rules, language.as_ref()).unwrap().value;
        let group = Group::new(
            &file.groups[0],
            "r.yml",
            Duration::from_secs(60),
            Duration::ZERO,
            restore,
            language.as_ref(),
        )
        .unwrap();
        World { store, sent, environment, texts, group }
    }

    /// The same store under another set of rules.
    fn reload(&mut self, rules: &str) {
        let language = self.texts.language.clone();
        let file = file::parse("r.yml", rules, language.as_ref()).unwrap().value;
        let new = Group::new(
            &file.groups[0],
            "r.yml",
            Duration::from_secs(60),
            Duration::ZERO,
            false,
            language.as_ref(),
        )
        .unwrap();
        new.copy_state(&self.group);
        self.group = new;
    }

    /// Writes samples of one time: `name{label="x"} value`, separated by `;`.
    fn write(&self, minute: i64, samples: &str) {
        for sample in samples.split(';').map(str::trim).filter(|s| !s.is_empty()) {
            let (series, value) = sample.rsplit_once(' ').unwrap();
            let matchers = novaobs_promql_parser::parse_selector(series).unwrap();
            let labels = Labels::from_pairs(matchers.iter().map(|m| (&m.name, &m.value)));
            let mut at = Vec::new();
            SampleSink::series(self.store.as_ref(), &[labels], &mut at).unwrap();
            let value = value.parse().unwrap();
            self.store.append(&[Sample { series: at[0], timestamp: minute * MINUTE, value }]).unwrap();
        }
    }

    fn evaluate(&self, minute: i64) {
        self.group.evaluate(&self.environment, &self.texts, minute * MINUTE, minute * MINUTE);
    }

    /// One line on what is active, what was written at this minute and what was sent since the last look.
    fn look(&self, minute: i64) -> String {
        let mut out = format!("{minute}m:");
        for rule in self.group.snapshot().rules {
            if let SnapshotKind::Alerting { alerts, state, .. } = &rule.kind {
                let _ = write!(out, " {}", state.map_or("unknown", AlertState::as_str));
                for alert in alerts {
                    let _ = write!(out, " {}{}={}", alert.state.as_str(), alert.labels, alert.value);
                }
            }
            if let Some(error) = rule.last_error {
                let _ = write!(out, " error: {error}");
            }
        }
        for series in self.store.series.lock().iter() {
            let made = series.labels.metric_name();
            if let Some((t, v)) = series.samples.iter().next_back()
                && t == minute * MINUTE
                && (made.starts_with("ALERTS") || made.contains(':'))
            {
                let value = if is_stale(v) { "stale".to_owned() } else { v.to_string() };
                let _ = write!(out, "\n  {} {value}", series.labels);
            }
        }
        for alert in self.sent.0.lock().drain(..) {
            let minutes = |ms: i64| ms / MINUTE;
            let _ = write!(
                out,
                "\n  sent {} from {}m to {}m {}",
                alert.labels,
                minutes(alert.starts_at),
                minutes(alert.ends_at),
                alert.annotations
            );
        }
        out + "\n"
    }
}

const DOWN: &str = "
groups:
- name: g
  labels: {team: infra}
  rules:
  - alert: Down
    expr: up == 0
    for: 2m
    keep_firing_for: 2m
    labels: {severity: '{{ if eq $labels.job \"a\" }}page{{ else }}mail{{ end }}'}
    annotations: {text: '{{ $labels.job }} is {{ $value }} in {{ $externalLabels.region }}{{ $labels.none }}', bad: '{{ .Nope.x }}{{ template \"t\" }}'}
";

#[test]
fn an_alert_from_pending_to_resolved() {
    let world = World::new(DOWN, false);
    let mut seen = String::new();
    for (minute, samples) in [
        (0, "up{job=\"a\"} 1"),
        (1, "up{job=\"a\"} 0"),
        (2, "up{job=\"a\"} 0"),
        (3, "up{job=\"a\"} 0"),
        (4, "up{job=\"a\"} 1"),
        (5, "up{job=\"a\"} 1"),
        (6, "up{job=\"a\"} 1"),
        (7, "up{job=\"a\"} 1"),
    ] {
        world.write(minute, samples);
        world.evaluate(minute);
        seen += &world.look(minute);
    }
    expect![[r#"
        0m: inactive
        1m: pending pending{alertname="Down", job="a", severity="page", team="infra"}=0
          ALERTS{alertname="Down", alertstate="pending", job="a", severity="page", team="infra"} 1
          ALERTS_FOR_STATE{alertname="Down", job="a", severity="page", team="infra"} 60
        2m: pending pending{alertname="Down", job="a", severity="page", team="infra"}=0
          ALERTS{alertname="Down", alertstate="pending", job="a", severity="page", team="infra"} 1
          ALERTS_FOR_STATE{alertname="Down", job="a", severity="page", team="infra"} 60
        3m: firing firing{alertname="Down", job="a", severity="page", team="infra"}=0
          ALERTS{alertname="Down", alertstate="pending", job="a", severity="page", team="infra"} stale
          ALERTS_FOR_STATE{alertname="Down", job="a", severity="page", team="infra"} 60
          ALERTS{alertname="Down", alertstate="firing", job="a", severity="page", team="infra"} 1
          sent {alertname="Down", job="a", severity="page", team="infra"} from 3m to 7m {bad="<error expanding template: error executing template __alert_Down: template: __alert_Down:1:120: executing \"__alert_Down\" at <.Nope.x>: can't evaluate field Nope in type struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }>", text="a is 0 in eu"}
        4m: firing firing{alertname="Down", job="a", severity="page", team="infra"}=0
          ALERTS_FOR_STATE{alertname="Down", job="a", severity="page", team="infra"} 60
          ALERTS{alertname="Down", alertstate="firing", job="a", severity="page", team="infra"} 1
        5m: firing firing{alertname="Down", job="a", severity="page", team="infra"}=0
          ALERTS_FOR_STATE{alertname="Down", job="a", severity="page", team="infra"} 60
          ALERTS{alertname="Down", alertstate="firing", job="a", severity="page", team="infra"} 1
          sent {alertname="Down", job="a", severity="page", team="infra"} from 3m to 9m {bad="<error expanding template: error executing template __alert_Down: template: __alert_Down:1:120: executing \"__alert_Down\" at <.Nope.x>: can't evaluate field Nope in type struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }>", text="a is 0 in eu"}
        6m: inactive
          ALERTS_FOR_STATE{alertname="Down", job="a", severity="page", team="infra"} stale
          ALERTS{alertname="Down", alertstate="firing", job="a", severity="page", team="infra"} stale
          sent {alertname="Down", job="a", severity="page", team="infra"} from 3m to 6m {bad="<error expanding template: error executing template __alert_Down: template: __alert_Down:1:120: executing \"__alert_Down\" at <.Nope.x>: can't evaluate field Nope in type struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }>", text="a is 0 in eu"}
        7m: inactive
    "#]].assert_eq(&seen);
}

#[test]
fn resolved_alerts_are_sent_for_a_quarter_of_an_hour() {
    let world = World::new(
        &DOWN.replace("for: 2m\n    keep_firing_", "keep_firing_").replace("keep_firing_for: 2m", ""),
        false,
    );
    world.write(0, "up{job=\"a\"} 0");
    world.evaluate(0);
    let mut sends = 0;
    for minute in 1..40 {
        world.write(minute, "up{job=\"a\"} 1");
        world.evaluate(minute);
        sends += world.sent.0.lock().drain(..).filter(|alert| alert.ends_at == MINUTE).count();
    }
    // Once when resolved, then each second minute: a send is due when more than the delay has passed.
    assert_eq!(sends, 8);
}

#[test]
fn recording_rules_see_each_other_and_end_what_vanished() {
    let mut world = World::new(
        "{groups: [{name: g, rules: [{record: 'a:b', expr: 'sum by (job) (x)', labels: {l: v}}, {record: 'c:d', expr: 'a:b * 2'}]}]}",
        false,
    );
    let mut seen = String::new();
    world.write(0, "x{job=\"a\"} 1; x{job=\"b\"} 2");
    world.evaluate(0);
    seen += &world.look(0);
    world.write(1, "x{job=\"a\"} 3; x{job=\"b\"} NaN");
    world
        .store
        .series
        .lock()
        .retain(|series| series.labels.value("job") != "b" || series.labels.metric_name() != "x");
    world.evaluate(1);
    seen += &world.look(1);
    world.reload("{groups: [{name: g, rules: [{record: 'a:b', expr: 'sum by (job) (x)', labels: {l: v}}]}]}");
    world.evaluate(2);
    seen += &world.look(2);
    expect![[r#"
        0m:
          a:b{job="a", l="v"} 1
          a:b{job="b", l="v"} 2
          c:d{job="a", l="v"} 2
          c:d{job="b", l="v"} 4
        1m:
          a:b{job="a", l="v"} 3
          a:b{job="b", l="v"} stale
          c:d{job="a", l="v"} 6
          c:d{job="b", l="v"} stale
        2m:
          a:b{job="a", l="v"} 3
          c:d{job="a", l="v"} stale
    "#]]
    .assert_eq(&seen);
}

#[test]
fn limits_and_duplicates_fail_the_rule() {
    let check = |rule: &str, want: Expect| {
        let world = World::new(&format!("{{groups: [{{name: g, limit: 1, rules: [{rule}]}}]}}"), false);
        world.write(0, "x{job=\"a\"} 1; x{job=\"b\"} 2");
        world.evaluate(0);
        want.assert_eq(&world.look(0));
    };
    check(
        "{record: 'a:b', expr: x}",
        expect![[r#"
        0m: error: exceeded limit of 1 with 2 series
    "#]],
    );
    check(
        "{record: 'a:b', expr: x, labels: {job: same}}",
        expect![[r#"
        0m: error: vector contains metrics with the same labelset after applying rule labels
    "#]],
    );
    check(
        "{alert: A, expr: x}",
        expect![[r#"
        0m: inactive error: exceeded limit of 1 with 2 alerts
    "#]],
    );
    check(
        "{alert: A, expr: x, labels: {job: same}}",
        expect![[r#"
        0m: inactive error: vector contains metrics with the same labelset after applying alert labels
    "#]],
    );
}

#[test]
fn pending_time_is_restored_after_a_restart() {
    let rules = DOWN.replace("for: 2m\n", "for: 30m\n");
    let world = World::new(&rules, false);
    for minute in 0..20 {
        world.write(minute, "up{job=\"a\"} 0");
        world.evaluate(minute);
    }
    // Down for 5 minutes; 19 of 30 minutes had passed, 11 remain.
    let mut after = World::new(&rules, true);
    after.store = world.store.clone();
    let language = Arc::new(PromQl::new(engine(), world.store.clone(), ParseOptions::default()));
    let file = file::parse("r.yml", &rules, language.as_ref()).unwrap().value;
    after.group = Group::new(
        &file.groups[0],
        "r.yml",
        Duration::from_secs(60),
        Duration::ZERO,
        true,
        language.as_ref(),
    )
    .unwrap();
    after.environment.source = world.store.clone();
    after.environment.sink = world.store.clone();
    for minute in [24, 25] {
        after.write(minute, "up{job=\"a\"} 0");
        after.evaluate(minute);
        assert!(!after.look(minute).contains("ALERTS"), "nothing is written before the restoration");
    }
    after.group.restore(&after.environment, 25 * MINUTE);
    let fired: Vec<i64> = (26..40)
        .filter(|minute| {
            after.write(*minute, "up{job=\"a\"} 0");
            after.evaluate(*minute);
            after.look(*minute).contains(" firing{")
        })
        .collect();
    assert_eq!(fired.first(), Some(&36), "25 + the remaining 11 minutes");
}

#[test]
fn kept_alerts_survive_a_restart() {
    let world = World::new(DOWN, false);
    for (minute, value) in [(0, 0), (1, 0), (2, 0), (3, 1)] {
        world.write(minute, &format!("up{{job=\"a\"}} {value}"));
        world.evaluate(minute);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules/keep.json");
    crate::keep::save(&path, 3 * MINUTE, world.group.kept_alerts()).unwrap();
    assert_eq!(crate::keep::load(&path, 4 * MINUTE), [], "too old");
    let after = World::new(DOWN, false);
    for kept in crate::keep::load(&path, 0) {
        after.group.take_back(&kept);
    }
    after.write(4, "up{job=\"a\"} 1");
    after.evaluate(4);
    assert!(after.look(4).contains(" firing{"));
    after.write(5, "up{job=\"a\"} 1");
    after.evaluate(5);
    expect![[r#"
        5m: inactive
          ALERTS{alertname="Down", alertstate="firing", job="a", severity="page", team="infra"} stale
          ALERTS_FOR_STATE{alertname="Down", job="a", severity="page", team="infra"} stale
          sent {alertname="Down", job="a", severity="page", team="infra"} from 2m to 5m {bad="<error expanding template: error executing template __alert_Down: template: __alert_Down:1:120: executing \"__alert_Down\" at <.Nope.x>: can't evaluate field Nope in type struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }>", text="a is 0 in eu"}
    "#]].assert_eq(&after.look(5));
    std::fs::write(&path, "{").unwrap();
    assert_eq!(crate::keep::load(&path, 0), [], "damaged");
}

#[test]
fn files_are_checked_strictly() {
    let language = PromQl::new(engine(), Arc::new(Memory::default()), ParseOptions::default());
    let check = |text: &str, want: Expect| {
        let got = match file::parse("r.yml", text, &language) {
            Ok(loaded) => format!("ok {}", loaded.value.groups.len()),
            Err(error) => error.to_string(),
        };
        want.assert_eq(&got);
    };
    check("", expect!["ok 0"]);
    check(
        "groups:\n- name: a\n  rules:\n  - alert: X\n    expr: up\n    fro: 5m\n",
        expect![
            "r.yml:6:5: groups[0].rules[0].fro: field fro not found in groups[0].rules[0]: did you mean for?"
        ],
    );
    check(
        "groups:\n- name: a\n- name: a\n- rules: []\n",
        expect![[r#"
        r.yml:3:3: groups[1]: groupname: "a" is repeated in the same file
        r.yml:4:3: groups[2]: Groupname must not be empty"#]],
    );
    check(
        "groups:\n- name: a\n  rules:\n  - alert: X\n    record: y\n    expr: up\n  - expr: rate(up)\n",
        expect![[r#"
            r.yml:5:13: groups[0].rules[0].record: group "a", rule 1, "X": only one of 'record' and 'alert' must be set
            r.yml:7:5: groups[0].rules[1]: group "a", rule 2, "": one of 'record' or 'alert' must be set
            r.yml:7:11: groups[0].rules[1].expr: group "a", rule 2, "": could not parse expression: 1:6: parse error: expected type range vector in call to function "rate", got instant vector"#]],
    );
    check(
        "groups:\n- name: a\n  rules:\n  - record: 'x{}'\n    expr: up\n    for: 1m\n    annotations: {a: b}\n",
        expect![[r#"
            r.yml:4:13: groups[0].rules[0].record: group "a", rule 1, "x{}": invalid field 'annotations' in recording rule
            r.yml:4:13: groups[0].rules[0].record: group "a", rule 1, "x{}": invalid field 'for' in recording rule
            r.yml:4:13: groups[0].rules[0].record: group "a", rule 1, "x{}": braces present in the recording rule name; should it be in expr?: x{}"#]],
    );
    check(
        "groups:\n- name: a\n  rules:\n  - alert: X\n    expr: up\n    labels: {__name__: x, l: '{{ nope }}'}\n    annotations:\n      a: '{{ if }}'\n",
        expect![[r#"
            r.yml:6:24: groups[0].rules[0].labels.__name__: group "a", rule 1, "X": invalid label name: __name__
            r.yml:6:30: groups[0].rules[0].labels.l: group "a", rule 1, "X": label "l": template: __alert_X:1: function "nope" not defined
            r.yml:8:10: groups[0].rules[0].annotations.a: group "a", rule 1, "X": annotation "a": template: __alert_X:1: missing value for if"#]],
    );
    check(
        "groups:\n- name: a\n  interval: 5\n  rules: {}\n",
        expect![[r#"
        r.yml:3:13: groups[0].interval: not a valid duration string: "5": write it with a unit, such as 5s
        r.yml:4:10: groups[0].rules: expected a list (lines that begin with -), found a mapping"#]],
    );
}

#[test]
fn duplicate_rules_are_found() {
    let language = PromQl::new(engine(), Arc::new(Memory::default()), ParseOptions::default());
    let text = "{groups: [{name: a, rules: [{record: x, expr: up}, {record: x, expr: down}, {record: x, expr: up, labels: {a: b}}]}]}";
    let file = file::parse("r.yml", text, &language).unwrap().value;
    let found = file::duplicates(&file.groups);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].name.as_str(), found[0].labels.len()), ("x", 0));
}

#[test]
fn a_manager_runs_reloads_and_stops() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = Arc::new(Memory::default());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.yml");
    let options = RuleOptions {
        language: Arc::new(PromQl::new(engine(), store.clone(), ParseOptions::default())),
        sink: store.clone(),
        source: store.clone(),
        alerts: Arc::new(Sent::default()),
        outage_tolerance: Duration::from_secs(3600),
        grace_period: Duration::from_secs(600),
        resend_delay: Duration::from_secs(60),
        max_concurrent_evals: 4,
        keep_file: Some(folder.path().join("keep.json")),
    };
    let registry = Registry::new();
    let manager = RuleManager::new(options, &registry, runtime.handle().clone()).unwrap();
    let config = RuleConfig {
        files: vec![path.clone()],
        interval: Duration::from_millis(50),
        query_offset: Duration::ZERO,
        external_labels: Labels::empty(),
        external_url: "http://p:9090/x".to_owned(),
    };
    let written = |name: &str| {
        let all = store.series.lock();
        all.iter().filter(|s| s.labels.metric_name() == name).map(|s| s.samples.len()).sum::<usize>()
    };
    runtime.block_on(async {
        let until = async |check: &dyn Fn() -> bool| {
            while !check() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        std::fs::write(&path, "{groups: [{name: a, rules: [{record: one, expr: '1'}]}, {name: b, rules: [{record: two, expr: vector(2)}]}]}").unwrap();
        assert!(manager.apply(config.clone()).await.unwrap().is_empty());
        manager.start();
        until(&|| written("one") > 1 && written("two") > 1).await;
        std::fs::write(&path, "groups: [{nam: a}]").unwrap();
        assert!(manager.apply(config.clone()).await.unwrap_err().to_string().contains("nam"));
        assert_eq!(manager.groups().len(), 2, "the old groups run on");
        std::fs::write(&path, "{groups: [{name: a, rules: [{record: one, expr: '1'}]}]}").unwrap();
        manager.apply(config.clone()).await.unwrap();
        until(&|| {
            let all = store.series.lock();
            all.iter().any(|s| s.labels.metric_name() == "two" && s.samples.values.last().is_some_and(|v| is_stale(*v)))
        })
        .await;
        let groups = manager.groups();
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].rules[0].health.as_str(), "ok");
        assert!(groups[0].last_evaluation.is_some());
        manager.stop().await;
        assert!(manager.apply(config).await.is_err());
    });
    let names: BTreeMap<String, usize> = registry
        .gather()
        .iter()
        .map(|family| (family.name().to_owned(), family.get_metric().len()))
        .collect();
    assert_eq!(
        names.get("prometheus_rule_group_iterations_total"),
        Some(&1),
        "the removed group's series are gone"
    );
}
