//! What is in the logs: `/loki/api/v1/detected_labels`, `detected_fields` and `detected_field/…/values`.

use std::collections::{BTreeMap, HashSet};

use axum::extract::{Path, State};
use axum::response::Response;
use novaobs_logql::{Query, Value};
use novaobs_logql_parser::Expr;

use super::Api;
use super::error::ApiError;
use super::fields::{Field, Fields};
use super::json::{answer, push, push_list, push_string};
use super::params::now;
use super::query::{ask, query_limits};
use super::run::{limits_of, run};
use super::selector::{check_length, check_selectors, log_query, matchers};
use super::tenancy::Asked;

/// Labels with more values than this say nothing to someone who looks around.
const MAX_CARDINALITY: usize = 50;
/// Labels always shown.
const STATIC: [&str; 4] = ["cluster", "namespace", "instance", "pod"];

/// `/loki/api/v1/detected_labels`.
pub(super) async fn labels(State(api): State<Api>, asked: Asked) -> Result<Response, ApiError> {
    let Asked { tenant, params, headers } = asked;
    let range = params.ordered_range(now())?;
    let selectors = match params.get("query") {
        "" => Vec::new(),
        text => vec![matchers(text)?],
    };
    let limits = limits_of(&api, &tenant, &headers);
    check_length(range.end.saturating_sub(range.start) / 1_000_000 * 1_000_000, &limits)?;
    let of = tenant.clone();
    let done = run(&api, &tenant, &limits, move |source, control| {
        let mut found: BTreeMap<String, HashSet<String>> = BTreeMap::new();
        source.streams(&of, &selectors, range.start, range.end, control, &mut |labels, _| {
            for (name, value) in labels {
                match found.get_mut(name) {
                    Some(values) if values.len() <= MAX_CARDINALITY => {
                        values.insert(value.to_owned());
                    }
                    Some(_) => {}
                    None => {
                        found.insert(name.to_owned(), HashSet::from([value.to_owned()]));
                    }
                }
            }
        })?;
        Ok(found)
    });
    let found = done.await?.value;
    let shown: Vec<_> = found.iter().filter(|(name, values)| is_telling(name, values)).collect();
    if shown.is_empty() {
        return Ok(answer("{}\n".to_owned()));
    }
    let mut out = "{\"detectedLabels\":[".to_owned();
    for (at, (name, values)) in shown.into_iter().enumerate() {
        out.push_str(if at > 0 { ",{\"label\":" } else { "{\"label\":" });
        push_string(&mut out, name);
        push(&mut out, format_args!(",\"cardinality\":{}}}", values.len()));
    }
    out.push_str("]}\n");
    Ok(answer(out))
}

/// Whether a label helps to find something: few values, and not all of them ids.
fn is_telling(name: &str, values: &HashSet<String>) -> bool {
    let is_id = |value: &String| value.parse::<f64>().is_ok() || is_uuid(value);
    STATIC.contains(&name) || (values.len() <= MAX_CARDINALITY && !values.iter().all(is_id))
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Reads the fields of the newest lines of a query; the number is the limit that was asked.
async fn read_fields(
    api: &Api,
    asked: Asked,
    most_fields: fn(usize) -> usize,
) -> Result<(Vec<Field>, usize), ApiError> {
    let Asked { tenant, params, headers } = asked;
    let range = params.ordered_range(now())?;
    params.step(range)?;
    let lines = params.positive("line_limit", 100)?;
    let limit_name = if params.get("field_limit").is_empty() { "limit" } else { "field_limit" };
    let most = params.positive(limit_name, 1000)?;
    let expr = Expr::Log(log_query(params.get("query"))?);
    let limits = limits_of(api, &tenant, &headers);
    let most_lines = limits.max_entries_limit_per_query;
    if most_lines > 0 && lines > most_lines {
        return Err(ApiError::bad(format!(
            "max entries limit per query exceeded, limit > max_entries_limit_per_query ({lines} > {most_lines})"
        )));
    }
    check_selectors(&expr, &limits)?;
    check_length(range.end.saturating_sub(range.start) / 1_000_000 * 1_000_000, &limits)?;
    let query = Query {
        tenant: tenant.clone(),
        expr,
        start: range.start,
        end: range.end,
        step: 0,
        interval: 0,
        limit: lines,
        newest_first: true,
        limits: query_limits(&limits),
    };
    let done = run(api, &tenant, &limits, move |source, control| {
        let mut fields =
            Fields::new(most_fields(most)).map_err(|error| ApiError::internal(error.to_string()))?;
        if let Value::Streams(streams) = ask(source, &query, control)?.value {
            let mut rows: Vec<_> = streams
                .iter()
                .flat_map(|stream| stream.entries.iter().map(move |entry| (stream, entry)))
                .collect();
            rows.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.timestamp));
            for (stream, entry) in rows {
                fields.add(&stream.labels, &stream.metadata, &entry.line);
            }
        }
        Ok(fields.finish())
    });
    Ok((done.await?.value, most))
}

/// `/loki/api/v1/detected_fields`.
pub(super) async fn fields(State(api): State<Api>, asked: Asked) -> Result<Response, ApiError> {
    let (fields, limit) = read_fields(&api, asked, |most| most).await?;
    if fields.is_empty() {
        return Ok(answer("{}\n".to_owned()));
    }
    let mut out = "{\"fields\":[".to_owned();
    for (at, field) in fields.iter().enumerate() {
        out.push_str(if at > 0 { ",{\"label\":" } else { "{\"label\":" });
        push_string(&mut out, &field.name);
        push(
            &mut out,
            format_args!(
                ",\"type\":\"{}\",\"cardinality\":{},\"parsers\":",
                field.kind.name(),
                field.values.len()
            ),
        );
        match field.parsers.is_empty() {
            true => out.push_str("null"),
            false => push_list(&mut out, field.parsers.iter().map(|parser| parser.name())),
        }
        if !field.json_path.is_empty() {
            out.push_str(",\"jsonPath\":");
            push_list(&mut out, field.json_path.iter().map(String::as_str));
        }
        out.push('}');
    }
    push(&mut out, format_args!("],\"limit\":{limit}}}\n"));
    Ok(answer(out))
}

/// `/loki/api/v1/detected_field/{name}/values`.
pub(super) async fn values(
    State(api): State<Api>,
    Path(name): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    // The limit is one of values here, not of fields.
    let (fields, limit) = read_fields(&api, asked, |_| 0).await?;
    let values = fields.into_iter().find(|field| field.name == name).map(|field| field.values);
    match values.filter(|values| !values.is_empty()) {
        None => Ok(answer("{}\n".to_owned())),
        Some(values) => {
            let mut out = format!("{{\"limit\":{limit},\"values\":");
            push_list(&mut out, values.iter().take(limit).map(String::as_str));
            out.push_str("}\n");
            Ok(answer(out))
        }
    }
}
