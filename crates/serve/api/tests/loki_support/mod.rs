//! A store of logs in memory behind the Loki face and the real push routes, and the language of the files
//! under `tests/loki`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use http_body_util::BodyExt;
use novaobs_api::loki::{
    BuildInfo, CancelError, DeleteProgress, DeleteRequest, DeleteStatus, DeleteView, LokiState, ProcessView,
    RuleGroup, RuleStatus, RulesError, RulesStore, TailHub, router,
};
use novaobs_model::logs::{LogBatch, LogStats, ScanStats};
use novaobs_model::{
    AppendError, Labels, LogCursor, LogScan, LogSink, LogSource, LogStream, Matcher, Pool, QueryControl,
    SelectError, Tenant,
};
use novaobs_rules::GroupSnapshot;
use novaobs_tenants::Limits;
use parking_lot::Mutex;
use tower::ServiceExt;

/// Rows in memory.
#[derive(Default)]
pub struct MemoryLogs(Mutex<BTreeMap<String, Vec<LogStream>>>);

impl LogSink for MemoryLogs {
    fn append(&self, tenant: &Tenant, streams: &[LogStream]) -> Result<(), AppendError> {
        self.0.lock().entry(tenant.as_str().to_owned()).or_default().extend_from_slice(streams);
        Ok(())
    }
}

struct Batches(std::vec::IntoIter<LogBatch>);

impl LogCursor for Batches {
    fn next(&mut self) -> Result<Option<LogBatch>, SelectError> {
        Ok(self.0.next())
    }

    fn bound(&mut self, _: i64, _: i64) {}

    fn stats(&self) -> ScanStats {
        ScanStats::default()
    }
}

impl LogSource for MemoryLogs {
    fn scan<'a>(
        &'a self,
        scan: &LogScan,
        _: &'a QueryControl,
    ) -> Result<Box<dyn LogCursor + 'a>, SelectError> {
        let all = self.0.lock();
        let streams = all.get(scan.tenant.as_str()).map(Vec::as_slice).unwrap_or_default();
        Ok(Box::new(Batches(novaobs_parts::scan_rows(streams, scan, 1000).into_iter())))
    }

    fn streams(
        &self,
        tenant: &Tenant,
        selectors: &[Vec<Matcher>],
        start: i64,
        end: i64,
        _: &QueryControl,
        each: &mut dyn FnMut(&Labels, LogStats),
    ) -> Result<(), SelectError> {
        let all = self.0.lock();
        for stream in all.get(tenant.as_str()).into_iter().flatten() {
            let fits = |matchers: &Vec<Matcher>| matchers.iter().all(|m| m.matches_labels(&stream.labels));
            if !selectors.is_empty() && !selectors.iter().any(fits) {
                continue;
            }
            let mut stats = LogStats { blocks: 1, first: i64::MAX, last: i64::MIN, ..LogStats::default() };
            for (row, time) in stream.timestamps.iter().enumerate() {
                if (start..end).contains(time) {
                    let metadata = stream.metadata.get(row).map(|(n, v)| n.len() + v.len()).sum::<usize>();
                    stats.entries += 1;
                    stats.bytes += (stream.lines.get(row).len() + metadata) as u64;
                    stats.first = stats.first.min(*time);
                    stats.last = stats.last.max(*time);
                }
            }
            if stats.entries > 0 {
                each(&stream.labels, stats);
            }
        }
        Ok(())
    }
}

/// Deletes that are kept and listed; ids count up.
#[derive(Default)]
pub struct MemoryDeletes(Mutex<Vec<DeleteStatus>>);

impl DeleteView for MemoryDeletes {
    fn add(&self, _: &Tenant, request: &DeleteRequest) -> Result<String, String> {
        let mut all = self.0.lock();
        let id = format!("id{}", all.len());
        let progress = [DeleteProgress::Received, DeleteProgress::Partly(40), DeleteProgress::Processed];
        let progress = progress[all.len() % 3];
        all.push(DeleteStatus {
            id: id.clone(),
            request: request.clone(),
            created: 1_700_000_900_500_000_000,
            progress,
        });
        Ok(id)
    }

    fn list(&self, _: &Tenant) -> Result<Vec<DeleteStatus>, String> {
        Ok(self.0.lock().clone())
    }

    fn cancel(&self, _: &Tenant, id: &str, force: bool) -> Result<(), CancelError> {
        let mut all = self.0.lock();
        let at = all.iter().position(|status| status.id == id).ok_or(CancelError::NotFound)?;
        if all[at].progress != DeleteProgress::Received && !force {
            return Err(CancelError::TooLate("deletion of request past the deadline".to_owned()));
        }
        all.remove(at);
        Ok(())
    }
}

type Groups = BTreeMap<String, Vec<RuleGroup>>;

/// Rule groups in memory.
#[derive(Default)]
pub struct MemoryRules(Mutex<BTreeMap<Tenant, Groups>>);

impl RulesStore for MemoryRules {
    fn all(&self, tenant: &Tenant) -> Result<Groups, RulesError> {
        Ok(self.0.lock().get(tenant).cloned().unwrap_or_default())
    }

    fn put(&self, tenant: &Tenant, namespace: &str, group: &RuleGroup) -> Result<(), RulesError> {
        let mut all = self.0.lock();
        let groups = all.entry(tenant.clone()).or_default().entry(namespace.to_owned()).or_default();
        groups.retain(|other| other.name != group.name);
        groups.push(group.clone());
        Ok(())
    }

    fn delete_group(&self, tenant: &Tenant, namespace: &str, group: &str) -> Result<bool, RulesError> {
        let mut all = self.0.lock();
        let Some(groups) = all.entry(tenant.clone()).or_default().get_mut(namespace) else {
            return Ok(false);
        };
        let before = groups.len();
        groups.retain(|other| other.name != group);
        Ok(groups.len() < before)
    }

    fn delete_namespace(&self, tenant: &Tenant, namespace: &str) -> Result<bool, RulesError> {
        Ok(self.0.lock().entry(tenant.clone()).or_default().remove(namespace).is_some())
    }
}

/// No rules run, or these.
#[derive(Default)]
pub struct Running(pub Vec<GroupSnapshot>);

impl RuleStatus for Running {
    fn groups(&self, _: &Tenant) -> Vec<GroupSnapshot> {
        self.0.clone()
    }
}

/// A process that is ready and logs what it is told to.
pub struct Process {
    pub ready: bool,
    level: Mutex<String>,
}

impl ProcessView for Process {
    fn config(&self) -> String {
        "target: all\n".to_owned()
    }

    fn default_config(&self) -> String {
        "auth_enabled: true\n".to_owned()
    }

    fn config_diffs(&self) -> String {
        "auth_enabled: false\n".to_owned()
    }

    fn published_limits(&self, _: &Tenant) -> serde_json::Map<String, serde_json::Value> {
        let limits = serde_json::json!({
            "max_query_length": "30d1h", "max_query_series": 500, "log_level_fields": ["level", "lvl"],
            "retention_stream": [{"period": "2d", "priority": 1}], "volume_enabled": true,
        });
        limits.as_object().unwrap().clone()
    }

    fn services(&self) -> Vec<(String, String)> {
        vec![("store".to_owned(), "Running".to_owned()), ("ruler".to_owned(), "Running".to_owned())]
    }

    fn ready(&self) -> Result<(), String> {
        if self.ready { Ok(()) } else { Err("Ingester not ready: replaying the log".to_owned()) }
    }

    fn log_level(&self) -> String {
        self.level.lock().clone()
    }

    fn set_log_level(&self, level: &str) -> Result<(), String> {
        level.clone_into(&mut self.level.lock());
        Ok(())
    }

    fn flush(&self) -> Result<(), String> {
        Ok(())
    }

    fn shutdown(&self) {}

    fn refresh_metrics(&self) {}

    fn build_info(&self) -> BuildInfo {
        BuildInfo { version: "3.7.0".to_owned(), ..BuildInfo::default() }
    }
}

/// What a server is made with.
pub struct Fixture {
    pub limits: Limits,
    pub auth: bool,
    pub ready: bool,
    pub patterns: bool,
    pub tail_for: Duration,
    /// Bytes a query may take.
    pub query_memory: u64,
    pub rules: Vec<GroupSnapshot>,
}

impl Default for Fixture {
    fn default() -> Self {
        let limits = Limits { reject_old_samples: false, volume_enabled: true, ..Limits::default() };
        Fixture {
            limits,
            auth: false,
            ready: true,
            patterns: true,
            tail_for: Duration::from_secs(3600),
            query_memory: 1 << 28,
            rules: Vec::new(),
        }
    }
}

impl Fixture {
    pub fn router(self) -> Router {
        let store = Arc::new(MemoryLogs::default());
        let hub = Arc::new(TailHub::new(store.clone()));
        let limits = Arc::new(self.limits);
        let limits_of = { Arc::new(move |_: &Tenant| limits.clone()) };
        let registry = prometheus::Registry::new();
        let pool = Pool::root("memory", 1 << 30);
        let options = novaobs_push::PushOptions { auth_enabled: self.auth, ..Default::default() };
        let push = novaobs_push::Push::new(
            hub.clone(),
            limits_of.clone(),
            pool.child("pushes", 1 << 28),
            &registry,
            options,
        );
        let state = LokiState {
            source: store,
            hub,
            limits: limits_of,
            auth_enabled: self.auth,
            no_auth_tenant: Tenant::new("fake"),
            multi_tenant_queries_enabled: true,
            per_request_limits_enabled: true,
            max_concurrency: 4,
            pool: pool.child("queries", 1 << 29),
            query_memory: self.query_memory,
            tail_max_duration: self.tail_for,
            patterns_enabled: self.patterns,
            deletes: Some(Arc::new(MemoryDeletes::default())),
            rules: Some(Arc::new(MemoryRules::default())),
            rule_status: Arc::new(Running(self.rules)),
            process: Arc::new(Process { ready: self.ready, level: Mutex::new("info".to_owned()) }),
            registry,
        };
        router(state).unwrap().merge(novaobs_push::loki_routes(Arc::new(push.unwrap())))
    }
}

/// The time that `@0` stands for, in Unix seconds.
pub const EPOCH: i64 = 1_700_000_000;

/// Answers a file. Lines:
/// - `push app="web" ~t1` opens a stream (of tenant `t1`); indented lines below are its entries:
///   `@12.5 text of the line ~~ name=value, other=value` with structured metadata behind `~~`;
/// - `> GET /path {Header: value; …}` sends a request, `> POST /path body` too, a `\n` in the body is a line
///   end; `@12` in a path is a time;
/// - everything else but `#` comments is the answer, written by the test.
pub async fn answers(file: &str, router: &Router) -> String {
    let mut out = String::new();
    let mut lines = file.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(stream) = line.strip_prefix("push ") {
            out.push_str(&format!("{line}\n"));
            let mut entries = Vec::new();
            while let Some(entry) = lines.next_if(|line| line.starts_with("  ")) {
                out.push_str(&format!("{entry}\n"));
                entries.push(entry.trim_start());
            }
            push(router, stream, &entries).await;
        } else if let Some(request) = line.strip_prefix("> ") {
            out.push_str(&format!("{line}\n{}", ask(request, router).await));
        } else if line.is_empty() || line.starts_with('#') {
            out.push_str(&format!("{line}\n"));
        }
    }
    out
}

async fn push(router: &Router, stream: &str, entries: &[&str]) {
    let (labels, tenant) = stream.split_once(" ~").unwrap_or((stream, "fake"));
    let labels: serde_json::Map<_, _> = labels
        .split(", ")
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.trim_matches('"').into()))
        .collect();
    let values: Vec<_> = entries
        .iter()
        .map(|entry| {
            let (time, rest) = entry.split_once(' ').unwrap();
            let seconds: f64 = time.trim_start_matches('@').parse().unwrap();
            let time = (EPOCH * 1_000_000_000 + (seconds * 1e9).round() as i64).to_string();
            let (line, metadata) = rest.split_once(" ~~ ").unwrap_or((rest, ""));
            let line = line.replace("\\t", "\t").replace("\\u2028", "\u{2028}").replace("\\b", "\u{8}");
            let metadata: serde_json::Map<_, _> = metadata
                .split(", ")
                .filter_map(|pair| pair.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect();
            serde_json::json!([time, line, metadata])
        })
        .collect();
    let body = serde_json::json!({"streams": [{"stream": labels, "values": values}]});
    let request = Request::post("/loki/api/v1/push")
        .header(header::CONTENT_TYPE, "application/json")
        .header("X-Scope-OrgID", tenant)
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(status, 204, "push {stream}: {}", String::from_utf8_lossy(&body));
}

/// `@12.5` as Unix seconds.
fn with_times(path: &str) -> String {
    let mut out = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('@') {
        let end = after.find(|c: char| !c.is_ascii_digit() && !".-".contains(c)).unwrap_or(after.len());
        let (number, next) = after.split_at(end);
        out.push_str(before);
        match number.parse::<f64>() {
            Ok(seconds) if seconds.fract() == 0.0 => out.push_str(&(EPOCH + seconds as i64).to_string()),
            Ok(seconds) => out.push_str(&format!("{}", EPOCH as f64 + seconds)),
            Err(_) => out.push_str(&format!("@{number}")),
        }
        rest = next;
    }
    out + rest
}

/// Sends a request; gives status, content type and body, statistics left out.
pub async fn ask(line: &str, router: &Router) -> String {
    // Headers begin with an upper case letter; bodies may hold braces too.
    let begins = |at: &usize| line[at + 2..].starts_with(|c: char| c.is_ascii_uppercase());
    let at = line.match_indices(" {").map(|(at, _)| at).find(begins).filter(|_| line.ends_with('}'));
    let (line, headers) = match at {
        Some(at) => (&line[..at], &line[at + 2..line.len() - 1]),
        None => (line, ""),
    };
    let mut words = line.splitn(3, ' ');
    let (method, path, body) = (words.next().unwrap(), words.next().unwrap(), words.next());
    let mut encoded = String::new();
    for byte in with_times(path).bytes() {
        match byte {
            b'{' | b'}' | b'"' | b'|' | b'<' | b'>' | b'`' | b'[' | b']' | b'\\' | b'^' | 0x80.. => {
                encoded.push_str(&format!("%{byte:02X}"));
            }
            byte => encoded.push(char::from(byte)),
        }
    }
    let mut request = Request::builder().method(method).uri(encoded);
    let mut kind = "application/x-www-form-urlencoded";
    for pair in headers.split("; ").filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once(": ").unwrap();
        if name == "Content-Type" {
            kind = value;
        } else {
            request = request.header(name, value);
        }
    }
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, kind);
    }
    let body = body.map(|body| with_times(body).replace("\\n", "\n")).unwrap_or_default();
    let response = router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let mut out = response.status().as_u16().to_string();
    for name in ["content-type", "x-content-type-options", "x-delete-request-id", "location"] {
        if let Some(value) = response.headers().get(name) {
            out.push_str(&format!(" {}", value.to_str().unwrap()));
        }
    }
    out.push('\n');
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body = without_stats(std::str::from_utf8(&body).unwrap());
    for line in body.split_inclusive('\n') {
        // A missing line end is shown: answers differ in it.
        match line.strip_suffix('\n') {
            Some("") => out.push_str("~\n"),
            Some(line) => out.push_str(&format!("{line}\n")),
            None => out.push_str(&format!("{line}⏎\n")),
        }
    }
    out
}

/// The body with the statistics as `{}`.
fn without_stats(body: &str) -> String {
    let Some((before, after)) = body.split_once("\"stats\":{") else { return body.to_owned() };
    let mut depth = 1;
    let end = after.char_indices().find(|(_, c)| {
        depth += i32::from(*c == '{') - i32::from(*c == '}');
        depth == 0
    });
    format!("{before}\"stats\":{{}}{}", &after[end.unwrap().0 + 1..])
}
