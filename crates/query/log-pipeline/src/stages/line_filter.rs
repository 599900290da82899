//! `|= "x" or "y"`, `!~ "re"`, `|> "a <_> b"`, `|= ip("…")`: keeps rows by their line.

use memchr::memmem::Finder;
use novaobs_logql_parser::{LineFilter, LineOp, LineOperand};
use novaobs_model::logs::{LineMatch, LineTest};
use novaobs_model::{GoRegex, regex};

use crate::ip::IpPattern;
use crate::pattern::LinePattern;
use crate::simple_regex::{Simple, simplify};
use crate::stages::{Context, Outcome, StageRun};

/// The stage: keeps lines in which any operand is found, or when negated none.
#[derive(Debug)]
pub(crate) struct Filter {
    any: Vec<Find>,
    negated: bool,
}

#[derive(Debug)]
enum Find {
    Text(Box<Finder<'static>>),
    Simple(Simple),
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
            Find::Simple(simple) => simple.finds(line),
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
        LineOp::Contains | LineOp::NotContains => Find::Text(Box::new(Finder::new(text).into_owned())),
        LineOp::Matches | LineOp::NotMatches => match simplify(text, false) {
            // To search without regard to case, the automaton is faster than a copy.
            Some(simple) if !simple.folds => Find::Simple(simple),
            _ => Find::Regex(regex::search(text).map_err(|error| error.to_string())?),
        },
        LineOp::Pattern | LineOp::NotPattern => Find::Pattern(LinePattern::new(text)?),
    })
}

/// The filter as a test a store can apply; none for patterns and addresses.
pub(crate) fn as_test(filter: &LineFilter) -> Option<LineTest> {
    let mut any = Vec::new();
    for operand in &filter.any {
        let LineOperand::Text(text) = operand else { return None };
        match (filter.op, simplify(text, false)) {
            (LineOp::Contains | LineOp::NotContains, _) => any.push(LineMatch::Text(text.as_str().into())),
            (LineOp::Pattern | LineOp::NotPattern, _) => return None,
            (LineOp::Matches | LineOp::NotMatches, Some(simple)) if !simple.folds => {
                any.extend(simple.texts()?.into_iter().map(|text| LineMatch::Text(text.into())));
            }
            // Stores let a dot match newlines; LogQL does not.
            (LineOp::Matches | LineOp::NotMatches, _) => {
                any.push(LineMatch::Regex(GoRegex::new(&format!("(?-s:{text})")).ok()?));
            }
        }
    }
    let negated = matches!(filter.op, LineOp::NotContains | LineOp::NotMatches);
    Some(LineTest { any, negated })
}

impl StageRun for Filter {
    fn run(&self, row: &mut Context<'_>) -> Outcome {
        Outcome::keep_if(self.passes(row.line))
    }
}
