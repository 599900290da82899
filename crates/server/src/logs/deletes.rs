//! Deletes of log lines by query: between the API and the store.

use std::sync::Arc;
use std::time::Duration;

use novaobs_api::loki::{CancelError, DeleteProgress, DeleteRequest, DeleteStatus, DeleteView};
use novaobs_events::{DeleteError, Events};
use novaobs_log_pipeline::Pipeline;
use novaobs_model::Tenant;
use novaobs_model::logs::{RowFilter, RowView};
use parking_lot::RwLock;

use super::now;

/// Understands the query of a delete: a selector, and behind it any pipeline.
///
/// # Errors
/// What is wrong with it.
pub(super) fn compile(query: &str) -> Result<RowFilter, String> {
    let log = novaobs_logql_parser::parse_log(query).map_err(|error| error.to_string())?;
    let pipeline = Pipeline::compile(&log.stages, None).map_err(|error| error.to_string())?;
    let lines = pipeline.line_tests().to_vec();
    // Leading line filters are tested by the store itself; only what follows needs the pipeline.
    if pipeline.line_test_stages() == log.stages.len() {
        return Ok(RowFilter { matchers: log.matchers, lines, rest: None });
    }
    let rest = move |row: &RowView<'_>| {
        pipeline.stream(row.labels).run(row.timestamp, row.line, row.metadata.iter().copied()).is_some()
    };
    Ok(RowFilter { matchers: log.matchers, lines, rest: Some(Arc::new(rest)) })
}

/// The store's deletes as the API sees them.
pub(super) struct StoreDeletes {
    /// The store.
    pub store: Arc<Events>,
    /// How long a request can be taken back; `compactor.delete_request_cancel_period`.
    pub cancel_period: RwLock<Duration>,
}

impl DeleteView for StoreDeletes {
    fn add(&self, tenant: &Tenant, request: &DeleteRequest) -> Result<String, String> {
        // The API's end is in the range, the store's is not.
        let end = request.end.saturating_add(1);
        let kept = self.store.add_delete(tenant, &request.query, request.start, end);
        kept.map(|kept| kept.id).map_err(|error| error.to_string())
    }

    fn list(&self, tenant: &Tenant) -> Result<Vec<DeleteStatus>, String> {
        let status = |kept: novaobs_events::DeleteRequest| DeleteStatus {
            id: kept.id,
            request: DeleteRequest { query: kept.query, start: kept.start, end: kept.end.saturating_sub(1) },
            created: kept.created_at,
            progress: match kept.status {
                novaobs_events::DeleteStatus::Processed => DeleteProgress::Processed,
                novaobs_events::DeleteStatus::Received => DeleteProgress::Received,
            },
        };
        Ok(self.store.deletes(tenant).into_iter().map(status).collect())
    }

    fn cancel(&self, tenant: &Tenant, id: &str, force: bool) -> Result<(), CancelError> {
        let request = self.store.deletes(tenant).into_iter().find(|request| request.id == id);
        let request = request.ok_or(CancelError::NotFound)?;
        let age = now().saturating_sub(request.created_at);
        if !force && age > self.cancel_period.read().as_nanos() as i64 {
            let period = novaobs_model::duration::format(*self.cancel_period.read());
            return Err(CancelError::TooLate(format!(
                "deletion of request past the deadline of {period} since its creation is not allowed"
            )));
        }
        self.store.cancel_delete(tenant, id).map_err(|error| match error {
            DeleteError::Unknown => CancelError::NotFound,
            DeleteError::Processed => CancelError::TooLate(
                "deletion of request which is in process or already processed is not allowed".to_owned(),
            ),
            error => CancelError::Failed(error.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use novaobs_model::Labels;

    #[test]
    fn deletes_are_filters_of_lines_and_whatever_follows() {
        let plain = compile(r#"{app="x"} |= "secret""#).unwrap();
        assert_eq!((plain.matchers.len(), plain.lines.len(), plain.rest.is_none()), (1, 1, true));
        let piped = compile(r#"{app="x"} |= "secret" | json | level="debug""#).unwrap();
        let labels = Labels::from_pairs([("app", "x")]);
        let row = |line: &'static str| RowView { labels: &labels, timestamp: 1, line, metadata: &[] };
        let rest = piped.rest.unwrap();
        assert!(rest(&row(r#"{"level":"debug","m":"secret"}"#)));
        assert!(!rest(&row(r#"{"level":"info","m":"secret"}"#)));
        assert!(compile("count_over_time({app=\"x\"}[5m])").is_err());
    }
}
