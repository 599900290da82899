//! What goes with age or for want of room, and what moves to the cold bucket.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use novaobs_model::logs::{RowFilter, RowView};
use novaobs_model::{Labels, Matcher, Tenant};
use parking_lot::Mutex;

use crate::deletes::{nanos, now};
use crate::names::{self, Partition};
use crate::partition::{Change, State, Stored};
use crate::store::Store;

/// How long entries of one tenant are kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RetentionPolicy {
    /// Of streams that no rule matches; `None` is for ever.
    pub default: Option<Duration>,
    /// Rules for some streams.
    pub streams: Vec<StreamRetention>,
}

/// How long entries of some streams are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamRetention {
    /// All must hold.
    pub matchers: Vec<Matcher>,
    /// Of several rules that match, the one with the highest counts; of several of one priority, the one
    /// with the shortest period.
    pub priority: i32,
    /// Zero is for ever.
    pub period: Duration,
}

/// Gives the policy of a tenant.
pub type Retention = Arc<dyn Fn(&Tenant) -> RetentionPolicy + Send + Sync>;

impl RetentionPolicy {
    /// How long entries of a stream are kept; `None` is for ever.
    pub fn period(&self, labels: &Labels) -> Option<Duration> {
        let matching =
            self.streams.iter().filter(|rule| rule.matchers.iter().all(|m| m.matches_labels(labels)));
        let rule = matching.min_by_key(|rule| (std::cmp::Reverse(rule.priority), forever_last(rule.period)));
        rule.map_or(self.default, |rule| (!rule.period.is_zero()).then_some(rule.period))
            .filter(|p| !p.is_zero())
    }

    /// All periods there are.
    fn periods(&self) -> impl Iterator<Item = Option<Duration>> {
        let rules = self.streams.iter().map(|rule| Some(rule.period));
        rules.chain([self.default]).map(|period| period.filter(|period| !period.is_zero()))
    }
}

fn forever_last(period: Duration) -> Duration {
    if period.is_zero() { Duration::MAX } else { period }
}

/// Whether a day is over for longer than `period`.
fn is_expired(partition: &Partition, period: Option<Duration>, now: i64) -> bool {
    period.is_some_and(|period| partition.end().saturating_add(nanos(period)) <= now)
}

impl Store {
    fn states(&self) -> Vec<Arc<State>> {
        self.view.read().partitions.values().filter(|state| !state.parts.is_empty()).cloned().collect()
    }

    /// Deletes what is older than the policy of its tenant says. The caller holds `merging`.
    pub(crate) fn enforce_age(&self) -> io::Result<()> {
        let retention = self.settings.read().retention.clone();
        let mut policies: HashMap<Tenant, RetentionPolicy> = HashMap::new();
        for state in self.states() {
            if self.is_closing() {
                break;
            }
            let tenant = &state.partition.tenant;
            let policy = policies.entry(tenant.clone()).or_insert_with(|| retention(tenant));
            let now = now();
            let expired = |period| is_expired(&state.partition, period, now);
            if policy.periods().all(expired) {
                self.metrics.expired_parts.inc_by(state.parts.len() as u64);
                self.drop_parts(&state.partition, &state.parts)?;
            } else if policy.periods().any(expired) {
                for part in &state.parts {
                    self.drop_expired_streams(part, policy, now)?;
                }
            }
        }
        Ok(())
    }

    /// Rewrites a part without streams whose time is over, if it has any.
    fn drop_expired_streams(&self, part: &Arc<Stored>, policy: &RetentionPolicy, now: i64) -> io::Result<()> {
        let expired = |labels: &Labels| is_expired(&part.partition, policy.period(labels), now);
        let mut some = false;
        let open = self.open_parts.get(part).and_then(|open| {
            open.streams(&[], i64::MIN, i64::MAX, &mut |labels, _| some = some || expired(labels))
        });
        if let Err(error) = open {
            if self.is_lost(part, &error) {
                self.quarantine(part, &error);
                return Ok(());
            }
            return Err(io::Error::other(error));
        }
        if !some {
            return Ok(());
        }
        let (policy, partition) = (policy.clone(), part.partition.clone());
        // Rows of one stream stand together: the last answer is mostly the next.
        let last: Mutex<Option<(Labels, bool)>> = Mutex::new(None);
        let rest = move |row: &RowView<'_>| {
            let mut last = last.lock();
            match &*last {
                Some((labels, answer)) if labels == row.labels => *answer,
                _ => {
                    let answer = is_expired(&partition, policy.period(row.labels), now);
                    *last = Some((row.labels.clone(), answer));
                    answer
                }
            }
        };
        let filter = RowFilter { matchers: Vec::new(), lines: Vec::new(), rest: Some(Arc::new(rest)) };
        self.rewrite(std::slice::from_ref(part), &[&filter]).map(|_| ())
    }

    fn drop_parts(&self, partition: &Partition, parts: &[Arc<Stored>]) -> io::Result<()> {
        let gone = |id: &String| parts.iter().any(|part| part.entry.id == *id);
        self.commit(partition, false, |manifest| {
            let mut next = manifest.clone();
            next.parts.retain(|entry| !gone(&entry.id));
            if next.parts.len() == manifest.parts.len() {
                return Change::Nothing;
            }
            Change::Commit(next)
        })?;
        Ok(())
    }

    /// Deletes the oldest days, and of the last one the oldest parts, while log and parts together take
    /// more than the limit. The caller holds `merging`.
    pub(crate) fn enforce_size(&self) -> io::Result<()> {
        let Some(limit) = self.settings.read().max_bytes else { return Ok(()) };
        let mut states = self.states();
        states.sort_by_key(|state| state.partition.day);
        let hot = |state: &Arc<State>| -> Vec<Arc<Stored>> {
            state.parts.iter().filter(|part| !part.entry.cold).cloned().collect()
        };
        let size = |part: &Arc<Stored>| part.entry.info.file_bytes;
        let mut total = self.log_bytes() + states.iter().flat_map(hot).map(|part| size(&part)).sum::<u64>();
        let newest = states.iter().map(|state| state.partition.day).max();
        for state in states {
            if total <= limit {
                break;
            }
            let mut parts = hot(&state);
            if Some(state.partition.day) == newest {
                parts.sort_by_key(|part| part.entry.info.last);
                let mut left = total;
                let excess = parts.iter().take_while(|part| {
                    let over = left > limit;
                    left = left.saturating_sub(size(part));
                    over
                });
                let count = excess.count();
                parts.truncate(count);
            }
            total = total.saturating_sub(parts.iter().map(size).sum());
            tracing::info!(partition = %state.partition, parts = parts.len(), limit, "oldest parts dropped for want of room");
            self.metrics.oversize_parts.inc_by(parts.len() as u64);
            self.drop_parts(&state.partition, &parts)?;
        }
        // Room is needed now; only parts that are being read stay.
        self.remove_due(true)
    }

    /// Moves parts of old days to the cold bucket. The caller holds `merging`.
    pub(crate) fn move_to_cold(&self) -> io::Result<()> {
        let (Some(cold), Some(age)) = (&self.cold, self.settings.read().cold_after) else { return Ok(()) };
        let now = now();
        for state in self.states() {
            if !is_expired(&state.partition, Some(age), now) {
                continue;
            }
            for part in state.parts.iter().filter(|part| !part.entry.cold) {
                if self.is_closing() {
                    return Ok(());
                }
                self.copy(part, &**cold)?;
                self.commit(&state.partition, false, |manifest| {
                    let mut next = manifest.clone();
                    let Some(entry) =
                        next.parts.iter_mut().find(|entry| entry.id == part.entry.id && !entry.cold)
                    else {
                        return Change::Nothing;
                    };
                    entry.cold = true;
                    Change::Commit(next)
                })?;
                self.metrics.moved_parts.inc();
            }
        }
        Ok(())
    }

    fn copy(&self, part: &Arc<Stored>, to: &dyn crate::bucket::Bucket) -> io::Result<()> {
        const PIECE: u64 = 4 << 20;
        let length = part.entry.info.file_bytes;
        let file = part.bucket.open(&part.key(), length);
        let mut upload = to.upload(&part.key())?;
        let mut at = 0;
        while at < length {
            let end = (at + PIECE).min(length);
            upload.write_all(&file.read(at..end)?)?;
            at = end;
        }
        upload.finish()
    }

    /// Deletes files that nobody lists: what a crash between put and commit left behind, and manifests that
    /// later ones replaced. The caller holds `merging`.
    pub(crate) fn sweep(&self) -> io::Result<()> {
        self.refresh()?;
        let old = |modified: SystemTime, grace: Duration| modified.elapsed().is_ok_and(|age| age >= grace);
        for bucket in std::iter::once(&self.bucket).chain(&self.cold) {
            for object in bucket.list(&names::all_parts())? {
                let Some((partition, id)) = names::parse_part(&object.key) else { continue };
                let state = self.partition(&partition);
                let is_cold = self.cold.as_ref().is_some_and(|cold| Arc::ptr_eq(cold, bucket));
                let listed = state.manifest.parts.iter().any(|entry| entry.id == id && entry.cold == is_cold);
                let kept = listed || state.damaged || state.manifest.quarantined.contains(&id);
                let leaving = self.removals.lock().iter().any(|removal| removal.key == object.key);
                if !kept && !leaving && old(object.modified, self.orphan_grace) {
                    tracing::info!(
                        part = object.key,
                        bytes = object.bytes,
                        "part that no manifest lists is deleted"
                    );
                    self.metrics.orphans.inc();
                    bucket.delete(&object.key)?;
                }
            }
        }
        for object in self.bucket.list(&names::all_manifests())? {
            let Some((partition, number)) = names::parse_manifest(&object.key) else { continue };
            let state = self.partition(&partition);
            if number < state.number && !state.damaged && old(object.modified, self.manifest_grace()) {
                self.bucket.delete(&object.key)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_priority_counts_then_the_shortest_period() {
        let hours = |n: u64| Duration::from_secs(n * 3600);
        let rule = |name: &str, value: &str, priority, period| StreamRetention {
            matchers: vec![Matcher::equal(name, value)],
            priority,
            period,
        };
        let policy = RetentionPolicy {
            default: Some(hours(744)),
            streams: vec![
                rule("app", "a", 1, hours(24)),
                rule("env", "dev", 2, hours(48)),
                rule("team", "x", 2, hours(36)),
                rule("keep", "yes", 9, Duration::ZERO),
            ],
        };
        let period = |pairs: &[(&str, &str)]| policy.period(&Labels::from_pairs(pairs.iter().copied()));
        assert_eq!(period(&[("app", "b")]), Some(hours(744)));
        assert_eq!(period(&[("app", "a")]), Some(hours(24)));
        assert_eq!(period(&[("app", "a"), ("env", "dev")]), Some(hours(48)));
        assert_eq!(period(&[("env", "dev"), ("team", "x")]), Some(hours(36)));
        assert_eq!(period(&[("app", "a"), ("keep", "yes")]), None);
        assert_eq!(RetentionPolicy::default().period(&Labels::empty()), None);
    }
}
