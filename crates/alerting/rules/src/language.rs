//! What rules need of a query language, and PromQL as one.

use std::sync::Arc;

use novaobs_model::{Labels, SeriesSource};
use novaobs_promql::{Engine, EvalTime, QueryError, Value, VectorSample};
use novaobs_promql_parser::ast::Expr;
use novaobs_promql_parser::{ParseOptions, parse};

/// A language rules can be written in.
pub trait Language: Send + Sync {
    /// Parses and type-checks an expression.
    ///
    /// # Errors
    /// The text shown after `could not parse expression: `.
    fn compile(&self, text: &str) -> Result<Arc<dyn Expression>, String>;
}

/// A checked expression.
pub trait Expression: Send + Sync {
    /// The expression as the language prints it.
    fn text(&self) -> &str;

    /// Evaluates it at a time in Unix milliseconds. Blocks; called from threads that may.
    ///
    /// # Errors
    /// [`EvalError`].
    fn eval(&self, time: i64) -> Result<Vec<VectorSample>, EvalError>;

    /// The newest lines behind the sample with these labels at that time, at most `limit`: what an alert on
    /// logs shows as its reason. Languages over metrics have none. Blocks.
    fn lines(&self, _time: i64, _labels: &Labels, _limit: usize) -> Vec<String> {
        Vec::new()
    }
}

/// Why an evaluation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// Stopped on purpose, as on shutdown.
    #[error("query was canceled in expression evaluation")]
    Canceled,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// PromQL over a store.
#[derive(Clone)]
pub struct PromQl {
    engine: Arc<Engine>,
    source: Arc<dyn SeriesSource>,
    options: ParseOptions,
}

impl PromQl {
    /// Rules that `engine` evaluates over `source`.
    pub fn new(engine: Arc<Engine>, source: Arc<dyn SeriesSource>, options: ParseOptions) -> Self {
        PromQl { engine, source, options }
    }
}

impl Language for PromQl {
    fn compile(&self, text: &str) -> Result<Arc<dyn Expression>, String> {
        let expr = parse(text, self.options).map_err(|error| error.to_string())?;
        // Evaluated as printed, so that positions in warnings fit the text that is shown.
        let text = expr.to_string();
        let expr = parse(&text, self.options).map_err(|error| error.to_string())?;
        Ok(Arc::new(PromQlExpression { language: self.clone(), text, expr }))
    }
}

struct PromQlExpression {
    language: PromQl,
    text: String,
    expr: Expr,
}

impl Expression for PromQlExpression {
    fn text(&self) -> &str {
        &self.text
    }

    fn eval(&self, time: i64) -> Result<Vec<VectorSample>, EvalError> {
        let PromQl { engine, source, .. } = &self.language;
        let control = engine.control(None);
        let result = engine
            .query(source.as_ref(), &self.text, &self.expr, EvalTime::Instant(time), None, &control)
            .map_err(|error| match error {
                QueryError::Canceled => EvalError::Canceled,
                error => EvalError::Failed(error.to_string()),
            })?;
        match result.value {
            Value::Vector(samples) => Ok(samples),
            Value::Scalar(timestamp, value) => {
                Ok(vec![VectorSample { labels: Labels::empty(), timestamp, value }])
            }
            _ => Err(EvalError::Failed("rule result is not a vector or scalar".to_owned())),
        }
    }
}
