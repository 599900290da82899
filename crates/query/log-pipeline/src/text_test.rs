//! Tests of a label's text: `=`, `!=`, `=~`, `!~`, with the peer's reading of expressions.

use novaobs_model::{MatchOp, Matcher, regex};

use crate::simple_regex::{Simple, simplify};

/// A test, compiled.
#[derive(Debug)]
pub struct TextTest {
    negated: bool,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Equal(String),
    Simple(Simple),
    Anchored(::regex::Regex),
}

impl TextTest {
    /// Compiles a matcher.
    ///
    /// In stream selectors an expression must match the whole value. In label filters the peer takes
    /// alternations of texts and the like apart instead of running them, and what it looks for then may
    /// stand anywhere in the value: `a=~"err.*"` lets `xerr` pass, and `a=~""` anything. Dot does not match
    /// a newline.
    ///
    /// # Errors
    /// The text of an expression that does not compile.
    pub fn new(matcher: &Matcher) -> Result<Self, String> {
        let negated = matches!(matcher.op, MatchOp::NotEqual | MatchOp::NotMatch);
        let kind = match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => Kind::Equal(matcher.value.clone()),
            MatchOp::Match | MatchOp::NotMatch => match simplify(&matcher.value, true) {
                Some(simple) => Kind::Simple(simple),
                None => {
                    let anchored = format!("^(?:{})$", matcher.value);
                    Kind::Anchored(regex::search(&anchored).map_err(|error| error.to_string())?)
                }
            },
        };
        Ok(TextTest { negated, kind })
    }

    /// Whether a value (none: the empty text) passes.
    pub fn passes(&self, value: &str) -> bool {
        let found = match &self.kind {
            Kind::Equal(text) => text == value,
            Kind::Simple(simple) => simple.finds(value),
            Kind::Anchored(regex) => regex.is_match(value),
        };
        found != self.negated
    }
}
