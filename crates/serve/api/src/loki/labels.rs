//! Label names, label values and streams.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use axum::response::Response;
use novaobs_model::{Labels, Matcher};
use novaobs_tenants::Limits;

use super::Api;
use super::error::ApiError;
use super::federated::TENANT;
use super::json::{answer, list_answer, push_labels};
use super::params::{Range, now};
use super::run::{limits_of, run};
use super::selector::{check_length, matchers, within_lookback};
use super::tenancy::{Asked, each_of};

/// `/loki/api/v1/labels`.
pub(super) async fn names(State(api): State<Api>, asked: Asked) -> Result<Response, ApiError> {
    Ok(list_answer(&label_names(&api, &asked).await?))
}

/// `/loki/api/v1/label/{name}/values`.
pub(super) async fn values(
    State(api): State<Api>,
    Path(name): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    Ok(list_answer(&label_values(&api, &asked, name).await?))
}

pub(super) async fn label_names(api: &Api, asked: &Asked) -> Result<Vec<String>, ApiError> {
    let selectors = query_selector(asked)?;
    let mut found = collect(api, asked, selectors, |labels, found: &mut BTreeSet<String>| {
        for (name, _) in labels {
            if !found.contains(name) {
                found.insert(name.to_owned());
            }
        }
    })
    .await?;
    if asked.tenant.as_str().contains('|') {
        found.insert(TENANT.to_owned());
    }
    Ok(found.into_iter().collect())
}

pub(super) async fn label_values(api: &Api, asked: &Asked, name: String) -> Result<Vec<String>, ApiError> {
    let selectors = query_selector(asked)?;
    if name == TENANT && asked.tenant.as_str().contains('|') {
        return Ok(each_of(&asked.tenant).iter().map(|tenant| tenant.as_str().to_owned()).collect());
    }
    let found = collect(api, asked, selectors, move |labels, found: &mut BTreeSet<String>| {
        if let Some(value) = labels.get(&name)
            && !found.contains(value)
        {
            found.insert(value.to_owned());
        }
    });
    Ok(found.await?.into_iter().collect())
}

/// `/loki/api/v1/series`.
pub(super) async fn series(State(api): State<Api>, asked: Asked) -> Result<Response, ApiError> {
    // The range is checked before the selectors, as the peer does.
    asked.params.range(now())?;
    let texts: Vec<&str> = asked.params.all("match[]").chain(asked.params.all("match")).collect();
    let mut selectors = Vec::new();
    if !matches!(texts.as_slice(), [] | ["{}"]) {
        for text in texts {
            if text.trim() == "{}" {
                return Err(ApiError::bad(format!("0 matchers in group: {text}")));
            }
            selectors.push(matchers(text)?);
        }
    }
    let found = collect(&api, &asked, selectors, |labels, found: &mut BTreeSet<Labels>| {
        if !found.contains(labels) {
            found.insert(labels.clone());
        }
    });
    let mut out = "{\"status\":\"success\",\"data\":[".to_owned();
    for (at, labels) in found.await?.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        push_labels(&mut out, labels);
    }
    out.push_str("]}\n");
    Ok(answer(out))
}

/// `query`, a selector; all streams when it is missing. The range is checked first, as the peer does.
fn query_selector(asked: &Asked) -> Result<Vec<Vec<Matcher>>, ApiError> {
    asked.params.range(now())?;
    match asked.params.get("query") {
        "" => Ok(Vec::new()),
        text => Ok(vec![matchers(text)?]),
    }
}

/// What `take` finds in the labels of the streams a request is about.
pub(super) async fn collect<T: Default + Send + 'static>(
    api: &Api,
    asked: &Asked,
    selectors: Vec<Vec<Matcher>>,
    mut take: impl FnMut(&Labels, &mut T) + Send + 'static,
) -> Result<T, ApiError> {
    let Asked { tenant, params, headers } = asked;
    let limits = limits_of(api, tenant, headers);
    let Some(range) = checked(params.range(now())?, &limits)? else { return Ok(T::default()) };
    let of = tenant.clone();
    let done = run(api, tenant, &limits, move |source, control| {
        let mut found = T::default();
        let end = range.end.saturating_add(1);
        let mut each = |labels: &Labels, _| take(labels, &mut found);
        source.streams(&of, &selectors, range.start, end, control, &mut each)?;
        Ok(found)
    });
    Ok(done.await?.value)
}

/// Checks a range that may end before it begins; `None` when the tenant may see nothing of it.
fn checked(range: Range, limits: &Limits) -> Result<Option<Range>, ApiError> {
    check_length(range.end.saturating_sub(range.start) / 1_000_000 * 1_000_000, limits)?;
    if range.end < range.start {
        let back = novaobs_model::duration::format(limits.max_query_lookback);
        return Err(ApiError::bad(format!(
            "this data is no longer available, it is past now - max_query_lookback ({back})"
        )));
    }
    Ok(within_lookback(range, limits, now()))
}
