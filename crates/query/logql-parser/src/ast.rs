//! The tree of a LogQL expression.

use novaobs_model::Matcher;

/// A LogQL expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// Gives lines.
    Log(LogExpr),
    /// Gives samples.
    Sample(SampleExpr),
}

/// A selector with its pipeline: `{app="x"} |= "error" | json`.
#[derive(Clone, Debug, PartialEq)]
pub struct LogExpr {
    /// On labels of streams; all must hold.
    pub matchers: Vec<Matcher>,
    /// In order.
    pub stages: Vec<Stage>,
}

/// One stage of a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// `|= "x" or "y"`
    Line(LineFilter),
    /// `| json`, `| json a="b.c"`
    Json(Vec<Extraction>),
    /// `| logfmt --strict --keep-empty a="b"`
    Logfmt {
        /// Stops at the first error.
        strict: bool,
        /// Keeps keys without a value.
        keep_empty: bool,
        /// Empty: all keys.
        extractions: Vec<Extraction>,
    },
    /// `| regexp "(?P<name>re)"`
    Regexp(String),
    /// `| pattern "<name> <_>"`
    Pattern(String),
    /// `| unpack`
    Unpack,
    /// `| status >= 500 and method="GET"`
    Label(LabelFilter),
    /// `| line_format "{{.a}}"`
    LineFormat(String),
    /// `| label_format a=b, c="{{.d}}"`
    LabelFormat(Vec<LabelFormat>),
    /// `| decolorize`
    Decolorize,
    /// `| drop a, b="x"`
    Drop(Vec<LabelChoice>),
    /// `| keep a, b="x"`
    Keep(Vec<LabelChoice>),
    /// `| distinct a, b` (an extension): the first line of each combination of values.
    Distinct(Vec<String>),
}

/// A filter of lines.
#[derive(Clone, Debug, PartialEq)]
pub struct LineFilter {
    /// How each operand is looked for.
    pub op: LineOp,
    /// Not empty; joined by `or`. With a negated operator, none may be found.
    pub any: Vec<LineOperand>,
}

/// Operators of line filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineOp {
    /// `|=`
    Contains,
    /// `!=`
    NotContains,
    /// `|~`
    Matches,
    /// `!~`
    NotMatches,
    /// `|>`
    Pattern,
    /// `!>`
    NotPattern,
}

/// What a line filter looks for.
#[derive(Clone, Debug, PartialEq)]
pub enum LineOperand {
    /// A text, an expression or a pattern, as the operator says.
    Text(String),
    /// `ip("10.0.0.0/8")`
    Ip(String),
}

/// `a="b.c[0]"`: a label from a path into the line; a bare `a` is `a="a"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extraction {
    /// The label.
    pub label: String,
    /// The path, as written.
    pub path: String,
}

/// A filter on labels, structured metadata and extracted fields.
#[derive(Clone, Debug, PartialEq)]
pub enum LabelFilter {
    /// Both.
    And(Box<LabelFilter>, Box<LabelFilter>),
    /// Either.
    Or(Box<LabelFilter>, Box<LabelFilter>),
    /// `a="b"`, `a=~"b"`
    Text(Matcher),
    /// `a > 5`
    Number {
        /// The label.
        label: String,
        /// How.
        op: CompareOp,
        /// With what.
        value: f64,
    },
    /// `a > 5s`
    Duration {
        /// The label.
        label: String,
        /// How.
        op: CompareOp,
        /// With what, in nanoseconds.
        nanos: i64,
    },
    /// `a > 5KB`
    Bytes {
        /// The label.
        label: String,
        /// How.
        op: CompareOp,
        /// With what.
        bytes: u64,
    },
    /// `a = ip("10.0.0.0/8")`
    Ip {
        /// The label.
        label: String,
        /// `!=` instead of `=`.
        negated: bool,
        /// Address, range or CIDR.
        pattern: String,
    },
}

/// Comparison operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareOp {
    /// `==`, `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
}

/// One assignment of `label_format`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelFormat {
    /// The label written.
    pub label: String,
    /// From what.
    pub value: FormatValue,
}

/// The right side of an assignment of `label_format`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormatValue {
    /// Another label, which goes away.
    Rename(String),
    /// A template.
    Template(String),
}

/// What `drop` and `keep` name.
#[derive(Clone, Debug, PartialEq)]
pub enum LabelChoice {
    /// A label.
    Name(String),
    /// A label when its value matches.
    Match(Matcher),
}

/// An expression that gives samples.
#[derive(Clone, Debug, PartialEq)]
pub enum SampleExpr {
    /// `rate({…}[5m])`
    Range(RangeAggregation),
    /// `sum by (a) (…)`
    Vector(VectorAggregation),
    /// `a / on (b) c`
    Binary(Box<BinaryExpr>),
    /// `5`
    Literal(f64),
    /// `vector(5)`
    VectorFn(f64),
    /// `label_replace(v, "dst", "repl", "src", "re")`
    LabelReplace {
        /// What is rewritten.
        inner: Box<SampleExpr>,
        /// The label written.
        dst: String,
        /// With `$1`.
        replacement: String,
        /// The label read.
        src: String,
        /// Anchored.
        regex: String,
    },
}

/// An aggregation of lines over time.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeAggregation {
    /// Which.
    pub op: RangeOp,
    /// The phi of `quantile_over_time`.
    pub parameter: Option<f64>,
    /// Of what.
    pub range: LogRange,
    /// Of the result.
    pub grouping: Option<Grouping>,
}

/// Lines, a window, and what is taken of each line.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRange {
    /// Which lines.
    pub log: LogExpr,
    /// Nanoseconds, more than 0.
    pub window: i64,
    /// Nanoseconds back; negative: ahead.
    pub offset: i64,
    /// The label whose value is the sample; none: lines are counted.
    pub unwrap: Option<Unwrap>,
}

/// `| unwrap duration(took) | __error__=""`
#[derive(Clone, Debug, PartialEq)]
pub struct Unwrap {
    /// The label.
    pub label: String,
    /// How its text becomes a number.
    pub conversion: Conversion,
    /// Filters behind it; all must hold.
    pub filters: Vec<LabelFilter>,
}

/// How text becomes a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversion {
    /// As a floating point number.
    Number,
    /// `bytes(x)`: `5MB`
    Bytes,
    /// `duration(x)`: `5s`, in seconds
    Duration,
    /// `duration_seconds(x)`: the same
    DurationSeconds,
}

/// Range aggregations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the language's")]
pub enum RangeOp {
    Rate,
    RateCounter,
    CountOverTime,
    BytesRate,
    BytesOverTime,
    AvgOverTime,
    SumOverTime,
    MinOverTime,
    MaxOverTime,
    StddevOverTime,
    StdvarOverTime,
    QuantileOverTime,
    FirstOverTime,
    LastOverTime,
    AbsentOverTime,
}

/// `by (a, b)`, `without (a)`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// `without`.
    pub without: bool,
    /// As written.
    pub labels: Vec<String>,
}

/// An aggregation of series.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorAggregation {
    /// Which.
    pub op: VectorOp,
    /// The k of `topk`, `bottomk` and `approx_topk`.
    pub parameter: Option<u64>,
    /// None: all in one.
    pub grouping: Option<Grouping>,
    /// Of what.
    pub inner: Box<SampleExpr>,
}

/// Vector aggregations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the language's")]
pub enum VectorOp {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    Sort,
    SortDesc,
    ApproxTopk,
}

/// Two expressions and an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct BinaryExpr {
    /// Which.
    pub op: BinaryOp,
    /// A comparison gives 0 or 1.
    pub return_bool: bool,
    /// `on (…)`, `ignoring (…)`; none: all labels.
    pub matching: Option<Matching>,
    /// The left.
    pub left: SampleExpr,
    /// The right.
    pub right: SampleExpr,
}

/// Binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the language's")]
pub enum BinaryOp {
    Or,
    And,
    Unless,
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
}

/// Which series of two sides belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matching {
    /// `on` instead of `ignoring`.
    pub on: bool,
    /// As written.
    pub labels: Vec<String>,
    /// `group_left` and `group_right`.
    pub group: Option<Group>,
}

/// The side with many series, and labels copied from the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// `group_left`: many on the left.
    pub left: bool,
    /// Copied from the one side.
    pub include: Vec<String>,
}
