//! Whose logs a request is about: `X-Scope-OrgID`, its rules, and several tenants at once.

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode};
use novaobs_model::Tenant;

use super::Api;
use super::error::ApiError;
use super::params::Params;

/// What a handler is given: whose logs, the parameters, the headers.
pub(super) struct Asked {
    /// One tenant, or several joined by `|`.
    pub(super) tenant: Tenant,
    pub(super) params: Params,
    pub(super) headers: HeaderMap,
}

impl FromRequest<Api> for Asked {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        let headers = request.headers().clone();
        let tenant = tenant_of(api, &headers, api.state.multi_tenant_queries_enabled)?;
        let params = Params::read(request).await?;
        Ok(Asked { tenant, params, headers })
    }
}

/// The tenant of a request; of those of several tenants one whose name joins theirs, sorted, by `|`.
///
/// # Errors
/// 401 without the header where tenants are told apart, 400 for names that are none.
pub(super) fn tenant_of(api: &Api, headers: &HeaderMap, several: bool) -> Result<Tenant, ApiError> {
    if !api.state.auth_enabled {
        return Ok(api.state.no_auth_tenant.clone());
    }
    let text = headers.get("X-Scope-OrgID").map(|value| String::from_utf8_lossy(value.as_bytes()));
    let text = text.unwrap_or_default();
    if text.is_empty() {
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, "no org id\n"));
    }
    let mut names: Vec<&str> = text.split('|').filter(|name| !name.is_empty()).collect();
    for name in &names {
        check_name(name)?;
    }
    names.sort_unstable();
    names.dedup();
    match names.as_slice() {
        [] => Err(ApiError::bad("tenant ID is empty")),
        [one] => Ok(Tenant::new(one)),
        _ if several => Ok(Tenant::new(&names.join("|"))),
        _ => Err(ApiError::bad("multiple org IDs present")),
    }
}

/// The tenants behind what [`tenant_of`] gave.
pub(super) fn each_of(tenant: &Tenant) -> Vec<Tenant> {
    tenant.as_str().split('|').map(Tenant::new).collect()
}

fn check_name(name: &str) -> Result<(), ApiError> {
    crate::tenant::problem(name).map_or(Ok(()), |problem| Err(ApiError::bad(problem)))
}
