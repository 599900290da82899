//! Arithmetic and comparison of two floats, and of a vector with a scalar.

use novaobs_promql_parser::ast::BinaryOp;

use crate::row::{Column, Row};

/// The result of `left op right`: the value, and whether a comparison keeps the sample.
///
/// A comparison's value is the left one. `None` for operators that floats do not have.
pub(crate) fn apply(op: BinaryOp, left: f64, right: f64) -> Option<(f64, bool)> {
    let value = match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div => left / right,
        BinaryOp::Mod => left % right,
        BinaryOp::Pow => left.powf(right),
        BinaryOp::Atan2 => left.atan2(right),
        BinaryOp::Equal => return Some((left, left == right)),
        BinaryOp::NotEqual => return Some((left, left != right)),
        BinaryOp::Greater => return Some((left, left > right)),
        BinaryOp::Less => return Some((left, left < right)),
        BinaryOp::GreaterEqual => return Some((left, left >= right)),
        BinaryOp::LessEqual => return Some((left, left <= right)),
        BinaryOp::And | BinaryOp::Or | BinaryOp::Unless | BinaryOp::TrimUpper | BinaryOp::TrimLower => {
            return None;
        }
    };
    Some((value, true))
}

/// `left op right` of two scalars: comparisons give 1 or 0.
pub(crate) fn scalars(op: BinaryOp, left: f64, right: f64) -> f64 {
    match apply(op, left, right) {
        Some((_, keep)) if op.is_comparison() => f64::from(u8::from(keep)),
        Some((value, _)) => value,
        None => f64::NAN,
    }
}

/// Whether the result is another quantity than its operands, so that the metric name would mislead.
pub(crate) fn drops_name(op: BinaryOp, return_bool: bool) -> bool {
    return_bool || !(op.is_comparison() || op.is_set())
}

/// Applies `row op scalar`, or `scalar op row` when `swap`, in place. Comparisons keep the row's value.
pub(crate) fn with_scalar(op: BinaryOp, row: &mut Row, scalar: &Column, swap: bool, return_bool: bool) {
    let apply_at = |step: usize, value: f64| {
        let scalar = scalar.at(step);
        let (left, right) = if swap { (scalar, value) } else { (value, scalar) };
        apply(op, left, right).unwrap_or((f64::NAN, false))
    };
    if !op.is_comparison() {
        return row.map(|step, value| apply_at(step, value).0);
    }
    if return_bool {
        return row.map(|step, value| f64::from(u8::from(apply_at(step, value).1)));
    }
    let Row { values, present, .. } = row;
    present.retain(|step| values.get(step).is_some_and(|value| apply_at(step, *value).1));
}
