//! What is in the logs: `/loki/api/v1/detected_labels`, `detected_fields` and `detected_field/…/values`.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use axum::extract::{Path, State};
use axum::response::Response;
use novaobs_logql::{Query, Value};
use novaobs_logql_parser::Expr;
use novaobs_wire::number::parse_float;

use super::Api;
use super::error::ApiError;
use super::fields::{Field, Fields, is_boolean};
use super::json::{answer, push, push_list, push_string};
use super::params::now;
use super::query::{ask, query_limits};
use super::run::{limits_of, run};
use super::selector::{check_length, check_selectors, log_query, matchers};
use super::tenancy::Asked;

/// Labels always shown.
const STATIC: [&str; 4] = ["cluster", "namespace", "instance", "pod"];

/// What was seen of a label.
#[derive(Default)]
struct Seen {
    /// Hashes of its values.
    values: HashSet<u64>,
    /// Some value is a number or a UUID.
    ids: bool,
    /// Some value is neither that nor a truth value.
    words: bool,
}

impl Seen {
    fn add(&mut self, value: &str) {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        if self.values.insert(hasher.finish()) && !is_boolean(value) {
            let id = parse_float(value.as_bytes()).is_ok() || is_uuid(value);
            self.ids |= id;
            self.words |= !id;
        }
    }

    /// Whether the label helps to find something: not when all of its values are ids.
    fn is_telling(&self, name: &str) -> bool {
        STATIC.contains(&name) || self.words || !self.ids
    }
}

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
        let mut found: BTreeMap<String, Seen> = BTreeMap::new();
        source.streams(&of, &selectors, range.start, range.end, control, &mut |labels, _| {
            for (name, value) in labels {
                match found.get_mut(name) {
                    Some(seen) => seen.add(value),
                    None => found.entry(name.to_owned()).or_default().add(value),
                }
            }
        })?;
        Ok(found)
    });
    let found = done.await?.value;
    let shown: Vec<_> = found.iter().filter(|(name, seen)| seen.is_telling(name)).collect();
    if shown.is_empty() {
        return Ok(answer("{}\n".to_owned()));
    }
    let mut out = "{\"detectedLabels\":[".to_owned();
    for (at, (name, seen)) in shown.into_iter().enumerate() {
        out.push_str(if at > 0 { ",{\"label\":" } else { "{\"label\":" });
        push_string(&mut out, name);
        push(&mut out, format_args!(",\"cardinality\":{}}}", seen.values.len()));
    }
    out.push_str("]}\n");
    Ok(answer(out))
}

/// Whether the text is a UUID, also in braces, as a URN or without dashes.
fn is_uuid(text: &str) -> bool {
    let bare = text.strip_prefix("urn:uuid:").unwrap_or(text);
    let bare = bare.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(bare);
    let fits = |at: usize, byte: u8| match at {
        8 | 13 | 18 | 23 if bare.len() == 36 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    matches!(bare.len(), 32 | 36) && bare.bytes().enumerate().all(|(at, byte)| fits(at, byte))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_ids_tell_nothing() {
        let f = |name: &str, values: &[&str]| {
            let mut seen = Seen::default();
            values.iter().for_each(|value| seen.add(value));
            seen.is_telling(name)
        };
        let uuid = "123e4567-e89b-12d3-a456-426614174000";
        for values in [&["a"][..], &["0", "1"], &["true"], &["5", "x"], &["0x10"], &["1"]] {
            assert!(f("l", values), "{values:?}");
        }
        for values in
            [&["2"][..], &["1", "2"], &["-0.5", "1e3"], &["inf"], &[uuid], &[&uuid.replace('-', "")]]
        {
            assert!(!f("l", values), "{values:?}");
            assert!(f("pod", values), "{values:?}");
        }
    }
}
