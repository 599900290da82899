//! Reads test scripts into commands.

use novaobs_model::Labels;
use regex::Regex;

use super::ScriptError;
use super::series::{SeriesError, SeriesValues, parse_series};

/// One command.
#[derive(Debug)]
pub(super) enum Command {
    /// Forget all series.
    Clear,
    /// Add series with samples every `step` milliseconds from 0 on.
    Load { step: i64, series: Vec<SeriesValues>, unsupported: bool },
    /// Evaluate and compare.
    Eval(Box<Eval>),
}

/// An evaluation and what it should give.
#[derive(Debug, Default)]
pub(super) struct Eval {
    pub(super) line: usize,
    pub(super) query: String,
    pub(super) times: Times,
    /// Expected annotations and errors.
    pub(super) expectations: Vec<(Kind, Match)>,
    pub(super) ordered: bool,
    pub(super) scalar: Option<f64>,
    pub(super) string: Option<String>,
    /// Times of an expected range vector: start, end, step.
    pub(super) range_vector: Option<(i64, i64, i64)>,
    pub(super) series: Vec<SeriesValues>,
    /// Some expected series could not be read.
    pub(super) unsupported: bool,
}

/// When, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Times {
    Instant(i64),
    Range { start: i64, end: i64, step: i64 },
}

impl Default for Times {
    fn default() -> Self {
        Times::Instant(0)
    }
}

/// What an `expect` line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Fail,
    Warn,
    Info,
    NoWarn,
    NoInfo,
}

/// Which texts an `expect` line accepts.
#[derive(Debug)]
pub(super) enum Match {
    Any,
    Exact(String),
    Pattern(Regex),
}

impl Match {
    /// Whether `text` is accepted.
    pub(super) fn accepts(&self, text: &str) -> bool {
        match self {
            Match::Any => true,
            Match::Exact(exact) => exact == text,
            Match::Pattern(pattern) => pattern.is_match(text),
        }
    }
}

impl std::fmt::Display for Match {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Match::Any => f.write_str("any text"),
            Match::Exact(exact) => f.write_str(exact),
            Match::Pattern(pattern) => write!(f, "/{pattern}/"),
        }
    }
}

/// Reads all commands of a script.
pub(super) fn parse(text: &str) -> Result<Vec<Command>, ScriptError> {
    let mut lines = Lines { lines: text.lines().map(clean).enumerate().collect(), next: 0 };
    let mut commands = Vec::new();
    while let Some((number, line)) = lines.take() {
        let word = line.split_ascii_whitespace().next().unwrap_or("").to_lowercase();
        let at = |text: String| ScriptError { line: number + 1, text };
        if word.is_empty() {
            continue;
        } else if word == "clear" {
            commands.push(Command::Clear);
        } else if word.starts_with("load") {
            commands.push(load(line, &mut lines).map_err(at)?);
        } else if word.starts_with("eval") {
            commands.push(Command::Eval(Box::new(eval(number + 1, line, &mut lines).map_err(at)?)));
        } else {
            return Err(at(format!("unknown command {line:?}: write load, clear or eval")));
        }
    }
    Ok(commands)
}

/// A line without surrounding space; comments are empty lines.
fn clean(line: &str) -> &str {
    let line = line.trim();
    if line.starts_with('#') { "" } else { line }
}

struct Lines<'a> {
    lines: Vec<(usize, &'a str)>,
    next: usize,
}

impl<'a> Lines<'a> {
    fn take(&mut self) -> Option<(usize, &'a str)> {
        let line = self.lines.get(self.next).copied();
        self.next += 1;
        line
    }

    /// The next line of the current command: commands end at an empty line.
    fn take_body(&mut self) -> Option<&'a str> {
        let (_, line) = self.lines.get(self.next).copied().filter(|(_, line)| !line.is_empty())?;
        self.next += 1;
        Some(line)
    }
}

fn load(line: &str, lines: &mut Lines<'_>) -> Result<Command, String> {
    let (command, step) = line.split_once(char::is_whitespace).ok_or("load needs a step")?;
    let step = time(step.trim())?;
    let mut unsupported = command != "load";
    let mut series = Vec::new();
    while let Some(line) = lines.take_body() {
        match parse_series(line) {
            Ok(one) => series.push(one),
            Err(SeriesError::Unsupported) => unsupported = true,
            Err(error) => return Err(format!("{line}: {error}")),
        }
    }
    Ok(Command::Load { step, series, unsupported })
}

fn eval(number: usize, line: &str, lines: &mut Lines<'_>) -> Result<Eval, String> {
    let mut eval = head(line)?;
    eval.line = number;
    while let Some(line) = lines.take_body() {
        if let Some(text) = line.strip_prefix("expected_fail_message") {
            eval.expectations.push((Kind::Fail, Match::Exact(text.trim().to_owned())));
        } else if let Some(text) = line.strip_prefix("expected_fail_regexp") {
            eval.expectations.push((Kind::Fail, pattern(text.trim())?));
        } else if line.split(' ').next() == Some("expect") {
            expect(line.get("expect".len()..).unwrap_or("").trim(), &mut eval)?;
        } else if let Some(value) = number_of(line) {
            eval.scalar = Some(value);
        } else {
            match parse_series(line) {
                Ok(series) => eval.series.push(series),
                Err(SeriesError::Unsupported) => eval.unsupported = true,
                Err(error) => return Err(format!("{line}: {error}")),
            }
        }
    }
    Ok(eval)
}

/// The `eval…` line itself.
fn head(line: &str) -> Result<Eval, String> {
    let mut words = line.splitn(3, char::is_whitespace);
    let (command, mode, rest) =
        (words.next().unwrap_or(""), words.next().unwrap_or(""), words.next().unwrap_or("").trim());
    let mut eval = Eval::default();
    match command.strip_prefix("eval").unwrap_or("") {
        "" => {}
        "_ordered" => eval.ordered = true,
        "_fail" => eval.expectations.push((Kind::Fail, Match::Any)),
        "_warn" => eval.expectations.push((Kind::Warn, Match::Any)),
        "_info" => eval.expectations.push((Kind::Info, Match::Any)),
        other => return Err(format!("unknown command eval{other}")),
    }
    let query = if mode == "instant" {
        let (at, query) = take_time(rest, "at")?;
        eval.times = Times::Instant(at);
        query
    } else if mode == "range" {
        let (start, rest) = take_time(rest, "from")?;
        let (end, rest) = take_time(rest, "to")?;
        let (step, query) = take_time(rest, "step")?;
        eval.times = Times::Range { start, end, step };
        query
    } else {
        return Err(format!("{mode:?} is neither instant nor range"));
    };
    query.clone_into(&mut eval.query);
    Ok(eval)
}

/// Takes `<word> <time>` off the front.
fn take_time<'a>(text: &'a str, word: &str) -> Result<(i64, &'a str), String> {
    let rest =
        text.strip_prefix(word).ok_or_else(|| format!("{word} <time> is missing at {text:?}"))?.trim_start();
    let (value, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    Ok((time(value)?, rest.trim_start()))
}

/// A duration or a number of seconds, in milliseconds.
fn time(text: &str) -> Result<i64, String> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let milliseconds = match novaobs_model::duration::parse(unsigned) {
        Ok(duration) => duration.as_millis() as i64,
        Err(error) => match unsigned.parse::<f64>() {
            Ok(seconds) => (seconds * 1000.0) as i64,
            Err(_) => return Err(error.to_string()),
        },
    };
    Ok(if negative { -milliseconds } else { milliseconds })
}

/// A line that is just a number: a scalar.
fn number_of(line: &str) -> Option<f64> {
    let (negative, unsigned) = line.strip_prefix('-').map_or((false, line), |rest| (true, rest));
    let value = match unsigned.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok()? as f64,
        None => unsigned.parse().ok()?,
    };
    Some(if negative { -value } else { value })
}

fn pattern(text: &str) -> Result<Match, String> {
    Regex::new(text).map(Match::Pattern).map_err(|error| error.to_string())
}

/// What stands behind `expect`.
fn expect(text: &str, eval: &mut Eval) -> Result<(), String> {
    if let Some(rest) = text.strip_prefix("range vector") {
        let (start, rest) = take_time(rest.trim_start(), "from")?;
        let (end, rest) = take_time(rest, "to")?;
        let (step, _) = take_time(rest, "step")?;
        eval.range_vector = Some((start, end, step));
        return Ok(());
    }
    if let Some(quoted) = text.strip_prefix("string") {
        eval.string = Some(unquote(quoted.trim())?);
        return Ok(());
    }
    let (kind, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let kind = match kind {
        "ordered" => {
            eval.ordered = true;
            return Ok(());
        }
        "fail" => Kind::Fail,
        "warn" => Kind::Warn,
        "info" => Kind::Info,
        "no_warn" => Kind::NoWarn,
        "no_info" => Kind::NoInfo,
        other => return Err(format!("expect {other}: write fail, warn, info, no_warn, no_info or ordered")),
    };
    let rest = rest.trim();
    let accepted = if let Some(text) = rest.strip_prefix("msg:") {
        Match::Exact(text.trim().to_owned())
    } else if let Some(text) = rest.strip_prefix("regex:") {
        pattern(text.trim())?
    } else if rest.is_empty() {
        Match::Any
    } else {
        return Err(format!("expect … {rest}: write msg: or regex:"));
    };
    eval.expectations.push((kind, accepted));
    Ok(())
}

/// The text of a quoted string, as the query language reads it.
fn unquote(quoted: &str) -> Result<String, String> {
    let expr = novaobs_promql_parser::parse(quoted, novaobs_promql_parser::ParseOptions::all());
    match expr.map(|expr| expr.kind) {
        Ok(novaobs_promql_parser::ast::ExprKind::String(text)) => Ok(text),
        _ => Err(format!("{quoted} is no quoted string")),
    }
}

/// The labels of expected series must differ: a mistake of the test's author otherwise.
pub(super) fn first_repeated(series: &[SeriesValues]) -> Option<&Labels> {
    series.iter().enumerate().find_map(|(index, (labels, _))| {
        series.iter().take(index).any(|(earlier, _)| earlier == labels).then_some(labels)
    })
}
