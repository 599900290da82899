//! `/loki/api/v1/format_query`.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use novaobs_logql_parser::{parse, pretty};

use super::Api;
use super::json::push_string;
use super::tenancy::Asked;

/// The query over several lines where it is long; comments are dropped.
pub(super) async fn format_query(State(_): State<Api>, asked: Asked) -> Response {
    let mut out = String::new();
    let status = match parse(asked.params.get("query")) {
        Ok(expr) => {
            out.push_str("{\"status\":\"success\",\"data\":");
            push_string(&mut out, &pretty(&expr));
            StatusCode::OK
        }
        Err(error) => {
            out.push_str("{\"status\":\"invalid-query\",\"error\":");
            push_string(&mut out, &error.message);
            StatusCode::BAD_REQUEST
        }
    };
    out.push_str("}\n");
    (status, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], out).into_response()
}
