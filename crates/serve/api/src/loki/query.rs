//! `/loki/api/v1/query` and `/loki/api/v1/query_range`, with pages.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use novaobs_logql::{Answer, Query, QueryLimits, Series, Stats, Value};
use novaobs_logql_parser::{Expr, parse};
use novaobs_model::{Labels, LogSource, QueryControl, Tenant};
use novaobs_tenants::Limits;

use super::Api;
use super::error::ApiError;
use super::params::{Direction, Params, Range, now, parse_time};
use super::result::{QueryAnswer, Rows, encoding_flags};
use super::run::{Done, limits_of, run};
use super::selector::{
    align, check_blocked, check_length, check_selectors, length, whole_step, within_lookback,
};
use super::stats::Statistics;
use super::tenancy::Asked;

/// `/loki/api/v1/query`.
pub(super) async fn instant(State(api): State<Api>, asked: Asked) -> Result<QueryAnswer, ApiError> {
    let Asked { tenant, params, headers } = asked;
    let limit = params.limit()?;
    let time = params.time_or("time", now()).map_err(ApiError::bad)?;
    let direction = params.direction()?;
    let text = params.get("query");
    let expr = parse(text)?;
    if matches!(expr, Expr::Log(_)) {
        return Err(ApiError::bad(
            "log queries are not supported as an instant query type, please change your query to a range query type",
        ));
    }
    let limits = limits_of(&api, &tenant, &headers);
    // The peer checks selectors and windows of range queries alone.
    check_policy(text, &expr, &limits, &headers)?;
    let at = Range { start: time, end: time };
    let Some(_) = within_lookback(at, &limits, now()) else {
        return Ok(empty(Value::Vector(Vec::new())));
    };
    let query = Query {
        tenant: tenant.clone(),
        expr,
        start: time,
        end: time,
        step: 0,
        interval: 0,
        limit,
        newest_first: direction == Direction::Backward,
        limits: query_limits(&limits),
    };
    let done = run(&api, &tenant, &limits, move |source, control| ask(source, &query, control)).await?;
    Ok(answer(done, Vec::new(), direction, time, None))
}

/// What `/loki/api/v1/query_range` and its legacy form ask.
pub(super) struct RangeRequest {
    pub(super) text: String,
    pub(super) expr: Expr,
    pub(super) range: Range,
    pub(super) step: i64,
    pub(super) interval: i64,
    pub(super) limit: usize,
    pub(super) direction: Direction,
}

impl RangeRequest {
    /// Reads the parameters; `text` is the query.
    pub(super) fn read(params: &Params, text: String) -> Result<Self, ApiError> {
        let range = params.ordered_range(now())?;
        let limit = params.limit()?;
        let direction = params.direction()?;
        let step = params.step(range)?;
        let interval = params.interval()?;
        let expr = parse(&text)?;
        Ok(RangeRequest { text, expr, range, step, interval, limit, direction })
    }

    /// Checks the limits and makes an engine's query of it; `None` when the tenant may see nothing of the
    /// range.
    pub(super) fn query(
        self,
        tenant: &Tenant,
        limits: &Limits,
        headers: &HeaderMap,
    ) -> Result<Option<Query>, ApiError> {
        let is_log = matches!(self.expr, Expr::Log(_));
        let most = limits.max_entries_limit_per_query;
        if is_log && most > 0 && self.limit > most {
            return Err(ApiError::bad(format!(
                "max entries limit per query exceeded, limit > max_entries_limit_per_query ({} > {most})",
                self.limit
            )));
        }
        let step = whole_step(self.step);
        let whole = if is_log { self.range } else { align(self.range, step) };
        check_policy(&self.text, &self.expr, limits, headers)?;
        check_selectors(&self.expr, limits)?;
        check_length(length(&self.expr, whole), limits)?;
        let Some(seen) = within_lookback(whole, limits, now()) else { return Ok(None) };
        let range = if is_log { seen } else { align(seen, step) };
        Ok(Some(Query {
            tenant: tenant.clone(),
            expr: self.expr,
            start: range.start,
            end: range.end,
            step: if is_log { 0 } else { step },
            interval: self.interval,
            limit: self.limit,
            newest_first: self.direction == Direction::Backward,
            limits: query_limits(limits),
        }))
    }
}

/// `/loki/api/v1/query_range`.
pub(super) async fn range(State(api): State<Api>, asked: Asked) -> Result<QueryAnswer, ApiError> {
    let Asked { tenant, params, headers } = asked;
    let request = RangeRequest::read(&params, params.get("query").to_owned())?;
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepts.contains("application/vnd.apache.parquet") {
        return Err(ApiError::bad(
            "support for Parquet encoded responses is disabled. Enable with -frontend.support-parquet-encoding=true",
        ));
    }
    let limits = limits_of(&api, &tenant, &headers);
    let (direction, flags) = (request.direction, encoding_flags(&headers));
    let is_log = matches!(request.expr, Expr::Log(_));
    let page = params.all("cursor").next().map(str::to_owned).filter(|_| is_log);
    let Some(mut query) = request.query(&tenant, &limits, &headers)? else {
        let none = if is_log { Value::Streams(Vec::new()) } else { Value::Matrix(Vec::new()) };
        return Ok(QueryAnswer { flags, ..empty(none) });
    };
    let Some(cursor) = page else {
        let (start, end, step) = (query.start, query.end, query.step);
        let mut done =
            run(&api, &tenant, &limits, move |source, control| ask(source, &query, control)).await?;
        if let Value::Scalar(value) = done.value.value {
            done.value.value = constant(value, start, end, step);
        }
        return Ok(answer(done, flags, direction, start, None));
    };
    go_on(&mut query, &cursor)?;
    let done = run(&api, &tenant, &limits, move |source, control| ask_page(source, query, control)).await?;
    let Done { value: (value, next), queued, ran } = done;
    Ok(answer(Done { value, queued, ran }, flags, direction, 0, next))
}

/// Refuses what operators blocked; logs queries with tags.
fn check_policy(text: &str, expr: &Expr, limits: &Limits, headers: &HeaderMap) -> Result<(), ApiError> {
    let tags = headers.get("X-Query-Tags").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !tags.is_empty() {
        tracing::debug!(query = text, tags = sanitized(tags), "a query with tags");
    }
    check_blocked(text, expr, limits, tags)
}

/// Tags as they may be logged.
fn sanitized(tags: &str) -> String {
    let kept = |c: char| c.is_ascii_alphanumeric() || "-=.@, ".contains(c);
    tags.chars().map(|c| if kept(c) { c } else { '_' }).collect()
}

pub(super) fn query_limits(limits: &Limits) -> QueryLimits {
    let bytes = [limits.max_query_bytes_read, limits.max_querier_bytes_read];
    QueryLimits {
        max_series: limits.max_query_series,
        max_bytes_read: bytes.into_iter().filter(|bytes| *bytes > 0).min().unwrap_or(0),
    }
}

pub(super) fn ask(source: &dyn LogSource, query: &Query, control: &QueryControl) -> Result<Answer, ApiError> {
    novaobs_logql::run(source, query, control).map_err(ApiError::from)
}

/// A number at every step.
fn constant(value: f64, start: i64, end: i64, step: i64) -> Value {
    let times = (0..).map_while(|at: i64| {
        let time = start.checked_add(at.checked_mul(step.max(1))?)?;
        (time <= end).then_some(time)
    });
    let points = times.map(|time| (time, value)).collect();
    Value::Matrix(vec![Series { labels: Labels::empty(), points }])
}

fn empty(value: Value) -> QueryAnswer {
    let answer = Answer { value, stats: Stats::default(), warnings: Vec::new() };
    let done = Done { value: answer, queued: Default::default(), ran: Default::default() };
    self::answer(done, Vec::new(), Direction::Backward, 0, None)
}

fn answer(
    done: Done<Answer>,
    flags: Vec<String>,
    direction: Direction,
    time: i64,
    cursor: Option<String>,
) -> QueryAnswer {
    let Done { value: Answer { value, stats, warnings }, queued, ran } = done;
    let returned = match &value {
        Value::Streams(streams) => streams.iter().map(|stream| stream.entries.len()).sum(),
        Value::Matrix(series) | Value::Vector(series) => series.len(),
        Value::Scalar(_) => 1,
    };
    let stats = Stats { returned_entries: returned as u64, ..stats };
    let rows = Rows::new(value, &flags, direction, time);
    QueryAnswer { rows, flags, stats: Statistics { query: stats, queued, ran }.json(), warnings, cursor }
}

/// Narrows a query to what is left behind a cursor: the time of the first entry not shown yet.
fn go_on(query: &mut Query, cursor: &str) -> Result<(), ApiError> {
    if cursor.is_empty() {
        return Ok(());
    }
    let time = parse_time(cursor).map_err(|reason| {
        ApiError::bad(format!(
            "could not parse 'cursor' parameter: {reason}; send the cursor of the last answer"
        ))
    })?;
    if query.newest_first {
        query.end = query.end.min(time.saturating_add(1));
    } else {
        query.start = query.start.max(time);
    }
    Ok(())
}

/// Answers one page and says where the next begins. Entries of one time are never parted, so that pages
/// neither repeat nor lose entries: the last time of a full page is left to the next one, and a time with
/// more entries than a page holds is a page of its own.
fn ask_page(
    source: &dyn LogSource,
    mut query: Query,
    control: &QueryControl,
) -> Result<(Answer, Option<String>), ApiError> {
    if query.start >= query.end {
        let none =
            Answer { value: Value::Streams(Vec::new()), stats: Stats::default(), warnings: Vec::new() };
        return Ok((none, None));
    }
    let mut answer = ask(source, &query, control)?;
    let Value::Streams(streams) = &mut answer.value else { return Ok((answer, None)) };
    let times = || streams.iter().flat_map(|stream| &stream.entries).map(|entry| entry.timestamp);
    if times().count() < query.limit {
        return Ok((answer, None));
    }
    let (oldest, newest) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
    let last = if query.newest_first { oldest } else { newest };
    if oldest < newest {
        for stream in streams.iter_mut() {
            stream.entries.retain(|entry| entry.timestamp != last);
        }
        streams.retain(|stream| !stream.entries.is_empty());
        return Ok((answer, Some(last.to_string())));
    }
    (query.start, query.end, query.limit) = (last, last.saturating_add(1), usize::MAX);
    let newest_first = query.newest_first;
    let answer = ask(source, &query, control)?;
    let next = if newest_first { last.checked_sub(1) } else { last.checked_add(1) };
    Ok((answer, next.map(|time| time.to_string())))
}
