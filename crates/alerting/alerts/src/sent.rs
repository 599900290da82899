//! The notification log: what was last sent to whom, and whether to send again.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::alert::Fingerprint;
use crate::notify::Reason;
use crate::time::{self, Time};

/// Who was told about which group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct SentKey {
    pub(crate) group_key: String,
    pub(crate) receiver: String,
    pub(crate) kind: String,
    pub(crate) index: usize,
}

/// The last successful notification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sent {
    pub(crate) key: SentKey,
    pub(crate) firing: BTreeSet<Fingerprint>,
    pub(crate) resolved: BTreeSet<Fingerprint>,
    #[serde(with = "time::text")]
    pub(crate) at: Time,
    #[serde(with = "time::text")]
    pub(crate) expires_at: Time,
}

/// The last notification of each group and integration.
#[derive(Debug, Default)]
pub(crate) struct SentLog {
    entries: HashMap<SentKey, Sent>,
}

impl SentLog {
    pub(crate) fn get(&self, key: &SentKey) -> Option<&Sent> {
        self.entries.get(key)
    }

    pub(crate) fn insert(&mut self, sent: Sent) {
        self.entries.insert(sent.key.clone(), sent);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Sent> {
        self.entries.values()
    }

    pub(crate) fn remove_expired(&mut self, now: Time) {
        self.entries.retain(|_, sent| sent.expires_at > now);
    }
}

/// Whether to notify, and why. `None` is: nothing new.
///
/// The table is the peer's. All-resolved is announced whatever `send_resolved` says, so that the log
/// forgets the firing alerts; the sender then sends nothing.
pub(crate) fn decide(
    last: Option<&Sent>,
    firing: &BTreeSet<Fingerprint>,
    resolved: &BTreeSet<Fingerprint>,
    send_resolved: bool,
    repeat: Duration,
    now: Time,
) -> Option<Reason> {
    let Some(last) = last else { return (!firing.is_empty()).then_some(Reason::First) };
    if !firing.is_subset(&last.firing) {
        return Some(if last.firing.is_empty() { Reason::First } else { Reason::NewAlerts });
    }
    if firing.is_empty() {
        return (!last.firing.is_empty()).then_some(Reason::AllResolved);
    }
    if send_resolved && !resolved.is_subset(&last.resolved) {
        return Some(Reason::SomeResolved);
    }
    (last.at < time::before(now, repeat)).then_some(Reason::Repeat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decides_as_the_peer() {
        let at = |minute: u32| Time::parse_from_rfc3339(&format!("2026-11-22T10:{minute:02}:00Z")).unwrap();
        let set = |ids: &[u64]| ids.iter().map(|id| Fingerprint(*id)).collect::<BTreeSet<_>>();
        let key =
            SentKey { group_key: String::new(), receiver: String::new(), kind: String::new(), index: 0 };
        let f = |last: Option<(&[u64], &[u64])>, now: (&[u64], &[u64]), minute, send_resolved, want| {
            let last = last.map(|(firing, resolved)| Sent {
                key: key.clone(),
                firing: set(firing),
                resolved: set(resolved),
                at: at(0),
                expires_at: at(59),
            });
            let got = decide(
                last.as_ref(),
                &set(now.0),
                &set(now.1),
                send_resolved,
                Duration::from_secs(600),
                at(minute),
            );
            assert_eq!(got, want, "{last:?} {now:?}");
        };
        f(None, (&[1], &[]), 0, true, Some(Reason::First));
        f(None, (&[], &[1]), 0, true, None);
        f(Some((&[], &[1])), (&[1], &[]), 0, true, Some(Reason::First));
        f(Some((&[1], &[])), (&[1, 2], &[]), 0, true, Some(Reason::NewAlerts));
        f(Some((&[1], &[])), (&[], &[1]), 0, false, Some(Reason::AllResolved));
        f(Some((&[], &[1])), (&[], &[1]), 20, true, None);
        f(Some((&[1, 2], &[])), (&[1], &[2]), 0, true, Some(Reason::SomeResolved));
        f(Some((&[1, 2], &[])), (&[1], &[2]), 0, false, None);
        f(Some((&[1, 2], &[2])), (&[1], &[2]), 0, true, None);
        f(Some((&[1], &[])), (&[1], &[]), 10, true, None);
        f(Some((&[1], &[])), (&[1], &[]), 11, true, Some(Reason::Repeat));
    }
}
