//! Times, sizes and label sets as the peer's messages write them.

use std::fmt::Write as _;

use chrono::DateTime;
use novaobs_wire::loki_push::NO_TIME;
use novaobs_wire::quote::quote;

/// Unix nanoseconds as `2006-01-02T15:04:05Z`.
pub(crate) fn rfc3339(ns: i64) -> String {
    if ns == NO_TIME {
        return "0001-01-01T00:00:00Z".to_owned();
    }
    DateTime::from_timestamp_nanos(ns).format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Unix nanoseconds as Go prints a time: `2006-01-02 15:04:05.999999999 +0000 UTC`, without zeros at the end
/// of the fraction.
pub(crate) fn go_time(ns: i64) -> String {
    if ns == NO_TIME {
        return "0001-01-01 00:00:00 +0000 UTC".to_owned();
    }
    let mut text = DateTime::from_timestamp_nanos(ns).format("%Y-%m-%d %H:%M:%S").to_string();
    let fraction = ns.rem_euclid(1_000_000_000);
    if fraction > 0 {
        let digits = format!("{fraction:09}");
        let _ = write!(text, ".{}", digits.trim_end_matches('0'));
    }
    text.push_str(" +0000 UTC");
    text
}

/// Bytes in the largest unit that divides them: `3MB`, `1500KB`, `17B`.
pub(crate) fn byte_size(bytes: u64) -> String {
    let units = ["EB", "PB", "TB", "GB", "MB", "KB"];
    let shifts = [60, 50, 40, 30, 20, 10];
    let fitting =
        units.iter().zip(shifts).find(|(_, shift)| bytes > 0 && bytes.is_multiple_of(1u64 << shift));
    match fitting {
        Some((unit, shift)) => format!("{}{unit}", bytes >> shift),
        None => format!("{bytes}B"),
    }
}

/// A label set, `{a="b", c="d"}`; names that are not plain are quoted.
pub(crate) fn label_text<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::from("{");
    for (name, value) in pairs {
        if out.len() > 1 {
            out.push_str(", ");
        }
        if novaobs_model::labels::is_legacy_label_name(name) {
            out.push_str(name);
        } else {
            out.push_str(&quote(name.as_bytes()));
        }
        out.push('=');
        out.push_str(&quote(value.as_bytes()));
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_read_as_the_peer_writes_them() {
        assert_eq!(rfc3339(1_000_000_000_999_999_999), "2001-09-09T01:46:40Z");
        assert_eq!(rfc3339(NO_TIME), "0001-01-01T00:00:00Z");
        assert_eq!(go_time(1_000_000_000_120_000_000), "2001-09-09 01:46:40.12 +0000 UTC");
        assert_eq!(go_time(-1), "1969-12-31 23:59:59.999999999 +0000 UTC");
        assert_eq!(go_time(0), "1970-01-01 00:00:00 +0000 UTC");
        let sizes = [0, 10, 1024, 1500 << 10, 3 << 20, (3 << 20) + 1].map(byte_size);
        assert_eq!(sizes, ["0B", "10B", "1KB", "1500KB", "3MB", "3145729B"]);
    }
}
