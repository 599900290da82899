//! Range aggregations: one pass over the scan, by columns where they are certain to do, else row by row.

use novaobs_logql_parser::{Grouping, RangeAggregation, RangeOp};
use novaobs_model::logs::ScanStats;
use novaobs_model::{Labels, MatchOp};

use crate::column_worker::ColumnWorker;
use crate::columns::ColumnPlan;
use crate::drive::{Trouble, drive};
use crate::eval::Env;
use crate::job::{Collected, Job, grouping};
use crate::matrix::{Line, Point};
use crate::pushdown::keep_sure_hints;
use crate::rows::RowWorker;
use crate::series::SeriesTable;
use crate::{QueryError, Stats};

/// The series of a range aggregation, in no order. `outer` is the grouping of a `sum` around it that may be
/// done at once.
pub(crate) fn evaluate(
    env: &Env<'_>,
    aggregation: &RangeAggregation,
    outer: Option<&Grouping>,
) -> Result<Vec<Line>, QueryError> {
    let job = Job::new(aggregation, grouping(aggregation, outer), env.steps, env.control);
    let pipeline = job.pipeline()?;
    let (collected, scan) = match by_columns(env, &job, &pipeline) {
        Err(Trouble::NeedsRows) => by_rows(env, &job, &pipeline),
        done => done,
    }
    .map_err(|trouble| match trouble {
        Trouble::Query(error) => error,
        Trouble::NeedsRows => {
            novaobs_model::never!("the row path asks for rows");
            QueryError::Execution("rows could not be read one by one".to_owned())
        }
    })?;
    env.count_scan(&scan);
    let lines = merge(env, collected)?;
    if aggregation.op == RangeOp::AbsentOverTime {
        return Ok(absent(env, aggregation, &lines));
    }
    Ok(lines)
}

fn by_columns(
    env: &Env<'_>,
    job: &Job<'_>,
    pipeline: &novaobs_log_pipeline::Pipeline,
) -> Result<(Vec<Collected>, ScanStats), Trouble> {
    if env.row_path_only {
        return Err(Trouble::NeedsRows);
    }
    let plan = ColumnPlan::of(job).ok_or(Trouble::NeedsRows)?;
    let mut scan = job.scan(env.tenant, plan.columns.clone());
    keep_sure_hints(env.source, &mut scan, env.control)?;
    let (workers, scan) = drive(env.source, &scan, env.control, || ColumnWorker::new(job, &plan, pipeline))?;
    let mut collected: Vec<Collected> = workers.into_iter().map(ColumnWorker::finish).collect();
    // Lines that were never put together were looked at all the same.
    if let Some(first) = collected.first_mut() {
        first.stats.processed_bytes += scan.bytes + scan.memory_bytes;
    }
    Ok((collected, scan))
}

fn by_rows(
    env: &Env<'_>,
    job: &Job<'_>,
    pipeline: &novaobs_log_pipeline::Pipeline,
) -> Result<(Vec<Collected>, ScanStats), Trouble> {
    let mut scan = job.scan(env.tenant, job.row_columns());
    keep_sure_hints(env.source, &mut scan, env.control)?;
    let (workers, scan) = drive(env.source, &scan, env.control, || RowWorker::new(job, pipeline))?;
    Ok((workers.into_iter().map(RowWorker::finish).collect(), scan))
}

/// The series of all workers together.
fn merge(env: &Env<'_>, collected: Vec<Collected>) -> Result<Vec<Line>, QueryError> {
    let mut table = SeriesTable::default();
    let mut whole = None;
    for Collected { sink, series, stats } in collected {
        env.count(&stats);
        let numbers: Vec<u32> = series.into_iter().map(|labels| table.number(labels)).collect();
        match &mut whole {
            // The first one's series are numbered as the table's.
            None => whole = Some(sink),
            Some(whole) => whole.absorb(sink, &numbers)?,
        }
    }
    let points = match whole {
        Some(whole) => whole.finish(env.control)?,
        None => Vec::new(),
    };
    let lines = table.into_labels().into_iter().zip(points);
    let lines: Vec<Line> = lines
        .filter(|(_, points)| !points.is_empty())
        .map(|(labels, points)| Line { labels, points })
        .collect();
    env.hold(lines.iter().map(|line| line.points.len()).sum::<usize>() * size_of::<Point>())?;
    Ok(lines)
}

/// One series with the labels the selector asks to be equal, at the steps without any row.
fn absent(env: &Env<'_>, aggregation: &RangeAggregation, lines: &[Line]) -> Vec<Line> {
    let mut there = vec![false; env.steps.count as usize];
    for point in lines.iter().flat_map(|line| &line.points) {
        if let Some(there) = there.get_mut(point.step as usize) {
            *there = true;
        }
    }
    let points: Vec<Point> = there
        .iter()
        .enumerate()
        .filter(|(_, there)| !**there)
        .map(|(step, _)| Point { step: step as u32, value: 1.0 })
        .collect();
    if points.is_empty() {
        return Vec::new();
    }
    let matchers = &aggregation.range.log.matchers;
    // A name that is asked for twice says nothing.
    let only = |name: &str| matchers.iter().filter(|matcher| matcher.name == name).count() == 1;
    let equal = matchers.iter().filter(|matcher| matcher.op == MatchOp::Equal && only(&matcher.name));
    let labels = Labels::from_pairs(equal.map(|matcher| (&*matcher.name, &*matcher.value)));
    vec![Line { labels, points }]
}

/// Adds what one worker saw.
pub(crate) fn add_stats(total: &mut Stats, more: &Stats) {
    total.processed_bytes += more.processed_bytes;
    total.metadata_bytes += more.metadata_bytes;
    total.processed_lines += more.processed_lines;
    total.filtered_lines += more.filtered_lines;
}

/// Adds what one scan did.
pub(crate) fn add_scan(total: &mut ScanStats, more: &ScanStats) {
    total.parts += more.parts;
    total.parts_skipped += more.parts_skipped;
    total.blocks += more.blocks;
    total.blocks_skipped += more.blocks_skipped;
    total.rows += more.rows;
    total.bytes += more.bytes;
    total.bytes_read += more.bytes_read;
    total.memory_rows += more.memory_rows;
    total.memory_bytes += more.memory_bytes;
}
