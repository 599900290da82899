//! `/api/v1/series`, `/api/v1/labels` and `/api/v1/label/<name>/values`.

use axum::extract::{Path, State};
use axum::response::Response;
use novaobs_model::labels::go_quote;

use super::Api;
use super::envelope::{ApiError, LabelObject, success};
use super::params::Params;
use super::query::{TRUNCATED, blocking};

/// `/api/v1/series`: label sets of the series that match.
pub(super) async fn series(State(api): State<Api>, params: Params) -> Result<Response, ApiError> {
    params.check_form()?;
    if params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let limit = params.limit()?;
    let (start, end) = params.range()?;
    let selectors = params.selectors().map_err(|reason| ApiError::parameter("match[]", reason))?;
    let source = api.state.source.clone();
    let found = blocking(api.state.engine.control(None), move |control| {
        Ok(source.series(&selectors, start, end, one_more(limit), control)?)
    })
    .await?;
    let (found, warnings) = cut(found, limit);
    let found: Vec<LabelObject> = found.into_iter().map(LabelObject).collect();
    Ok(success(&found, &warnings))
}

/// `/api/v1/labels`: names of labels.
pub(super) async fn names(State(api): State<Api>, params: Params) -> Result<Response, ApiError> {
    let limit = params.limit()?;
    let (start, end) = params.range()?;
    let selectors = params.selectors().map_err(ApiError::bad_data)?;
    let source = api.state.source.clone();
    let found = blocking(api.state.engine.control(None), move |control| {
        Ok(source.label_names(&selectors, start, end, control)?)
    })
    .await?;
    let (found, warnings) = cut(found, limit);
    Ok(success(&found, &warnings))
}

/// `/api/v1/label/<name>/values`.
pub(super) async fn values(
    State(api): State<Api>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let name = if name.starts_with("U__") { unescape_name(&name).unwrap_or(name) } else { name };
    if name.is_empty() {
        return Err(ApiError::bad_data(format!("invalid label name: {}", go_quote(&name))));
    }
    let limit = params.limit()?;
    let (start, end) = params.range()?;
    let selectors = params.selectors().map_err(ApiError::bad_data)?;
    let source = api.state.source.clone();
    let found = blocking(api.state.engine.control(None), move |control| {
        Ok(source.label_values(&name, &selectors, start, end, control)?)
    })
    .await?;
    let (found, warnings) = cut(found, limit);
    Ok(success(&found, &warnings))
}

/// Asks for one more than wanted, so that a cut is noticed.
fn one_more(limit: usize) -> usize {
    if limit == 0 { 0 } else { limit.saturating_add(1) }
}

fn cut<T>(mut list: Vec<T>, limit: usize) -> (Vec<T>, Vec<String>) {
    if limit == 0 || list.len() <= limit {
        return (list, Vec::new());
    }
    list.truncate(limit);
    (list, vec![TRUNCATED.to_owned()])
}

/// Resolves the escaping of names in URLs: `U__` in front, `__` for `_`, `_2e_` for the character U+002E.
/// `None` for what is not so escaped.
fn unescape_name(escaped: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = escaped.strip_prefix("U__")?;
    while let Some((plain, after)) = rest.split_once('_') {
        out.push_str(plain);
        let (code, after) = after.split_once('_')?;
        if code.is_empty() {
            out.push('_');
        } else {
            let hex = code.len() <= 6 && code.bytes().all(|byte| byte.is_ascii_hexdigit());
            let value = u32::from_str_radix(code, 16).ok().filter(|_| hex)?;
            out.push(char::from_u32(value)?);
        }
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_escaped_names() {
        for (escaped, want) in [
            ("U__http_2e_requests", Some("http.requests")),
            ("U__a__b", Some("a_b")),
            ("U___1F600_", Some("😀")),
            ("U__a_", None),
            ("U__a_zz_", None),
            ("U___110000_", None),
            ("plain", None),
        ] {
            assert_eq!(unescape_name(escaped).as_deref(), want, "{escaped}");
        }
    }
}
