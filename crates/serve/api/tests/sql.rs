//! `/api/v1/sql` over rows in memory: forms, errors and their codes, tenants.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod loki_support;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use loki_support::MemoryLogs;
use novaobs_api::sql::{SqlState, router};
use novaobs_model::logs::{PairLists, Strings};
use novaobs_model::{Labels, LogSink, LogStream, Pool, Tenant};
use novaobs_sql::{SqlEngine, SqlOptions};
use novaobs_tenants::Limits;
use tower::ServiceExt;

fn face(auth_enabled: bool, timeout: Duration) -> Router {
    let logs = Arc::new(MemoryLogs::default());
    for tenant in ["fake", "one"] {
        let lines = [r#"{"status":200}"#, r#"{"status":500,"say":"a \"b\", c"}"#];
        let stream = LogStream {
            labels: Labels::from_pairs([("service", tenant)]),
            timestamps: vec![1, 1_714_521_600_000_000_002],
            lines: lines.into_iter().collect::<Strings>(),
            metadata: PairLists::empty_rows(2),
        };
        logs.append(&Tenant::new(tenant), &[stream]).unwrap();
    }
    let limits = Arc::new(Limits { query_timeout: timeout, ..Limits::default() });
    router(SqlState {
        engine: Arc::new(SqlEngine::new(logs, SqlOptions::default()).unwrap()),
        limits: Arc::new(move |_| limits.clone()),
        auth_enabled,
        no_auth_tenant: Tenant::new("fake"),
        pool: Pool::unlimited(),
        query_memory: 1 << 20,
    })
}

async fn send(face: &Router, request: Request<Body>) -> (StatusCode, String, String) {
    let response = face.clone().oneshot(request).await.unwrap();
    let kind = response.headers().get(header::CONTENT_TYPE).unwrap().to_str().unwrap().to_owned();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, kind, String::from_utf8_lossy(&body).into_owned())
}

fn uri(sql: &str, more: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("query", sql).finish();
    format!("/api/v1/sql?{query}{more}")
}

async fn ask(face: &Router, sql: &str, more: &str) -> (StatusCode, String) {
    let (status, _, body) = send(face, Request::get(uri(sql, more)).body(Body::empty()).unwrap()).await;
    (status, body)
}

const SQL: &str = "SELECT timestamp, field('status') AS status, number(field('status')) AS n, field('say') AS say, labels FROM logs ORDER BY timestamp";

#[tokio::test]
async fn rows_come_in_each_form() {
    let face = face(false, Duration::from_secs(60));
    let get = |more: &str| Request::get(uri(SQL, more)).body(Body::empty()).unwrap();
    let json = concat!(
        r#"{"status":"success","data":{"columns":[{"name":"timestamp","type":"timestamp"},{"name":"status","type":"text"},"#,
        r#"{"name":"n","type":"float"},{"name":"say","type":"text"},{"name":"labels","type":"map"}],"#,
        r#""rows":[["1970-01-01T00:00:00.000000001Z","200",200,null,{"service":"fake"}],"#,
        "\n",
        r#"["2024-05-01T00:00:00.000000002Z","500",500,"a \"b\", c",{"service":"fake"}]]}}"#,
        "\n"
    );
    assert_eq!(send(&face, get("")).await, (StatusCode::OK, "application/json".into(), json.into()));
    assert!(serde_json::from_str::<serde_json::Value>(json).is_ok());

    let form = uri(SQL, "&format=json").split_once('?').unwrap().1.to_owned();
    let post = Request::post("/api/v1/sql").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    assert_eq!(send(&face, post.body(Body::from(form)).unwrap()).await.2, json);

    let lines = concat!(
        r#"{"timestamp":"1970-01-01T00:00:00.000000001Z","status":"200","n":200,"say":null,"labels":{"service":"fake"}}"#,
        "\n",
        r#"{"timestamp":"2024-05-01T00:00:00.000000002Z","status":"500","n":500,"say":"a \"b\", c","labels":{"service":"fake"}}"#,
        "\n"
    );
    assert_eq!(send(&face, get("&format=ndjson")).await.2, lines);

    let csv = concat!(
        "timestamp,status,n,say,labels\r\n",
        "1970-01-01T00:00:00.000000001Z,200,200.0,,\"{\"\"service\"\":\"\"fake\"\"}\"\r\n",
        "2024-05-01T00:00:00.000000002Z,500,500.0,\"a \"\"b\"\", c\",\"{\"\"service\"\":\"\"fake\"\"}\"\r\n",
    );
    let (_, kind, body) = send(&face, get("&format=csv")).await;
    assert_eq!((kind.as_str(), body.as_str()), ("text/csv; charset=utf-8; header=present", csv));

    let (status, kind, _) = send(&face, get("&format=arrow")).await;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, "application/vnd.apache.arrow.stream"));

    let empty = ask(&face, "SELECT line FROM logs WHERE false", "").await.1;
    assert_eq!(
        empty,
        "{\"status\":\"success\",\"data\":{\"columns\":[{\"name\":\"line\",\"type\":\"text\"}],\"rows\":[]}}\n"
    );
}

/// A query over a table `d` of ten digits.
fn digits(query: &str) -> String {
    format!(
        "WITH d AS (SELECT * FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) t(x)) {query}"
    )
}

#[tokio::test]
async fn errors_have_codes_and_say_why() {
    let face = face(false, Duration::from_secs(60));
    for (sql, more, status, kind, text) in [
        ("", "", 400, "bad_data", "parameter query is missing: write query=SELECT count(*) FROM logs"),
        ("SELECT 1", "&format=xml", 400, "bad_data", "format \"xml\" is none of json, ndjson, csv and arrow"),
        (
            "DROP TABLE logs",
            "",
            400,
            "bad_data",
            "DROP TABLE is not allowed: only queries are (SELECT, EXPLAIN, DESCRIBE, SHOW TABLES, SHOW COLUMNS)",
        ),
    ] {
        let (code, body) = ask(&face, sql, more).await;
        let expected = serde_json::json!({"status": "error", "errorType": kind, "error": text});
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((code.as_u16(), body), (status, expected), "{sql}");
    }
    let (code, body) = ask(&face, "SELECT CAST(line AS BIGINT) FROM logs", "").await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    let (code, body) =
        ask(&face, &digits("SELECT array_agg(a.x) FROM d a, d b, d c, d e, d f, d g"), "").await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    assert!(body.contains("a query would use more than its 1048576 bytes of memory"), "{body}");
}

#[tokio::test]
async fn time_ends_a_query() {
    let face = face(false, Duration::from_nanos(1));
    let (code, body) = ask(&face, "SELECT count(*) FROM logs", "").await;
    assert_eq!(
        (code, body.as_str()),
        (
            StatusCode::GATEWAY_TIMEOUT,
            r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#
        )
    );
}

#[tokio::test]
async fn tenants_are_told_apart() {
    let face = face(true, Duration::from_secs(60));
    let sql = "SELECT DISTINCT labels['service'] AS s FROM logs";
    let with = |tenant: &str| {
        let request = Request::get(uri(sql, "&format=csv")).header("X-Scope-OrgID", tenant);
        request.body(Body::empty()).unwrap()
    };
    assert_eq!(send(&face, with("one")).await.2, "s\r\none\r\n");
    assert_eq!(send(&face, with("nobody")).await.2, "s\r\n");
    assert_eq!(send(&face, with("a/b")).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(send(&face, with("one|fake")).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(ask(&face, sql, "").await.0, StatusCode::UNAUTHORIZED);
}
