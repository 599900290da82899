//! Template text to tokens.

/// The kinds of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Error,
    Bool,
    /// Punctuation without a role of its own, such as a comma.
    Char,
    CharConstant,
    Assign,
    Declare,
    Eof,
    Field,
    Identifier,
    LeftDelim,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelim,
    RightParen,
    Space,
    String,
    Text,
    Variable,
    Dot,
    Nil,
    /// `if`, `range`, …: told apart by text.
    Keyword,
}

/// A token with its place.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub kind: Kind,
    pub pos: usize,
    pub line: usize,
    pub text: String,
}

impl Token {
    /// The token in an error text: keywords as `<if>`, long ones cut.
    pub(crate) fn describe(&self) -> String {
        match self.kind {
            Kind::Eof => "EOF".to_owned(),
            Kind::Error => self.text.clone(),
            Kind::Keyword | Kind::Dot | Kind::Nil => format!("<{}>", self.text),
            _ if self.text.len() > 10 => {
                let head: String = self.text.chars().take(10).collect();
                format!("{}...", novaobs_model::labels::go_quote(&head))
            }
            _ => novaobs_model::labels::go_quote(&self.text),
        }
    }
}

const KEYWORDS: [&str; 10] =
    ["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"];
/// A trim marker is a minus sign with a space on its inner side.
const TRIM_MARKER_LEN: usize = 2;

/// Cuts a text into tokens, one at a time.
pub(crate) struct Lexer<'a> {
    input: &'a str,
    pos: usize,
    /// Counts lines up to `counted`, so that a token's line costs only the text since the last one.
    line: usize,
    counted: usize,
    inside_action: bool,
    paren_depth: usize,
    failed: bool,
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

pub(crate) fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn has_left_trim_marker(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next() == Some('-') && chars.next().is_some_and(is_space)
}

fn has_right_trim_marker(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(is_space) && chars.next() == Some('-')
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(input: &'a str) -> Self {
        Lexer { input, pos: 0, line: 1, counted: 0, inside_action: false, paren_depth: 0, failed: false }
    }

    fn rest(&self) -> &'a str {
        self.input.get(self.pos..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn line_at(&mut self, pos: usize) -> usize {
        let between = self.input.get(self.counted..pos).unwrap_or("");
        self.line += between.bytes().filter(|b| *b == b'\n').count();
        self.counted = self.counted.max(pos);
        self.line
    }

    fn token(&mut self, kind: Kind, start: usize) -> Token {
        let text = self.input.get(start..self.pos).unwrap_or("").to_owned();
        Token { kind, pos: start, line: self.line_at(start), text }
    }

    fn error(&mut self, start: usize, message: String) -> Token {
        self.failed = true;
        Token { kind: Kind::Error, pos: start, line: self.line_at(start), text: message }
    }

    /// The next token; `Eof` for ever at the end, and after an error.
    pub(crate) fn next_token(&mut self) -> Token {
        if self.failed {
            return Token { kind: Kind::Eof, pos: self.pos, line: self.line, text: "EOF".to_owned() };
        }
        if self.inside_action { self.inside() } else { self.outside() }
    }

    /// Text up to the next action, comments skipped.
    fn outside(&mut self) -> Token {
        loop {
            let start = self.pos;
            let Some(found) = self.rest().find("{{") else {
                self.pos = self.input.len();
                let kind = if self.pos > start { Kind::Text } else { Kind::Eof };
                return self.token(kind, start);
            };
            let delim = start + found;
            let after = self.input.get(delim + 2..).unwrap_or("");
            let trims = has_left_trim_marker(after);
            let text = self.input.get(start..delim).unwrap_or("");
            let text = if trims { text.trim_end_matches(is_space) } else { text };
            if !text.is_empty() {
                let token =
                    Token { kind: Kind::Text, pos: start, line: self.line_at(start), text: text.to_owned() };
                // The delimiter is met again on the next call, without text before it.
                self.pos = delim;
                return token;
            }
            self.pos = delim + 2;
            let marker = if trims { TRIM_MARKER_LEN } else { 0 };
            if after.get(marker..).unwrap_or("").starts_with("/*") {
                self.pos += marker;
                if let Some(error) = self.skip_comment() {
                    return error;
                }
                continue;
            }
            let token = self.token(Kind::LeftDelim, delim);
            self.inside_action = true;
            self.pos += marker;
            self.paren_depth = 0;
            return token;
        }
    }

    fn skip_comment(&mut self) -> Option<Token> {
        let start = self.pos;
        let Some(end) = self.rest().get(2..).unwrap_or("").find("*/") else {
            return Some(self.error(start, "unclosed comment".to_owned()));
        };
        self.pos += 2 + end + 2;
        match self.right_delim() {
            None => Some(self.error(start, "comment ends before closing delimiter".to_owned())),
            Some(trims) => {
                self.pass_right_delim(trims);
                None
            }
        }
    }

    /// Whether a closing delimiter follows, and if so whether it trims.
    fn right_delim(&self) -> Option<bool> {
        let rest = self.rest();
        if has_right_trim_marker(rest) && rest.get(TRIM_MARKER_LEN..).unwrap_or("").starts_with("}}") {
            return Some(true);
        }
        rest.starts_with("}}").then_some(false)
    }

    fn pass_right_delim(&mut self, trims: bool) {
        self.pos += if trims { TRIM_MARKER_LEN + 2 } else { 2 };
        if trims {
            let rest = self.rest();
            self.pos += rest.len() - rest.trim_start_matches(is_space).len();
        }
    }

    fn inside(&mut self) -> Token {
        let start = self.pos;
        if let Some(trims) = self.right_delim() {
            if self.paren_depth > 0 {
                return self.error(start, "unclosed left paren".to_owned());
            }
            let delim = start + if trims { TRIM_MARKER_LEN } else { 0 };
            self.pos = delim + 2;
            let token = self.token(Kind::RightDelim, delim);
            self.pos = start;
            self.pass_right_delim(trims);
            self.inside_action = false;
            return token;
        }
        let Some(c) = self.bump() else { return self.error(start, "unclosed action".to_owned()) };
        match c {
            c if is_space(c) => self.space(start),
            '=' => self.token(Kind::Assign, start),
            ':' => {
                if self.bump() == Some('=') {
                    self.token(Kind::Declare, start)
                } else {
                    self.error(start, "expected :=".to_owned())
                }
            }
            '|' => self.token(Kind::Pipe, start),
            '"' => self.quoted(start, '"', Kind::String, "unterminated quoted string"),
            '\'' => self.quoted(start, '\'', Kind::CharConstant, "unterminated character constant"),
            '`' => match self.rest().find('`') {
                Some(end) => {
                    self.pos += end + 1;
                    self.token(Kind::RawString, start)
                }
                None => self.error(start, "unterminated raw quoted string".to_owned()),
            },
            '$' => self.name(start, Kind::Variable, Kind::Variable),
            '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                self.name(start, Kind::Field, Kind::Dot)
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.pos = start;
                self.number(start)
            }
            c if is_alphanumeric(c) => self.identifier(start),
            '(' => {
                self.paren_depth += 1;
                self.token(Kind::LeftParen, start)
            }
            ')' => match self.paren_depth.checked_sub(1) {
                Some(depth) => {
                    self.paren_depth = depth;
                    self.token(Kind::RightParen, start)
                }
                None => self.error(start, "unexpected right paren".to_owned()),
            },
            c if c.is_ascii_graphic() => self.token(Kind::Char, start),
            c => self.error(start, format!("unrecognized character in action: {}", unicode(c))),
        }
    }

    fn space(&mut self, start: usize) -> Token {
        while self.peek().is_some_and(is_space) {
            self.pos += 1;
        }
        // The last space belongs to a trimming delimiter, if one follows.
        self.pos -= 1;
        if self.right_delim() != Some(true) {
            self.pos += 1;
        } else if self.pos == start {
            return self.inside();
        }
        self.token(Kind::Space, start)
    }

    fn quoted(&mut self, start: usize, quote: char, kind: Kind, unterminated: &str) -> Token {
        loop {
            match self.bump() {
                Some('\\') if self.peek().is_some_and(|c| c != '\n') => {
                    self.bump();
                }
                None | Some('\n' | '\\') => return self.error(start, unterminated.to_owned()),
                Some(c) if c == quote => return self.token(kind, start),
                Some(_) => {}
            }
        }
    }

    /// A field or variable; just its sign alone is `bare`.
    fn name(&mut self, start: usize, kind: Kind, bare: Kind) -> Token {
        if self.at_terminator() {
            return self.token(bare, start);
        }
        while self.peek().is_some_and(is_alphanumeric) {
            self.bump();
        }
        if !self.at_terminator() {
            return self.bad_character(start);
        }
        self.token(kind, start)
    }

    fn identifier(&mut self, start: usize) -> Token {
        while self.peek().is_some_and(is_alphanumeric) {
            self.bump();
        }
        if !self.at_terminator() {
            return self.bad_character(start);
        }
        let word = self.input.get(start..self.pos).unwrap_or("");
        let kind = match word {
            "nil" => Kind::Nil,
            "true" | "false" => Kind::Bool,
            _ if KEYWORDS.contains(&word) => Kind::Keyword,
            _ => Kind::Identifier,
        };
        self.token(kind, start)
    }

    fn bad_character(&mut self, start: usize) -> Token {
        let c = self.peek().map(unicode).unwrap_or_default();
        self.error(start, format!("bad character {c}"))
    }

    /// Whether a name may end here.
    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(c) => is_space(c) || self.rest().starts_with("}}"),
        }
    }

    fn accept(&mut self, valid: &str) -> bool {
        let found = self.peek().is_some_and(|c| valid.contains(c));
        if found {
            self.pos += 1;
        }
        found
    }

    fn accept_run(&mut self, valid: &str) {
        while self.accept(valid) {}
    }

    fn number(&mut self, start: usize) -> Token {
        self.accept("+-");
        let mut digits = "0123456789_";
        if self.accept("0") {
            if self.accept("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        let exponent = match digits.len() {
            11 => "eE",
            23 => "pP",
            _ => "",
        };
        if !exponent.is_empty() && self.accept(exponent) {
            self.accept("+-");
            self.accept_run("0123456789_");
        }
        // A second sign would make it a complex number.
        let complex = self.accept("+-");
        if complex {
            self.accept_run("0123456789_.");
        }
        if complex || self.peek().is_some_and(is_alphanumeric) {
            if !complex {
                self.bump();
            }
            let text = self.input.get(start..self.pos).unwrap_or("");
            let quoted = novaobs_model::labels::go_quote(text);
            return self.error(start, format!("bad number syntax: {quoted}"));
        }
        self.token(Kind::Number, start)
    }
}

/// A character as Go's `%#U` prints it.
fn unicode(c: char) -> String {
    if c.is_control() { format!("U+{:04X}", c as u32) } else { format!("U+{:04X} '{c}'", c as u32) }
}
