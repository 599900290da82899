//! Tests of whole lines, compiled for one scan.

use memchr::memmem::Finder;
use novaobs_model::logs::{LineMatch, LineTest};
use regex::Regex;

/// A [`LineTest`] ready to be asked.
pub(crate) struct LineCheck {
    any: Vec<Wanted>,
    negated: bool,
}

/// What a line may contain.
pub(crate) enum Wanted {
    /// This text.
    Text(Finder<'static>),
    /// A match of this expression.
    Regex(Regex),
    /// An expression that cannot be compiled without its anchors (it is too large): nothing has it.
    Nothing,
}

impl LineCheck {
    /// Compiles a test.
    pub(crate) fn new(test: &LineTest) -> Self {
        let any = test.any.iter().map(|one| match one {
            LineMatch::Text(text) => Wanted::Text(Finder::new(text.as_bytes()).into_owned()),
            LineMatch::Regex(regex) => regex.unanchored().map_or(Wanted::Nothing, Wanted::Regex),
        });
        LineCheck { any: any.collect(), negated: test.negated }
    }

    /// Whether a line passes.
    pub(crate) fn passes(&self, line: &str) -> bool {
        self.any.iter().any(|wanted| wanted.is_in(line)) != self.negated
    }
}

impl Wanted {
    /// Whether a line has it.
    pub(crate) fn is_in(&self, line: &str) -> bool {
        match self {
            Wanted::Text(finder) => finder.find(line.as_bytes()).is_some(),
            Wanted::Regex(regex) => regex.is_match(line),
            Wanted::Nothing => false,
        }
    }
}
