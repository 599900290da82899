//! Times as log lines have them.

use chrono::{DateTime, Datelike, Local, NaiveDateTime, TimeZone, Utc};

/// How a text says its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    /// RFC 3339, with or without a fraction.
    Rfc3339,
    /// A number in units of so many nanoseconds.
    Unix(i64),
    /// A Go layout, translated for chrono, and whether it says the zone and the year.
    Layout {
        /// As chrono takes it.
        format: String,
        /// Without one, local time is meant.
        zone: bool,
        /// Without one, the last such day is meant.
        year: bool,
    },
}

/// Pieces of Go layouts, longer ones first where one begins another.
const GO_PIECES: [(&str, &str); 32] = [
    (".000000000", "%.9f"),
    (".999999999", "%.f"),
    (".000000", "%.6f"),
    (".999999", "%.f"),
    (",000", ",%3f"),
    (".000", "%.3f"),
    (".999", "%.f"),
    ("January", "%B"),
    ("Monday", "%A"),
    ("-07:00", "%:z"),
    ("Z07:00", "%:z"),
    ("-0700", "%z"),
    ("Z0700", "%z"),
    ("2006", "%Y"),
    ("Jan", "%b"),
    ("Mon", "%a"),
    ("MST", "%Z"),
    ("002", "%j"),
    ("01", "%m"),
    ("02", "%d"),
    ("03", "%I"),
    ("04", "%M"),
    ("05", "%S"),
    ("06", "%y"),
    ("15", "%H"),
    ("PM", "%p"),
    ("_2", "%e"),
    ("1", "%m"),
    ("2", "%d"),
    ("3", "%I"),
    ("4", "%M"),
    ("5", "%S"),
];

impl TimeFormat {
    /// From the value of `format` in a `timestamp` stage: a name or a Go layout.
    pub fn parse(text: &str) -> TimeFormat {
        match text {
            "RFC3339" | "RFC3339Nano" => TimeFormat::Rfc3339,
            "Unix" => TimeFormat::Unix(1_000_000_000),
            "UnixMs" => TimeFormat::Unix(1_000_000),
            "UnixUs" => TimeFormat::Unix(1_000),
            "UnixNs" => TimeFormat::Unix(1),
            "ANSIC" => TimeFormat::layout("Mon Jan _2 15:04:05 2006"),
            "UnixDate" => TimeFormat::layout("Mon Jan _2 15:04:05 MST 2006"),
            "RubyDate" => TimeFormat::layout("Mon Jan 02 15:04:05 -0700 2006"),
            "RFC822" => TimeFormat::layout("02 Jan 06 15:04 MST"),
            "RFC822Z" => TimeFormat::layout("02 Jan 06 15:04 -0700"),
            "RFC850" => TimeFormat::layout("Monday, 02-Jan-06 15:04:05 MST"),
            "RFC1123" => TimeFormat::layout("Mon, 02 Jan 2006 15:04:05 MST"),
            "RFC1123Z" => TimeFormat::layout("Mon, 02 Jan 2006 15:04:05 -0700"),
            layout => TimeFormat::layout(layout),
        }
    }

    fn layout(layout: &str) -> TimeFormat {
        let mut format = String::new();
        let mut rest = layout;
        'text: while let Some(first) = rest.chars().next() {
            for (go, chrono) in GO_PIECES {
                if let Some(behind) = rest.strip_prefix(go) {
                    format.push_str(chrono);
                    rest = behind;
                    continue 'text;
                }
            }
            if first == '%' {
                format.push('%');
            }
            format.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or("");
        }
        let zone = format.contains("%z") || format.contains("%:z");
        let year = format.contains("%Y") || format.contains("%y");
        TimeFormat::Layout { format, zone, year }
    }

    /// Unix nanoseconds of `text`.
    pub fn read(&self, text: &str) -> Option<i64> {
        match self {
            TimeFormat::Rfc3339 => DateTime::parse_from_rfc3339(text).ok()?.timestamp_nanos_opt(),
            TimeFormat::Unix(unit) => match text.parse::<i64>() {
                Ok(number) => number.checked_mul(*unit),
                Err(_) => {
                    let number = text.parse::<f64>().ok().filter(|n| n.is_finite())?;
                    Some(scaled(number, *unit))
                }
            },
            TimeFormat::Layout { format, zone: true, .. } => {
                DateTime::parse_from_str(text, format).ok()?.timestamp_nanos_opt()
            }
            TimeFormat::Layout { format, year: true, .. } => local(text, format),
            TimeFormat::Layout { format, .. } => without_year(text, format),
        }
    }
}

fn local(text: &str, format: &str) -> Option<i64> {
    // A zone by name is not understood by chrono: the text in front of it is read as UTC.
    if let Some(format) = format.strip_suffix(" %Z") {
        let (text, _) = text.rsplit_once(' ')?;
        return NaiveDateTime::parse_from_str(text, format).ok()?.and_utc().timestamp_nanos_opt();
    }
    let naive = NaiveDateTime::parse_from_str(text, format).ok()?;
    Local.from_local_datetime(&naive).earliest()?.timestamp_nanos_opt()
}

/// A day without a year is the last one of its name; a clock that is ahead by a day is forgiven.
fn without_year(text: &str, format: &str) -> Option<i64> {
    let now = Local::now();
    let read = |year: i32| local(&format!("{year} {text}"), &format!("%Y {format}"));
    let latest = (now + chrono::TimeDelta::days(1)).timestamp_nanos_opt()?;
    read(now.year()).filter(|time| *time <= latest).or_else(|| read(now.year() - 1))
}

/// Keys that structured lines keep their time under.
const TIME_KEYS: [&str; 5] = ["ts", "time", "timestamp", "@timestamp", "datetime"];

/// The time a line says of itself, in the forms that common programs write: a key of a JSON object or of
/// logfmt, RFC 3339 or syslog's form in front, a web server's in brackets.
pub(crate) fn of_line(line: &str) -> Option<i64> {
    let line = line.trim_start();
    if line.starts_with('{') {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).ok()?;
        return TIME_KEYS.iter().find_map(|key| match object.get(*key)? {
            serde_json::Value::String(text) => of_text(text),
            serde_json::Value::Number(number) => of_number(number.as_f64()?),
            _ => None,
        });
    }
    of_front(line).or_else(|| of_logfmt(line)).or_else(|| {
        let (_, behind) = line.split_once(" [")?;
        let (inside, _) = behind.split_once(']')?;
        TimeFormat::layout("02/Jan/2006:15:04:05 -0700").read(inside)
    })
}

fn of_text(text: &str) -> Option<i64> {
    TimeFormat::Rfc3339
        .read(text)
        .or_else(|| of_number(text.parse().ok()?))
        .or_else(|| TimeFormat::layout("2006-01-02 15:04:05.999999999").read(text))
}

/// Seconds, milliseconds, microseconds or nanoseconds, told apart by size (years 2001 to 2286 in seconds).
fn of_number(number: f64) -> Option<i64> {
    let unit = match number.abs() {
        n if !(1e9..1e19).contains(&n) => return None,
        n if n < 1e10 => 1_000_000_000,
        n if n < 1e13 => 1_000_000,
        n if n < 1e16 => 1_000,
        _ => 1,
    };
    Some(scaled(number, unit))
}

/// `number * unit`, the fraction rounded to microseconds: a double has no more of today's seconds.
fn scaled(number: f64, unit: i64) -> i64 {
    let fraction = (number.fract() * unit as f64 / 1000.0).round() as i64 * 1000;
    (number.trunc() as i64).saturating_mul(unit).saturating_add(fraction)
}

fn of_front(line: &str) -> Option<i64> {
    let first = line.split(' ').next()?;
    if let Some(time) = TimeFormat::Rfc3339.read(first.trim_matches(|c| c == '[' || c == ']')) {
        return Some(time);
    }
    // `2026-11-22 20:15:00,123` and `Nov  2 20:15:00`
    let begins_with_digit = first.as_bytes().first().is_some_and(u8::is_ascii_digit);
    if begins_with_digit {
        let second = line.split(' ').nth(1)?;
        let second: String = second
            .trim_end_matches(|c: char| !c.is_ascii_digit())
            .chars()
            .map(|c| if c == ',' { '.' } else { c })
            .collect();
        return local(&format!("{first} {second}"), "%Y-%m-%d %H:%M:%S%.f");
    }
    let head = line.get(..15)?;
    without_year(head, "%b %e %H:%M:%S")
}

fn of_logfmt(line: &str) -> Option<i64> {
    TIME_KEYS.iter().find_map(|key| {
        let (_, behind) = line.split_once(&format!("{key}="))?;
        let value = match behind.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next()?,
            None => behind.split(' ').next()?,
        };
        of_text(value)
    })
}

/// Now, in Unix nanoseconds.
pub(crate) fn now() -> i64 {
    Utc::now().timestamp_nanos_opt().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_common_lines_are_found() {
        let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().timestamp_nanos_opt();
        let noon = at("2026-11-22T12:00:00.5Z");
        for line in [
            r#"{"level":"info","ts":"2026-11-22T12:00:00.5Z","msg":"x"}"#,
            r#"{"time":1795348800.5}"#,
            r#"{"timestamp":1795348800500}"#,
            "2026-11-22T12:00:00.5Z host prog[1]: text",
            "2026-11-22T13:00:00.500+01:00 host",
            "level=info ts=2026-11-22T12:00:00.5Z msg=x",
            "[2026-11-22T12:00:00.500Z] text",
        ] {
            assert_eq!(of_line(line), noon, "{line}");
        }
        let clf = r#"1.2.3.4 - - [22/Nov/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 5"#;
        assert_eq!(of_line(clf), at("2026-11-22T12:00:00Z"));
        let local = Local.with_ymd_and_hms(2026, 11, 22, 12, 0, 0).unwrap().timestamp_nanos_opt();
        assert_eq!(of_line("2026-11-22 12:00:00 status installed"), local);
        assert_eq!(of_line("2026-11-22 12:00:00,000 INFO x"), local);
        for line in ["", "{", "no time here", "{\"ts\":true}", "Nov", "99 12", "time= x"] {
            assert_eq!(of_line(line), None, "{line}");
        }
        assert!(of_line("Jan  2 03:04:05 host x").is_some());
    }

    #[test]
    fn layouts_of_go_are_read() {
        let read = |layout: &str, text: &str| TimeFormat::parse(layout).read(text);
        let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().timestamp_nanos_opt();
        assert_eq!(
            read("2006-01-02T15:04:05.000Z07:00", "2026-11-22T12:00:00.250+00:00"),
            at("2026-11-22T12:00:00.25Z")
        );
        assert_eq!(read("RFC1123Z", "Sun, 22 Nov 2026 12:00:00 +0000"), at("2026-11-22T12:00:00Z"));
        assert_eq!(read("UnixMs", "1795348800250"), at("2026-11-22T12:00:00.25Z"));
        assert_eq!(read("Unix", "1795348800.25"), at("2026-11-22T12:00:00.25Z"));
        assert_eq!(read("RFC3339", "yesterday"), None);
    }
}
