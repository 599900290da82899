//! Characters and tokens that the two text formats share.
//!
//! Both formats are defined by Prometheus' generated lexers, whose quirks show in what is accepted and in
//! error texts: a NUL byte ends most tokens like the end of the input does, and an illegal token ends where
//! its longest legal beginning does.

use std::ops::Range;

use super::ParseError;
use crate::quote::quote;

/// What a lexer found, named as in error texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Invalid,
    Eof,
    LineBreak,
    Help,
    Type,
    Unit,
    EofWord,
    Text,
    Comment,
    MetricName,
    QuotedString,
    BraceOpen,
    BraceClose,
    LabelName,
    LabelValue,
    Comma,
    Equal,
    Timestamp,
    Value,
}

impl Token {
    pub(super) fn name(self) -> &'static str {
        match self {
            Token::Invalid => "INVALID",
            Token::Eof => "EOF",
            Token::LineBreak => "LINEBREAK",
            Token::Help => "HELP",
            Token::Type => "TYPE",
            Token::Unit => "UNIT",
            Token::EofWord => "EOFWORD",
            Token::Text => "TEXT",
            Token::Comment => "COMMENT",
            Token::MetricName => "MNAME",
            Token::QuotedString => "QSTRING",
            Token::BraceOpen => "BOPEN",
            Token::BraceClose => "BCLOSE",
            Token::LabelName => "LNAME",
            Token::LabelValue => "LVALUE",
            Token::Comma => "COMMA",
            Token::Equal => "EQUAL",
            Token::Timestamp => "TIMESTAMP",
            Token::Value => "VALUE",
        }
    }
}

/// Where in a line the lexer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Init,
    MetaName,
    MetaText,
    Labels,
    LabelValue,
    Value,
    Timestamp,
    ExemplarLabels,
    ExemplarValue,
    ExemplarTimestamp,
}

/// The input with the current token and line.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    pub(super) input: &'a [u8],
    /// Whether a line break is read after the last byte (text: the last line may lack its own).
    pub(super) closing_newline: bool,
    /// Where reading goes on.
    pub(super) at: usize,
    /// Where the current token began.
    pub(super) token: usize,
    /// Where the current line began.
    pub(super) line: usize,
    pub(super) state: State,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(input: &'a [u8], closing_newline: bool) -> Self {
        Scanner { input, closing_newline, at: 0, token: 0, line: 0, state: State::Init }
    }

    /// The byte at `at`, 0 at the end.
    pub(super) fn byte(&self, at: usize) -> u8 {
        match self.input.get(at) {
            Some(byte) => *byte,
            None if self.closing_newline && at == self.input.len() => b'\n',
            None => 0,
        }
    }

    /// The length, with the closing line break.
    pub(super) fn len(&self) -> usize {
        self.input.len() + usize::from(self.closing_newline)
    }

    pub(super) fn rest(&self, from: usize) -> &'a [u8] {
        self.input.get(from..).unwrap_or(&[])
    }

    /// The current token's bytes (without the closing line break).
    pub(super) fn token_bytes(&self) -> &'a [u8] {
        self.input.get(self.token..self.at.min(self.input.len())).unwrap_or(&[])
    }

    /// Moves to the first byte from `from` on that `class` does not hold for.
    pub(super) fn skip_while(&mut self, from: usize, class: impl Fn(u8) -> bool) {
        let rest = self.rest(from);
        self.at = from + rest.iter().position(|byte| !class(*byte)).unwrap_or(rest.len());
    }

    /// Takes one byte as a token.
    pub(super) fn single(&mut self, token: Token, next: State) -> Token {
        self.at = self.token + 1;
        self.state = next;
        token
    }

    /// Takes `[a-zA-Z_][a-zA-Z0-9_]*` (with `colon` also `:`) at the current byte, which must begin one.
    pub(super) fn name(&mut self, colon: bool, token: Token, next: State) -> Token {
        self.skip_while(self.token + 1, |b| b.is_ascii_alphanumeric() || b == b'_' || (colon && b == b':'));
        self.state = next;
        token
    }

    /// Takes a quoted string that begins at the current byte. In label values NUL bytes are let through.
    pub(super) fn quoted(&mut self, newlines: bool, token: Token, next: State) -> Token {
        let stops = |b: u8| b == 0 && self.state != State::LabelValue || (b == b'\n' && !newlines);
        let mut at = self.token + 1;
        loop {
            let rest = self.rest(at);
            at += rest.iter().position(|b| matches!(b, b'"' | b'\\') || stops(*b)).unwrap_or(rest.len());
            match self.byte(at) {
                b'"' => {
                    self.at = at + 1;
                    self.state = next;
                    return token;
                }
                b'\\' if at < self.input.len() => {
                    let escaped = self.byte(at + 1);
                    if at + 1 >= self.input.len() || escaped == b'\n' || stops(escaped) {
                        self.at = at + 1;
                        return Token::Invalid;
                    }
                    at += 2;
                }
                _ => {
                    // The end, past the closing line break if strings may hold one.
                    self.at = if at >= self.input.len() && newlines { self.len() } else { at };
                    return Token::Invalid;
                }
            }
        }
    }

    /// An error about the current line, see [`ParseError`].
    pub(super) fn error(&self, message: String) -> ParseError {
        let before = self.input.get(..self.line).unwrap_or(self.input);
        ParseError { message, line: 1 + memchr::memchr_iter(b'\n', before).count() }
    }

    /// "expected …, got …" with the token, one byte more, and the line so far.
    pub(super) fn unexpected(&self, expected: &str, got: Token) -> ParseError {
        let end = self.len().min(self.at + 1);
        self.error(format!(
            "{expected}, got {} ({:?}) while parsing: {}",
            self.quoted_range(self.token, end),
            got.name(),
            self.quoted_range(self.line, end)
        ))
    }

    /// `problem` and the line so far.
    pub(super) fn while_parsing(&self, problem: impl std::fmt::Display) -> ParseError {
        self.error(format!("{problem} while parsing: {}", self.quoted_range(self.line, self.at)))
    }

    fn quoted_range(&self, start: usize, end: usize) -> String {
        let mut bytes = self.input.get(start..end.min(self.input.len())).unwrap_or(&[]).to_vec();
        if end > self.input.len() && self.closing_newline {
            bytes.push(b'\n');
        }
        quote(&bytes)
    }
}

/// The part of `range` inside its quotes, if it has them.
pub(super) fn unquoted(input: &[u8], range: Range<usize>) -> Range<usize> {
    match input.get(range.clone()) {
        Some([b'"', .., b'"']) => range.start + 1..range.end - 1,
        _ => range,
    }
}

/// Whether `byte` can begin a metric name (`colon`) or label name.
pub(super) fn begins_name(byte: u8, colon: bool) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || (colon && byte == b':')
}
