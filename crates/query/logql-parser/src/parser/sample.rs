//! Binary operators, aggregations, functions and ranges.

use super::{Checked, Parser};
use crate::ast::{
    BinaryOp, Expr, Group, LogExpr, LogRange, Matching, RangeAggregation, RangeOp, SampleExpr, Stage, Unwrap,
    VectorAggregation, VectorOp,
};
use crate::check;
use crate::error::ParseError;
use crate::literal;
use crate::token::{Kind, Word};
use novaobs_model::Matcher;

/// An operator whose right operand is being read.
struct Waiting {
    left: Checked<Expr>,
    op: BinaryOp,
    return_bool: bool,
    matching: Option<Matching>,
}

fn sample(node: SampleExpr, error: Option<String>) -> Checked<Expr> {
    Checked { node: Expr::Sample(node), error }
}

/// A range that has been read, or that its parentheses close before the window.
enum RangeStart {
    Whole(Checked<LogRange>),
    Open { log: Checked<LogExpr>, unwrap: Option<Unwrap> },
}

impl Parser {
    /// An expression. Operators wait on a stack of our own until one that binds no tighter comes, so that
    /// only parentheses recurse.
    pub(super) fn binary(&mut self) -> Result<Checked<Expr>, ParseError> {
        let mut waiting: Vec<Waiting> = Vec::new();
        let mut right = self.operand()?;
        loop {
            let next = self.binary_op();
            while let Some(last) = waiting.pop_if(|last| next.is_none_or(|next| last.op.goes_before(next))) {
                right = check::binary(last.op, last.return_bool, last.matching, last.left, right);
            }
            let Some(op) = next else { return Ok(right) };
            self.operator()?;
            self.advance();
            let return_bool = self.take(Word::Bool);
            let matching = self.matching()?;
            waiting.push(Waiting { left: right, op, return_bool, matching });
            right = self.operand()?;
        }
    }

    fn binary_op(&self) -> Option<BinaryOp> {
        let Kind::Word(word) = self.kind() else { return None };
        Some(match word {
            Word::Or => BinaryOp::Or,
            Word::And => BinaryOp::And,
            Word::Unless => BinaryOp::Unless,
            Word::DoubleEqual => BinaryOp::Equal,
            Word::NotEqual => BinaryOp::NotEqual,
            Word::Greater => BinaryOp::Greater,
            Word::GreaterOrEqual => BinaryOp::GreaterOrEqual,
            Word::Less => BinaryOp::Less,
            Word::LessOrEqual => BinaryOp::LessOrEqual,
            Word::Add => BinaryOp::Add,
            Word::Subtract => BinaryOp::Subtract,
            Word::Multiply => BinaryOp::Multiply,
            Word::Divide => BinaryOp::Divide,
            Word::Modulo => BinaryOp::Modulo,
            Word::Power => BinaryOp::Power,
            _ => return None,
        })
    }

    /// `on (a) group_left (b)`, or nothing.
    fn matching(&mut self) -> Result<Option<Matching>, ParseError> {
        let on = self.is(Word::On);
        if !on && !self.is(Word::Ignoring) {
            return Ok(None);
        }
        self.advance();
        let labels = self.labels()?;
        let left = self.is(Word::GroupLeft);
        if !left && !self.is(Word::GroupRight) {
            return Ok(Some(Matching { on, labels, group: None }));
        }
        self.advance();
        let include = if self.is(Word::OpenParen) { self.labels()? } else { Vec::new() };
        Ok(Some(Matching { on, labels, group: Some(Group { left, include }) }))
    }

    fn operand(&mut self) -> Result<Checked<Expr>, ParseError> {
        match self.kind() {
            Kind::Word(Word::OpenBrace) => {
                let matchers = self.matchers()?;
                let log = checked_log(matchers, self.stages()?);
                if self.is(Word::Pipe) {
                    // Only ranges unwrap.
                    self.advance();
                    return Err(self.unexpected(&[]));
                }
                Ok(Checked { node: Expr::Log(log.node), error: log.error })
            }
            Kind::Word(Word::OpenParen) => {
                self.advance();
                let inner = self.nested(Self::binary)?;
                if self.take(Word::CloseParen) { Ok(inner) } else { Err(self.unexpected(&[])) }
            }
            Kind::Number(_) | Kind::Word(Word::Add | Word::Subtract) => self.literal(),
            Kind::Word(Word::Vector) => self.vector(),
            Kind::Word(Word::LabelReplace) => self.label_replace(),
            Kind::RangeOp(op) => self.range_aggregation(*op),
            Kind::VectorOp(op) => self.vector_aggregation(*op),
            _ => Err(self.unexpected(&[])),
        }
    }

    fn literal(&mut self) -> Result<Checked<Expr>, ParseError> {
        let negative = self.take(Word::Subtract);
        if !negative {
            self.take(Word::Add);
        }
        let text = self.number(&["NUMBER"])?;
        Ok(match literal::number(&text) {
            Ok(value) => sample(SampleExpr::Literal(if negative { -value } else { value }), None),
            Err(error) => {
                let error = format!("unable to parse literal as a float: {}", error.explain(&text));
                sample(SampleExpr::Literal(0.0), Some(error))
            }
        })
    }

    fn vector(&mut self) -> Result<Checked<Expr>, ParseError> {
        self.advance();
        self.expect(Word::OpenParen)?;
        let text = self.number(&["NUMBER"])?;
        self.expect(Word::CloseParen)?;
        Ok(match literal::number(&text) {
            Ok(value) => sample(SampleExpr::VectorFn(value), None),
            Err(error) => {
                let error = format!("unable to parse vectorExpr as a float: {}", error.explain(&text));
                sample(SampleExpr::VectorFn(0.0), Some(error))
            }
        })
    }

    /// An expression of samples inside a call; one of lines ends in an unexpected word.
    fn inner_sample(&mut self) -> Result<Checked<SampleExpr>, ParseError> {
        let inner = self.nested(Self::binary)?;
        match inner.node {
            Expr::Sample(node) => Ok(Checked { node, error: inner.error }),
            Expr::Log(_) => Err(self.unexpected(&[])),
        }
    }

    fn label_replace(&mut self) -> Result<Checked<Expr>, ParseError> {
        self.advance();
        self.expect(Word::OpenParen)?;
        let inner = self.inner_sample()?;
        if !self.is(Word::Comma) {
            return Err(self.unexpected(&[]));
        }
        let mut next = || {
            self.expect(Word::Comma)?;
            self.string(&["STRING"])
        };
        let (dst, replacement, src, regex) = (next()?, next()?, next()?, next()?);
        self.expect(Word::CloseParen)?;
        let error = check::anchored(&regex).err().or(inner.error);
        Ok(sample(
            SampleExpr::LabelReplace { inner: Box::new(inner.node), dst, replacement, src, regex },
            error,
        ))
    }

    fn vector_aggregation(&mut self, op: VectorOp) -> Result<Checked<Expr>, ParseError> {
        self.advance();
        let before = self.grouping()?;
        self.expect(Word::OpenParen)?;
        let mut parameter = None;
        if let (Kind::Number(text), Kind::Word(Word::Comma)) = (self.kind(), self.second()) {
            parameter = Some(text.clone());
            self.advance();
            self.advance();
        }
        let inner = self.inner_sample()?;
        if !self.take(Word::CloseParen) {
            return Err(self.unexpected(&[]));
        }
        let grouping = if before.is_some() { before } else { self.grouping()? };
        let parameter = check::vector_parameter(op, parameter.as_deref(), grouping.as_ref());
        let (parameter, error) = match parameter {
            Ok(parameter) => (parameter, inner.error),
            Err(error) => (None, Some(error)),
        };
        let aggregation = VectorAggregation { op, parameter, grouping, inner: Box::new(inner.node) };
        Ok(sample(SampleExpr::Vector(aggregation), error))
    }

    fn range_aggregation(&mut self, op: RangeOp) -> Result<Checked<Expr>, ParseError> {
        self.advance();
        self.expect(Word::OpenParen)?;
        let mut parameter = None;
        if matches!(self.kind(), Kind::Number(_)) {
            parameter = Some(self.number(&[])?);
            self.expect(Word::Comma)?;
        }
        let expected: &[&str] = if parameter.is_some() { &["{", "("] } else { &["NUMBER", "{", "("] };
        let range = self.log_range(expected)?;
        self.expect(Word::CloseParen)?;
        let grouping = self.grouping()?;
        let checked = check::range(op, parameter.as_deref(), grouping.as_ref(), &range.node);
        let (parameter, error) = match checked {
            Ok(parameter) => (parameter, range.error),
            Err(error) => (None, Some(error)),
        };
        Ok(sample(SampleExpr::Range(RangeAggregation { op, parameter, range: range.node, grouping }), error))
    }

    /// Lines with a window: `{…}[5m] offset 1m | json`, `({…} | json)[5m]`, `{…} | unwrap x [5m]`, and any of
    /// them in parentheses.
    fn log_range(&mut self, expected: &[&str]) -> Result<Checked<LogRange>, ParseError> {
        if self.is(Word::OpenBrace) {
            return match self.range_start()? {
                RangeStart::Whole(range) => Ok(range),
                RangeStart::Open { log, unwrap } => {
                    let expected: &[&str] = if unwrap.is_some() { &["RANGE", "|"] } else { &[] };
                    self.window(log, unwrap, expected)
                }
            };
        }
        if !self.take(Word::OpenParen) {
            return Err(self.unexpected(expected));
        }
        if !self.is(Word::OpenBrace) {
            let inner = self.nested(|parser| parser.log_range(&["{", "("]))?;
            self.expect(Word::CloseParen)?;
            return Ok(inner);
        }
        match self.range_start()? {
            RangeStart::Whole(range) => {
                self.expect(Word::CloseParen)?;
                Ok(range)
            }
            RangeStart::Open { log, unwrap } if self.take(Word::CloseParen) => {
                let plain = log.node.stages.is_empty() && unwrap.is_none();
                let mut range = self.window(log, unwrap, &["RANGE"])?;
                if plain && self.is(Word::Pipe) {
                    range.node.unwrap = self.unwrap()?;
                    if range.node.unwrap.is_none() {
                        self.advance();
                        return Err(self.unexpected(&["unwrap"]));
                    }
                }
                Ok(range)
            }
            RangeStart::Open { log, unwrap } => {
                let expected: &[&str] = if unwrap.is_some() { &["RANGE", ")", "|"] } else { &[] };
                let range = self.window(log, unwrap, expected)?;
                self.expect(Word::CloseParen)?;
                Ok(range)
            }
        }
    }

    /// A selector and what belongs to it up to a window behind a pipeline.
    fn range_start(&mut self) -> Result<RangeStart, ParseError> {
        let matchers = self.matchers()?;
        if !matches!(self.kind(), Kind::Range(_)) {
            let stages = self.stages()?;
            let unwrap = self.unwrap()?;
            return Ok(RangeStart::Open { log: checked_log(matchers, stages), unwrap });
        }
        let mut range = self.window(checked_log(matchers, Vec::new()), None, &[])?;
        range.node.log.stages = self.stages()?;
        range.node.unwrap = self.unwrap()?;
        Ok(RangeStart::Whole(range))
    }

    /// `[5m] offset 1m` behind lines.
    fn window(
        &mut self,
        log: Checked<LogExpr>,
        unwrap: Option<Unwrap>,
        expected: &[&str],
    ) -> Result<Checked<LogRange>, ParseError> {
        let Kind::Range(window) = *self.kind() else { return Err(self.unexpected(expected)) };
        self.advance();
        let mut offset = 0;
        if self.take(Word::Offset) {
            let Kind::Duration(nanos) = *self.kind() else { return Err(self.unexpected(&["DURATION"])) };
            self.advance();
            offset = nanos;
        }
        Ok(Checked { node: LogRange { log: log.node, window, offset, unwrap }, error: log.error })
    }
}

/// A selector with a pipeline, and what is wrong with the selector.
fn checked_log(matchers: Vec<Matcher>, stages: Vec<Stage>) -> Checked<LogExpr> {
    let error = check::matchers(&matchers);
    Checked { node: LogExpr { matchers, stages }, error }
}
