//! `/api/v1/format_query`.

use axum::extract::State;
use axum::response::Response;
use novaobs_promql_parser::parse;

use super::Api;
use super::envelope::{ApiError, success};
use super::params::Params;

/// The query over several lines where it is long; comments are dropped.
pub(super) async fn format_query(State(api): State<Api>, params: Params) -> Result<Response, ApiError> {
    let expr = parse(params.get("query"), api.state.language)
        .map_err(|error| ApiError::parameter("query", error))?;
    Ok(success(&novaobs_promql_parser::format_query(&expr), &[]))
}
