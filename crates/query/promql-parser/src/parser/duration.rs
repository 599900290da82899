//! Durations in brackets and after `offset`: plain, or computed when the query runs.

use super::{MAX_HEIGHT, POWER, PRODUCT, Parser, Result, SUM, precedence};
use crate::ast::{BinaryOp, DurationExpr, DurationNode, NumberLiteral, Span};
use crate::token::{Preprocessor, Token, TokenKind};

/// A duration's node, its place and the height of its tree.
struct Part {
    node: DurationNode,
    span: Span,
    height: usize,
}

impl Parser<'_> {
    /// A duration in a bracket.
    pub(super) fn positive_duration(&mut self) -> Result<DurationExpr> {
        let part = self.duration(SUM)?;
        if let DurationNode::Number(number) = part.node
            && number.value <= 0.0
        {
            return Err(self.error(part.span, "duration must be greater than 0"));
        }
        Ok(finish(part))
    }

    /// A duration after `offset`. One number, signed or not, or one call is the whole of it: `a offset 5m
    /// ^ 2` is `(a offset 5m) ^ 2`. Only a parenthesis opens arithmetic.
    pub(super) fn offset_duration(&mut self) -> Result<DurationExpr> {
        let token = self.peek()?;
        match token.kind {
            TokenKind::Number | TokenKind::Duration | TokenKind::Preprocessor(_) => {
                self.duration_primary().map(finish)
            }
            TokenKind::ParenOpen => self.duration(SUM).map(finish),
            TokenKind::Binary(BinaryOp::Add | BinaryOp::Sub) => {
                self.take()?;
                let operand = self.peek()?.kind;
                let part = match operand {
                    TokenKind::Number | TokenKind::Duration => self.duration_number(token.span())?,
                    TokenKind::Binary(_) => self.duration(POWER)?,
                    _ => self.duration_primary()?,
                };
                self.apply_sign(token, part).map(finish)
            }
            _ => Err(self.unexpected(token)),
        }
    }

    fn duration(&mut self, loosest: u8) -> Result<Part> {
        self.descend()?;
        let mut left = self.duration_unary()?;
        loop {
            let operator = self.peek()?;
            let TokenKind::Binary(op) = operator.kind else { break };
            let arithmetic = matches!(precedence(op), SUM | PRODUCT | POWER) && op != BinaryOp::Atan2;
            if !arithmetic || precedence(op) < loosest {
                break;
            }
            self.take()?;
            let tightest = if op == BinaryOp::Pow { POWER } else { precedence(op) + 1 };
            let right = self.duration(tightest)?;
            left = self.duration_operation(left, operator, op, right)?;
        }
        self.nesting -= 1;
        Ok(left)
    }

    fn duration_operation(&self, left: Part, operator: Token, op: BinaryOp, right: Part) -> Result<Part> {
        self.computed(&left.span)?;
        if matches!(right.node, DurationNode::Number(NumberLiteral { value: 0.0, .. })) {
            match op {
                BinaryOp::Div => return Err(self.error(operator.span(), "division by zero")),
                BinaryOp::Mod => return Err(self.error(operator.span(), "modulo by zero")),
                _ => {}
            }
        }
        let span = left.span.start..right.span.end;
        let height = left.height.max(right.height);
        let node = DurationNode::Binary { op, left: Box::new(left.node), right: Box::new(right.node) };
        self.grow_duration(node, span, height)
    }

    fn duration_unary(&mut self) -> Result<Part> {
        let token = self.peek()?;
        if !matches!(token.kind, TokenKind::Binary(BinaryOp::Add | BinaryOp::Sub)) {
            return self.duration_primary();
        }
        self.take()?;
        let part = self.duration(POWER)?;
        self.apply_sign(token, part)
    }

    fn apply_sign(&self, sign: Token, part: Part) -> Result<Part> {
        let negative = sign.kind == TokenKind::Binary(BinaryOp::Sub);
        let span = sign.start..part.span.end;
        match part.node {
            DurationNode::Number(number) => {
                let value = if negative { -number.value } else { number.value };
                Ok(Part { node: DurationNode::Number(NumberLiteral { value, ..number }), span, ..part })
            }
            node if negative => self.grow_duration(DurationNode::Negative(Box::new(node)), span, part.height),
            node => Ok(Part { node, ..part }),
        }
    }

    fn duration_primary(&mut self) -> Result<Part> {
        let token = self.peek()?;
        match token.kind {
            TokenKind::Number | TokenKind::Duration => self.duration_number(token.span()),
            TokenKind::Preprocessor(Preprocessor::Step) => self.duration_call(DurationNode::Step),
            TokenKind::Preprocessor(Preprocessor::Range) => self.duration_call(DurationNode::Range),
            TokenKind::Preprocessor(Preprocessor::MinOf) => self.duration_choice(DurationNode::MinOf),
            TokenKind::Preprocessor(Preprocessor::MaxOf) => self.duration_choice(DurationNode::MaxOf),
            TokenKind::ParenOpen => {
                self.take()?;
                let inner = self.duration(SUM)?;
                let close = self.expect(TokenKind::ParenClose)?;
                self.computed(&inner.span)?;
                let span = token.start..close.end;
                match inner.node {
                    // Like the peer, more than one pair says no more than one.
                    node @ DurationNode::Paren(_) => Ok(Part { node, span, height: inner.height }),
                    node => self.grow_duration(DurationNode::Paren(Box::new(node)), span, inner.height),
                }
            }
            _ => Err(self.unexpected(token)),
        }
    }

    /// A plain number; one out of range is reported at `blame`.
    fn duration_number(&mut self, blame: Span) -> Result<Part> {
        // The peer counts nanoseconds in 64 bits.
        const LIMIT: f64 = (1u64 << 63) as f64 / 1e9;
        let (number, span) = self.number_literal()?;
        if number.value.abs() > LIMIT {
            return Err(self.error(blame, "duration out of range"));
        }
        Ok(Part { node: DurationNode::Number(number), span, height: 1 })
    }

    /// `step()` or `range()`.
    fn duration_call(&mut self, node: DurationNode) -> Result<Part> {
        let start = self.take()?.start;
        self.expect(TokenKind::ParenOpen)?;
        self.expect(TokenKind::ParenClose)?;
        let span = start..self.last_end;
        self.computed(&span)?;
        Ok(Part { node, span, height: 1 })
    }

    /// `min_of(a, b)` or `max_of(a, b)`.
    fn duration_choice(
        &mut self,
        node: fn(Box<DurationNode>, Box<DurationNode>) -> DurationNode,
    ) -> Result<Part> {
        let start = self.take()?.start;
        self.expect(TokenKind::ParenOpen)?;
        let left = self.duration(SUM)?;
        self.expect(TokenKind::Comma)?;
        let right = self.duration(SUM)?;
        self.expect(TokenKind::ParenClose)?;
        let span = start..self.last_end;
        self.computed(&span)?;
        let height = left.height.max(right.height);
        self.grow_duration(node(Box::new(left.node), Box::new(right.node)), span, height)
    }

    fn computed(&self, span: &Span) -> Result<()> {
        if self.options.duration_expressions {
            return Ok(());
        }
        Err(self.error(span.clone(), "experimental duration expression is not enabled"))
    }

    fn grow_duration(&self, node: DurationNode, span: Span, children: usize) -> Result<Part> {
        if children == MAX_HEIGHT {
            let message = format!("duration chains more than {MAX_HEIGHT} operators; add parentheses");
            return Err(self.error(span, message));
        }
        Ok(Part { node, span, height: children + 1 })
    }
}

/// A plain number becomes milliseconds, through the whole nanoseconds the peer keeps.
fn finish(part: Part) -> DurationExpr {
    match part.node {
        DurationNode::Number(number) => {
            let nanoseconds = (number.value * 1e9).round();
            DurationExpr::Literal((nanoseconds / 1e6).trunc() as i64)
        }
        node => DurationExpr::Computed(Box::new(node)),
    }
}
