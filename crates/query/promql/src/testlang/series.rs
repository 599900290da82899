//! The notation of series in test files: `name{label="value"} 1 2+3x4 _x2 stale`.

use novaobs_model::{Labels, MatchOp, stale_nan};

/// A series with a value, or a gap, for each step.
pub type SeriesValues = (Labels, Vec<Option<f64>>);

/// Why a line is not a series.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeriesError {
    /// It holds native histograms or start timestamps, which are not read yet.
    #[error("native histograms and start timestamps are not supported")]
    Unsupported,
    /// It is not in the notation.
    #[error("{0}")]
    Syntax(String),
}

/// Reads labels and values. Values are: a number; `_` a gap; `stale` a staleness marker; `axn`, `a+bxn`,
/// `a-bxn`: the number `a` and n more, each `b` further; `_xn`: n gaps.
///
/// # Errors
/// [`SeriesError`].
pub fn parse_series(line: &str) -> Result<SeriesValues, SeriesError> {
    let (labels, values) = split_labels(line);
    if labels.ends_with("@st") || values.starts_with("@st") {
        return Err(SeriesError::Unsupported);
    }
    let matchers = novaobs_promql_parser::parse_selector(labels)
        .map_err(|error| SeriesError::Syntax(format!("{labels}: {error}")))?;
    if let Some(other) = matchers.iter().find(|matcher| matcher.op != MatchOp::Equal) {
        return Err(SeriesError::Syntax(format!("{other} does not give a label one value")));
    }
    let labels = Labels::from_pairs(matchers.iter().map(|matcher| (&matcher.name, &matcher.value)));
    Ok((labels, parse_values(values)?))
}

/// Reads values only; see [`parse_series`].
///
/// # Errors
/// [`SeriesError`].
pub fn parse_values(text: &str) -> Result<Vec<Option<f64>>, SeriesError> {
    if text.contains("{{") || text.contains('@') {
        return Err(SeriesError::Unsupported);
    }
    let mut values = Vec::new();
    for word in text.split_ascii_whitespace() {
        if !push_word(word, &mut values) {
            return Err(SeriesError::Syntax(format!("{word:?} is no value")));
        }
    }
    Ok(values)
}

/// Splits behind the labels: at the closing brace or, without braces, the first space.
fn split_labels(line: &str) -> (&str, &str) {
    let head = line.find(|c: char| c == '{' || c.is_whitespace()).unwrap_or(line.len());
    if !line.get(head..).is_some_and(|rest| rest.starts_with('{')) {
        // `name {labels} values` is a name, too.
        let (name, rest) = line.split_at(head);
        if !rest.trim_start().starts_with('{') || rest.trim_start().starts_with("{{") {
            return (name, rest);
        }
    }
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in line.char_indices().skip_while(|(at, _)| *at < head) {
        match quote {
            Some(_) if escaped => escaped = false,
            Some('`') if c == '\\' => {}
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None if c == '}' => return line.split_at(at + 1),
            None => {}
        }
    }
    (line, "")
}

fn push_word(word: &str, out: &mut Vec<Option<f64>>) -> bool {
    if word == "stale" {
        out.push(Some(stale_nan()));
        return true;
    }
    if let Some(rest) = word.strip_prefix('_') {
        let count = match rest.strip_prefix('x') {
            Some(count) => count.parse().ok(),
            None => rest.is_empty().then_some(1),
        };
        let Some(count) = count else { return false };
        out.extend(std::iter::repeat_n(None, count));
        return true;
    }
    let Some((first, rest)) = take_number(word) else { return false };
    if rest.is_empty() {
        out.push(Some(first));
        return true;
    }
    let (step, rest) = match take_number(rest) {
        Some(found) if rest.starts_with(['+', '-']) => found,
        _ => (0.0, rest),
    };
    let Some(count) = rest.strip_prefix('x').and_then(|count| count.parse::<usize>().ok()) else {
        return false;
    };
    let mut value = first;
    for _ in 0..=count {
        out.push(Some(value));
        value += step;
    }
    true
}

/// A number at the start of `text`, and the rest.
fn take_number(text: &str) -> Option<(f64, &str)> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = text.len() - unsigned.len();
    let lower = unsigned.to_ascii_lowercase();
    let length = match ["inf", "nan"].into_iter().find(|word| lower.starts_with(word)) {
        Some(word) => word.len(),
        None => {
            let digits = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
            let exponent = lower.get(digits..).and_then(|rest| rest.strip_prefix('e')).map_or(0, |rest| {
                let unsigned = rest.strip_prefix(['+', '-']).unwrap_or(rest);
                let count = unsigned.find(|c: char| !c.is_ascii_digit()).unwrap_or(unsigned.len());
                if count == 0 { 0 } else { 1 + rest.len() - unsigned.len() + count }
            });
            digits + exponent
        }
    };
    let (number, rest) = text.split_at_checked(sign + length)?;
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_all_forms_of_values() {
        let values = |text: &str| parse_values(text).unwrap();
        assert_eq!(values("1 _ 2x1 _x2"), [Some(1.0), None, Some(2.0), Some(2.0), None, None]);
        assert_eq!(values("1-2x2"), [Some(1.0), Some(-1.0), Some(-3.0)]);
        assert_eq!(values("-1e3+0.5x1 -Inf"), [Some(-1000.0), Some(-999.5), Some(f64::NEG_INFINITY)]);
        assert!(values("NaN")[0].unwrap().is_nan());
        assert!(novaobs_model::is_stale(values("stale")[0].unwrap()));
        assert!(parse_values("1y").is_err());
        assert_eq!(parse_values("{{schema:1}}"), Err(SeriesError::Unsupported));
    }

    #[test]
    fn splits_labels_from_values() {
        let (labels, values) = parse_series(r#"m{a="}\" x",b='y'} 1 2"#).unwrap();
        assert_eq!(labels.to_string(), r#"m{a="}\" x", b="y"}"#);
        assert_eq!(values.len(), 2);
        assert_eq!(parse_series(r#"{"my.m", x="1"} 1"#).unwrap().0.metric_name(), "my.m");
        assert_eq!(parse_series("{} 7").unwrap(), (Labels::empty(), vec![Some(7.0)]));
    }
}
