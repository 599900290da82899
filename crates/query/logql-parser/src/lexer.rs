//! Text to words.
//!
//! Words are those of Go's `text/scanner` (identifiers, numbers, strings, `//` and `/* */` comments), put
//! together to LogQL's: operators of two characters, durations, byte counts, ranges, flags, `#` comments.

use crate::error::Position;
use crate::literal;
use crate::token::{Kind, Token, Word};

/// Splits `text`; the last token is [`Kind::End`] or [`Kind::Broken`].
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { rest: text, position: Position { line: 1, column: 1 } };
    let mut tokens = Vec::new();
    loop {
        let broken = lexer.skip_blank().err();
        let position = lexer.position;
        let (kind, joined) = match broken {
            Some(message) => (Kind::Broken(message), false),
            None => lexer.word().unwrap_or_else(|broken| (Kind::Broken(broken.message), broken.joined)),
        };
        let last = matches!(kind, Kind::End | Kind::Broken(_));
        tokens.push(Token { kind, position, shown_line: if joined { 0 } else { position.line } });
        if last {
            return tokens;
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
    position: Position,
}

/// Text that is no word.
struct Broken {
    message: String,
    joined: bool,
}

impl From<String> for Broken {
    fn from(message: String) -> Self {
        Broken { message, joined: false }
    }
}

impl From<&str> for Broken {
    fn from(message: &str) -> Self {
        Broken::from(message.to_owned())
    }
}

impl<'a> Lexer<'a> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn peek_second(&self) -> Option<char> {
        self.rest.chars().nth(1)
    }

    fn advance(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
        if c == '\n' {
            self.position = Position { line: self.position.line + 1, column: 1 };
        } else {
            self.position.column += 1;
        }
        Some(c)
    }

    fn advance_bytes(&mut self, bytes: usize) {
        let left = self.rest.len().saturating_sub(bytes);
        while self.rest.len() > left && self.advance().is_some() {}
    }

    /// Takes the longest prefix of characters that pass.
    fn take_while(&mut self, mut pass: impl FnMut(char) -> bool) -> &'a str {
        let before = self.rest;
        while self.peek().is_some_and(&mut pass) {
            self.advance();
        }
        before.get(..before.len() - self.rest.len()).unwrap_or_default()
    }

    /// White space and comments.
    fn skip_blank(&mut self) -> Result<(), String> {
        loop {
            self.take_while(is_blank);
            if self.rest.starts_with('#') || self.rest.starts_with("//") {
                self.take_while(|c| c != '\n');
            } else if let Some(comment) = self.rest.strip_prefix("/*") {
                let Some(end) = comment.find("*/") else { return Err("comment not terminated".to_owned()) };
                self.advance_bytes(end + 4);
            } else {
                return Ok(());
            }
        }
    }

    /// The next word, and whether the peer puts it together from several of the scanner's.
    fn word(&mut self) -> Result<(Kind, bool), Broken> {
        let Some(c) = self.peek() else { return Ok((Kind::End, false)) };
        let kind = match c {
            '"' => self.quoted()?,
            '`' => self.raw()?,
            '\'' => self.character()?,
            '[' => return self.range(),
            '-' => return Ok(self.minus()),
            '0'..='9' => return self.number(),
            '.' if self.peek_second().is_some_and(|c| c.is_ascii_digit()) => return self.number(),
            '\0' => return Err("invalid character NUL".into()),
            c if is_name_start(c) => self.name(),
            _ => return Ok(self.symbol()),
        };
        Ok((kind, false))
    }

    fn name(&mut self) -> Kind {
        let text = self.take_while(|c| is_name_start(c) || c.is_numeric());
        let lower = text.to_lowercase();
        if let Some(call) = Kind::call(&lower).filter(|_| self.is_called()) {
            return call;
        }
        match Word::spelled(&lower) {
            Some(word) => Kind::Word(word),
            None => Kind::Identifier(text.to_owned()),
        }
    }

    /// Whether `(`, `by (` or `without (` follows, white space aside.
    fn is_called(&self) -> bool {
        let rest = self.rest.trim_start_matches(is_space);
        let after = |word: &str| {
            let start = rest.get(..word.len()).filter(|start| start.eq_ignore_ascii_case(word));
            start.and(rest.get(word.len()..)).map(|after| after.trim_start_matches(is_space))
        };
        [Some(rest), after("by"), after("without")].iter().flatten().any(|rest| rest.starts_with('('))
    }

    /// An operator, two characters long where that is one, or a character without a meaning: a name.
    fn symbol(&mut self) -> (Kind, bool) {
        let mut ends = self.rest.char_indices().skip(1).map(|(at, _)| at).chain([self.rest.len()]);
        let (one, two) = (ends.next().unwrap_or_default(), ends.next());
        if let Some(two) = two
            && let Some(word) = self.rest.get(..two).and_then(Word::spelled)
        {
            self.advance_bytes(two);
            return (Kind::Word(word), true);
        }
        let text = self.rest.get(..one).unwrap_or_default();
        self.advance();
        match Word::spelled(text) {
            Some(word) => (Kind::Word(word), false),
            None => (Kind::Identifier(text.to_owned()), false),
        }
    }

    /// A flag of a stage, a negative duration, or the operator.
    fn minus(&mut self) -> (Kind, bool) {
        for (text, flag) in [("--strict", Kind::Strict), ("--keep-empty", Kind::KeepEmpty)] {
            let after = self.rest.strip_prefix(text);
            if after.is_some_and(|after| !after.starts_with(|c| c == '-' || is_name_start(c))) {
                self.advance_bytes(text.len());
                return (flag, true);
            }
        }
        let end = 1 + units(self.rest.get(1..).unwrap_or_default(), is_duration);
        let whole = !self.rest.get(end..).unwrap_or_default().starts_with('-');
        let negative = self.rest.get(..end).filter(|text| whole && text.len() > 1);
        if let Some(nanos) = negative.and_then(literal::duration) {
            self.advance_bytes(end);
            return (Kind::Duration(nanos), true);
        }
        self.advance();
        (Kind::Word(Word::Subtract), false)
    }

    /// `[5m]`
    fn range(&mut self) -> Result<(Kind, bool), Broken> {
        let broken = |message: String| Broken { message, joined: true };
        let Some(end) = self.rest.find(']') else {
            return Err(broken("missing closing ']' in duration".to_owned()));
        };
        let window = novaobs_model::duration::parse(self.rest.get(1..end).unwrap_or_default())
            .map_err(|error| broken(error.to_string()))?;
        self.advance_bytes(end + 1);
        let nanos = i64::try_from(window.as_nanos()).unwrap_or(i64::MAX);
        Ok((Kind::Range(nanos), true))
    }

    /// A number, or with a unit behind it a duration or a byte count.
    fn number(&mut self) -> Result<(Kind, bool), Broken> {
        let start = self.rest;
        self.scan_number()?;
        let digits = start.len() - self.rest.len();
        let with = |unit: fn(char) -> bool| {
            let length = units(self.rest, unit);
            start.get(..digits + length).filter(|_| length > 0).map(|text| (text, length))
        };
        if let Some((text, length)) = with(is_duration)
            && let Some(nanos) = literal::duration(text)
        {
            self.advance_bytes(length);
            return Ok((Kind::Duration(nanos), true));
        }
        if let Some((text, length)) = with(is_byte_unit)
            && let Some(bytes) = literal::bytes(text)
        {
            self.advance_bytes(length);
            return Ok((Kind::Bytes(bytes), true));
        }
        Ok((Kind::Number(start.get(..digits).unwrap_or_default().to_owned()), false))
    }

    /// Steps over a number of Go: with base prefix, fraction, exponent, underscores.
    fn scan_number(&mut self) -> Result<(), Broken> {
        let start = self.rest;
        let second = self.peek_second().map(|c| c.to_ascii_lowercase());
        let base = match (self.peek(), second) {
            (Some('0'), Some('x')) => Base::Hexadecimal,
            (Some('0'), Some('o')) => Base::Octal,
            (Some('0'), Some('b')) => return Err("decimal literal has no digits".into()),
            (Some('0'), _) => Base::LeadingZero,
            _ => Base::Decimal,
        };
        if matches!(base, Base::Hexadecimal | Base::Octal) {
            self.advance_bytes(2);
        }
        let is_digit =
            |c: char| if base == Base::Hexadecimal { c.is_ascii_hexdigit() } else { c.is_ascii_digit() };
        let whole = self.take_while(|c| is_digit(c) || c == '_');
        let mut fraction = None;
        if self.peek() == Some('.') {
            self.advance();
            if base == Base::Octal {
                return Err("invalid radix point in octal literal".into());
            }
            fraction = Some(self.take_while(|c| is_digit(c) || c == '_'));
        }
        if !whole.contains(is_digit) && !fraction.is_some_and(|fraction| fraction.contains(is_digit)) {
            return Err(format!("{} has no digits", base.name()).into());
        }
        let exponent = self.peek().filter(|c| matches!(c, 'e' | 'E' | 'p' | 'P'));
        if let Some(letter) = exponent {
            let binary = letter.eq_ignore_ascii_case(&'p');
            if binary && base != Base::Hexadecimal {
                return Err(format!("'{letter}' exponent requires hexadecimal mantissa").into());
            }
            if !binary && base == Base::Octal {
                return Err(format!("'{letter}' exponent requires decimal mantissa").into());
            }
            self.advance();
            if matches!(self.peek(), Some('+' | '-')) {
                self.advance();
            }
            let digits = self.take_while(|c| c.is_ascii_digit() || c == '_');
            if !digits.contains(|c: char| c.is_ascii_digit()) {
                return Err("exponent has no digits".into());
            }
        } else if base == Base::Hexadecimal && fraction.is_some() {
            return Err("hexadecimal mantissa requires a 'p' exponent".into());
        }
        if matches!(base, Base::Octal | Base::LeadingZero)
            && fraction.is_none()
            && exponent.is_none()
            && let Some(digit) = whole.chars().find(|c| matches!(c, '8' | '9'))
        {
            return Err(format!("invalid digit '{digit}' in octal literal").into());
        }
        let text = start.get(..start.len() - self.rest.len()).unwrap_or_default();
        if has_stray_underscore(text) {
            return Err("'_' must separate successive digits".into());
        }
        Ok(())
    }

    /// A string in double quotes.
    fn quoted(&mut self) -> Result<Kind, Broken> {
        let text = self.scan_quoted('"')?.0;
        literal::unquote(text).map(Kind::String).ok_or_else(|| "invalid syntax".into())
    }

    /// A character in single quotes, which is a name.
    fn character(&mut self) -> Result<Kind, Broken> {
        let (text, characters) = self.scan_quoted('\'')?;
        if characters != 1 {
            return Err("invalid char literal".into());
        }
        Ok(Kind::Identifier(format!("'{text}'")))
    }

    /// What stands between the quotes, and how many characters that is when escapes are resolved.
    fn scan_quoted(&mut self, quote: char) -> Result<(&'a str, usize), Broken> {
        self.advance();
        let start = self.rest;
        let mut characters = 0;
        loop {
            match self.advance() {
                Some(c) if c == quote => {
                    let length = start.len() - self.rest.len() - 1;
                    return Ok((start.get(..length).unwrap_or_default(), characters));
                }
                Some('\\') => self.scan_escape(quote)?,
                Some('\n') | None => return Err("literal not terminated".into()),
                Some(_) => {}
            }
            characters += 1;
        }
    }

    fn scan_escape(&mut self, quote: char) -> Result<(), Broken> {
        let (digits, base) = match self.advance() {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\') => return Ok(()),
            Some(c) if c == quote => return Ok(()),
            Some('0'..='7') => (2, 8),
            Some('x') => (2, 16),
            Some('u') => (4, 16),
            Some('U') => (8, 16),
            _ => return Err("invalid char escape".into()),
        };
        for _ in 0..digits {
            if !self.peek().is_some_and(|c| c.is_digit(base)) {
                return Err("invalid char escape".into());
            }
            self.advance();
        }
        Ok(())
    }

    /// A string in backquotes; carriage returns do not count.
    fn raw(&mut self) -> Result<Kind, Broken> {
        self.advance();
        let text = self.take_while(|c| c != '`');
        match self.advance() {
            Some(_) => Ok(Kind::String(text.replace('\r', ""))),
            None => Err("literal not terminated".into()),
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Base {
    Decimal,
    /// Octal when it is an integer, decimal otherwise.
    LeadingZero,
    Octal,
    Hexadecimal,
}

impl Base {
    fn name(self) -> &'static str {
        match self {
            Base::Decimal => "decimal literal",
            Base::LeadingZero | Base::Octal => "octal literal",
            Base::Hexadecimal => "hexadecimal literal",
        }
    }
}

/// Whether an underscore stands elsewhere than between digits, or between a base prefix and a digit.
fn has_stray_underscore(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let (prefixed, digits) = match text.get(..2) {
        Some("0x" | "0o") => (true, text.get(2..).unwrap_or_default()),
        _ => (false, text.as_str()),
    };
    let is_digit = |c: char| c.is_ascii_digit() || prefixed && c.is_ascii_hexdigit();
    let mut before = prefixed;
    let mut chars = digits.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '_' && !(before && chars.peek().is_some_and(|c| is_digit(*c))) {
            return true;
        }
        before = is_digit(c);
    }
    false
}

/// White space between words.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// White space between a function and its parenthesis.
fn is_space(c: char) -> bool {
    c.is_whitespace()
}

fn is_name_start(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

/// The longest text behind a number that is looked at as units. What turns out to be none is read again as
/// words, so without an end a line of numbers would be read once for each of them.
const MAX_UNITS: usize = 1000;

/// How many bytes the longest prefix of characters that pass has; 0 when it is too long for units.
fn units(text: &str, pass: fn(char) -> bool) -> usize {
    let mut length = 0;
    for (nth, c) in text.chars().enumerate() {
        if !pass(c) {
            break;
        }
        if nth == MAX_UNITS {
            return 0;
        }
        length += c.len_utf8();
    }
    length
}

/// What a duration consists of behind its first number.
fn is_duration(c: char) -> bool {
    c.is_numeric() || matches!(c, '.' | 'n' | 's' | 'u' | 'm' | 'h' | 'µ' | 'd' | 'w' | 'y')
}

/// What a byte count consists of behind its number.
fn is_byte_unit(c: char) -> bool {
    c.is_numeric() || matches!(c, '.' | 'B' | 'i' | 'k' | 'K' | 'M' | 'G' | 'T' | 'P')
}
