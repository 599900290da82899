//! Tests of lines, ready for many blocks of a part: what blocks can be left out for, and how rows are found.

use std::sync::Arc;

use hashbrown::HashMap;
use memchr::memmem::Finder;
use novaobs_model::logs::{LineMatch, LineTest};
use parking_lot::Mutex;
use regex::Regex;
use regex_syntax::hir::{Hir, HirKind};

use crate::align::{Ways, ways};
use crate::filters::Needle;
use crate::shapes::Shape;

/// Texts a set of required ones has at most; more are not worth looking for one by one.
const MOST_REQUIRED: usize = 16;

/// All tests of a scan.
#[derive(Debug, Default)]
pub(crate) struct LineSearch {
    pub(crate) tests: Vec<Test>,
}

/// One test: holds when any of the wanted is found, or with `negated` when none is.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) any: Vec<Wanted>,
    pub(crate) negated: bool,
}

/// What a line may have.
#[derive(Debug)]
pub(crate) enum Wanted {
    Text(Box<Text>),
    /// A match of an expression, which needs one of the texts to be there (none known: no texts).
    Regex {
        regex: Regex,
        required: Vec<Text>,
    },
    /// Nothing has it.
    Nothing,
}

/// A text that is looked for.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) finder: Finder<'static>,
    pub(crate) needle: Needle,
    /// By number of the shape.
    ways: Mutex<HashMap<u32, Arc<Ways>>>,
}

impl LineSearch {
    pub(crate) fn new(tests: &[LineTest]) -> Self {
        LineSearch { tests: tests.iter().map(Test::new).collect() }
    }

    /// Whether a line passes all tests.
    pub(crate) fn passes(&self, line: &str) -> bool {
        self.tests.iter().all(|test| test.any.iter().any(|wanted| wanted.is_in(line)) != test.negated)
    }
}

impl Test {
    fn new(test: &LineTest) -> Self {
        let any = test.any.iter().map(|one| match one {
            LineMatch::Text(text) => Wanted::Text(Box::new(Text::new(text))),
            LineMatch::Regex(regex) => match regex.unanchored() {
                Some(regex) => Wanted::Regex { regex: regex.clone(), required: required(regex) },
                None => Wanted::Nothing,
            },
        });
        Test { any: any.collect(), negated: test.negated }
    }

    /// The texts of which a passing line has at least one; `None` when a line may pass without any.
    pub(crate) fn needed(&self) -> Option<Vec<&Text>> {
        if self.negated {
            return None;
        }
        let mut all: Vec<&Text> = Vec::new();
        for wanted in &self.any {
            match wanted {
                Wanted::Text(text) => all.push(text),
                Wanted::Regex { required, .. } if required.is_empty() => return None,
                Wanted::Regex { required, .. } => all.extend(required),
                Wanted::Nothing => {}
            }
        }
        Some(all)
    }
}

impl Wanted {
    /// Whether a line has it.
    pub(crate) fn is_in(&self, line: &str) -> bool {
        match self {
            Wanted::Text(text) => text.finder.find(line.as_bytes()).is_some(),
            Wanted::Regex { regex, .. } => regex.is_match(line),
            Wanted::Nothing => false,
        }
    }
}

impl Text {
    fn new(text: &str) -> Self {
        Text {
            text: text.to_owned(),
            finder: Finder::new(text.as_bytes()).into_owned(),
            needle: Needle::inside(text),
            ways: Mutex::default(),
        }
    }

    /// How lines of a shape can have it.
    pub(crate) fn ways(&self, number: u32, shape: &Shape) -> Arc<Ways> {
        self.ways.lock().entry(number).or_insert_with(|| Arc::new(ways(shape, &self.text))).clone()
    }
}

/// Texts of which every match of an expression has at least one; none when nothing is known.
fn required(regex: &Regex) -> Vec<Text> {
    let Ok(hir) = regex_syntax::parse(regex.as_str()) else { return Vec::new() };
    required_of(&hir).unwrap_or_default().iter().map(|text| Text::new(text)).collect()
}

fn required_of(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Literal(literal) => std::str::from_utf8(&literal.0).ok().map(|text| vec![text.to_owned()]),
        HirKind::Capture(capture) => required_of(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => required_of(&repetition.sub),
        HirKind::Concat(parts) => {
            // The set whose shortest text is longest tells most.
            let sets = parts.iter().filter_map(required_of);
            sets.max_by_key(|set| set.iter().map(String::len).min())
        }
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(required_of(part)?);
            }
            (all.len() <= MOST_REQUIRED).then_some(all)
        }
        _ => None,
    }
    .filter(|set| !set.is_empty() && set.iter().all(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_expression_needs() {
        let needs = |source: &str| {
            let texts = required(&Regex::new(source).unwrap());
            texts.into_iter().map(|text| text.text).collect::<Vec<_>>().join(",")
        };
        assert_eq!(needs("(?s:.*error.*ab)"), "error");
        assert_eq!(needs("(?s:error|warn(ing)?)"), "error,warn");
        assert_eq!(needs("(?i)error"), "");
        assert_eq!(needs("a?|b"), "");
        assert_eq!(needs("(timeout)+ [0-9]+"), "timeout");
    }
}
