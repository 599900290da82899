//! Label matchers: `job="api"`, `status=~"5.."`.

use std::fmt;

use crate::labels::{Labels, go_quote, is_legacy_label_name};
use crate::regex::{GoRegex, RegexError};

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Match,
    /// `!~`
    NotMatch,
}

impl fmt::Display for MatchOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Match => "=~",
            MatchOp::NotMatch => "!~",
        })
    }
}

/// One condition on one label. A missing label counts as the empty string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    /// The label it looks at.
    pub name: String,
    /// How it compares.
    pub op: MatchOp,
    /// The string or expression it compares with.
    pub value: String,
    regex: Option<GoRegex>,
}

impl Matcher {
    /// Builds a matcher, compiling the expression of `=~` and `!~`.
    ///
    /// # Errors
    /// [`RegexError`] when that expression is not valid.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, RegexError> {
        let regex = match op {
            MatchOp::Match | MatchOp::NotMatch => Some(GoRegex::new(value)?),
            MatchOp::Equal | MatchOp::NotEqual => None,
        };
        Ok(Matcher { name: name.to_owned(), op, value: value.to_owned(), regex })
    }

    /// `name="value"`.
    pub fn equal(name: &str, value: &str) -> Self {
        Matcher { name: name.to_owned(), op: MatchOp::Equal, value: value.to_owned(), regex: None }
    }

    /// The compiled expression of `=~` and `!~`.
    pub fn regex(&self) -> Option<&GoRegex> {
        self.regex.as_ref()
    }

    /// Whether a label with this value satisfies the condition.
    pub fn matches(&self, value: &str) -> bool {
        match (self.op, &self.regex) {
            (MatchOp::Equal, _) => self.value == value,
            (MatchOp::NotEqual, _) => self.value != value,
            (MatchOp::Match, Some(regex)) => regex.is_match(value),
            (MatchOp::NotMatch, Some(regex)) => !regex.is_match(value),
            (MatchOp::Match | MatchOp::NotMatch, None) => {
                crate::never!("matcher {self} has no compiled expression");
                false
            }
        }
    }

    /// Whether the condition holds for a label set.
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.value(&self.name))
    }

    /// Whether a series without the label satisfies the condition.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_legacy_label_name(&self.name) {
            f.write_str(&self.name)?;
        } else {
            f.write_str(&go_quote(&self.name))?;
        }
        write!(f, "{}{}", self.op, go_quote(&self.value))
    }
}
