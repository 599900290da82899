//! Functions on times, in UTC unless a zone is given.

use novaobs_template::{Function, Functions, Param, Time, Value, time};

use super::texts;

const NANOS: i64 = 1_000_000_000;

pub(super) fn add(all: &mut Functions) {
    all.set("now", Function::new(&[], |_| Ok(Value::Time(now()))));
    all.set(
        "date",
        Function::new(&[Param::String, Param::Any], |args| {
            let [layout] = texts(args);
            let time = match args.get(1) {
                Some(Value::Time(time)) => *time,
                Some(Value::Int(seconds)) => Time::from_unix(*seconds, 0),
                _ => now(),
            };
            Ok(time.in_zone("UTC")?.format(layout).into())
        }),
    );
    all.set(
        "toDate",
        Function::new(&[Param::String; 2], |args| {
            let [layout, text] = texts(args);
            Ok(Value::Time(time::parse(layout, text).unwrap_or_else(|_| Time::zero())))
        }),
    );
    all.set(
        "toDateInZone",
        Function::new(&[Param::String; 3], |args| {
            let [layout, zone, text] = texts(args);
            Ok(Value::Time(time::parse_in_zone(layout, text, zone).unwrap_or_else(|_| Time::zero())))
        }),
    );
    let mut of_time = |name: &str, call: fn(&Time) -> i64| {
        all.set(
            name,
            Function::new(&[Param::Time], move |args| match args {
                [Value::Time(time)] => Ok(call(time).to_string().into()),
                _ => Ok(Value::Nil),
            }),
        );
    };
    of_time("unixEpoch", |time| time.instant().timestamp());
    of_time("unixEpochMillis", |time| time.instant().timestamp_millis());
    of_time("unixEpochNanos", |time| {
        let instant = time.instant();
        let whole = instant.timestamp().wrapping_mul(NANOS);
        whole.wrapping_add(i64::from(instant.timestamp_subsec_nanos()))
    });
    all.set("unixToTime", Function::of_string(unix_to_time));
}

fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    of_nanos(i64::try_from(since.as_nanos()).unwrap_or(0))
}

/// A time from Unix nanoseconds.
pub(super) fn of_nanos(nanos: i64) -> Time {
    Time::from_unix(nanos.div_euclid(NANOS), nanos.rem_euclid(NANOS) as u32)
}

/// A time from a count whose unit shows in its length: days, seconds, milli-, micro- or nanoseconds.
fn unix_to_time(text: &str) -> Result<Value, String> {
    let error = |reason: &str| Err(format!("unable to parse time '{text}': {reason}"));
    let Ok(count) = text.parse::<i64>() else {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let reason = if is_number { "value out of range" } else { "invalid syntax" };
        let quoted = novaobs_model::labels::go_quote(text);
        return error(&format!("strconv.ParseInt: parsing {quoted}: {reason}"));
    };
    let per_second = match text.len() {
        5 => return Ok(Value::Time(Time::from_unix(count.saturating_mul(86_400), 0))),
        10 => 1,
        13 => 1_000,
        16 => 1_000_000,
        19 => NANOS,
        _ => return error("%!w(<nil>)"),
    };
    let nanos = count.rem_euclid(per_second) * (NANOS / per_second);
    Ok(Value::Time(Time::from_unix(count.div_euclid(per_second), nanos as u32)))
}
