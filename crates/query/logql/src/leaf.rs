//! A filter of one label, asked about a value instead of a row.

use novaobs_log_pipeline::Pipeline;
use novaobs_logql_parser::{CompareOp, LabelFilter, Stage};
use novaobs_model::{Labels, Matcher};

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
pub(crate) enum Leaf {
    /// Of its text.
    Text(Matcher),
    /// Of a number: plain ones are compared here, the rest as [`Leaf::Other`].
    Number {
        /// How.
        op: CompareOp,
        /// With what.
        value: f64,
        /// For what is not a plain number.
        other: RowLeaf,
    },
    /// By the pipeline, on a row that has nothing but this label: what the row path would say.
    Other(RowLeaf),
}

/// A filter as a pipeline of its own.
pub(crate) struct RowLeaf {
    pipeline: Pipeline,
    label: String,
}

impl Leaf {
    /// `None` for filters of several labels, and those that do not compile.
    pub(crate) fn new(filter: &LabelFilter) -> Option<Leaf> {
        let other = |label: &str| {
            let pipeline = Pipeline::compile(&[Stage::Label(filter.clone())], None).ok()?;
            Some(RowLeaf { pipeline, label: label.to_owned() })
        };
        match filter {
            LabelFilter::And(..) | LabelFilter::Or(..) => None,
            LabelFilter::Text(matcher) => Some(Leaf::Text(matcher.clone())),
            LabelFilter::Number { label, op, value } => {
                Some(Leaf::Number { op: *op, value: *value, other: other(label)? })
            }
            LabelFilter::Duration { label, .. }
            | LabelFilter::Bytes { label, .. }
            | LabelFilter::Ip { label, .. } => Some(Leaf::Other(other(label)?)),
        }
    }

    /// Whether it tests text, and so cannot fail.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Leaf::Text(_))
    }

    /// What it does with a row whose label has this value, or that has no such label.
    pub(crate) fn outcome(&self, value: Option<&str>) -> Outcome {
        match self {
            Leaf::Text(matcher) if matcher.matches(value.unwrap_or("")) => Outcome::Keep,
            Leaf::Text(_) => Outcome::Drop,
            Leaf::Number { op, value: bound, other } => match value.and_then(plain_number) {
                Some(number) => compare(*op, number, *bound),
                None => other.outcome(value),
            },
            Leaf::Other(other) => other.outcome(value),
        }
    }

    /// What it does with a row whose label is this number, when that can be said without its text.
    pub(crate) fn number_outcome(&self, number: f64) -> Option<Outcome> {
        match self {
            Leaf::Number { op, value, .. } => Some(compare(*op, number, *value)),
            Leaf::Text(_) | Leaf::Other(_) => None,
        }
    }
}

impl RowLeaf {
    fn outcome(&self, value: Option<&str>) -> Outcome {
        let mut stream = self.pipeline.stream(&Labels::empty());
        let metadata = value.map(|value| (self.label.as_str(), value));
        match stream.run(0, "", metadata.into_iter()) {
            None => Outcome::Drop,
            Some(row) if row.labels.get("__error__").is_some() => Outcome::Fail,
            Some(_) => Outcome::Keep,
        }
    }
}

fn compare(op: CompareOp, number: f64, bound: f64) -> Outcome {
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
