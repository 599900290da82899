//! Selectors and stages of pipelines.

use super::Parser;
use crate::ast::{
    Conversion, Extraction, FormatValue, LabelChoice, LabelFormat, LineFilter, LineOp, LineOperand, Stage,
    Unwrap,
};
use crate::check;
use crate::error::ParseError;
use crate::token::{Kind, Word};
use novaobs_model::{MatchOp, Matcher};

/// What may follow `unwrap`.
const UNWRAP: [&str; 4] = ["IDENTIFIER", "BYTES_CONV", "DURATION_CONV", "DURATION_SECONDS_CONV"];

impl Parser {
    /// `{a="b", c=~"d"}`
    pub(super) fn matchers(&mut self) -> Result<Vec<Matcher>, ParseError> {
        if !self.take(Word::OpenBrace) {
            return Err(self.unexpected(&[]));
        }
        if self.take(Word::CloseBrace) {
            return Ok(Vec::new());
        }
        let mut matchers = Vec::new();
        loop {
            let expected: &[&str] = if matchers.is_empty() { &["IDENTIFIER", "}"] } else { &["IDENTIFIER"] };
            let name = self.identifier(expected)?;
            let Some(op) = self.match_op() else { return Err(self.unexpected(&["=", "=~", "!~", "!="])) };
            self.advance();
            matchers.push(self.matcher(&name, op)?);
            if self.take(Word::CloseBrace) {
                return Ok(matchers);
            }
            if !self.take(Word::Comma) {
                return Err(self.unexpected(&["}", ","]));
            }
        }
    }

    /// The operator of a matcher, if it is next.
    pub(super) fn match_op(&self) -> Option<MatchOp> {
        match self.kind() {
            Kind::Word(Word::Equal) => Some(MatchOp::Equal),
            Kind::Word(Word::NotEqual) => Some(MatchOp::NotEqual),
            Kind::Word(Word::Match) => Some(MatchOp::Match),
            Kind::Word(Word::NotMatch) => Some(MatchOp::NotMatch),
            _ => None,
        }
    }

    /// The string of a matcher whose name and operator have been read.
    pub(super) fn matcher(&mut self, name: &str, op: MatchOp) -> Result<Matcher, ParseError> {
        let position = self.position();
        let value = self.string(&["STRING"])?;
        Matcher::new(name, op, &value).map_err(|error| ParseError { position, ..ParseError::general(error) })
    }

    /// Stages without `unwrap`, perhaps none.
    pub(super) fn stages(&mut self) -> Result<Vec<Stage>, ParseError> {
        let mut stages = Vec::new();
        loop {
            if let Some(op) = self.line_op() {
                self.line_filter(op, &mut stages)?;
            } else if self.is(Word::Pipe) && *self.second() != Kind::Word(Word::Unwrap) {
                self.advance();
                stages.push(self.stage()?);
            } else {
                return Ok(stages);
            }
        }
    }

    /// `| unwrap`, if it is next.
    pub(super) fn unwrap(&mut self) -> Result<Option<Unwrap>, ParseError> {
        if !self.is(Word::Pipe) || *self.second() != Kind::Word(Word::Unwrap) {
            return Ok(None);
        }
        self.advance();
        self.advance();
        let conversion = match self.kind() {
            Kind::Word(Word::BytesConversion) => Conversion::Bytes,
            Kind::Word(Word::DurationConversion) => Conversion::Duration,
            Kind::Word(Word::DurationSecondsConversion) => Conversion::DurationSeconds,
            _ => Conversion::Number,
        };
        let label = if conversion == Conversion::Number {
            self.identifier(&UNWRAP)?
        } else {
            self.advance();
            self.expect(Word::OpenParen)?;
            let label = self.identifier(&["IDENTIFIER"])?;
            self.expect(Word::CloseParen)?;
            label
        };
        let mut filters = Vec::new();
        while self.take(Word::Pipe) {
            filters.push(self.label_filter()?);
        }
        Ok(Some(Unwrap { label, conversion, filters }))
    }

    fn line_op(&self) -> Option<LineOp> {
        match self.kind() {
            Kind::Word(Word::PipeExact) => Some(LineOp::Contains),
            Kind::Word(Word::NotEqual) => Some(LineOp::NotContains),
            Kind::Word(Word::PipeMatch) => Some(LineOp::Matches),
            Kind::Word(Word::NotMatch) => Some(LineOp::NotMatches),
            Kind::Word(Word::PipePattern) => Some(LineOp::Pattern),
            Kind::Word(Word::NotPattern) => Some(LineOp::NotPattern),
            _ => None,
        }
    }

    /// `|= "a" or ip("b")`. None of a negated operator's operands may be found, so these are a stage each,
    /// which is also how they print.
    fn line_filter(&mut self, op: LineOp, stages: &mut Vec<Stage>) -> Result<(), ParseError> {
        self.advance();
        let mut any = vec![self.line_operand()?];
        while self.take(Word::Or) {
            any.push(self.line_operand()?);
        }
        if op.is_negated() {
            stages.extend(any.into_iter().map(|operand| Stage::Line(LineFilter { op, any: vec![operand] })));
        } else {
            stages.push(Stage::Line(LineFilter { op, any }));
        }
        Ok(())
    }

    fn line_operand(&mut self) -> Result<LineOperand, ParseError> {
        if self.is(Word::Ip) {
            return self.ip().map(LineOperand::Ip);
        }
        self.string(&["STRING", "ip"]).map(LineOperand::Text)
    }

    /// `ip("…")`
    pub(super) fn ip(&mut self) -> Result<String, ParseError> {
        self.expect(Word::Ip)?;
        self.expect(Word::OpenParen)?;
        let pattern = self.string(&["STRING"])?;
        self.expect(Word::CloseParen)?;
        Ok(pattern)
    }

    /// A stage behind its `|`.
    fn stage(&mut self) -> Result<Stage, ParseError> {
        let word = match self.kind() {
            Kind::Identifier(name) if name == "distinct" && matches!(self.second(), Kind::Identifier(_)) => {
                self.advance();
                return self.distinct();
            }
            Kind::Identifier(_) | Kind::Word(Word::OpenParen) => {
                return self.label_filter().map(Stage::Label);
            }
            Kind::Word(word) => *word,
            _ => return Err(self.unexpected(&[])),
        };
        type Parse = fn(&mut Parser) -> Result<Stage, ParseError>;
        let parse: Parse = match word {
            Word::Json => |parser| parser.extractions().map(Stage::Json),
            Word::Logfmt => Self::logfmt,
            Word::Regexp => Self::regexp,
            Word::Pattern => Self::pattern,
            Word::Unpack => |_| Ok(Stage::Unpack),
            Word::LineFormat => |parser| parser.string(&["STRING"]).map(Stage::LineFormat),
            Word::LabelFormat => Self::label_format,
            Word::Decolorize => |_| Ok(Stage::Decolorize),
            Word::Drop => |parser| parser.choices().map(Stage::Drop),
            Word::Keep => |parser| parser.choices().map(Stage::Keep),
            _ => return Err(self.unexpected(&[])),
        };
        self.advance();
        parse(self)
    }

    /// Items with commas between them; at least one.
    fn list<T>(&mut self, item: fn(&mut Self) -> Result<T, ParseError>) -> Result<Vec<T>, ParseError> {
        let mut items = vec![item(self)?];
        while self.take(Word::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn distinct(&mut self) -> Result<Stage, ParseError> {
        self.list(|parser| parser.identifier(&["IDENTIFIER"])).map(Stage::Distinct)
    }

    /// `a, b="c"`, or nothing.
    fn extractions(&mut self) -> Result<Vec<Extraction>, ParseError> {
        if !matches!(self.kind(), Kind::Identifier(_)) {
            return Ok(Vec::new());
        }
        self.list(|parser| {
            let label = parser.identifier(&["IDENTIFIER"])?;
            let path = if parser.take(Word::Equal) { parser.string(&["STRING"])? } else { label.clone() };
            Ok(Extraction { label, path })
        })
    }

    fn logfmt(&mut self) -> Result<Stage, ParseError> {
        let (mut strict, mut keep_empty) = (false, false);
        loop {
            match self.kind() {
                Kind::Strict => strict = true,
                Kind::KeepEmpty => keep_empty = true,
                _ => return Ok(Stage::Logfmt { strict, keep_empty, extractions: self.extractions()? }),
            }
            self.advance();
        }
    }

    fn regexp(&mut self) -> Result<Stage, ParseError> {
        let position = self.position();
        let source = self.string(&["STRING"])?;
        match check::regexp(&source) {
            Ok(()) => Ok(Stage::Regexp(source)),
            Err(error) => {
                let message = format!("invalid regexp parser: {error}");
                Err(ParseError { position, ..ParseError::general(message) })
            }
        }
    }

    fn pattern(&mut self) -> Result<Stage, ParseError> {
        let position = self.position();
        let source = self.string(&["STRING"])?;
        match check::pattern(&source) {
            Ok(()) => Ok(Stage::Pattern(source)),
            Err(error) => {
                let message = format!("invalid pattern parser: {error}");
                Err(ParseError { position, ..ParseError::general(message) })
            }
        }
    }

    fn label_format(&mut self) -> Result<Stage, ParseError> {
        self.list(|parser| {
            let label = parser.identifier(&["IDENTIFIER"])?;
            parser.expect(Word::Equal)?;
            let value = match parser.kind() {
                Kind::Identifier(_) => FormatValue::Rename(parser.identifier(&[])?),
                _ => FormatValue::Template(parser.string(&["IDENTIFIER", "STRING"])?),
            };
            Ok(LabelFormat { label, value })
        })
        .map(Stage::LabelFormat)
    }

    fn choices(&mut self) -> Result<Vec<LabelChoice>, ParseError> {
        self.list(|parser| {
            let name = parser.identifier(&["IDENTIFIER"])?;
            let Some(op) = parser.match_op() else { return Ok(LabelChoice::Name(name)) };
            parser.advance();
            parser.matcher(&name, op).map(LabelChoice::Match)
        })
    }
}
