//! The engine's limits and statistics, and values that scripts cannot show.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::sync::atomic::Ordering;
use std::time::Duration;

use novaobs_model::{Labels, METRIC_NAME, Pool, QueryControl, SeriesSamples};
use novaobs_promql::testlang::{MemorySource, default_options};
use novaobs_promql::{Engine, EngineOptions, EvalTime, QueryError, QueryResult, QueryStats, Value};
use novaobs_promql_parser::{ParseOptions, parse};

/// Ten series `m{i="0"}`… with 1,000 samples each, 10 s apart.
fn source() -> MemorySource {
    let mut source = MemorySource::default();
    for index in 0..10 {
        let labels = Labels::from_pairs([(METRIC_NAME, "m"), ("i", &index.to_string())]);
        let mut series = SeriesSamples { labels, ..SeriesSamples::default() };
        (0..1000).for_each(|step| series.samples.push(step * 10_000, step as f64));
        source.insert(series);
    }
    source
}

fn query(
    engine: &Engine,
    text: &str,
    time: EvalTime,
    control: &QueryControl,
) -> Result<QueryResult, QueryError> {
    let expr = parse(text, ParseOptions::all()).unwrap();
    engine.query(&source(), text, &expr, time, None, control)
}

const TEN_STEPS: EvalTime = EvalTime::Range { start: 0, end: 900_000, step: 100_000 };

#[test]
fn samples_are_limited_as_in_the_peer() {
    let run = |max_samples: usize, text: &str| {
        let engine = Engine::new(EngineOptions { max_samples, ..default_options() });
        query(&engine, text, TEN_STEPS, &QueryControl::unlimited())
    };
    // Ten series of ten steps; the peer holds a node's whole input.
    assert!(matches!(run(99, "m"), Err(QueryError::TooManySamples)));
    assert!(run(100, "m").is_ok());
    assert!(matches!(run(99, "sum(m)"), Err(QueryError::TooManySamples)));
    assert!(matches!(run(150, "-m"), Err(QueryError::TooManySamples)));
    assert!(run(200, "-m").is_ok());
    let error = run(1, "m").unwrap_err();
    assert_eq!(
        error.to_string(),
        "query processing would load too many samples into memory in query execution"
    );
    // A subquery's steps count, too.
    assert!(matches!(run(1000, "sum_over_time(vector(1)[10h:1s])"), Err(QueryError::TooManySamples)));
}

#[test]
fn held_rows_come_from_the_query_s_memory() {
    let pool = Pool::root("memory", 1 << 30);
    let engine = Engine::new(EngineOptions { pool: pool.clone(), query_memory: 20_000, ..default_options() });
    let long = EvalTime::Range { start: 0, end: 9_990_000, step: 10_000 };
    // One group of a thousand steps fits, ten do not.
    assert!(query(&engine, "sum(m)", TEN_STEPS, &engine.control(None)).is_ok());
    let refused = query(&engine, "sum by (i) (m)", long, &engine.control(None));
    assert!(matches!(refused, Err(QueryError::OverBudget(_))), "{refused:?}");
    assert_eq!(pool.used(), 0);
}

#[test]
fn long_subqueries_take_memory_for_their_steps() {
    let pool = Pool::root("memory", 1 << 20);
    let engine =
        Engine::new(EngineOptions { pool: pool.clone(), max_samples: 50_000_000, ..default_options() });
    let refused = query(&engine, "count_over_time(m[100d:1s])", EvalTime::Instant(0), &engine.control(None));
    assert!(matches!(refused, Err(QueryError::OverBudget(_))), "{refused:?}");
    assert_eq!(pool.used(), 0);
}

#[test]
fn queries_stop_when_asked() {
    let engine = Engine::new(default_options());
    let control = engine.control(None);
    control.cancel_flag().store(true, Ordering::Relaxed);
    let error = query(&engine, "sum(m)", TEN_STEPS, &control).unwrap_err();
    assert_eq!(error.to_string(), "query was canceled in expression evaluation");
    let error = query(&engine, "sum(m)", TEN_STEPS, &engine.control(Some(Duration::ZERO))).unwrap_err();
    assert_eq!(error.to_string(), "query timed out in expression evaluation");
}

#[test]
fn statistics_count_samples_per_step() {
    let engine = Engine::new(default_options());
    let stats = |text: &str| query(&engine, text, TEN_STEPS, &QueryControl::unlimited()).unwrap().stats;
    assert_eq!(stats("m").total_queryable_samples, 100);
    // The first window holds one sample, the others ten.
    assert_eq!(stats("sum_over_time(m[100s])").total_queryable_samples, 910);
    assert_eq!(stats("m @ 100").total_queryable_samples, 100);
    assert_eq!(stats("1 + 1"), QueryStats { total_queryable_samples: 0, peak_samples: 0 });
}

#[test]
fn deep_expressions_do_not_overflow_the_stack() {
    let engine = Engine::new(EngineOptions { max_samples: 1_000_000, ..default_options() });
    let at = EvalTime::Instant(0);
    let chain = format!("sum(m{})", " + m".repeat(500));
    let result = query(&engine, &chain, at, &QueryControl::unlimited()).unwrap();
    assert!(matches!(result.value, Value::Vector(ref samples) if samples.len() == 1));
}

#[test]
fn lookback_can_be_set_per_query() {
    let engine = Engine::new(default_options());
    let expr = parse("m", ParseOptions::all()).unwrap();
    let at = EvalTime::Instant(9_995_000);
    let count = |lookback: Option<Duration>| {
        let result = engine.query(&source(), "m", &expr, at, lookback, &QueryControl::unlimited()).unwrap();
        match result.value {
            Value::Vector(samples) => samples.len(),
            _ => 0,
        }
    };
    assert_eq!(
        (count(None), count(Some(Duration::from_secs(5))), count(Some(Duration::from_secs(6)))),
        (10, 0, 10)
    );
}
