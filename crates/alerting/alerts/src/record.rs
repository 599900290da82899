//! The records of the state on disk.

use std::collections::BTreeMap;

use novaobs_model::Labels;
use serde::{Deserialize, Serialize};

use crate::alert::{Alert, Fingerprint};
use crate::sent::Sent;
use crate::silence::Silence;
use crate::time::{self, Time};

/// One change. Later records of the same thing replace earlier ones. JSON, so that a state can be read
/// without tools and fields can be added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record {
    Silence(Silence),
    Sent(Sent),
    Alert(StoredAlert),
    /// The common case of an alert handed in again: only its times changed.
    Seen {
        fingerprint: Fingerprint,
        #[serde(with = "time::text")]
        ends_at: Time,
        #[serde(with = "time::text")]
        updated_at: Time,
        timeout: bool,
    },
}

/// An alert as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredAlert {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    #[serde(with = "time::text")]
    starts_at: Time,
    #[serde(with = "time::text")]
    ends_at: Time,
    #[serde(with = "time::text")]
    updated_at: Time,
    timeout: bool,
    generator_url: String,
}

impl Record {
    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_else(|error| {
            novaobs_model::never!("a state record does not encode: {error}");
            Vec::new()
        })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Record> {
        serde_json::from_slice(bytes)
            .inspect_err(
                |error| tracing::error!(%error, "a record of the alert state is not understood and skipped"),
            )
            .ok()
    }
}

impl From<&Alert> for StoredAlert {
    fn from(alert: &Alert) -> StoredAlert {
        StoredAlert {
            labels: alert.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            annotations: alert.annotations.clone(),
            starts_at: alert.starts_at,
            ends_at: alert.ends_at,
            updated_at: alert.updated_at,
            timeout: alert.timeout,
            generator_url: alert.generator_url.clone(),
        }
    }
}

impl From<StoredAlert> for Alert {
    fn from(stored: StoredAlert) -> Alert {
        let labels = Labels::from_pairs(stored.labels);
        Alert {
            fingerprint: Fingerprint::of(&labels),
            labels,
            annotations: stored.annotations,
            starts_at: stored.starts_at,
            ends_at: stored.ends_at,
            updated_at: stored.updated_at,
            timeout: stored.timeout,
            generator_url: stored.generator_url,
        }
    }
}
