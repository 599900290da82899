//! The face as clients see it: request in, status and body out.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use expect_test::{Expect, expect};
use http_body_util::BodyExt;
use novaobs_alerts::{Alertmanager, Options, time};
use novaobs_receivers::Config;
use parking_lot::RwLock;
use tower::ServiceExt;

use super::{Face, VersionInfo, router};

const FILE: &str = "
route:
  receiver: ops
  group_by: [alertname]
  routes: [{matchers: [team=db], receiver: db}]
inhibit_rules: [{source_matchers: [severity=critical], target_matchers: [severity=warning], equal: [alertname]}]
receivers: [{name: ops}, {name: db, labels: {tier: '1'}}]
";

struct Server {
    router: Router,
    _folder: tempfile::TempDir,
}

fn server() -> Server {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::parse("am.yml", FILE).unwrap().value;
    let registry = prometheus::Registry::new();
    let setup = config.setup("http://am").unwrap();
    let runtime = tokio::runtime::Handle::current();
    let alertmanager =
        Alertmanager::open(folder.path(), Options::default(), setup, &registry, runtime).unwrap();
    let router = router(Face {
        alertmanager,
        config: Arc::new(RwLock::new(config.to_yaml())),
        reload: Arc::new(|| Box::pin(std::future::ready(Err("am.yml:1:1: no".to_owned())))),
        registry,
        started: time::now(),
        version: VersionInfo::default(),
    });
    Server { router, _folder: folder }
}

impl Server {
    /// `METHOD PATH`, a body if any; answers status and body.
    async fn ask(&self, request: &str, body: &str) -> String {
        let (method, path) = request.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let response =
            self.router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        format!("{status} {}", String::from_utf8_lossy(&body))
    }
}

/// Asks each line, `METHOD PATH BODY`.
async fn check(server: &Server, requests: &str, want: Expect) {
    let mut output = String::new();
    for line in requests.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.splitn(3, ' ');
        let request = [words.next().unwrap(), words.next().unwrap()].join(" ");
        let answer = server.ask(&request, words.next().unwrap_or("")).await;
        output.push_str(answer.trim_end());
        output.push('\n');
    }
    want.assert_eq(&output);
}

#[tokio::test]
async fn refuses_what_the_peer_refuses() {
    let server = server();
    check(
        &server,
        r#"
        POST /api/v2/alerts {
        POST /api/v2/alerts {}
        POST /api/v2/alerts [{"annotations":{}}]
        POST /api/v2/alerts [{"labels":{}}]
        POST /api/v2/alerts [{"labels":{"a":""}},{"labels":{"ok":"1"},"startsAt":"2026-11-22T10:00:00Z","endsAt":"2026-11-22T09:00:00Z"}]
        POST /api/v2/alerts [{"labels":{"a":1}}]
        POST /api/v2/alerts [{"labels":{"a":"b"},"startsAt":"yesterday"}]
        POST /api/v2/alerts [{"labels":{"a":"b"},"generatorURL":"::bad"}]
        GET /api/v2/alerts?filter=bad
        GET /api/v2/alerts?filter=%7Ba%3D%22b%22%7D
        GET /api/v2/alerts/groups?receiver_matchers=bad
        DELETE /api/v2/alerts
        GET /api/v2/nope
        GET /api/v1/alerts
        GET /api/v2/silence/abc
        GET /api/v2/silence/6d2ea3cf-0c39-4b72-a0a7-000000000000
        DELETE /api/v2/silence/6d2ea3cf-0c39-4b72-a0a7-000000000000
        POST /-/reload
        "#,
        expect![[r#"
            400 {"code":400,"message":"parsing alerts body from \"\" failed, because unexpected EOF"}
            400 {"code":400,"message":"parsing alerts body from \"\" failed, because json: cannot unmarshal object into Go value of type models.PostableAlerts"}
            422 {"code":602,"message":"0.labels in body is required"}
            400 "at least one label pair required"
            400 "at least one label pair required\nstart time must be before end time"
            400 {"code":400,"message":"parsing alerts body from \"\" failed, because json: cannot unmarshal number into Go struct field Alert.labels of type string"}
            400 {"code":400,"message":"parsing alerts body from \"\" failed, because parsing time \"yesterday\" as \"2006-01-02 15:04:05\": cannot parse \"yesterday\" as \"2006\""}
            422 {"code":601,"message":"0.generatorURL in body must be of type uri: \"::bad\""}
            400 "bad matcher format: bad"
            400 "unexpected open or close brace: {a=\"b\"}"
            400 "failed to parse receiver_matchers param: bad matcher format: bad"
            405 {"code":405,"message":"method DELETE is not allowed, but [POST,GET] are"}
            404 {"code":404,"message":"path /api/v2/nope was not found"}
            410 {"status":"deprecated","error":"The Alertmanager v1 API was deprecated in version 0.16.0 and is removed as of version 0.27.0 - please use the equivalent route in the v2 API"}
            422 {"code":601,"message":"silenceID in path must be of type uuid: \"abc\""}
            404
            404
            500 failed to reload config: am.yml:1:1: no
        "#]],
    )
    .await;
    assert_eq!(
        server.ask("POST /api/v2/alerts", "").await,
        "422 {\"code\":602,\"message\":\"alerts in body is required\"}\n"
    );
    check(
        &server,
        r#"
        POST /api/v2/silences {}
        POST /api/v2/silences {"matchers":[],"startsAt":"2026-11-22T10:00:00Z","endsAt":"2036-11-23T10:00:00Z","createdBy":"me","comment":"c"}
        POST /api/v2/silences {"matchers":[{"name":"a","value":"","isRegex":false}],"startsAt":"2026-11-22T10:00:00Z","endsAt":"2036-11-25T10:00:00Z","createdBy":"me","comment":"c"}
        POST /api/v2/silences {"matchers":[{"name":"a"}],"startsAt":"2026-11-22T10:00:00Z","endsAt":"2036-11-25T10:00:00Z","createdBy":"me","comment":"c"}
        POST /api/v2/silences {"matchers":[{"name":"a","value":"x","isRegex":false}],"startsAt":"2026-11-22T10:00:00Z","endsAt":"2026-11-21T10:00:00Z","createdBy":"me","comment":"c"}
        POST /api/v2/silences {"matchers":[{"name":"a","value":"x","isRegex":false}],"startsAt":"2016-11-20T10:00:00Z","endsAt":"2016-11-21T10:00:00Z","createdBy":"me","comment":"c"}
        POST /api/v2/silences {"id":"6d2ea3cf-0c39-4b72-a0a7-000000000000","matchers":[{"name":"a","value":"x","isRegex":false}],"startsAt":"2026-11-22T10:00:00Z","endsAt":"2036-11-25T10:00:00Z","createdBy":"me","comment":"c"}
        POST /api/v2/silences {"matchers":[{"name":"a","value":"x","isRegex":"no"}],"startsAt":"2026-11-22T10:00:00Z","endsAt":"2036-11-25T10:00:00Z","createdBy":"","comment":""}
        "#,
        expect![[r#"
            422 {"code":602,"message":"comment in body is required"}
            422 {"code":612,"message":"matchers in body should have at least 1 items"}
            400 "invalid silence: matcher set 0: at least one matcher must not match the empty string"
            422 {"code":602,"message":"matchers.0.isRegex in body is required"}
            400 "Failed to create silence: start time must be before end time"
            400 "Failed to create silence: end time can't be in the past"
            404 "silence not found"
            400 {"code":400,"message":"parsing silence body from \"\" failed, because json: cannot unmarshal string into Go struct field Matcher.matchers.isRegex of type bool"}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn lists_alerts_with_what_suppresses_them() {
    let server = server();
    let times = r#""startsAt":"2026-11-22T10:00:00.123456+02:00","endsAt":"2036-11-22T10:00:00Z""#;
    for (labels, status) in [
        (r#"{"alertname":"X","severity":"critical","empty":""}"#, "200 "),
        (r#"{"alertname":"X","severity":"warning","team":"db"}"#, "200 "),
        (r#"{"alertname":"<Y>"}"#, "200 "),
    ] {
        let body = format!(
            r#"[{{"labels":{labels},"annotations":{{"s":"&"}},"generatorURL":"http://p/?a&b",{times}}}]"#
        );
        assert_eq!(server.ask("POST /api/v2/alerts", &body).await, status);
    }
    let body = r#"{"matchers":[{"name":"alertname","value":"<Y>","isRegex":false}],"startsAt":"2016-11-22T10:00:00Z","endsAt":"2036-11-25T10:00:00Z","createdBy":"me","comment":"c"}"#;
    let answer = server.ask("POST /api/v2/silences", body).await;
    let id = answer.split('"').nth(3).unwrap().to_owned();
    let hidden = |text: String| {
        let text = text.replace(&id, "ID");
        let mut parts = text.split("\"updatedAt\":\"");
        let first = parts.next().unwrap().to_owned();
        parts.fold(first, |out, part| out + "\"updatedAt\":\"NOW" + &part[24..])
    };
    let mut output = String::new();
    for path in [
        "alerts",
        "alerts?active=false",
        "alerts?silenced=false&inhibited=false",
        "alerts?receiver=d.*",
        "alerts?receiver_matchers=tier%3D1&filter=team%3Ddb",
        "alerts/groups?filter=alertname%3DX",
        "receivers",
        "silences?filter=alertname%3D%22%3CY%3E%22",
        "silences?active=false",
    ] {
        let answer = hidden(server.ask(&format!("GET /api/v2/{path}"), "").await);
        // When it began is when it was posted.
        let answer = match (path.starts_with("silences"), answer.rsplit_once("\"startsAt\":\"")) {
            (true, Some((before, after))) => format!("{before}\"startsAt\":\"NOW{}", &after[24..]),
            _ => answer,
        };
        output.push_str(&format!("{path}\n{answer}"));
    }
    expect![[r#"
        alerts
        200 [{"annotations":{"s":"\u0026"},"endsAt":"2036-11-22T10:00:00.000Z","fingerprint":"5a0048d60cdd69ba","receivers":[{"name":"db"}],"startsAt":"2026-11-22T10:00:00.123+02:00","status":{"inhibitedBy":["d5e08c84ef09a8b8"],"mutedBy":[],"silencedBy":[],"state":"suppressed"},"updatedAt":"NOW","generatorURL":"http://p/?a\u0026b","labels":{"alertname":"X","severity":"warning","team":"db"}},{"annotations":{"s":"\u0026"},"endsAt":"2036-11-22T10:00:00.000Z","fingerprint":"7e3b86fb3c5ba617","receivers":[{"name":"ops"}],"startsAt":"2026-11-22T10:00:00.123+02:00","status":{"inhibitedBy":[],"mutedBy":[],"silencedBy":["ID"],"state":"suppressed"},"updatedAt":"NOW","generatorURL":"http://p/?a\u0026b","labels":{"alertname":"\u003cY\u003e"}},{"annotations":{"s":"\u0026"},"endsAt":"2036-11-22T10:00:00.000Z","fingerprint":"d5e08c84ef09a8b8","receivers":[{"name":"ops"}],"startsAt":"2026-11-22T10:00:00.123+02:00","status":{"inhibitedBy":[],"mutedBy":[],"silencedBy":[],"state":"active"},"updatedAt":"NOW","generatorURL":"http://p/?a\u0026b","labels":{"alertname":"X","severity":"critical"}}]
        alerts?active=false
        200 [{"annotations":{"s":"\u0026"},"endsAt":"2036-11-22T10:00:00.000Z","fingerprint":"5a0048d60cdd69ba","receivers":[{"name":"db"}],"startsAt":"2026-11-22T10:00:00.123+02:00","status":{"inhibitedBy":["d5e08c84ef09a8b8"],"mutedBy":[],"silencedBy":[],"state":"suppressed"},"updatedAt":"NOW","generatorURL":"http://p/?a\u0026b","labels":{"alertname":"X","severity":"warning","team":"db"}},{"annotations":{"s":"\u0026"},"endsAt":"2036-11-22T10:00:00.000Z","fingerprint":"7e3b86fb3c5ba617","receivers":[{"name":"ops"}],"startsAt":"2026-11-22T10:00:00.123+02:00","status":{"inhibitedBy":[],"mutedBy":[],"silencedBy":["ID"],"state":"suppressed"},"updatedAt":"NOW","generatorURL":"http://p/?a\u0026b","labels":{"alertname":"\u003cY\u003e"}}]
        alerts?silenced=false&inhibited=false
        200 [{"annotations":{"s":"\u0026"},"endsAt":"2036-11-22T10:00:00.000Z","fingerprint":"d5e08c84ef09a8b8","receivers":[{"name":"ops"}],"startsAt":"2026-11-22T10:00:00.123+02:00","status":{"inhibitedBy":[],"mutedBy":[],"silencedBy":[],"state":"active"},"updatedAt":"NOW","generatorURL":"http://p/?a\u0026b","labels":{"alertname":"X","severity":"critical"}}]
        alerts?receiver=d.*
        200 [{"annotations":{"s":"\u0026"},"endsAt":"2036-11-22T10:00:00.000Z","fingerprint":"5a0048d60cdd69ba","receivers":[{"name":"db"}],"startsAt":"2026-11-22T10:00:00.123+02:00","status":{"inhibitedBy":["d5e08c84ef09a8b8"],"mutedBy":[],"silencedBy":[],"state":"suppressed"},"updatedAt":"NOW","generatorURL":"http://p/?a\u0026b","labels":{"alertname":"X","severity":"warning","team":"db"}}]
        alerts?receiver_matchers=tier%3D1&filter=team%3Ddb
        200 [{"annotations":{"s":"\u0026"},"endsAt":"2036-11-22T10:00:00.000Z","fingerprint":"5a0048d60cdd69ba","receivers":[{"name":"db"}],"startsAt":"2026-11-22T10:00:00.123+02:00","status":{"inhibitedBy":["d5e08c84ef09a8b8"],"mutedBy":[],"silencedBy":[],"state":"suppressed"},"updatedAt":"NOW","generatorURL":"http://p/?a\u0026b","labels":{"alertname":"X","severity":"warning","team":"db"}}]
        alerts/groups?filter=alertname%3DX
        200 [{"alerts":[{"annotations":{"s":"\u0026"},"endsAt":"2036-11-22T10:00:00.000Z","fingerprint":"5a0048d60cdd69ba","receivers":[{"name":"db"}],"startsAt":"2026-11-22T10:00:00.123+02:00","status":{"inhibitedBy":["d5e08c84ef09a8b8"],"mutedBy":[],"silencedBy":[],"state":"suppressed"},"updatedAt":"NOW","generatorURL":"http://p/?a\u0026b","labels":{"alertname":"X","severity":"warning","team":"db"}}],"labels":{"alertname":"X"},"receiver":{"name":"db"},"routeLabels":{}},{"alerts":[{"annotations":{"s":"\u0026"},"endsAt":"2036-11-22T10:00:00.000Z","fingerprint":"d5e08c84ef09a8b8","receivers":[{"name":"ops"}],"startsAt":"2026-11-22T10:00:00.123+02:00","status":{"inhibitedBy":[],"mutedBy":[],"silencedBy":[],"state":"active"},"updatedAt":"NOW","generatorURL":"http://p/?a\u0026b","labels":{"alertname":"X","severity":"critical"}}],"labels":{"alertname":"X"},"receiver":{"name":"ops"},"routeLabels":{}}]
        receivers
        200 [{"labels":{"name":"ops"},"name":"ops"},{"labels":{"name":"db","tier":"1"},"name":"db"}]
        silences?filter=alertname%3D%22%3CY%3E%22
        200 [{"id":"ID","status":{"state":"active"},"updatedAt":"NOW","comment":"c","createdBy":"me","endsAt":"2036-11-25T10:00:00.000Z","matchers":[{"isEqual":true,"isRegex":false,"name":"alertname","value":"\u003cY\u003e"}],"startsAt":"NOW"}]
        silences?active=false
        200 []
    "#]].assert_eq(&output);
    assert_eq!(server.ask(&format!("DELETE /api/v2/silence/{id}"), "").await, "200 ");
    assert!(server.ask(&format!("GET /api/v2/silence/{id}"), "").await.contains(r#""state":"expired""#));
    let metrics = server.ask("GET /metrics", "").await;
    for line in ["alertmanager_silences{state=\"expired\"} 1", "alertmanager_alerts{state=\"suppressed\"} 1"]
    {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert_eq!(server.ask("GET /-/ready", "").await, "200 OK");
}
