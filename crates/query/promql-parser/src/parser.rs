//! Words into expressions: operators by precedence, aggregations, calls and parentheses.
//!
//! The peer's grammar is for an LALR generator whose error texts depend on which rule was open when a
//! word did not fit. This parser looks at the next word at the same moments and keeps the open rules in
//! [`Parser::context`], so the first error it finds has the peer's text and position.

mod duration;
mod selector;

use crate::ParseOptions;
use crate::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, Cardinality, Expr, ExprKind, Matching, NumberLiteral,
    Span,
};
use crate::error::ParseError;
use crate::functions;
use crate::lexer::Lexer;
use crate::literal;
use crate::token::{Keyword, Token, TokenKind};

/// Deepest nesting of parentheses, calls, aggregations and signs. Keeps the parser on its stack whatever
/// the text; queries written by people or generators nest less than twenty deep.
const MAX_NESTING: usize = 100;
/// Deepest tree, chains of operators included (`a or b or c` leans to the left): all that walks a tree
/// recursively relies on it.
const MAX_HEIGHT: usize = 512;

/// Precedences of binary operators, loosest first.
const OR: u8 = 1;
const AND: u8 = 2;
const COMPARISON: u8 = 3;
const SUM: u8 = 4;
const PRODUCT: u8 = 5;
const POWER: u8 = 6;

pub(crate) struct Parser<'a> {
    text: &'a str,
    options: ParseOptions,
    lexer: Lexer<'a>,
    /// The word looked at but not taken.
    next: Option<Token>,
    /// Where the last taken word ended.
    last_end: usize,
    /// The open rules that name themselves in errors; the innermost wins.
    context: Vec<Context>,
    nesting: usize,
}

/// A rule that says what it wanted when a word does not fit.
#[derive(Clone, Copy)]
struct Context {
    rule: &'static str,
    expected: &'static str,
}

/// An expression and the height of its tree.
struct Tree {
    expr: Expr,
    height: usize,
}

type Result<T> = std::result::Result<T, ParseError>;

impl<'a> Parser<'a> {
    pub(crate) fn new(text: &'a str, options: ParseOptions) -> Self {
        Parser {
            text,
            options,
            lexer: Lexer::new(text),
            next: None,
            last_end: 0,
            context: Vec::new(),
            nesting: 0,
        }
    }

    /// A whole text that is one expression.
    pub(crate) fn expression(mut self) -> Result<Expr> {
        if self.peek()?.kind == TokenKind::Eof {
            return Err(self.error(0..0, "no expression found in input"));
        }
        let tree = self.binary(OR)?;
        self.end()?;
        Ok(tree.expr)
    }

    fn end(&mut self) -> Result<()> {
        match self.peek()? {
            Token { kind: TokenKind::Eof, .. } => Ok(()),
            token => Err(self.unexpected(token)),
        }
    }

    /// An expression whose operators bind at least as tight as `loosest`.
    fn binary(&mut self, loosest: u8) -> Result<Tree> {
        self.descend()?;
        let mut left = self.unary()?;
        while let TokenKind::Binary(op) = self.peek()?.kind
            && precedence(op) >= loosest
        {
            self.take()?;
            left = self.right_side(left, op)?;
        }
        self.nesting -= 1;
        Ok(left)
    }

    fn right_side(&mut self, left: Tree, op: BinaryOp) -> Result<Tree> {
        let (return_bool, matching) = self.binary_modifiers()?;
        let right = self.binary(if op == BinaryOp::Pow { POWER } else { precedence(op) + 1 })?;
        let span = left.expr.span.start..right.expr.span.end;
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        if fills && !self.options.fill_modifiers {
            return Err(self.error(span, "binop fill modifiers are experimental and not enabled"));
        }
        let height = left.height.max(right.height);
        let binary = Binary { op, left: left.expr, right: right.expr, return_bool, matching: Some(matching) };
        self.grow(Expr { kind: ExprKind::Binary(Box::new(binary)), span }, height)
    }

    /// What may stand between an operator and its right side: `bool on (x) group_left (y) fill (0)`.
    fn binary_modifiers(&mut self) -> Result<(bool, Matching)> {
        let mut matching = Matching {
            cardinality: Cardinality::OneToOne,
            on: false,
            labels: Vec::new(),
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        };
        let return_bool = self.take_keyword(Keyword::Bool)?;
        matching.on = self.take_keyword(Keyword::On)?;
        if matching.on || self.take_keyword(Keyword::Ignoring)? {
            matching.labels = self.labels()?;
            let left = self.take_keyword(Keyword::GroupLeft)?;
            if left || self.take_keyword(Keyword::GroupRight)? {
                matching.cardinality = if left { Cardinality::ManyToOne } else { Cardinality::OneToMany };
                // A parenthesis belongs to the modifier; without one the right side follows.
                let next = self.peek()?.kind;
                if next == TokenKind::ParenOpen || !may_start_expression(next) {
                    matching.include = self.labels()?;
                }
            }
        }
        if self.take_keyword(Keyword::Fill)? {
            matching.fill_left = Some(self.fill_value()?);
            matching.fill_right = matching.fill_left;
        } else if self.take_keyword(Keyword::FillLeft)? {
            matching.fill_left = Some(self.fill_value()?);
            if self.take_keyword(Keyword::FillRight)? {
                matching.fill_right = Some(self.fill_value()?);
            }
        } else if self.take_keyword(Keyword::FillRight)? {
            matching.fill_right = Some(self.fill_value()?);
            if self.take_keyword(Keyword::FillLeft)? {
                matching.fill_left = Some(self.fill_value()?);
            }
        }
        Ok((return_bool, matching))
    }

    fn fill_value(&mut self) -> Result<f64> {
        self.expect(TokenKind::ParenOpen)?;
        let negative = self.take_sign()?.is_some_and(|(negative, _)| negative);
        let number = self.number_literal()?.0.value;
        self.expect(TokenKind::ParenClose)?;
        Ok(if negative { -number } else { number })
    }

    /// `(a, b)` after `by`, `on` and the like.
    fn labels(&mut self) -> Result<Vec<String>> {
        const RULE: &str = "grouping opts";
        self.within(RULE, "\"(\"", |parser| parser.expect(TokenKind::ParenOpen))?;
        let mut labels = Vec::new();
        loop {
            let token = self.peek()?;
            let name = match token.kind {
                TokenKind::ParenClose => break,
                kind if may_be_label(kind) => self.slice(token.span()).to_owned(),
                TokenKind::String => literal::unquote(self.slice(token.span())),
                _ => return self.within(RULE, "label", |parser| Err(parser.unexpected(token))),
            };
            self.take()?;
            if name.is_empty() {
                return Err(self.error(token.span(), "invalid label name for grouping: \"\""));
            }
            labels.push(name);
            let token = self.peek()?;
            match token.kind {
                TokenKind::Comma => self.take()?,
                TokenKind::ParenClose => break,
                _ => return self.within(RULE, "\",\" or \")\"", |parser| Err(parser.unexpected(token))),
            };
        }
        self.take()?;
        Ok(labels)
    }

    /// Signs, then a primary expression with what follows it. A sign binds looser than `^` only.
    fn unary(&mut self) -> Result<Tree> {
        let Some((negative, start)) = self.take_sign()? else {
            let primary = self.primary()?;
            return self.postfix(primary);
        };
        let Tree { mut expr, height } = self.binary(POWER)?;
        let span = start..expr.span.end;
        if let ExprKind::Number(number) = &mut expr.kind {
            if negative {
                number.value = -number.value;
            }
            expr.span = span;
            return Ok(Tree { expr, height });
        }
        self.grow(Expr { kind: ExprKind::Unary { negative, expr: Box::new(expr) }, span }, height)
    }

    fn primary(&mut self) -> Result<Tree> {
        let token = self.peek()?;
        match token.kind {
            TokenKind::Number | TokenKind::Duration => self.number(),
            TokenKind::String => self.string(),
            TokenKind::ParenOpen => self.parenthesis(),
            TokenKind::BraceOpen => self.selector(None),
            TokenKind::Identifier | TokenKind::Preprocessor(_) => {
                self.take()?;
                if self.peek()?.kind == TokenKind::ParenOpen {
                    self.call(token)
                } else {
                    self.selector(Some(token))
                }
            }
            TokenKind::Aggregate(op) => {
                self.take()?;
                match self.peek()?.kind {
                    TokenKind::ParenOpen | TokenKind::Keyword(Keyword::By | Keyword::Without) => {
                        self.aggregate(token, op)
                    }
                    _ => self.selector(Some(token)),
                }
            }
            kind if may_be_metric(kind) => {
                self.take()?;
                self.selector(Some(token))
            }
            _ => Err(self.unexpected(token)),
        }
    }

    fn number(&mut self) -> Result<Tree> {
        let (number, span) = self.number_literal()?;
        self.grow(Expr { kind: ExprKind::Number(number), span }, 0)
    }

    fn string(&mut self) -> Result<Tree> {
        let span = self.take()?.span();
        let text = literal::unquote(self.slice(span.clone()));
        self.grow(Expr { kind: ExprKind::String(text), span }, 0)
    }

    fn parenthesis(&mut self) -> Result<Tree> {
        let start = self.take()?.start;
        let inner = self.binary(OR)?;
        self.expect(TokenKind::ParenClose)?;
        let kind = ExprKind::Paren(Box::new(inner.expr));
        self.grow(Expr { kind, span: start..self.last_end }, inner.height)
    }

    fn call(&mut self, name: Token) -> Result<Tree> {
        let (args, height) = self.arguments()?;
        let word = self.slice(name.span());
        let quoted = || novaobs_model::labels::go_quote(word);
        let Some(function) = functions::lookup(word) else {
            return Err(self.error(name.span(), format!("unknown function with name {}", quoted())));
        };
        if function.experimental && !self.options.experimental_functions {
            return Err(self.error(name.span(), format!("function {} is not enabled", quoted())));
        }
        let span = name.start..self.last_end;
        self.grow(Expr { kind: ExprKind::Call(Call { function, args }), span }, height)
    }

    /// `(a, b)` of calls and aggregations, with the height of the highest.
    fn arguments(&mut self) -> Result<(Vec<Expr>, usize)> {
        self.expect(TokenKind::ParenOpen)?;
        let (mut args, mut height) = (Vec::new(), 0);
        if self.peek()?.kind != TokenKind::ParenClose {
            loop {
                let arg = self.binary(OR)?;
                height = height.max(arg.height);
                args.push(arg.expr);
                let comma = self.peek()?;
                if comma.kind != TokenKind::Comma {
                    break;
                }
                self.take()?;
                if !may_start_expression(self.peek()?.kind) {
                    let message = "trailing commas not allowed in function call args";
                    return Err(self.error(comma.span(), message));
                }
            }
        }
        self.expect(TokenKind::ParenClose)?;
        Ok((args, height))
    }

    fn aggregate(&mut self, name: Token, op: AggregateOp) -> Result<Tree> {
        self.context.push(Context { rule: "aggregation", expected: "" });
        let mut grouping = self.grouping()?;
        let (args, height) = self.arguments()?;
        self.context.pop();
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        let span = name.start..self.last_end;
        let aggregate = self.aggregate_of(op, grouping.unwrap_or_default(), args, &span)?;
        self.grow(Expr { kind: ExprKind::Aggregate(Box::new(aggregate)), span }, height)
    }

    fn aggregate_of(
        &self,
        op: AggregateOp,
        (without, labels): (bool, Vec<String>),
        args: Vec<Expr>,
        span: &Span,
    ) -> Result<Aggregate> {
        let fail = |message: String| Err(self.error(span.clone(), message));
        let count = args.len();
        if count == 0 {
            return fail("no arguments for aggregate expression provided".to_owned());
        }
        let experimental = matches!(op, AggregateOp::LimitK | AggregateOp::LimitRatio);
        if experimental && !self.options.experimental_functions {
            return fail(format!(
                "{}() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
                op.as_str()
            ));
        }
        let wanted = if op.has_param() { 2 } else { 1 };
        let mut args = args.into_iter();
        let param = if op.has_param() { args.next() } else { None };
        let (Some(expr), None) = (args.next(), args.next()) else {
            return fail(format!(
                "wrong number of arguments for aggregate expression provided, expected {wanted}, got {count}"
            ));
        };
        Ok(Aggregate { op, expr, param, without, labels })
    }

    /// `by (a, b)` or `without (a, b)`, if there is one.
    fn grouping(&mut self) -> Result<Option<(bool, Vec<String>)>> {
        let without = self.take_keyword(Keyword::Without)?;
        if without || self.take_keyword(Keyword::By)? {
            return Ok(Some((without, self.labels()?)));
        }
        Ok(None)
    }

    /// A number or a duration, in seconds.
    fn number_literal(&mut self) -> Result<(NumberLiteral, Span)> {
        let token = self.peek()?;
        if !matches!(token.kind, TokenKind::Number | TokenKind::Duration) {
            return Err(self.unexpected(token));
        }
        self.take()?;
        let word = self.slice(token.span());
        if token.kind == TokenKind::Duration {
            let duration = novaobs_model::duration::parse(word)
                .map_err(|error| self.error(token.span(), error.to_string()))?;
            return Ok((NumberLiteral { value: duration.as_secs_f64(), is_duration: true }, token.span()));
        }
        let value = literal::number(word).map_err(|reason| {
            let quoted = novaobs_model::labels::go_quote(word);
            let message = format!("error parsing number: strconv.ParseFloat: parsing {quoted}: {reason}");
            self.error(token.span(), message)
        })?;
        Ok((NumberLiteral { value, is_duration: false }, token.span()))
    }

    /// `+` or `-` if one is next: whether it negates, and where it stands.
    fn take_sign(&mut self) -> Result<Option<(bool, usize)>> {
        let token = self.peek()?;
        let negative = match token.kind {
            TokenKind::Binary(BinaryOp::Add) => false,
            TokenKind::Binary(BinaryOp::Sub) => true,
            _ => return Ok(None),
        };
        self.take()?;
        Ok(Some((negative, token.start)))
    }

    fn take_keyword(&mut self, keyword: Keyword) -> Result<bool> {
        let found = self.peek()?.kind == TokenKind::Keyword(keyword);
        if found {
            self.take()?;
        }
        Ok(found)
    }

    fn expect(&mut self, kind: TokenKind) -> Result<Token> {
        let token = self.peek()?;
        if token.kind != kind {
            return Err(self.unexpected(token));
        }
        self.take()
    }

    fn peek(&mut self) -> Result<Token> {
        match self.next {
            Some(token) => Ok(token),
            None => {
                let token = self.lexer.next_token()?;
                self.next = Some(token);
                Ok(token)
            }
        }
    }

    fn take(&mut self) -> Result<Token> {
        let token = self.peek()?;
        self.next = None;
        self.last_end = token.end;
        Ok(token)
    }

    fn slice(&self, span: Span) -> &'a str {
        self.text.get(span).unwrap_or_default()
    }

    /// Runs `parse` with a rule open that names itself in errors.
    fn within<T>(
        &mut self,
        rule: &'static str,
        expected: &'static str,
        parse: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.context.push(Context { rule, expected });
        let result = parse(self);
        self.context.pop();
        result
    }

    /// One level deeper; whoever calls it comes back up, unless parsing fails altogether.
    fn descend(&mut self) -> Result<()> {
        if self.nesting == MAX_NESTING {
            let span = self.peek()?.span();
            return Err(self.error(span, format!("expression is nested more than {MAX_NESTING} levels deep")));
        }
        self.nesting += 1;
        Ok(())
    }

    /// One more level on top of children of this height.
    fn grow(&self, expr: Expr, children: usize) -> Result<Tree> {
        if children == MAX_HEIGHT {
            let message = format!("expression chains more than {MAX_HEIGHT} operators; add parentheses");
            return Err(self.error(expr.span, message));
        }
        Ok(Tree { expr, height: children + 1 })
    }

    fn error(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::new(self.text, span, message)
    }

    /// The error for a word that does not fit.
    fn unexpected(&self, token: Token) -> ParseError {
        let mut message = format!("unexpected {}", token.describe(self.text));
        if let Some(context) = self.context.last() {
            message.push_str(" in ");
            message.push_str(context.rule);
            if !context.expected.is_empty() {
                message.push_str(", expected ");
                message.push_str(context.expected);
            }
        }
        self.error(token.span(), message)
    }
}

fn precedence(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => OR,
        BinaryOp::And | BinaryOp::Unless => AND,
        BinaryOp::Equal
        | BinaryOp::NotEqual
        | BinaryOp::Greater
        | BinaryOp::Less
        | BinaryOp::GreaterEqual
        | BinaryOp::LessEqual
        | BinaryOp::TrimUpper
        | BinaryOp::TrimLower => COMPARISON,
        BinaryOp::Add | BinaryOp::Sub => SUM,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Atan2 => PRODUCT,
        BinaryOp::Pow => POWER,
    }
}

/// Keywords a metric may be called without quotes.
fn may_be_metric(kind: TokenKind) -> bool {
    match kind {
        TokenKind::Identifier
        | TokenKind::MetricIdentifier
        | TokenKind::Aggregate(_)
        | TokenKind::Preprocessor(_)
        | TokenKind::Binary(BinaryOp::And | BinaryOp::Or | BinaryOp::Unless) => true,
        TokenKind::Keyword(keyword) => !matches!(
            keyword,
            Keyword::Bool | Keyword::GroupLeft | Keyword::GroupRight | Keyword::Ignoring | Keyword::On
        ),
        _ => false,
    }
}

/// Keywords a label may be called without quotes in `by (…)`, `on (…)` and the like.
fn may_be_label(kind: TokenKind) -> bool {
    match kind {
        TokenKind::Keyword(keyword) => keyword != Keyword::Without,
        kind => kind == TokenKind::Binary(BinaryOp::Atan2) || may_be_metric(kind),
    }
}

fn may_start_expression(kind: TokenKind) -> bool {
    may_be_metric(kind)
        || matches!(
            kind,
            TokenKind::Number
                | TokenKind::Duration
                | TokenKind::String
                | TokenKind::ParenOpen
                | TokenKind::BraceOpen
                | TokenKind::Binary(BinaryOp::Add | BinaryOp::Sub)
        )
}
