//! The physical scan of logs: asks the store for what the query reads, and makes columns of it.
//!
//! The optimiser moves projections of `labels['a']`, `field(line, 'b')` and the like down to the scan, which
//! takes them in ([`Leaf::of`]): the store then gives these values alone, and neither lines nor label sets
//! are put together. Sorts by time ask for an order of batches, and a sort with a limit tells while it runs
//! which times can still matter.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{filter_record_batch, prep_null_mask_filter};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_expr_common::physical_expr::{snapshot_generation, snapshot_physical_expr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::expressions::{BinaryExpr, Column, IsNullExpr, Literal};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sort_pushdown::SortOrderPushdownResult;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, ReplaceChildrenOptions,
};
use novaobs_model::logs::{LogBatch, LogScan, Order, ScanStats};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::columns::Columns;
use crate::error::{SqlError, carry};
use crate::leaf::{Leaf, TABLE, wanted};
use crate::pushdown::{Pushed, bounds, nanoseconds};
use crate::table::QueryScope;

/// Batches that wait between the thread that reads and the query.
const WAITING: usize = 2;

/// A column of the scan's result.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) leaf: Leaf,
    pub(crate) name: String,
}

/// A condition on rows, over columns of its own.
#[derive(Clone, Debug)]
pub(crate) struct Test {
    leaves: Vec<Leaf>,
    /// Over `leaves`.
    condition: Arc<dyn PhysicalExpr>,
}

impl Test {
    /// Takes a condition over the columns of the table.
    pub(crate) fn new(condition: Arc<dyn PhysicalExpr>) -> Result<Self> {
        let mut leaves: Vec<Leaf> = Vec::new();
        let condition = condition
            .transform_down(|expr| {
                let Some(leaf) = Leaf::of(&expr, &TABLE) else { return Ok(Transformed::no(expr)) };
                let known = leaves.iter().position(|other| *other == leaf);
                let at = known.unwrap_or_else(|| {
                    leaves.push(leaf.clone());
                    leaves.len() - 1
                });
                let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(&leaf.to_string(), at));
                Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
            })
            .data()?;
        Ok(Test { leaves, condition })
    }
}

/// The scan.
#[derive(Clone, Debug)]
pub(crate) struct LogScanExec {
    scope: Arc<QueryScope>,
    pushed: Arc<Pushed>,
    test: Option<Test>,
    outputs: Vec<Output>,
    order: Order,
    limit: Option<usize>,
    /// Conditions over the outputs that become tighter while the query runs; rows that fail are not needed.
    dynamic: Vec<Arc<dyn PhysicalExpr>>,
    properties: Arc<PlanProperties>,
}

impl LogScanExec {
    pub(crate) fn new(
        scope: Arc<QueryScope>,
        pushed: Pushed,
        test: Option<Test>,
        outputs: Vec<Output>,
        limit: Option<usize>,
    ) -> Self {
        let properties = properties(&outputs);
        let (pushed, order, dynamic) = (Arc::new(pushed), Order::Any, Vec::new());
        LogScanExec { scope, pushed, test, outputs, order, limit, dynamic, properties }
    }

    /// What the store is asked for.
    fn request(&self) -> LogScan {
        let tested = self.test.iter().flat_map(|test| &test.leaves);
        let leaves: Vec<Leaf> =
            tested.chain(self.outputs.iter().map(|output| &output.leaf)).cloned().collect();
        let pushed = self.pushed.as_ref();
        LogScan {
            tenant: self.scope.tenant.clone(),
            start: pushed.start,
            end: pushed.end,
            matchers: pushed.matchers.clone(),
            lines: pushed.lines.clone(),
            fields: pushed.fields.clone(),
            columns: wanted(&leaves),
            order: self.order,
        }
    }
}

fn properties(outputs: &[Output]) -> Arc<PlanProperties> {
    let field = |output: &Output| Field::new(&output.name, output.leaf.data_type(), output.leaf.nullable());
    let schema: SchemaRef = Arc::new(Schema::new(outputs.iter().map(field).collect::<Vec<_>>()));
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(schema),
        Partitioning::UnknownPartitioning(1),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
}

impl DisplayAs for LogScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scan = self.request();
        write!(f, "LogScan: columns=[")?;
        for (at, output) in self.outputs.iter().enumerate() {
            write!(f, "{}{}", if at > 0 { ", " } else { "" }, output.leaf)?;
        }
        write!(f, "]")?;
        if scan.start != i64::MIN {
            write!(f, ", from={}", scan.start)?;
        }
        if scan.end != i64::MAX {
            write!(f, ", to={}", scan.end)?;
        }
        for matcher in &scan.matchers {
            write!(f, ", {matcher}")?;
        }
        if !scan.lines.is_empty() {
            write!(f, ", line tests={}", scan.lines.len())?;
        }
        for test in &scan.fields {
            write!(f, ", hint={:?} {}", test.field.source, test.field.name)?;
        }
        if let Some(test) = &self.test {
            write!(f, ", filter={}", test.condition)?;
        }
        match self.order {
            Order::Any => {}
            order => write!(f, ", order={order:?}")?,
        }
        self.limit.map_or(Ok(()), |limit| write!(f, ", limit={limit}"))
    }
}

impl ExecutionPlan for LogScanExec {
    fn name(&self) -> &str {
        "LogScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        each: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for expr in &self.dynamic {
            if each(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _partition: usize, _context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let state = State::Waiting(Box::new(self.clone()));
        let stream = futures::stream::unfold(state, State::next);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream)))
    }

    fn fetch(&self) -> Option<usize> {
        self.limit
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        Some(Arc::new(LogScanExec { limit, ..self.clone() }))
    }

    fn supports_limit_pushdown(&self) -> bool {
        false
    }

    fn try_swapping_with_projection(
        &self,
        projection: &ProjectionExec,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if !self.dynamic.is_empty() {
            return Ok(None);
        }
        let input: Vec<Leaf> = self.outputs.iter().map(|output| output.leaf.clone()).collect();
        let output = |expr: &datafusion::physical_expr::projection::ProjectionExpr| {
            Some(Output { leaf: Leaf::of(&expr.expr, &input)?, name: expr.alias.clone() })
        };
        let Some(outputs) = projection.expr().iter().map(output).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        let properties = properties(&outputs);
        Ok(Some(Arc::new(LogScanExec { outputs, properties, ..self.clone() })))
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let unsupported = vec![PushedDown::No; result.parent_filters.len()];
        let propagation = FilterPushdownPropagation::with_parent_pushdown_result(unsupported);
        if phase == FilterPushdownPhase::Pre {
            return Ok(propagation);
        }
        let filters = result.parent_filters.into_iter().map(|parent| parent.filter);
        let dynamic: Vec<_> = filters.filter(|filter| snapshot_generation(filter) != 0).collect();
        if dynamic.is_empty() {
            return Ok(propagation);
        }
        Ok(propagation.with_updated_node(Arc::new(LogScanExec { dynamic, ..self.clone() })))
    }

    fn try_pushdown_sort(
        &self,
        by: &[PhysicalSortExpr],
    ) -> Result<SortOrderPushdownResult<Arc<dyn ExecutionPlan>>> {
        let first = by.first().and_then(|sort| {
            let column = sort.expr.downcast_ref::<Column>()?;
            let output = self.outputs.get(column.index())?;
            (output.leaf == Leaf::Timestamp).then_some(sort.options.descending)
        });
        Ok(match first {
            Some(descending) => {
                let order = if descending { Order::Newest } else { Order::Oldest };
                SortOrderPushdownResult::Inexact { inner: Arc::new(LogScanExec { order, ..self.clone() }) }
            }
            None => SortOrderPushdownResult::Unsupported,
        })
    }
}

type Sent = Result<RecordBatch, SqlError>;

/// A scan as a stream: it begins when it is first asked, on a thread that may block.
enum State {
    Waiting(Box<LogScanExec>),
    Running(mpsc::Receiver<Sent>, JoinHandle<()>),
    Done,
}

impl State {
    async fn next(self) -> Option<(Result<RecordBatch>, State)> {
        let (mut receiver, thread) = match self {
            State::Waiting(scan) => {
                let (sender, receiver) = mpsc::channel(WAITING);
                (receiver, tokio::task::spawn_blocking(move || scan.run(&sender)))
            }
            State::Running(receiver, thread) => (receiver, thread),
            State::Done => return None,
        };
        match receiver.recv().await {
            Some(Ok(batch)) => Some((Ok(batch), State::Running(receiver, thread))),
            Some(Err(error)) => Some((Err(carry(error)), State::Done)),
            None => match thread.await {
                Ok(()) => None,
                Err(error) => Some((Err(carry(SqlError::Internal(error.to_string()))), State::Done)),
            },
        }
    }
}

impl LogScanExec {
    /// Sends all batches; ends early when nobody receives them.
    fn run(&self, sender: &mpsc::Sender<Sent>) {
        if let Err(error) = self.scan(sender) {
            // Nobody to tell: the query is gone.
            let _ = sender.blocking_send(Err(error));
        }
    }

    fn scan(&self, sender: &mpsc::Sender<Sent>) -> Result<(), SqlError> {
        let request = self.request();
        if request.start >= request.end || self.limit == Some(0) {
            return Ok(());
        }
        let scope = &self.scope;
        let columns = Columns::new(request.columns.fields.clone());
        let mut bound = Bound::new(&self.dynamic, &self.outputs);
        let mut left = self.limit.unwrap_or(usize::MAX);
        let mut cursor = scope.source.scan(&request, &scope.control)?;
        let mut outcome = Ok(());
        while left > 0 && !sender.is_closed() {
            if let Some((start, end)) = bound.tightened() {
                cursor.bound(start.max(request.start), end.min(request.end));
            }
            match cursor.next().map_err(SqlError::from).and_then(|batch| match batch {
                Some(batch) => self.rows(&columns, &batch).map(Some),
                None => Ok(None),
            }) {
                Ok(None) => break,
                Ok(Some(rows)) => {
                    let rows = rows.slice(0, rows.num_rows().min(left));
                    left -= rows.num_rows();
                    if rows.num_rows() > 0 && sender.blocking_send(Ok(rows)).is_err() {
                        break;
                    }
                }
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        add(&mut scope.stats.lock(), cursor.stats());
        outcome
    }

    /// The wanted columns of the rows of a batch that pass.
    fn rows(&self, columns: &Columns, batch: &LogBatch) -> Result<RecordBatch, SqlError> {
        let failed = |error: ArrowError| SqlError::Execution(error.to_string());
        let mut built: Vec<(&Leaf, ArrayRef)> = Vec::new();
        let mask = match &self.test {
            Some(test) => {
                let mask = self.mask(test, columns, batch, &mut built)?;
                if mask.true_count() == 0 {
                    return Ok(RecordBatch::new_empty(self.schema()));
                }
                Some(mask)
            }
            None => None,
        };
        let mut arrays = Vec::with_capacity(self.outputs.len());
        for output in &self.outputs {
            let known = built.iter().find(|(leaf, _)| **leaf == output.leaf);
            arrays.push(match known {
                Some((_, array)) => array.clone(),
                None => columns.build(batch, &output.leaf).map_err(failed)?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.timestamps.len()));
        let rows = RecordBatch::try_new_with_options(self.schema(), arrays, &options).map_err(failed)?;
        match mask {
            Some(mask) if mask.true_count() < rows.num_rows() => {
                filter_record_batch(&rows, &mask).map_err(failed)
            }
            _ => Ok(rows),
        }
    }

    /// Which rows of a batch pass; keeps the columns it needed in `built`.
    fn mask<'a>(
        &self,
        test: &'a Test,
        columns: &Columns,
        batch: &LogBatch,
        built: &mut Vec<(&'a Leaf, ArrayRef)>,
    ) -> Result<BooleanArray, SqlError> {
        let failed = |error: ArrowError| SqlError::Execution(error.to_string());
        let mut fields = Vec::with_capacity(test.leaves.len());
        for leaf in &test.leaves {
            fields.push(Field::new(leaf.to_string(), leaf.data_type(), leaf.nullable()));
            built.push((leaf, columns.build(batch, leaf).map_err(failed)?));
        }
        let arrays = built.iter().map(|(_, array)| array.clone()).collect();
        let rows = batch.timestamps.len();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let tested = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options);
        let value =
            test.condition.evaluate(&tested.map_err(failed)?).and_then(|value| value.into_array(rows));
        let value = value.map_err(|error| crate::error::of_running(&error, None))?;
        let mask = value.as_boolean_opt().cloned();
        let mask = mask.ok_or_else(|| SqlError::Internal("a condition that is not a boolean".to_owned()))?;
        // NULL is not true.
        Ok(if arrow::array::Array::null_count(&mask) > 0 { prep_null_mask_filter(&mask) } else { mask })
    }
}

/// The times that can still matter, as conditions tell that change while the query runs.
struct Bound<'s> {
    dynamic: &'s [Arc<dyn PhysicalExpr>],
    outputs: &'s [Output],
    seen: u64,
}

impl<'s> Bound<'s> {
    fn new(dynamic: &'s [Arc<dyn PhysicalExpr>], outputs: &'s [Output]) -> Self {
        Bound { dynamic, outputs, seen: 0 }
    }

    /// Start and end (exclusive), when they changed.
    fn tightened(&mut self) -> Option<(i64, i64)> {
        let generation = self.dynamic.iter().map(snapshot_generation).fold(0, u64::wrapping_add);
        if self.dynamic.is_empty() || generation == self.seen {
            return None;
        }
        self.seen = generation;
        let snapshots = self.dynamic.iter().filter_map(|expr| snapshot_physical_expr(expr.clone()).ok());
        let all = snapshots.filter_map(|expr| self.times(&expr));
        let (first, last) = all.reduce(|(first, last), (f, l)| (i64::max(first, f), i64::min(last, l)))?;
        Some((first, last.saturating_add(1)))
    }

    /// The first and last time a condition lets through.
    fn times(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<(i64, i64)> {
        let binary = expr.downcast_ref::<BinaryExpr>()?;
        match binary.op() {
            Operator::And => match (self.times(binary.left()), self.times(binary.right())) {
                (Some((first, last)), Some((f, l))) => Some((first.max(f), last.min(l))),
                (one, other) => one.or(other),
            },
            // Sorts by several columns: later, or equal and something else.
            Operator::Or if self.never(binary.left()) => self.times(binary.right()),
            Operator::Or => {
                let ((first, last), (f, l)) = (self.times(binary.left())?, self.times(binary.right())?);
                Some((first.min(f), last.max(l)))
            }
            op => {
                let column = binary.left().downcast_ref::<Column>()?;
                let output = self.outputs.get(column.index())?;
                let value: &ScalarValue = binary.right().downcast_ref::<Literal>()?.value();
                (output.leaf == Leaf::Timestamp).then(|| bounds(*op, nanoseconds(value)?)).flatten()
            }
        }
    }

    /// Whether a condition is that something is absent which never is.
    fn never(&self, expr: &Arc<dyn PhysicalExpr>) -> bool {
        let inner = expr.downcast_ref::<IsNullExpr>().and_then(|null| null.arg().downcast_ref::<Column>());
        let leaf = inner.and_then(|column| self.outputs.get(column.index()));
        leaf.is_some_and(|output| !output.leaf.nullable())
    }
}

/// Adds what one scan did to what others did.
fn add(sum: &mut ScanStats, more: ScanStats) {
    sum.parts += more.parts;
    sum.parts_skipped += more.parts_skipped;
    sum.blocks += more.blocks;
    sum.blocks_skipped += more.blocks_skipped;
    sum.rows += more.rows;
    sum.bytes += more.bytes;
    sum.bytes_read += more.bytes_read;
    sum.memory_rows += more.memory_rows;
    sum.memory_bytes += more.memory_bytes;
}
