//! The API of Loki before 1.0, `/api/prom`.

use axum::extract::{Path, State};
use axum::response::Response;
use chrono::DateTime;
use novaobs_logql::Value;
use novaobs_logql_parser::Expr;
use novaobs_model::Labels;
use novaobs_model::labels::go_quote;

use super::Api;
use super::error::ApiError;
use super::json::{answer, label_text, push, push_list, push_string};
use super::labels::{label_names, label_values};
use super::query::{RangeRequest, ask};
use super::result::Streams;
use super::run::{limits_of, run};
use super::stats::Statistics;
use super::tenancy::Asked;

/// `/api/prom/query`: log queries only; `regexp` is one more line filter.
pub(super) async fn query(State(api): State<Api>, asked: Asked) -> Result<Response, ApiError> {
    let Asked { tenant, params, headers } = asked;
    let mut text = params.get("query").to_owned();
    if !params.get("regexp").is_empty() {
        push(&mut text, format_args!(" |~ {}", go_quote(params.get("regexp"))));
    }
    let request = RangeRequest::read(&params, text)?;
    if matches!(request.expr, Expr::Sample(_)) {
        return Err(ApiError::bad(
            "rpc error: code = Code(400) desc = legacy endpoints only support streams result type",
        ));
    }
    let limits = limits_of(&api, &tenant, &headers);
    let direction = request.direction;
    let mut out = "{\"streams\":[".to_owned();
    let mut statistics = Statistics::default();
    if let Some(query) = request.query(&tenant, &limits, &headers)? {
        let done = run(&api, &tenant, &limits, move |source, control| ask(source, &query, control)).await?;
        statistics = Statistics { query: done.value.stats, queued: done.queued, ran: done.ran };
        if let Value::Streams(streams) = done.value.value {
            let streams = Streams::new(streams, false, direction);
            for (at, (labels, entries)) in streams.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                push_stream(&mut out, labels, entries);
            }
        }
    }
    push(&mut out, format_args!("],\"stats\":{}}}\n", statistics.json()));
    Ok(answer(out))
}

/// Appends `{"labels":"{…}","entries":[{"ts":"…","line":"…"}]}`.
pub(super) fn push_stream<'a>(
    out: &mut String,
    labels: &Labels,
    entries: impl Iterator<Item = (i64, &'a str)>,
) {
    out.push_str("{\"labels\":");
    push_string(out, &label_text(labels));
    out.push_str(",\"entries\":[");
    for (at, (time, line)) in entries.enumerate() {
        if at > 0 {
            out.push(',');
        }
        push(out, format_args!("{{\"ts\":\"{}\",\"line\":", rfc3339(time)));
        push_string(out, line);
        out.push('}');
    }
    out.push_str("]}");
}

/// A time as Go writes it: no zeros at the end of its decimals.
pub(super) fn rfc3339(nanoseconds: i64) -> String {
    let time = DateTime::from_timestamp_nanos(nanoseconds);
    let mut text = time.format("%Y-%m-%dT%H:%M:%S").to_string();
    if time.timestamp_subsec_nanos() > 0 {
        text.push_str(format!(".{:09}", time.timestamp_subsec_nanos()).trim_end_matches('0'));
    }
    text + "Z"
}

/// `/api/prom/label`.
pub(super) async fn names(State(api): State<Api>, asked: Asked) -> Result<Response, ApiError> {
    Ok(values_answer(&label_names(&api, &asked).await?))
}

/// `/api/prom/label/{name}/values`.
pub(super) async fn values(
    State(api): State<Api>,
    Path(name): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    Ok(values_answer(&label_values(&api, &asked, name).await?))
}

fn values_answer(values: &[String]) -> Response {
    if values.is_empty() {
        return answer("{}\n".to_owned());
    }
    let mut out = "{\"values\":".to_owned();
    push_list(&mut out, values.iter().map(String::as_str));
    out.push_str("}\n");
    answer(out)
}
