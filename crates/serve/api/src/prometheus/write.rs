//! `POST /api/v1/write`: remote write 1.0 into the store.

use ::prometheus::{IntCounter, Registry};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use novaobs_model::{RejectReason, Sample, SampleSink};
use novaobs_wire::remote_write::{Batch, DecodeError, decode, decompress};

use super::Api;
use super::envelope::text_error;
use super::query::now;

/// Largest body, packed and unpacked, as in the peer.
const MAX_SIZE: usize = 32 << 20;
/// Samples further in the future are refused. Milliseconds.
const MAX_AHEAD: i64 = 10 * 60 * 1000;
const MEDIA_TYPE: &str = "application/x-protobuf";
const V1: &str = "prometheus.WriteRequest";
const V2: &str = "io.prometheus.write.v2.Request";

/// Counters of remote write.
pub(super) struct WriteMetrics {
    invalid_labels: IntCounter,
}

impl WriteMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, ::prometheus::Error> {
        let invalid_labels = IntCounter::new(
            "prometheus_api_remote_write_invalid_labels_samples_total",
            "The total number of received remote write samples and histogram samples which were rejected due to invalid labels.",
        )?;
        registry.register(Box::new(invalid_labels.clone()))?;
        Ok(WriteMetrics { invalid_labels })
    }
}

/// Answers 204 once all samples are in the store's log. 4xx: sending again is no use; 5xx: it is.
pub(super) async fn write(State(api): State<Api>, request: Request) -> Response {
    let Some(sink) = api.state.sink.clone() else {
        let message = "remote write receiver needs to be enabled with --web.enable-remote-write-receiver";
        return text_error(StatusCode::NOT_FOUND, message);
    };
    if let Err(message) = check_headers(request.headers()) {
        return text_error(StatusCode::UNSUPPORTED_MEDIA_TYPE, &message);
    }
    let body = match axum::body::to_bytes(request.into_body(), MAX_SIZE).await {
        Ok(body) => body,
        Err(_) => {
            let message = format!("request body exceeds the {MAX_SIZE} bytes limit");
            return text_error(StatusCode::PAYLOAD_TOO_LARGE, &message);
        }
    };
    // Accepted data must not depend on the client staying: the task runs on if the connection breaks.
    let metrics = api.clone();
    let stored = tokio::task::spawn_blocking(move || {
        let batch = decompress(&body, MAX_SIZE).and_then(|message| decode(&message))?;
        if let Some(problem) = &batch.first_invalid {
            tracing::warn!(series = batch.invalid_series, "remote write with invalid labels: {problem}");
            metrics.write_metrics.invalid_labels.inc_by(batch.invalid_series as u64);
        }
        store(sink.as_ref(), &batch)
    });
    match stored.await {
        Ok(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(refusal)) => text_error(refusal.status, &refusal.message),
        Err(error) => text_error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn check_headers(headers: &HeaderMap) -> Result<(), String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    check_type(text(header::CONTENT_TYPE))?;
    match text(header::CONTENT_ENCODING) {
        "" | "snappy" => Ok(()),
        encoding => Err(format!(
            "{encoding} encoding (compression) is not accepted by this server; only snappy is acceptable"
        )),
    }
}

/// Why a request was not stored, or not all of it.
struct Refusal {
    status: StatusCode,
    message: String,
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        let message = match error {
            DecodeError::TooLarge { limit, .. } => format!("decoded size exceeds the {limit} bytes limit"),
            error => error.to_string(),
        };
        Refusal { status: StatusCode::BAD_REQUEST, message }
    }
}

impl From<novaobs_model::AppendError> for Refusal {
    fn from(error: novaobs_model::AppendError) -> Self {
        Refusal { status: StatusCode::INTERNAL_SERVER_ERROR, message: error.to_string() }
    }
}

fn store(sink: &dyn SampleSink, batch: &Batch) -> Result<(), Refusal> {
    let latest = now().saturating_add(MAX_AHEAD);
    if batch.samples.iter().any(|sample| sample.timestamp > latest) {
        let message = "out of bounds: timestamp is too far in the future".to_owned();
        return Err(Refusal { status: StatusCode::BAD_REQUEST, message });
    }
    let mut all: Vec<usize> = (0..batch.samples.len()).collect();
    let mut first_reason = None;
    // A second round for series the store dropped from memory between the two calls.
    for _ in 0..2 {
        let mut unknown = Vec::new();
        let rejected = append(sink, batch, &all)?;
        for (at, reason) in rejected {
            match reason {
                RejectReason::UnknownSeries => unknown.push(at),
                reason => {
                    first_reason.get_or_insert(reason);
                }
            }
        }
        all = unknown;
        if all.is_empty() {
            break;
        }
    }
    match first_reason {
        // The peer drops the whole request here; keeping what is good loses less.
        Some(reason) => Err(Refusal { status: StatusCode::BAD_REQUEST, message: reason.to_string() }),
        None if all.is_empty() => Ok(()),
        None => {
            let message = RejectReason::UnknownSeries.to_string();
            Err(Refusal { status: StatusCode::INTERNAL_SERVER_ERROR, message })
        }
    }
}

/// Writes the samples at these places of the batch; gives back the places of those left out.
fn append(
    sink: &dyn SampleSink,
    batch: &Batch,
    places: &[usize],
) -> Result<Vec<(usize, RejectReason)>, novaobs_model::AppendError> {
    let mut series = Vec::with_capacity(batch.series.len());
    sink.series(&batch.series, &mut series)?;
    let mut samples = Vec::with_capacity(places.len());
    let mut sent = Vec::with_capacity(places.len());
    for place in places {
        let Some(sample) = batch.samples.get(*place) else { continue };
        let Some(series) = series.get(sample.series as usize) else { continue };
        samples.push(Sample { series: *series, timestamp: sample.timestamp, value: sample.value });
        sent.push(*place);
    }
    let report = sink.append(&samples)?;
    Ok(report.rejected.into_iter().filter_map(|(at, reason)| Some((*sent.get(at)?, reason))).collect())
}

/// Checks that the message is one that is taken here.
fn check_type(content_type: &str) -> Result<(), String> {
    let content_type = content_type.trim();
    if content_type.is_empty() {
        return Ok(());
    }
    let mut parts = content_type.split(';');
    if parts.next() != Some(MEDIA_TYPE) {
        return Err(format!(
            "expected {MEDIA_TYPE} as the first (media) part, got {content_type} content-type"
        ));
    }
    for part in parts {
        let pair: Vec<&str> = part.split('=').collect();
        let [name, value] = pair.as_slice() else {
            return Err(format!(
                "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, got {part} in {content_type} content-type"
            ));
        };
        match (*name, *value) {
            ("proto", V1) => return Ok(()),
            ("proto", V2) => {
                return Err(format!(
                    "{V2} protobuf message is not accepted by this server; only accepts {V1}"
                ));
            }
            ("proto", other) => {
                return Err(format!(
                    "got {content_type} content type; unknown type for remote write protobuf message {other}, supported: {V1}, {V2}"
                ));
            }
            _ => {}
        }
    }
    Ok(())
}
