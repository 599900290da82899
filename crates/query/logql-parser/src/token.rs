//! The words of LogQL and what error messages call them.

use crate::ast::{RangeOp, VectorOp};
use crate::error::Position;

/// A word of a query.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) position: Position,
    /// The line that messages say: 0 for words which the peer's lexer puts together by itself.
    pub(crate) shown_line: usize,
}

/// What a word is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// A name, and any character that is no other word: the peer takes `$` and `é` for labels too.
    Identifier(String),
    /// Quoted, escapes resolved.
    String(String),
    /// As written.
    Number(String),
    /// Nanoseconds.
    Duration(i64),
    Bytes(u64),
    /// `[5m]`, in nanoseconds.
    Range(i64),
    /// `--strict`
    Strict,
    /// `--keep-empty`
    KeepEmpty,
    /// A range aggregation in front of a parenthesis.
    RangeOp(RangeOp),
    /// A vector aggregation in front of a parenthesis, `by` or `without`.
    VectorOp(VectorOp),
    /// A keyword, operator or punctuation.
    Word(Word),
    /// The end of the text.
    End,
    /// Not a word: the message about it. The last token then.
    Broken(String),
}

/// Keywords, operators and punctuation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Comma,
    Dot,
    OpenBrace,
    CloseBrace,
    OpenParen,
    CloseParen,
    CloseBracket,
    Equal,
    NotEqual,
    Match,
    NotMatch,
    PipeExact,
    PipeMatch,
    PipePattern,
    NotPattern,
    Pipe,
    DoubleEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Or,
    And,
    Unless,
    By,
    Without,
    Bool,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Offset,
    Unwrap,
    Json,
    Logfmt,
    Regexp,
    Pattern,
    Unpack,
    LineFormat,
    LabelFormat,
    Decolorize,
    Drop,
    Keep,
    // Only in front of a parenthesis.
    LabelReplace,
    Vector,
    Ip,
    BytesConversion,
    DurationConversion,
    DurationSecondsConversion,
}

use Word::*;

/// Words whose spelling decides, and their spelling in messages.
const WORDS: [(&str, Word); 49] = [
    (",", Comma),
    (".", Dot),
    ("{", OpenBrace),
    ("}", CloseBrace),
    ("(", OpenParen),
    (")", CloseParen),
    ("]", CloseBracket),
    ("=", Equal),
    ("!=", NotEqual),
    ("=~", Match),
    ("!~", NotMatch),
    ("|=", PipeExact),
    ("|~", PipeMatch),
    ("|>", PipePattern),
    ("!>", NotPattern),
    ("|", Pipe),
    ("==", DoubleEqual),
    (">", Greater),
    (">=", GreaterOrEqual),
    ("<", Less),
    ("<=", LessOrEqual),
    ("+", Add),
    ("-", Subtract),
    ("*", Multiply),
    ("/", Divide),
    ("%", Modulo),
    ("^", Power),
    ("or", Or),
    ("and", And),
    ("unless", Unless),
    ("by", By),
    ("without", Without),
    ("bool", Bool),
    ("on", On),
    ("ignoring", Ignoring),
    ("group_left", GroupLeft),
    ("group_right", GroupRight),
    ("offset", Offset),
    ("unwrap", Unwrap),
    ("json", Json),
    ("logfmt", Logfmt),
    ("regexp", Regexp),
    ("pattern", Pattern),
    ("unpack", Unpack),
    ("line_format", LineFormat),
    ("label_format", LabelFormat),
    ("decolorize", Decolorize),
    ("drop", Drop),
    ("keep", Keep),
];

/// Words that are names unless a parenthesis follows: spelling in queries, word, spelling in messages.
const CALLS: [(&str, Word, &str); 6] = [
    ("label_replace", LabelReplace, "label_replace"),
    ("vector", Vector, "VECTOR"),
    ("ip", Ip, "ip"),
    ("bytes", BytesConversion, "BYTES_CONV"),
    ("duration", DurationConversion, "DURATION_CONV"),
    ("duration_seconds", DurationSecondsConversion, "DURATION_SECONDS_CONV"),
];

impl Word {
    /// The keyword, operator or punctuation spelled so, in lower case.
    pub(crate) fn spelled(text: &str) -> Option<Word> {
        WORDS.iter().find(|(spelling, _)| *spelling == text).map(|(_, word)| *word)
    }

    /// How messages call it.
    pub(crate) fn name(self) -> &'static str {
        let plain = WORDS.iter().find(|(_, word)| *word == self).map(|(spelling, _)| *spelling);
        let call = || CALLS.iter().find(|(_, word, _)| *word == self).map(|(_, _, name)| *name);
        plain.or_else(call).unwrap_or_default()
    }
}

impl Kind {
    /// What a name in front of a parenthesis calls.
    pub(crate) fn call(text: &str) -> Option<Kind> {
        let word =
            || CALLS.iter().find(|(spelling, _, _)| *spelling == text).map(|(_, word, _)| Kind::Word(*word));
        let range = || RangeOp::ALL.iter().find(|op| op.name() == text).map(|op| Kind::RangeOp(*op));
        let vector = || VectorOp::ALL.iter().find(|op| op.name() == text).map(|op| Kind::VectorOp(*op));
        word().or_else(range).or_else(vector)
    }

    /// How messages call it.
    pub(crate) fn name(&self) -> String {
        match self {
            Kind::Identifier(_) => "IDENTIFIER".to_owned(),
            Kind::String(_) => "STRING".to_owned(),
            Kind::Number(_) => "NUMBER".to_owned(),
            Kind::Duration(_) => "DURATION".to_owned(),
            Kind::Bytes(_) => "BYTES".to_owned(),
            Kind::Range(_) => "RANGE".to_owned(),
            Kind::Strict | Kind::KeepEmpty => "FUNCTION_FLAG".to_owned(),
            Kind::RangeOp(op) => op.name().to_uppercase(),
            Kind::VectorOp(op) => op.name().to_uppercase(),
            Kind::Word(word) => word.name().to_owned(),
            Kind::End => "$end".to_owned(),
            Kind::Broken(message) => message.clone(),
        }
    }
}
