//! Durations, sizes and numbers as Loki writes them: both of Go's notations for durations, sizes in powers
//! of 1024 with or without a unit.

use std::fmt;
use std::time::Duration;

use novaobs_config::{Cursor, Node, ToNode, Value, value};
use novaobs_model::duration as durations;

/// A duration in either notation of the peer: `1w`, `30d1h` (largest unit first) or `1.5h`, `10m0s`; a bare
/// number counts nanoseconds there, which nobody means, so only 0 is taken without a unit.
pub fn duration(at: &Cursor<'_>) -> Option<Duration> {
    match &at.node().value {
        Value::Scalar { text, .. } => match go_duration(text) {
            Some(read) => Some(read),
            None => value::duration(at),
        },
        _ => value::duration(at),
    }
}

/// A duration on a command line.
///
/// # Errors
/// What to write instead.
pub fn parse_duration(text: &str) -> Result<Duration, durations::DurationError> {
    go_duration(text).map_or_else(|| durations::parse(text), Ok)
}

/// Go's `time.ParseDuration` without signs: numbers, which may have a fraction, with units from ns to h.
fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let factor = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    // The peer counts in 63 bits of nanoseconds.
    if text.is_empty() || seconds > 9_223_372_037.0 {
        None
    } else {
        Duration::try_from_secs_f64(seconds).ok()
    }
}

/// Prints a duration as Go's `time.Duration` does: `1h0m0s`, `1.5s`, `100ms`.
pub fn go_text(duration: Duration) -> String {
    let trimmed = |value: f64| format!("{value}");
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < 1_000_000_000 {
        let nanos = nanos as f64;
        return match nanos {
            n if n < 1e3 => format!("{}ns", trimmed(n)),
            n if n < 1e6 => format!("{}µs", trimmed(n / 1e3)),
            n => format!("{}ms", trimmed(n / 1e6)),
        };
    }
    let whole = duration.as_secs();
    let fraction = f64::from(duration.subsec_nanos()) / 1e9;
    let seconds = (whole % 60) as f64 + fraction;
    match (whole / 3600, whole / 60 % 60) {
        (0, 0) => format!("{}s", trimmed(seconds)),
        (0, minutes) => format!("{minutes}m{}s", trimmed(seconds)),
        (hours, minutes) => format!("{hours}h{minutes}m{}s", trimmed(seconds)),
    }
}

/// A number of bytes, printed in the largest unit that divides it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByteSize(pub u64);

const UNITS: [(&str, u32); 7] =
    [("EB", 60), ("PB", 50), ("TB", 40), ("GB", 30), ("MB", 20), ("KB", 10), ("B", 0)];

impl ByteSize {
    /// Reads `256KB`, `256k`, `256 kb` or a bare number of bytes; nothing is 0. Also `256KiB`, which the
    /// peer refuses.
    pub fn parse(text: &str) -> Option<ByteSize> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        if text.is_empty() {
            return Some(ByteSize(0));
        }
        let number: u64 = number.parse().ok()?;
        let unit = unit.trim().to_ascii_uppercase();
        let unit = unit.strip_suffix("IB").map(|prefix| format!("{prefix}B")).unwrap_or(unit);
        let (_, shift) = UNITS.iter().find(|(name, _)| {
            *name == unit
                || (unit.len() == 1 && name.starts_with(unit.as_str()))
                || (unit.is_empty() && *name == "B")
        })?;
        number.checked_mul(1 << shift).map(ByteSize)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.iter().find(|(_, shift)| self.0 != 0 && self.0.is_multiple_of(1 << shift));
        match unit {
            Some((name, shift)) => write!(f, "{}{name}", self.0 >> shift),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl ToNode for ByteSize {
    fn to_node(&self) -> Node {
        Node::plain(self)
    }
}

/// A size.
pub fn bytes(at: &Cursor<'_>) -> Option<u64> {
    let text = value::string(at)?;
    match ByteSize::parse(&text) {
        Some(size) => Some(size.0),
        None => at.error(format!("{text:?} is not a size: write a whole number with a unit, such as 256KB")),
    }
}

/// A count whose negative values mean what 0 means.
pub fn count(at: &Cursor<'_>) -> Option<u64> {
    let number = value::i64(at)?;
    if number < 0 {
        at.warn(format!("{number} is taken as 0"));
    }
    Some(u64::try_from(number).unwrap_or(0))
}

/// As [`count`].
pub fn count_usize(at: &Cursor<'_>) -> Option<usize> {
    count(at).map(|number| usize::try_from(number).unwrap_or(usize::MAX))
}

/// A list of texts, or one text of them with commas between.
pub fn texts(at: &Cursor<'_>) -> Option<Vec<String>> {
    match &at.node().value {
        Value::Scalar { text, .. } => {
            Some(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
        }
        _ => value::list(value::string)(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_notations_of_durations() {
        let f = |text: &str, want: Option<f64>| {
            assert_eq!(parse_duration(text).ok().map(|d| d.as_secs_f64()), want, "{text}");
        };
        f("1w", Some(604_800.0));
        f("30d1h", Some(2_595_600.0));
        f("1.5h", Some(5400.0));
        f("1h0m0s", Some(3600.0));
        f("0", Some(0.0));
        f("100ms", Some(0.1));
        for bad in ["", "5", "1x", "-1s", "1h1w", ".", "999999999999h"] {
            f(bad, None);
        }
    }

    #[test]
    fn prints_durations_as_go_does() {
        let f = |seconds: f64, want: &str| assert_eq!(go_text(Duration::from_secs_f64(seconds)), want);
        f(0.0, "0s");
        f(0.1, "100ms");
        f(0.000_5, "500µs");
        f(1.5, "1.5s");
        f(600.0, "10m0s");
        f(86_400.0, "24h0m0s");
    }

    #[test]
    fn reads_and_prints_sizes() {
        let f = |text: &str, bytes: u64, printed: &str| {
            assert_eq!(ByteSize::parse(text), Some(ByteSize(bytes)), "{text}");
            assert_eq!(ByteSize(bytes).to_string(), printed);
        };
        f("256KB", 256 << 10, "256KB");
        f("256k", 256 << 10, "256KB");
        f("256 kb", 256 << 10, "256KB");
        f("256KiB", 256 << 10, "256KB");
        f("1536KB", 1536 << 10, "1536KB");
        f("3", 3, "3B");
        f("", 0, "0B");
        f("5GB", 5 << 30, "5GB");
        for bad in ["1.5MB", "-1", "x", "1e3", "KB", "3ZB", "99999999999999999999"] {
            assert_eq!(ByteSize::parse(bad), None, "{bad}");
        }
    }
}
