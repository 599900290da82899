//! The alert itself: identity, life time, merging, validity.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use novaobs_model::Labels;
use serde::{Deserialize, Serialize};

use crate::time::{self, Time};

/// The label that holds an alert's name.
pub const ALERT_NAME: &str = "alertname";

/// What identifies an alert: the FNV-1a hash of its labels, printed as 16 hex digits. Clients compare it,
/// so it is exactly the peers'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// The fingerprint of a label set: name, 0xff, value, 0xff for each label in order of name.
    pub fn of(labels: &Labels) -> Fingerprint {
        const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0100_0000_01b3;
        let mut hash = OFFSET_BASIS;
        let mut add = |text: &str| {
            for byte in text.bytes().chain(std::iter::once(0xff)) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
            }
        };
        for (name, value) in labels {
            add(name);
            add(value);
        }
        Fingerprint(hash)
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// An alert as a client (a rule, `amtool`, another Prometheus) hands it in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PostableAlert {
    /// Labels; pairs with an empty value do not count.
    pub labels: Labels,
    /// Annotations; empty values are kept.
    pub annotations: BTreeMap<String, String>,
    /// Since when; by default now, or the end when only that is given.
    pub starts_at: Option<Time>,
    /// Until when; by default `resolve_timeout` from now.
    pub ends_at: Option<Time>,
    /// Where the alert comes from.
    pub generator_url: String,
}

/// An alert as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Its identity.
    pub fingerprint: Fingerprint,
    /// Labels, never empty.
    pub labels: Labels,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Since when it fires.
    pub starts_at: Time,
    /// When it is over; in the future while it fires.
    pub ends_at: Time,
    /// When it was last handed in.
    pub updated_at: Time,
    /// Whether `ends_at` is only the resolve timeout, not the client's word.
    pub timeout: bool,
    /// Where it comes from.
    pub generator_url: String,
}

/// Why an alert is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAlert {
    /// It ends before it starts.
    #[error("start time must be before end time")]
    EndsBeforeStart,
    /// No label is left after empty ones were dropped.
    #[error("at least one label pair required")]
    NoLabels,
    /// A label without a name.
    #[error("invalid label set: invalid name \"\"")]
    LabelName,
    /// An annotation without a name.
    #[error("invalid annotations: invalid name \"\"")]
    AnnotationName,
}

impl Alert {
    /// Completes what a client handed in at `now`.
    ///
    /// # Errors
    /// [`InvalidAlert`].
    pub fn from_postable(
        posted: PostableAlert,
        now: Time,
        resolve_timeout: Duration,
    ) -> Result<Alert, InvalidAlert> {
        let starts_at = posted.starts_at.or(posted.ends_at).unwrap_or(now);
        let timeout = posted.ends_at.is_none();
        let ends_at = posted.ends_at.unwrap_or_else(|| time::after(now, resolve_timeout));
        if ends_at < starts_at {
            return Err(InvalidAlert::EndsBeforeStart);
        }
        if posted.labels.is_empty() {
            return Err(InvalidAlert::NoLabels);
        }
        if posted.labels.iter().any(|(name, _)| name.is_empty()) {
            return Err(InvalidAlert::LabelName);
        }
        if posted.annotations.contains_key("") {
            return Err(InvalidAlert::AnnotationName);
        }
        Ok(Alert {
            fingerprint: Fingerprint::of(&posted.labels),
            labels: posted.labels,
            annotations: posted.annotations,
            starts_at,
            ends_at,
            updated_at: now,
            timeout,
            generator_url: posted.generator_url,
        })
    }

    /// The alert's name, possibly empty.
    pub fn name(&self) -> &str {
        self.labels.value(ALERT_NAME)
    }

    /// Whether it is over at `now`.
    pub fn is_resolved(&self, now: Time) -> bool {
        self.ends_at <= now
    }

    /// Whether the two were active at a common time, so that one continues the other.
    pub fn overlaps(&self, older: &Alert) -> bool {
        (self.ends_at > older.starts_at && self.ends_at < older.ends_at)
            || (self.starts_at > older.starts_at && self.starts_at < older.ends_at)
    }

    /// One alert from two of the same labels: the later update rules, the earliest start is kept, and an
    /// end that a client gave is not shortened by a mere timeout.
    pub fn merge(&self, other: &Alert, now: Time) -> Alert {
        if other.updated_at < self.updated_at {
            return other.merge(self, now);
        }
        let mut merged = other.clone();
        if self.starts_at < other.starts_at {
            merged.starts_at = self.starts_at;
        }
        if other.is_resolved(now) {
            if self.is_resolved(now) && self.ends_at > other.ends_at {
                merged.ends_at = self.ends_at;
            }
        } else if self.ends_at > other.ends_at && !self.timeout {
            merged.ends_at = self.ends_at;
        }
        merged
    }
}

/// The order of alerts in a notification: by job, by instance, then by all labels.
pub(crate) fn notification_order(a: &Labels, b: &Labels) -> Ordering {
    for name in ["job", "instance"] {
        let by_label = match (a.get(name), b.get(name)) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => a.cmp(b),
        };
        if by_label != Ordering::Equal {
            return by_label;
        }
    }
    label_set_order(a, b)
}

/// The peers' order of label sets: smaller sets first, then by the first name one of them lacks or has a
/// smaller value for.
pub(crate) fn label_set_order(a: &Labels, b: &Labels) -> Ordering {
    let by_size = a.len().cmp(&b.len());
    if by_size != Ordering::Equal {
        return by_size;
    }
    let mut names: Vec<&str> = a.iter().chain(b.iter()).map(|(name, _)| name).collect();
    names.sort_unstable();
    for name in names {
        let by_label = match (a.get(name), b.get(name)) {
            (None, _) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => a.cmp(b),
        };
        if by_label != Ordering::Equal {
            return by_label;
        }
    }
    Ordering::Equal
}

/// A label set as group keys spell it: `{a="b", c="d"}`.
pub(crate) fn label_set_text(labels: &Labels) -> String {
    let mut out = String::from("{");
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        out.push_str(name);
        out.push('=');
        out.push_str(&novaobs_model::labels::go_quote(value));
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_the_peers() {
        let f = |pairs: &[(&str, &str)], want: &str| {
            assert_eq!(Fingerprint::of(&Labels::from_pairs(pairs.iter().copied())).to_string(), want);
        };
        // Seen in the API of a running Alertmanager for the same labels.
        f(
            &[("alertname", "X"), ("instance", "a"), ("job", "j"), ("severity", "warning")],
            "00e8128a5feb847e",
        );
        f(&[("alertname", "X"), ("instance", "b<>&"), ("severity", "warning")], "2500293fdd3394d2");
        f(&[("alertname", "X"), ("instance", "c"), ("severity", "warning")], "7f47de6095732025");
        f(&[], "cbf29ce484222325");
    }

    fn at(second: u32) -> Time {
        Time::parse_from_rfc3339(&format!("2026-11-22T10:{:02}:{:02}Z", second / 60, second % 60)).unwrap()
    }

    fn alert(starts: u32, ends: u32, updated: u32, timeout: bool) -> Alert {
        let posted = PostableAlert {
            labels: Labels::from_pairs([("a", "b")]),
            starts_at: Some(at(starts)),
            ends_at: Some(at(ends)),
            ..PostableAlert::default()
        };
        let alert = Alert::from_postable(posted, at(updated), Duration::from_secs(300)).unwrap();
        Alert { timeout, ..alert }
    }

    #[test]
    fn merges_spans() {
        let f = |old: Alert, new: Alert, now: u32, starts: u32, ends: u32| {
            assert!(new.overlaps(&old));
            for merged in [old.merge(&new, at(now)), new.merge(&old, at(now))] {
                assert_eq!((merged.starts_at, merged.ends_at), (at(starts), at(ends)));
                assert_eq!(merged.updated_at, new.updated_at);
            }
        };
        // A timeout gives way to a new end, a client's end does not.
        f(alert(0, 300, 0, true), alert(10, 200, 10, false), 10, 0, 200);
        f(alert(0, 300, 0, false), alert(10, 200, 10, true), 10, 0, 300);
        // A resolve ends it at once.
        f(alert(0, 300, 0, false), alert(10, 20, 20, false), 20, 0, 20);
    }

    #[test]
    fn completes_and_refuses() {
        let posted = |labels: &[(&str, &str)], starts: Option<u32>, ends: Option<u32>| {
            let posted = PostableAlert {
                labels: Labels::from_pairs(labels.iter().copied()),
                starts_at: starts.map(at),
                ends_at: ends.map(at),
                ..PostableAlert::default()
            };
            Alert::from_postable(posted, at(100), Duration::from_secs(300))
        };
        let f = |starts, ends, want_starts, want_ends| {
            let alert = posted(&[("a", "b")], starts, ends).unwrap();
            assert_eq!((alert.starts_at, alert.ends_at), (at(want_starts), at(want_ends)));
        };
        f(None, None, 100, 400);
        f(None, Some(50), 50, 50);
        f(Some(20), None, 20, 400);
        assert_eq!(posted(&[("a", "b")], Some(20), Some(10)), Err(InvalidAlert::EndsBeforeStart));
        assert_eq!(posted(&[("a", "")], None, None), Err(InvalidAlert::NoLabels));
        assert_eq!(posted(&[("", "x")], None, None), Err(InvalidAlert::LabelName));
    }

    #[test]
    fn orders_as_the_peer() {
        let set = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
        let f = |a: &[(&str, &str)], b: &[(&str, &str)]| {
            assert_eq!(notification_order(&set(a), &set(b)), Ordering::Less, "{a:?} {b:?}");
            assert_eq!(notification_order(&set(b), &set(a)), Ordering::Greater, "{b:?} {a:?}");
        };
        f(&[("job", "a"), ("z", "1")], &[("job", "b")]);
        f(&[("job", "z")], &[("a", "1")]);
        f(&[("z", "1")], &[("a", "1"), ("b", "1")]);
        f(&[("a", "1")], &[("a", "2")]);
    }
}
