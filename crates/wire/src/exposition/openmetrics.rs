//! OpenMetrics text format, versions 0.0.1 and 1.0.0.
//!
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>. As strict as Prometheus is: single blanks, the
//! last line is `# EOF`, but families may be split and samples need no `_total`. `_created` lines are
//! samples like any other.

use std::borrow::Cow;
use std::ops::Range;

use novaobs_model::MetricType;

use super::lexer::{Scanner, State, Token, begins_name, unquoted};
use super::{Entry, Pair, ParseError, Sample, Source, TextExemplar, slice, unescape};
use crate::number;
use crate::quote::quote;

/// Streams the entries of an OpenMetrics body.
#[derive(Debug)]
pub struct OpenMetricsParser<'a> {
    scan: Scanner<'a>,
    /// The type of the last `# TYPE` line, whatever its family.
    kind: MetricType,
    labels: Vec<Pair>,
    exemplar: TextExemplar,
}

/// What a line turned out to be; pieces are places in the input.
enum Line {
    Type(Range<usize>),
    Help(Range<usize>, Range<usize>),
    Unit(Range<usize>, Range<usize>),
    Sample { name: Range<usize>, series: Range<usize>, value: f64, timestamp: Option<i64>, exemplar: bool },
}

impl<'a> OpenMetricsParser<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        OpenMetricsParser {
            scan: Scanner::new(body, false),
            kind: MetricType::Unknown,
            labels: Vec::new(),
            exemplar: TextExemplar::default(),
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<Entry<'_>>, ParseError> {
        let Some(line) = self.line()? else { return Ok(None) };
        let input = self.scan.input;
        let lossy = |range: &Range<usize>| String::from_utf8_lossy(slice(input, range));
        Ok(Some(match line {
            Line::Type(family) => Entry::Type { family: lossy(&family), kind: self.kind },
            Line::Help(family, text) => {
                let text = lossy(&text);
                let text = if text.contains('\\') { Cow::Owned(unescape(&text, true)) } else { text };
                Entry::Help { family: lossy(&family), text }
            }
            Line::Unit(family, unit) => Entry::Unit { family: lossy(&family), unit: lossy(&unit) },
            Line::Sample { name, series, value, timestamp, exemplar } => Entry::Sample(Sample {
                series: slice(input, &series),
                value,
                timestamp,
                source: Source::Text {
                    input,
                    name,
                    labels: &self.labels,
                    kind: self.kind,
                    exemplar: exemplar.then_some(&self.exemplar),
                },
            }),
        }))
    }

    fn no_eof(&self) -> ParseError {
        self.scan.error("data does not end with # EOF".to_owned())
    }

    fn line(&mut self) -> Result<Option<Line>, ParseError> {
        self.scan.line = self.scan.at;
        self.labels.clear();
        match self.lex() {
            Token::EofWord if self.lex() == Token::Eof => Ok(None),
            Token::EofWord => Err(self.scan.error("unexpected data after # EOF".to_owned())),
            Token::Eof => Err(self.no_eof()),
            token @ (Token::Help | Token::Type | Token::Unit) => self.metadata(token).map(Some),
            Token::BraceOpen => {
                let start = self.scan.token;
                let name = self.label_list(None, false)?;
                let series = start..self.scan.at;
                let token = self.lex();
                let Some(name) = name else {
                    return Err(self.scan.while_parsing("metric name not set"));
                };
                self.sample(name, series, token).map(Some)
            }
            Token::MetricName => {
                let name = self.scan.token..self.scan.at;
                let mut series = name.clone();
                let mut token = self.lex();
                if token == Token::BraceOpen {
                    self.label_list(Some(name.clone()), false)?;
                    series.end = self.scan.at;
                    token = self.lex();
                }
                self.sample(name, series, token).map(Some)
            }
            token => Err(self.scan.unexpected("expected a valid start token", token)),
        }
    }

    /// The rest of a `# HELP`, `# TYPE` or `# UNIT` line.
    fn metadata(&mut self, what: Token) -> Result<Line, ParseError> {
        let token = self.lex();
        if token != Token::MetricName {
            let expected = format!("expected metric name after {}", what.name());
            return Err(self.scan.unexpected(&expected, token));
        }
        let input = self.scan.input;
        let family = unquoted(input, self.scan.token..self.scan.at);
        if self.lex() != Token::Text {
            return Err(self.scan.error(format!("expected text in {}", what.name())));
        }
        // Without the blank before it and the line break after.
        let text = self.scan.token + 1..self.scan.at - 1;
        let bytes = slice(input, &text);
        match what {
            Token::Type => {
                self.kind = match bytes {
                    b"counter" => MetricType::Counter,
                    b"gauge" => MetricType::Gauge,
                    b"histogram" => MetricType::Histogram,
                    b"gaugehistogram" => MetricType::GaugeHistogram,
                    b"summary" => MetricType::Summary,
                    b"info" => MetricType::Info,
                    b"stateset" => MetricType::StateSet,
                    b"unknown" => MetricType::Unknown,
                    other => return Err(self.scan.error(format!("invalid metric type {}", quote(other)))),
                };
                Ok(Line::Type(family))
            }
            Token::Help => {
                if std::str::from_utf8(bytes).is_err() {
                    let message = format!("help text {} is not a valid utf8 string", quote(bytes));
                    return Err(self.scan.error(message));
                }
                Ok(Line::Help(family, text))
            }
            _ => {
                let name = slice(input, &family);
                let stem = name.strip_suffix(bytes);
                if !bytes.is_empty() && !stem.is_some_and(|stem| stem.ends_with(b"_")) {
                    let message = format!("unit {} not a suffix of metric {}", quote(bytes), quote(name));
                    return Err(self.scan.error(message));
                }
                Ok(Line::Unit(family, text))
            }
        }
    }

    /// Everything between braces, the opening one read, of a series or (into its own list) an exemplar.
    /// Gives the metric's name, which may be inside.
    fn label_list(
        &mut self,
        mut name: Option<Range<usize>>,
        exemplar: bool,
    ) -> Result<Option<Range<usize>>, ParseError> {
        let mut token = self.lex();
        loop {
            let label = self.scan.token..self.scan.at;
            match token {
                Token::BraceClose => return Ok(name),
                Token::LabelName | Token::QuotedString => {}
                other => return Err(self.scan.unexpected("expected label name", other)),
            }
            let quoted = token == Token::QuotedString;
            token = self.lex();
            if quoted && matches!(token, Token::Comma | Token::BraceClose) {
                if exemplar {
                    return Err(self.scan.unexpected("expected label name", token));
                }
                if name.is_some() {
                    return Err(self.scan.while_parsing("metric name already set"));
                }
                name = Some(unquoted(self.scan.input, label));
                if token == Token::BraceClose {
                    return Ok(name);
                }
                token = self.lex();
                continue;
            }
            if token != Token::Equal {
                return Err(self.scan.unexpected("expected equal", token));
            }
            token = self.lex();
            if token != Token::LabelValue {
                return Err(self.scan.unexpected("expected label value", token));
            }
            let value = unquoted(self.scan.input, self.scan.token..self.scan.at);
            let pair = Pair { name: unquoted(self.scan.input, label), value };
            if exemplar {
                self.exemplar.labels.push(pair)
            } else {
                self.labels.push(pair)
            }
            token = self.lex();
            if token == Token::Comma {
                token = self.lex();
            } else if token != Token::BraceClose {
                return Err(self.scan.unexpected("expected comma or brace close", token));
            }
        }
    }

    /// The end of a sample's line, its first token read.
    fn sample(&mut self, name: Range<usize>, series: Range<usize>, token: Token) -> Result<Line, ParseError> {
        let value = self.value(token, "metric")?;
        let mut timestamp = None;
        let mut exemplar = false;
        match self.lex() {
            Token::Eof => return Err(self.no_eof()),
            Token::Comment => {
                self.exemplar()?;
                exemplar = true;
            }
            Token::Timestamp => {
                timestamp = Some(self.timestamp("timestamp")?);
                match self.lex() {
                    Token::LineBreak => {}
                    Token::Comment => {
                        self.exemplar()?;
                        exemplar = true;
                    }
                    token => return Err(self.scan.unexpected("expected next entry after timestamp", token)),
                }
            }
            // Anything else than a line break is found to be no start of a line by the next call.
            _ => {}
        }
        Ok(Line::Sample { name, series, value, timestamp, exemplar })
    }

    /// The rest of an exemplar, ` # {` read.
    fn exemplar(&mut self) -> Result<(), ParseError> {
        self.exemplar.labels.clear();
        self.label_list(None, true)?;
        let token = self.lex();
        self.exemplar.value = self.value(token, "exemplar labels")?;
        self.exemplar.timestamp = None;
        match self.lex() {
            Token::Eof => Err(self.no_eof()),
            Token::LineBreak => Ok(()),
            Token::Timestamp => {
                self.exemplar.timestamp = Some(self.timestamp("exemplar timestamp")?);
                match self.lex() {
                    Token::LineBreak => Ok(()),
                    token => Err(self.scan.unexpected("expected next entry after exemplar timestamp", token)),
                }
            }
            token => Err(self.scan.unexpected("expected timestamp or comment", token)),
        }
    }

    fn value(&self, token: Token, after: &str) -> Result<f64, ParseError> {
        if token != Token::Value {
            return Err(self.scan.unexpected(&format!("expected value after {after}"), token));
        }
        self.float()
    }

    /// The current token without its blank, in seconds, as milliseconds.
    fn timestamp(&self, what: &str) -> Result<i64, ParseError> {
        let seconds = self.float()?;
        if !seconds.is_finite() {
            let shown = match seconds {
                f64::INFINITY => "+Inf",
                f64::NEG_INFINITY => "-Inf",
                _ => "NaN",
            };
            return Err(self.scan.error(format!("invalid {what} {shown}")));
        }
        // Out of range, Go on common machines gives the smallest integer.
        let milliseconds = seconds * 1000.0;
        Ok(if milliseconds < i64::MAX as f64 { milliseconds as i64 } else { i64::MIN })
    }

    fn float(&self) -> Result<f64, ParseError> {
        let bytes = self.scan.token_bytes().get(1..).unwrap_or(&[]);
        number::parse_value(bytes).map_err(|error| self.scan.while_parsing(error))
    }

    fn lex(&mut self) -> Token {
        let scan = &mut self.scan;
        if scan.at >= scan.input.len() {
            return Token::Eof;
        }
        scan.token = scan.at;
        let byte = scan.byte(scan.at);
        match (scan.state, byte) {
            (State::Init, b'#') => self.comment(),
            (State::Init, b'{') => scan.single(Token::BraceOpen, State::Labels),
            (State::Init, _) if begins_name(byte, true) => scan.name(true, Token::MetricName, State::Value),
            (State::MetaName, b'"') => scan.quoted(true, Token::MetricName, State::MetaText),
            (State::MetaName, _) if begins_name(byte, true) => {
                scan.name(true, Token::MetricName, State::MetaText)
            }
            (State::MetaText, b' ') => match memchr::memchr(b'\n', scan.rest(scan.at)) {
                Some(length) => {
                    scan.at += length + 1;
                    scan.state = State::Init;
                    Token::Text
                }
                None => {
                    scan.at = scan.len();
                    Token::Invalid
                }
            },
            (State::Labels, b'"') => scan.quoted(true, Token::QuotedString, State::Labels),
            (State::Labels, b'}') => scan.single(Token::BraceClose, State::Value),
            (State::Labels, b'=') => scan.single(Token::Equal, State::LabelValue),
            (State::Labels, b',') => scan.single(Token::Comma, State::Labels),
            (State::Labels, _) if begins_name(byte, false) => {
                scan.name(false, Token::LabelName, State::Labels)
            }
            (State::LabelValue, b'"') => scan.quoted(false, Token::LabelValue, State::Labels),
            (State::Value, b'{') => scan.single(Token::BraceOpen, State::Labels),
            (State::Value, b' ') => self.word(Token::Value, State::Timestamp),
            (State::Timestamp, b'\n') => scan.single(Token::LineBreak, State::Init),
            (State::Timestamp, b' ') => self.after_value(),
            (State::ExemplarLabels, b'"') => scan.quoted(false, Token::QuotedString, State::ExemplarLabels),
            (State::ExemplarLabels, b'}') => scan.single(Token::BraceClose, State::ExemplarValue),
            (State::ExemplarLabels, b'=') => scan.single(Token::Equal, State::ExemplarValue),
            (State::ExemplarLabels, b',') => scan.single(Token::Comma, State::ExemplarLabels),
            (State::ExemplarLabels, _) if begins_name(byte, false) => {
                scan.name(false, Token::LabelName, State::ExemplarLabels)
            }
            (State::ExemplarValue, b'"') => scan.quoted(false, Token::LabelValue, State::ExemplarLabels),
            (State::ExemplarValue, b' ') => self.word(Token::Value, State::ExemplarTimestamp),
            (State::ExemplarTimestamp, b' ') => self.word(Token::Timestamp, State::ExemplarTimestamp),
            (State::ExemplarTimestamp, b'\n') => scan.single(Token::LineBreak, State::Init),
            _ => Token::Invalid,
        }
    }

    /// A blank and the word after it.
    fn word(&mut self, token: Token, next: State) -> Token {
        let scan = &mut self.scan;
        let start = scan.token + 1;
        scan.skip_while(start, |b| !matches!(b, b' ' | b'\n' | 0));
        if scan.at == start {
            return Token::Invalid;
        }
        scan.state = next;
        token
    }

    /// A timestamp, or the ` # {` that begins an exemplar.
    fn after_value(&mut self) -> Token {
        let begin = b" # {";
        let rest = self.scan.rest(self.scan.token);
        let same = rest.iter().zip(begin).take_while(|(a, b)| a == b).count();
        if same >= 3 || rest == b" #" {
            self.scan.at = self.scan.token + same;
            if same < begin.len() && rest != b" #" {
                return Token::Invalid;
            }
            if same == begin.len() {
                self.scan.state = State::ExemplarLabels;
                return Token::Comment;
            }
        }
        self.word(Token::Timestamp, State::Timestamp)
    }

    /// A `#` at the start of a line: metadata or the end.
    fn comment(&mut self) -> Token {
        let scan = &mut self.scan;
        let rest = scan.rest(scan.token);
        let words: [(&[u8], Token); 4] = [
            (b"# HELP ", Token::Help),
            (b"# TYPE ", Token::Type),
            (b"# UNIT ", Token::Unit),
            (b"# EOF", Token::EofWord),
        ];
        let mut longest = 0;
        for (word, token) in words {
            let same = rest.iter().zip(word).take_while(|(a, b)| a == b).count();
            longest = longest.max(same);
            if same < word.len() {
                continue;
            }
            scan.at = scan.token + same;
            scan.state = State::MetaName;
            if token == Token::EofWord {
                scan.state = State::Init;
                scan.at += usize::from(scan.byte(scan.at) == b'\n');
            }
            return token;
        }
        scan.at = scan.token + longest;
        Token::Invalid
    }
}
