//! What handlers take from the tree of a query: its selectors and ranges, and the checks of a tenant's
//! limits on them.

use novaobs_logql_parser::{Expr, LogExpr, Stage, log_exprs, max_window, parse, ranges};
use novaobs_model::{Matcher, duration};
use novaobs_tenants::Limits;
use novaobs_tenants::limits::BlockedQuery;

use super::error::ApiError;
use super::params::{Range, SECOND, go_duration};

/// The matchers of a text that is a selector and nothing else.
pub(super) fn matchers(text: &str) -> Result<Vec<Matcher>, ApiError> {
    match parse(text)? {
        Expr::Log(log) if log.stages.is_empty() => Ok(log.matchers),
        _ => Err(ApiError::bad("only label matchers are supported")),
    }
}

/// The query of a text that gives lines.
pub(super) fn log_query(text: &str) -> Result<LogExpr, ApiError> {
    match parse(text)? {
        Expr::Log(log) => Ok(log),
        Expr::Sample(_) => Err(ApiError::bad("only log selector is supported")),
    }
}

/// Checks a query's selectors against the limits.
pub(super) fn check_selectors(expr: &Expr, limits: &Limits) -> Result<(), ApiError> {
    for log in log_exprs(expr) {
        check_matchers(&log.matchers, limits)?;
    }
    let mut found = Ok(());
    if let Expr::Sample(sample) = expr {
        ranges(sample, &mut |range| {
            if found.is_ok() {
                found = check_window(range.window, limits);
            }
        });
    }
    found
}

fn check_matchers(matchers: &[Matcher], limits: &Limits) -> Result<(), ApiError> {
    let most = limits.max_streams_matchers_per_query;
    if most > 0 && matchers.len() > most {
        return Err(ApiError::bad(format!(
            "max streams matchers per query exceeded, matchers-count > limit ({} > {most})",
            matchers.len()
        )));
    }
    let mut present: Vec<&str> = matchers.iter().map(|matcher| matcher.name.as_str()).collect();
    let missing: Vec<&str> =
        limits.required_labels.iter().map(String::as_str).filter(|name| !present.contains(name)).collect();
    if !missing.is_empty() {
        return Err(ApiError::bad(format!(
            "stream selector is missing required matchers [{}], labels present in the query were [{}]",
            missing.join(", "),
            present.join(", ")
        )));
    }
    if present.len() < limits.minimum_labels_number {
        let shown = present.join(" ");
        present.dedup();
        return Err(ApiError::bad(format!(
            "stream selector has less label matchers than required: (present: [{shown}], number_present: {}, required_number_label_matchers: {})",
            present.len(),
            limits.minimum_labels_number
        )));
    }
    Ok(())
}

fn check_window(window: i64, limits: &Limits) -> Result<(), ApiError> {
    let most = limits.max_query_range;
    let window = std::time::Duration::from_nanos(window.unsigned_abs());
    if !most.is_zero() && window > most {
        return Err(ApiError::bad(format!(
            "[interval] value exceeds limit: [{}] > [{}]",
            duration::format(window),
            duration::format(most)
        )));
    }
    Ok(())
}

/// How far a query reaches back from its start, and how long that makes it.
pub(super) fn length(expr: &Expr, range: Range) -> i64 {
    let asked = range.end.saturating_sub(range.start);
    match max_window(expr) {
        0 => asked / 1_000_000 * 1_000_000,
        // The peer measures what it reads: the nanosecond before the window, too.
        window => asked.saturating_add(window).saturating_add(1),
    }
}

/// Refuses ranges longer than `max_query_length`.
pub(super) fn check_length(length: i64, limits: &Limits) -> Result<(), ApiError> {
    let most = limits.max_query_length;
    if !most.is_zero() && i128::from(length) > most.as_nanos() as i128 {
        return Err(ApiError::bad(format!(
            "the query time range exceeds the limit (query length: {}, limit: {})",
            go_duration(length),
            duration::format(most)
        )));
    }
    Ok(())
}

/// Narrows a range to what `max_query_lookback` lets see; `None` when nothing is left of it.
pub(super) fn within_lookback(range: Range, limits: &Limits, now: i64) -> Option<Range> {
    let back = i64::try_from(limits.max_query_lookback.as_nanos()).unwrap_or(i64::MAX);
    if back == 0 {
        return Some(range);
    }
    let first = now.saturating_sub(back);
    (range.end >= first).then_some(Range { start: range.start.max(first), end: range.end })
}

/// Refuses what `blocked_queries` names.
pub(super) fn check_blocked(text: &str, expr: &Expr, limits: &Limits, tags: &str) -> Result<(), ApiError> {
    if limits.blocked_queries.iter().any(|blocked| is_blocked(blocked, text.trim(), expr, tags)) {
        return Err(ApiError::bad("query blocked by policy"));
    }
    Ok(())
}

fn is_blocked(blocked: &BlockedQuery, text: &str, expr: &Expr, tags: &str) -> bool {
    let kind = match expr {
        Expr::Sample(_) => "metric",
        Expr::Log(log) if log.stages.iter().any(|stage| matches!(stage, Stage::Line(_))) => "filter",
        Expr::Log(_) => "limited",
    };
    if !blocked.types.is_empty() && !blocked.types.iter().any(|wanted| wanted == kind) {
        return false;
    }
    let has_tag = |(name, value): &(String, String)| {
        tags.split(',')
            .filter_map(|tag| tag.split_once('='))
            .any(|(n, v)| n.trim() == name && v.trim() == value)
    };
    if !blocked.tags.iter().all(has_tag) {
        return false;
    }
    if blocked.hash > 0 {
        return blocked.hash == fnv32a(text);
    }
    if blocked.pattern.is_empty() {
        return !blocked.tags.is_empty() || !blocked.types.is_empty();
    }
    match blocked.regex {
        // Anywhere in the query.
        true => novaobs_model::GoRegex::new(&format!(".*(?:{}).*", blocked.pattern))
            .is_ok_and(|regex| regex.is_match(text)),
        false => blocked.pattern.trim() == text,
    }
}

/// FNV-1a, the hash by which operators name queries.
fn fnv32a(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Both ends of a metric query on whole steps: the start down, the end up.
pub(super) fn align(range: Range, step: i64) -> Range {
    let start = range.start.saturating_sub(range.start.rem_euclid(step));
    let end = match range.end.rem_euclid(step) {
        0 => range.end,
        over => range.end.saturating_add(step - over),
    };
    Range { start, end }
}

/// Times are whole milliseconds in metric queries, as with the peer.
pub(super) fn whole_step(step: i64) -> i64 {
    (step / 1_000_000).max(1) * 1_000_000
}

/// Seconds of a time, rounded down.
pub(super) fn seconds(time: i64) -> i64 {
    time.div_euclid(SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_widened_to_whole_steps() {
        let f = |start, end, step, want: (i64, i64)| {
            let aligned = align(Range { start, end }, step);
            assert_eq!((aligned.start, aligned.end), want);
        };
        f(11, 11, 10, (10, 20));
        f(10, 20, 10, (10, 20));
        f(-5, 5, 10, (-10, 10));
    }

    #[test]
    fn the_hash_of_queries_is_fnv() {
        assert_eq!(fnv32a(""), 0x811c_9dc5);
        assert_eq!(fnv32a("a"), 0xe40c_292c);
    }
}
