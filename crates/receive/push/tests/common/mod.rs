//! A push path into memory, profiles of limits by tenant, and requests against routes.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use novaobs_model::{AppendError, LogSink, LogStream, OverBudget, Pool, Tenant};
use novaobs_push::{Push, PushOptions};
use novaobs_tenants::Limits;
use parking_lot::Mutex;
use prometheus::Registry;
use tower::ServiceExt as _;

/// Keeps what it is given; tenants `readonly`, `full` and `closed` get a store that refuses.
#[derive(Default)]
pub struct Memory(pub Mutex<Vec<(Tenant, LogStream)>>);

impl LogSink for Memory {
    fn append(&self, tenant: &Tenant, streams: &[LogStream]) -> Result<(), AppendError> {
        match tenant.as_str() {
            "readonly" => return Err(AppendError::ReadOnly("no space left on device".to_owned())),
            "full" => {
                let refused = OverBudget { pool: "logs", limit: 10, used: 10, wanted: 1 };
                return Err(AppendError::OverBudget(refused));
            }
            "closed" => return Err(AppendError::Closed),
            _ => {}
        }
        for stream in streams {
            assert!(!stream.labels.is_empty() && !stream.timestamps.is_empty());
            assert_eq!(stream.timestamps.len(), stream.lines.len());
            assert_eq!(stream.timestamps.len(), stream.metadata.len());
            self.0.lock().push((tenant.clone(), stream.clone()));
        }
        Ok(())
    }
}

/// The limits of a tenant of the tests.
pub fn profile(tenant: &Tenant) -> Limits {
    let mut limits =
        Limits { creation_grace_period: Duration::from_secs(100 * 365 * 86_400), ..Limits::default() };
    let year_2100 = 4_102_444_800_000_000_000;
    match tenant.as_str() {
        "plain" => {
            limits.discover_service_name = Vec::new();
            limits.discover_log_levels = false;
        }
        "labels" => {
            limits.max_label_name_length = 5;
            limits.max_label_value_length = 6;
            limits.max_label_names_per_series = 2;
        }
        "line" => limits.max_line_size = 10,
        "trunc" | "trunc2" => {
            limits.max_line_size = 10;
            limits.max_line_size_truncate = true;
            if tenant.as_str() == "trunc2" {
                limits.max_line_size_truncate_identifier = "...".to_owned();
            }
        }
        "rate" => {
            limits.ingestion_rate_mb = 0.0001;
            limits.ingestion_burst_size_mb = 0.0001;
        }
        "stream" => limits.max_global_streams_per_user = 2,
        "srate" => {
            limits.per_stream_rate_limit = 10;
            limits.per_stream_rate_limit_burst = 20;
        }
        "meta" => {
            limits.max_structured_metadata_size = 20;
            limits.max_structured_metadata_entries_count = 2;
        }
        "nometa" => limits.allow_structured_metadata = false,
        "blocked" | "blocked429" | "blocked200" => {
            limits.block_ingestion_until = Some(year_2100);
            limits.block_ingestion_status_code =
                tenant.as_str().strip_prefix("blocked").and_then(|code| code.parse().ok()).unwrap_or(260);
        }
        "enforced" => limits.enforced_labels = vec!["env".to_owned(), "team".to_owned()],
        "dup" => limits.increment_duplicate_timestamp = true,
        _ => {}
    }
    let old_is_refused = ["plain", "line", "labels"].contains(&tenant.as_str());
    limits.reject_old_samples = old_is_refused;
    if old_is_refused {
        // What the cases call new must stay so.
        limits.reject_old_samples_max_age = Duration::from_secs(20 * 365 * 86_400);
    }
    limits
}

/// A push path of the tests.
pub struct Setup {
    pub push: Arc<Push>,
    pub sink: Arc<Memory>,
    pub registry: Registry,
}

impl Setup {
    pub fn new() -> Self {
        Setup::with(
            Pool::root("pushes", 1 << 30),
            PushOptions { auth_enabled: true, ..PushOptions::default() },
        )
    }

    pub fn with(memory: Pool, options: PushOptions) -> Self {
        let (sink, registry) = (Arc::new(Memory::default()), Registry::new());
        let limits = Arc::new(|tenant: &Tenant| Arc::new(profile(tenant)));
        let push = Push::new(sink.clone(), limits, memory, &registry, options).unwrap();
        Setup { push: Arc::new(push), sink, registry }
    }

    /// Everything written, a line each: time, line, metadata, labels.
    pub fn written(&self) -> Vec<String> {
        let mut out = Vec::new();
        for (_, stream) in self.sink.0.lock().iter() {
            for (row, at) in stream.timestamps.iter().enumerate() {
                let metadata: Vec<String> =
                    stream.metadata.get(row).map(|(name, value)| format!("{name}={value}")).collect();
                let line = stream.lines.get(row);
                out.push(format!("{at} {line:?} [{}] {}", metadata.join(" "), stream.labels));
            }
        }
        out
    }

    /// The value of a counter by its name and a part of its labels.
    pub fn counter(&self, name: &str, label: (&str, &str)) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).expect(name);
        let with = |metric: &&prometheus::proto::Metric| {
            metric.get_label().iter().any(|pair| (pair.name(), pair.value()) == label)
        };
        family.get_metric().iter().filter(with).map(|metric| metric.get_counter().get_value()).sum()
    }
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Posts a body.
pub async fn post(routes: &Router, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = routes.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.into_body().collect().await.unwrap().to_bytes().to_vec();
    Answer { status, headers, body }
}
