//! Requests to delete entries: in force for reads at once, applied to parts later.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use novaobs_model::Tenant;
use novaobs_model::logs::RowFilter;

use crate::filter::Deleted;
use crate::names;
use crate::store::Store;

/// Turns the query of a request into a filter; the error is for whoever asked.
pub type CompileFilter = Arc<dyn Fn(&str) -> Result<RowFilter, String> + Send + Sync>;

/// Entries that are to be deleted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeleteRequest {
    /// Its name, unique in the store.
    pub id: String,
    /// Whose.
    #[serde(with = "tenant_name")]
    pub tenant: Tenant,
    /// Which: a log query.
    pub query: String,
    /// Unix nanoseconds, inclusive.
    pub start: i64,
    /// Unix nanoseconds, exclusive.
    pub end: i64,
    /// Unix nanoseconds.
    pub created_at: i64,
    /// How far it is.
    pub status: DeleteStatus,
}

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeleteStatus {
    /// In force for reads.
    Received,
    /// No part has its entries any more. Entries that come later are not covered.
    Processed,
}

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// The query is not one that deletes can be told by.
    #[error("{0}")]
    Query(String),
    /// It could not be kept.
    #[error("cannot keep the delete request: {0}")]
    Io(#[from] io::Error),
    /// There is no such request.
    #[error("could not find delete request with given id")]
    Unknown,
    /// Its entries are gone already.
    #[error("the request was processed: its entries are gone")]
    Processed,
}

mod tenant_name {
    use novaobs_model::Tenant;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(tenant: &Tenant, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(tenant.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Tenant, D::Error> {
        Ok(Tenant::new(&String::deserialize(from)?))
    }
}

/// All requests.
#[derive(Default)]
pub(crate) struct Deletes {
    all: BTreeMap<String, (DeleteRequest, Option<Arc<Deleted>>)>,
    /// How often a tenant's deletes changed since the store was opened.
    generations: HashMap<Tenant, u64>,
}

impl Deletes {
    fn set(&mut self, request: DeleteRequest, deleted: Option<Arc<Deleted>>) {
        *self.generations.entry(request.tenant.clone()).or_default() += 1;
        self.all.insert(request.id.clone(), (request, deleted));
    }

    fn of(&self, tenant: &Tenant) -> impl Iterator<Item = &(DeleteRequest, Option<Arc<Deleted>>)> {
        self.all.values().filter(move |(request, _)| request.tenant == *tenant)
    }
}

/// Unix nanoseconds.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// A duration in nanoseconds.
pub(crate) fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl Store {
    /// Reads the requests in the bucket.
    pub(crate) fn load_deletes(&self) -> io::Result<()> {
        let mut found = Deletes::default();
        for object in self.bucket.list(&names::all_deletes())? {
            let bytes = match self.bucket.get(&object.key) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            match serde_json::from_slice::<DeleteRequest>(&bytes) {
                Ok(request) => {
                    let deleted = self.compile(&request).map_err(|error| {
                        tracing::error!(
                            request = request.id,
                            query = request.query,
                            "delete request has no effect, its query is not understood: {error}"
                        );
                    });
                    found.all.insert(request.id.clone(), (request, deleted.ok()));
                }
                Err(error) => tracing::error!(
                    object = object.key,
                    "delete request is damaged, it has no effect: {error}"
                ),
            }
        }
        let mut deletes = self.deletes.write();
        let same =
            |request: &DeleteRequest| found.all.get(&request.id).is_some_and(|(other, _)| other == request);
        let changed: Vec<Tenant> = deletes
            .all
            .values()
            .filter(|(request, _)| !same(request))
            .map(|(request, _)| request)
            .chain(
                found
                    .all
                    .values()
                    .map(|(request, _)| request)
                    .filter(|request| !deletes.all.contains_key(&request.id)),
            )
            .map(|request| request.tenant.clone())
            .collect();
        for tenant in changed {
            *deletes.generations.entry(tenant).or_default() += 1;
        }
        deletes.all = found.all;
        Ok(())
    }

    fn compile(&self, request: &DeleteRequest) -> Result<Arc<Deleted>, String> {
        let filter = (self.compile_filter)(&request.query)?;
        Ok(Arc::new(Deleted::new(&request.id, filter, request.start, request.end)))
    }

    pub(crate) fn add_delete(
        &self,
        tenant: &Tenant,
        query: &str,
        start: i64,
        end: i64,
    ) -> Result<DeleteRequest, DeleteError> {
        let id = format!("{:016x}", crate::partition::random());
        let status = DeleteStatus::Received;
        let request = DeleteRequest {
            id,
            tenant: tenant.clone(),
            query: query.to_owned(),
            start,
            end,
            created_at: now(),
            status,
        };
        let deleted = self.compile(&request).map_err(DeleteError::Query)?;
        self.save(&request)?;
        self.deletes.write().set(request.clone(), Some(deleted));
        Ok(request)
    }

    fn save(&self, request: &DeleteRequest) -> io::Result<()> {
        let json = serde_json::to_vec(request).map_err(io::Error::other)?;
        self.bucket.put(&names::delete(&request.tenant, &request.id), &json)
    }

    pub(crate) fn cancel_delete(&self, tenant: &Tenant, id: &str) -> Result<(), DeleteError> {
        let known =
            self.deletes.read().of(tenant).find(|(request, _)| request.id == id).map(|(r, _)| r.status);
        match known {
            None => return Err(DeleteError::Unknown),
            Some(DeleteStatus::Processed) => return Err(DeleteError::Processed),
            Some(DeleteStatus::Received) => {}
        }
        self.bucket.delete(&names::delete(tenant, id))?;
        let mut deletes = self.deletes.write();
        deletes.all.remove(id);
        *deletes.generations.entry(tenant.clone()).or_default() += 1;
        Ok(())
    }

    pub(crate) fn list_deletes(&self, tenant: &Tenant) -> Vec<DeleteRequest> {
        let mut all: Vec<_> = self.deletes.read().of(tenant).map(|(request, _)| request.clone()).collect();
        all.sort_by_key(|request| request.created_at);
        all
    }

    pub(crate) fn delete_generation(&self, tenant: &Tenant) -> u64 {
        self.deletes.read().generations.get(tenant).copied().unwrap_or(0)
    }

    /// Deletes that reads of `[first, last]` must heed.
    pub(crate) fn deletes_in_force(&self, tenant: &Tenant, first: i64, last: i64) -> Vec<Arc<Deleted>> {
        let deletes = self.deletes.read();
        let received = deletes.of(tenant).filter(|(request, _)| request.status == DeleteStatus::Received);
        received.filter_map(|(_, deleted)| deleted.clone()).filter(|one| one.overlaps(first, last)).collect()
    }

    /// Deletes of a tenant that are old enough to be applied to parts.
    pub(crate) fn deletes_due(&self, tenant: &Tenant) -> Vec<Arc<Deleted>> {
        let due = now().saturating_sub(nanos(self.settings.read().delete_delay));
        let deletes = self.deletes.read();
        let received = deletes
            .of(tenant)
            .filter(|(request, _)| request.status == DeleteStatus::Received && request.created_at <= due);
        received.filter_map(|(_, deleted)| deleted.clone()).collect()
    }

    /// Whether none of these was cancelled.
    pub(crate) fn still_wanted(&self, deletes: &[Arc<Deleted>]) -> bool {
        let all = self.deletes.read();
        deletes.iter().all(|one| all.all.contains_key(&one.id))
    }

    /// Takes deleted entries out of parts. The caller holds `merging`.
    pub(crate) fn apply_deletes(&self) -> io::Result<()> {
        let tenants: Vec<Tenant> =
            self.deletes.read().generations.keys().cloned().chain(self.tenants()).collect();
        let mut seen = std::collections::HashSet::new();
        for tenant in tenants.into_iter().filter(|tenant| seen.insert(tenant.clone())) {
            let due = self.deletes_due(&tenant);
            if due.is_empty() {
                continue;
            }
            let states: Vec<_> = self.view.read().of(&tenant).cloned().collect();
            for part in states.iter().flat_map(|state| &state.parts) {
                let info = &part.entry.info;
                let lacks = |one: &Arc<Deleted>| {
                    one.overlaps(info.first, info.last) && !part.entry.applied.contains(&one.id)
                };
                if due.iter().any(lacks) && !self.is_closing() {
                    self.rewrite(std::slice::from_ref(part), &[])?;
                }
            }
            for one in &due {
                self.finish_delete(&tenant, one)?;
            }
        }
        Ok(())
    }

    /// Marks a request as processed when nothing it covers is left.
    fn finish_delete(&self, tenant: &Tenant, one: &Arc<Deleted>) -> io::Result<()> {
        let left = {
            let view = self.view.read();
            let in_memory =
                view.memories.get(tenant).is_some_and(|m| m.within(one.start, one.end).next().is_some());
            in_memory
                || view.of(tenant).flat_map(|state| &state.parts).any(|part| {
                    one.overlaps(part.entry.info.first, part.entry.info.last)
                        && !part.entry.applied.contains(&one.id)
                })
        };
        let request = self.deletes.read().all.get(&one.id).map(|(request, _)| request.clone());
        if let Some(mut request) = request.filter(|_| !left) {
            request.status = DeleteStatus::Processed;
            self.save(&request)?;
            tracing::info!(
                tenant = tenant.as_str(),
                request = request.id,
                query = request.query,
                "deleted entries left the disk"
            );
            self.deletes.write().set(request, Some(one.clone()));
        }
        Ok(())
    }
}
