//! Property: a range query's column at a step is what the instant query at that time gives, for random
//! series and expressions. The two take different paths through windows, groups and joins.

#![expect(clippy::panic, clippy::indexing_slicing, reason = "a test may fail loudly")]

use novaobs_model::{Labels, METRIC_NAME, Samples, SeriesSamples, stale_nan};
use novaobs_promql::testlang::{MemorySource, default_options};
use novaobs_promql::{Engine, EvalTime, QueryResult, Value};
use novaobs_promql_parser::{ParseOptions, parse};
use proptest::prelude::*;

/// Samples at irregular times with resets, gaps, NaN, infinities and staleness markers.
fn samples() -> impl Strategy<Value = Samples> {
    let value = prop_oneof![
        12 => (0i32..50).prop_map(f64::from),
        4 => -1000.0f64..1000.0,
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(1e300),
        2 => Just(stale_nan()),
    ];
    prop::collection::vec((1i64..40, value), 0..60).prop_map(|steps| {
        let mut samples = Samples::default();
        let mut time = 0;
        for (gap, value) in steps {
            time += gap * 1000;
            samples.push(time, value);
        }
        samples
    })
}

fn source() -> impl Strategy<Value = MemorySource> {
    prop::collection::vec(samples(), 12).prop_map(|columns| {
        let mut source = MemorySource::default();
        for (index, samples) in columns.into_iter().enumerate() {
            let labels = Labels::from_pairs([
                (METRIC_NAME, ["a_total", "b"][index % 2]),
                ("x", ["1", "2", "3"][index / 2 % 3]),
                ("y", ["u", "v"][index / 6]),
            ]);
            source.insert(SeriesSamples { labels, samples });
        }
        source
    })
}

fn selector() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "a_total",
        "b",
        "{__name__=~\"a_total|b\"}",
        "b{x=\"1\"}",
        "a_total{y!=\"u\"}",
    ]);
    let modifier = prop::sample::select(vec!["", "", "", " offset 30s", " offset -20s", " @ 100"]);
    (name, modifier).prop_map(|(name, modifier)| format!("{name}{modifier}"))
}

fn range_call() -> impl Strategy<Value = String> {
    let function = prop::sample::select(vec![
        "rate",
        "increase",
        "delta",
        "irate",
        "idelta",
        "changes",
        "resets",
        "deriv",
        "sum_over_time",
        "avg_over_time",
        "min_over_time",
        "max_over_time",
        "count_over_time",
        "last_over_time",
        "stddev_over_time",
        "present_over_time",
        "absent_over_time",
        "ts_of_max_over_time",
        "mad_over_time",
    ]);
    let name = prop::sample::select(vec!["a_total", "b", "b{x=\"2\"}"]);
    let range = prop::sample::select(vec!["25s", "1m", "5m", "10m", "2m:10s", "5m:15s"]);
    (function, name, range).prop_map(|(function, name, range)| format!("{function}({name}[{range}])"))
}

fn expression() -> impl Strategy<Value = String> {
    prop_oneof![3 => selector(), 4 => range_call()].prop_recursive(3, 12, 2, |inner| {
        let unary = prop::sample::select(vec![
            "-(#)",
            "abs(#)",
            "(#) > 5",
            "(#) > bool 5",
            "2 / (#)",
            "sum by (x) (#)",
            "avg without (y) (#)",
            "min(#)",
            "max by (y) (#)",
            "count(#)",
            "stddev by (x) (#)",
            "quantile(0.3, #)",
            "group by (x, y) (#)",
            "count_values(\"v\", #)",
            "absent(#)",
            "vector(scalar(#))",
            "label_replace(#, \"x\", \"$1\", \"y\", \"(.*)\")",
            "max_over_time((#)[1m:15s])",
            "round(#)",
            "timestamp(#)",
            "limit_ratio(0.5, #)",
            "clamp((#), 1, time() / 20)",
        ]);
        let binary = prop::sample::select(vec![
            "(#) + (#)",
            "(#) / on(x, y) (#)",
            "(#) and (#)",
            "(#) or (#)",
            "(#) unless on(x) (#)",
            "(#) * on(x) group_left sum by (x) (#)",
            "(#) >= on(x, y) group_right (#)",
            "(#) or on(y) (#)",
        ]);
        prop_oneof![
            3 => (unary, inner.clone()).prop_map(|(form, inner)| form.replacen('#', &inner, 1)),
            2 => (binary, inner.clone(), inner)
                .prop_map(|(form, left, right)| form.replacen('#', &left, 1).replacen('#', &right, 1)),
        ]
    })
}

/// Aggregations that choose series: around the whole expression only, since which of equal series is chosen
/// depends on their order.
fn choice() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["#", "#", "#", "#", "topk(2, #)", "bottomk by (x) (1, #)", "limitk(2, #)"])
}

/// What must agree of a column: labels and values, or of chosen series only values, or only their number.
fn comparable(mut column: Vec<(Labels, f64)>, choice: &str) -> Vec<(Labels, f64)> {
    if choice != "#" {
        column.iter_mut().for_each(|(labels, value)| {
            *labels = Labels::empty();
            // All NaN are one value; their signs would sort them apart.
            if value.is_nan() {
                *value = f64::NAN;
            }
        });
        column.sort_by(|a, b| a.1.total_cmp(&b.1));
    }
    if choice.starts_with("limitk") {
        column.iter_mut().for_each(|(_, value)| *value = 0.0);
    }
    column
}

fn run(source: &MemorySource, text: &str, time: EvalTime) -> Result<QueryResult, String> {
    let mut options = default_options();
    options.max_samples = 10_000_000;
    let engine = Engine::new(options);
    let expr = parse(text, ParseOptions::all()).map_err(|error| error.to_string())?;
    engine.query(source, text, &expr, time, None, &engine.control(None)).map_err(|error| error.to_string())
}

fn column(result: &QueryResult, at: i64) -> Vec<(Labels, f64)> {
    let mut column: Vec<(Labels, f64)> = match &result.value {
        Value::Vector(samples) => {
            samples.iter().map(|sample| (sample.labels.clone(), sample.value)).collect()
        }
        Value::Matrix(series) => {
            let at_step =
                |one: &SeriesSamples| one.samples.iter().find(|(time, _)| *time == at).map(|(_, v)| v);
            series.iter().filter_map(|one| Some((one.labels.clone(), at_step(one)?))).collect()
        }
        other => panic!("unexpected {}", other.type_name()),
    };
    column.sort_by(|a, b| a.0.cmp(&b.0));
    column
}

fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_range_is_made_of_instants(source in source(), inner in expression(), choice in choice()) {
        let text = choice.replacen('#', &inner, 1);
        let (start, step, steps) = (37_000, 23_000, 25);
        let range = run(&source, &text, EvalTime::Range { start, end: start + step * (steps - 1), step });
        let instants: Result<Vec<_>, _> = (0..steps)
            .map(|index| run(&source, &text, EvalTime::Instant(start + step * index)))
            .collect();
        match (range, instants) {
            (Ok(range), Ok(instants)) => {
                for (index, instant) in instants.iter().enumerate() {
                    let at = start + step * index as i64;
                    let (in_range, alone) =
                        (comparable(column(&range, at), choice), comparable(column(instant, at), choice));
                    prop_assert!(
                        in_range.len() == alone.len()
                            && in_range.iter().zip(&alone).all(|(a, b)| a.0 == b.0 && same(a.1, b.1)),
                        "{text} at {at}: {in_range:?} in the range, {alone:?} alone"
                    );
                }
                if let Value::Matrix(series) = &range.value {
                    prop_assert!(series.windows(2).all(|pair| pair[0].labels < pair[1].labels), "{text}: not sorted");
                }
            }
            // A range function refuses equal series even if they never meet at a step.
            (Err(_), _) => {}
            (Ok(_), Err(error)) => prop_assert!(false, "{text}: only alone it fails: {error}"),
        }
    }
}
