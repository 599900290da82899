//! `/loki/api/v1/export`: every line of a query, however many, as newline-delimited JSON.

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use novaobs_logql::{Query, QueryLimits, Row};
use novaobs_logql_parser::Expr;
use tokio::sync::mpsc;

use super::Api;
use super::error::ApiError;
use super::federated::Federated;
use super::json::{push, push_labels, push_string};
use super::params::{Direction, now};
use super::run::{CancelOnDrop, control, limits_of};
use super::selector::{check_selectors, log_query};
use super::tenancy::Asked;

/// About how large a chunk is, and how many may wait for a slow reader.
const CHUNK: usize = 64 << 10;
const WAITING: usize = 4;

/// Streams the lines in order of time, oldest first unless asked otherwise. An error on the way is the last
/// line, `{"error":"…"}`.
pub(super) async fn export(State(api): State<Api>, asked: Asked) -> Result<Response, ApiError> {
    let Asked { tenant, params, headers } = asked;
    let range = params.ordered_range(now())?;
    let direction = match params.get("direction") {
        "" => Direction::Forward,
        _ => params.direction()?,
    };
    let expr = Expr::Log(log_query(params.get("query"))?);
    let limits = limits_of(&api, &tenant, &headers);
    check_selectors(&expr, &limits)?;
    let place = api.exports.enter(&tenant).await;
    let control = control(&api.state.pool, api.state.query_memory, None);
    let guard = CancelOnDrop::new(&control);
    let several = tenant.as_str().contains('|');
    let query = Query {
        tenant,
        expr,
        start: range.start,
        end: range.end,
        step: 0,
        interval: 0,
        limit: usize::MAX,
        newest_first: direction == Direction::Backward,
        limits: QueryLimits { max_series: 0, max_bytes_read: 0 },
    };
    let (sender, receiver) = mpsc::channel::<Bytes>(WAITING);
    let source = api.state.source.clone();
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let mut chunk = String::new();
        let mut each = |row: Row<'_>| {
            write_row(&mut chunk, row);
            // A reader that went away ends the export.
            chunk.len() < CHUNK || sender.blocking_send(std::mem::take(&mut chunk).into()).is_ok()
        };
        let result = match several {
            true => novaobs_logql::export(&Federated(source.as_ref()), &query, &control, &mut each),
            false => novaobs_logql::export(source.as_ref(), &query, &control, &mut each),
        };
        if let Err(error) = result {
            chunk.push_str("{\"error\":");
            push_string(&mut chunk, &error.to_string());
            chunk.push_str("}\n");
        }
        let _ = sender.blocking_send(chunk.into());
    });
    let chunks = futures::stream::unfold((receiver, guard), |(mut receiver, guard)| async {
        let chunk = receiver.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(chunk), (receiver, guard)))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(chunks)).into_response())
}

fn write_row(out: &mut String, row: Row<'_>) {
    push(out, format_args!("{{\"timestamp\":\"{}\",\"stream\":", row.timestamp));
    push_labels(out, row.labels);
    for (name, labels) in [("structuredMetadata", row.metadata), ("parsed", row.parsed)] {
        if !labels.is_empty() {
            push(out, format_args!(",\"{name}\":"));
            push_labels(out, labels);
        }
    }
    out.push_str(",\"line\":");
    push_string(out, row.line);
    out.push_str("}\n");
}
