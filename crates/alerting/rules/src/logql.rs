//! Rules over logs: LogQL as a language of rule files.

use std::sync::Arc;
use std::time::{Duration, Instant};

use novaobs_logql::{Query, QueryError, QueryLimits, Value};
use novaobs_logql_parser::{Expr, LogRange, SampleExpr};
use novaobs_model::logs::{LogSource, Tenant};
use novaobs_model::select::{Interrupt, QueryControl};
use novaobs_model::{Labels, Pool, SelectError};
use novaobs_promql::VectorSample;

use crate::language::{EvalError, Expression, Language};

/// Rows looked at for the lines behind an alert: a rule must stay cheap however many lines there are.
const ROWS_LOOKED_AT: usize = 2_000;
const NANOS_PER_MILLI: i64 = 1_000_000;

/// LogQL over the entries of one tenant.
#[derive(Clone)]
pub struct LogQl {
    /// Where entries are read.
    pub source: Arc<dyn LogSource>,
    /// Whose.
    pub tenant: Tenant,
    /// What one evaluation may take.
    pub pool: Pool,
    /// How long one evaluation may take.
    pub timeout: Duration,
    /// Bounds on a result.
    pub limits: QueryLimits,
}

impl LogQl {
    fn control(&self) -> QueryControl {
        QueryControl::new(self.pool.clone(), Some(Instant::now() + self.timeout))
    }

    /// A query over `(start, end)` in Unix nanoseconds.
    fn query(&self, expr: Expr, start: i64, end: i64) -> Query {
        Query {
            tenant: self.tenant.clone(),
            expr,
            start,
            end,
            step: 0,
            interval: 0,
            limit: ROWS_LOOKED_AT,
            newest_first: true,
            limits: self.limits,
        }
    }
}

impl Language for LogQl {
    fn compile(&self, text: &str) -> Result<Arc<dyn Expression>, String> {
        match novaobs_logql_parser::parse(text).map_err(|error| error.to_string())? {
            Expr::Sample(expr) => {
                Ok(Arc::new(LogQlExpression { language: self.clone(), text: text.trim().to_owned(), expr }))
            }
            Expr::Log(_) => Err("a rule needs a metric query: put the log query into one, such as \
                                 count_over_time({…} [5m])"
                .to_owned()),
        }
    }
}

struct LogQlExpression {
    language: LogQl,
    text: String,
    expr: SampleExpr,
}

impl Expression for LogQlExpression {
    fn text(&self) -> &str {
        &self.text
    }

    fn eval(&self, time: i64) -> Result<Vec<VectorSample>, EvalError> {
        let at = time.saturating_mul(NANOS_PER_MILLI);
        let query = self.language.query(Expr::Sample(self.expr.clone()), at, at);
        let answer = novaobs_logql::run(self.language.source.as_ref(), &query, &self.language.control())
            .map_err(|error| match error {
                QueryError::Select(SelectError::Interrupted(Interrupt::Canceled)) => EvalError::Canceled,
                error => EvalError::Failed(error.to_string()),
            })?;
        match answer.value {
            Value::Vector(series) => Ok(series
                .into_iter()
                .filter_map(|series| {
                    let (_, value) = *series.points.first()?;
                    Some(VectorSample { labels: series.labels, timestamp: time, value })
                })
                .collect()),
            Value::Scalar(value) => {
                Ok(vec![VectorSample { labels: Labels::empty(), timestamp: time, value }])
            }
            Value::Matrix(_) | Value::Streams(_) => {
                Err(EvalError::Failed("rule result is not a vector or scalar".to_owned()))
            }
        }
    }

    fn lines(&self, time: i64, labels: &Labels, limit: usize) -> Vec<String> {
        let Some(range) = first_range(&self.expr) else { return Vec::new() };
        let end = time.saturating_mul(NANOS_PER_MILLI).saturating_sub(range.offset);
        // The window is open on the left and closed on the right, a log query the other way round.
        let query = self.language.query(Expr::Log(range.log.clone()), end - range.window + 1, end + 1);
        let mut lines = Vec::new();
        let mut looked_at = 0;
        let outcome = novaobs_logql::export(
            self.language.source.as_ref(),
            &query,
            &self.language.control(),
            &mut |row| {
                looked_at += 1;
                // Labels that the expression made from others are not on the row: they cannot tell.
                let fits = labels.iter().all(|(name, value)| {
                    [row.labels, row.metadata, row.parsed]
                        .iter()
                        .find_map(|set| set.get(name))
                        .is_none_or(|is| is == value)
                });
                if fits {
                    lines.push(row.line.to_owned());
                }
                lines.len() < limit && looked_at < ROWS_LOOKED_AT
            },
        );
        if let Err(error) = outcome {
            tracing::warn!(expression = self.text, %error, "reading the lines behind an alert failed");
        }
        lines
    }
}

/// The first range of lines in an expression.
fn first_range(expr: &SampleExpr) -> Option<&LogRange> {
    match expr {
        SampleExpr::Range(range) => Some(&range.range),
        SampleExpr::Vector(vector) => first_range(&vector.inner),
        SampleExpr::LabelReplace { inner, .. } => first_range(inner),
        SampleExpr::Binary(binary) => first_range(&binary.left).or_else(|| first_range(&binary.right)),
        SampleExpr::Literal(_) | SampleExpr::VectorFn(_) => None,
    }
}
