//! A filter of one label, asked about a value instead of a row.

use novaobs_log_pipeline::{TextTest, convert};
use novaobs_logql_parser::{CompareOp, LabelFilter};

/// What a filter does with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It goes.
    Drop,
    /// It stays.
    Keep,
    /// It stays, with an error.
    Fail,
}

/// A filter of one label.
#[derive(Debug)]
pub(crate) enum Leaf {
    /// Of its text.
    Text(TextTest),
    /// Of a number.
    Number(CompareOp, f64),
    /// Of a duration in nanoseconds.
    Duration(CompareOp, i64),
    /// Of a size.
    Bytes(CompareOp, u64),
}

impl Leaf {
    /// `None` for filters of several labels, those that do not compile, and those of addresses, which look
    /// at more than the value.
    pub(crate) fn new(filter: &LabelFilter) -> Option<Leaf> {
        Some(match filter {
            LabelFilter::Text(matcher) => Leaf::Text(TextTest::new(matcher).ok()?),
            LabelFilter::Number { op, value, .. } => Leaf::Number(*op, *value),
            LabelFilter::Duration { op, nanos, .. } => Leaf::Duration(*op, *nanos),
            LabelFilter::Bytes { op, bytes, .. } => Leaf::Bytes(*op, *bytes),
            LabelFilter::Ip { .. } | LabelFilter::And(..) | LabelFilter::Or(..) => return None,
        })
    }

    /// What it does with a row whose label has this value, or that has no such label.
    pub(crate) fn outcome(&self, value: Option<&str>) -> Outcome {
        match (self, value) {
            (Leaf::Text(test), value) if test.passes(value.unwrap_or("")) => Outcome::Keep,
            (Leaf::Text(_), _) | (_, None) => Outcome::Drop,
            (Leaf::Number(op, bound), Some(text)) => match plain_number(text) {
                Some(number) => compare(*op, number, *bound),
                None => converted(convert::number(text), *op, *bound),
            },
            (Leaf::Duration(op, bound), Some(text)) => converted(convert::duration(text), *op, *bound),
            (Leaf::Bytes(op, bound), Some(text)) => converted(convert::bytes(text), *op, *bound),
        }
    }

    /// What it does with a row whose label is this number, when that can be said without its text.
    pub(crate) fn number_outcome(&self, number: f64) -> Option<Outcome> {
        match self {
            Leaf::Number(op, bound) => Some(compare(*op, number, *bound)),
            _ => None,
        }
    }
}

fn converted<T: PartialOrd>(found: Result<T, String>, op: CompareOp, bound: T) -> Outcome {
    match found {
        Ok(found) => compare(op, found, bound),
        Err(_) => Outcome::Fail,
    }
}

fn compare<T: PartialOrd>(op: CompareOp, number: T, bound: T) -> Outcome {
    let passes = match op {
        CompareOp::Equal => number == bound,
        CompareOp::NotEqual => number != bound,
        CompareOp::Greater => number > bound,
        CompareOp::GreaterOrEqual => number >= bound,
        CompareOp::Less => number < bound,
        CompareOp::LessOrEqual => number <= bound,
    };
    if passes { Outcome::Keep } else { Outcome::Drop }
}

/// The value of digits with perhaps a sign and a fraction: what every reader of numbers agrees on.
pub(crate) fn plain_number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    text.parse().ok()
}

/// The value of `mantissa * 10^-scale` as reading its text gives it, when that is sure: both are exact, and
/// so their quotient is rounded once.
pub(crate) fn decimal(mantissa: i64, scale: u8) -> Option<f64> {
    const EXACT: u64 = 1 << 53;
    if mantissa.unsigned_abs() > EXACT || scale > 22 {
        return None;
    }
    Some(mantissa as f64 / 10f64.powi(i32::from(scale)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use novaobs_model::logs::batch::write_decimal;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn decimals_are_what_their_text_says(mantissa in any::<i64>(), shift in 0u32..60, scale in 0u8..19) {
            let mantissa = mantissa >> shift;
            let mut text = String::new();
            write_decimal(&mut text, mantissa, scale);
            if let Some(value) = decimal(mantissa, scale) {
                prop_assert_eq!(value, text.parse::<f64>().unwrap());
                prop_assert_eq!(plain_number(&text), Some(value));
            }
        }
    }

    #[test]
    fn odd_numbers_are_left_to_the_pipeline() {
        for text in ["", "-", "1.", ".5", "1e3", "+1", "0x10", "inf", "NaN", "1_000", " 1"] {
            assert_eq!(plain_number(text), None, "{text}");
        }
        assert_eq!(plain_number("007.50"), Some(7.5));
    }
}
