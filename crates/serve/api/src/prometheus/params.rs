//! Request parameters: query string and form body in one, times, durations and limits.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::Method;
use novaobs_model::{Matcher, duration, labels::go_quote};
use novaobs_promql_parser::parse_selector;
use novaobs_wire::number::parse_float;

use super::envelope::ApiError;
pub(super) use crate::form::go_atoi;
use crate::form::{self, Form};

/// The earliest and latest time the peer knows, in milliseconds and as it prints them. Clients send these
/// texts back for "everything".
const MIN_TIME: (i64, &str) = (-9_223_309_901_257_974_000, "-292273086-05-16T16:47:06Z");
const MAX_TIME: (i64, &str) = (9_223_309_901_257_974_999, "292277025-08-18T07:12:54.999999999Z");

/// All parameters of a request.
#[derive(Debug, Default)]
pub(super) struct Params(Form);

impl<S: Send + Sync> FromRequest<S> for Params {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let has_form = request.method() == Method::POST && form::is_form(request.headers());
        let body: Bytes = match has_form {
            true => axum::body::to_bytes(request.into_body(), form::MAX_FORM)
                .await
                .map_err(|error| ApiError::bad_data(format!("error parsing form values: {error}")))?,
            false => Bytes::new(),
        };
        Ok(Params(Form::read(&String::from_utf8_lossy(&body), &query)))
    }
}

impl Params {
    /// The parameters of a URL alone.
    #[cfg(test)]
    fn from_query(query: &str) -> Self {
        Params(Form::read("", query))
    }

    /// The first value of a parameter, empty when it is missing.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name)
    }

    /// The first value in the URL alone: some parameters are not read from forms.
    pub(super) fn url(&self, name: &str) -> &str {
        self.0.url(name)
    }

    /// All values of a parameter.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.all(name)
    }

    /// Fails when a part of the request could not be read.
    pub(super) fn check_form(&self) -> Result<(), ApiError> {
        match &self.0.problem {
            Some(problem) => Err(ApiError::bad_data(format!("error parsing form values: {problem}"))),
            None => Ok(()),
        }
    }

    /// `limit`; 0: none.
    pub(super) fn limit(&self) -> Result<usize, ApiError> {
        let text = self.get("limit");
        if text.is_empty() {
            return Ok(0);
        }
        let limit = go_atoi(text).map_err(|reason| ApiError::parameter("limit", reason))?;
        usize::try_from(limit).map_err(|_| ApiError::parameter("limit", "limit must be non-negative"))
    }

    /// A time that may be missing, in Unix milliseconds.
    pub(super) fn time_or(&self, name: &str, default: i64) -> Result<i64, ApiError> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(default);
        }
        parse_time(text)
            .map_err(|reason| ApiError::parameter(name, format!("invalid time value for '{name}': {reason}")))
    }

    /// A time that must be there, in Unix milliseconds.
    pub(super) fn time(&self, name: &str) -> Result<i64, ApiError> {
        parse_time(self.get(name)).map_err(|reason| ApiError::parameter(name, reason))
    }

    /// `start` and `end`, all times when missing.
    pub(super) fn range(&self) -> Result<(i64, i64), ApiError> {
        Ok((self.time_or("start", MIN_TIME.0)?, self.time_or("end", MAX_TIME.0)?))
    }

    /// A duration in nanoseconds; none when the parameter is missing.
    pub(super) fn duration(&self, name: &str) -> Result<Option<i64>, String> {
        match self.get(name) {
            "" => Ok(None),
            text => parse_duration(text).map(Some),
        }
    }

    /// `match[]`, each with a condition that does not match the empty text.
    pub(super) fn selectors(&self) -> Result<Vec<Vec<Matcher>>, String> {
        let parsed: Result<Vec<_>, _> = self.all("match[]").map(parse_selector).collect();
        let selectors = parsed.map_err(|error| error.to_string())?;
        if selectors.iter().any(|selector| selector.iter().all(Matcher::matches_empty)) {
            return Err("match[] must contain at least one non-empty matcher".to_owned());
        }
        Ok(selectors)
    }
}

/// A time in Unix milliseconds: seconds as a float, or RFC 3339.
fn parse_time(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = parse_float(text.as_bytes()) {
        let (whole, fraction) = (seconds.trunc(), seconds.fract());
        let milliseconds = whole * 1000.0 + (fraction * 1000.0).round();
        if milliseconds.is_finite() {
            return Ok(milliseconds as i64);
        }
    }
    for (time, formatted) in [MIN_TIME, MAX_TIME] {
        if text == formatted {
            return Ok(time);
        }
    }
    let strict = text.contains('T') && !text.contains(['t', 'z', ' ']);
    match chrono::DateTime::parse_from_rfc3339(text) {
        Ok(time) if strict => Ok(time.timestamp_millis()),
        _ => Err(format!("cannot parse {} to a valid timestamp", go_quote(text))),
    }
}

/// A duration in nanoseconds: seconds as a float, or `1h30m`.
fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("cannot parse {} to a valid duration", go_quote(text));
    if let Ok(seconds) = parse_float(text.as_bytes()) {
        let nanoseconds = seconds * 1e9;
        if nanoseconds.abs() > i64::MAX as f64 {
            return Err(format!("{}. It overflows int64", invalid()));
        }
        if nanoseconds.is_nan() {
            return Err(invalid());
        }
        return Ok(nanoseconds as i64);
    }
    let parsed = duration::parse(text).map_err(|_| invalid())?;
    i64::try_from(parsed.as_nanos()).map_err(|_| invalid())
}

/// A duration in nanoseconds, negative ones as zero.
pub(super) fn at_least_zero(nanoseconds: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times() {
        for (text, want) in [
            ("0", 0),
            ("1435781451.7816", 1_435_781_451_782),
            ("-1.5", -1500),
            ("1e3", 1_000_000),
            ("2015-07-01T20:10:51.781Z", 1_435_781_451_781),
            ("2015-07-01T22:10:51+02:00", 1_435_781_451_000),
            (MIN_TIME.1, MIN_TIME.0),
            (MAX_TIME.1, MAX_TIME.0),
        ] {
            assert_eq!(parse_time(text), Ok(want), "{text}");
        }
        for text in ["", "now", "2015-07-01", "2015-07-01 20:10:51Z", "NaN", "inf"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_durations() {
        for (text, want) in [
            ("15", 15_000_000_000),
            ("0.5", 500_000_000),
            ("1h30m", 5_400_000_000_000),
            ("-1", -1_000_000_000),
        ] {
            assert_eq!(parse_duration(text), Ok(want), "{text}");
        }
        let overflow = "cannot parse \"1e20\" to a valid duration. It overflows int64";
        assert_eq!(parse_duration("1e20"), Err(overflow.to_owned()));
        for text in ["", "5x", "1.5m", "nan"] {
            assert_eq!(
                parse_duration(text),
                Err(format!("cannot parse {text:?} to a valid duration")),
                "{text}"
            );
        }
    }

    #[test]
    fn reads_query_strings() {
        let params = Params::from_query("a=1+2&a=%C3%A9&b&match%5B%5D=up&=x");
        assert_eq!(params.all("a").collect::<Vec<_>>(), ["1 2", "é"]);
        assert_eq!((params.get("b"), params.get("match[]"), params.get("c")), ("", "up", ""));
        assert!(params.check_form().is_ok());
        for (query, problem) in [
            ("a=%zz", "invalid URL escape \"%zz\""),
            ("a=%2", "invalid URL escape \"%2\""),
            ("a;b", "invalid semicolon separator in query"),
        ] {
            let error = Params::from_query(query).check_form().unwrap_err();
            assert_eq!(error.message, format!("error parsing form values: {problem}"));
        }
    }
}
