//! Request parameters: query string and form body in one; times, durations, limits and their errors as the
//! peer words them.

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::Method;
use novaobs_model::duration;
use novaobs_model::labels::go_quote;
use novaobs_wire::number::parse_float;

use super::error::ApiError;
use crate::form::{self, Form, go_atoi};

/// Nanoseconds of a second.
pub(super) const SECOND: i64 = 1_000_000_000;
const MAX_POINTS: i64 = 11_000;

/// All parameters of a request; those of a form body win over those of the URL.
#[derive(Debug, Default)]
pub(super) struct Params(Form);

/// Which entries a limit keeps, and their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    Backward,
}

/// `start`, `end` and what they default to, in Unix nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: i64,
    pub(super) end: i64,
}

impl Params {
    /// Reads the parameters and consumes the body when it is a form.
    pub(super) async fn read(request: Request) -> Result<Self, ApiError> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let has_form = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
        let body = if has_form && form::is_form(request.headers()) {
            read_body(request).await?
        } else {
            Bytes::new()
        };
        Params::checked(Form::read(&String::from_utf8_lossy(&body), &query))
    }

    /// The parameters of the URL alone, whatever the body holds.
    pub(super) fn of_url(request: &Request) -> Result<Self, ApiError> {
        Params::checked(Form::read("", request.uri().query().unwrap_or_default()))
    }

    fn checked(form: Form) -> Result<Self, ApiError> {
        match &form.problem {
            Some(problem) => Err(ApiError::bad(problem.clone())),
            None => Ok(Params(form)),
        }
    }

    /// The first value of a parameter, empty when it is missing.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name)
    }

    /// All values of a parameter.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.all(name)
    }

    /// `start` and `end`: the last hour, or `since`.
    pub(super) fn range(&self, now: i64) -> Result<Range, ApiError> {
        let wrap = |name: &str, reason: String| {
            ApiError::bad(format!("could not parse '{name}' parameter: {reason}"))
        };
        let since = match self.get("since") {
            "" => 3600 * SECOND,
            text => {
                let parsed = duration::parse(text).map_err(|error| wrap("since", error.to_string()))?;
                i64::try_from(parsed.as_nanos()).unwrap_or(i64::MAX)
            }
        };
        let end = self.time_or("end", now).map_err(|reason| wrap("end", reason))?;
        let start = self.time_or("start", end.min(now).saturating_sub(since));
        Ok(Range { start: start.map_err(|reason| wrap("start", reason))?, end })
    }

    /// [`Params::range`] of endpoints that refuse an end before the start.
    pub(super) fn ordered_range(&self, now: i64) -> Result<Range, ApiError> {
        let range = self.range(now)?;
        if range.end < range.start {
            return Err(ApiError::bad("end timestamp must not be before or equal to start time"));
        }
        Ok(range)
    }

    /// A time in Unix nanoseconds.
    ///
    /// # Errors
    /// Go's words why the text is none.
    pub(super) fn time_or(&self, name: &str, default: i64) -> Result<i64, String> {
        match self.get(name) {
            "" => Ok(default),
            text => parse_time(text),
        }
    }

    /// A positive number.
    pub(super) fn positive(&self, name: &str, default: usize) -> Result<usize, ApiError> {
        let limit = match self.get(name) {
            "" => return Ok(default),
            text => go_atoi(text).map_err(ApiError::bad)?,
        };
        match usize::try_from(limit) {
            Ok(limit) if limit > 0 => Ok(limit),
            _ => Err(ApiError::bad("limit must be a positive value")),
        }
    }

    /// `limit`, 100 when it is missing.
    pub(super) fn limit(&self) -> Result<usize, ApiError> {
        self.positive("limit", 100)
    }

    /// `direction`, newest first when it is missing.
    pub(super) fn direction(&self) -> Result<Direction, ApiError> {
        match self.get("direction").to_ascii_uppercase().as_str() {
            "" | "BACKWARD" => Ok(Direction::Backward),
            "FORWARD" => Ok(Direction::Forward),
            _ => Err(ApiError::bad(format!("invalid direction '{}'", self.get("direction")))),
        }
    }

    /// `step` in nanoseconds: more than zero, not more than 11,000 of them in the range.
    pub(super) fn step(&self, range: Range) -> Result<i64, ApiError> {
        let length = range.end.saturating_sub(range.start);
        let step = match self.get("step") {
            "" => (length / SECOND / 250).max(1) * SECOND,
            text => parse_duration(text).map_err(ApiError::bad)?,
        };
        if step <= 0 {
            return Err(ApiError::bad(
                "zero or negative query resolution step widths are not accepted. Try a positive integer",
            ));
        }
        if length / step > MAX_POINTS {
            return Err(ApiError::bad(
                "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter",
            ));
        }
        Ok(step)
    }

    /// `interval` in nanoseconds, 0 when it is missing.
    pub(super) fn interval(&self) -> Result<i64, ApiError> {
        match self.get("interval") {
            "" => Ok(0),
            text => match parse_duration(text).map_err(ApiError::bad)? {
                interval if interval < 0 => Err(ApiError::bad("interval must be >= 0")),
                interval => Ok(interval),
            },
        }
    }
}

/// The whole body, at most 10 MiB of it.
pub(super) async fn read_body(request: Request) -> Result<Bytes, ApiError> {
    let body = axum::body::to_bytes(request.into_body(), form::MAX_FORM).await;
    body.map_err(|error| ApiError::bad(format!("the body cannot be read: {error}")))
}

/// A time in Unix nanoseconds: seconds with a point (to the millisecond), at most ten digits of seconds,
/// more digits of nanoseconds, or RFC 3339.
pub(super) fn parse_time(text: &str) -> Result<i64, String> {
    if text.contains('.')
        && let Ok(seconds) = parse_float(text.as_bytes())
    {
        let milliseconds = (seconds.fract() * 1000.0).round() as i64;
        return Ok((seconds.trunc() as i64).saturating_mul(SECOND).saturating_add(milliseconds * 1_000_000));
    }
    match go_parse_int(text) {
        Ok(seconds) if text.len() <= 10 => Ok(seconds.saturating_mul(SECOND)),
        Ok(nanoseconds) => Ok(nanoseconds),
        Err(reason) => parse_rfc3339(text).ok_or(reason),
    }
}

/// RFC 3339 as Go reads it: upper case letters, any number of decimals.
pub(super) fn parse_rfc3339(text: &str) -> Option<i64> {
    let strict = text.contains('T') && !text.contains(['t', 'z', ' ']);
    let time = chrono::DateTime::parse_from_rfc3339(text).ok().filter(|_| strict)?;
    time.timestamp_nanos_opt()
}

fn go_parse_int(text: &str) -> Result<i64, String> {
    go_atoi(text).map_err(|reason| reason.replacen("Atoi", "ParseInt", 1))
}

/// A duration in nanoseconds: seconds as a float, or `1h30m`.
pub(super) fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("cannot parse {} to a valid duration", go_quote(text));
    if let Ok(seconds) = parse_float(text.as_bytes()) {
        let nanoseconds = seconds * 1e9;
        if nanoseconds.abs() > i64::MAX as f64 {
            return Err(format!("{}. It overflows int64", invalid()));
        }
        // What is no number becomes zero, which callers refuse as the peer does.
        return Ok(nanoseconds as i64);
    }
    let parsed = duration::parse(text).map_err(|_| invalid())?;
    i64::try_from(parsed.as_nanos()).map_err(|_| invalid())
}

/// The time now in Unix nanoseconds.
pub(super) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// A duration as Go prints it (`1h2m3.5s`), from nanoseconds.
pub(super) fn go_duration(nanoseconds: i64) -> String {
    if nanoseconds == 0 {
        return "0s".to_owned();
    }
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let size = nanoseconds.unsigned_abs();
    let decimal = |unit: u64, name: &str| {
        let (whole, rest) = (size / unit, size % unit);
        if rest == 0 {
            return format!("{sign}{whole}{name}");
        }
        let width = unit.ilog10() as usize;
        let fraction = format!("{rest:0width$}");
        format!("{sign}{whole}.{}{name}", fraction.trim_end_matches('0'))
    };
    match size {
        0..1_000 => return format!("{sign}{size}ns"),
        1_000..1_000_000 => return decimal(1_000, "µs"),
        1_000_000..1_000_000_000 => return decimal(1_000_000, "ms"),
        _ => {}
    }
    let minutes = size / 60_000_000_000;
    let (seconds, fraction) = (size / 1_000_000_000 % 60, size % 1_000_000_000);
    let mut seconds = seconds.to_string();
    if fraction > 0 {
        seconds.push_str(format!(".{fraction:09}").trim_end_matches('0'));
    }
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times() {
        for (text, want) in [
            ("0", 0),
            ("1795380562", 1_795_380_562 * SECOND),
            ("1795380562.1235", 1_795_380_562_124_000_000),
            ("5.", 5 * SECOND),
            ("1795380562123456789", 1_795_380_562_123_456_789),
            ("-5", -5 * SECOND),
            ("2026-11-22T20:49:22Z", 1_795_380_562 * SECOND),
            ("2026-11-22T21:49:22.000000001+01:00", 1_795_380_562_000_000_001),
        ] {
            assert_eq!(parse_time(text), Ok(want), "{text}");
        }
        for text in ["abc", "1e9", "1.2.3", "2026-11-22", "2026-11-22t20:49:22z"] {
            let want = format!("strconv.ParseInt: parsing \"{text}\": invalid syntax");
            assert_eq!(parse_time(text), Err(want));
        }
    }

    #[test]
    fn reads_durations() {
        assert_eq!(parse_duration("1.5"), Ok(1_500_000_000));
        assert_eq!(parse_duration("1d12h"), Ok(36 * 3600 * SECOND));
        assert_eq!(parse_duration("NaN"), Ok(0));
        assert_eq!(parse_duration("x"), Err("cannot parse \"x\" to a valid duration".to_owned()));
        assert!(parse_duration("1e30").unwrap_err().ends_with("It overflows int64"));
    }

    #[test]
    fn prints_durations_as_go_does() {
        let f = |nanoseconds: i64, want: &str| assert_eq!(go_duration(nanoseconds), want);
        f(0, "0s");
        f(1_500, "1.5µs");
        f(2_050_000, "2.05ms");
        f(90 * SECOND, "1m30s");
        f(1_795_380_562_687_000_000, "498716h49m22.687s");
        f(-3600 * SECOND, "-1h0m0s");
        f(961 * 3600 * SECOND + 12 * SECOND + 1, "961h0m12.000000001s");
    }
}
