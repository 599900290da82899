//! One range aggregation to be computed: its lines, what is taken of each, and how series are told apart.

use novaobs_log_pipeline::Pipeline;
use novaobs_logql_parser::{Grouping, LogRange, RangeAggregation, RangeOp, Stage};
use novaobs_model::logs::{LineWanted, LogColumns, LogScan, Order, Tenant};
use novaobs_model::select::QueryControl;

use crate::drive::Trouble;
use crate::pushdown::{Pushed, pushed};
use crate::sink::{Function, Sink};
use crate::window::{Steps, Windows};
use crate::{QueryError, Stats};

/// How series are told apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Keys {
    /// By these labels only.
    By(Vec<String>),
    /// By all but these.
    Without(Vec<String>),
}

/// What is taken of each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// That it is there.
    Row,
    /// The length of its line.
    Bytes,
    /// The value unwrapped.
    Value,
}

/// A range aggregation.
pub(crate) struct Job<'q> {
    /// Which lines.
    pub(crate) range: &'q LogRange,
    /// What of each window.
    pub(crate) function: Function,
    /// Which windows.
    pub(crate) windows: Windows,
    /// How series are told apart.
    pub(crate) keys: Keys,
    /// What of each row.
    pub(crate) taken: Taken,
    /// What the store can do.
    pub(crate) pushed: Pushed,
    /// Bounds.
    pub(crate) control: &'q QueryControl,
}

/// The grouping of the range aggregation itself, or that of the `sum` around it, which may as well be done
/// at once: the peer does, and then parsers extract no more than it needs.
pub(crate) fn grouping<'q>(
    aggregation: &'q RangeAggregation,
    outer: Option<&'q Grouping>,
) -> Option<&'q Grouping> {
    aggregation.grouping.as_ref().or(outer)
}

/// Whether a `sum` around the aggregation can be done within it.
pub(crate) fn sums(op: RangeOp) -> bool {
    use RangeOp as R;
    matches!(op, R::CountOverTime | R::Rate | R::BytesOverTime | R::BytesRate | R::SumOverTime)
}

impl<'q> Job<'q> {
    /// A job for the steps of a query; series are told apart as `grouping` says, none: by all labels.
    pub(crate) fn new(
        aggregation: &'q RangeAggregation,
        grouping: Option<&Grouping>,
        steps: Steps,
        control: &'q QueryControl,
    ) -> Job<'q> {
        let range = &aggregation.range;
        let unwrapped = range.unwrap.as_ref().map(|unwrap| unwrap.label.clone());
        let keys = match grouping {
            // Whose rows there are does not matter, only whether.
            _ if aggregation.op == RangeOp::AbsentOverTime => Keys::By(Vec::new()),
            Some(grouping) if !grouping.without => {
                let mut names = grouping.labels.clone();
                names.sort_unstable();
                names.dedup();
                Keys::By(names)
            }
            // The unwrapped label is the value, no part of who the series is.
            other => {
                let mut names = other.map(|grouping| grouping.labels.clone()).unwrap_or_default();
                names.extend(unwrapped.clone());
                Keys::Without(names)
            }
        };
        let taken = match aggregation.op {
            _ if unwrapped.is_some() => Taken::Value,
            RangeOp::BytesOverTime | RangeOp::BytesRate => Taken::Bytes,
            _ => Taken::Row,
        };
        let function = Function {
            op: aggregation.op,
            parameter: aggregation.parameter.unwrap_or(0.0),
            range: range.window,
            unwrapped: taken == Taken::Value,
        };
        Job {
            range,
            function,
            windows: Windows::new(steps, range.window, range.offset),
            keys,
            taken,
            pushed: pushed(&range.log.stages),
            control,
        }
    }

    /// The pipeline that runs row by row.
    pub(crate) fn pipeline(&self) -> Result<Pipeline, QueryError> {
        let grouping = match &self.keys {
            Keys::By(labels) => Some(Grouping { without: false, labels: labels.clone() }),
            Keys::Without(_) => None,
        };
        compile(&self.range.log.stages, self.range.unwrap.as_ref(), grouping.as_ref())
    }

    /// A scan of all windows that returns `columns`.
    pub(crate) fn scan(&self, tenant: &Tenant, columns: LogColumns) -> LogScan {
        let (start, end) = self.windows.bounds();
        LogScan {
            tenant: tenant.clone(),
            start,
            end,
            matchers: self.range.log.matchers.clone(),
            lines: self.pushed.lines.clone(),
            fields: self.pushed.fields.clone(),
            columns,
            order: Order::Any,
        }
    }

    /// The columns a pipeline needs that runs on every row.
    pub(crate) fn row_columns(&self) -> LogColumns {
        LogColumns { line: LineWanted::Always, line_bytes: false, metadata: true, fields: Vec::new() }
    }

    /// A place for rows.
    pub(crate) fn sink(&self) -> Result<Sink, Trouble> {
        Ok(Sink::new(self.function, self.windows, self.control)?)
    }
}

/// Compiles a pipeline; what the user did wrong is the user's answer.
pub(crate) fn compile(
    stages: &[Stage],
    unwrap: Option<&novaobs_logql_parser::Unwrap>,
    grouping: Option<&Grouping>,
) -> Result<Pipeline, QueryError> {
    Pipeline::compile_for(stages, unwrap, grouping).map_err(|error| QueryError::Bad(error.0))
}

/// What a worker gives back.
pub(crate) struct Collected {
    /// Its rows.
    pub(crate) sink: Sink,
    /// Who the series of the rows are.
    pub(crate) series: Vec<novaobs_model::Labels>,
    /// What it saw.
    pub(crate) stats: Stats,
}
