//! Go's `time.Time` and `time.Duration`: printing, layouts, the methods templates call.

use std::fmt;

use chrono::{
    DateTime, Datelike, FixedOffset, LocalResult, NaiveDate, NaiveDateTime, Offset, TimeZone, Timelike, Utc,
};
use chrono_tz::{OffsetName, Tz};

use crate::function::{Function, Param, text};
use crate::value::Value;

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// An instant with the zone it is shown in.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    instant: DateTime<Utc>,
    zone: Zone,
}

#[derive(Clone, Copy, Debug)]
enum Zone {
    Utc,
    Named(Tz),
    Fixed(FixedOffset),
}

impl PartialEq for Time {
    fn eq(&self, other: &Self) -> bool {
        self.instant == other.instant
    }
}

impl Time {
    /// An instant in UTC.
    pub fn utc(instant: DateTime<Utc>) -> Self {
        Time { instant, zone: Zone::Utc }
    }

    /// From Unix milliseconds, in UTC.
    pub fn from_unix_ms(ms: i64) -> Self {
        Time::utc(DateTime::from_timestamp_millis(ms).unwrap_or_default())
    }

    /// From Unix seconds and nanoseconds, in UTC.
    pub fn from_unix(seconds: i64, nanos: u32) -> Self {
        Time::utc(DateTime::from_timestamp(seconds, nanos).unwrap_or_default())
    }

    /// Go's zero time: the first instant of the year 1.
    pub fn zero() -> Self {
        Time::utc(DateTime::from_timestamp(-62_135_596_800, 0).unwrap_or_default())
    }

    /// The same instant shown in the zone `name` of the IANA database.
    ///
    /// # Errors
    /// Go's text for an unknown zone.
    pub fn in_zone(self, name: &str) -> Result<Self, String> {
        let zone = match name {
            "" | "UTC" | "Local" => Zone::Utc,
            name => Zone::Named(name.parse().map_err(|_| format!("unknown time zone {name}"))?),
        };
        Ok(Time { instant: self.instant, zone })
    }

    /// The instant.
    pub fn instant(&self) -> DateTime<Utc> {
        self.instant
    }

    /// Civil time, seconds east of UTC, abbreviation of the zone.
    fn civil(&self) -> (NaiveDateTime, i32, String) {
        match self.zone {
            Zone::Utc => (self.instant.naive_utc(), 0, "UTC".to_owned()),
            Zone::Named(zone) => {
                let local = self.instant.with_timezone(&zone);
                let seconds = local.offset().fix().local_minus_utc();
                let name = local
                    .offset()
                    .abbreviation()
                    .map_or_else(|| offset_text(seconds, "", false), str::to_owned);
                (local.naive_local(), seconds, name)
            }
            Zone::Fixed(offset) => {
                let local = self.instant.with_timezone(&offset);
                let seconds = offset.local_minus_utc();
                (local.naive_local(), seconds, offset_text(seconds, "", false))
            }
        }
    }

    /// `t.Format(layout)`.
    pub fn format(&self, layout: &str) -> String {
        let (civil, offset, zone) = self.civil();
        let mut out = String::new();
        let mut rest = layout;
        while let Some((before, element, after)) = next_element(rest) {
            out.push_str(before);
            write_element(&mut out, element, &civil, offset, &zone);
            rest = after;
        }
        out.push_str(rest);
        out
    }

    /// RFC 3339 with as many decimals of a second as needed, as Go's JSON writes times.
    pub fn rfc3339_nano(&self) -> String {
        self.format("2006-01-02T15:04:05.999999999Z07:00")
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format("2006-01-02 15:04:05.999999999 -0700 MST"))
    }
}

/// `+01:00` with `separator`, or `Z` for UTC if asked for.
fn offset_text(seconds: i32, separator: &str, z: bool) -> String {
    if z && seconds == 0 {
        return "Z".to_owned();
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    format!("{sign}{:02}{separator}{:02}", minutes / 60, minutes % 60)
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// The elements of layouts; of two that begin alike the longer stands first.
const ELEMENTS: [&str; 40] = [
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "2006",
    "-07:00:00",
    "-070000",
    "-07:00",
    "-0700",
    "-07",
    "Z07:00:00",
    "Z070000",
    "Z07:00",
    "Z0700",
    "Z07",
    "002",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "__2",
    "_2",
    "15",
    "PM",
    "pm",
    "1",
    "2",
    "3",
    "4",
    "5",
    ".000000000",
    ".000000",
    ".000",
    ".00",
    ".0",
    ".999999999",
    ".999",
];

/// Finds the first layout element: the text before it, the element, the text after it.
fn next_element(layout: &str) -> Option<(&str, &str, &str)> {
    for (at, _) in layout.char_indices() {
        let (before, rest) = layout.split_at(at);
        if let Some(length) = fraction_length(rest) {
            let (element, after) = rest.split_at(length);
            return Some((before, element, after));
        }
        for element in ELEMENTS {
            let Some(after) = rest.strip_prefix(element) else { continue };
            // "Jan" inside "January" aside, a word that goes on in lower case is no element.
            if matches!(element, "Jan" | "Mon") && after.starts_with(|c: char| c.is_ascii_lowercase()) {
                continue;
            }
            // "_2006" is an underscore and a year.
            if element == "_2" && after.starts_with("006") {
                continue;
            }
            if element.starts_with('.') {
                continue;
            }
            return Some((before, element, after));
        }
    }
    None
}

/// Length of `.000`, `,999` and the like, when no further digit follows.
fn fraction_length(text: &str) -> Option<usize> {
    let digits = text.strip_prefix(['.', ','])?;
    let digit = digits.chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let count = digits.chars().take_while(|c| *c == digit).count();
    let after = digits.get(count..).unwrap_or("");
    (!after.starts_with(|c: char| c.is_ascii_digit())).then_some(count + 1)
}

fn write_element(out: &mut String, element: &str, civil: &NaiveDateTime, offset: i32, zone: &str) {
    use fmt::Write as _;
    let (_, hour12) = civil.hour12();
    let month = MONTHS.get(civil.month0() as usize).copied().unwrap_or("");
    let weekday = WEEKDAYS.get(civil.weekday().num_days_from_sunday() as usize).copied().unwrap_or("");
    let _ = match element {
        "January" => write!(out, "{month}"),
        "Jan" => write!(out, "{}", month.get(..3).unwrap_or("")),
        "Monday" => write!(out, "{weekday}"),
        "Mon" => write!(out, "{}", weekday.get(..3).unwrap_or("")),
        "MST" => write!(out, "{zone}"),
        "2006" => write!(out, "{:04}", civil.year()),
        "06" => write!(out, "{:02}", civil.year().rem_euclid(100)),
        "002" => write!(out, "{:03}", civil.ordinal()),
        "__2" => write!(out, "{:3}", civil.ordinal()),
        "01" => write!(out, "{:02}", civil.month()),
        "1" => write!(out, "{}", civil.month()),
        "02" => write!(out, "{:02}", civil.day()),
        "_2" => write!(out, "{:2}", civil.day()),
        "2" => write!(out, "{}", civil.day()),
        "15" => write!(out, "{:02}", civil.hour()),
        "03" => write!(out, "{hour12:02}"),
        "3" => write!(out, "{hour12}"),
        "04" => write!(out, "{:02}", civil.minute()),
        "4" => write!(out, "{}", civil.minute()),
        "05" => write!(out, "{:02}", civil.second()),
        "5" => write!(out, "{}", civil.second()),
        "PM" => write!(out, "{}", if civil.hour() >= 12 { "PM" } else { "AM" }),
        "pm" => write!(out, "{}", if civil.hour() >= 12 { "pm" } else { "am" }),
        element if element.starts_with(['.', ',']) => {
            write!(out, "{}", fraction(element, civil.nanosecond()))
        }
        element => {
            let z = element.starts_with('Z');
            let mut text = offset_text(offset, if element.contains(':') { ":" } else { "" }, z);
            if text != "Z" && element.len() == 3 {
                text.truncate(3);
            }
            if text != "Z" && (element.len() == 9 || element.len() == 7) {
                let _ =
                    write!(text, "{}{:02}", if element.contains(':') { ":" } else { "" }, offset.abs() % 60);
            }
            write!(out, "{text}")
        }
    };
}

fn fraction(element: &str, nanos: u32) -> String {
    let digits = format!("{:09}", nanos % 1_000_000_000);
    let cut = digits.get(..(element.len() - 1).min(9)).unwrap_or(&digits);
    let point = if element.starts_with(',') { ',' } else { '.' };
    if !element.ends_with('9') {
        return format!("{point}{cut}");
    }
    match cut.trim_end_matches('0') {
        "" => String::new(),
        cut => format!("{point}{cut}"),
    }
}

/// `time.ParseInLocation(layout, text, time.UTC)`.
///
/// # Errors
/// A text that names the layout, as Go's.
pub fn parse(layout: &str, text: &str) -> Result<Time, String> {
    parse_civil(layout, text, None).ok_or_else(|| parse_error(layout, text))
}

/// `time.ParseInLocation(layout, text, zone)` of a zone of the IANA database; an unknown one is UTC.
///
/// # Errors
/// A text that names the layout, as Go's.
pub fn parse_in_zone(layout: &str, text: &str, zone: &str) -> Result<Time, String> {
    let zone = zone.parse::<Tz>().ok();
    parse_civil(layout, text, zone).ok_or_else(|| parse_error(layout, text))
}

fn parse_error(layout: &str, text: &str) -> String {
    let quote = novaobs_model::labels::go_quote;
    format!("parsing time {} as {}: cannot parse", quote(text), quote(layout))
}

fn parse_civil(layout: &str, text: &str, zone: Option<Tz>) -> Option<Time> {
    let (mut year, mut month, mut day, mut ordinal) = (0i32, 1u32, 1u32, None);
    let (mut hour, mut minute, mut second, mut nanos) = (0u32, 0u32, 0u32, 0u32);
    let mut afternoon = None;
    let mut offset: Option<i32> = None;
    let mut rest = text;
    let mut pattern = layout;
    while let Some((before, element, after)) = next_element(pattern) {
        rest = rest.strip_prefix(before)?;
        pattern = after;
        match element {
            "2006" => year = take_number(&mut rest, 4, 4)? as i32,
            "06" => {
                let short = take_number(&mut rest, 2, 2)? as i32;
                year = if short >= 69 { 1900 + short } else { 2000 + short };
            }
            "01" => month = take_number(&mut rest, 2, 2)?,
            "1" => month = take_number(&mut rest, 1, 2)?,
            "January" => month = take_name(&mut rest, &MONTHS, None)?,
            "Jan" => month = take_name(&mut rest, &MONTHS, Some(3))?,
            "Monday" => drop(take_name(&mut rest, &WEEKDAYS, None)?),
            "Mon" => drop(take_name(&mut rest, &WEEKDAYS, Some(3))?),
            "02" => day = take_number(&mut rest, 2, 2)?,
            "2" | "_2" => {
                rest = rest.trim_start_matches(' ');
                day = take_number(&mut rest, 1, 2)?;
            }
            "002" | "__2" => {
                rest = rest.trim_start_matches(' ');
                ordinal = Some(take_number(&mut rest, 1, 3)?);
            }
            "15" | "03" => hour = take_number(&mut rest, 2, 2)?,
            "3" => hour = take_number(&mut rest, 1, 2)?,
            "04" => minute = take_number(&mut rest, 2, 2)?,
            "4" => minute = take_number(&mut rest, 1, 2)?,
            "05" | "5" => {
                second = take_number(&mut rest, if element == "05" { 2 } else { 1 }, 2)?;
                // A fraction may follow the seconds even where the layout has none.
                if fraction_length(pattern).is_none() {
                    nanos = take_fraction(&mut rest).unwrap_or(0);
                }
            }
            "PM" | "pm" => {
                let (head, tail) = rest.split_at_checked(2)?;
                afternoon = Some(head.eq_ignore_ascii_case("pm"));
                rest = tail;
            }
            "MST" => {
                let end = rest.find(|c: char| !c.is_ascii_uppercase()).unwrap_or(rest.len());
                if end < 3 {
                    return None;
                }
                rest = rest.get(end..)?;
            }
            fraction if fraction.starts_with(['.', ',']) => match take_fraction(&mut rest) {
                Some(n) => nanos = n,
                None if fraction.ends_with('9') => {}
                None => return None,
            },
            zone => offset = Some(take_offset(&mut rest, zone)?),
        }
    }
    if rest != pattern {
        return None;
    }
    match afternoon {
        Some(true) if hour < 12 => hour += 12,
        Some(false) if hour == 12 => hour = 0,
        _ => {}
    }
    let date = match ordinal {
        Some(ordinal) => NaiveDate::from_yo_opt(year, ordinal)?,
        None => NaiveDate::from_ymd_opt(year, month, day)?,
    };
    let civil = date.and_hms_nano_opt(hour, minute, second, nanos)?;
    match offset {
        None if zone.is_some() => {
            let zone = zone?;
            // In the hour that a change of clocks skips, Go takes the offset before it.
            let local = match zone.from_local_datetime(&civil) {
                LocalResult::Single(local) | LocalResult::Ambiguous(local, _) => local.with_timezone(&Utc),
                LocalResult::None => {
                    let before = zone.offset_from_utc_datetime(&(civil - chrono::TimeDelta::days(1)));
                    (civil - chrono::TimeDelta::seconds(i64::from(before.fix().local_minus_utc()))).and_utc()
                }
            };
            Some(Time { instant: local, zone: Zone::Named(zone) })
        }
        None | Some(0) => Some(Time::utc(civil.and_utc())),
        Some(seconds) => {
            let offset = FixedOffset::east_opt(seconds)?;
            let local = offset.from_local_datetime(&civil).single()?;
            Some(Time { instant: local.with_timezone(&Utc), zone: Zone::Fixed(offset) })
        }
    }
}

fn take_number(rest: &mut &str, least: usize, most: usize) -> Option<u32> {
    let count = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if count < least {
        return None;
    }
    let (digits, tail) = rest.split_at(count);
    *rest = tail;
    digits.parse().ok()
}

/// The number, from 1, of the name the text begins with.
fn take_name(rest: &mut &str, names: &[&str], short: Option<usize>) -> Option<u32> {
    for (number, name) in (1u32..).zip(names) {
        let name = name.get(..short.unwrap_or(name.len()))?;
        if rest.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name)) {
            *rest = rest.get(name.len()..)?;
            return Some(number);
        }
    }
    None
}

fn take_fraction(rest: &mut &str) -> Option<u32> {
    let digits = rest.strip_prefix(['.', ','])?;
    let count = digits.bytes().take_while(u8::is_ascii_digit).count();
    if count == 0 {
        return None;
    }
    let (number, tail) = digits.split_at(count);
    *rest = tail;
    format!("{:0<9}", number.get(..count.min(9))?).parse().ok()
}

fn take_offset(rest: &mut &str, element: &str) -> Option<i32> {
    if element.starts_with('Z')
        && let Some(tail) = rest.strip_prefix('Z')
    {
        *rest = tail;
        return Some(0);
    }
    let sign = if rest.starts_with('-') { -1 } else { 1 };
    *rest = rest.strip_prefix(['+', '-'])?;
    let hours = take_number(rest, 2, 2)? as i32;
    let mut minutes = 0;
    if element.len() > 3 {
        if element.contains(':') {
            *rest = rest.strip_prefix(':')?;
        }
        minutes = take_number(rest, 2, 2)? as i32;
    }
    Some(sign * (hours * 3600 + minutes * 60))
}

/// A duration as Go prints it: `1h0m0s`, `1.5s`, `20ms`.
pub fn format_duration(nanos: i64) -> String {
    let magnitude = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    let with_fraction = |unit: u64, name: &str| {
        let (whole, part) = (magnitude / unit, magnitude % unit);
        let width = unit.ilog10() as usize;
        let part = format!("{part:0width$}");
        match part.trim_end_matches('0') {
            "" => format!("{sign}{whole}{name}"),
            part => format!("{sign}{whole}.{part}{name}"),
        }
    };
    match magnitude {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{magnitude}ns"),
        1_000..1_000_000 => with_fraction(1_000, "µs"),
        1_000_000..1_000_000_000 => with_fraction(1_000_000, "ms"),
        _ => {
            let seconds = magnitude / SECOND as u64;
            let part = format!("{:09}", magnitude % SECOND as u64);
            let part = part.trim_end_matches('0');
            let dot = if part.is_empty() { "" } else { "." };
            let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            if hours > 0 {
                format!("{sign}{hours}h{minutes}m{rest}{dot}{part}s")
            } else if minutes > 0 {
                format!("{sign}{minutes}m{rest}{dot}{part}s")
            } else {
                format!("{sign}{rest}{dot}{part}s")
            }
        }
    }
}

/// The method `name` of a time.
pub(crate) fn time_method(time: &Time, name: &str) -> Option<Function> {
    let time = *time;
    let (civil, _, zone) = time.civil();
    let number = |n: i64| Some(Function::constant(Value::Int(n)));
    let compare = |test: fn(&DateTime<Utc>, &DateTime<Utc>) -> bool| {
        Some(Function::new(&[Param::Time], move |args| match args {
            [Value::Time(other)] => Ok(Value::Bool(test(&time.instant, &other.instant))),
            _ => Ok(Value::Bool(false)),
        }))
    };
    match name {
        "Format" => Some(Function::new(&[Param::String], move |args| Ok(time.format(text(args, 0)).into()))),
        "String" => Some(Function::constant(time.to_string().into())),
        "UTC" => Some(Function::constant(Value::Time(Time { zone: Zone::Utc, ..time }))),
        "Local" => Some(Function::constant(Value::Time(time))),
        "Year" => number(i64::from(civil.year())),
        "Month" => Some(Function::constant(Value::object(Named::month(civil.month())))),
        "Weekday" => {
            Some(Function::constant(Value::object(Named::weekday(civil.weekday().num_days_from_sunday()))))
        }
        "Day" => number(i64::from(civil.day())),
        "YearDay" => number(i64::from(civil.ordinal())),
        "Hour" => number(i64::from(civil.hour())),
        "Minute" => number(i64::from(civil.minute())),
        "Second" => number(i64::from(civil.second())),
        "Nanosecond" => number(i64::from(civil.nanosecond())),
        "Unix" => number(time.instant.timestamp()),
        "UnixMilli" => number(time.instant.timestamp_millis()),
        "UnixMicro" => number(time.instant.timestamp_micros()),
        "UnixNano" => number(time.instant.timestamp_nanos_opt().unwrap_or(0)),
        "IsZero" => Some(Function::constant(Value::Bool(time == Time::zero()))),
        "Location" => Some(Function::constant(Value::from(zone))),
        "After" => compare(|a, b| a > b),
        "Before" => compare(|a, b| a < b),
        "Equal" => compare(|a, b| a == b),
        "Sub" => Some(Function::new(&[Param::Time], move |args| match args {
            [Value::Time(other)] => Ok(Value::Duration(nanos_between(&other.instant, &time.instant))),
            _ => Ok(Value::Nil),
        })),
        "Add" => Some(Function::new(&[Param::Duration], move |args| match args {
            [Value::Duration(nanos)] => Ok(Value::Time(shifted(time, *nanos))),
            _ => Ok(Value::Nil),
        })),
        "Truncate" => Some(Function::new(&[Param::Duration], move |args| match args {
            [Value::Duration(nanos)] if *nanos > 0 => {
                let since_zero = i128::from(time.instant.timestamp() + 62_135_596_800) * i128::from(SECOND)
                    + i128::from(time.instant.timestamp_subsec_nanos());
                let over = i64::try_from(since_zero.rem_euclid(i128::from(*nanos))).unwrap_or(0);
                Ok(Value::Time(shifted(time, -over)))
            }
            _ => Ok(Value::Time(time)),
        })),
        "AddDate" => Some(Function::new(&[Param::Int, Param::Int, Param::Int], move |args| match args {
            [Value::Int(years), Value::Int(months), Value::Int(days)] => {
                add_date(time, *years, *months, *days)
                    .map(Value::Time)
                    .ok_or_else(|| "time out of range".to_owned())
            }
            _ => Ok(Value::Nil),
        })),
        _ => None,
    }
}

fn shifted(time: Time, nanos: i64) -> Time {
    let instant =
        time.instant.checked_add_signed(chrono::TimeDelta::nanoseconds(nanos)).unwrap_or(time.instant);
    Time { instant, ..time }
}

/// Nanoseconds from `a` to `b`, at most what a duration holds.
pub(crate) fn nanos_between(a: &DateTime<Utc>, b: &DateTime<Utc>) -> i64 {
    let delta = *b - *a;
    delta.num_nanoseconds().unwrap_or(if delta.num_seconds() < 0 { i64::MIN } else { i64::MAX })
}

/// Go normalises: a day past the end of its month runs into the next one.
fn add_date(time: Time, years: i64, months: i64, days: i64) -> Option<Time> {
    let (civil, offset, _) = time.civil();
    let month0 = i64::from(civil.year())
        .checked_add(years)?
        .checked_mul(12)?
        .checked_add(i64::from(civil.month0()))?;
    let month0 = month0.checked_add(months)?;
    let first = NaiveDate::from_ymd_opt(
        i32::try_from(month0.div_euclid(12)).ok()?,
        u32::try_from(month0.rem_euclid(12)).ok()? + 1,
        1,
    )?;
    let ahead = i64::from(civil.day0()).checked_add(days)?;
    let date = first.checked_add_signed(chrono::TimeDelta::try_days(ahead)?)?;
    let shifted =
        date.and_time(civil.time()).checked_sub_signed(chrono::TimeDelta::seconds(i64::from(offset)))?;
    Some(Time { instant: shifted.and_utc(), ..time })
}

/// The method `name` of a duration.
pub(crate) fn duration_method(nanos: i64, name: &str) -> Option<Function> {
    let float = |f: f64| Some(Function::constant(Value::Float(f)));
    let int = |n: i64| Some(Function::constant(Value::Int(n)));
    let round = |step: fn(i64, i64) -> i64| {
        Some(Function::new(&[Param::Duration], move |args| match args {
            [Value::Duration(unit)] if *unit > 0 => Ok(Value::Duration(step(nanos, *unit))),
            _ => Ok(Value::Duration(nanos)),
        }))
    };
    match name {
        "Hours" => float(nanos as f64 / HOUR as f64),
        "Minutes" => float(nanos as f64 / MINUTE as f64),
        "Seconds" => float(nanos as f64 / SECOND as f64),
        "Milliseconds" => int(nanos / 1_000_000),
        "Microseconds" => int(nanos / 1_000),
        "Nanoseconds" => int(nanos),
        "Abs" => Some(Function::constant(Value::Duration(nanos.saturating_abs()))),
        "String" => Some(Function::constant(format_duration(nanos).into())),
        "Truncate" => round(|n, unit| n - n % unit),
        "Round" => round(|n, unit| {
            let over = n % unit;
            let down = n - over;
            if over.unsigned_abs().saturating_mul(2) < unit.unsigned_abs() {
                down
            } else {
                down.saturating_add(unit * over.signum())
            }
        }),
        _ => None,
    }
}

/// `time.Month` and `time.Weekday`: numbers that print as names.
#[derive(Debug)]
struct Named {
    type_name: &'static str,
    number: u32,
    name: &'static str,
}

impl Named {
    fn month(number: u32) -> Self {
        let name = MONTHS.get(number.saturating_sub(1) as usize).copied().unwrap_or("");
        Named { type_name: "time.Month", number, name }
    }

    fn weekday(number: u32) -> Self {
        Named {
            type_name: "time.Weekday",
            number,
            name: WEEKDAYS.get(number as usize).copied().unwrap_or(""),
        }
    }
}

impl crate::value::Object for Named {
    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn plain(&self) -> Value {
        Value::Int(i64::from(self.number))
    }

    fn text(&self) -> Option<String> {
        Some(self.name.to_owned())
    }

    fn method(&self, name: &str) -> Option<Function> {
        (name == "String").then(|| Function::constant(self.name.into()))
    }
}
