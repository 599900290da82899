//! Binary operations between numbers and series.

use std::collections::{BTreeSet, HashMap, HashSet};

use novaobs_logql_parser::{BinaryExpr, BinaryOp, Matching};
use novaobs_model::{Labels, LabelsBuilder};

use crate::QueryError;
use crate::errors::{duplicate_series, many_to_one, not_unique};
use crate::eval::Env;
use crate::matrix::{Line, Operand, Point, by_labels, by_step};

/// Applies an operation.
pub(crate) fn evaluate(
    env: &Env<'_>,
    expr: &BinaryExpr,
    left: Operand,
    right: Operand,
) -> Result<Operand, QueryError> {
    match (left, right) {
        (Operand::Number(left), Operand::Number(right)) => Ok(Operand::Number(numbers(expr.op, left, right))),
        (Operand::Series(lines), Operand::Number(number)) => {
            Ok(Operand::Series(with_number(expr, lines, number, false)))
        }
        (Operand::Number(number), Operand::Series(lines)) => {
            Ok(Operand::Series(with_number(expr, lines, number, true)))
        }
        (Operand::Series(left), Operand::Series(right)) => Ok(Operand::Series(match expr.op {
            BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => sets(env, expr, left, right)?,
            _ => series(env, expr, left, right)?,
        })),
    }
}

/// The value of an arithmetic operation; comparisons give 1 or 0.
fn numbers(op: BinaryOp, left: f64, right: f64) -> f64 {
    let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Subtract => left - right,
        BinaryOp::Multiply => left * right,
        // Unlike in PromQL, nothing is infinite that is divided by zero.
        BinaryOp::Divide if right == 0.0 => f64::NAN,
        BinaryOp::Divide => left / right,
        BinaryOp::Modulo if right == 0.0 => f64::NAN,
        BinaryOp::Modulo => left % right,
        BinaryOp::Power => left.powf(right),
        BinaryOp::Equal => truth(left == right),
        BinaryOp::NotEqual => truth(left != right),
        BinaryOp::Greater => truth(left > right),
        BinaryOp::GreaterOrEqual => truth(left >= right),
        BinaryOp::Less => truth(left < right),
        BinaryOp::LessOrEqual => truth(left <= right),
        // The parser refuses numbers here.
        BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => f64::NAN,
    }
}

fn compares(op: BinaryOp) -> bool {
    use BinaryOp as B;
    matches!(op, B::Equal | B::NotEqual | B::Greater | B::GreaterOrEqual | B::Less | B::LessOrEqual)
}

/// The result of one pair; `None` when a comparison leaves it out. `kept` is what a comparison keeps.
fn pair(expr: &BinaryExpr, left: f64, right: f64, kept: f64) -> Option<f64> {
    let value = numbers(expr.op, left, right);
    if !compares(expr.op) || expr.return_bool {
        return Some(value);
    }
    (value != 0.0).then_some(kept)
}

fn with_number(expr: &BinaryExpr, mut lines: Vec<Line>, number: f64, number_left: bool) -> Vec<Line> {
    for line in &mut lines {
        line.points.retain_mut(|point| {
            let (left, right) = if number_left { (number, point.value) } else { (point.value, number) };
            match pair(expr, left, right, point.value) {
                Some(value) => {
                    point.value = value;
                    true
                }
                None => false,
            }
        });
    }
    lines.retain(|line| !line.points.is_empty());
    lines
}

/// The labels two series must share to belong together.
fn signature(labels: &Labels, matching: Option<&Matching>) -> Labels {
    match matching {
        Some(matching) if matching.on => labels.without(|name| !matching.labels.iter().any(|on| on == name)),
        Some(matching) => labels.without(|name| matching.labels.iter().any(|ignored| ignored == name)),
        None => labels.clone(),
    }
}

/// The signatures of both sides, by number.
fn signatures(left: &[Line], right: &[Line], matching: Option<&Matching>) -> (Vec<u32>, Vec<u32>) {
    let mut numbers: HashMap<Labels, u32> = HashMap::new();
    let mut number = |line: &Line| {
        let next = numbers.len() as u32;
        *numbers.entry(signature(&line.labels, matching)).or_insert(next)
    };
    (left.iter().map(&mut number).collect(), right.iter().map(&mut number).collect())
}

/// `and`, `or` and `unless`: a series stays at a step by whether the other side has its signature there.
fn sets(
    env: &Env<'_>,
    expr: &BinaryExpr,
    left: Vec<Line>,
    right: Vec<Line>,
) -> Result<Vec<Line>, QueryError> {
    let (left_of, right_of) = signatures(&left, &right, expr.matching.as_ref());
    let held = |lines: &[Line], of: &[u32]| -> HashSet<(u32, u32)> {
        let of_lines = lines.iter().zip(of);
        of_lines.flat_map(|(line, of)| line.points.iter().map(|point| (*of, point.step))).collect()
    };
    let keep = |lines: Vec<Line>, of: &[u32], there: &HashSet<(u32, u32)>, wanted: bool| -> Vec<Line> {
        let mut lines = lines;
        for (line, of) in lines.iter_mut().zip(of) {
            line.points.retain(|point| there.contains(&(*of, point.step)) == wanted);
        }
        lines.retain(|line| !line.points.is_empty());
        lines
    };
    env.control.check().map_err(|stop| QueryError::Select(stop.into()))?;
    Ok(match expr.op {
        BinaryOp::And => {
            let there = held(&right, &right_of);
            keep(left, &left_of, &there, true)
        }
        BinaryOp::Unless => {
            let there = held(&right, &right_of);
            keep(left, &left_of, &there, false)
        }
        _ => {
            let there = held(&left, &left_of);
            let more = keep(right, &right_of, &there, false);
            let mut lines = left;
            lines.extend(more);
            if env.instant { lines } else { by_labels(lines) }
        }
    })
}

/// Arithmetic and comparisons between series.
fn series(
    env: &Env<'_>,
    expr: &BinaryExpr,
    left: Vec<Line>,
    right: Vec<Line>,
) -> Result<Vec<Line>, QueryError> {
    let matching = expr.matching.as_ref();
    let group = matching.and_then(|matching| matching.group.as_ref());
    let (left_of, right_of) = signatures(&left, &right, matching);
    // The side that may have several series of one signature goes first.
    let many_is_right = group.is_some_and(|group| !group.left);
    let (many, many_of, one, one_of) = match many_is_right {
        true => (&right, &right_of, &left, &left_of),
        false => (&left, &left_of, &right, &right_of),
    };
    let one_side = if many_is_right { "left" } else { "right" };
    let (many_steps, one_steps) = (by_step(many), by_step(one));
    let steps: BTreeSet<u32> =
        many_steps.keys().filter(|step| one_steps.contains_key(step)).copied().collect();
    let mut results: HashMap<Labels, usize> = HashMap::new();
    let mut of_pair: HashMap<(u32, u32), usize> = HashMap::new();
    let mut out: Vec<Line> = Vec::new();
    for step in steps {
        env.control.check().map_err(|stop| QueryError::Select(stop.into()))?;
        let mut found: HashMap<u32, (u32, f64)> = HashMap::new();
        for (line, value) in one_steps.get(&step).into_iter().flatten() {
            let of = one_of.get(*line as usize).copied().unwrap_or_default();
            if found.insert(of, (*line, *value)).is_some() {
                return Err(duplicate_series(one_side));
            }
        }
        let mut taken: HashSet<u32> = HashSet::new();
        let mut given: HashSet<usize> = HashSet::new();
        for (line, value) in many_steps.get(&step).into_iter().flatten() {
            let of = many_of.get(*line as usize).copied().unwrap_or_default();
            let Some((other, other_value)) = found.get(&of) else { continue };
            let (a, b) = if many_is_right { (*other_value, *value) } else { (*value, *other_value) };
            let Some(result) = pair(expr, a, b, a) else { continue };
            let at = *of_pair.entry((*line, *other)).or_insert_with(|| {
                let labels = result_labels(many.get(*line as usize), one.get(*other as usize), matching);
                *results.entry(labels).or_insert_with_key(|labels| {
                    out.push(Line { labels: labels.clone(), points: Vec::new() });
                    out.len() - 1
                })
            });
            if group.is_none() && !taken.insert(of) {
                return Err(many_to_one());
            }
            if group.is_some() && !given.insert(at) {
                return Err(not_unique());
            }
            if let Some(line) = out.get_mut(at) {
                line.points.push(Point { step, value: result });
            }
        }
    }
    env.hold(out.iter().map(|line| line.points.len()).sum::<usize>() * size_of::<Point>())?;
    Ok(if env.instant { out } else { by_labels(out) })
}

/// The labels of a result: those of the side with many, less what is not matched on, plus what is taken over
/// from the other side.
fn result_labels(many: Option<&Line>, one: Option<&Line>, matching: Option<&Matching>) -> Labels {
    let many = many.map(|line| line.labels.clone()).unwrap_or_default();
    let one = one.map(|line| line.labels.clone()).unwrap_or_default();
    let Some(matching) = matching else { return many };
    let Some(group) = &matching.group else { return signature(&many, Some(matching)) };
    let mut builder = LabelsBuilder::from_labels(&many);
    for name in &group.include {
        builder.set(name, one.value(name));
    }
    builder.build()
}
