//! Silences: conditions under which no notification is sent for a while.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use novaobs_model::labels::go_quote;
use novaobs_model::{Labels, MatchOp, Matcher};
use serde::{Deserialize, Serialize};

use crate::time::{self, Time};

/// A silence as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// A UUID.
    pub id: String,
    /// Conditions that must all hold.
    pub matchers: Vec<SilenceMatcher>,
    /// From when.
    #[serde(with = "time::text")]
    pub starts_at: Time,
    /// Until when.
    #[serde(with = "time::text")]
    pub ends_at: Time,
    /// When it was last written.
    #[serde(with = "time::text")]
    pub updated_at: Time,
    /// By whom.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// Free notes.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// A condition of a silence, with the four operators as two flags as the API has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilenceMatcher {
    /// The label.
    pub name: String,
    /// The text or expression.
    pub value: String,
    /// Whether `value` is an expression.
    pub is_regex: bool,
    /// False negates.
    pub is_equal: bool,
}

impl SilenceMatcher {
    /// The operator the flags stand for.
    pub fn op(&self) -> MatchOp {
        match (self.is_equal, self.is_regex) {
            (true, false) => MatchOp::Equal,
            (false, false) => MatchOp::NotEqual,
            (true, true) => MatchOp::Match,
            (false, true) => MatchOp::NotMatch,
        }
    }
}

/// A silence as a client writes it.
#[derive(Clone, Debug, PartialEq)]
pub struct PostableSilence {
    /// The silence to change; empty for a new one.
    pub id: String,
    /// Conditions.
    pub matchers: Vec<SilenceMatcher>,
    /// From when; the past means now.
    pub starts_at: Time,
    /// Until when.
    pub ends_at: Time,
    /// By whom.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// Free notes.
    pub annotations: BTreeMap<String, String>,
}

/// Where a silence is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SilenceState {
    /// It silences.
    Active,
    /// It will.
    Pending,
    /// It did.
    Expired,
}

impl SilenceState {
    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            SilenceState::Active => "active",
            SilenceState::Pending => "pending",
            SilenceState::Expired => "expired",
        }
    }
}

impl Silence {
    /// Its state at `now`.
    pub fn state(&self, now: Time) -> SilenceState {
        if now < self.starts_at {
            SilenceState::Pending
        } else if now < self.ends_at {
            SilenceState::Active
        } else {
            SilenceState::Expired
        }
    }
}

/// Why a silence is not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SilenceError {
    /// No silence has the id.
    #[error("silence not found")]
    NotFound,
    /// It is not valid; says why.
    #[error("invalid silence: {0}")]
    Invalid(String),
    /// `--silences.max-silences` is reached.
    #[error("exceeded maximum number of silences: {count} (limit: {limit})")]
    TooMany {
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// `--silences.max-silence-size-bytes` is exceeded.
    #[error("silence exceeded maximum size: {size} bytes (limit: {limit} bytes)")]
    TooLarge {
        /// Its size.
        size: usize,
        /// What is allowed.
        limit: usize,
    },
    /// It could not be written to disk, so it does not count.
    #[error("cannot write the silence to disk: {0}")]
    Disk(String),
}

/// Bounds on silences; zero is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct SilenceLimits {
    /// How many, expired ones included.
    pub count: usize,
    /// Bytes of one as it is stored.
    pub size: usize,
}

/// All silences, expired ones until the retention is over.
#[derive(Debug)]
pub(crate) struct Silences {
    by_id: HashMap<String, (Silence, Vec<Matcher>)>,
    retention: Duration,
    limits: SilenceLimits,
}

impl Silences {
    pub(crate) fn new(retention: Duration, limits: SilenceLimits) -> Silences {
        Silences { by_id: HashMap::new(), retention, limits }
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Silence> {
        self.by_id.get(id).map(|(silence, _)| silence)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Silence> {
        self.by_id.values().map(|(silence, _)| silence)
    }

    /// Puts a silence that was planned or read back from disk.
    pub(crate) fn insert(&mut self, silence: Silence) {
        let compile = |m: &SilenceMatcher| Matcher::new(&m.name, m.op(), &m.value);
        match silence.matchers.iter().map(compile).collect::<Result<Vec<_>, _>>() {
            Ok(matchers) => drop(self.by_id.insert(silence.id.clone(), (silence, matchers))),
            // Only a file written by another release can hold it; it cannot silence anything.
            Err(error) => {
                tracing::error!(id = silence.id, %error, "silence dropped, its matchers do not compile")
            }
        }
    }

    /// The ids of the active silences that hold for a label set, in order.
    pub(crate) fn silencing(&self, labels: &Labels, now: Time) -> Vec<String> {
        let holds = |(silence, matchers): &&(Silence, Vec<Matcher>)| {
            silence.state(now) == SilenceState::Active && matchers.iter().all(|m| m.matches_labels(labels))
        };
        let mut ids: Vec<String> = self.by_id.values().filter(holds).map(|(s, _)| s.id.clone()).collect();
        ids.sort_unstable();
        ids
    }

    /// What writing a silence means: the records to store (then [`Silences::insert`]), the last of them
    /// being the silence itself. An existing one is changed in place when that does not change history,
    /// else it is expired and replaced by one with a new id.
    ///
    /// # Errors
    /// [`SilenceError`]; nothing is to be changed then.
    pub(crate) fn plan_set(&self, posted: PostableSilence, now: Time) -> Result<Vec<Silence>, SilenceError> {
        validate(&posted)?;
        let previous = if posted.id.is_empty() {
            None
        } else {
            Some(self.get(&posted.id).ok_or(SilenceError::NotFound)?)
        };
        let mut silence = Silence {
            id: posted.id,
            matchers: posted.matchers,
            starts_at: posted.starts_at,
            ends_at: posted.ends_at,
            updated_at: now,
            created_by: posted.created_by,
            comment: posted.comment,
            annotations: posted.annotations,
        };
        if previous.is_some_and(|previous| can_update(previous, &silence, now)) {
            self.check_size(&silence)?;
            return Ok(vec![silence]);
        }
        let (count, limit) = (self.by_id.len(), self.limits.count);
        if limit > 0 && count + 1 > limit {
            return Err(SilenceError::TooMany { count, limit });
        }
        silence.id = uuid::Uuid::new_v4().to_string();
        silence.starts_at = silence.starts_at.max(now);
        self.check_size(&silence)?;
        let expired = previous.and_then(|previous| expire(previous, now));
        Ok(expired.into_iter().chain([silence]).collect())
    }

    /// The record that ends a silence now; `None` when it is over already.
    ///
    /// # Errors
    /// [`SilenceError::NotFound`].
    pub(crate) fn plan_expire(&self, id: &str, now: Time) -> Result<Option<Silence>, SilenceError> {
        Ok(expire(self.get(id).ok_or(SilenceError::NotFound)?, now))
    }

    fn check_size(&self, silence: &Silence) -> Result<(), SilenceError> {
        let size = serde_json::to_string(silence).map_or(0, |text| text.len());
        let limit = self.limits.size;
        if limit > 0 && size > limit { Err(SilenceError::TooLarge { size, limit }) } else { Ok(()) }
    }

    /// Forgets what ended longer ago than the retention.
    pub(crate) fn remove_expired(&mut self, now: Time) {
        let oldest = time::before(now, self.retention);
        self.by_id.retain(|_, (silence, _)| silence.ends_at > oldest);
    }
}

fn expire(silence: &Silence, now: Time) -> Option<Silence> {
    let mut expired = Silence { ends_at: now, updated_at: now, ..silence.clone() };
    match silence.state(now) {
        SilenceState::Expired => return None,
        SilenceState::Active => {}
        SilenceState::Pending => expired.starts_at = now,
    }
    Some(expired)
}

/// Whether `new` can stand in for `old` without rewriting what was silenced in the past.
fn can_update(old: &Silence, new: &Silence, now: Time) -> bool {
    let same_start = old.starts_at.timestamp() == new.starts_at.timestamp();
    old.matchers == new.matchers
        && match old.state(now) {
            SilenceState::Active => same_start && new.ends_at >= now,
            SilenceState::Pending => new.starts_at >= now,
            SilenceState::Expired => false,
        }
}

fn validate(silence: &PostableSilence) -> Result<(), SilenceError> {
    let invalid = |message: String| Err(SilenceError::Invalid(message));
    if silence.matchers.is_empty() {
        return invalid("matcher set 0 is empty".to_owned());
    }
    let mut all_match_empty = true;
    for (i, matcher) in silence.matchers.iter().enumerate() {
        if matcher.name.is_empty() {
            return invalid(format!("invalid label matcher {i} in set 0: invalid label name \"\""));
        }
        match Matcher::new(&matcher.name, matcher.op(), &matcher.value) {
            Ok(compiled) => all_match_empty &= matcher.is_equal && compiled.matches_empty(),
            Err(error) => {
                return invalid(format!(
                    "invalid label matcher {i} in set 0: invalid regular expression {}: {error}",
                    go_quote(&matcher.value)
                ));
            }
        }
    }
    if all_match_empty {
        return invalid("matcher set 0: at least one matcher must not match the empty string".to_owned());
    }
    if silence.ends_at < silence.starts_at {
        return invalid("end time must not be before start time".to_owned());
    }
    Ok(())
}

/// Whether a silence holds each of the conditions literally, which is what the API's filter asks.
pub fn silence_has(silence: &Silence, filter: &[Matcher]) -> bool {
    let is = |wanted: &Matcher, m: &SilenceMatcher| {
        wanted.name == m.name && wanted.op == m.op() && wanted.value == m.value
    };
    filter.iter().all(|wanted| silence.matchers.iter().any(|m| is(wanted, m)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: u32) -> Time {
        Time::parse_from_rfc3339(&format!("2026-11-22T10:{minute:02}:00Z")).unwrap()
    }

    fn matcher(name: &str, value: &str, is_regex: bool, is_equal: bool) -> SilenceMatcher {
        SilenceMatcher { name: name.to_owned(), value: value.to_owned(), is_regex, is_equal }
    }

    fn posted(id: &str, starts: u32, ends: u32) -> PostableSilence {
        PostableSilence {
            id: id.to_owned(),
            matchers: vec![matcher("a", "b", false, true)],
            starts_at: at(starts),
            ends_at: at(ends),
            created_by: "me".to_owned(),
            comment: "why".to_owned(),
            annotations: BTreeMap::new(),
        }
    }

    fn set(silences: &mut Silences, posted: PostableSilence, now: u32) -> Result<String, SilenceError> {
        let records = silences.plan_set(posted, at(now))?;
        let id = records.last().unwrap().id.clone();
        records.into_iter().for_each(|silence| silences.insert(silence));
        Ok(id)
    }

    fn shown(silences: &Silences, id: &str, now: u32) -> String {
        let silence = silences.get(id).unwrap();
        let minute = |t: Time| (t - at(0)).num_minutes();
        format!(
            "{} {}-{}",
            silence.state(at(now)).as_str(),
            minute(silence.starts_at),
            minute(silence.ends_at)
        )
    }

    fn silences() -> Silences {
        Silences::new(Duration::from_secs(600), SilenceLimits::default())
    }

    #[test]
    fn lives_and_silences() {
        let mut silences = silences();
        let id = set(&mut silences, posted("", 5, 20), 10).unwrap();
        assert_eq!(shown(&silences, &id, 10), "active 10-20");
        let labels = Labels::from_pairs([("a", "b")]);
        assert_eq!(silences.silencing(&labels, at(19)), std::slice::from_ref(&id));
        assert!(silences.silencing(&labels, at(20)).is_empty());
        assert!(silences.silencing(&Labels::from_pairs([("a", "c")]), at(19)).is_empty());
        silences.remove_expired(at(29));
        assert!(silences.get(&id).is_some());
        silences.remove_expired(at(30));
        assert!(silences.get(&id).is_none());
    }

    #[test]
    fn updates_in_place_or_replaces() {
        let mut silences = silences();
        let first = set(&mut silences, posted("", 10, 20), 10).unwrap();
        assert_eq!(set(&mut silences, posted(&first, 10, 30), 12).unwrap(), first);
        assert_eq!(shown(&silences, &first, 12), "active 10-30");
        // Another start would rewrite the past.
        let second = set(&mut silences, posted(&first, 15, 30), 13).unwrap();
        assert_ne!(second, first);
        assert_eq!(shown(&silences, &first, 13), "expired 10-13");
        assert_eq!(shown(&silences, &second, 13), "pending 15-30");
        // A pending one may move, but not into the past.
        assert_eq!(set(&mut silences, posted(&second, 16, 30), 14).unwrap(), second);
        let third = set(&mut silences, posted(&second, 13, 30), 14).unwrap();
        assert_ne!(third, second);
        assert_eq!(shown(&silences, &second, 14), "expired 14-14");
        // Other matchers make another silence.
        let mut other = posted(&third, 14, 30);
        other.matchers = vec![matcher("a", "c", false, true)];
        assert_ne!(set(&mut silences, other, 14).unwrap(), third);
        // An expired one is not revived.
        assert_ne!(set(&mut silences, posted(&first, 10, 40), 14).unwrap(), first);
        assert_eq!(set(&mut silences, posted("nope", 10, 40), 14), Err(SilenceError::NotFound));
    }

    #[test]
    fn expires() {
        let mut silences = silences();
        let id = set(&mut silences, posted("", 10, 20), 10).unwrap();
        let expired = silences.plan_expire(&id, at(12)).unwrap().unwrap();
        silences.insert(expired);
        assert_eq!(shown(&silences, &id, 12), "expired 10-12");
        assert_eq!(silences.plan_expire(&id, at(13)), Ok(None));
        assert_eq!(silences.plan_expire("nope", at(13)), Err(SilenceError::NotFound));
    }

    #[test]
    fn refuses() {
        let f = |matchers: &[SilenceMatcher], want: &str| {
            let error = silences()
                .plan_set(PostableSilence { matchers: matchers.to_vec(), ..posted("", 1, 2) }, at(1));
            assert_eq!(error.unwrap_err().to_string(), want);
        };
        f(&[], "invalid silence: matcher set 0 is empty");
        let empty = "invalid silence: matcher set 0: at least one matcher must not match the empty string";
        f(&[matcher("a", "", false, true)], empty);
        f(&[matcher("a", ".*", true, true)], empty);
        f(
            &[matcher("", "x", false, true)],
            "invalid silence: invalid label matcher 0 in set 0: invalid label name \"\"",
        );
        let limits = SilenceLimits { count: 1, size: 0 };
        let mut silences = Silences::new(Duration::from_secs(600), limits);
        set(&mut silences, posted("", 1, 2), 1).unwrap();
        let error = silences.plan_set(posted("", 1, 2), at(1)).unwrap_err();
        assert_eq!(error.to_string(), "exceeded maximum number of silences: 1 (limit: 1)");
        let silences = Silences::new(Duration::from_secs(600), SilenceLimits { count: 0, size: 10 });
        assert!(matches!(silences.plan_set(posted("", 1, 2), at(1)), Err(SilenceError::TooLarge { .. })));
    }
}
