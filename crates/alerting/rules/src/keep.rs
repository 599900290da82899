//! Firing alerts of rules with `keep_firing_for`, kept in a small file over a restart.
//!
//! The peer forgets them, so that an alert whose expression holds no longer resolves at once after a
//! restart. A file and not a series, because series are seen: queries over `{__name__=~"ALERTS.*"}`, remote
//! write and counts of series would all change.
//!
//! Format: JSON, `{"version":1,"saved_at":<ms>,"alerts":[…]}`; written to a second file, synced and renamed.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use novaobs_model::Labels;
use serde::{Deserialize, Serialize};

use crate::alert::{ActiveAlert, AlertState};

const VERSION: u32 = 1;

/// The whole file.
#[derive(Debug, Serialize, Deserialize)]
struct KeepFile {
    version: u32,
    saved_at: i64,
    alerts: Vec<KeptAlert>,
}

/// One firing alert. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeptAlert {
    pub group: String,
    pub rule: String,
    labels: Vec<(String, String)>,
    annotations: Vec<(String, String)>,
    value: Option<f64>,
    active_at: i64,
    fired_at: i64,
    keep_firing_since: Option<i64>,
}

impl KeptAlert {
    /// The alert if it fires.
    pub(crate) fn of(group: &str, rule: &str, alert: &ActiveAlert) -> Option<KeptAlert> {
        if alert.state != AlertState::Firing {
            return None;
        }
        let pairs = |labels: &Labels| labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        Some(KeptAlert {
            group: group.to_owned(),
            rule: rule.to_owned(),
            labels: pairs(&alert.labels),
            annotations: pairs(&alert.annotations),
            value: Some(alert.value).filter(|value| value.is_finite()),
            active_at: alert.active_at,
            fired_at: alert.fired_at?,
            keep_firing_since: alert.keep_firing_since,
        })
    }

    pub(crate) fn labels(&self) -> Labels {
        Labels::from_pairs(self.labels.iter().map(|(n, v)| (n, v)))
    }

    pub(crate) fn to_active(&self) -> ActiveAlert {
        ActiveAlert {
            state: AlertState::Firing,
            labels: self.labels(),
            annotations: Labels::from_pairs(self.annotations.iter().map(|(n, v)| (n, v))),
            value: self.value.unwrap_or(f64::NAN),
            active_at: self.active_at,
            fired_at: Some(self.fired_at),
            resolved_at: None,
            keep_firing_since: self.keep_firing_since,
            last_sent_at: None,
            valid_until: 0,
        }
    }
}

/// Writes the alerts.
///
/// # Errors
/// What the file system says.
pub(crate) fn save(path: &Path, saved_at: i64, alerts: Vec<KeptAlert>) -> std::io::Result<()> {
    let text = serde_json::to_vec(&KeepFile { version: VERSION, saved_at, alerts })?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension("tmp");
    let mut file = File::create(&beside)?;
    file.write_all(&text)?;
    file.sync_all()?;
    std::fs::rename(beside, path)
}

/// Reads the alerts back; none when there is no file, when it is older than `oldest` or not readable (then
/// it is logged).
pub(crate) fn load(path: &Path, oldest: i64) -> Vec<KeptAlert> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "reading kept alerts failed");
            return Vec::new();
        }
    };
    match serde_json::from_slice::<KeepFile>(&text) {
        Ok(file) if file.version == VERSION && file.saved_at >= oldest => file.alerts,
        Ok(_) => Vec::new(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the file of kept alerts is damaged and ignored");
            Vec::new()
        }
    }
}

impl KeptAlert {
    /// Whether both stand for the same alert in the same state; value and texts may differ.
    pub(crate) fn same_state(&self, other: &KeptAlert) -> bool {
        self.rule == other.rule
            && self.labels == other.labels
            && self.active_at == other.active_at
            && self.keep_firing_since == other.keep_firing_since
    }
}
