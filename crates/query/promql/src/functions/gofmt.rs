//! Floats as Go prints them: labels, annotations and error texts carry the peer's digits.

/// `strconv.FormatFloat(value, 'f', -1, 64)`: shortest digits, never an exponent.
pub(crate) fn plain(value: f64) -> String {
    special(value).unwrap_or_else(|| format!("{value}"))
}

/// `%g` and `%v`: shortest digits, with an exponent below 1e-4 and from 1e6 on.
pub(crate) fn general(value: f64) -> String {
    if let Some(text) = special(value) {
        return text;
    }
    let scientific = format!("{value:e}");
    let exponent = exponent_of(&scientific);
    if value != 0.0 && !(-4..6).contains(&exponent) {
        with_go_exponent(&scientific)
    } else {
        format!("{value}")
    }
}

/// `%.<digits>g`: at most `digits` significant digits.
pub(crate) fn significant(value: f64, digits: usize) -> String {
    if let Some(text) = special(value) {
        return text;
    }
    let scientific = format!("{value:.*e}", digits.saturating_sub(1));
    let (mantissa, _) = scientific.split_once('e').unwrap_or((&scientific, ""));
    let exponent = exponent_of(&scientific);
    if value != 0.0 && (exponent < -4 || exponent >= digits as i32) {
        let mantissa = trim_zeros(mantissa);
        return with_go_exponent(&format!("{mantissa}e{exponent}"));
    }
    let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
    trim_zeros(&format!("{value:.decimals$}")).to_owned()
}

/// A float as OpenMetrics writes label values such as `quantile`: `1.0`, not `1`.
pub(crate) fn open_metrics(value: f64) -> String {
    let text = general(value);
    if value.is_finite() && !text.contains(['.', 'e']) { text + ".0" } else { text }
}

/// `%f`: six decimals.
pub(crate) fn fixed(value: f64) -> String {
    special(value).unwrap_or_else(|| format!("{value:.6}"))
}

fn special(value: f64) -> Option<String> {
    if value.is_nan() {
        return Some("NaN".to_owned());
    }
    value.is_infinite().then(|| if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned())
}

fn exponent_of(scientific: &str) -> i32 {
    scientific.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0)
}

/// `1.5e7` as `1.5e+07`.
fn with_go_exponent(scientific: &str) -> String {
    let (mantissa, _) = scientific.split_once('e').unwrap_or((scientific, ""));
    let exponent = exponent_of(scientific);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

fn trim_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_go_does() {
        let f = |value: f64, g: &str, two: &str, f: &str| {
            assert_eq!(
                (general(value).as_str(), significant(value, 2).as_str(), plain(value).as_str()),
                (g, two, f)
            );
        };
        f(0.0, "0", "0", "0");
        f(1.5, "1.5", "1.5", "1.5");
        f(-123456.0, "-123456", "-1.2e+05", "-123456");
        f(1234567.0, "1.234567e+06", "1.2e+06", "1234567");
        f(1e21, "1e+21", "1e+21", "1000000000000000000000");
        f(0.00001234, "1.234e-05", "1.2e-05", "0.00001234");
        f(f64::INFINITY, "+Inf", "+Inf", "+Inf");
        f(f64::NAN, "NaN", "NaN", "NaN");
        assert_eq!(open_metrics(1.0), "1.0");
        assert_eq!(open_metrics(0.99), "0.99");
        assert_eq!(fixed(0.5), "0.500000");
    }
}
