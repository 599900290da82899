//! A small language for alert timelines, and the behaviour of the pipeline written in it.
//!
//! A script has one event per line: a second, a verb, its arguments. It runs on a clock of its own, so the
//! times in the output are exact. Verbs:
//!
//! ```text
//! 1 put a=b,c=d [+SECONDS]      an alert comes in, with an end or without
//! 5 resolve a=b,c=d             the same alert ends now
//! 5 silence a=b SECONDS         a silence from now on
//! 5 answer NAME WHAT [DELAY]    how a receiver answers from now on: ok, 503, 400 or a number of Retry-After
//! 5 crash [SECONDS]             the process dies and starts again from its files, at once or later
//! 5 reload                      the same configuration again
//! 9 end
//! ```
//!
//! The output has one line per attempt: when it began, whom it is for, the group, why, what, the answer.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use futures::future::BoxFuture;
use novaobs_config::{Cursor, Document, UnknownKeys, value};
use novaobs_model::Labels;

use crate::alert::PostableAlert;
use crate::engine::{Engine, Options, Setup};
use crate::inhibit::InhibitRule;
use crate::interval::NamedIntervals;
use crate::matchers;
use crate::notify::{FailureReason, Integration, NamedReceiver, Notification, NotifyError, Receiver, Retry};
use crate::route::{RouteConfig, RouteTree};
use crate::silence::{PostableSilence, SilenceMatcher};
use crate::time::{self, Time};

/// Sunday.
fn zero() -> Time {
    Time::parse_from_rfc3339("2026-11-22T10:00:00Z").unwrap()
}

fn at(seconds: f64) -> Time {
    time::after(zero(), Duration::from_secs_f64(seconds))
}

fn seconds(time: Time) -> f64 {
    (time - zero()).num_milliseconds() as f64 / 1000.0
}

/// Never asked: the timeline answers for it.
struct Fake;

impl Receiver for Fake {
    fn notify<'a>(&'a self, _: &'a Notification) -> BoxFuture<'a, Result<(), NotifyError>> {
        Box::pin(async { Ok(()) })
    }
}

/// Reads `route`, `inhibit_rules`, `time_intervals` and `receivers` (names to `send_resolved`).
fn setup(yaml: &str) -> Setup {
    let document = Document::parse("timeline.yml", yaml).unwrap();
    let read = |at: &Cursor<'_>| {
        let mut map = at.mapping();
        let receivers = map.or("receivers", value::map(value::boolean), Vec::new());
        let time_intervals = map.list("time_intervals", NamedIntervals::read);
        let receiver_names = receivers.iter().map(|(name, _)| name.clone()).collect();
        let interval_names = time_intervals.iter().map(|i| i.name.clone()).collect();
        let route = map.required("route", |at| RouteConfig::read(at, &receiver_names, &interval_names))?;
        let inhibit_rules = map.list("inhibit_rules", InhibitRule::read);
        map.finish();
        let receivers = receivers.into_iter().map(|(name, send_resolved)| NamedReceiver {
            labels: BTreeMap::from([("name".to_owned(), name.clone())]),
            integrations: vec![Integration {
                kind: "webhook",
                index: 0,
                send_resolved,
                receiver: Arc::new(Fake),
            }],
            name,
        });
        Some(Setup {
            resolve_timeout: Duration::from_secs(300),
            route: RouteTree::new(&route),
            inhibit_rules,
            time_intervals,
            receivers: receivers.collect(),
        })
    };
    document.read(UnknownKeys::Refuse, read).unwrap().value
}

struct Timeline {
    folder: tempfile::TempDir,
    setup: Setup,
    engine: Engine,
    answers: HashMap<String, (String, f64)>,
    /// Answers on their way: when, flight, line to print.
    underway: Vec<(Time, u64, Result<(), NotifyError>)>,
    output: String,
}

impl Timeline {
    fn open(folder: &tempfile::TempDir, setup: &Setup, now: Time) -> Engine {
        let registry = prometheus::Registry::new();
        Engine::open(folder.path(), Options::default(), setup.clone(), &registry, now).unwrap()
    }

    fn new(yaml: &str) -> Timeline {
        let folder = tempfile::tempdir().unwrap();
        let setup = setup(yaml);
        let engine = Timeline::open(&folder, &setup, zero());
        Timeline {
            folder,
            setup,
            engine,
            answers: HashMap::new(),
            underway: Vec::new(),
            output: String::new(),
        }
    }

    /// Lets everything happen that is due before `until`.
    fn run(&mut self, until: Time) {
        loop {
            let answer = self.underway.iter().map(|(time, ..)| *time).min();
            let next = self.engine.next_wake().into_iter().chain(answer).min();
            let Some(now) = next.filter(|next| *next < until) else { return };
            if let Some(i) = self.underway.iter().position(|(time, ..)| *time == now) {
                let (_, flight, result) = self.underway.remove(i);
                self.engine.finish(flight, result, now);
            } else {
                self.poll(now);
            }
        }
    }

    fn poll(&mut self, now: Time) {
        for attempt in self.engine.poll(now) {
            let name = &attempt.notification.receiver;
            let (answer, delay) = self.answers.get(name).cloned().unwrap_or(("ok".to_owned(), 0.0));
            let mut alerts = String::new();
            for alert in &attempt.notification.alerts {
                let state = if alert.resolved_at.is_some() { "-" } else { "+" };
                let text = crate::alert::label_set_text(&alert.labels).replace(['"', '{', '}'], "");
                let _ = write!(alerts, " {state}{text}");
            }
            let Notification { group_key, reason, .. } = &*attempt.notification;
            let _ =
                writeln!(self.output, "{} {name} {group_key} {reason}:{alerts} -> {answer}", seconds(now));
            let done = time::after(now, Duration::from_secs_f64(delay));
            let result = match answer.as_str() {
                "ok" => Ok(()),
                "503" => Err(NotifyError { reason: FailureReason::Server, ..NotifyError::transient("503") }),
                "400" => Err(NotifyError { reason: FailureReason::Client, ..NotifyError::fatal("400") }),
                after => Err(NotifyError {
                    message: "429".to_owned(),
                    retry: Retry::After(Duration::from_secs(after.parse().unwrap())),
                    reason: FailureReason::RateLimited,
                }),
            };
            self.underway.push((done, attempt.flight, result));
        }
    }

    fn event(&mut self, now: Time, verb: &str, arguments: &[&str]) {
        let labels =
            |text: &str| Labels::from_pairs(text.split(',').map(|pair| pair.split_once('=').unwrap()));
        match (verb, arguments) {
            ("put", [text, rest @ ..]) => {
                let ends_at = rest.first().map(|end| at(seconds(now) + end.parse::<f64>().unwrap()));
                self.put(labels(text), ends_at, now);
            }
            ("resolve", [text]) => self.put(labels(text), Some(now), now),
            ("silence", [text, length]) => {
                let matcher = matchers::parse_one(text).unwrap().value;
                let silence = PostableSilence {
                    id: String::new(),
                    matchers: vec![SilenceMatcher {
                        name: matcher.name,
                        value: matcher.value,
                        is_regex: false,
                        is_equal: true,
                    }],
                    starts_at: now,
                    ends_at: at(seconds(now) + length.parse::<f64>().unwrap()),
                    created_by: String::new(),
                    comment: String::new(),
                    annotations: BTreeMap::new(),
                };
                self.engine.set_silence(silence, now).unwrap();
            }
            ("answer", [name, what, rest @ ..]) => {
                let delay = rest.first().map_or(0.0, |delay| delay.parse().unwrap());
                self.answers.insert((*name).to_owned(), ((*what).to_owned(), delay));
            }
            ("crash", rest) => {
                self.underway.clear();
                let away = rest.first().map_or(0.0, |seconds| seconds.parse().unwrap());
                self.engine = Timeline::open(&self.folder, &self.setup, at(seconds(now) + away));
            }
            ("reload", []) => self.engine.apply(self.setup.clone(), now),
            ("end", []) => {}
            _ => panic!("not an event: {verb} {arguments:?}"),
        }
    }

    fn put(&mut self, labels: Labels, ends_at: Option<Time>, now: Time) {
        let alert = PostableAlert { labels, ends_at, ..PostableAlert::default() };
        assert_eq!(self.engine.put_alerts(vec![alert], now), []);
    }
}

fn check(yaml: &str, script: &str, want: Expect) {
    let mut timeline = Timeline::new(yaml);
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [second, verb, arguments @ ..] = words.as_slice() else { panic!("not an event: {line}") };
        let now = at(second.parse().unwrap());
        timeline.run(now);
        timeline.event(now, verb, arguments);
    }
    want.assert_eq(&timeline.output);
}

const ONE: &str = "
receivers: {hook: true}
route: {receiver: hook, group_by: [a], group_wait: 2s, group_interval: 10s, repeat_interval: 1m}
";

#[test]
fn waits_groups_repeats_and_resolves() {
    check(
        ONE,
        "
        1 put a=1,i=1
        2 put a=1,i=2
        3 put a=2,i=1
        5 put a=1,i=3
        30 resolve a=1,i=2
        120 resolve a=1,i=1
        121 resolve a=1,i=3
        200 end
        ",
        expect![[r#"
            3 hook {}:{a="1"} first notification: +a=1, i=1 +a=1, i=2 -> ok
            5 hook {}:{a="2"} first notification: +a=2, i=1 -> ok
            13 hook {}:{a="1"} new alerts added: +a=1, i=1 +a=1, i=2 +a=1, i=3 -> ok
            33 hook {}:{a="1"} some alerts resolved: +a=1, i=1 -a=1, i=2 +a=1, i=3 -> ok
            75 hook {}:{a="2"} repeat interval elapsed: +a=2, i=1 -> ok
            103 hook {}:{a="1"} repeat interval elapsed: +a=1, i=1 +a=1, i=3 -> ok
            123 hook {}:{a="1"} all alerts resolved: -a=1, i=1 -a=1, i=3 -> ok
            145 hook {}:{a="2"} repeat interval elapsed: +a=2, i=1 -> ok
        "#]],
    );
}

#[test]
fn an_alert_nobody_repeats_times_out() {
    check(
        ONE,
        "
        1 put a=1
        2 put a=2 +20
        400 end
        ",
        expect![[r#"
            3 hook {}:{a="1"} first notification: +a=1 -> ok
            4 hook {}:{a="2"} first notification: +a=2 -> ok
            24 hook {}:{a="2"} all alerts resolved: -a=2 -> ok
            73 hook {}:{a="1"} repeat interval elapsed: +a=1 -> ok
            143 hook {}:{a="1"} repeat interval elapsed: +a=1 -> ok
            213 hook {}:{a="1"} repeat interval elapsed: +a=1 -> ok
            283 hook {}:{a="1"} repeat interval elapsed: +a=1 -> ok
            303 hook {}:{a="1"} all alerts resolved: -a=1 -> ok
        "#]],
    );
}

#[test]
fn fired_and_over_within_group_wait_is_not_told() {
    check(
        ONE,
        "
        1 put a=1
        2 resolve a=1
        30 end
        ",
        expect![""],
    );
}

#[test]
fn resolved_is_not_sent_to_those_who_do_not_want_it() {
    check(
        "
receivers: {hook: false}
route: {receiver: hook, group_wait: 2s, group_interval: 10s}
",
        "
        1 put i=1
        1 put i=2
        5 resolve i=1
        20 resolve i=2
        40 put i=2
        60 end
        ",
        expect![[r#"
            3 hook {}:{} first notification: +i=1 +i=2 -> ok
            42 hook {}:{} first notification: +i=2 -> ok
        "#]],
    );
}

#[test]
fn retries_later_and_later_until_the_group_interval_and_again_then() {
    check(
        ONE,
        "
        0 answer hook 503
        1 put a=1
        18 answer hook ok
        40 end
        ",
        expect![[r#"
            3 hook {}:{a="1"} first notification: +a=1 -> 503
            3.307 hook {}:{a="1"} first notification: +a=1 -> 503
            4.142 hook {}:{a="1"} first notification: +a=1 -> 503
            4.827 hook {}:{a="1"} first notification: +a=1 -> 503
            6.695 hook {}:{a="1"} first notification: +a=1 -> 503
            8.225 hook {}:{a="1"} first notification: +a=1 -> 503
            12.407 hook {}:{a="1"} first notification: +a=1 -> 503
            13 hook {}:{a="1"} first notification: +a=1 -> 503
            13.616 hook {}:{a="1"} first notification: +a=1 -> 503
            14.164 hook {}:{a="1"} first notification: +a=1 -> 503
            15.545 hook {}:{a="1"} first notification: +a=1 -> 503
            16.769 hook {}:{a="1"} first notification: +a=1 -> 503
            19.862 hook {}:{a="1"} first notification: +a=1 -> ok
        "#]],
    );
}

#[test]
fn a_final_failure_waits_for_the_next_flush() {
    check(
        ONE,
        "
        0 answer hook 400
        1 put a=1
        14 answer hook ok
        40 end
        ",
        expect![[r#"
            3 hook {}:{a="1"} first notification: +a=1 -> 400
            13 hook {}:{a="1"} first notification: +a=1 -> 400
            23 hook {}:{a="1"} first notification: +a=1 -> ok
        "#]],
    );
}

#[test]
fn a_resolve_that_fails_is_not_forgotten() {
    check(
        ONE,
        "
        1 put a=1
        4 resolve a=1
        5 answer hook 400
        15 answer hook ok
        60 end
        ",
        expect![[r#"
            3 hook {}:{a="1"} first notification: +a=1 -> ok
            13 hook {}:{a="1"} all alerts resolved: -a=1 -> 400
            23 hook {}:{a="1"} all alerts resolved: -a=1 -> ok
        "#]],
    );
}

#[test]
fn retry_after_is_honoured() {
    check(
        ONE,
        "
        0 answer hook 7
        1 put a=1
        5 answer hook ok
        20 end
        ",
        expect![[r#"
            3 hook {}:{a="1"} first notification: +a=1 -> 7
            10 hook {}:{a="1"} first notification: +a=1 -> ok
        "#]],
    );
}

#[test]
fn a_slow_send_holds_back_the_next_flush_of_its_group_only() {
    check(
        ONE,
        "
        0 answer hook ok 12
        1 put a=1
        4 put a=1,i=2
        5 put a=2
        40 end
        ",
        expect![[r#"
            3 hook {}:{a="1"} first notification: +a=1 -> ok
            7 hook {}:{a="2"} first notification: +a=2 -> ok
            15 hook {}:{a="1"} new alerts added: +a=1 +a=1, i=2 -> ok
        "#]],
    );
}

#[test]
fn silences_hold_back_and_let_go() {
    check(
        ONE,
        "
        0 silence a=1 20
        1 put a=1
        1 put a=2
        40 end
        ",
        expect![[r#"
            3 hook {}:{a="2"} first notification: +a=2 -> ok
            23 hook {}:{a="1"} first notification: +a=1 -> ok
        "#]],
    );
}

#[test]
fn inhibition_needs_a_firing_source_with_equal_labels() {
    check(
        "
receivers: {hook: true}
route: {receiver: hook, group_by: [sev], group_wait: 2s, group_interval: 10s}
inhibit_rules:
- source_matchers: [sev=crit]
  target_matchers: [sev=~\"warn|crit\"]
  equal: [host]
",
        "
        1 put sev=crit,host=x
        1 put sev=warn,host=x
        1 put sev=warn,host=y
        15 resolve sev=crit,host=x
        40 end
        ",
        expect![[r#"
            3 hook {}:{sev="crit"} first notification: +host=x, sev=crit -> ok
            3 hook {}:{sev="warn"} first notification: +host=y, sev=warn -> ok
            23 hook {}:{sev="crit"} all alerts resolved: -host=x, sev=crit -> ok
            23 hook {}:{sev="warn"} new alerts added: +host=x, sev=warn +host=y, sev=warn -> ok
        "#]],
    );
}

#[test]
fn time_intervals_mute_and_activate_routes() {
    check(
        "
receivers: {hook: true}
route:
  receiver: hook
  group_by: [a]
  group_wait: 2s
  group_interval: 30s
  routes:
  - {matchers: [a=muted], mute_time_intervals: [first-minute]}
  - {matchers: [a=active], active_time_intervals: [first-minute]}
  - {matchers: [a=never], active_time_intervals: [weekdays]}
time_intervals:
- name: first-minute
  time_intervals: [{times: [{start_time: '10:00', end_time: '10:01'}]}]
- name: weekdays
  time_intervals: [{weekdays: ['monday:friday']}]
",
        "
        1 put a=muted
        1 put a=active
        1 put a=never
        40 put a=active,i=2
        100 end
        ",
        expect![[r#"
            3 hook {}/{a="active"}:{a="active"} first notification: +a=active -> ok
            63 hook {}/{a="muted"}:{a="muted"} first notification: +a=muted -> ok
        "#]],
    );
}

#[test]
fn a_crash_repeats_nothing_and_loses_nothing() {
    check(
        ONE,
        "
        1 put a=1
        1 put a=2
        4 put a=3
        5 crash
        6 put a=1
        20 resolve a=2
        21 crash
        60 end
        ",
        // The group of a=3 waits anew; the resolve of a=2 was pending when the process died.
        expect![[r#"
            3 hook {}:{a="1"} first notification: +a=1 -> ok
            3 hook {}:{a="2"} first notification: +a=2 -> ok
            7 hook {}:{a="3"} first notification: +a=3 -> ok
            21 hook {}:{a="2"} all alerts resolved: -a=2 -> ok
        "#]],
    );
}

#[test]
fn a_crash_during_a_send_sends_again() {
    check(
        ONE,
        "
        0 answer hook ok 5
        1 put a=1
        4 crash
        20 end
        ",
        expect![[r#"
                3 hook {}:{a="1"} first notification: +a=1 -> ok
                4 hook {}:{a="1"} first notification: +a=1 -> ok
        "#]],
    );
}

#[test]
fn an_alert_that_ran_out_while_down_is_not_resolved_at_once() {
    check(
        "
receivers: {hook: true}
route: {receiver: hook, group_by: [a], group_wait: 2s, group_interval: 10s}
",
        "
        1 put a=over +8
        1 put a=gone +30
        1 put a=still +30
        20 crash 80
        130 put a=still +1000
        450 end
        ",
        // One is over before the crash. The others run out while the process is away; one sender says
        // afterwards that it still fires.
        expect![[r#"
            3 hook {}:{a="gone"} first notification: +a=gone -> ok
            3 hook {}:{a="over"} first notification: +a=over -> ok
            3 hook {}:{a="still"} first notification: +a=still -> ok
            13 hook {}:{a="over"} all alerts resolved: -a=over -> ok
            400 hook {}:{a="gone"} all alerts resolved: -a=gone -> ok
        "#]],
    );
}

#[test]
fn a_reload_repeats_nothing() {
    check(
        ONE,
        "
        1 put a=1
        5 reload
        6 put a=1,i=2
        30 resolve a=1,i=2
        34 reload
        60 end
        ",
        expect![[r#"
            3 hook {}:{a="1"} first notification: +a=1 -> ok
            15 hook {}:{a="1"} new alerts added: +a=1 +a=1, i=2 -> ok
            34 hook {}:{a="1"} some alerts resolved: +a=1 -a=1, i=2 -> ok
        "#]],
    );
}
