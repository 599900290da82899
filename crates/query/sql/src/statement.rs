//! From text to a statement that may run: one query, with the shorthands for log entries written out.

use std::ops::ControlFlow;

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Select, SetExpr,
    Statement as Sql, Value, Visit, VisitMut, Visitor, visit_expressions_mut,
};

use crate::error::{SqlError, of_planning};
use crate::functions;

/// Longest text that is read as SQL.
const MAX_TEXT: usize = 64 << 10;
/// Deepest nesting that is read.
const MAX_DEPTH: usize = 50;
/// Most SELECTs, most operators that compare or compute, and the longest chain of them: the time to plan
/// these grows with the square of their number.
const MAX_SELECTS: usize = 100;
const MAX_OPERATORS: usize = 2000;
const MAX_CHAIN: usize = 100;

/// Reads one statement.
///
/// # Errors
/// [`SqlError::Invalid`] and [`SqlError::Forbidden`].
pub(crate) fn read(text: &str) -> Result<Statement, SqlError> {
    if text.len() > MAX_TEXT {
        return Err(SqlError::Invalid(format!(
            "a query of {} bytes, at most {MAX_TEXT} are read",
            text.len()
        )));
    }
    let parser = DFParserBuilder::new(text).with_recursion_limit(MAX_DEPTH).build();
    let statements = parser.and_then(|mut parser| parser.parse_statements());
    let mut statements = statements.map_err(|error| of_planning(&error))?;
    let (Some(mut statement), None) = (statements.pop_front(), statements.pop_front()) else {
        return Err(SqlError::Invalid("write one query, such as SELECT count(*) FROM logs".to_owned()));
    };
    only_reads(&statement)?;
    check_size(&statement)?;
    write_out(&mut statement);
    Ok(statement)
}

/// # Errors
/// [`SqlError::Forbidden`] for statements that are not queries.
fn only_reads(statement: &Statement) -> Result<(), SqlError> {
    let sql = match statement {
        Statement::Statement(sql) => sql,
        Statement::Explain(explain) => return only_reads(&explain.statement),
        other => return Err(SqlError::Forbidden(verb(&other.to_string()))),
    };
    match &**sql {
        Sql::Query(query) if reads(&query.body) => Ok(()),
        Sql::Query(_) => Err(SqlError::Forbidden("changing data within a query".to_owned())),
        Sql::Explain { statement, .. } => only_reads(&Statement::Statement(statement.clone())),
        Sql::ExplainTable { .. }
        | Sql::ShowTables { .. }
        | Sql::ShowColumns { .. }
        | Sql::ShowFunctions { .. } => Ok(()),
        other => Err(SqlError::Forbidden(verb(&other.to_string()))),
    }
}

fn reads(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => select.into.is_none(),
        SetExpr::Query(query) => reads(&query.body),
        SetExpr::SetOperation { left, right, .. } => reads(left) && reads(right),
        SetExpr::Values(_) | SetExpr::Table(_) => true,
        _ => false,
    }
}

/// Counts what takes more than its share of planning.
#[derive(Default)]
struct Size {
    queries: usize,
    operators: usize,
    /// Operators around the expression being visited.
    depth: usize,
    deepest: usize,
}

impl Visitor for Size {
    type Break = ();

    fn pre_visit_select(&mut self, _: &Select) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if computes(expr) {
            self.operators += 1;
            self.depth += 1;
            self.deepest = self.deepest.max(self.depth);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.depth -= usize::from(computes(expr));
        ControlFlow::Continue(())
    }
}

/// Whether an expression is an operator whose type follows from those of its sides.
fn computes(expr: &Expr) -> bool {
    use BinaryOperator::{And, Or};
    matches!(expr, Expr::BinaryOp { op, .. } if !matches!(op, And | Or))
}

/// # Errors
/// [`SqlError::Invalid`] for queries that would take long to plan, which cannot be interrupted.
fn check_size(statement: &Statement) -> Result<(), SqlError> {
    let sql = match statement {
        Statement::Statement(sql) => sql,
        Statement::Explain(explain) => return check_size(&explain.statement),
        _ => return Ok(()),
    };
    let mut size = Size::default();
    let _ = sql.visit(&mut size);
    for (what, count, most) in [
        ("SELECTs", size.queries, MAX_SELECTS),
        ("operators", size.operators, MAX_OPERATORS),
        ("operators within each other", size.deepest, MAX_CHAIN),
    ] {
        if count > most {
            return Err(SqlError::Invalid(format!("a query of {count} {what}, at most {most} are planned")));
        }
    }
    Ok(())
}

/// What a statement begins with, for an error.
fn verb(text: &str) -> String {
    let words = text.split_whitespace().take_while(|word| word.bytes().all(|b| b.is_ascii_uppercase()));
    words.take(3).collect::<Vec<_>>().join(" ")
}

/// Writes out `field('x')` as `field(line, 'x')`, and BETWEEN and IN on values inside of entries as
/// comparisons, which are read as of numbers where they are with numbers.
fn write_out(statement: &mut Statement) {
    match statement {
        Statement::Statement(sql) => write_out_in(sql),
        Statement::Explain(explain) => write_out(&mut explain.statement),
        _ => {}
    }
}

fn write_out_in(sql: &mut impl VisitMut) {
    let _: ControlFlow<()> = visit_expressions_mut(sql, |expr| {
        let replacement = match expr {
            Expr::Function(call) => {
                add_line(call);
                None
            }
            Expr::Between { expr: of, negated, low, high } if is_inside(of) => {
                Some(between(of, *negated, low, high))
            }
            Expr::InList { expr: of, list, negated } if is_inside(of) && list.iter().any(is_number) => {
                one_of(of, list, *negated)
            }
            _ => None,
        };
        if let Some(replacement) = replacement {
            *expr = replacement;
        }
        ControlFlow::Continue(())
    });
}

fn add_line(call: &mut Function) {
    if !call.name.to_string().eq_ignore_ascii_case(functions::FIELD) {
        return;
    }
    if let FunctionArguments::List(list) = &mut call.args
        && list.args.len() == 1
    {
        let line = Expr::Identifier(Ident::new("line"));
        list.args.insert(0, FunctionArg::Unnamed(FunctionArgExpr::Expr(line)));
    }
}

/// Whether an expression is a value inside of an entry: `field(…)` or `labels['a']`.
fn is_inside(expr: &Expr) -> bool {
    match expr {
        Expr::Function(call) => call.name.to_string().eq_ignore_ascii_case(functions::FIELD),
        Expr::CompoundFieldAccess { .. } => true,
        Expr::Nested(inner) => is_inside(inner),
        _ => false,
    }
}

fn is_number(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => matches!(value.value, Value::Number(..)),
        Expr::UnaryOp { expr, .. } => is_number(expr),
        _ => false,
    }
}

fn binary(left: &Expr, op: BinaryOperator, right: &Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left.clone()), op, right: Box::new(right.clone()) }
}

fn between(of: &Expr, negated: bool, low: &Expr, high: &Expr) -> Expr {
    use BinaryOperator::{And, Gt, GtEq, Lt, LtEq, Or};
    let (above, joined, below) = if negated { (Lt, Or, Gt) } else { (GtEq, And, LtEq) };
    Expr::Nested(Box::new(binary(&binary(of, above, low), joined, &binary(of, below, high))))
}

fn one_of(of: &Expr, list: &[Expr], negated: bool) -> Option<Expr> {
    use BinaryOperator::{And, Eq, NotEq, Or};
    let (op, joined) = if negated { (NotEq, And) } else { (Eq, Or) };
    let mut tests: Vec<Expr> = list.iter().map(|item| binary(of, op.clone(), item)).collect();
    // A balanced tree: a long list must not become a deep one.
    while tests.len() > 1 {
        let pair = |pair: &[Expr]| match pair {
            [left, right] => binary(left, joined.clone(), right),
            alone => alone.first().cloned().unwrap_or_else(|| of.clone()),
        };
        tests = tests.chunks(2).map(pair).collect();
    }
    let all = tests.pop()?;
    Some(Expr::Nested(Box::new(all)))
}
