//! Selectors and what may follow an expression: `[5m]`, `[1h:5m]`, `offset`, `@`, `anchored`, `smoothed`.

use novaobs_model::{METRIC_NAME, MatchOp, Matcher};

use super::{Parser, Result, Tree};
use crate::ast::{
    At, BinaryOp, DurationExpr, Expr, ExprKind, Extended, MatrixSelector, Modifiers, Subquery, VectorSelector,
};
use crate::literal;
use crate::token::{Keyword, Preprocessor, Token, TokenKind};

impl Parser<'_> {
    /// A whole text that is one selector without modifiers, as `match[]` takes it.
    pub(crate) fn matchers(mut self) -> Result<Vec<Matcher>> {
        let token = self.peek()?;
        let tree = match token.kind {
            TokenKind::BraceOpen => self.selector(None)?,
            kind if super::may_be_metric(kind) => {
                self.take()?;
                self.selector(Some(token))?
            }
            _ => return Err(self.unexpected(token)),
        };
        self.end()?;
        match tree.expr.kind {
            ExprKind::VectorSelector(selector) => Ok(selector.matchers),
            _ => Ok(Vec::new()),
        }
    }

    /// A selector whose name, if any, has been taken.
    pub(super) fn selector(&mut self, name: Option<Token>) -> Result<Tree> {
        let mut matchers = Vec::new();
        let mut span = name.map(Token::span);
        let open = self.peek()?;
        if open.kind == TokenKind::BraceOpen {
            matchers = self.label_matchers()?;
            span = Some(span.map_or(open.start, |name| name.start)..self.last_end);
        }
        let name = name.map(|token| self.slice(token.span()).to_owned());
        // The name's condition stands last, as in the peer: it shows in error texts and in the order in
        // which a store sees the conditions.
        matchers.extend(name.as_deref().map(|name| Matcher::equal(METRIC_NAME, name)));
        let selector = VectorSelector { name, matchers, modifiers: Modifiers::default(), extended: None };
        let span = span.unwrap_or(open.span());
        self.grow(Expr { kind: ExprKind::VectorSelector(selector), span }, 0)
    }

    /// `{a="b", "quoted.name", …}`.
    fn label_matchers(&mut self) -> Result<Vec<Matcher>> {
        const RULE: &str = "label matching";
        self.expect(TokenKind::BraceOpen)?;
        let mut matchers = Vec::new();
        loop {
            let token = self.peek()?;
            match token.kind {
                TokenKind::BraceClose => break,
                TokenKind::Identifier | TokenKind::String => {
                    self.take()?;
                    matchers.push(self.label_matcher(token)?);
                }
                _ => {
                    let expected = "identifier or \"}\"";
                    return self.within(RULE, expected, |parser| Err(parser.unexpected(token)));
                }
            }
            let token = self.peek()?;
            match token.kind {
                TokenKind::Comma => self.take()?,
                TokenKind::BraceClose => break,
                _ => return self.within(RULE, "\",\" or \"}\"", |parser| Err(parser.unexpected(token))),
            };
        }
        self.take()?;
        Ok(matchers)
    }

    /// One condition whose label, or a quoted metric name standing alone, has been taken.
    fn label_matcher(&mut self, label: Token) -> Result<Matcher> {
        const RULE: &str = "label matching";
        let quoted = label.kind == TokenKind::String;
        let word = self.slice(label.span());
        let name = if quoted { literal::unquote(word) } else { word.to_owned() };
        let token = self.peek()?;
        let op = match token.kind {
            TokenKind::Assign => MatchOp::Equal,
            TokenKind::Binary(BinaryOp::NotEqual) => MatchOp::NotEqual,
            TokenKind::RegexMatch => MatchOp::Match,
            TokenKind::RegexNotMatch => MatchOp::NotMatch,
            _ if quoted => return Ok(Matcher::equal(METRIC_NAME, &name)),
            _ => {
                let expected = "label matching operator";
                return self.within(RULE, expected, |parser| Err(parser.unexpected(token)));
            }
        };
        self.take()?;
        let value = self.within(RULE, "string", |parser| parser.expect(TokenKind::String))?;
        let text = literal::unquote(self.slice(value.span()));
        Matcher::new(&name, op, &text).map_err(|error| self.error(label.start..value.end, error.to_string()))
    }

    /// All that binds tighter than any operator.
    pub(super) fn postfix(&mut self, mut tree: Tree) -> Result<Tree> {
        loop {
            match self.peek()?.kind {
                TokenKind::BracketOpen => tree = self.bracket(tree)?,
                TokenKind::Keyword(Keyword::Offset) => {
                    self.take()?;
                    let offset = self.within(
                        "offset",
                        "number, duration, step(), or range()",
                        Parser::offset_duration,
                    )?;
                    self.set_offset(&mut tree.expr, offset)?;
                }
                TokenKind::At => {
                    self.take()?;
                    let at = self.within("@", "timestamp", |parser| parser.timestamp(&tree.expr))?;
                    self.set_at(&mut tree.expr, at)?;
                }
                TokenKind::Keyword(Keyword::Anchored) => {
                    self.take()?;
                    self.set_extended(&mut tree.expr, Extended::Anchored)?;
                }
                TokenKind::Keyword(Keyword::Smoothed) => {
                    self.take()?;
                    self.set_extended(&mut tree.expr, Extended::Smoothed)?;
                }
                _ => return Ok(tree),
            }
        }
    }

    /// `[5m]`, `[1h:5m]` or `[1h:]` after an expression.
    fn bracket(&mut self, tree: Tree) -> Result<Tree> {
        let open = self.take()?;
        let range = self.within(
            "subquery or range selector",
            "number, duration, step(), or range()",
            Parser::positive_duration,
        )?;
        let token = self.peek()?;
        let step = match token.kind {
            TokenKind::BracketClose => {
                self.take()?;
                return self.matrix_selector(tree, open, range);
            }
            TokenKind::Colon => {
                self.take()?;
                self.subquery_step()?
            }
            _ => {
                return self.within("subquery or range", "\":\" or \"]\"", |p| Err(p.unexpected(token)));
            }
        };
        let Tree { expr, height } = tree;
        let span = expr.span.start..self.last_end;
        let subquery = Subquery { expr: Box::new(expr), range, step, modifiers: Modifiers::default() };
        self.grow(Expr { kind: ExprKind::Subquery(subquery), span }, height)
    }

    fn subquery_step(&mut self) -> Result<Option<DurationExpr>> {
        const RULE: &str = "subquery selector";
        let mut step = None;
        if self.peek()?.kind != TokenKind::BracketClose {
            let expected = "number, duration, step(), range(), or \"]\"";
            step = Some(self.within(RULE, expected, Parser::positive_duration)?);
            self.peek()?;
        }
        self.within(RULE, "\"]\"", |parser| parser.expect(TokenKind::BracketClose))?;
        Ok(step)
    }

    fn matrix_selector(&mut self, tree: Tree, open: Token, range: DurationExpr) -> Result<Tree> {
        let Expr { kind, span } = tree.expr;
        let bracket = open.start..self.last_end;
        let ExprKind::VectorSelector(selector) = kind else {
            return Err(self.error(bracket, "ranges only allowed for vector selectors"));
        };
        if selector.modifiers.offset.is_some() {
            return Err(self.error(bracket, "no offset modifiers allowed before range"));
        }
        if selector.modifiers.at.is_some() {
            return Err(self.error(bracket, "no @ modifiers allowed before range"));
        }
        let matrix = MatrixSelector { selector, selector_span: span.clone(), range };
        let span = span.start..self.last_end;
        self.grow(Expr { kind: ExprKind::MatrixSelector(matrix), span }, tree.height)
    }

    fn set_offset(&mut self, expr: &mut Expr, offset: DurationExpr) -> Result<()> {
        let span = expr.span.clone();
        let Some(modifiers) = modifiers_of(&mut expr.kind) else {
            return Err(self.error(
                span,
                "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
            ));
        };
        if modifiers.offset.is_some() {
            return Err(self.error(span, "offset may not be set multiple times"));
        }
        // Zero is as good as none, also for setting it again.
        modifiers.offset = Some(offset).filter(|offset| *offset != DurationExpr::Literal(0));
        expr.span.end = self.last_end;
        Ok(())
    }

    fn set_at(&mut self, expr: &mut Expr, at: At) -> Result<()> {
        let span = expr.span.clone();
        let Some(modifiers) = modifiers_of(&mut expr.kind) else {
            return Err(self.error(
                span,
                "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
            ));
        };
        if modifiers.at.is_some() {
            return Err(self.error(span, "@ <timestamp> may not be set multiple times"));
        }
        modifiers.at = Some(at);
        expr.span.end = self.last_end;
        Ok(())
    }

    /// The time after `@`.
    fn timestamp(&mut self, expr: &Expr) -> Result<At> {
        let token = self.peek()?;
        let at = match token.kind {
            TokenKind::Preprocessor(Preprocessor::Start) => At::Start,
            TokenKind::Preprocessor(Preprocessor::End) => At::End,
            _ => {
                let negative = self.take_sign()?.is_some_and(|(negative, _)| negative);
                let seconds = self.number_literal()?.0.value;
                let seconds = if negative { -seconds } else { seconds };
                return self.unix_milliseconds(seconds, expr);
            }
        };
        self.take()?;
        self.expect(TokenKind::ParenOpen)?;
        self.expect(TokenKind::ParenClose)?;
        Ok(at)
    }

    fn unix_milliseconds(&self, seconds: f64, expr: &Expr) -> Result<At> {
        const LIMIT: f64 = i64::MAX as f64;
        if !(seconds > -LIMIT && seconds < LIMIT) {
            let shown = crate::printer::go_float(seconds, Some(6));
            let message = format!("timestamp out of bounds for @ modifier: {shown}");
            return Err(self.error(expr.span.clone(), message));
        }
        Ok(At::Timestamp((seconds * 1000.0).round() as i64))
    }

    fn set_extended(&mut self, expr: &mut Expr, wanted: Extended) -> Result<()> {
        let name = wanted.as_str();
        let span = expr.span.clone();
        if !self.options.extended_range_selectors {
            return Err(self.error(span, format!("{name} modifier is experimental and not enabled")));
        }
        let extended = match &mut expr.kind {
            ExprKind::VectorSelector(selector) => &mut selector.extended,
            ExprKind::MatrixSelector(matrix) => &mut matrix.selector.extended,
            ExprKind::Subquery(_) => {
                return Err(self.error(span, format!("{name} modifier is not supported for subqueries")));
            }
            _ => return Err(self.error(span, format!("{name} modifier not implemented"))),
        };
        if extended.is_some_and(|set| set != wanted) {
            return Err(self.error(span, "anchored and smoothed modifiers cannot be used together"));
        }
        *extended = Some(wanted);
        Ok(())
    }
}

fn modifiers_of(kind: &mut ExprKind) -> Option<&mut Modifiers> {
    match kind {
        ExprKind::VectorSelector(selector) => Some(&mut selector.modifiers),
        ExprKind::MatrixSelector(matrix) => Some(&mut matrix.selector.modifiers),
        ExprKind::Subquery(subquery) => Some(&mut subquery.modifiers),
        _ => None,
    }
}
