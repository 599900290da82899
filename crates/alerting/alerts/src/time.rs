//! Moments as clients write them, offset included, and the two forms they are printed in.

use std::time::Duration;

use chrono::{DateTime, FixedOffset, SecondsFormat, TimeDelta, Timelike, Utc};

/// A moment with nanoseconds and the offset it was written with; compared as an instant.
pub type Time = DateTime<FixedOffset>;

/// The current time in UTC.
pub fn now() -> Time {
    Utc::now().fixed_offset()
}

/// `time` plus `span`; the last representable moment when that is too far.
pub fn after(time: Time, span: Duration) -> Time {
    TimeDelta::from_std(span)
        .ok()
        .and_then(|span| time.checked_add_signed(span))
        .unwrap_or(DateTime::<Utc>::MAX_UTC.fixed_offset())
}

/// `time` minus `span`; the first representable moment when that is too far.
pub fn before(time: Time, span: Duration) -> Time {
    TimeDelta::from_std(span)
        .ok()
        .and_then(|span| time.checked_sub_signed(span))
        .unwrap_or(DateTime::<Utc>::MIN_UTC.fixed_offset())
}

/// RFC 3339 with as many digits of a second as needed, as Go's JSON writes times.
pub fn rfc3339_nano(time: &Time) -> String {
    let nanos = time.nanosecond() % 1_000_000_000;
    let seconds = time.to_rfc3339_opts(SecondsFormat::Secs, true);
    if nanos == 0 {
        return seconds;
    }
    let fraction = format!("{nanos:09}");
    let at = 19.min(seconds.len());
    let (date, zone) = seconds.split_at(at);
    format!("{date}.{}{zone}", fraction.trim_end_matches('0'))
}

/// RFC 3339 with milliseconds, as the API v2 answers times.
pub fn rfc3339_millis(time: &Time) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Serde form of [`Time`]: the RFC 3339 text.
pub(crate) mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::Time;

    pub(crate) fn serialize<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::rfc3339_nano(time))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        let text = String::deserialize(deserializer)?;
        Time::parse_from_rfc3339(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_like_go() {
        let f = |text: &str, nano: &str, millis: &str| {
            let time = Time::parse_from_rfc3339(text).unwrap();
            assert_eq!((rfc3339_nano(&time).as_str(), rfc3339_millis(&time).as_str()), (nano, millis));
        };
        f("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z", "2026-11-22T10:00:00.000Z");
        f(
            "2026-11-22T10:00:00.123456789+02:00",
            "2026-11-22T10:00:00.123456789+02:00",
            "2026-11-22T10:00:00.123+02:00",
        );
        f("2026-11-22T10:00:00.5+00:00", "2026-11-22T10:00:00.5Z", "2026-11-22T10:00:00.500Z");
    }

    #[test]
    fn saturates() {
        let time = Time::parse_from_rfc3339("2026-11-22T10:00:00Z").unwrap();
        assert!(after(time, Duration::MAX) > time);
        assert!(before(time, Duration::MAX) < time);
    }
}
