//! Evaluates one query of a script and compares.

use novaobs_model::{Labels, SeriesSamples, SeriesSource};
use novaobs_promql_parser::{ParseOptions, parse};

use super::script::{Eval, Kind, Times, first_repeated};
use crate::functions::buckets::almost_equal;
use crate::result::{QueryResult, Value};
use crate::{Engine, EvalTime};

/// Relative difference of values that counts as equal.
const EPSILON: f64 = 1e-6;

/// `Err` says what differs.
pub(super) fn check(engine: &Engine, source: &dyn SeriesSource, eval: &Eval) -> Result<(), String> {
    if let Some(labels) = first_repeated(&eval.series) {
        return Err(format!("the test expects {labels} twice"));
    }
    let time = match eval.times {
        Times::Instant(at) => EvalTime::Instant(at),
        Times::Range { start, end, step } => EvalTime::Range { start, end, step },
    };
    let result = match query(engine, source, &eval.query, time) {
        Err(error) => return check_failure(eval, &error),
        Ok(_) if eval.expectations.iter().any(|(kind, _)| *kind == Kind::Fail) => {
            return Err("should fail, but did not".to_owned());
        }
        Ok(result) => result,
    };
    check_annotations(eval, &result)?;
    check_value(eval, &result.value)?;
    match (eval.times, &result.value) {
        (Times::Instant(at), Value::Vector(_)) if !eval.ordered => {
            check_as_range(engine, source, eval, at, &result.value)
        }
        (Times::Instant(at), Value::Scalar(..)) => check_as_range(engine, source, eval, at, &result.value),
        _ => Ok(()),
    }
}

fn query(
    engine: &Engine,
    source: &dyn SeriesSource,
    text: &str,
    time: EvalTime,
) -> Result<QueryResult, String> {
    let expr = parse(text, ParseOptions::all()).map_err(|error| error.to_string())?;
    let control = engine.control(None);
    engine.query(source, text, &expr, time, None, &control).map_err(|error| error.to_string())
}

fn check_failure(eval: &Eval, error: &str) -> Result<(), String> {
    let mut expected = eval.expectations.iter().filter(|(kind, _)| *kind == Kind::Fail).peekable();
    if expected.peek().is_none() {
        return Err(format!("fails: {error}"));
    }
    match expected.find(|(_, accepted)| !accepted.accepts(error)) {
        Some((_, accepted)) => Err(format!("fails with {error:?} instead of {accepted}")),
        None => Ok(()),
    }
}

fn check_annotations(eval: &Eval, result: &QueryResult) -> Result<(), String> {
    for (kind, none, texts) in
        [(Kind::Warn, Kind::NoWarn, &result.warnings), (Kind::Info, Kind::NoInfo, &result.infos)]
    {
        let of_kind = |wanted: Kind| eval.expectations.iter().filter(move |(kind, _)| *kind == wanted);
        if of_kind(none).next().is_some() && !texts.is_empty() {
            return Err(format!("unexpected annotations {texts:?}"));
        }
        for (_, accepted) in of_kind(kind) {
            if !texts.iter().any(|text| accepted.accepts(text)) {
                return Err(format!("no annotation like {accepted} among {texts:?}"));
            }
        }
        let expected = of_kind(kind).next().is_some();
        let extra = texts.iter().find(|text| !of_kind(kind).any(|(_, accepted)| accepted.accepts(text)));
        if let Some(extra) = extra.filter(|_| expected) {
            return Err(format!("unexpected annotation {extra:?}"));
        }
    }
    Ok(())
}

fn check_value(eval: &Eval, value: &Value) -> Result<(), String> {
    match value {
        Value::String(_, text) => match &eval.string {
            Some(expected) if expected == text => Ok(()),
            expected => Err(format!("gives the string {text:?}, not {expected:?}")),
        },
        Value::Scalar(_, value) => match eval.scalar {
            Some(expected) if equal(expected, *value) => Ok(()),
            expected => Err(format!("gives the scalar {value}, not {expected:?}")),
        },
        Value::Vector(samples) => {
            let actual: Vec<(Labels, Vec<(i64, f64)>)> = samples
                .iter()
                .map(|sample| (sample.labels.clone(), vec![(sample.timestamp, sample.value)]))
                .collect();
            let Times::Instant(at) = eval.times else { return Err("gives a vector".to_owned()) };
            compare(eval, &actual, |_| at)
        }
        Value::Matrix(series) => {
            let actual: Vec<(Labels, Vec<(i64, f64)>)> =
                series.iter().map(|one| (one.labels.clone(), one.samples.iter().collect())).collect();
            let (start, step) = match (eval.range_vector, eval.times) {
                (Some((start, _, step)), _) | (None, Times::Range { start, step, .. }) => (start, step),
                (None, Times::Instant(at)) => (at, 0),
            };
            compare(eval, &actual, |index| start + step * index as i64)
        }
    }
}

/// Compares series; value number `index` of an expected series is at `time_of(index)`.
fn compare(
    eval: &Eval,
    actual: &[(Labels, Vec<(i64, f64)>)],
    time_of: impl Fn(usize) -> i64,
) -> Result<(), String> {
    if eval.scalar.is_some() {
        return Err(format!("should be a scalar, is {actual:?}"));
    }
    for (place, (labels, values)) in eval.series.iter().enumerate() {
        let expected: Vec<(i64, f64)> = values
            .iter()
            .enumerate()
            .filter_map(|(index, value)| Some((time_of(index), (*value)?)))
            .collect();
        if expected.is_empty() {
            continue;
        }
        let found = actual.iter().position(|(actual, _)| actual == labels);
        let Some((_, samples)) = found.and_then(|found| actual.get(found)) else {
            return Err(format!("{labels} is missing in {actual:?}"));
        };
        if eval.ordered && found != Some(place) {
            return Err(format!("{labels} is number {found:?} instead of {place} of {actual:?}"));
        }
        let same = samples.len() == expected.len()
            && samples.iter().zip(&expected).all(|(a, b)| a.0 == b.0 && equal(a.1, b.1));
        if !same {
            return Err(format!("{labels} is {samples:?} instead of {expected:?}"));
        }
    }
    match actual.iter().find(|(labels, _)| !eval.series.iter().any(|(expected, _)| expected == labels)) {
        Some((labels, samples)) => Err(format!("unexpected {labels} {samples:?}")),
        None => Ok(()),
    }
}

fn equal(a: f64, b: f64) -> bool {
    almost_equal(a, b, EPSILON)
}

/// The same query as the middle of a range of three steps must give the same.
fn check_as_range(
    engine: &Engine,
    source: &dyn SeriesSource,
    eval: &Eval,
    at: i64,
    instant: &Value,
) -> Result<(), String> {
    // These functions tell the query's range, which is another one here.
    if ["start()", "end()", "range()", "step()"].iter().any(|call| eval.query.contains(call)) {
        return Ok(());
    }
    let time = EvalTime::Range { start: at - 60_000, end: at + 60_000, step: 60_000 };
    let range = query(engine, source, &eval.query, time)
        .map_err(|error| format!("fails as a range query: {error}"))?;
    let Value::Matrix(series) = range.value else {
        return Err("gives no matrix as a range query".to_owned());
    };
    let value_at =
        |one: &SeriesSamples| one.samples.iter().find(|(time, _)| *time == at).map(|(_, value)| value);
    let mut middle: Vec<(Labels, f64)> =
        series.iter().filter_map(|one| Some((one.labels.clone(), value_at(one)?))).collect();
    let mut expected: Vec<(Labels, f64)> = match instant {
        Value::Scalar(_, value) => vec![(Labels::empty(), *value)],
        Value::Vector(samples) => {
            samples.iter().map(|sample| (sample.labels.clone(), sample.value)).collect()
        }
        Value::String(..) | Value::Matrix(_) => return Ok(()),
    };
    middle.sort_by(|a, b| a.0.cmp(&b.0));
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    let same = middle.len() == expected.len()
        && middle.iter().zip(&expected).all(|(a, b)| a.0 == b.0 && equal(a.1, b.1));
    if same {
        Ok(())
    } else {
        Err(format!("is {middle:?} as a range query and {expected:?} as an instant one"))
    }
}
