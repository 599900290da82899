//! `/loki/api/v1/patterns`: which kinds of lines there are, and how many of each over time.
//!
//! Patterns are made when they are asked for, of a bounded sample of lines: the range is cut into slices,
//! of each slice the newest lines are read, and counts are scaled by how many lines the slice has.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use novaobs_model::logs::{LineWanted, LogColumns, Order};
use novaobs_model::{LogScan, LogSource, Matcher, QueryControl, Tenant};

use super::Api;
use super::drain::Drain;
use super::error::ApiError;
use super::json::{answer, push, push_string};
use super::params::{Range, now};
use super::run::{limits_of, run};
use super::selector::{align, check_length, matchers, seconds, whole_step};
use super::tenancy::Asked;

/// Most slices of a range, and lines read of each.
const SLICES: i64 = 20;
const LINES: usize = 2_000;
/// Most patterns in an answer.
const SHOWN: usize = 300;

/// Lines by time.
type Counts = BTreeMap<i64, f64>;

/// `/loki/api/v1/patterns`.
pub(super) async fn patterns(State(api): State<Api>, asked: Asked) -> Result<Response, ApiError> {
    let Asked { tenant, params, headers } = asked;
    if !api.state.patterns_enabled {
        let headers = [("content-type", "text/plain; charset=utf-8")];
        return Ok((StatusCode::NOT_FOUND, headers, "").into_response());
    }
    let range = params.range(now())?;
    let step = whole_step(params.step(range)?);
    let selector = matchers(params.get("query"))?;
    let limits = limits_of(&api, &tenant, &headers);
    check_length(range.end.saturating_sub(range.start) / 1_000_000 * 1_000_000, &limits)?;
    let of = tenant.clone();
    let done = run(&api, &tenant, &limits, move |source, control| {
        let mut levels: BTreeMap<String, Drain<Counts>> = BTreeMap::new();
        for slice in slices(range, step) {
            sample(source, &of, &selector, slice, step, control, &mut levels)?;
        }
        Ok(most_frequent(levels))
    });
    let mut out = "{\"status\":\"success\",\"data\":[".to_owned();
    for (at, (pattern, level, counts)) in done.await?.value.iter().enumerate() {
        out.push_str(if at > 0 { ",{\"pattern\":" } else { "{\"pattern\":" });
        push_string(&mut out, pattern);
        out.push_str(",\"level\":");
        push_string(&mut out, level);
        out.push_str(",\"samples\":[");
        for (at, (time, count)) in counts.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            push(&mut out, format_args!("{comma}[{},{}]", seconds(*time), count.round().max(1.0) as u64));
        }
        out.push_str("]}");
    }
    out.push_str("]}\n");
    Ok(answer(out))
}

/// Parts of a range that begin on whole steps.
fn slices(range: Range, step: i64) -> Vec<Range> {
    if range.start >= range.end {
        return Vec::new();
    }
    let whole = align(range, step);
    let steps = (whole.end.saturating_sub(whole.start) / step).max(1);
    let length = step.saturating_mul((steps + SLICES - 1) / SLICES);
    let starts = (0..).map_while(|at: i64| {
        let start = whole.start.checked_add(at.checked_mul(length)?)?;
        (start < range.end).then_some(start)
    });
    let slice = |start: i64| Range {
        start: start.max(range.start),
        end: start.saturating_add(length).min(range.end),
    };
    starts.map(slice).collect()
}

/// Reads the newest lines of a slice into the patterns of their levels.
fn sample(
    source: &dyn LogSource,
    tenant: &Tenant,
    selector: &[Matcher],
    slice: Range,
    step: i64,
    control: &QueryControl,
    levels: &mut BTreeMap<String, Drain<Counts>>,
) -> Result<(), ApiError> {
    let mut total = 0u64;
    let selectors = [selector.to_vec()];
    source.streams(tenant, &selectors, slice.start, slice.end, control, &mut |_, stats| {
        total += stats.entries;
    })?;
    let scan = LogScan {
        tenant: tenant.clone(),
        start: slice.start,
        end: slice.end,
        matchers: selector.to_vec(),
        lines: Vec::new(),
        fields: Vec::new(),
        columns: LogColumns { line: LineWanted::Always, metadata: true, ..LogColumns::default() },
        order: Order::Newest,
    };
    let weight = (total as f64 / LINES as f64).max(1.0);
    let mut cursor = source.scan(&scan, control)?;
    let mut read = 0;
    while let Some(batch) = cursor.next()? {
        control.check().map_err(novaobs_model::SelectError::from)?;
        let streams = batch.streams.iter().flat_map(|run| std::iter::repeat_n(&run.labels, run.rows));
        for (row, (time, labels)) in batch.timestamps.iter().zip(streams).enumerate() {
            let metadata = batch.metadata.get(row).find(|(name, _)| *name == "detected_level");
            let level = metadata.map(|(_, value)| value).or_else(|| labels.get("detected_level"));
            let level = level.or_else(|| labels.get("level")).unwrap_or("unknown");
            let drain = match levels.get_mut(level) {
                Some(drain) => drain,
                None => levels.entry(level.to_owned()).or_default(),
            };
            if let Some(counts) = drain.count(batch.lines.get(row)) {
                *counts.entry(time - time.rem_euclid(step)).or_default() += weight;
            }
            read += 1;
            if read >= LINES {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Pattern, level and counts, the most frequent first.
fn most_frequent(levels: BTreeMap<String, Drain<Counts>>) -> Vec<(String, String, Counts)> {
    let mut merged: BTreeMap<(String, String), Counts> = BTreeMap::new();
    for (level, drain) in levels {
        for (pattern, counts) in drain.finish() {
            let all = merged.entry((pattern, level.clone())).or_default();
            for (time, count) in counts {
                *all.entry(time).or_default() += count;
            }
        }
    }
    let mut all: Vec<_> =
        merged.into_iter().map(|((pattern, level), counts)| (pattern, level, counts)).collect();
    let total = |counts: &Counts| counts.values().sum::<f64>();
    all.sort_by(|a, b| total(&b.2).total_cmp(&total(&a.2)));
    all.truncate(SHOWN);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_the_range_once() {
        let range = Range { start: 13, end: 1007 };
        let slices = slices(range, 10);
        assert!(slices.len() as i64 <= SLICES);
        assert_eq!((slices[0].start, slices[slices.len() - 1].end), (13, 1007));
        assert!(slices.windows(2).all(|pair| pair[0].end == pair[1].start && pair[1].start % 10 == 0));
        assert!(super::slices(Range { start: 5, end: 5 }, 10).is_empty());
    }
}
