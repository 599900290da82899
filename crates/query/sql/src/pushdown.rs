//! What of a condition the store can test: times, labels and lines exactly, fields as hints.
//!
//! Conditions come as DataFusion leaves them: types made equal, constants computed, joined by AND. What the
//! store tests exactly is not tested again; all else is, whether the store was given a hint or not.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{InList, Like, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use novaobs_model::logs::{Field, FieldSource, FieldTest, LineMatch, LineTest, NumberRange};
use novaobs_model::{GoRegex, MatchOp, Matcher};

use crate::functions;
use crate::leaf::{Leaf, TABLE, table_schema, text_of};
use crate::predicate::{Predicate, Side};

/// What the store is asked to test.
#[derive(Clone, Debug)]
pub(crate) struct Pushed {
    /// Unix nanoseconds, inclusive.
    pub(crate) start: i64,
    /// Unix nanoseconds, exclusive.
    pub(crate) end: i64,
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) lines: Vec<LineTest>,
    pub(crate) fields: Vec<FieldTest>,
    /// The conditions that must be tested again.
    pub(crate) rest: Vec<Expr>,
}

/// Reads the conditions of a scan.
pub(crate) fn pushed(conditions: &[Expr]) -> Pushed {
    let mut pushed = Pushed {
        start: i64::MIN,
        end: i64::MAX,
        matchers: Vec::new(),
        lines: Vec::new(),
        fields: Vec::new(),
        rest: Vec::new(),
    };
    for condition in conditions {
        if !pushed.take(condition) {
            pushed.rest.push(condition.clone());
        }
    }
    pushed
}

impl Pushed {
    /// Gives the store what it can do of a condition; whether that is all of it.
    fn take(&mut self, condition: &Expr) -> bool {
        if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) = condition {
            let (left, right) = (self.take(left), self.take(right));
            return left && right;
        }
        if let Some((first, last)) = times(condition) {
            self.start = self.start.max(first);
            // The end is exclusive, and the greatest time there is stays in.
            self.end = self.end.min(last.saturating_add(1));
            return true;
        }
        if let Some(test) = line_test(condition) {
            self.lines.push(test);
            return true;
        }
        let Some((leaf, predicate)) = Predicate::of(condition) else { return false };
        match leaf {
            Leaf::Label(name) => match matchers(&name, &predicate) {
                Some(matchers) => {
                    self.matchers.extend(matchers);
                    true
                }
                None => false,
            },
            Leaf::Pair(name) => {
                self.hint(FieldSource::Metadata, &name, &predicate);
                false
            }
            Leaf::Field(name) => {
                self.hint(FieldSource::Json, &name, &predicate);
                self.hint(FieldSource::Logfmt, &name, &predicate);
                false
            }
            Leaf::Line => {
                // A line that is this text also contains it.
                if let Predicate::Text(Operator::Eq, text) = &predicate {
                    self.lines.push(contains(text, false));
                }
                false
            }
            _ => false,
        }
    }

    fn hint(&mut self, source: FieldSource, name: &Arc<str>, predicate: &Predicate) {
        let tested = predicate.clone();
        self.fields.push(FieldTest {
            field: Field { source, name: name.clone() },
            accepts: Arc::new(move |value| tested.holds(value)),
            one_of: predicate.one_of().map(|texts| texts.into_iter().map(Arc::from).collect()),
            range: range(predicate),
        });
    }
}

/// The leaf that an expression is, whatever type of text it is cast to.
pub(crate) fn leaf_of(expr: &Expr) -> Option<Leaf> {
    match expr {
        Expr::Column(column) => {
            let at = table_schema().index_of(&column.name).ok()?;
            TABLE.get(at).cloned()
        }
        Expr::Cast(cast) => {
            let leaf = leaf_of(&cast.expr)?;
            let (from, to) = (leaf.data_type(), cast.field.data_type());
            let same = functions::is_text(&from) && functions::is_text(to) || from == *to;
            same.then_some(leaf)
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) => match (func.name(), args.as_slice()) {
            (functions::NUMBER, [inner]) => match leaf_of(inner)? {
                text @ (Leaf::Label(_) | Leaf::Pair(_) | Leaf::Field(_)) => {
                    Some(Leaf::Number(Box::new(text)))
                }
                _ => None,
            },
            (name @ (functions::VALUE_OF | functions::FIELD), [of, Expr::Literal(inside, _)]) => {
                leaf_of(of)?.inside(name, &text_of(inside)?)
            }
            _ => None,
        },
        _ => None,
    }
}

/// The first and last time that a condition on time alone lets through.
fn times(condition: &Expr) -> Option<(i64, i64)> {
    match condition {
        Expr::BinaryExpr(_) => {
            let side = Side::of(condition)?;
            (side.leaf == Leaf::Timestamp).then(|| bounds(side.op, nanoseconds(side.value)?)).flatten()
        }
        Expr::Between(between) if !between.negated && leaf_of(&between.expr) == Some(Leaf::Timestamp) => {
            let (Expr::Literal(low, _), Expr::Literal(high, _)) = (&*between.low, &*between.high) else {
                return None;
            };
            Some((nanoseconds(low)?, nanoseconds(high)?))
        }
        _ => None,
    }
}

/// The first and last time for which `time op value` holds.
pub(crate) fn bounds(op: Operator, value: i64) -> Option<(i64, i64)> {
    match op {
        Operator::Eq => Some((value, value)),
        Operator::Gt => Some((value.checked_add(1)?, i64::MAX)),
        Operator::GtEq => Some((value, i64::MAX)),
        Operator::Lt => Some((i64::MIN, value.checked_sub(1)?)),
        Operator::LtEq => Some((i64::MIN, value)),
        _ => None,
    }
}

/// The Unix nanoseconds of a time.
pub(crate) fn nanoseconds(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::TimestampNanosecond(Some(time), _) => Some(*time),
        _ => None,
    }
}

/// The matchers that together are a test of a label, if there are such.
fn matchers(name: &str, predicate: &Predicate) -> Option<Vec<Matcher>> {
    // Where SQL's NULL fails a test, the empty string of a missing label must fail it.
    let one = |op, value: &str| Matcher::new(name, op, value).ok();
    let present = || one(MatchOp::NotEqual, "");
    Some(match predicate {
        Predicate::Text(Operator::Eq, value) if !value.is_empty() => vec![one(MatchOp::Equal, value)?],
        Predicate::Text(Operator::NotEq, value) => vec![one(MatchOp::NotEqual, value)?, present()?],
        Predicate::OneOf { values, negated } => {
            let any: Vec<String> = values.iter().map(|value| regex_escape(value)).collect();
            let op = if *negated { MatchOp::NotMatch } else { MatchOp::Match };
            vec![one(op, &any.join("|"))?, present()?]
        }
        Predicate::Matches { regex, negated } => {
            let op = if *negated { MatchOp::NotMatch } else { MatchOp::Match };
            vec![one(op, &format!("(?s:.*){}(?s:.*)", regex.source()))?, present()?]
        }
        Predicate::Null => vec![one(MatchOp::Equal, "")?],
        Predicate::NotNull => vec![present()?],
        _ => return None,
    })
}

/// The test of the raw line that a condition is, if it is one.
fn line_test(condition: &Expr) -> Option<LineTest> {
    match condition {
        Expr::Not(inner) => {
            let test = line_test(inner)?;
            Some(LineTest { negated: !test.negated, ..test })
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let (mut left, right) = (line_test(left)?, line_test(right)?);
            if left.negated || right.negated {
                return None;
            }
            left.any.extend(right.any);
            Some(left)
        }
        Expr::Like(like) if leaf_of(&like.expr) == Some(Leaf::Line) => {
            let any = match plain_like(like) {
                Some(text) => LineMatch::Text(text.into()),
                None => LineMatch::Regex(like_regex(like)?),
            };
            Some(LineTest { any: vec![any], negated: like.negated })
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) => {
            let [line, Expr::Literal(text, _)] = args.as_slice() else { return None };
            let text = text_of(text).filter(|_| leaf_of(line) == Some(Leaf::Line))?;
            match func.name() {
                "contains" => Some(contains(&text, false)),
                "starts_with" => regex_test(&format!("^{}", regex_escape(&text)), false),
                "ends_with" => regex_test(&format!("{}$", regex_escape(&text)), false),
                "regexp_like" => {
                    Some(LineTest { any: vec![LineMatch::Regex(go_regex(&text, false)?)], negated: false })
                }
                _ => None,
            }
        }
        Expr::BinaryExpr(_) => match Predicate::of(condition)? {
            (Leaf::Line, Predicate::Matches { regex, negated }) => {
                Some(LineTest { any: vec![LineMatch::Regex(regex)], negated })
            }
            _ => None,
        },
        _ => None,
    }
}

fn contains(text: &str, negated: bool) -> LineTest {
    LineTest { any: vec![LineMatch::Text(text.into())], negated }
}

fn regex_test(source: &str, negated: bool) -> Option<LineTest> {
    Some(LineTest { any: vec![LineMatch::Regex(GoRegex::new(source).ok()?)], negated })
}

/// The text of `LIKE '%text%'`.
fn plain_like(like: &Like) -> Option<String> {
    let Expr::Literal(pattern, _) = &*like.pattern else { return None };
    let pattern = text_of(pattern)?;
    let text = pattern.strip_prefix('%')?.strip_suffix('%')?;
    let plain = !text.contains(['%', '_', '\\']) && !like.case_insensitive && like.escape_char.is_none();
    plain.then(|| text.to_owned())
}

/// A LIKE pattern without escapes as an expression that is searched.
pub(crate) fn like_regex(like: &Like) -> Option<GoRegex> {
    let Expr::Literal(pattern, _) = &*like.pattern else { return None };
    let pattern = text_of(pattern)?;
    if like.escape_char.is_some() || pattern.contains('\\') {
        return None;
    }
    let mut source = String::from(if like.case_insensitive { "(?is:^" } else { "(?s:^" });
    for c in pattern.chars() {
        match c {
            '%' => source.push_str(".*"),
            '_' => source.push('.'),
            c => source.push_str(&regex_escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    source.push_str("$)");
    GoRegex::new(&source).ok()
}

/// An expression of SQL's functions as one of ours, when both surely mean the same.
pub(crate) fn go_regex(source: &str, ignore_case: bool) -> Option<GoRegex> {
    // Classes such as \d are Unicode's there and ASCII's here.
    let escapes =
        source.as_bytes().windows(2).any(|pair| matches!(pair, [b'\\', c] if c.is_ascii_alphanumeric()));
    if escapes || source.contains("[:") || source.contains("(?") || source.contains("&&") {
        return None;
    }
    let flags = if ignore_case { "i-s" } else { "-s" };
    GoRegex::new(&format!("(?{flags}:{source})")).ok()
}

fn regex_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The numbers that pass, where that is an interval.
fn range(predicate: &Predicate) -> Option<NumberRange> {
    let Predicate::Number(op, value) = predicate else { return None };
    let (low, high) = ((f64::NEG_INFINITY, true), (f64::INFINITY, true));
    let within = |low, high| Some(NumberRange { low, high, outside: false });
    match op {
        Operator::Eq => within((*value, true), (*value, true)),
        Operator::NotEq => Some(NumberRange { low: (*value, true), high: (*value, true), outside: true }),
        Operator::Gt => within((*value, false), high),
        Operator::GtEq => within((*value, true), high),
        Operator::Lt => within(low, (*value, false)),
        Operator::LtEq => within(low, (*value, true)),
        _ => None,
    }
}

/// The texts of an IN list.
pub(crate) fn list_of(list: &InList) -> Option<Vec<String>> {
    let text = |item: &Expr| match item {
        Expr::Literal(value, _) => text_of(value),
        _ => None,
    };
    list.list.iter().map(text).collect()
}
