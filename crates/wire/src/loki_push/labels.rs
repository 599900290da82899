//! Labels of a stream as text: `{app="api", env="prod"}`, read as PromQL reads a metric.

use std::fmt;

use crate::quote::quote;

/// What is wrong with the text of a label set, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelsError {
    line: usize,
    column: usize,
    message: String,
}

impl std::error::Error for LabelsError {}

impl fmt::Display for LabelsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: parse error: {}", self.line, self.column, self.message)
    }
}

/// Reads a label set: name and value of each label, sorted by name, those with an empty value left out.
/// A name may come twice; the metric name in front of the braces is the label `__name__`.
///
/// # Errors
/// [`LabelsError`], in the peer's words.
pub fn parse_labels(text: &str) -> Result<Vec<(String, String)>, LabelsError> {
    let mut lexer = Lexer { text, at: 0 };
    let mut pairs = parse(&mut lexer).map_err(|(at, message)| locate(text, at, message))?;
    pairs.retain(|(_, value)| !value.is_empty());
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(pairs)
}

type Fault = (usize, String);

fn locate(text: &str, at: usize, message: String) -> LabelsError {
    let before = text.get(..at).unwrap_or(text);
    let line = 1 + before.matches('\n').count();
    let column = 1 + at - before.rfind('\n').map_or(0, |newline| newline + 1);
    LabelsError { line, column, message }
}

fn parse(lexer: &mut Lexer<'_>) -> Result<Vec<(String, String)>, Fault> {
    let mut pairs = Vec::new();
    let mut token = lexer.outside()?;
    if let Kind::Name(name) = token.kind {
        pairs.push(("__name__".to_owned(), name.to_owned()));
        token = lexer.outside()?;
    }
    if token.kind == Kind::Open {
        parse_braces(lexer, &mut pairs)?;
        token = lexer.outside()?;
    }
    if token.kind == Kind::End { Ok(pairs) } else { Err(token.unexpected("", "")) }
}

/// What stands between the braces, up to and with the closing one.
fn parse_braces(lexer: &mut Lexer<'_>, pairs: &mut Vec<(String, String)>) -> Result<(), Fault> {
    const SET: &str = "label set";
    let mut token = lexer.inside()?;
    loop {
        let name = match &token.kind {
            Kind::Close => return Ok(()),
            Kind::Name(name) => (*name).to_owned(),
            Kind::Text { value, .. } => value.clone(),
            _ => return Err(token.unexpected(SET, "identifier or \"}\"")),
        };
        let quoted = matches!(token.kind, Kind::Text { .. });
        token = lexer.inside()?;
        match token.kind {
            Kind::Equal => {
                let value = lexer.inside()?;
                let Kind::Text { value, .. } = value.kind else {
                    return Err(value.unexpected(SET, "string"));
                };
                pairs.push((name, value));
                token = lexer.inside()?;
            }
            // A quoted name on its own is the metric's.
            Kind::Comma | Kind::Close if quoted => pairs.push(("__name__".to_owned(), name)),
            _ => return Err(token.unexpected(SET, "\"=\"")),
        }
        match token.kind {
            Kind::Close => return Ok(()),
            Kind::Comma => token = lexer.inside()?,
            _ => return Err(token.unexpected(SET, "\",\" or \"}\"")),
        }
    }
}

#[derive(Debug, PartialEq)]
enum Kind<'a> {
    End,
    Open,
    Close,
    Comma,
    Equal,
    /// An operator, shown as `<op:..>`.
    Operator(&'a str),
    /// Any other mark.
    Mark(&'a str),
    Name(&'a str),
    Number(&'a str),
    /// A quoted string: what it says, and how it was written.
    Text {
        value: String,
        raw: &'a str,
    },
}

struct Token<'a> {
    at: usize,
    kind: Kind<'a>,
}

impl Token<'_> {
    fn unexpected(&self, context: &str, expected: &str) -> Fault {
        let what = match &self.kind {
            Kind::End => "end of input".to_owned(),
            Kind::Open => "\"{\"".to_owned(),
            Kind::Close => "\"}\"".to_owned(),
            Kind::Comma => "\",\"".to_owned(),
            Kind::Equal => "\"=\"".to_owned(),
            Kind::Operator(text) => format!("<op:{text}>"),
            Kind::Mark(text) => format!("\"{text}\""),
            Kind::Name(name) => format!("identifier \"{name}\""),
            Kind::Number(number) => format!("number \"{number}\""),
            Kind::Text { raw, .. } => format!("string {}", quote(raw.as_bytes())),
        };
        let mut message = format!("unexpected {what}");
        if !context.is_empty() {
            message.push_str(&format!(" in {context}, expected {expected}"));
        }
        (self.at, message)
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Takes bytes off the front and gives them.
    fn take(&mut self, bytes: usize) -> &'a str {
        let taken = self.rest().get(..bytes).unwrap_or("");
        self.at += taken.len();
        taken
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.take(end)
    }

    fn skip_blanks(&mut self) {
        loop {
            self.take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
            if self.peek() != Some('#') {
                return;
            }
            self.take_while(|c| c != '\n');
        }
    }

    fn inside(&mut self) -> Result<Token<'a>, Fault> {
        self.skip_blanks();
        let at = self.at;
        let Some(c) = self.peek() else {
            return Err((at, "unexpected end of input inside braces".to_owned()));
        };
        let kind = match c {
            '}' => self.one(Kind::Close),
            ',' => self.one(Kind::Comma),
            '=' if self.rest().starts_with("=~") => Kind::Operator(self.take(2)),
            '=' => self.one(Kind::Equal),
            '!' => match self.rest().chars().nth(1) {
                Some('=' | '~') => Kind::Operator(self.take(2)),
                Some(other) => {
                    let shown = go_rune(other);
                    return Err((at, format!("unexpected character after '!' inside braces: {shown}")));
                }
                None => return Err((at, "unexpected end of input inside braces".to_owned())),
            },
            '"' | '\'' | '`' => self.string(c)?,
            '{' => return Err((at, "unexpected left brace '{'".to_owned())),
            'a'..='z' | 'A'..='Z' | '_' => {
                Kind::Name(self.take_while(|c| c.is_ascii_alphanumeric() || c == '_'))
            }
            other => {
                return Err((at, format!("unexpected character inside braces: {}", go_rune(other))));
            }
        };
        Ok(Token { at, kind })
    }

    fn outside(&mut self) -> Result<Token<'a>, Fault> {
        self.skip_blanks();
        let at = self.at;
        let Some(c) = self.peek() else { return Ok(Token { at, kind: Kind::End }) };
        let kind = match c {
            '{' => self.one(Kind::Open),
            '}' => return Err((at, "unexpected right brace '}'".to_owned())),
            ',' => self.one(Kind::Comma),
            '=' if matches!(self.rest().as_bytes().get(1), Some(b'=' | b'~')) => Kind::Operator(self.take(2)),
            '=' => self.one(Kind::Equal),
            '@' | '+' | '-' | '*' | '/' | '%' | '^' | '<' | '>' => Kind::Operator(self.take(1)),
            '(' | '[' => Kind::Mark(self.take(1)),
            ')' => return Err((at, "unexpected right parenthesis ')'".to_owned())),
            ']' => return Err((at, "unexpected right bracket ']'".to_owned())),
            '"' | '\'' | '`' => self.string(c)?,
            '0'..='9' | '.' => {
                let digits = self.take_while(|c| c.is_ascii_digit() || c == '.');
                if self.peek().is_some_and(|c| c.is_ascii_alphabetic() || c == '_') {
                    return Err((at, format!("bad number or duration syntax: {}", quote(digits.as_bytes()))));
                }
                Kind::Number(digits)
            }
            'a'..='z' | 'A'..='Z' | '_' | ':' => {
                let name = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
                let number = name.eq_ignore_ascii_case("nan") || name.eq_ignore_ascii_case("inf");
                if number { Kind::Number(name) } else { Kind::Name(name) }
            }
            other => return Err((at, format!("unexpected character: {}", go_rune(other)))),
        };
        Ok(Token { at, kind })
    }

    fn one(&mut self, kind: Kind<'a>) -> Kind<'a> {
        self.at += 1;
        kind
    }

    /// A string in quotes of any of the three kinds; back quotes know no escapes.
    fn string(&mut self, mark: char) -> Result<Kind<'a>, Fault> {
        let start = self.at;
        self.at += 1;
        let mut value = Vec::new();
        loop {
            let plain = self.take_while(|c| c != mark && (mark == '`' || (c != '\\' && c != '\n')));
            value.extend_from_slice(plain.as_bytes());
            match self.peek() {
                Some(c) if c == mark => {
                    self.at += 1;
                    let raw = self.text.get(start..self.at).unwrap_or("");
                    let value = String::from_utf8(value)
                        .unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned());
                    return Ok(Kind::Text { value, raw });
                }
                Some('\\') => {
                    self.at += 1;
                    self.escape(mark, &mut value).map_err(|message| (start, message))?;
                }
                _ if mark == '`' => return Err((start, "unterminated raw string".to_owned())),
                _ => return Err((start, "unterminated quoted string".to_owned())),
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self, mark: char, out: &mut Vec<u8>) -> Result<(), String> {
        let Some(c) = self.peek() else { return Err("escape sequence not terminated".to_owned()) };
        let (digits, radix, wide) = match c {
            '0'..='7' => (3, 8, false),
            'x' => (2, 16, false),
            'u' => (4, 16, true),
            'U' => (8, 16, true),
            _ => {
                let byte = match c {
                    'a' => 7,
                    'b' => 8,
                    'f' => 12,
                    'n' => b'\n',
                    'r' => b'\r',
                    't' => b'\t',
                    'v' => 11,
                    '\\' => b'\\',
                    c if c == mark => c as u8,
                    c => return Err(format!("unknown escape sequence {}", go_code_point(c))),
                };
                self.at += 1;
                out.push(byte);
                return Ok(());
            }
        };
        if radix == 16 {
            self.at += 1;
        }
        let mut code = 0u32;
        for _ in 0..digits {
            let Some(c) = self.peek() else { return Err("escape sequence not terminated".to_owned()) };
            let digit = c.to_digit(radix);
            let digit =
                digit.ok_or_else(|| format!("illegal character {} in escape sequence", go_code_point(c)))?;
            code = code.wrapping_mul(radix) + digit;
            self.at += 1;
        }
        match char::from_u32(code).filter(|_| wide) {
            Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            None if !wide && code < 256 => out.push(code as u8),
            None => return Err("escape sequence is an invalid Unicode code point".to_owned()),
        }
        Ok(())
    }
}

/// A character as Go's `%q` shows it.
fn go_rune(c: char) -> String {
    match c {
        '\'' => "'\\''".to_owned(),
        '"' => "'\"'".to_owned(),
        c => {
            let quoted = quote(c.to_string().as_bytes());
            format!("'{}'", quoted.trim_matches('"'))
        }
    }
}

/// A character as Go's `%#U` shows it.
fn go_code_point(c: char) -> String {
    if c.is_control() { format!("U+{:04X}", c as u32) } else { format!("U+{:04X} '{c}'", c as u32) }
}
