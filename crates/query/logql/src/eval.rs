//! Evaluates an expression of samples for all steps at once, from its leaves up.

use std::cell::{Cell, RefCell};

use novaobs_logql_parser::{Grouping, RangeAggregation, SampleExpr, VectorAggregation, VectorOp};
use novaobs_model::logs::{LogSource, ScanStats, Tenant};
use novaobs_model::select::QueryControl;
use novaobs_model::{GoRegex, Labels, Lease};

use crate::job::sums;
use crate::matrix::{Line, Operand, Point};
use crate::window::Steps;
use crate::{QueryError, Stats, binary, range, vector};

/// What an evaluation carries with it.
pub(crate) struct Env<'q> {
    /// Where lines come from.
    pub(crate) source: &'q dyn LogSource,
    /// Whose.
    pub(crate) tenant: &'q Tenant,
    /// When.
    pub(crate) steps: Steps,
    /// Whether one point per series is asked, in an order that may mean something.
    pub(crate) instant: bool,
    /// Bounds.
    pub(crate) control: &'q QueryControl,
    /// Whether columns are not to be used.
    pub(crate) row_path_only: bool,
    /// What was done.
    stats: RefCell<Stats>,
    /// Memory of the series held.
    lease: RefCell<Lease>,
    /// Range aggregations computed before, for expressions that name one twice.
    known: RefCell<Vec<Known>>,
    /// Whether there is a binary operation, so that a range aggregation may stand in the query twice.
    repeats: Cell<bool>,
}

/// A range aggregation that was computed.
struct Known {
    aggregation: RangeAggregation,
    outer: Option<Grouping>,
    lines: Vec<Line>,
}

impl<'q> Env<'q> {
    pub(crate) fn new(
        source: &'q dyn LogSource,
        tenant: &'q Tenant,
        steps: Steps,
        instant: bool,
        control: &'q QueryControl,
    ) -> Result<Env<'q>, QueryError> {
        let lease = control.pool().take(0).map_err(|refused| QueryError::Select(refused.into()))?;
        Ok(Env {
            source,
            tenant,
            steps,
            instant,
            control,
            row_path_only: false,
            stats: RefCell::default(),
            lease: RefCell::new(lease),
            known: RefCell::default(),
            repeats: Cell::new(false),
        })
    }

    /// Takes memory for series, until the query ends.
    pub(crate) fn hold(&self, bytes: usize) -> Result<(), QueryError> {
        self.lease.borrow_mut().grow(bytes as u64).map_err(|refused| QueryError::Select(refused.into()))
    }

    pub(crate) fn count(&self, stats: &Stats) {
        range::add_stats(&mut self.stats.borrow_mut(), stats);
    }

    pub(crate) fn count_scan(&self, scan: &ScanStats) {
        range::add_scan(&mut self.stats.borrow_mut().scan, scan);
    }

    pub(crate) fn stats(&self) -> Stats {
        *self.stats.borrow()
    }

    /// The same number at every step, as a series without labels.
    pub(crate) fn constant(&self, value: f64) -> Vec<Line> {
        let points = (0..self.steps.count).map(|step| Point { step, value }).collect();
        vec![Line { labels: Labels::empty(), points }]
    }
}

/// Evaluates an expression.
pub(crate) fn evaluate(env: &Env<'_>, expr: &SampleExpr) -> Result<Operand, QueryError> {
    env.repeats.set(matches!(expr, SampleExpr::Binary(_)) || env.repeats.get());
    match expr {
        SampleExpr::Literal(value) => Ok(Operand::Number(*value)),
        SampleExpr::VectorFn(value) => Ok(Operand::Series(env.constant(*value))),
        SampleExpr::Range(aggregation) => Ok(Operand::Series(leaf(env, aggregation, None)?)),
        SampleExpr::Vector(aggregation) => Ok(Operand::Series(aggregate(env, aggregation)?)),
        SampleExpr::LabelReplace { inner, dst, replacement, src, regex } => {
            let lines = series(env, inner)?;
            Ok(Operand::Series(label_replace(lines, dst, replacement, src, regex)?))
        }
        SampleExpr::Binary(both) => {
            let left = evaluate(env, &both.left)?;
            let right = evaluate(env, &both.right)?;
            binary::evaluate(env, both, left, right)
        }
    }
}

/// The series of an expression; a number is a series without labels.
fn series(env: &Env<'_>, expr: &SampleExpr) -> Result<Vec<Line>, QueryError> {
    Ok(match evaluate(env, expr)? {
        Operand::Series(lines) => lines,
        Operand::Number(value) => env.constant(value),
    })
}

fn aggregate(env: &Env<'_>, aggregation: &VectorAggregation) -> Result<Vec<Line>, QueryError> {
    let lines = match &*aggregation.inner {
        SampleExpr::Range(inner) if aggregation.op == VectorOp::Sum && sums(inner.op) => {
            let all = Grouping { without: false, labels: Vec::new() };
            let lines = leaf(env, inner, Some(aggregation.grouping.as_ref().unwrap_or(&all)))?;
            // Series of rows with errors have all their labels still; without any, the sums are done.
            if lines.iter().all(|line| line.labels.get("__error__").is_none()) {
                return Ok(lines);
            }
            lines
        }
        inner => series(env, inner)?,
    };
    vector::aggregate(env, aggregation, lines)
}

fn leaf(
    env: &Env<'_>,
    aggregation: &RangeAggregation,
    outer: Option<&Grouping>,
) -> Result<Vec<Line>, QueryError> {
    let same = |known: &&Known| known.aggregation == *aggregation && known.outer.as_ref() == outer;
    if let Some(known) = env.known.borrow().iter().find(same) {
        return Ok(known.lines.clone());
    }
    let lines = range::evaluate(env, aggregation, outer)?;
    if env.repeats.get() {
        let known = Known { aggregation: aggregation.clone(), outer: outer.cloned(), lines: lines.clone() };
        env.known.borrow_mut().push(known);
    }
    Ok(lines)
}

fn label_replace(
    mut lines: Vec<Line>,
    dst: &str,
    replacement: &str,
    src: &str,
    regex: &str,
) -> Result<Vec<Line>, QueryError> {
    let regex = GoRegex::new(regex)
        .map_err(|error| QueryError::Bad(format!("parse error : invalid regex in label_replace: {error}")))?;
    for line in &mut lines {
        let Some(value) = regex.expand(line.labels.value(src), replacement) else { continue };
        let mut builder = novaobs_model::LabelsBuilder::from_labels(&line.labels);
        line.labels = builder.set(dst, &value).build();
    }
    Ok(lines)
}
