//! Time intervals: when a route is muted or active.

use chrono::{Datelike, Local, NaiveDate, Timelike, Utc};
use chrono_tz::Tz;
use novaobs_config::{Cursor, Fields, Node, ToNode, value};

use crate::time::Time;

/// A span of time described by its parts; a part that is not given does not restrict.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeInterval {
    times: Option<Vec<Range>>,
    weekdays: Option<Vec<Range>>,
    days_of_month: Option<Vec<Range>>,
    months: Option<Vec<Range>>,
    years: Option<Vec<Range>>,
    location: Option<Location>,
}

/// From `begin` to `end`, inclusive except for times of day (minutes, where `end` is excluded).
#[derive(Clone, Copy, Debug, PartialEq)]
struct Range {
    begin: i32,
    end: i32,
}

#[derive(Clone, Debug, PartialEq)]
enum Location {
    Local,
    Zone(Tz),
}

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

impl TimeInterval {
    /// Whether `time` lies in the interval.
    pub fn contains(&self, time: Time) -> bool {
        let (date, minute) = match &self.location {
            None => civil(&time.with_timezone(&Utc)),
            Some(Location::Local) => civil(&time.with_timezone(&Local)),
            Some(Location::Zone(zone)) => civil(&time.with_timezone(zone)),
        };
        let within = |ranges: &Option<Vec<Range>>, value: i32| {
            ranges.as_ref().is_none_or(|all| all.iter().any(|r| r.begin <= value && value <= r.end))
        };
        let day = i32::try_from(date.day()).unwrap_or(0);
        let days = days_in_month(date);
        self.times.as_ref().is_none_or(|all| all.iter().any(|r| r.begin <= minute && minute < r.end))
            && self.days_of_month.as_ref().is_none_or(|all| all.iter().any(|r| r.covers_day(day, days)))
            && within(&self.months, i32::try_from(date.month()).unwrap_or(0))
            && within(&self.weekdays, i32::try_from(date.weekday().num_days_from_sunday()).unwrap_or(0))
            && within(&self.years, date.year())
    }

    /// Reads one interval of `time_intervals`.
    pub fn read(at: &Cursor<'_>) -> Option<TimeInterval> {
        let mut map = at.mapping();
        let interval = TimeInterval {
            times: map.optional("times", value::list(read_time)),
            weekdays: map.optional("weekdays", value::list(read_weekday)),
            days_of_month: map.optional("days_of_month", value::list(read_day_of_month)),
            months: map.optional("months", value::list(read_month)),
            years: map.optional("years", value::list(read_year)),
            location: map.optional("location", read_location),
        };
        map.finish();
        Some(interval)
    }
}

/// The date and the minute of the day on the wall of a zone.
fn civil<T: chrono::TimeZone>(time: &chrono::DateTime<T>) -> (NaiveDate, i32) {
    let wall = time.naive_local();
    (wall.date(), i32::try_from(wall.hour() * 60 + wall.minute()).unwrap_or(0))
}

fn days_in_month(date: NaiveDate) -> i32 {
    let first = date.with_day(1).unwrap_or(date);
    let next = first.checked_add_months(chrono::Months::new(1)).unwrap_or(first);
    i32::try_from(next.signed_duration_since(first).num_days()).unwrap_or(31)
}

impl Range {
    /// Negative days count from the end of the month; ends are clamped to it.
    fn covers_day(self, day: i32, days: i32) -> bool {
        let from_end = |n: i32| if n < 0 { days + n + 1 } else { n };
        let (begin, end) = (from_end(self.begin), from_end(self.end));
        begin <= days && begin.clamp(-days, days) <= day && day <= end.clamp(-days, days)
    }
}

fn read_time(at: &Cursor<'_>) -> Option<Range> {
    let mut map = at.mapping();
    let start = map.or("start_time", value::string, String::new());
    let end = map.or("end_time", value::string, String::new());
    if start.is_empty() || end.is_empty() {
        map.error("both start and end times must be provided");
        return None;
    }
    let minutes = |key: &str, text: &str| {
        let parsed = parse_minute(text);
        if parsed.is_none() {
            map.error_at(key, format!("couldn't parse timestamp {text}, invalid format: write it as HH:MM"));
        }
        parsed
    };
    let (begin, end) = (minutes("start_time", &start), minutes("end_time", &end));
    let (begin, end) = (begin?, end?);
    if begin >= end {
        map.error("start time cannot be equal or greater than end time");
        return None;
    }
    map.finish();
    Some(Range { begin, end })
}

/// Minutes since midnight of `HH:MM`, `24:00` included.
fn parse_minute(text: &str) -> Option<i32> {
    let (hours, minutes) = text.split_once(':')?;
    let two =
        |s: &str| (s.len() == 2 && s.bytes().all(|b| b.is_ascii_digit())).then(|| s.parse::<i32>().ok());
    let (hours, minutes) = (two(hours)??, two(minutes)??);
    let valid = (hours < 24 && minutes < 60) || (hours, minutes) == (24, 0);
    valid.then_some(hours * 60 + minutes)
}

/// `a` or `a:b`, each end by `member`; the error goes to the report.
fn read_range(at: &Cursor<'_>, member: impl Fn(&str) -> Result<i32, String>) -> Option<(String, Range)> {
    let text = value::string(at)?.to_lowercase();
    let parsed = match text.split_once(':') {
        Some((_, rest)) if rest.contains(':') => Err(format!("couldn't parse range {text}, invalid format")),
        Some((begin, end)) => member(begin).and_then(|begin| Ok(Range { begin, end: member(end)? })),
        None => member(&text).map(|day| Range { begin: day, end: day }),
    };
    match parsed {
        Ok(range) => Some((text, range)),
        Err(message) => at.error(message),
    }
}

fn number(text: &str) -> Result<i32, String> {
    text.parse().map_err(|_| format!("{text:?} is not a number"))
}

fn read_weekday(at: &Cursor<'_>) -> Option<Range> {
    let member = |text: &str| {
        let day = WEEKDAYS.iter().position(|name| *name == text);
        day.and_then(|day| i32::try_from(day).ok()).ok_or_else(|| format!("{text} is not a valid weekday"))
    };
    let (_, range) = read_range(at, member)?;
    if range.begin > range.end {
        return at.error("start day cannot be before end day: weeks begin on sunday, so write two ranges");
    }
    Some(range)
}

fn read_day_of_month(at: &Cursor<'_>) -> Option<Range> {
    let (_, range) = read_range(at, number)?;
    for day in [range.begin, range.end] {
        if day == 0 || !(-31..=31).contains(&day) {
            return at.error(format!("{day} is not a valid day of the month: out of range"));
        }
    }
    if range.begin < 0 && range.end > 0 {
        return at.error("end day must be negative if start day is negative");
    }
    // The shortest month decides what can never be in order.
    let in_shortest = |day: i32| if day < 0 { 28 + day } else { day };
    if in_shortest(range.begin) > in_shortest(range.end) {
        return at.error(format!("end day {} is always before start day {}", range.end, range.begin));
    }
    Some(range)
}

fn read_month(at: &Cursor<'_>) -> Option<Range> {
    let member = |text: &str| match MONTHS.iter().position(|name| *name == text) {
        Some(month) => i32::try_from(month + 1).map_err(|error| error.to_string()),
        None => text.parse().map_err(|_| format!("{text} is not a valid month")),
    };
    let (_, range) = read_range(at, member)?;
    if !(1..=12).contains(&range.begin) || !(1..=12).contains(&range.end) {
        return at.error(format!(
            "{}:{} is not a range of months: write 1 to 12 or names",
            range.begin, range.end
        ));
    }
    if range.begin > range.end {
        let name =
            |month: i32| usize::try_from(month - 1).ok().and_then(|m| MONTHS.get(m)).copied().unwrap_or("");
        return at.error(format!(
            "end month {} is before start month {}",
            name(range.end),
            name(range.begin)
        ));
    }
    Some(range)
}

fn read_year(at: &Cursor<'_>) -> Option<Range> {
    let (_, range) = read_range(at, number)?;
    if range.begin > range.end {
        return at.error(format!("end year {} is before start year {}", range.end, range.begin));
    }
    Some(range)
}

fn read_location(at: &Cursor<'_>) -> Option<Location> {
    let name = value::string(at)?;
    match name.as_str() {
        "Local" => Some(Location::Local),
        "" | "UTC" => Some(Location::Zone(Tz::UTC)),
        name => match name.parse::<Tz>() {
            Ok(zone) => Some(Location::Zone(zone)),
            Err(_) => at.error(format!(
                "unknown time zone {name}: write an IANA name such as Europe/Berlin, UTC or Local"
            )),
        },
    }
}

impl ToNode for TimeInterval {
    fn to_node(&self) -> Node {
        fn ranges(all: &Option<Vec<Range>>, name: impl Fn(i32) -> String) -> Node {
            let one = |r: &Range| {
                if r.begin == r.end { name(r.begin) } else { format!("{}:{}", name(r.begin), name(r.end)) }
            };
            Node::sequence(all.iter().flatten().map(|r| Node::text(one(r))))
        }
        let clock = |minute: i32| format!("{:02}:{:02}", minute / 60, minute % 60);
        let times = self.times.iter().flatten().map(|r| {
            Fields::new().field("start_time", &clock(r.begin)).field("end_time", &clock(r.end)).node()
        });
        let weekday = |day: i32| {
            usize::try_from(day).ok().and_then(|d| WEEKDAYS.get(d)).copied().unwrap_or("").to_owned()
        };
        let location = match &self.location {
            None => String::new(),
            Some(Location::Local) => "Local".to_owned(),
            Some(Location::Zone(zone)) => zone.name().to_owned(),
        };
        Fields::new()
            .nonempty("times", &Node::sequence(times))
            .nonempty("weekdays", &ranges(&self.weekdays, weekday))
            .nonempty("days_of_month", &ranges(&self.days_of_month, |n| n.to_string()))
            .nonempty("months", &ranges(&self.months, |n| n.to_string()))
            .nonempty("years", &ranges(&self.years, |n| n.to_string()))
            .nonempty("location", &location)
            .node()
    }
}

/// A named list of intervals: it holds while any of them does.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedIntervals {
    /// What routes call it.
    pub name: String,
    /// The intervals.
    pub intervals: Vec<TimeInterval>,
}

impl NamedIntervals {
    /// Reads an entry of `time_intervals` or of the deprecated `mute_time_intervals`.
    pub fn read(at: &Cursor<'_>) -> Option<NamedIntervals> {
        let mut map = at.mapping();
        let name = map.or("name", value::string, String::new());
        let intervals = map.list("time_intervals", TimeInterval::read);
        map.finish();
        if name.is_empty() {
            return at.error("missing name in time interval");
        }
        Some(NamedIntervals { name, intervals })
    }

    /// Whether any of the intervals contains `time`.
    pub fn contains(&self, time: Time) -> bool {
        self.intervals.iter().any(|interval| interval.contains(time))
    }
}

impl ToNode for NamedIntervals {
    fn to_node(&self) -> Node {
        Fields::new().field("name", &self.name).field("time_intervals", &self.intervals).node()
    }
}

#[cfg(test)]
mod tests {
    use novaobs_config::{Document, UnknownKeys};

    use super::*;

    fn read(yaml: &str) -> Result<TimeInterval, String> {
        let document = Document::parse("am.yml", yaml).map_err(|e| e.to_string())?;
        document.read(UnknownKeys::Warn, TimeInterval::read).map(|l| l.value).map_err(|e| e.to_string())
    }

    #[test]
    fn contains_what_the_parts_say() {
        let f = |yaml: &str, time: &str, want: bool| {
            let interval = read(yaml).unwrap();
            assert_eq!(interval.contains(Time::parse_from_rfc3339(time).unwrap()), want, "{yaml} at {time}");
        };
        f("{}", "2026-11-22T17:00:00Z", true);
        let office = "{times: [{start_time: '09:00', end_time: '17:00'}], weekdays: ['monday:friday']}";
        f(office, "2026-11-23T09:00:00Z", true);
        f(office, "2026-11-23T17:00:00Z", false);
        f(office, "2026-11-22T12:00:00Z", false);
        f("{times: [{start_time: '23:00', end_time: '24:00'}]}", "2026-11-22T23:59:59Z", true);
        f("{days_of_month: ['-1']}", "2026-02-28T00:00:00Z", true);
        f("{days_of_month: ['-1']}", "2026-02-27T00:00:00Z", false);
        f("{days_of_month: ['31']}", "2026-11-30T00:00:00Z", false);
        f("{days_of_month: ['25:31']}", "2026-11-30T00:00:00Z", true);
        f("{months: ['november', '1:2']}", "2026-11-30T00:00:00Z", true);
        f("{months: ['january:march']}", "2026-11-30T00:00:00Z", false);
        f("{years: ['2026:2027']}", "2026-01-01T00:00:00Z", true);
        f("{years: ['2027']}", "2026-01-01T00:00:00Z", false);
        // 08:30 in New York on a winter day; daylight saving moves it.
        let new_york = "{times: [{start_time: '08:00', end_time: '09:00'}], location: America/New_York}";
        f(new_york, "2026-01-15T13:30:00Z", true);
        f(new_york, "2026-07-15T13:30:00Z", false);
        f(new_york, "2026-07-15T12:30:00Z", true);
    }

    #[test]
    fn refuses_with_the_place() {
        let f = |yaml: &str, want: &str| {
            let error = read(yaml).unwrap_err();
            assert!(error.contains(want), "{error}");
        };
        f("{weekdays: ['saturday:sunday']}", "start day cannot be before end day");
        f("{weekdays: ['funday']}", "am.yml:1:13: weekdays[0]: funday is not a valid weekday");
        f(
            "{times: [{start_time: '9:00', end_time: '17:00'}]}",
            "couldn't parse timestamp 9:00, invalid format",
        );
        f("{times: [{start_time: '17:00', end_time: '09:00'}]}", "start time cannot be equal or greater");
        f("{times: [{start_time: '17:00'}]}", "both start and end times must be provided");
        f("{days_of_month: ['0']}", "0 is not a valid day of the month: out of range");
        f("{days_of_month: ['-3:3']}", "end day must be negative if start day is negative");
        f("{days_of_month: ['20:-20']}", "end day -20 is always before start day 20");
        f("{months: ['march:january']}", "end month january is before start month march");
        f("{years: ['2027:2026']}", "end year 2026 is before start year 2027");
        f("{location: Mars/Base}", "unknown time zone Mars/Base");
    }

    #[test]
    fn prints_what_it_read() {
        let yaml = "times:\n- start_time: \"10:00\"\n  end_time: \"24:00\"\nweekdays:\n- monday:friday\n\
                    days_of_month:\n- 1:-1\nmonths:\n- \"1:3\"\n- \"12\"\nlocation: Europe/Paris\n";
        let printed = novaobs_config::emit(&read(yaml).unwrap().to_node());
        assert_eq!(read(&printed).unwrap(), read(yaml).unwrap());
        expect_test::expect![[r#"
            times:
            - start_time: "10:00"
              end_time: "24:00"
            weekdays:
            - monday:friday
            days_of_month:
            - 1:-1
            months:
            - "1:3"
            - "12"
            location: Europe/Paris
        "#]]
        .assert_eq(&printed);
    }
}
