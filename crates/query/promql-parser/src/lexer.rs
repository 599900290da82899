//! Text into words.
//!
//! The language has four areas with their own words: outside, between `{` and `}`, right after `[`, and
//! the rest of a bracket. Positions and texts of errors are the peer's, byte for byte, so the order in
//! which an area looks for things matters.

use crate::ast::BinaryOp;
use crate::error::{ParseError, quote_char, unicode_char};
use crate::token::{Keyword, Preprocessor, Token, TokenKind, reserved};

/// Splits a text into words, one per call of [`Lexer::next_token`].
pub(crate) struct Lexer<'a> {
    text: &'a str,
    pos: usize,
    /// Where the current word begins; where the last one ended between words.
    start: usize,
    paren_depth: usize,
    in_braces: bool,
    in_bracket: bool,
    /// Right after `[`, before its first number: nothing but duration words may stand here.
    in_duration: bool,
    got_colon: bool,
    got_duration: bool,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Lexer {
            text,
            pos: 0,
            start: 0,
            paren_depth: 0,
            in_braces: false,
            in_bracket: false,
            in_duration: false,
            got_colon: false,
            got_duration: false,
        }
    }

    /// The next word; [`TokenKind::Eof`] again and again at the end.
    pub(crate) fn next_token(&mut self) -> Result<Token, ParseError> {
        loop {
            self.skip_spaces();
            if self.peek() == Some('#') && !self.in_duration {
                while self.peek().is_some_and(|c| c != '\n' && c != '\r') {
                    self.bump();
                }
                continue;
            }
            self.start = self.pos;
            return if self.in_braces {
                self.inside_braces()
            } else if self.in_duration {
                self.after_bracket()
            } else {
                self.outside()
            };
        }
    }

    fn outside(&mut self) -> Result<Token, ParseError> {
        use TokenKind::Binary;
        let Some(c) = self.bump() else {
            return match (self.paren_depth, self.in_bracket) {
                (0, false) => self.token(TokenKind::Eof),
                (0, true) => self.fail("unclosed left bracket"),
                _ => self.fail("unclosed left parenthesis"),
            };
        };
        match c {
            ',' => self.token(TokenKind::Comma),
            '*' => self.token(Binary(BinaryOp::Mul)),
            '/' => self.token(Binary(BinaryOp::Div)),
            '%' => self.token(Binary(BinaryOp::Mod)),
            '+' => self.token(Binary(BinaryOp::Add)),
            '-' => self.token(Binary(BinaryOp::Sub)),
            '^' => self.token(Binary(BinaryOp::Pow)),
            '@' => self.token(TokenKind::At),
            '=' if self.eat('=') => self.token(Binary(BinaryOp::Equal)),
            '=' if self.peek() == Some('~') => self.fail("unexpected character after '=': '~'"),
            '=' => self.token(TokenKind::Assign),
            '!' if self.eat('=') => self.token(Binary(BinaryOp::NotEqual)),
            '!' => self.fail_after_bang("unexpected character after '!'"),
            '<' if self.eat('=') => self.token(Binary(BinaryOp::LessEqual)),
            '<' if self.eat('/') => self.token(Binary(BinaryOp::TrimUpper)),
            '<' => self.token(Binary(BinaryOp::Less)),
            '>' if self.eat('=') => self.token(Binary(BinaryOp::GreaterEqual)),
            '>' if self.eat('/') => self.token(Binary(BinaryOp::TrimLower)),
            '>' => self.token(Binary(BinaryOp::Greater)),
            '(' => self.paren_open(),
            ')' => self.paren_close(),
            '{' => {
                self.in_braces = true;
                self.token(TokenKind::BraceOpen)
            }
            '[' if self.in_bracket => self.fail("unexpected left bracket '['"),
            '[' => {
                self.got_colon = false;
                self.in_bracket = true;
                self.in_duration = true;
                self.token(TokenKind::BracketOpen)
            }
            ']' if !self.in_bracket => self.fail("unexpected right bracket ']'"),
            ']' => {
                self.in_bracket = false;
                self.token(TokenKind::BracketClose)
            }
            '"' | '\'' => self.quoted(c),
            '`' => self.raw_quoted(),
            c if c.is_ascii_digit() || (c == '.' && self.peek_digit()) => self.number_or_duration(),
            c if is_alpha(c) || c == ':' => {
                if self.in_bracket {
                    self.word_in_bracket(c)
                } else {
                    self.keyword_or_identifier()
                }
            }
            c => self.fail(format!("unexpected character: {}", quote_char(c))),
        }
    }

    /// A letter or colon after the first number of a bracket.
    fn word_in_bracket(&mut self, c: char) -> Result<Token, ParseError> {
        if c == ':' {
            if self.got_colon {
                return self.fail("unexpected colon ':'");
            }
            self.got_colon = true;
            return self.token(TokenKind::Colon);
        }
        if let Some(token) = self.duration_word() {
            return self.token(token);
        }
        self.fail(format!("unexpected character: {}, expected ':'", quote_char(c)))
    }

    fn after_bracket(&mut self) -> Result<Token, ParseError> {
        let Some(c) = self.bump() else {
            return self.fail("unexpected end of input in duration expression");
        };
        let operator = match c {
            ']' => {
                self.in_bracket = false;
                self.in_duration = false;
                self.got_colon = false;
                return self.token(TokenKind::BracketClose);
            }
            ':' => {
                if !self.got_duration {
                    return self.fail_behind("unexpected colon before duration in duration expression");
                }
                if self.got_colon {
                    return self.fail_behind("unexpected repeated colon in duration expression");
                }
                self.got_colon = true;
                return self.token(TokenKind::Colon);
            }
            '(' => return self.paren_open(),
            ')' => return self.paren_close(),
            ',' => return self.token(TokenKind::Comma),
            '+' => BinaryOp::Add,
            '-' => BinaryOp::Sub,
            '*' => BinaryOp::Mul,
            '/' => BinaryOp::Div,
            '%' => BinaryOp::Mod,
            '^' => BinaryOp::Pow,
            c if c.is_ascii_digit() || (c == '.' && self.peek_digit()) => {
                self.got_duration = true;
                self.in_duration = false;
                return self.number_or_duration();
            }
            c => {
                return match self.duration_word() {
                    Some(kind) => self.token(kind),
                    None => {
                        self.fail(format!("unexpected character in duration expression: {}", quote_char(c)))
                    }
                };
            }
        };
        self.token(TokenKind::Binary(operator))
    }

    fn inside_braces(&mut self) -> Result<Token, ParseError> {
        let Some(c) = self.bump() else {
            return self.fail("unexpected end of input inside braces");
        };
        match c {
            ',' => self.token(TokenKind::Comma),
            '"' | '\'' => self.quoted(c),
            '`' => self.raw_quoted(),
            '=' if self.eat('~') => self.token(TokenKind::RegexMatch),
            '=' => self.token(TokenKind::Assign),
            '!' if self.eat('~') => self.token(TokenKind::RegexNotMatch),
            '!' if self.eat('=') => self.token(TokenKind::Binary(BinaryOp::NotEqual)),
            '!' => self.fail_after_bang("unexpected character after '!' inside braces"),
            '{' => self.fail("unexpected left brace '{'"),
            '}' => {
                self.in_braces = false;
                self.token(TokenKind::BraceClose)
            }
            c if is_alpha(c) => {
                self.eat_while(is_alphanumeric);
                self.token(TokenKind::Identifier)
            }
            c => self.fail(format!("unexpected character inside braces: {}", quote_char(c))),
        }
    }

    fn paren_open(&mut self) -> Result<Token, ParseError> {
        self.paren_depth += 1;
        self.token(TokenKind::ParenOpen)
    }

    fn paren_close(&mut self) -> Result<Token, ParseError> {
        match self.paren_depth.checked_sub(1) {
            Some(depth) => {
                self.paren_depth = depth;
                self.token(TokenKind::ParenClose)
            }
            None => self.fail_behind("unexpected right parenthesis ')'"),
        }
    }

    fn keyword_or_identifier(&mut self) -> Result<Token, ParseError> {
        self.eat_while(|c| is_alphanumeric(c) || c == ':');
        let word = self.word();
        let kind = match reserved(word) {
            // These became keywords late: a metric of that name goes on working.
            Some(TokenKind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                if !self.rest().trim_start_matches(is_space).starts_with('(') =>
            {
                TokenKind::Identifier
            }
            Some(kind) => kind,
            None if word.contains(':') => TokenKind::MetricIdentifier,
            None => TokenKind::Identifier,
        };
        self.token(kind)
    }

    /// `step`, `range`, `min_of` or `max_of`, whose first letter has been read.
    fn duration_word(&mut self) -> Option<TokenKind> {
        self.eat_while(is_alpha);
        match reserved(self.word()) {
            Some(kind @ TokenKind::Preprocessor(word))
                if !matches!(word, Preprocessor::Start | Preprocessor::End) =>
            {
                Some(kind)
            }
            _ => None,
        }
    }

    /// A quoted text; its escapes are checked here and resolved by [`crate::literal::unquote`].
    fn quoted(&mut self, quote: char) -> Result<Token, ParseError> {
        loop {
            match self.bump() {
                None | Some('\n') => return self.fail("unterminated quoted string"),
                Some('\u{fffd}') => return self.fail("invalid UTF-8 rune"),
                Some('\\') => self.escape(quote)?,
                Some(c) if c == quote => return self.token(TokenKind::String),
                Some(_) => {}
            }
        }
    }

    fn raw_quoted(&mut self) -> Result<Token, ParseError> {
        loop {
            match self.bump() {
                None => return self.fail("unterminated raw string"),
                Some('\u{fffd}') => return self.fail("invalid UTF-8 rune"),
                Some('`') => return self.token(TokenKind::String),
                Some(_) => {}
            }
        }
    }

    fn escape(&mut self, quote: char) -> Result<(), ParseError> {
        let Some(c) = self.bump() else {
            return self.fail("escape sequence not terminated");
        };
        let (digits, base, max) = match c {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
            c if c == quote => return Ok(()),
            '0'..='7' => {
                self.pos -= 1;
                (3, 8, 255)
            }
            'x' => (2, 16, 255),
            'u' => (4, 16, u32::from(char::MAX)),
            'U' => (8, 16, u32::from(char::MAX)),
            c => return self.fail(format!("unknown escape sequence {}", unicode_char(c))),
        };
        let mut value = 0u32;
        for _ in 0..digits {
            let Some(c) = self.bump() else {
                return self.fail("escape sequence not terminated");
            };
            let Some(digit) = c.to_digit(base) else {
                return self.fail(format!("illegal character {} in escape sequence", unicode_char(c)));
            };
            value = value.wrapping_mul(base).wrapping_add(digit);
        }
        if value > max || (0xd800..0xe000).contains(&value) {
            return self.fail("escape sequence is an invalid Unicode code point");
        }
        Ok(())
    }

    /// A number or duration whose first character has been read.
    fn number_or_duration(&mut self) -> Result<Token, ParseError> {
        self.pos = self.start;
        if self.scan_number() {
            return self.token(TokenKind::Number);
        }
        if self.scan_units() {
            return self.token(TokenKind::Duration);
        }
        let read = novaobs_model::labels::go_quote(self.word());
        self.fail(format!("bad number or duration syntax: {read}"))
    }

    /// Reads what may be a number; whether it is one is for [`crate::literal::number`] to say. `false`
    /// when it cannot be; what has been read then stays read, a unit may follow.
    fn scan_number(&mut self) -> bool {
        let mut hex = false;
        if self.eat('0') && (self.eat('x') || self.eat('X')) {
            self.eat('_');
            hex = true;
        }
        let is_digit = |c: char| if hex { c.is_ascii_hexdigit() } else { c.is_ascii_digit() };
        self.eat('.');
        self.eat_if(is_digit);
        let (mut dots, mut exponents) = (0, 0);
        while let Some(c) = self.peek() {
            match c {
                '.' => {
                    self.bump();
                    dots += 1;
                    if dots > 1 || self.eat_if(|c| matches!(c, '_' | '.')) || hex {
                        return false;
                    }
                }
                'e' | 'E' => {
                    self.bump();
                    exponents += 1;
                    if exponents > 1 {
                        return false;
                    }
                    self.eat_if(|c| matches!(c, '+' | '-'));
                    if self.eat_if(|c| matches!(c, '.' | '_' | 'e' | 'E')) || self.peek().is_none() {
                        return false;
                    }
                }
                '_' => {
                    self.bump();
                    if self.eat_if(|c| matches!(c, '.' | '_' | 'e' | 'E')) || self.peek().is_none() {
                        return false;
                    }
                }
                c if is_digit(c) => self.eat_while(is_digit),
                _ => break,
            }
        }
        !self.peek().is_some_and(is_alphanumeric)
    }

    /// Reads units and further number-unit pairs after a number, without checking their order.
    fn scan_units(&mut self) -> bool {
        if !self.eat_if(|c| "smhdwy".contains(c)) {
            return false;
        }
        self.eat('s');
        while self.peek_digit() {
            self.eat_while(|c| c.is_ascii_digit());
            if !self.eat_if(|c| "smhdw".contains(c)) {
                return false;
            }
            self.eat('s');
        }
        // An error shows the offending character too.
        !self.eat_if(is_alphanumeric)
    }

    fn token(&mut self, kind: TokenKind) -> Result<Token, ParseError> {
        let token = Token { kind, start: self.start, end: self.pos };
        self.start = self.pos;
        Ok(token)
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T, ParseError> {
        Err(ParseError::new(self.text, self.start..self.text.len(), message))
    }

    /// For errors the peer reports just behind the offending character.
    fn fail_behind<T>(&mut self, message: &str) -> Result<T, ParseError> {
        self.start = self.pos;
        self.fail(message)
    }

    fn fail_after_bang<T>(&self, what: &str) -> Result<T, ParseError> {
        // The peer's end of input is the rune -1, which Go quotes as the replacement character.
        let next = quote_char(self.peek().unwrap_or(char::REPLACEMENT_CHARACTER));
        self.fail(format!("{what}: {next}"))
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.pos..).unwrap_or_default()
    }

    fn word(&self) -> &'a str {
        self.text.get(self.start..self.pos).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn peek_digit(&self) -> bool {
        self.peek().is_some_and(|c| c.is_ascii_digit())
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, wanted: char) -> bool {
        self.eat_if(|c| c == wanted)
    }

    fn eat_if(&mut self, wanted: impl Fn(char) -> bool) -> bool {
        match self.peek() {
            Some(c) if wanted(c) => {
                self.pos += c.len_utf8();
                true
            }
            _ => false,
        }
    }

    fn eat_while(&mut self, wanted: impl Fn(char) -> bool) {
        while self.eat_if(&wanted) {}
    }

    fn skip_spaces(&mut self) {
        self.eat_while(is_space);
    }
}

pub(crate) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn is_alpha(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn is_alphanumeric(c: char) -> bool {
    is_alpha(c) || c.is_ascii_digit()
}
