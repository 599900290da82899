//! The table `logs` of one tenant, for the length of one query.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use novaobs_model::logs::{LogSource, ScanStats, Tenant};
use novaobs_model::select::QueryControl;
use parking_lot::Mutex;

use crate::leaf::{TABLE, table_schema};
use crate::pushdown::pushed;
use crate::scan::{LogScanExec, Output, Test};

/// Where a query reads, and what it carries with it.
pub(crate) struct QueryScope {
    pub(crate) source: Arc<dyn LogSource>,
    pub(crate) tenant: Tenant,
    pub(crate) control: QueryControl,
    /// What all scans of the query did together.
    pub(crate) stats: Mutex<ScanStats>,
}

impl fmt::Debug for QueryScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryScope").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

/// The table.
#[derive(Debug)]
pub(crate) struct LogsTable(pub(crate) Arc<QueryScope>);

#[async_trait]
impl TableProvider for LogsTable {
    fn schema(&self) -> SchemaRef {
        table_schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let pushed = pushed(filters);
        let test = match conjunction(pushed.rest.clone()) {
            Some(rest) => {
                let schema = DFSchema::try_from(table_schema())?;
                Some(Test::new(state.create_physical_expr(rest, &schema)?)?)
            }
            None => None,
        };
        let schema = table_schema();
        let all: Vec<usize> = (0..TABLE.len()).collect();
        let outputs = projection.unwrap_or(&all).iter().filter_map(|at| {
            let name = schema.fields().get(*at)?.name().clone();
            Some(Output { leaf: TABLE.get(*at)?.clone(), name })
        });
        Ok(Arc::new(LogScanExec::new(self.0.clone(), pushed, test, outputs.collect(), limit)))
    }

    /// The scan tests every condition that it is given, with the store's help or alone.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match filter.is_volatile() {
            true => TableProviderFilterPushDown::Unsupported,
            false => TableProviderFilterPushDown::Exact,
        };
        Ok(filters.iter().map(support).collect())
    }
}
