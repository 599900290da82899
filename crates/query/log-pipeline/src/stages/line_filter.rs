//! `|= "x" or "y"`, `!~ "re"`, `|> "a <_> b"`, `|= ip("…")`: keeps rows by their line.

use std::sync::Arc;

use memchr::memmem::Finder;
use novaobs_logql_parser::{LineFilter, LineOp, LineOperand};
use novaobs_model::logs::{LineMatch, LineTest};
use novaobs_model::{GoRegex, regex};

use crate::ip::IpPattern;
use crate::pattern::LinePattern;
use crate::stages::{Context, Outcome, StageRun};

/// The stage: keeps lines in which any operand is found, or when negated none.
#[derive(Debug)]
pub(crate) struct Filter {
    any: Vec<Find>,
    negated: bool,
}

#[derive(Debug)]
enum Find {
    Text(Finder<'static>),
    Regex(::regex::Regex),
    Pattern(LinePattern),
    Ip(IpPattern),
}

impl Filter {
    /// # Errors
    /// The peer's text for what is no expression, pattern or address.
    pub(crate) fn new(filter: &LineFilter) -> Result<Filter, String> {
        let negated = matches!(filter.op, LineOp::NotContains | LineOp::NotMatches | LineOp::NotPattern);
        let any: Result<Vec<Find>, String> =
            filter.any.iter().map(|operand| find(filter.op, operand)).collect();
        Ok(Filter { any: any?, negated })
    }

    fn passes(&self, line: &str) -> bool {
        let found = self.any.iter().any(|find| match find {
            Find::Text(finder) => finder.find(line.as_bytes()).is_some(),
            Find::Regex(regex) => regex.is_match(line),
            Find::Pattern(pattern) => pattern.matches(line),
            Find::Ip(pattern) => pattern.is_in(line),
        });
        found != self.negated
    }
}

fn find(op: LineOp, operand: &LineOperand) -> Result<Find, String> {
    let text = match operand {
        LineOperand::Text(text) => text,
        LineOperand::Ip(pattern) if matches!(op, LineOp::Contains | LineOp::NotContains) => {
            return Ok(Find::Ip(IpPattern::new(pattern)?));
        }
        LineOperand::Ip(_) => return Err("ip: invalid operation".to_owned()),
    };
    Ok(match op {
        LineOp::Contains | LineOp::NotContains => Find::Text(Finder::new(text).into_owned()),
        LineOp::Matches | LineOp::NotMatches => {
            Find::Regex(regex::search(text).map_err(|error| error.to_string())?)
        }
        LineOp::Pattern | LineOp::NotPattern => Find::Pattern(LinePattern::new(text)?),
    })
}

/// The filter as a test a store can apply; none for patterns and addresses.
pub(crate) fn as_test(filter: &LineFilter) -> Option<LineTest> {
    let find = |operand: &LineOperand| match (filter.op, operand) {
        (LineOp::Contains | LineOp::NotContains, LineOperand::Text(text)) => {
            Some(LineMatch::Text(Arc::from(text.as_str())))
        }
        // Stores let a dot match newlines; LogQL does not.
        (LineOp::Matches | LineOp::NotMatches, LineOperand::Text(text)) => {
            Some(LineMatch::Regex(GoRegex::new(&format!("(?-s:{text})")).ok()?))
        }
        _ => None,
    };
    let negated = matches!(filter.op, LineOp::NotContains | LineOp::NotMatches);
    Some(LineTest { any: filter.any.iter().map(find).collect::<Option<_>>()?, negated })
}

impl StageRun for Filter {
    fn run(&self, row: &mut Context<'_>) -> Outcome {
        Outcome::keep_if(self.passes(row.line))
    }
}
