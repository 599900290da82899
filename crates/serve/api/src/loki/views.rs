//! What the API asks the rest of the process for, as the server answers it.

use std::collections::BTreeMap;

use novaobs_model::Tenant;
use novaobs_rules::GroupSnapshot;
use serde::Serialize;

use super::rule_group::RuleGroup;

/// Deletes by query. Calls may block on file I/O.
pub trait DeleteView: Send + Sync {
    /// Keeps a request; gives its id. From now on answers leave out what it covers.
    ///
    /// # Errors
    /// A text, when it cannot be kept.
    fn add(&self, tenant: &Tenant, request: &DeleteRequest) -> Result<String, String>;
    /// All requests of a tenant, oldest first.
    ///
    /// # Errors
    /// A text, when they cannot be read.
    fn list(&self, tenant: &Tenant) -> Result<Vec<DeleteStatus>, String>;
    /// Takes a request back; `force` also one that has been carried out in part.
    ///
    /// # Errors
    /// [`CancelError`].
    fn cancel(&self, tenant: &Tenant, id: &str, force: bool) -> Result<(), CancelError>;
}

/// What is to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteRequest {
    /// A log query as it was sent; it has been parsed once.
    pub query: String,
    /// Unix nanoseconds, inclusive.
    pub start: i64,
    /// Unix nanoseconds, inclusive.
    pub end: i64,
}

/// A delete request and how far it is.
#[derive(Clone, Debug, PartialEq)]
pub struct DeleteStatus {
    /// Its id.
    pub id: String,
    /// What it deletes.
    pub request: DeleteRequest,
    /// When it came, Unix nanoseconds.
    pub created: i64,
    /// How far it is.
    pub progress: DeleteProgress,
}

/// How far a delete is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteProgress {
    /// Not begun.
    Received,
    /// Per cent of it carried out.
    Partly(u8),
    /// Carried out.
    Processed,
}

/// Why a delete request was not taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CancelError {
    /// There is none of that id.
    NotFound,
    /// It is too late; the text says why.
    TooLate(String),
    /// The store failed.
    Failed(String),
}

/// Rule groups that can be changed over the API. Calls may block on file I/O.
pub trait RulesStore: Send + Sync {
    /// All groups of a tenant by namespace, in order.
    ///
    /// # Errors
    /// [`RulesError`].
    fn all(&self, tenant: &Tenant) -> Result<BTreeMap<String, Vec<RuleGroup>>, RulesError>;
    /// Adds or replaces the group of that name in a namespace.
    ///
    /// # Errors
    /// [`RulesError`].
    fn put(&self, tenant: &Tenant, namespace: &str, group: &RuleGroup) -> Result<(), RulesError>;
    /// Removes a group; `false` when there is none.
    ///
    /// # Errors
    /// [`RulesError`].
    fn delete_group(&self, tenant: &Tenant, namespace: &str, group: &str) -> Result<bool, RulesError>;
    /// Removes a namespace; `false` when there is none.
    ///
    /// # Errors
    /// [`RulesError`].
    fn delete_namespace(&self, tenant: &Tenant, namespace: &str) -> Result<bool, RulesError>;
}

/// Why rules could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RulesError {
    /// Rule files are not to be changed over the API (`storage.type: local`); the text is shown.
    ReadOnly(String),
    /// The store failed.
    Failed(String),
}

/// State of a tenant's rules. Calls are quick.
pub trait RuleStatus: Send + Sync {
    /// Groups in order; the file of each is its namespace.
    fn groups(&self, tenant: &Tenant) -> Vec<GroupSnapshot>;
}

/// The process: configuration, services, log level. Calls are quick but for [`ProcessView::flush`].
pub trait ProcessView: Send + Sync {
    /// The configuration in effect as YAML, secrets hidden.
    fn config(&self) -> String;
    /// The defaults as YAML.
    fn default_config(&self) -> String;
    /// What of the configuration differs from the defaults, as YAML.
    fn config_diffs(&self) -> String;
    /// Limits of a tenant by key, as JSON: what `/config/tenant/v1/limits` publishes.
    fn published_limits(&self, tenant: &Tenant) -> serde_json::Map<String, serde_json::Value>;
    /// Parts of the process and their state (`Running`).
    fn services(&self) -> Vec<(String, String)>;
    /// `Ok`, or why requests cannot be served yet.
    ///
    /// # Errors
    /// The reason, shown by `/ready`.
    fn ready(&self) -> Result<(), String>;
    /// The level of the process's own log lines.
    fn log_level(&self) -> String;
    /// Sets that level (`debug`, `info`, `warn`, `error`).
    ///
    /// # Errors
    /// A text, when it cannot be set.
    fn set_log_level(&self, level: &str) -> Result<(), String>;
    /// Writes what is in memory to parts.
    ///
    /// # Errors
    /// A text, when that failed.
    fn flush(&self) -> Result<(), String>;
    /// Begins to shut down after a flush.
    fn shutdown(&self);
    /// Brings metrics that are read rather than counted up to date, before they are shown.
    fn refresh_metrics(&self);
    /// Versions; clients decide by the version what they ask for.
    fn build_info(&self) -> BuildInfo;
}

/// `/loki/api/v1/status/buildinfo`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "named as the API names them")]
pub struct BuildInfo {
    pub version: String,
    pub revision: String,
    pub branch: String,
    pub build_user: String,
    pub build_date: String,
    pub go_version: String,
}
