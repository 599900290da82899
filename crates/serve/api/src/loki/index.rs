//! How much there is: `/loki/api/v1/index/stats`, `/volume` and `/volume_range`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use novaobs_logql::{Series, Stats};
use novaobs_model::{Labels, Matcher};

use super::Api;
use super::error::ApiError;
use super::json::{answer, label_text};
use super::params::{Params, Range, now};
use super::result::{QueryAnswer, Rows};
use super::run::{limits_of, run};
use super::selector::{check_length, matchers};
use super::stats::Statistics;
use super::tenancy::Asked;

/// `/loki/api/v1/index/stats`.
pub(super) async fn stats(State(api): State<Api>, asked: Asked) -> Result<Response, ApiError> {
    let Asked { tenant, params, headers } = asked;
    let range = params.ordered_range(now())?;
    params.step(range)?;
    let selector = matchers(params.get("query"))?;
    let limits = limits_of(&api, &tenant, &headers);
    check_length(range.end.saturating_sub(range.start) / 1_000_000 * 1_000_000, &limits)?;
    let of = tenant.clone();
    let done = run(&api, &tenant, &limits, move |source, control| {
        let (mut streams, mut chunks, mut entries, mut bytes) = (BTreeSet::new(), 0u64, 0u64, 0u64);
        source.streams(&of, &[selector], range.start, range.end, control, &mut |labels, stats| {
            streams.insert(labels.stable_hash());
            chunks += stats.blocks;
            entries += stats.entries;
            bytes += stats.bytes;
        })?;
        Ok((streams.len(), chunks, bytes, entries))
    });
    let (streams, chunks, bytes, entries) = done.await?.value;
    Ok(answer(format!(
        "{{\"streams\":{streams},\"chunks\":{chunks},\"bytes\":{bytes},\"entries\":{entries}}}\n"
    )))
}

/// What a volume is of.
struct VolumeRequest {
    matchers: Vec<Matcher>,
    /// Labels that name a volume; empty: those that the matchers name, or all when there is no matcher.
    target: Vec<String>,
    by_label: bool,
    limit: usize,
}

impl VolumeRequest {
    fn read(params: &Params, most: usize) -> Result<Self, ApiError> {
        let limit = match params.get("limit") {
            "0" => most,
            _ => params.limit()?,
        };
        let by_label = match params.get("aggregateBy") {
            "" | "series" => false,
            "labels" => true,
            _ => return Err(ApiError::bad("invalid aggregation option")),
        };
        let text = params.get("query");
        // Here, and only here, the selector may be empty.
        let bare: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let matchers = if bare == "{}" { Vec::new() } else { matchers(text)? };
        let target = params.get("targetLabels").split(',').map(str::trim);
        let target = target.filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Ok(VolumeRequest { matchers, target, by_label, limit: limit.min(most.max(1)) })
    }

    /// The names a stream's bytes are added to.
    fn names(&self, labels: &Labels, out: &mut Vec<Labels>) {
        out.clear();
        if self.by_label {
            let wanted = |name: &str| self.target.is_empty() || self.target.iter().any(|t| t == name);
            let named = labels.iter().filter(|(name, _)| wanted(name));
            out.extend(named.map(|(name, _)| Labels::from_sorted([(name, "")])));
            return;
        }
        if self.target.is_empty() {
            let wanted = |name: &str| self.matchers.iter().any(|matcher| matcher.name == name);
            match self.matchers.is_empty() {
                true => out.push(labels.clone()),
                false => out.push(labels.without(|name| !wanted(name))),
            }
        } else if self.target.iter().all(|name| labels.get(name).is_some()) {
            out.push(labels.without(|name| !self.target.iter().any(|target| target == name)));
        }
    }
}

/// `/loki/api/v1/index/volume`: one figure for the whole range.
pub(super) async fn volume(State(api): State<Api>, asked: Asked) -> Result<QueryAnswer, ApiError> {
    let range = asked.params.ordered_range(now())?;
    volumes(api, asked, range, None).await
}

/// `/loki/api/v1/index/volume_range`: one for each step.
pub(super) async fn volume_range(State(api): State<Api>, asked: Asked) -> Result<QueryAnswer, ApiError> {
    let range = asked.params.ordered_range(now())?;
    let step = asked.params.step(range)?;
    volumes(api, asked, range, Some(step)).await
}

async fn volumes(api: Api, asked: Asked, range: Range, step: Option<i64>) -> Result<QueryAnswer, ApiError> {
    let Asked { tenant, params, headers } = asked;
    let limits = limits_of(&api, &tenant, &headers);
    let request = VolumeRequest::read(&params, limits.volume_max_series)?;
    check_length(range.end.saturating_sub(range.start) / 1_000_000 * 1_000_000, &limits)?;
    if !limits.volume_enabled {
        return Err(ApiError::new(StatusCode::NOT_FOUND, "volume endpoint is not enabled for this tenant"));
    }
    let of = tenant.clone();
    let done = run(&api, &tenant, &limits, move |source, control| {
        let mut sums: HashMap<Labels, BTreeMap<i64, u64>> = HashMap::new();
        let selectors = if request.matchers.is_empty() { Vec::new() } else { vec![request.matchers.clone()] };
        let mut names = Vec::new();
        for (start, end, shown) in buckets(range, step) {
            source.streams(&of, &selectors, start, end, control, &mut |labels, stats| {
                request.names(labels, &mut names);
                for name in names.drain(..) {
                    *sums.entry(name).or_default().entry(shown).or_default() += stats.bytes;
                }
            })?;
        }
        Ok(largest(sums, request.limit))
    });
    let done = done.await?;
    let returned = done.value.len() as u64;
    let stats = Stats { returned_entries: returned, ..Stats::default() };
    let stats = Statistics { query: stats, queued: done.queued, ran: done.ran };
    // The peer calls it a vector when each has one point, whichever of the two was asked for.
    let rows = match done.value.iter().all(|series| series.points.len() == 1) {
        true => Rows::Vector(done.value),
        false => Rows::Matrix(done.value),
    };
    Ok(QueryAnswer { rows, flags: Vec::new(), stats: stats.json(), warnings: Vec::new(), cursor: None })
}

/// Start, end and the time shown of each bucket. All but the last are shown a millisecond before they end.
fn buckets(range: Range, step: Option<i64>) -> impl Iterator<Item = (i64, i64, i64)> {
    let mut start = Some(range.start).filter(|start| *start < range.end);
    std::iter::from_fn(move || {
        let from = start?;
        let next = step.map(|step| from.saturating_sub(from.rem_euclid(step)).saturating_add(step));
        match next.filter(|next| *next < range.end) {
            Some(next) => {
                start = Some(next);
                Some((from, next, next - 1_000_000))
            }
            None => {
                start = None;
                Some((from, range.end, range.end))
            }
        }
    })
}

/// The `limit` largest, the largest first.
fn largest(sums: HashMap<Labels, BTreeMap<i64, u64>>, limit: usize) -> Vec<Series> {
    let mut all: Vec<(u64, String, Series)> = sums
        .into_iter()
        .map(|(labels, points)| {
            let points = points.into_iter().map(|(time, bytes)| (time, bytes as f64)).collect::<Vec<_>>();
            let total = points.iter().map(|(_, bytes)| *bytes as u64).sum();
            (total, label_text(&labels), Series { labels, points })
        })
        .collect();
    all.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    all.truncate(limit);
    all.into_iter().map(|(_, _, series)| series).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_stand_on_whole_steps() {
        const MS: i64 = 1_000_000;
        let f = |start, end, step: Option<i64>| {
            let all: Vec<_> =
                buckets(Range { start: start * MS, end: end * MS }, step.map(|s| s * MS)).collect();
            all.into_iter().map(|(a, b, c)| (a / MS, b / MS, c / MS)).collect::<Vec<_>>()
        };
        assert_eq!(f(50, 75, None), [(50, 75, 75)]);
        assert_eq!(f(50, 75, Some(20)), [(50, 60, 59), (60, 75, 75)]);
        assert_eq!(f(60, 80, Some(20)), [(60, 80, 80)]);
        assert_eq!(f(75, 75, Some(20)), []);
    }
}
