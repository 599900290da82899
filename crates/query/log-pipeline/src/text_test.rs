//! Tests of a label's text: `=`, `!=`, `=~`, `!~`, with the peer's reading of expressions.

use novaobs_model::{MatchOp, Matcher, regex};
use regex_syntax::hir::{Hir, HirKind};

/// A test, compiled.
#[derive(Debug)]
pub struct TextTest {
    negated: bool,
    shape: Shape,
}

#[derive(Debug)]
enum Shape {
    Equal(String),
    All,
    NonEmpty,
    /// Any of these.
    Any(Vec<Shape>),
    Contains(String),
    Anchored(::regex::Regex),
}

impl TextTest {
    /// Compiles a matcher.
    ///
    /// In stream selectors an expression must match the whole value. In label filters the peer takes some
    /// simple expressions apart instead of running them, and what it looks for then may stand anywhere in
    /// the value: `a=~"err.*"` lets `xerr` pass. An expression that matches the empty text alone
    /// (`a=~""`) lets everything pass. Dot does not match a newline.
    ///
    /// # Errors
    /// The text of an expression that does not compile.
    pub fn new(matcher: &Matcher) -> Result<Self, String> {
        let negated = matches!(matcher.op, MatchOp::NotEqual | MatchOp::NotMatch);
        let shape = match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => Shape::Equal(matcher.value.clone()),
            MatchOp::Match | MatchOp::NotMatch => {
                let plain = regex_syntax::parse(&matcher.value).ok().and_then(|hir| simple(&hir));
                match plain {
                    Some(shape) => shape,
                    None => {
                        let anchored = format!("^(?:{})$", matcher.value);
                        Shape::Anchored(regex::search(&anchored).map_err(|error| error.to_string())?)
                    }
                }
            }
        };
        Ok(TextTest { negated, shape })
    }

    /// Whether a value (none: the empty text) passes.
    pub fn passes(&self, value: &str) -> bool {
        self.shape.finds(value) != self.negated
    }
}

impl Shape {
    fn finds(&self, value: &str) -> bool {
        match self {
            Shape::Equal(text) => text == value,
            Shape::All => true,
            Shape::NonEmpty => !value.is_empty(),
            Shape::Any(shapes) => shapes.iter().any(|shape| shape.finds(value)),
            Shape::Contains(text) => value.contains(text.as_str()),
            Shape::Anchored(regex) => regex.is_match(value),
        }
    }
}

/// What the peer makes of an expression without running it.
fn simple(hir: &Hir) -> Option<Shape> {
    match hir.kind() {
        HirKind::Empty => Some(Shape::All),
        HirKind::Literal(literal) => Some(Shape::Equal(String::from_utf8(literal.0.to_vec()).ok()?)),
        HirKind::Capture(capture) => simple(&capture.sub),
        HirKind::Repetition(repetition) if is_dot(&repetition.sub) && repetition.max.is_none() => {
            match repetition.min {
                0 => Some(Shape::All),
                1 => Some(Shape::NonEmpty),
                _ => None,
            }
        }
        HirKind::Alternation(parts) => {
            let shapes: Option<Vec<Shape>> = parts.iter().map(simple).collect();
            Some(Shape::Any(shapes?))
        }
        HirKind::Concat(parts) if parts.len() <= 3 => {
            let mut literal = None;
            for part in parts {
                match part.kind() {
                    HirKind::Literal(text) if literal.is_none() => {
                        literal = Some(String::from_utf8(text.0.to_vec()).ok()?);
                    }
                    HirKind::Repetition(repetition)
                        if is_dot(&repetition.sub) && repetition.min == 0 && repetition.max.is_none() => {}
                    _ => return None,
                }
            }
            literal.map(Shape::Contains)
        }
        _ => None,
    }
}

fn is_dot(hir: &Hir) -> bool {
    *hir == Hir::dot(regex_syntax::hir::Dot::AnyCharExceptLF)
}
