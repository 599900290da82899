//! Filters on labels, with the peer's precedence: `or` binds loosest, then `and`; a comma or mere
//! juxtaposition joins the comparison on its left with everything on its right.

use super::Parser;
use crate::ast::{CompareOp, LabelFilter};
use crate::error::ParseError;
use crate::literal;
use crate::token::{Kind, Word};
use novaobs_model::MatchOp;

impl Parser {
    pub(super) fn label_filter(&mut self) -> Result<LabelFilter, ParseError> {
        let mut left = self.conjunction()?;
        while self.take(Word::Or) {
            self.operator()?;
            left = LabelFilter::Or(Box::new(left), Box::new(self.conjunction()?));
        }
        Ok(left)
    }

    fn conjunction(&mut self) -> Result<LabelFilter, ParseError> {
        let mut left = self.joined()?;
        while self.take(Word::And) {
            self.operator()?;
            left = LabelFilter::And(Box::new(left), Box::new(self.joined()?));
        }
        Ok(left)
    }

    /// A comparison, and what a comma or nothing joins to it.
    fn joined(&mut self) -> Result<LabelFilter, ParseError> {
        let left = self.comparison()?;
        let joins =
            self.take(Word::Comma) || matches!(self.kind(), Kind::Identifier(_)) || self.is(Word::OpenParen);
        if !joins {
            return Ok(left);
        }
        let right = self.nested(Self::label_filter)?;
        Ok(LabelFilter::And(Box::new(left), Box::new(right)))
    }

    fn comparison(&mut self) -> Result<LabelFilter, ParseError> {
        if self.take(Word::OpenParen) {
            let inner = self.nested(Self::label_filter)?;
            return if self.take(Word::CloseParen) { Ok(inner) } else { Err(self.unexpected(&[])) };
        }
        let label = self.identifier(&["IDENTIFIER", "("])?;
        let (matches, compares) = match self.kind() {
            Kind::Word(Word::Equal) => (Some(MatchOp::Equal), Some(CompareOp::Equal)),
            Kind::Word(Word::NotEqual) => (Some(MatchOp::NotEqual), Some(CompareOp::NotEqual)),
            Kind::Word(Word::Match) => (Some(MatchOp::Match), None),
            Kind::Word(Word::NotMatch) => (Some(MatchOp::NotMatch), None),
            Kind::Word(Word::DoubleEqual) => (None, Some(CompareOp::Equal)),
            Kind::Word(Word::Greater) => (None, Some(CompareOp::Greater)),
            Kind::Word(Word::GreaterOrEqual) => (None, Some(CompareOp::GreaterOrEqual)),
            Kind::Word(Word::Less) => (None, Some(CompareOp::Less)),
            Kind::Word(Word::LessOrEqual) => (None, Some(CompareOp::LessOrEqual)),
            _ => return Err(self.unexpected(&[])),
        };
        self.advance();
        match (matches, compares) {
            (Some(op), compares) if compares.is_none() || matches!(self.kind(), Kind::String(_)) => {
                self.matcher(&label, op).map(LabelFilter::Text)
            }
            (Some(op), _) if self.is(Word::Ip) => {
                let negated = op == MatchOp::NotEqual;
                Ok(LabelFilter::Ip { label, negated, pattern: self.ip()? })
            }
            (_, Some(op)) => self.literal_comparison(label, op),
            (_, None) => Err(self.unexpected(&[])),
        }
    }

    /// A comparison with a number, a duration or a byte count.
    fn literal_comparison(&mut self, label: String, op: CompareOp) -> Result<LabelFilter, ParseError> {
        let filter = match self.kind() {
            Kind::Duration(nanos) => LabelFilter::Duration { label, op, nanos: *nanos },
            Kind::Bytes(bytes) => LabelFilter::Bytes { label, op, bytes: *bytes },
            Kind::Number(_) | Kind::Word(Word::Add | Word::Subtract) => {
                let negative = self.take(Word::Subtract);
                if !negative {
                    self.take(Word::Add);
                }
                // The peer ignores that a number is none (`0x10`) or too large.
                let value = match literal::number(&self.number(&["NUMBER"])?) {
                    Ok(value) => value,
                    Err(literal::NumberError::Syntax) => 0.0,
                    Err(literal::NumberError::Range) => f64::INFINITY,
                };
                let value = if negative { -value } else { value };
                return Ok(LabelFilter::Number { label, op, value });
            }
            _ => return Err(self.unexpected(&[])),
        };
        self.advance();
        Ok(filter)
    }
}
