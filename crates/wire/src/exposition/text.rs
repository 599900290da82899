//! Prometheus text format, versions 0.0.4 and 1.0.0 (the latter adds quoted UTF-8 names).
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::borrow::Cow;
use std::ops::Range;

use novaobs_model::MetricType;

use super::lexer::{Scanner, State, Token, begins_name, unquoted};
use super::{Entry, Pair, ParseError, Sample, Source, slice, unescape};
use crate::number;
use crate::quote::quote;

/// Streams the entries of a text body.
#[derive(Debug)]
pub struct TextParser<'a> {
    scan: Scanner<'a>,
    /// The type of the last `# TYPE` line, whatever its family.
    kind: MetricType,
    labels: Vec<Pair>,
}

/// What a line turned out to be; pieces are places in the input.
enum Line {
    Type(Range<usize>),
    Help(Range<usize>, Range<usize>),
    Sample { name: Range<usize>, series: Range<usize>, value: f64, timestamp: Option<i64> },
}

impl<'a> TextParser<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        TextParser { scan: Scanner::new(body, true), kind: MetricType::Unknown, labels: Vec::new() }
    }

    pub(super) fn next(&mut self) -> Result<Option<Entry<'_>>, ParseError> {
        let Some(line) = self.line()? else { return Ok(None) };
        let input = self.scan.input;
        let lossy = |range: &Range<usize>| String::from_utf8_lossy(slice(input, range));
        Ok(Some(match line {
            Line::Type(family) => Entry::Type { family: lossy(&family), kind: self.kind },
            Line::Help(family, text) => {
                let text = lossy(&text);
                let text = if text.contains('\\') { Cow::Owned(unescape(&text, false)) } else { text };
                Entry::Help { family: lossy(&family), text }
            }
            Line::Sample { name, series, value, timestamp } => Entry::Sample(Sample {
                series: slice(input, &series),
                value,
                timestamp,
                source: Source::Text { input, name, labels: &self.labels, kind: self.kind, exemplar: None },
            }),
        }))
    }

    fn line(&mut self) -> Result<Option<Line>, ParseError> {
        loop {
            self.scan.line = self.scan.at;
            self.labels.clear();
            match self.lex() {
                Token::Eof => return Ok(None),
                Token::LineBreak => {}
                Token::Comment => {
                    let token = self.lex();
                    if token != Token::LineBreak {
                        return Err(self.scan.unexpected("linebreak expected after comment", token));
                    }
                }
                token @ (Token::Help | Token::Type) => return self.metadata(token).map(Some),
                Token::BraceOpen => {
                    let start = self.scan.token;
                    let name = self.label_list(None)?;
                    let series = start..self.scan.at;
                    let token = self.lex();
                    let Some(name) = name else {
                        return Err(self.scan.while_parsing("metric name not set"));
                    };
                    return self.sample(name, series, token).map(Some);
                }
                Token::MetricName => {
                    let name = self.scan.token..self.scan.at;
                    let mut series = name.clone();
                    let mut token = self.lex();
                    if token == Token::BraceOpen {
                        self.label_list(Some(name.clone()))?;
                        series.end = self.scan.at;
                        token = self.lex();
                    }
                    return self.sample(name, series, token).map(Some);
                }
                token => return Err(self.scan.unexpected("expected a valid start token", token)),
            }
        }
    }

    /// The rest of a `# HELP` or `# TYPE` line.
    fn metadata(&mut self, what: Token) -> Result<Line, ParseError> {
        let token = self.lex();
        if token != Token::MetricName {
            let expected = format!("expected metric name after {}", what.name());
            return Err(self.scan.unexpected(&expected, token));
        }
        let family = unquoted(self.scan.input, self.scan.token..self.scan.at);
        let token = self.lex();
        if token != Token::Text {
            let message = format!("expected text in {}, got {}", what.name(), token.name());
            return Err(self.scan.error(message));
        }
        // The byte that parted name and text is not the text's.
        let text = (self.scan.token + 1).min(self.scan.at)..self.scan.at;
        let bytes = slice(self.scan.input, &text);
        if what == Token::Type {
            self.kind = match bytes {
                b"counter" => MetricType::Counter,
                b"gauge" => MetricType::Gauge,
                b"histogram" => MetricType::Histogram,
                b"summary" => MetricType::Summary,
                b"untyped" => MetricType::Unknown,
                other => return Err(self.scan.error(format!("invalid metric type {}", quote(other)))),
            };
        } else if std::str::from_utf8(bytes).is_err() {
            return Err(self.scan.error(format!("help text {} is not a valid utf8 string", quote(bytes))));
        }
        let token = self.lex();
        if token != Token::LineBreak {
            return Err(self.scan.unexpected("linebreak expected after metadata", token));
        }
        Ok(if what == Token::Type { Line::Type(family) } else { Line::Help(family, text) })
    }

    /// Everything between braces, the opening one read. Gives the metric's name, which may be inside.
    fn label_list(&mut self, mut name: Option<Range<usize>>) -> Result<Option<Range<usize>>, ParseError> {
        let mut token = self.lex();
        loop {
            let label = self.scan.token..self.scan.at;
            match token {
                Token::BraceClose => return Ok(name),
                Token::LabelName | Token::QuotedString => {}
                other => return Err(self.scan.unexpected("expected label name", other)),
            }
            let quoted = token == Token::QuotedString;
            token = self.lex();
            if quoted && matches!(token, Token::Comma | Token::BraceClose) {
                if name.is_some() {
                    return Err(self.scan.while_parsing("metric name already set"));
                }
                name = Some(unquoted(self.scan.input, label));
                if token == Token::BraceClose {
                    return Ok(name);
                }
                token = self.lex();
                continue;
            }
            if token != Token::Equal {
                return Err(self.scan.unexpected("expected equal", token));
            }
            token = self.lex();
            if token != Token::LabelValue {
                return Err(self.scan.unexpected("expected label value", token));
            }
            let value = unquoted(self.scan.input, self.scan.token..self.scan.at);
            self.labels.push(Pair { name: unquoted(self.scan.input, label), value });
            token = self.lex();
            // Prometheus also takes labels without a comma between them.
            if token == Token::Comma {
                token = self.lex();
            }
        }
    }

    /// The end of a sample's line, its first token read.
    fn sample(&mut self, name: Range<usize>, series: Range<usize>, token: Token) -> Result<Line, ParseError> {
        if token != Token::Value {
            return Err(self.scan.unexpected("expected value after metric", token));
        }
        let value = number::parse_value(self.scan.token_bytes()).map_err(|e| self.scan.while_parsing(e))?;
        let mut timestamp = None;
        match self.lex() {
            Token::LineBreak => {}
            Token::Timestamp => {
                let digits = self.scan.token_bytes();
                let parsed = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
                let Some(parsed) = parsed else {
                    let error = number::NumberError::IntegerRange(quote(digits));
                    return Err(self.scan.while_parsing(error));
                };
                timestamp = Some(parsed);
                let token = self.lex();
                if token != Token::LineBreak {
                    return Err(self.scan.unexpected("expected next entry after timestamp", token));
                }
            }
            token => return Err(self.scan.unexpected("expected timestamp or new record", token)),
        }
        Ok(Line::Sample { name, series, value, timestamp })
    }

    /// The next token, blanks before it skipped.
    fn lex(&mut self) -> Token {
        let scan = &mut self.scan;
        if scan.state != State::MetaText {
            while matches!(scan.byte(scan.at), b' ' | b'\t') {
                scan.at += 1;
            }
        }
        if scan.at >= scan.len() {
            return Token::Eof;
        }
        scan.token = scan.at;
        let byte = scan.byte(scan.at);
        match scan.state {
            State::Init => match byte {
                0 => Token::Eof,
                b'\n' => scan.single(Token::LineBreak, State::Init),
                b'#' => self.comment(),
                b'{' => scan.single(Token::BraceOpen, State::Labels),
                _ if begins_name(byte, true) => scan.name(true, Token::MetricName, State::Value),
                _ => Token::Invalid,
            },
            State::MetaName => match byte {
                b'"' => scan.quoted(true, Token::MetricName, State::MetaText),
                _ if begins_name(byte, true) => scan.name(true, Token::MetricName, State::MetaText),
                _ => Token::Invalid,
            },
            State::MetaText => {
                let rest = scan.rest(scan.at);
                let end = scan.at + memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                if slice(scan.input, &(scan.at..end)).iter().all(|b| matches!(b, b' ' | b'\t')) {
                    scan.token = end;
                }
                scan.at = end;
                scan.state = State::Init;
                Token::Text
            }
            State::Labels => match byte {
                b'"' => scan.quoted(true, Token::QuotedString, State::Labels),
                b'}' => scan.single(Token::BraceClose, State::Value),
                b'=' => scan.single(Token::Equal, State::LabelValue),
                b',' => scan.single(Token::Comma, State::Labels),
                _ if begins_name(byte, false) => scan.name(false, Token::LabelName, State::Labels),
                _ => Token::Invalid,
            },
            State::LabelValue if byte == b'"' => scan.quoted(true, Token::LabelValue, State::Labels),
            State::Value => match byte {
                b'{' => scan.single(Token::BraceOpen, State::Labels),
                b'\n' | 0 => Token::Invalid,
                _ => {
                    scan.skip_while(scan.token, |b| !matches!(b, b'{' | b' ' | b'\t' | b'\n' | 0));
                    scan.state = State::Timestamp;
                    Token::Value
                }
            },
            State::Timestamp => match byte {
                b'\n' => scan.single(Token::LineBreak, State::Init),
                b'0'..=b'9' => {
                    scan.skip_while(scan.token, |b| b.is_ascii_digit());
                    Token::Timestamp
                }
                _ => Token::Invalid,
            },
            _ => Token::Invalid,
        }
    }

    /// A `#` and what follows: metadata, or a comment up to the end of the line.
    fn comment(&mut self) -> Token {
        let scan = &mut self.scan;
        scan.skip_while(scan.token + 1, |b| matches!(b, b' ' | b'\t'));
        let blank = scan.at > scan.token + 1;
        if blank {
            for (word, token) in [(b"HELP", Token::Help), (b"TYPE", Token::Type)] {
                let rest = scan.rest(scan.at);
                if rest.starts_with(word) && matches!(rest.get(4), Some(b' ' | b'\t')) {
                    scan.skip_while(scan.at + 4, |b| matches!(b, b' ' | b'\t'));
                    scan.state = State::MetaName;
                    return token;
                }
            }
        }
        let rest = scan.rest(scan.at);
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        // Prometheus stops reading at a NUL byte, which a comment after `# ` may hold further in.
        let nul = rest.get(..end).and_then(|comment| memchr::memchr(0, comment));
        if nul.is_some_and(|at| !blank || at == 0) {
            return Token::Eof;
        }
        scan.at += end;
        Token::Comment
    }
}
