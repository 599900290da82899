//! `/api/v1/query` and `/api/v1/query_range`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::State;
use novaobs_model::QueryControl;
use novaobs_promql::{EvalTime, QueryError, QueryResult, QueryStats, Value};
use novaobs_promql_parser::ast::{Expr, ValueType};
use novaobs_promql_parser::parse;
use serde::Serialize;

use super::Api;
use super::envelope::{ApiError, ErrorKind, go_seconds, to_json};
use super::params::{Params, at_least_zero};
use super::result::QueryAnswer;

/// Most points of one series in a range query.
const MAX_POINTS: i128 = 11_000;
/// Most annotations of each kind in an answer.
const MAX_ANNOTATIONS: usize = 10;
pub(super) const TRUNCATED: &str = "results truncated due to limit";

/// `/api/v1/query`.
pub(super) async fn instant(State(api): State<Api>, params: Params) -> Result<QueryAnswer, ApiError> {
    let limit = params.limit()?;
    let time = params.time_or("time", now())?;
    let options = Options::read(&params)?;
    let expr = parse_query(&api, &params)?;
    run(&api, &params, expr, EvalTime::Instant(time), limit, options).await
}

/// `/api/v1/query_range`.
pub(super) async fn range(State(api): State<Api>, params: Params) -> Result<QueryAnswer, ApiError> {
    let limit = params.limit()?;
    let start = params.time("start")?;
    let end = params.time("end")?;
    if end < start {
        return Err(ApiError::parameter("end", "end timestamp must not be before start time"));
    }
    let step = params.duration("step").map_err(|reason| ApiError::parameter("step", reason))?;
    let step = match step {
        Some(step) if step > 0 => step,
        Some(_) => {
            let reason =
                "zero or negative query resolution step widths are not accepted. Try a positive integer";
            return Err(ApiError::parameter("step", reason));
        }
        None => return Err(ApiError::parameter("step", "cannot parse \"\" to a valid duration")),
    };
    let nanoseconds = (i128::from(end) - i128::from(start)) * 1_000_000;
    if nanoseconds / i128::from(step) > MAX_POINTS {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ));
    }
    let options = Options::read(&params)?;
    let expr = parse_query(&api, &params)?;
    let ty = expr.value_type();
    if !matches!(ty, ValueType::Scalar | ValueType::Vector) {
        let reason = format!(
            "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
            ty.describe()
        );
        return Err(ApiError::parameter("query", reason));
    }
    // Times are whole milliseconds everywhere: a shorter step is one.
    let step = (step / 1_000_000).max(1);
    run(&api, &params, expr, EvalTime::Range { start, end, step }, limit, options).await
}

/// What a query may be asked beside its text and time.
struct Options {
    timeout: Option<Duration>,
    lookback: Option<Duration>,
}

impl Options {
    fn read(params: &Params) -> Result<Self, ApiError> {
        let timeout = params.duration("timeout").map_err(|reason| ApiError::parameter("timeout", reason))?;
        let lookback = params.duration("lookback_delta").map_err(|reason| {
            ApiError::bad_data(format!("error parsing lookback delta duration: {reason}"))
        })?;
        let lookback = lookback.map(at_least_zero).filter(|lookback| !lookback.is_zero());
        Ok(Options { timeout: timeout.map(at_least_zero), lookback })
    }
}

fn parse_query(api: &Api, params: &Params) -> Result<Expr, ApiError> {
    parse(params.get("query"), api.state.language).map_err(|error| ApiError::parameter("query", error))
}

async fn run(
    api: &Api,
    params: &Params,
    expr: Expr,
    time: EvalTime,
    limit: usize,
    options: Options,
) -> Result<QueryAnswer, ApiError> {
    let began = Instant::now();
    let control = api.state.engine.control(options.timeout);
    let timeout = options.timeout.unwrap_or(Duration::MAX).min(api.state.engine.options().timeout);
    let _permit = match tokio::time::timeout(timeout, api.queries.acquire()).await {
        Ok(permit) => permit.map_err(|error| ApiError::new(ErrorKind::Internal, error.to_string()))?,
        Err(_) => return Err(ApiError::new(ErrorKind::Timeout, "query timed out in query queue")),
    };
    let queued = began.elapsed();
    let (engine, source) = (api.state.engine.clone(), api.state.source.clone());
    let text = params.get("query").to_owned();
    let mut result = blocking(control, move |control| {
        engine.query(source.as_ref(), &text, &expr, time, options.lookback, control).map_err(ApiError::from)
    })
    .await?;
    let mut warnings = annotations("warning", std::mem::take(&mut result.warnings));
    if truncate(&mut result.value, limit) {
        warnings.push(TRUNCATED.to_owned());
    }
    let asked = params.get("stats");
    if !matches!(asked, "" | "true" | "all") {
        let quoted = novaobs_model::labels::go_quote(asked);
        warnings.push(format!(
            "value {quoted} for parameter \"stats\" is deprecated and will be rejected in the next major release, use \"true\" or \"all\""
        ));
    }
    let infos = annotations("info", std::mem::take(&mut result.infos));
    let stats = if asked.is_empty() { None } else { stats_json(&result, time, began.elapsed(), queued) };
    Ok(QueryAnswer { value: result.value, stats, warnings: list_json(&warnings), infos: list_json(&infos) })
}

/// Runs work on a thread that may block. When the client goes away this future is dropped, and the work
/// is told to stop.
pub(super) async fn blocking<T: Send + 'static>(
    control: QueryControl,
    work: impl FnOnce(&QueryControl) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    struct CancelOnDrop(Arc<AtomicBool>);
    impl Drop for CancelOnDrop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let _guard = CancelOnDrop(control.cancel_flag());
    match tokio::task::spawn_blocking(move || work(&control)).await {
        Ok(result) => result,
        Err(error) => {
            tracing::error!("a query stopped unexpectedly: {error}");
            Err(ApiError::new(ErrorKind::Execution, "unexpected error while evaluating the query"))
        }
    }
}

/// Cuts a result to `limit` items (0: none); says whether something was cut.
fn truncate(value: &mut Value, limit: usize) -> bool {
    if limit == 0 {
        return false;
    }
    let before = match value {
        Value::Vector(samples) => {
            let before = samples.len();
            samples.truncate(limit);
            before
        }
        Value::Matrix(series) => {
            let before = series.len();
            series.truncate(limit);
            before
        }
        Value::Scalar(..) | Value::String(..) => 0,
    };
    before > limit
}

/// The first annotations of a kind, and how many more there are.
fn annotations(kind: &str, mut texts: Vec<String>) -> Vec<String> {
    let more = texts.len().saturating_sub(MAX_ANNOTATIONS);
    texts.truncate(MAX_ANNOTATIONS);
    if more > 0 {
        texts.push(format!("{more} more {kind} annotations omitted"));
    }
    texts
}

fn list_json(list: &[String]) -> Option<String> {
    if list.is_empty() {
        return None;
    }
    to_json(&list).ok().and_then(|bytes| String::from_utf8(bytes).ok())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Timings {
    #[serde(serialize_with = "go_seconds")]
    eval_total_time: Duration,
    #[serde(serialize_with = "go_seconds")]
    result_sort_time: Duration,
    #[serde(serialize_with = "go_seconds")]
    query_preparation_time: Duration,
    #[serde(serialize_with = "go_seconds")]
    inner_eval_time: Duration,
    #[serde(serialize_with = "go_seconds")]
    exec_queue_time: Duration,
    #[serde(serialize_with = "go_seconds")]
    exec_total_time: Duration,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Samples {
    total_queryable_samples: u64,
    /// Known for instant queries, which look at each sample once.
    #[serde(skip_serializing_if = "Option::is_none")]
    samples_read: Option<u64>,
    peak_samples: u64,
}

#[derive(Serialize)]
struct Stats {
    timings: Timings,
    samples: Samples,
}

/// The engine plans, evaluates and sorts in one stream, so all of that is evaluation.
fn stats_json(result: &QueryResult, time: EvalTime, total: Duration, queued: Duration) -> Option<String> {
    let evaluated = total.saturating_sub(queued);
    let QueryStats { total_queryable_samples, peak_samples } = result.stats;
    let samples_read = matches!(time, EvalTime::Instant(_)).then_some(total_queryable_samples);
    let stats = Stats {
        timings: Timings {
            eval_total_time: evaluated,
            result_sort_time: Duration::ZERO,
            query_preparation_time: Duration::ZERO,
            inner_eval_time: evaluated,
            exec_queue_time: queued,
            exec_total_time: total,
        },
        samples: Samples { total_queryable_samples, samples_read, peak_samples },
    };
    to_json(&stats).ok().and_then(|bytes| String::from_utf8(bytes).ok())
}

/// Unix milliseconds.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl From<novaobs_model::SelectError> for ApiError {
    fn from(error: novaobs_model::SelectError) -> Self {
        QueryError::from(error).into()
    }
}
