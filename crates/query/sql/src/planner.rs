//! How names and operators are read: `labels['a']`, and numbers in text.
//!
//! Values of log entries are text. Where a query compares or computes with numbers, the text is read as a
//! number, and is NULL where it is none: `field('status') >= 500` does not compare letters.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{
    ExprPlanner, PlannerResult, RawAggregateExpr, RawBinaryExpr, RawFieldAccessExpr,
};
use datafusion::logical_expr::{Expr, ExprSchemable, GetFieldAccess, lit};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use crate::functions;
use crate::leaf::{map_type, text_of, text_type};

/// Aggregates that are of numbers only.
const NUMERIC: &[&str] = &[
    "approx_median",
    "approx_percentile_cont",
    "approx_percentile_cont_with_weight",
    "avg",
    "corr",
    "covar_pop",
    "covar_samp",
    "median",
    "percentile_cont",
    "stddev",
    "stddev_pop",
    "sum",
    "var",
    "var_pop",
];

/// Plans expressions over logs.
#[derive(Debug)]
pub(crate) struct LogExprPlanner;

impl ExprPlanner for LogExprPlanner {
    fn plan_field_access(
        &self,
        access: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let name = match &access.field_access {
            GetFieldAccess::NamedStructField { name } => text_of(name),
            GetFieldAccess::ListIndex { key } => match &**key {
                Expr::Literal(name, _) => text_of(name),
                _ => None,
            },
            GetFieldAccess::ListRange { .. } => None,
        };
        match name.filter(|_| access.expr.get_type(schema).is_ok_and(|of| of == map_type())) {
            Some(name) => {
                let args = vec![access.expr, lit(name)];
                let call = ScalarFunction::new_udf(functions::value_of(), args);
                Ok(PlannerResult::Planned(Expr::ScalarFunction(call)))
            }
            None => Ok(PlannerResult::Original(access)),
        }
    }

    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        use BinaryOperator::{Divide, Eq, Gt, GtEq, Lt, LtEq, Minus, Modulo, Multiply, NotEq, Plus};
        let RawBinaryExpr { op, left, right } = expr;
        let computes = matches!(op, Plus | Minus | Multiply | Divide | Modulo);
        let compares = matches!(op, Eq | NotEq | Gt | GtEq | Lt | LtEq);
        let type_of = |expr: &Expr| expr.get_type(schema).unwrap_or(DataType::Null);
        let (left_type, right_type) = (type_of(&left), type_of(&right));
        let (left_text, right_text) = (left_type == text_type(), right_type == text_type());
        let number_left =
            left_text && (computes || compares) && (right_type.is_numeric() || computes && right_text);
        let number_right =
            right_text && (computes || compares) && (left_type.is_numeric() || computes && left_text);
        let (left, right) = (as_number_if(number_left, left), as_number_if(number_right, right));
        // The scan and its hints know numbers as floats.
        let (left, right) = (as_float_if(number_right, left), as_float_if(number_left, right));
        Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }))
    }

    fn plan_aggregate(&self, mut expr: RawAggregateExpr) -> Result<PlannerResult<RawAggregateExpr>> {
        if NUMERIC.contains(&expr.func.name()) {
            let number = |arg: Expr| {
                let inside = is_inside(&arg);
                as_number_if(inside, arg)
            };
            expr.args = expr.args.into_iter().map(number).collect();
            for sort in &mut expr.order_by {
                sort.expr = number(sort.expr.clone());
            }
        }
        Ok(PlannerResult::Original(expr))
    }
}

/// Whether an expression is a value inside of an entry.
fn is_inside(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(call) => matches!(call.func.name(), functions::VALUE_OF | functions::FIELD),
        Expr::Alias(alias) => is_inside(&alias.expr),
        _ => false,
    }
}

fn as_number_if(text: bool, expr: Expr) -> Expr {
    match text {
        true => Expr::ScalarFunction(ScalarFunction::new_udf(functions::number(), vec![expr])),
        false => expr,
    }
}

fn as_float_if(number: bool, expr: Expr) -> Expr {
    match &expr {
        Expr::Literal(value, _) if number => match value.cast_to(&DataType::Float64) {
            Ok(float @ ScalarValue::Float64(Some(_))) => lit(float),
            _ => expr,
        },
        _ => expr,
    }
}
