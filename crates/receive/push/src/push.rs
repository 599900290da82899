//! [`Push`]: what decides about decoded streams and hands them to the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use novaobs_model::{LogSink, LogStream, Pool, Tenant};
use novaobs_tenants::Limits;
use novaobs_wire::loki_push::{PushStream, parse_labels};
use parking_lot::Mutex;
use prometheus::Registry;

use crate::error::PushError;
use crate::metrics::Metrics;
use crate::rate::{StreamRefusal, TenantRates};
use crate::text::{byte_size, go_time, label_text};
use crate::validate::{GoodStream, LabelPairs, Validator, add_service_name, metadata_bytes};

/// Gives the limits that hold for a tenant now.
pub type LimitsOf = Arc<dyn Fn(&Tenant) -> Arc<Limits> + Send + Sync>;

/// Which protocol entries came by, as metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Loki's own.
    Loki,
    /// OpenTelemetry's.
    Otlp,
}

impl Format {
    /// `loki` or `otlp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Loki => "loki",
            Format::Otlp => "otlp",
        }
    }
}

/// How requests are taken.
#[derive(Clone, Debug)]
pub struct PushOptions {
    /// Whether requests must name a tenant.
    pub auth_enabled: bool,
    /// The tenant of all requests when they need not.
    pub no_auth_tenant: Tenant,
    /// The longest body in bytes, as it comes.
    pub max_body: usize,
    /// The longest body in bytes, once unpacked.
    pub max_unpacked: usize,
}

impl Default for PushOptions {
    /// One tenant, `fake`; bodies of 100 MiB, 50 times that unpacked.
    fn default() -> Self {
        let max_body = 100 << 20;
        PushOptions {
            auth_enabled: false,
            no_auth_tenant: Tenant::new("fake"),
            max_body,
            max_unpacked: 50 * max_body,
        }
    }
}

/// What became of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Entries in the store.
    pub accepted: usize,
    /// Entries left out.
    pub rejected: usize,
    /// What to answer when anything was left out, or nothing came.
    pub error: Option<PushError>,
}

impl Outcome {
    fn refused(rejected: usize, error: PushError) -> Self {
        Outcome { accepted: 0, rejected, error: Some(error) }
    }
}

/// Takes decoded streams, applies limits, writes to a sink.
pub struct Push {
    pub(crate) options: PushOptions,
    pub(crate) memory: Pool,
    pub(crate) metrics: Metrics,
    pub(crate) limits: LimitsOf,
    sink: Arc<dyn LogSink>,
    tenants: Mutex<HashMap<Tenant, Arc<TenantRates>>>,
}

/// Accounts of tenants kept before idle ones are thrown out.
const MANY_TENANTS: usize = 10_000;
/// Entries that the answer to a stream over its rate lists.
const MAX_LISTED: usize = 10;

impl Push {
    /// A push path into `sink`. Bodies and what is decoded from them take their memory from `memory`.
    ///
    /// # Errors
    /// [`prometheus::Error`] when the metrics are registered already.
    pub fn new(
        sink: Arc<dyn LogSink>,
        limits: LimitsOf,
        memory: Pool,
        registry: &Registry,
        options: PushOptions,
    ) -> Result<Self, prometheus::Error> {
        let metrics = Metrics::new(registry)?;
        Ok(Push { options, memory, metrics, limits, sink, tenants: Mutex::default() })
    }

    /// Checks and writes streams. Blocks on the store. `now` is in Unix nanoseconds.
    pub fn push(&self, tenant: &Tenant, streams: Vec<PushStream>, format: Format, now: i64) -> Outcome {
        let rows: usize = streams.iter().map(|stream| stream.timestamps.len()).sum();
        if streams.is_empty() {
            let message = "error at least one valid stream is required for ingestion";
            return Outcome::refused(0, PushError::new(422, message));
        }
        let limits = (self.limits)(tenant);
        let labels = match read_labels(&streams, &limits, format) {
            Ok(labels) => labels,
            Err(error) => return Outcome::refused(rows, error),
        };
        self.count_received(tenant, format, &streams);

        let mut validator = Validator::new(tenant, &limits, &self.metrics, format, now);
        let mut good = Vec::with_capacity(streams.len());
        for (pairs, stream) in labels.iter().zip(streams) {
            if stream.timestamps.is_empty() {
                continue;
            }
            match validator.stream(pairs, stream) {
                Ok(kept) => good.extend(kept),
                Err(error) => return Outcome::refused(rows, error),
            }
        }
        let Validator { problems, blocked, rejected, .. } = validator;
        // What is wrong with entries counts more than that the tenant is blocked.
        let error = problems.text().map(PushError::bad_request).or(blocked);
        let outcome = Outcome { accepted: rows - rejected, rejected, error };
        if good.is_empty() { outcome } else { self.write(tenant, &limits, good, format, outcome) }
    }

    /// Applies the limits of rate and streams, then appends.
    fn write(
        &self,
        tenant: &Tenant,
        limits: &Limits,
        good: Vec<GoodStream>,
        format: Format,
        mut outcome: Outcome,
    ) -> Outcome {
        let clock = Instant::now();
        let rates = self.rates(tenant, limits, clock);
        let bytes = good.iter().map(|stream| stream.bytes).sum();
        if !rates.take(bytes, limits, clock) {
            let lines = outcome.accepted;
            self.metrics.discarded("rate_limited", tenant, format, lines as u64, bytes);
            let rate = (limits.ingestion_rate_mb * 1_048_576.0) as u64;
            let message = format!(
                "ingestion rate limit exceeded for user {tenant} (limit: {rate} bytes/sec) while attempting to ingest '{lines}' lines totaling '{bytes}' bytes, reduce log volume or contact your Loki administrator to see if the limit can be increased"
            );
            return Outcome::refused(outcome.accepted + outcome.rejected, PushError::new(429, message));
        }
        let mut streams = Vec::with_capacity(good.len());
        for stream in good {
            let hash = stream.stream.labels.stable_hash();
            let Err(refusal) = rates.take_stream(hash, stream.bytes, limits, clock) else {
                streams.push(stream.stream);
                continue;
            };
            let rows = stream.stream.timestamps.len();
            outcome.accepted -= rows;
            outcome.rejected += rows;
            let (reason, message) = match refusal {
                StreamRefusal::TooMany => ("stream_limit", too_many_streams(tenant, &stream.stream)),
                StreamRefusal::Rate => ("per_stream_rate_limit", stream_too_fast(tenant, limits, &stream)),
            };
            self.metrics.discarded(reason, tenant, format, rows as u64, stream.bytes);
            outcome.error = Some(PushError::new(429, message));
        }
        if streams.is_empty() {
            return outcome;
        }
        match self.sink.append(tenant, &streams) {
            Ok(()) => outcome,
            Err(error) => Outcome::refused(outcome.accepted + outcome.rejected, error.into()),
        }
    }

    fn rates(&self, tenant: &Tenant, limits: &Limits, now: Instant) -> Arc<TenantRates> {
        let mut tenants = self.tenants.lock();
        if let Some(rates) = tenants.get(tenant) {
            return rates.clone();
        }
        if tenants.len() >= MANY_TENANTS {
            tenants.retain(|_, rates| !rates.is_idle(now));
        }
        tenants.entry(tenant.clone()).or_insert_with(|| Arc::new(TenantRates::new(limits, now))).clone()
    }

    fn count_received(&self, tenant: &Tenant, format: Format, streams: &[PushStream]) {
        let (mut lines, mut bytes, mut metadata) = (0, 0, 0);
        for stream in streams {
            lines += stream.timestamps.len();
            bytes += stream.lines.text().len();
            if !stream.metadata.no_pairs() {
                metadata += stream.metadata.iter().map(metadata_bytes).sum::<usize>();
            }
        }
        self.metrics.received(tenant, format, lines as u64, bytes as u64, metadata as u64);
    }
}

/// Parses the labels of all streams; one that cannot be parsed refuses the request.
fn read_labels(
    streams: &[PushStream],
    limits: &Limits,
    format: Format,
) -> Result<Vec<LabelPairs>, PushError> {
    let read = |stream: &PushStream| {
        let mut pairs = parse_labels(&stream.labels)
            .map_err(|error| PushError::bad_request(format!("couldn't parse labels: {error}")))?;
        // The mapping of OTLP has its own way to a service name.
        if format == Format::Loki {
            add_service_name(&mut pairs, limits);
        }
        Ok(pairs)
    };
    streams.iter().map(read).collect()
}

fn too_many_streams(tenant: &Tenant, stream: &LogStream) -> String {
    let labels = label_text(stream.labels.iter());
    format!(
        "maximum active stream limit exceeded when trying to create stream {labels}, reduce the number of active streams (reduce labels or reduce label values), or contact your Loki administrator to see if the limit can be increased, user: '{tenant}'"
    )
}

fn stream_too_fast(tenant: &Tenant, limits: &Limits, stream: &GoodStream) -> String {
    let labels = label_text(stream.stream.labels.iter());
    let rate = byte_size(limits.per_stream_rate_limit);
    let mut text = String::new();
    for (timestamp, bytes) in stream.stream.timestamps.iter().zip(&stream.entry_bytes).take(MAX_LISTED) {
        let (at, bytes) = (go_time(*timestamp), byte_size(u64::from(*bytes)));
        text.push_str(&format!(
            "entry with timestamp {at} ignored, reason: 'Per stream rate limit exceeded (limit: {rate}/sec) while attempting to ingest for stream '{labels}' totaling {bytes}, consider splitting a stream via additional labels or contact your Loki administrator to see if the limit can be increased',\n"
        ));
    }
    let rows = stream.stream.timestamps.len();
    text.push_str(&format!("user '{tenant}', total ignored: {rows} out of {rows} for stream: {labels}"));
    text
}
