//! Durations as Prometheus writes them: `1h30m`, `15s`, `250ms`.

use std::fmt;
use std::time::Duration;

/// A text that is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing there.
    #[error("empty duration string")]
    Empty,
    /// Not `<number><unit>` pairs with units in descending order.
    #[error("not a valid duration string: {0:?}")]
    Invalid(String),
    /// A unit other than those of Prometheus.
    #[error("unknown unit {unit:?} in duration {text:?}")]
    UnknownUnit {
        /// As written.
        unit: String,
        /// The whole text.
        text: String,
    },
    /// More than a signed 64-bit count of nanoseconds (about 292 years).
    #[error("duration out of range")]
    OutOfRange,
}

/// The units in the order they may follow each other, with their length in milliseconds. Weeks, days and
/// years have fixed lengths (7 d, 24 h, 365 d).
const UNITS: [(&str, u64); 7] = [
    ("y", 31_536_000_000),
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Parses `1y2w3d4h5m6s7ms` (each part optional, in this order) or `0`.
///
/// # Errors
/// [`DurationError`] for anything else, and for more than 2^63-1 nanoseconds.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let invalid = || DurationError::Invalid(text.to_owned());
    let mut total = 0u64;
    let mut units = UNITS.iter();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
        let (number, after) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| invalid())?;
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        if !UNITS.iter().any(|(name, _)| *name == unit) {
            return Err(DurationError::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() });
        }
        let (_, length) = units.by_ref().find(|(name, _)| *name == unit).ok_or_else(invalid)?;
        let part = number.checked_mul(*length).ok_or(DurationError::OutOfRange)?;
        total = total.checked_add(part).ok_or(DurationError::OutOfRange)?;
        rest = after;
    }
    if total > (i64::MAX as u64) / 1_000_000 {
        return Err(DurationError::OutOfRange);
    }
    Ok(Duration::from_millis(total))
}

/// Prints a duration as Prometheus does: units in descending order, years and weeks only when they divide
/// exactly (`90d` reads better than `12w6d`), zero as `0s`. Fractions of a millisecond are dropped.
pub fn format(duration: Duration) -> String {
    format_ms(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// [`format`] for a count of milliseconds.
pub fn format_ms(milliseconds: u64) -> String {
    if milliseconds == 0 {
        return "0s".to_owned();
    }
    let mut rest = milliseconds;
    let mut out = String::new();
    for (unit, length) in UNITS {
        let exact_only = matches!(unit, "y" | "w");
        if exact_only && !rest.is_multiple_of(length) {
            continue;
        }
        if rest >= length {
            let _ = fmt::Write::write_fmt(&mut out, format_args!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints() {
        let f = |text: &str, ms: u64, printed: &str| {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
            assert_eq!(format_ms(ms), printed);
        };
        f("0", 0, "0s");
        f("0s", 0, "0s");
        f("15s", 15_000, "15s");
        f("1h30m", 5_400_000, "1h30m");
        f("250ms", 250, "250ms");
        f("1d", 86_400_000, "1d");
        f("8d", 691_200_000, "8d");
        f("14d", 1_209_600_000, "2w");
        f("25h", 90_000_000, "1d1h");
        f("1y2w3d4h5m6s7ms", 33_019_506_007, "382d4h5m6s7ms");
    }

    #[test]
    fn refuses() {
        for bad in
            ["", "5", "s", "1", "1.5h", "5m1h", "1m1m", "-5m", "5 m", "1H", "99999999999999999y", "300y"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let words = |text| parse(text).map_err(|error| error.to_string());
        assert_eq!(words("5y1hs"), Err("unknown unit \"hs\" in duration \"5y1hs\"".to_owned()));
        assert_eq!(words("1m1h"), Err("not a valid duration string: \"1m1h\"".to_owned()));
    }
}
