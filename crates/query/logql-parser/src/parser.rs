//! Words to tree, by recursive descent, with a stack for binary operators.
//!
//! The peer checks some things while it parses (expressions of matchers, `regexp`, `pattern`) and the rest
//! when all of the text has been read. The rest travels upward as [`Checked::error`], always the one the peer
//! would find first, so that a syntax error further right is reported before it.
//!
//! Messages list what was expected when that are four words or fewer, as the peer's generated parser does;
//! optional words are not listed.

mod label_filter;
mod log;
mod sample;

use crate::ast::{Expr, Grouping};
use crate::error::{ParseError, Position};
use crate::lexer;
use crate::token::{Kind, Token, Word};

/// How deep parentheses and calls may nest: the parser and those who walk trees recurse.
const MAX_NESTING: usize = 100;
/// How many operators an expression may have; chains of them are trees as deep as they are long.
const MAX_OPERATORS: usize = 500;

/// Something parsed, and what is wrong with it apart from syntax.
pub(crate) struct Checked<T> {
    pub(crate) node: T,
    /// The first mistake; the node is not to be used then.
    pub(crate) error: Option<String>,
}

/// Parses a whole expression; says what is wrong with it apart from syntax.
pub(crate) fn expression(text: &str) -> Result<Checked<Expr>, ParseError> {
    let mut parser = Parser::new(text);
    let expr = parser.binary()?;
    parser.end()?;
    Ok(expr)
}

pub(super) struct Parser {
    /// Ends with [`Kind::End`] or [`Kind::Broken`], which are never stepped over.
    tokens: Vec<Token>,
    at: usize,
    empty: bool,
    nesting: usize,
    operators: usize,
}

impl Parser {
    fn new(text: &str) -> Self {
        Parser { tokens: lexer::tokens(text), at: 0, empty: text.is_empty(), nesting: 0, operators: 0 }
    }

    fn kind(&self) -> &Kind {
        self.tokens.get(self.at).map_or(&Kind::End, |token| &token.kind)
    }

    fn second(&self) -> &Kind {
        self.tokens.get(self.at + 1).map_or(&Kind::End, |token| &token.kind)
    }

    fn advance(&mut self) {
        if !matches!(self.kind(), Kind::End | Kind::Broken(_)) {
            self.at += 1;
        }
    }

    fn is(&self, word: Word) -> bool {
        *self.kind() == Kind::Word(word)
    }

    /// Steps over the word if it is the next.
    fn take(&mut self, word: Word) -> bool {
        let found = self.is(word);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, word: Word) -> Result<(), ParseError> {
        if self.take(word) { Ok(()) } else { Err(self.unexpected(&[word.name()])) }
    }

    fn end(&self) -> Result<(), ParseError> {
        if *self.kind() == Kind::End { Ok(()) } else { Err(self.unexpected(&[])) }
    }

    fn string(&mut self, expected: &[&str]) -> Result<String, ParseError> {
        let Kind::String(text) = self.kind() else { return Err(self.unexpected(expected)) };
        let text = text.clone();
        self.advance();
        Ok(text)
    }

    fn identifier(&mut self, expected: &[&str]) -> Result<String, ParseError> {
        let Kind::Identifier(name) = self.kind() else { return Err(self.unexpected(expected)) };
        let name = name.clone();
        self.advance();
        Ok(name)
    }

    /// The text of a number; numbers that are none are found later.
    fn number(&mut self, expected: &[&str]) -> Result<String, ParseError> {
        let Kind::Number(text) = self.kind() else { return Err(self.unexpected(expected)) };
        let text = text.clone();
        self.advance();
        Ok(text)
    }

    /// The next word is not one of those that may stand here; `expected` is empty when they are many.
    fn unexpected(&self, expected: &[&str]) -> ParseError {
        let Some(token) = self.tokens.get(self.at) else {
            return ParseError::general("syntax error: unexpected $end");
        };
        if let Kind::Broken(message) = &token.kind {
            return ParseError::at(token.position, token.shown_line, message);
        }
        let mut message = format!("syntax error: unexpected {}", token.kind.name());
        for (nth, name) in expected.iter().enumerate() {
            message.push_str(if nth == 0 { ", expecting " } else { " or " });
            message.push_str(name);
        }
        if self.empty {
            return ParseError { position: Some(token.position), ..ParseError::general(message) };
        }
        ParseError::at(token.position, token.shown_line, message)
    }

    fn position(&self) -> Option<Position> {
        self.tokens.get(self.at).map(|token| token.position)
    }

    /// Runs `inner` one level deeper.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, ParseError>) -> Result<T, ParseError> {
        if self.nesting >= MAX_NESTING {
            let message = format!("expression is nested too deeply (more than {MAX_NESTING} levels)");
            return Err(ParseError { position: self.position(), ..ParseError::general(message) });
        }
        self.nesting += 1;
        let result = inner(self);
        self.nesting -= 1;
        result
    }

    /// Counts an operator.
    fn operator(&mut self) -> Result<(), ParseError> {
        self.operators += 1;
        if self.operators > MAX_OPERATORS {
            let message = format!("expression has too many operators (more than {MAX_OPERATORS})");
            return Err(ParseError { position: self.position(), ..ParseError::general(message) });
        }
        Ok(())
    }

    /// `(a, b)` or `()`
    fn labels(&mut self) -> Result<Vec<String>, ParseError> {
        self.expect(Word::OpenParen)?;
        if self.take(Word::CloseParen) {
            return Ok(Vec::new());
        }
        let mut labels = vec![self.identifier(&["IDENTIFIER", ")"])?];
        loop {
            if self.take(Word::CloseParen) {
                return Ok(labels);
            }
            if !self.take(Word::Comma) {
                return Err(self.unexpected(&[",", ")"]));
            }
            labels.push(self.identifier(&["IDENTIFIER"])?);
        }
    }

    /// `by (a)`, `without (a)`, or nothing.
    fn grouping(&mut self) -> Result<Option<Grouping>, ParseError> {
        let without = self.is(Word::Without);
        if !without && !self.is(Word::By) {
            return Ok(None);
        }
        self.advance();
        Ok(Some(Grouping { without, labels: self.labels()? }))
    }
}
