//! A DataFusion session of one query: the table, the functions, the limits, and nothing else.

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::SessionStateDefaults;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::functions;
use crate::memory::Budget;
use crate::planner::LogExprPlanner;
use crate::table::{LogsTable, QueryScope};

/// Functions that make much of little, which no pool would count, and those that tell of the machine.
const LEFT_OUT: &[&str] =
    &["array_repeat", "array_resize", "generate_series", "lpad", "range", "repeat", "rpad", "version"];

/// Makes the session.
///
/// # Errors
/// DataFusion's.
pub(crate) fn session(scope: Arc<QueryScope>, budget: Arc<Budget>, threads: usize) -> Result<SessionContext> {
    let mut config = SessionConfig::new()
        .with_target_partitions(threads)
        .with_information_schema(true)
        .with_default_catalog_and_schema("novaobs", "public");
    config.options_mut().execution.time_zone = Some("UTC".into());
    // Nothing is written to disk: a query that needs more memory than it may use ends.
    let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let runtime =
        RuntimeEnvBuilder::new().with_memory_pool(budget).with_disk_manager_builder(disk).build_arc()?;
    let mut planners: Vec<Arc<dyn ExprPlanner>> = vec![Arc::new(LogExprPlanner)];
    planners.extend(SessionStateDefaults::default_expr_planners());
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_expr_planners(planners)
        .with_scalar_functions(SessionStateDefaults::default_scalar_functions())
        .with_higher_order_functions(SessionStateDefaults::default_higher_order_functions())
        .with_aggregate_functions(SessionStateDefaults::default_aggregate_functions())
        .with_window_functions(SessionStateDefaults::default_window_functions())
        .build();
    let context = SessionContext::new_with_state(state);
    LEFT_OUT.iter().for_each(|name| context.deregister_udf(name));
    functions::all().into_iter().for_each(|function| context.register_udf((*function).clone()));
    context.register_table("logs", Arc::new(LogsTable(scope)))?;
    Ok(context)
}
