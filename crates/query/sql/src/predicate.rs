//! Conditions on one value: `labels['a'] = 'x'`, `field('status') >= 500`, and their combinations.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use novaobs_model::GoRegex;

use crate::functions::number_of;
use crate::leaf::{Leaf, text_of};
use crate::pushdown::{go_regex, leaf_of, like_regex, list_of};

/// A condition on one text, none where it is absent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Predicate {
    /// Compared with a text, byte by byte.
    Text(Operator, String),
    /// Read as a number and compared.
    Number(Operator, f64),
    /// One of some texts, or present and none of them.
    OneOf { values: Vec<String>, negated: bool },
    /// A match of an expression anywhere, or present and without one.
    Matches { regex: GoRegex, negated: bool },
    /// Absent.
    Null,
    /// Present.
    NotNull,
    /// Both.
    And(Box<Predicate>, Box<Predicate>),
    /// Either.
    Or(Box<Predicate>, Box<Predicate>),
}

/// A comparison of a leaf with a constant.
pub(crate) struct Side<'e> {
    pub(crate) leaf: Leaf,
    /// With the leaf at the left.
    pub(crate) op: Operator,
    pub(crate) value: &'e ScalarValue,
}

impl<'e> Side<'e> {
    /// Reads a comparison, with the constant at either side.
    pub(crate) fn of(expr: &'e Expr) -> Option<Self> {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return None };
        match (&**left, &**right) {
            (leaf, Expr::Literal(value, _)) => Some(Side { leaf: leaf_of(leaf)?, op: *op, value }),
            (Expr::Literal(value, _), leaf) => Some(Side { leaf: leaf_of(leaf)?, op: op.swap()?, value }),
            _ => None,
        }
    }
}

impl Predicate {
    /// Reads a condition on one leaf. That of `number(x)` is one on `x`.
    pub(crate) fn of(expr: &Expr) -> Option<(Leaf, Predicate)> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
                let (leaf, left) = Predicate::of(left)?;
                let (other, right) = Predicate::of(right)?;
                let (left, right) = (Box::new(left), Box::new(right));
                let both = if *op == Operator::And {
                    Predicate::And(left, right)
                } else {
                    Predicate::Or(left, right)
                };
                (leaf == other).then_some((leaf, both))
            }
            Expr::BinaryExpr(_) => Predicate::compared(&Side::of(expr)?),
            Expr::InList(list) => {
                let leaf = leaf_of(&list.expr).filter(|leaf| !matches!(leaf, Leaf::Number(_)))?;
                Some((leaf, Predicate::OneOf { values: list_of(list)?, negated: list.negated }))
            }
            Expr::Like(like) => Some((
                leaf_of(&like.expr)?,
                Predicate::Matches { regex: like_regex(like)?, negated: like.negated },
            )),
            Expr::IsNull(inner) => Some((text_leaf(inner)?, Predicate::Null)),
            Expr::IsNotNull(inner) => Some((text_leaf(inner)?, Predicate::NotNull)),
            _ => None,
        }
    }

    fn compared(side: &Side<'_>) -> Option<(Leaf, Predicate)> {
        use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
        let matches = |ignore_case, negated| {
            let regex = go_regex(&text_of(side.value)?, ignore_case)?;
            Some(Predicate::Matches { regex, negated })
        };
        let predicate = match (&side.leaf, side.op) {
            (Leaf::Number(_), Eq | NotEq | Gt | GtEq | Lt | LtEq) => {
                let ScalarValue::Float64(Some(value)) = side.value else { return None };
                Predicate::Number(side.op, *value)
            }
            (Leaf::Number(_), _) => return None,
            (_, Eq | NotEq | Gt | GtEq | Lt | LtEq) => Predicate::Text(side.op, text_of(side.value)?),
            (_, Operator::RegexMatch) => matches(false, false)?,
            (_, Operator::RegexIMatch) => matches(true, false)?,
            (_, Operator::RegexNotMatch) => matches(false, true)?,
            (_, Operator::RegexNotIMatch) => matches(true, true)?,
            _ => return None,
        };
        let leaf = match &side.leaf {
            Leaf::Number(inner) => (**inner).clone(),
            leaf => leaf.clone(),
        };
        Some((leaf, predicate))
    }

    /// Whether it holds: neither false nor SQL's NULL.
    pub(crate) fn holds(&self, value: Option<&str>) -> bool {
        match self {
            Predicate::Text(op, text) => value.is_some_and(|value| compare(*op, value, text.as_str())),
            Predicate::Number(op, number) => {
                value.and_then(number_of).is_some_and(|value| compare(*op, value, *number))
            }
            Predicate::OneOf { values, negated } => {
                value.is_some_and(|value| values.iter().any(|v| v == value) != *negated)
            }
            Predicate::Matches { regex, negated } => value.is_some_and(|value| {
                regex.unanchored().is_none_or(|search| search.is_match(value) != *negated)
            }),
            Predicate::Null => value.is_none(),
            Predicate::NotNull => value.is_some(),
            Predicate::And(left, right) => left.holds(value) && right.holds(value),
            Predicate::Or(left, right) => left.holds(value) || right.holds(value),
        }
    }

    /// The only texts for which it holds, where these are few.
    pub(crate) fn one_of(&self) -> Option<Vec<&str>> {
        match self {
            Predicate::Text(Operator::Eq, text) => Some(vec![text]),
            Predicate::OneOf { values, negated: false } => Some(values.iter().map(String::as_str).collect()),
            Predicate::And(left, right) => left.one_of().or_else(|| right.one_of()),
            Predicate::Or(left, right) => {
                let mut texts = left.one_of()?;
                texts.extend(right.one_of()?);
                Some(texts)
            }
            _ => None,
        }
    }
}

fn text_leaf(expr: &Expr) -> Option<Leaf> {
    leaf_of(expr).filter(|leaf| matches!(leaf, Leaf::Label(_) | Leaf::Pair(_) | Leaf::Field(_)))
}

fn compare<T: PartialOrd>(op: Operator, left: T, right: T) -> bool {
    match op {
        Operator::Eq => left == right,
        Operator::NotEq => left != right,
        Operator::Gt => left > right,
        Operator::GtEq => left >= right,
        Operator::Lt => left < right,
        Operator::LtEq => left <= right,
        _ => true,
    }
}
