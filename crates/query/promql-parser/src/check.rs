//! Types: what may be an operand or an argument of what. The first fault in the peer's order is reported.

use novaobs_model::labels::go_quote;
use novaobs_model::{METRIC_NAME, Matcher};

use crate::ast::{
    Aggregate, AggregateOp, Binary, Call, Cardinality, Expr, ExprKind, Matching, Span, ValueType,
    VectorSelector,
};
use crate::error::ParseError;
use crate::lexer::is_space;

type Result<T> = std::result::Result<T, ParseError>;

/// Checks a tree and settles how the vectors of each binary operation match.
pub(crate) fn check(text: &str, expr: &mut Expr) -> Result<()> {
    Checker { text }.expr(expr).map(drop)
}

struct Checker<'a> {
    text: &'a str,
}

impl Checker<'_> {
    fn expr(&self, expr: &mut Expr) -> Result<ValueType> {
        let span = expr.span.clone();
        match &mut expr.kind {
            ExprKind::Number(_) => Ok(ValueType::Scalar),
            ExprKind::String(_) => Ok(ValueType::String),
            ExprKind::Paren(inner) => self.expr(inner),
            ExprKind::Unary { expr, .. } => self.unary(expr, &span),
            ExprKind::Binary(binary) => self.binary(binary, &span),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate),
            ExprKind::Call(call) => self.call(call, &span),
            ExprKind::VectorSelector(selector) => {
                self.selector(selector, &span, true)?;
                Ok(ValueType::Vector)
            }
            ExprKind::MatrixSelector(matrix) => {
                self.selector(&matrix.selector, &matrix.selector_span, true)?;
                Ok(ValueType::Matrix)
            }
            ExprKind::Subquery(subquery) => {
                let inner = self.expr(&mut subquery.expr)?;
                if inner != ValueType::Vector {
                    let message = format!(
                        "subquery is only allowed on instant vector, got {} instead",
                        short_name(inner)
                    );
                    return self.fail(&span, message);
                }
                Ok(ValueType::Matrix)
            }
        }
    }

    fn unary(&self, operand: &mut Expr, span: &Span) -> Result<ValueType> {
        let ty = self.expr(operand)?;
        if !is_operand(ty) {
            let message = format!(
                "unary expression only allowed on expressions of type scalar or instant vector, got \"{}\"",
                ty.describe()
            );
            return self.fail(span, message);
        }
        Ok(ty)
    }

    fn binary(&self, binary: &mut Binary, span: &Span) -> Result<ValueType> {
        let left = self.expr(&mut binary.left)?;
        let right = self.expr(&mut binary.right)?;
        let op = binary.op;
        let scalars = left == ValueType::Scalar && right == ValueType::Scalar;
        if binary.return_bool && !op.is_comparison() {
            return self.fail_at_operator(binary, "bool modifier can only be used on comparison operators");
        }
        if op.is_comparison() && !binary.return_bool && scalars {
            return self.fail_at_operator(binary, "comparisons between scalars must use BOOL modifier");
        }
        if let Some(matching) = &binary.matching
            && matching.on
            && let Some(label) = matching.labels.iter().find(|label| matching.include.contains(label))
        {
            let message = format!("label {} must not occur in ON and GROUP clause at once", go_quote(label));
            return self.fail_at_operator(binary, &message);
        }
        for (ty, side) in [(left, &binary.left), (right, &binary.right)] {
            if !is_operand(ty) {
                let message = "binary expression must contain only scalar and instant vector types";
                return self.fail(&side.span, message);
            }
        }
        let vectors = left == ValueType::Vector && right == ValueType::Vector;
        if let Some(matching) = &mut binary.matching {
            if op.is_set() && vectors {
                self.set_matching(op.as_str(), matching, span)?;
            } else if !vectors {
                self.no_matching(matching, span)?;
            }
        }
        if !vectors {
            binary.matching = None;
            if op.is_set() {
                let message =
                    format!("set operator \"{}\" not allowed in binary scalar expression", op.as_str());
                return self.fail(span, message);
            }
        }
        Ok(if scalars { ValueType::Scalar } else { ValueType::Vector })
    }

    fn set_matching(&self, op: &str, matching: &mut Matching, span: &Span) -> Result<()> {
        match matching.cardinality {
            Cardinality::OneToOne => matching.cardinality = Cardinality::ManyToMany,
            Cardinality::ManyToMany => {}
            Cardinality::ManyToOne | Cardinality::OneToMany => {
                return self.fail(span, format!("no grouping allowed for \"{op}\" operation"));
            }
        }
        if has_fill(matching) {
            return self.fail(span, "filling in missing series not allowed for set operators");
        }
        Ok(())
    }

    fn no_matching(&self, matching: &Matching, span: &Span) -> Result<()> {
        if !matching.labels.is_empty() {
            return self.fail(span, "vector matching only allowed between instant vectors");
        }
        if has_fill(matching) {
            return self.fail(span, "filling in missing series only allowed between instant vectors");
        }
        Ok(())
    }

    fn aggregate(&self, aggregate: &mut Aggregate) -> Result<ValueType> {
        self.expect(&mut aggregate.expr, ValueType::Vector, "aggregation expression")?;
        let wanted = match aggregate.op {
            AggregateOp::CountValues => ValueType::String,
            _ => ValueType::Scalar,
        };
        if let Some(param) = &mut aggregate.param {
            self.expect(param, wanted, "aggregation parameter")?;
        }
        Ok(ValueType::Vector)
    }

    fn call(&self, call: &mut Call, span: &Span) -> Result<ValueType> {
        let function = call.function;
        let context = format!("call to function {}", go_quote(function.name));
        self.count_arguments(call, span)?;
        let is_info = function.name == "info";
        if let (true, [_, selector, ..]) = (is_info, call.args.as_slice()) {
            let ty = selector.value_type();
            if ty != ValueType::Vector {
                return self.fail(span, mismatch(ValueType::Vector, &context, ty));
            }
            match &selector.kind {
                ExprKind::VectorSelector(VectorSelector { name: Some(_), .. }) => {
                    let message = "expected label selectors only, got vector selector instead";
                    return self.fail(&selector.span, message);
                }
                ExprKind::VectorSelector(_) => {}
                _ => return self.fail(&selector.span, "expected label selectors only"),
            }
        }
        let Some(last) = function.args.last() else { return Ok(function.returns) };
        for (at, arg) in call.args.iter_mut().enumerate() {
            let wanted = *function.args.get(at).unwrap_or(last);
            match &arg.kind {
                // The labels of info metrics to add: nothing is selected by them alone.
                ExprKind::VectorSelector(labels) if is_info && at == 1 => {
                    self.selector(labels, &arg.span, false)?;
                }
                _ => self.expect(arg, wanted, &context)?,
            }
        }
        Ok(function.returns)
    }

    fn count_arguments(&self, call: &Call, span: &Span) -> Result<()> {
        let function = call.function;
        let (known, given) = (function.args.len(), call.args.len());
        let name = go_quote(function.name);
        if function.variadic == 0 {
            if known != given {
                return self
                    .fail(span, format!("expected {known} argument(s) in call to {name}, got {given}"));
            }
            return Ok(());
        }
        let least = known.saturating_sub(1);
        if given < least {
            let message = format!("expected at least {least} argument(s) in call to {name}, got {given}");
            return self.fail(span, message);
        }
        if let Ok(more) = usize::try_from(function.variadic)
            && given > least + more
        {
            let most = least + more;
            return self
                .fail(span, format!("expected at most {most} argument(s) in call to {name}, got {given}"));
        }
        Ok(())
    }

    fn selector(&self, selector: &VectorSelector, span: &Span, needs_matcher: bool) -> Result<()> {
        let Some(name) = &selector.name else {
            if needs_matcher && selector.matchers.iter().all(Matcher::matches_empty) {
                return self.fail(span, "vector selector must contain at least one non-empty matcher");
            }
            return Ok(());
        };
        let (_, in_braces) = selector.matchers.split_last().unzip();
        if let Some(second) = in_braces.into_iter().flatten().find(|matcher| matcher.name == METRIC_NAME) {
            let (name, second) = (go_quote(name), go_quote(&second.value));
            return self.fail(span, format!("metric name must not be set twice: {name} or {second}"));
        }
        Ok(())
    }

    fn expect(&self, expr: &mut Expr, wanted: ValueType, context: &str) -> Result<()> {
        let found = self.expr(expr)?;
        if found != wanted {
            return self.fail(&expr.span, mismatch(wanted, context, found));
        }
        Ok(())
    }

    fn fail<T>(&self, span: &Span, message: impl Into<String>) -> Result<T> {
        Err(ParseError::new(self.text, span.clone(), message))
    }

    /// Reports at the operator and its modifiers.
    fn fail_at_operator<T>(&self, binary: &Binary, message: &str) -> Result<T> {
        let between = binary.left.span.end..binary.right.span.start;
        let words = self.text.get(between.clone()).unwrap_or_default();
        let start = between.start + words.len() - words.trim_start_matches(is_space).len();
        self.fail(&(start..between.end), message)
    }
}

fn is_operand(ty: ValueType) -> bool {
    matches!(ty, ValueType::Scalar | ValueType::Vector)
}

fn has_fill(matching: &Matching) -> bool {
    matching.fill_left.is_some() || matching.fill_right.is_some()
}

fn mismatch(wanted: ValueType, context: &str, found: ValueType) -> String {
    format!("expected type {} in {context}, got {}", wanted.describe(), found.describe())
}

/// The short names the API uses, which one error text uses too.
fn short_name(ty: ValueType) -> &'static str {
    match ty {
        ValueType::Scalar => "scalar",
        ValueType::Vector => "vector",
        ValueType::Matrix => "matrix",
        ValueType::String => "string",
    }
}
