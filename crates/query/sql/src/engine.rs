//! The engine: where queries run, and the stream that a query's rows come by.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SQLOptions;
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;
use novaobs_model::QueryControl;
use novaobs_model::logs::{LogSource, ScanStats, Tenant};
use novaobs_model::select::Interrupt;
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use crate::error::{SqlError, of_planning, of_running};
use crate::memory::Budget;
use crate::session::session;
use crate::statement;
use crate::table::QueryScope;

/// How often a running query is asked whether it must stop.
const TICK: Duration = Duration::from_millis(20);
/// Finished batches that wait for their reader.
const WAITING: usize = 2;
/// Stack of the engine's threads: long chains of operators are deep trees. Pages of it that are not used
/// cost nothing.
const STACK: usize = 64 << 20;

/// How queries run.
#[derive(Clone, Debug)]
pub struct SqlOptions {
    /// Threads for planning and operators; a query uses all of them.
    pub threads: usize,
    /// Most queries running at once; others wait, within their time.
    pub max_concurrency: usize,
}

impl Default for SqlOptions {
    fn default() -> Self {
        SqlOptions { threads: 2, max_concurrency: 16 }
    }
}

/// Runs SQL over the logs of a store.
pub struct SqlEngine {
    source: Arc<dyn LogSource>,
    threads: usize,
    places: Arc<Semaphore>,
    /// Taken when the engine is dropped.
    runtime: Option<Runtime>,
}

impl fmt::Debug for SqlEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlEngine").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Drop for SqlEngine {
    fn drop(&mut self) {
        // Where async code drops it, waiting for threads is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl SqlEngine {
    /// An engine over `source`.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub fn new(source: Arc<dyn LogSource>, options: SqlOptions) -> io::Result<Self> {
        let threads = options.threads.max(1);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("sql")
            .thread_stack_size(STACK)
            .enable_time()
            .build()?;
        let places = Arc::new(Semaphore::new(options.max_concurrency.max(1)));
        Ok(SqlEngine { source, threads, places, runtime: Some(runtime) })
    }

    /// Plans and starts a query; its rows come by the stream, whose drop ends it. So does the drop of this
    /// future.
    ///
    /// # Errors
    /// [`SqlError`] for what is wrong before the first row.
    pub async fn query(
        &self,
        tenant: &Tenant,
        sql: &str,
        control: QueryControl,
    ) -> Result<BatchStream, SqlError> {
        let (schema_sender, schema) = oneshot::channel();
        let (sender, receiver) = mpsc::channel(WAITING);
        let cancel = CancelOnDrop(control.cancel_flag());
        let scope = Arc::new(QueryScope {
            source: self.source.clone(),
            tenant: tenant.clone(),
            control,
            stats: Mutex::default(),
        });
        let run = Run { scope: scope.clone(), threads: self.threads, places: self.places.clone() };
        let gone = || SqlError::Internal("the engine has ended".to_owned());
        let runtime = self.runtime.as_ref().ok_or_else(gone)?;
        runtime.spawn(run.query(sql.to_owned(), schema_sender, sender));
        match schema.await {
            Ok(schema) => {
                Ok(BatchStream { schema: schema?, receiver, scope, finished: false, _cancel: cancel })
            }
            Err(_) => Err(SqlError::Internal("planning it failed".to_owned())),
        }
    }
}

/// What a query sends.
enum Sent {
    Rows(RecordBatch),
    Failed(SqlError),
    /// There are no more rows.
    End,
}

/// The rows of a query.
pub struct BatchStream {
    schema: SchemaRef,
    receiver: mpsc::Receiver<Sent>,
    scope: Arc<QueryScope>,
    finished: bool,
    _cancel: CancelOnDrop,
}

impl fmt::Debug for BatchStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchStream").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl BatchStream {
    /// Names and types of the columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next rows; `None` at the end and after an error.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, SqlError>> {
        if self.finished {
            return None;
        }
        let sent = self.receiver.recv().await;
        self.finished = !matches!(sent, Some(Sent::Rows(_)));
        match sent {
            Some(Sent::Rows(rows)) => Some(Ok(rows)),
            Some(Sent::Failed(error)) => Some(Err(error)),
            Some(Sent::End) => None,
            // Neither rows nor an end: the task is gone.
            None => Some(Err(SqlError::Internal("an operator failed".to_owned()))),
        }
    }

    /// What scans did that have ended; all of it at the end of the stream.
    pub fn stats(&self) -> ScanStats {
        *self.scope.stats.lock()
    }
}

struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A query on its way.
struct Run {
    scope: Arc<QueryScope>,
    threads: usize,
    places: Arc<Semaphore>,
}

impl Run {
    /// Tells the schema or why there is none, then sends the rows.
    async fn query(
        self,
        sql: String,
        schema: oneshot::Sender<Result<SchemaRef, SqlError>>,
        sender: mpsc::Sender<Sent>,
    ) {
        let control = &self.scope.control;
        let planned = until_stopped(control, async {
            let place = self.places.acquire().await.map_err(|error| SqlError::Internal(error.to_string()))?;
            Ok((place, self.plan(&sql).await?))
        });
        let (_place, (rows, budget)) = match planned.await {
            Ok(planned) => planned,
            Err(error) => {
                // Nobody listens: the caller has gone.
                let _ = schema.send(Err(error));
                return;
            }
        };
        if schema.send(Ok(rows.schema())).is_err() {
            return;
        }
        let sent = until_stopped(control, send_all(rows, &budget, &sender)).await;
        let last = sent.map_or_else(Sent::Failed, |()| Sent::End);
        let _ = sender.send(last).await;
    }

    async fn plan(&self, sql: &str) -> Result<(SendableRecordBatchStream, Arc<Budget>), SqlError> {
        let statement = statement::read(sql)?;
        let budget = Arc::new(Budget::new(self.scope.control.pool())?);
        let session =
            session(self.scope.clone(), budget.clone(), self.threads).map_err(|e| of_planning(&e))?;
        let state = session.state();
        let plan = state.statement_to_plan(statement).await.map_err(|error| of_planning(&error))?;
        // A second lock on the door that `statement` shut.
        let only_reads =
            SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        only_reads.verify_plan(&plan).map_err(|error| SqlError::Forbidden(error.strip_backtrace()))?;
        let plan = state.create_physical_plan(&plan).await.map_err(|error| of_planning(&error))?;
        let rows = execute_stream(plan, session.task_ctx()).map_err(|e| of_running(&e, budget.refused()))?;
        Ok((rows, budget))
    }
}

async fn send_all(
    mut rows: SendableRecordBatchStream,
    budget: &Budget,
    sender: &mpsc::Sender<Sent>,
) -> Result<(), SqlError> {
    while let Some(batch) = rows.next().await {
        let batch = batch.map_err(|error| of_running(&error, budget.refused()))?;
        if batch.num_rows() > 0 && sender.send(Sent::Rows(batch)).await.is_err() {
            return Err(SqlError::Interrupted(Interrupt::Canceled));
        }
    }
    Ok(())
}

/// Runs `work`, asking between its steps whether the query must stop.
async fn until_stopped<T>(
    control: &QueryControl,
    work: impl Future<Output = Result<T, SqlError>>,
) -> Result<T, SqlError> {
    let mut work = pin!(work);
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = tick.tick() => control.check().map_err(SqlError::Interrupted)?,
            done = &mut work => return done,
        }
    }
}
