//! What a scalar without quotes means: nothing, a boolean, a number, or a text.
//!
//! The rules are those of YAML 1.1 as Go's yaml.v2 resolves them.

/// Whether a plain scalar is YAML's null.
pub(crate) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// The boolean a plain scalar stands for.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// The whole number a plain scalar stands for: decimal, `0x`, `0o`, `0b` or octal by a leading zero, with
/// `_` between digits; a float without a fraction counts too.
pub(crate) fn integer(text: &str) -> Option<i128> {
    let compact = text.replace('_', "");
    let (negative, digits) = match compact.as_bytes() {
        [b'-', ..] => (true, compact.get(1..)?),
        [b'+', ..] => (false, compact.get(1..)?),
        _ => (false, compact.as_str()),
    };
    let (radix, body) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, digits.get(2..)?),
        [b'0', b'b' | b'B', ..] => (2, digits.get(2..)?),
        [b'0', b'o' | b'O', ..] => (8, digits.get(2..)?),
        [b'0', _, ..] if digits.bytes().all(|b| b.is_ascii_digit()) => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    if body.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && let Ok(value) = u64::from_str_radix(body, radix)
    {
        return Some(if negative { -i128::from(value) } else { i128::from(value) });
    }
    let value = float(text)?;
    (value.fract() == 0.0 && value.abs() < 9.2e18).then_some(value as i128)
}

/// The number a plain scalar stands for, `.inf` and `.nan` included.
pub(crate) fn float(text: &str) -> Option<f64> {
    match text {
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Some(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Some(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Some(f64::NAN),
        _ => {}
    }
    let compact = text.replace('_', "");
    let starts = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+');
    let numeric = compact.starts_with(starts)
        && compact.bytes().any(|b| b.is_ascii_digit())
        && compact.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    if numeric { compact.parse().ok() } else { None }
}

/// Whether a text written without quotes would be read as something other than a text.
pub(crate) fn is_ambiguous(text: &str) -> bool {
    is_null(text)
        || boolean(text).is_some()
        || integer(text).is_some()
        || float(text).is_some()
        || matches!(text, "<<" | "=")
        || is_base_sixty(text)
        || is_timestamp(text)
}

/// `190:20:30`, a YAML 1.1 number in base sixty: old readers would take it for one.
fn is_base_sixty(text: &str) -> bool {
    let mut parts = text.trim_start_matches(['-', '+']).split(':');
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit() || b == b'_' || b == b'.');
    text.contains(':') && parts.all(digits)
}

/// `2020-01-31` with or without a time after it.
fn is_timestamp(text: &str) -> bool {
    let (date, time) =
        text.split_at_checked(text.find(['T', 't', ' ']).unwrap_or(text.len())).unwrap_or((text, ""));
    let parts: Vec<&str> = date.split('-').collect();
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let date_like = match parts.as_slice() {
        [y, m, d] => {
            y.len() == 4
                && (1..=2).contains(&m.len())
                && (1..=2).contains(&d.len())
                && parts.iter().all(|p| digits(p))
        }
        _ => false,
    };
    date_like
        && time.chars().skip(1).all(|c| c.is_ascii_digit() || matches!(c, ':' | '.' | 'Z' | '+' | '-' | ' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_as_go_does() {
        let f = |text: &str, want: Option<i128>| assert_eq!(integer(text), want, "{text}");
        f("5", Some(5));
        f("-5", Some(-5));
        f("0x10", Some(16));
        f("010", Some(8));
        f("0o10", Some(8));
        f("0b11", Some(3));
        f("1_000", Some(1000));
        f("1e3", Some(1000));
        f("2.0", Some(2));
        f("18446744073709551615", Some(18_446_744_073_709_551_615));
        f("2.5", None);
        f("5s", None);
        f("-", None);
        f("--5", None);
        f("", None);
        f("infinity", None);
    }

    #[test]
    fn knows_which_texts_need_quotes() {
        for text in ["", "yes", "y", "1", "1e3", "0x1F", "null", "~", "2020-01-01", "1:30", ".inf", "<<"] {
            assert!(is_ambiguous(text), "{text}");
        }
        for text in ["a", "15s", "10.0.0.1", "localhost:9090", "yes please", "2020-01-01x", "nan", "e3"] {
            assert!(!is_ambiguous(text), "{text}");
        }
    }
}
