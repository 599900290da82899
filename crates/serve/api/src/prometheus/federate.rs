//! `/federate`: the last sample of each series that matches, in an exposition format.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use novaobs_model::{
    Labels, METRIC_NAME, Matcher, MetricType, QueryControl, SelectError, SelectRequest, SeriesSamples,
    SeriesSource, is_stale,
};
use novaobs_promql_parser::parse_selector;
use novaobs_wire::exposition::encode::Encoder;
use novaobs_wire::exposition::negotiate::negotiate;

use super::Api;
use super::envelope::text_error;
use super::params::Params;
use super::query::{blocking, now};

pub(super) async fn federate(State(api): State<Api>, headers: HeaderMap, params: Params) -> Response {
    if let Err(error) = params.check_form() {
        return text_error(StatusCode::BAD_REQUEST, &error.message);
    }
    let selectors: Result<Vec<_>, _> = params.all("match[]").map(parse_selector).collect();
    let selectors = match selectors {
        Ok(selectors) => selectors,
        Err(error) => return text_error(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let served = negotiate(accept, false);
    let content_type = served.content_type.clone();
    let end = now();
    let lookback = i64::try_from(api.state.engine.options().lookback.as_millis()).unwrap_or(i64::MAX);
    let range = (end.saturating_sub(lookback), end);
    let external = api.state.status.external_labels();
    let source = api.state.source.clone();
    let body = blocking(api.state.engine.control(None), move |control| {
        let found = last_samples(source.as_ref(), selectors, range, control)?;
        Ok(encode(found, &external, Encoder::new(served.format, served.escaping)))
    })
    .await;
    match body {
        Ok(body) => ([(header::CONTENT_TYPE, content_type)], body).into_response(),
        Err(error) => text_error(StatusCode::INTERNAL_SERVER_ERROR, &error.message),
    }
}

/// Time and value by metric name and series: the order of the answer.
type LastSamples = BTreeMap<(String, Labels), (i64, f64)>;

/// The last sample of each series in the range, unless that marks its end.
fn last_samples(
    source: &dyn SeriesSource,
    selectors: Vec<Vec<Matcher>>,
    (start, end): (i64, i64),
    control: &QueryControl,
) -> Result<LastSamples, SelectError> {
    let mut found = BTreeMap::new();
    let mut series = SeriesSamples::default();
    let mut lease = control.pool().take(0)?;
    for matchers in selectors {
        let mut cursor = source.select(&SelectRequest { matchers, start, end }, control)?;
        while cursor.next(&mut series)? {
            control.check()?;
            let Some((time, value)) =
                series.samples.iter().next_back().filter(|(_, value)| !is_stale(*value))
            else {
                continue;
            };
            let name = series.labels.metric_name().to_owned();
            if name.is_empty() {
                continue;
            }
            lease.grow((series.labels.heap_bytes() + name.len() + 96) as u64)?;
            found.insert((name, series.labels.clone()), (time, value));
        }
    }
    Ok(found)
}

fn encode(found: LastSamples, external: &Labels, mut encoder: Encoder) -> Vec<u8> {
    let mut family = String::new();
    for ((name, labels), (time, value)) in found {
        if name != family {
            encoder.family(&name, MetricType::Unknown, "", "");
            family = name;
        }
        encoder.sample(&with_external(&labels, external), value, Some(time));
    }
    encoder.finish()
}

/// Adds the labels that name this server, and an empty `instance` where there is none: without it the
/// scraping server would put its own in. That is the one place where an empty label is written, so the
/// set is made for the encoder only.
fn with_external(labels: &Labels, external: &Labels) -> Labels {
    let mut pairs: BTreeMap<&str, &str> = BTreeMap::from([("instance", "")]);
    pairs.extend(external.iter().filter(|(name, _)| *name != METRIC_NAME));
    pairs.extend(labels);
    Labels::from_sorted(pairs)
}
