//! SQL over HTTP: `/api/v1/sql`, by GET or as a form. Rows go out as the query finds them.
//!
//! Request -> whose logs, `query` and `format` -> [`SqlEngine`] -> the first rows, so that what fails at once
//! has its status code -> the rest, chunk by chunk. A client that goes away ends its query.

mod error;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use novaobs_model::{Pool, QueryControl, Tenant};
use novaobs_sql::format::{Format, Writer};
use novaobs_sql::{BatchStream, SqlEngine};
use tower_http::compression::CompressionLayer;

use crate::form::{self, Form};
use crate::loki::LimitsOf;
use crate::tenant;
use error::ApiError;

/// All that the API needs, filled by the server.
pub struct SqlState {
    /// What runs queries.
    pub engine: Arc<SqlEngine>,
    /// Limits by tenant; `query_timeout` is how long a query may wait and run, 0: a day.
    pub limits: LimitsOf,
    /// Whether `X-Scope-OrgID` tells tenants apart; `auth_enabled`.
    pub auth_enabled: bool,
    /// The tenant when it does not.
    pub no_auth_tenant: Tenant,
    /// Where queries take memory from.
    pub pool: Pool,
    /// Most bytes one query may take from it.
    pub query_memory: u64,
}

/// The router, paths from the root.
pub fn router(state: SqlState) -> Router {
    Router::new()
        .route("/api/v1/sql", get(query).post(query))
        .layer(CompressionLayer::new())
        .with_state(Arc::new(state))
}

async fn query(State(state): State<Arc<SqlState>>, request: Request) -> Result<Response, ApiError> {
    let tenant = tenant_of(&state, request.headers())?;
    let form = read(request).await?;
    let format = match form.get("format") {
        "" => Format::Json,
        name => name.parse::<Format>()?,
    };
    let sql = form.get("query");
    if sql.trim().is_empty() {
        return Err(ApiError::bad("parameter query is missing: write query=SELECT count(*) FROM logs"));
    }
    let timeout = match (state.limits)(&tenant).query_timeout {
        Duration::ZERO => Duration::from_secs(86_400),
        timeout => timeout,
    };
    let pool = state.pool.child("a query", state.query_memory);
    let control = QueryControl::new(pool, Instant::now().checked_add(timeout));
    let mut rows = state.engine.query(&tenant, sql, control).await?;
    let mut writer = format.writer(rows.schema())?;
    let mut first = writer.begin();
    let more = match rows.next().await {
        Some(batch) => {
            first.extend(writer.rows(&batch?)?);
            true
        }
        None => false,
    };
    let body = match more {
        true => Body::from_stream(chunks(first, rows, writer)),
        false => {
            first.extend(writer.end()?);
            Body::from(first)
        }
    };
    Ok(([(header::CONTENT_TYPE, format.content_type())], body).into_response())
}

/// The whole result, behind what there is of it already.
fn chunks(
    first: Vec<u8>,
    rows: BatchStream,
    writer: Writer,
) -> impl futures::Stream<Item = Result<Vec<u8>, io::Error>> + Send {
    futures::stream::unfold((Some(first), Some((rows, writer))), |(first, rest)| async {
        if let Some(first) = first {
            return Some((Ok(first), (None, rest)));
        }
        let (mut rows, mut writer) = rest?;
        let chunk = match rows.next().await {
            Some(batch) => batch.and_then(|batch| writer.rows(&batch)),
            None => return Some((writer.end().map_err(io::Error::other), (None, None))),
        };
        match chunk {
            Ok(chunk) => Some((Ok(chunk), (None, Some((rows, writer))))),
            // The status is gone out already: the form says what happened, or the connection ends early.
            Err(error) => {
                let said = writer.fail(&error).ok_or_else(|| io::Error::other(error.to_string()));
                Some((said, (None, None)))
            }
        }
    })
}

/// Whose logs a request is about.
fn tenant_of(state: &SqlState, headers: &HeaderMap) -> Result<Tenant, ApiError> {
    if !state.auth_enabled {
        return Ok(state.no_auth_tenant.clone());
    }
    let text = headers.get("X-Scope-OrgID").map(|value| String::from_utf8_lossy(value.as_bytes()));
    let name = text.unwrap_or_default();
    if name.is_empty() {
        return Err(ApiError::no_tenant());
    }
    if name.contains('|') {
        return Err(ApiError::bad("multiple org IDs present: a query is about the logs of one tenant"));
    }
    match tenant::problem(&name) {
        Some(problem) => Err(ApiError::bad(problem)),
        None => Ok(Tenant::new(&name)),
    }
}

async fn read(request: Request) -> Result<Form, ApiError> {
    let url = request.uri().query().unwrap_or_default().to_owned();
    let body = match form::is_form(request.headers()) {
        true => axum::body::to_bytes(request.into_body(), form::MAX_FORM)
            .await
            .map_err(|_| ApiError::bad("the form could not be read, or is over 10 MiB"))?,
        false => axum::body::Bytes::new(),
    };
    let form = Form::read(&String::from_utf8_lossy(&body), &url);
    match &form.problem {
        Some(problem) => Err(ApiError::bad(problem.clone())),
        None => Ok(form),
    }
}
