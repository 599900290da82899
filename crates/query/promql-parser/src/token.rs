//! The words of PromQL and how error texts name them.

use novaobs_model::labels::go_quote;

use crate::ast::{AggregateOp, BinaryOp, Span};

/// A word and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The kinds of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Eof,
    Comma,
    Colon,
    /// `=`
    Assign,
    ParenOpen,
    ParenClose,
    BraceOpen,
    BraceClose,
    BracketOpen,
    BracketClose,
    /// A quoted text, quotes included.
    String,
    /// A number; also `Inf` and `NaN` in any case.
    Number,
    /// A number with units.
    Duration,
    Identifier,
    /// An identifier with a colon.
    MetricIdentifier,
    Binary(BinaryOp),
    /// `=~`
    RegexMatch,
    /// `!~`
    RegexNotMatch,
    /// `@`
    At,
    Aggregate(AggregateOp),
    Keyword(Keyword),
    Preprocessor(Preprocessor),
}

/// Words that modify selectors, operators and aggregations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Anchored,
    Bool,
    By,
    Fill,
    FillLeft,
    FillRight,
    GroupLeft,
    GroupRight,
    Ignoring,
    Offset,
    On,
    Smoothed,
    Without,
}

/// Words that stand for a time or duration of the query when called like a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preprocessor {
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

impl Token {
    pub(crate) fn span(self) -> Span {
        self.start..self.end
    }

    /// As error texts name it: `identifier "foo"`, `<op:+>`, `end of input`.
    pub(crate) fn describe(self, text: &str) -> String {
        let word = text.get(self.span()).unwrap_or_default();
        match self.kind {
            TokenKind::Eof => "end of input".to_owned(),
            TokenKind::Identifier => format!("identifier {}", go_quote(word)),
            TokenKind::MetricIdentifier => format!("metric identifier {}", go_quote(word)),
            TokenKind::String => format!("string {}", quote_start(word)),
            TokenKind::Number => format!("number {}", quote_start(word)),
            TokenKind::Duration => format!("duration {}", quote_start(word)),
            TokenKind::Keyword(_) => format!("<{word}>"),
            TokenKind::Aggregate(_) => format!("<aggr:{word}>"),
            TokenKind::Binary(_) | TokenKind::RegexMatch | TokenKind::RegexNotMatch | TokenKind::At => {
                format!("<op:{word}>")
            }
            _ => go_quote(word),
        }
    }
}

/// The quoted word, cut after ten characters when it is longer than ten bytes.
fn quote_start(word: &str) -> String {
    if word.len() > 10 {
        let start: String = word.chars().take(10).collect();
        format!("{}...", go_quote(&start))
    } else {
        go_quote(word)
    }
}

/// The keyword, operator or special number a word is, in any case; `None` for plain identifiers.
pub(crate) fn reserved(word: &str) -> Option<TokenKind> {
    use TokenKind::{Aggregate, Binary, Keyword as K, Number, Preprocessor as P};
    const LONGEST: usize = "count_values".len();
    if word.len() > LONGEST {
        return None;
    }
    Some(match word.to_ascii_lowercase().as_str() {
        "and" => Binary(BinaryOp::And),
        "or" => Binary(BinaryOp::Or),
        "unless" => Binary(BinaryOp::Unless),
        "atan2" => Binary(BinaryOp::Atan2),
        "sum" => Aggregate(AggregateOp::Sum),
        "avg" => Aggregate(AggregateOp::Avg),
        "count" => Aggregate(AggregateOp::Count),
        "min" => Aggregate(AggregateOp::Min),
        "max" => Aggregate(AggregateOp::Max),
        "group" => Aggregate(AggregateOp::Group),
        "stddev" => Aggregate(AggregateOp::Stddev),
        "stdvar" => Aggregate(AggregateOp::Stdvar),
        "topk" => Aggregate(AggregateOp::TopK),
        "bottomk" => Aggregate(AggregateOp::BottomK),
        "count_values" => Aggregate(AggregateOp::CountValues),
        "quantile" => Aggregate(AggregateOp::Quantile),
        "limitk" => Aggregate(AggregateOp::LimitK),
        "limit_ratio" => Aggregate(AggregateOp::LimitRatio),
        "offset" => K(Keyword::Offset),
        "smoothed" => K(Keyword::Smoothed),
        "anchored" => K(Keyword::Anchored),
        "by" => K(Keyword::By),
        "without" => K(Keyword::Without),
        "on" => K(Keyword::On),
        "ignoring" => K(Keyword::Ignoring),
        "group_left" => K(Keyword::GroupLeft),
        "group_right" => K(Keyword::GroupRight),
        "fill" => K(Keyword::Fill),
        "fill_left" => K(Keyword::FillLeft),
        "fill_right" => K(Keyword::FillRight),
        "bool" => K(Keyword::Bool),
        "start" => P(Preprocessor::Start),
        "end" => P(Preprocessor::End),
        "step" => P(Preprocessor::Step),
        "range" => P(Preprocessor::Range),
        "max_of" => P(Preprocessor::MaxOf),
        "min_of" => P(Preprocessor::MinOf),
        "inf" | "nan" => Number,
        _ => return None,
    })
}
