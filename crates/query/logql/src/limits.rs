//! What a query would read, from the store's statistics, before it reads anything.

use novaobs_logql_parser::{Expr, LogExpr, SampleExpr};
use novaobs_model::logs::LogSource;
use novaobs_model::select::QueryControl;

use crate::window::{Steps, Windows};
use crate::{Query, QueryError};

/// Refuses a query that would read more bytes than it may.
pub(crate) fn check_bytes(
    source: &dyn LogSource,
    query: &Query,
    control: &QueryControl,
) -> Result<(), QueryError> {
    let most = query.limits.max_bytes_read;
    if most == 0 {
        return Ok(());
    }
    let mut bytes = 0u64;
    let mut add = |log: &LogExpr, start: i64, end: i64| -> Result<(), QueryError> {
        let matchers = [log.matchers.clone()];
        source.streams(&query.tenant, &matchers, start, end, control, &mut |_, stats| {
            bytes = bytes.saturating_add(stats.bytes);
        })?;
        Ok(())
    };
    match &query.expr {
        Expr::Log(log) => add(log, query.start, query.end)?,
        Expr::Sample(expr) => {
            if let Some(steps) = Steps::new(query.start, query.end, query.step) {
                ranges(expr, steps, &mut add)?;
            }
        }
    }
    if bytes <= most {
        return Ok(());
    }
    Err(QueryError::Bad(format!(
        "the query would read too many bytes (query: {}, limit: {}); consider adding more specific stream \
         selectors or reduce the time range of the query",
        size(bytes),
        size(most)
    )))
}

/// Calls `each` with the lines of every range aggregation and the time its windows span.
fn ranges(
    expr: &SampleExpr,
    steps: Steps,
    each: &mut impl FnMut(&LogExpr, i64, i64) -> Result<(), QueryError>,
) -> Result<(), QueryError> {
    match expr {
        SampleExpr::Range(aggregation) => {
            let range = &aggregation.range;
            let (start, end) = Windows::new(steps, range.window, range.offset).bounds();
            each(&range.log, start, end)
        }
        SampleExpr::Vector(aggregation) => ranges(&aggregation.inner, steps, each),
        SampleExpr::LabelReplace { inner, .. } => ranges(inner, steps, each),
        SampleExpr::Binary(both) => {
            ranges(&both.left, steps, each)?;
            ranges(&both.right, steps, each)
        }
        SampleExpr::Literal(_) | SampleExpr::VectorFn(_) => Ok(()),
    }
}

/// Bytes in the largest unit that leaves a whole one: `512 B`, `1.5 KiB`, `20 MiB`.
fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let name = units.get(unit).copied().unwrap_or("B");
    // One digit behind the point where there are few before it.
    if unit > 0 && value < 10.0 { format!("{value:.1} {name}") } else { format!("{value:.0} {name}") }
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_are_short() {
        let all = [0, 1023, 1024, 1536, 20 << 20, u64::MAX].map(super::size);
        assert_eq!(all, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "20 MiB", "16 EiB"]);
    }
}
