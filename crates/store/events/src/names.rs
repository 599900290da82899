//! Names of all files: in the folder and in the bucket.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use novaobs_model::Tenant;

/// The signal whose entries a store holds; spans will be a second.
pub(crate) const SIGNAL: &str = "logs";
/// Locked while the store is open.
pub(crate) const LOCK: &str = "lock";
/// Holds the id of the log's writer.
pub(crate) const WRITER: &str = "writer";
/// Ending of a segment of the log.
const WAL: &str = "wal";
/// Nanoseconds of a partition.
pub(crate) const DAY_NS: i64 = 86_400 * 1_000_000_000;

/// One tenant's entries of one UTC day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Partition {
    pub tenant: Tenant,
    /// Days since 1970-01-01.
    pub day: i32,
}

impl Partition {
    /// The day of a time in Unix nanoseconds.
    pub(crate) fn day_of(time: i64) -> i32 {
        // All of i64 is within 106,752 days of 1970.
        time.div_euclid(DAY_NS) as i32
    }

    /// Unix nanoseconds of its end, exclusive; the last day of all ends early.
    pub(crate) fn end(&self) -> i64 {
        (i64::from(self.day) + 1).saturating_mul(DAY_NS)
    }

    /// `<tenant>/<day>`.
    fn folder(&self) -> String {
        format!("{}/{}", escape(self.tenant.as_str()), Date(self.day))
    }

    /// Where its manifests stand.
    pub(crate) fn manifests(&self) -> String {
        format!("manifest/{SIGNAL}/{}/", self.folder())
    }

    /// Where manifest `number` stands.
    pub(crate) fn manifest(&self, number: u64) -> String {
        format!("{}{number:012}", self.manifests())
    }

    /// Where the part `id` stands.
    pub(crate) fn part(&self, id: &str) -> String {
        format!("parts/{SIGNAL}/{}/{id}.parquet", self.folder())
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SIGNAL}/{}/{}", self.tenant, Date(self.day))
    }
}

/// Where all manifests stand.
pub(crate) fn all_manifests() -> String {
    format!("manifest/{SIGNAL}/")
}

/// Where all parts stand.
pub(crate) fn all_parts() -> String {
    format!("parts/{SIGNAL}/")
}

/// Where all requests to delete stand.
pub(crate) fn all_deletes() -> String {
    format!("deletes/{SIGNAL}/")
}

/// Where a request to delete stands.
pub(crate) fn delete(tenant: &Tenant, id: &str) -> String {
    format!("deletes/{SIGNAL}/{}/{}", escape(tenant.as_str()), escape(id))
}

/// Reads the key of a manifest: its partition and number.
pub(crate) fn parse_manifest(key: &str) -> Option<(Partition, u64)> {
    let (partition, name) = parse(key.strip_prefix(&all_manifests())?)?;
    Some((partition, name.parse().ok()?))
}

/// Reads the key of a part: its partition and id.
pub(crate) fn parse_part(key: &str) -> Option<(Partition, String)> {
    let (partition, name) = parse(key.strip_prefix(&all_parts())?)?;
    Some((partition, name.strip_suffix(".parquet")?.to_owned()))
}

fn parse(rest: &str) -> Option<(Partition, &str)> {
    let mut pieces = rest.split('/');
    let (tenant, day, name) = (pieces.next()?, pieces.next()?, pieces.next()?);
    let partition = Partition { tenant: Tenant::new(&unescape(tenant)?), day: parse_date(day)? };
    pieces.next().is_none().then_some((partition, name))
}

/// A path of the log's segment `number`.
pub(crate) fn segment(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:010}.{WAL}"))
}

/// Reads the name of a segment.
pub(crate) fn parse_segment(name: &str) -> Option<u64> {
    name.strip_suffix(WAL)?.strip_suffix('.')?.parse().ok()
}

/// Letters, digits and `_.-` as they are, all other bytes as `=` and two hexadecimal digits: what folders
/// and object stores both take unchanged.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let dots = matches!(text, "." | "..");
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || (byte == b'.' && !dots) {
            out.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(out, "={byte:02X}");
        }
    }
    out
}

fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('=') {
        out.extend_from_slice(rest.get(..at)?.as_bytes());
        out.push(u8::from_str_radix(rest.get(at + 1..at + 3)?, 16).ok()?);
        rest = rest.get(at + 3..)?;
    }
    out.extend_from_slice(rest.as_bytes());
    String::from_utf8(out).ok()
}

/// A day as `2026-11-22`.
struct Date(i32);

impl fmt::Display for Date {
    /// The proleptic Gregorian calendar, counted from 0000-03-01 so that leap days come last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = i64::from(self.0) + 719_468;
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

fn parse_date(text: &str) -> Option<i32> {
    let (year, rest) = text.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    let (year, month, day): (i64, i64, i64) = (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(0..=9999).contains(&year) {
        return None;
    }
    let shifted_year = year - i64::from(month <= 2);
    let (era, year_of_era) = (shifted_year.div_euclid(400), shifted_year.rem_euclid(400));
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    i32::try_from(era * 146_097 + of_era - 719_468).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn days_are_written_as_dates() {
        for (day, date) in
            [(0, "1970-01-01"), (-1, "1969-12-31"), (19_782, "2024-02-29"), (20_779, "2026-11-22")]
        {
            assert_eq!(Date(day).to_string(), date);
        }
        assert_eq!(Partition::day_of(-1), -1);
        assert_eq!(Partition::day_of(DAY_NS), 1);
    }

    #[test]
    fn odd_tenants_stay_in_their_folder() {
        let of = |name: &str| Partition { tenant: Tenant::new(name), day: 0 }.part("a");
        assert_eq!(of(".."), "parts/logs/=2E=2E/1970-01-01/a.parquet");
        assert_eq!(of("a/../b"), "parts/logs/a=2F..=2Fb/1970-01-01/a.parquet");
        assert_eq!(of("team-1.x"), "parts/logs/team-1.x/1970-01-01/a.parquet");
    }

    proptest! {
        #[test]
        fn keys_are_read_back(tenant in ".{1,20}", time in any::<i64>(), number in any::<u32>()) {
            let partition = Partition { tenant: Tenant::new(&tenant), day: Partition::day_of(time) };
            let number = u64::from(number);
            prop_assert_eq!(parse_manifest(&partition.manifest(number)), Some((partition.clone(), number)));
            prop_assert_eq!(parse_part(&partition.part("x-1")), Some((partition, "x-1".to_owned())));
        }
    }
}
