//! The PromQL syntax tree.

use std::ops::Range;

use novaobs_model::Matcher;

/// The bytes of the query text a node came from.
pub type Span = Range<usize>;

/// What an expression evaluates to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// One float.
    Scalar,
    /// One sample per series.
    Vector,
    /// A range of samples per series.
    Matrix,
    /// A text.
    String,
}

impl ValueType {
    /// The name in error texts: `scalar`, `instant vector`, `range vector`, `string`.
    pub fn describe(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::Vector => "instant vector",
            ValueType::Matrix => "range vector",
            ValueType::String => "string",
        }
    }
}

/// An expression with its place in the text.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
}

/// The kinds of expressions.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// `1.5`, `0x1f`, `Inf`, `5m` (a duration is its seconds).
    Number(NumberLiteral),
    /// `"text"`, unescaped.
    String(String),
    /// `up{job="api"} offset 5m @ end()`.
    VectorSelector(VectorSelector),
    /// `up[5m]`.
    MatrixSelector(MatrixSelector),
    /// `(expr)[1h:5m]`.
    Subquery(Subquery),
    /// `-expr` or `+expr`.
    Unary {
        /// `-` instead of `+`.
        negative: bool,
        /// What the sign stands before.
        expr: Box<Expr>,
    },
    /// `a + on (x) b`.
    Binary(Box<Binary>),
    /// `sum by (x) (expr)`.
    Aggregate(Box<Aggregate>),
    /// `rate(x[5m])`.
    Call(Call),
    /// `(expr)`.
    Paren(Box<Expr>),
}

/// A number and whether it was written as a duration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NumberLiteral {
    /// The value; a duration's is its seconds.
    pub value: f64,
    /// Written like `1h30m`: the printer gives it back as a duration.
    pub is_duration: bool,
}

/// Chooses series by name and labels, at the evaluation time moved by `modifiers`.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSelector {
    /// The metric name in front of the braces. A name quoted inside them is among the matchers only.
    pub name: Option<String>,
    /// All conditions; the last is `__name__="name"` when `name` is set.
    pub matchers: Vec<Matcher>,
    /// `offset` and `@`.
    pub modifiers: Modifiers,
    /// `anchored` or `smoothed`.
    pub extended: Option<Extended>,
}

/// Extended range selector modifiers (an experimental feature of Prometheus 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extended {
    /// `anchored`: the window includes the last sample at or before its start.
    Anchored,
    /// `smoothed`: values at the window's edges are interpolated.
    Smoothed,
}

impl Extended {
    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Extended::Anchored => "anchored",
            Extended::Smoothed => "smoothed",
        }
    }
}

/// `offset <duration>` and `@ <time>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Modifiers {
    /// How far back; negative looks ahead.
    pub offset: Option<DurationExpr>,
    /// A fixed time instead of the evaluation time.
    pub at: Option<At>,
}

/// The time after `@`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum At {
    /// Unix milliseconds.
    Timestamp(i64),
    /// `start()`: the query's start.
    Start,
    /// `end()`: the query's end.
    End,
}

/// A selector with a range.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSelector {
    /// Which series, and its modifiers.
    pub selector: VectorSelector,
    /// Where the selector stands, without the range.
    pub selector_span: Span,
    /// How far the window reaches back.
    pub range: DurationExpr,
}

/// An instant expression evaluated at regular steps over a range.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// What is evaluated.
    pub expr: Box<Expr>,
    /// How far it reaches back.
    pub range: DurationExpr,
    /// Between evaluations; none: the engine's default.
    pub step: Option<DurationExpr>,
    /// `offset` and `@`.
    pub modifiers: Modifiers,
}

/// A duration, either written out or computed when the query runs.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationExpr {
    /// Milliseconds.
    Literal(i64),
    /// `5m * 2`, `step()`, `range()`, `min_of(…)`, `max_of(…)`; values are seconds while computing.
    Computed(Box<DurationNode>),
}

/// The arithmetic of computed durations.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationNode {
    /// A number or a duration, in seconds.
    Number(NumberLiteral),
    /// `step()`: the query's step.
    Step,
    /// `range()`: the query's end minus start.
    Range,
    /// `-d`.
    Negative(Box<DurationNode>),
    /// `(d)`.
    Paren(Box<DurationNode>),
    /// `a + b`, with one of `+ - * / % ^`.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// Left side.
        left: Box<DurationNode>,
        /// Right side.
        right: Box<DurationNode>,
    },
    /// `min_of(a, b)`.
    MinOf(Box<DurationNode>, Box<DurationNode>),
    /// `max_of(a, b)`.
    MaxOf(Box<DurationNode>, Box<DurationNode>),
}

/// Binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`
    Pow,
    /// `atan2`
    Atan2,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `<`
    Less,
    /// `>=`
    GreaterEqual,
    /// `<=`
    LessEqual,
    /// `and`
    And,
    /// `or`
    Or,
    /// `unless`
    Unless,
    /// `</`, native histograms only.
    TrimUpper,
    /// `>/`, native histograms only.
    TrimLower,
}

impl BinaryOp {
    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::Pow => "^",
            BinaryOp::Atan2 => "atan2",
            BinaryOp::Equal => "==",
            BinaryOp::NotEqual => "!=",
            BinaryOp::Greater => ">",
            BinaryOp::Less => "<",
            BinaryOp::GreaterEqual => ">=",
            BinaryOp::LessEqual => "<=",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
            BinaryOp::Unless => "unless",
            BinaryOp::TrimUpper => "</",
            BinaryOp::TrimLower => ">/",
        }
    }

    /// `== != > < >= <=`.
    pub fn is_comparison(self) -> bool {
        use BinaryOp::*;
        matches!(self, Equal | NotEqual | Greater | Less | GreaterEqual | LessEqual)
    }

    /// `and or unless`.
    pub fn is_set(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }
}

/// A binary operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// Left side.
    pub left: Expr,
    /// Right side.
    pub right: Expr,
    /// `bool` after a comparison: 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// How the series of two vectors find each other; `None` unless both sides are vectors.
    pub matching: Option<Matching>,
}

/// How two vectors are matched.
#[derive(Clone, Debug, PartialEq)]
pub struct Matching {
    /// One to one, or which side may have many.
    pub cardinality: Cardinality,
    /// `true` for `on (labels)`, `false` for `ignoring (labels)` and for neither.
    pub on: bool,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// The labels of `group_left` or `group_right`, taken from the one side.
    pub include: Vec<String>,
    /// `fill(x)` or `fill_left(x)`: the value of a missing left sample.
    pub fill_left: Option<f64>,
    /// `fill(x)` or `fill_right(x)`: the value of a missing right sample.
    pub fill_right: Option<f64>,
}

/// Cardinality of a vector match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// Each sample has at most one partner.
    OneToOne,
    /// `group_left`: many left samples share a right one.
    ManyToOne,
    /// `group_right`: many right samples share a left one.
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// An aggregation.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// Which.
    pub op: AggregateOp,
    /// The vector aggregated over.
    pub expr: Expr,
    /// The parameter of topk, bottomk, quantile, count_values, limitk, limit_ratio.
    pub param: Option<Expr>,
    /// `true` for `without`, `false` for `by` and for neither.
    pub without: bool,
    /// The labels of `by` or `without`.
    pub labels: Vec<String>,
}

/// Aggregation operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named as the language names them")]
pub enum AggregateOp {
    Sum,
    Avg,
    Min,
    Max,
    Group,
    Count,
    CountValues,
    Stddev,
    Stdvar,
    TopK,
    BottomK,
    Quantile,
    LimitK,
    LimitRatio,
}

impl AggregateOp {
    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            AggregateOp::Sum => "sum",
            AggregateOp::Avg => "avg",
            AggregateOp::Min => "min",
            AggregateOp::Max => "max",
            AggregateOp::Group => "group",
            AggregateOp::Count => "count",
            AggregateOp::CountValues => "count_values",
            AggregateOp::Stddev => "stddev",
            AggregateOp::Stdvar => "stdvar",
            AggregateOp::TopK => "topk",
            AggregateOp::BottomK => "bottomk",
            AggregateOp::Quantile => "quantile",
            AggregateOp::LimitK => "limitk",
            AggregateOp::LimitRatio => "limit_ratio",
        }
    }

    /// Whether it takes a parameter before the vector.
    pub fn has_param(self) -> bool {
        use AggregateOp::*;
        matches!(self, CountValues | TopK | BottomK | Quantile | LimitK | LimitRatio)
    }
}

/// A function call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Its entry in the table of functions.
    pub function: &'static crate::functions::Signature,
    /// The arguments as written.
    pub args: Vec<Expr>,
}

impl Expr {
    /// What the expression evaluates to.
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            ExprKind::Number(_) => ValueType::Scalar,
            ExprKind::String(_) => ValueType::String,
            ExprKind::VectorSelector(_) | ExprKind::Aggregate(_) => ValueType::Vector,
            ExprKind::MatrixSelector(_) | ExprKind::Subquery(_) => ValueType::Matrix,
            ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => expr.value_type(),
            ExprKind::Binary(binary) => {
                let scalars = binary.left.value_type() == ValueType::Scalar
                    && binary.right.value_type() == ValueType::Scalar;
                if scalars { ValueType::Scalar } else { ValueType::Vector }
            }
            ExprKind::Call(call) => call.function.returns,
        }
    }
}
