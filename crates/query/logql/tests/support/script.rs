//! The language of the `.test` files; `tests/README.md` describes it.

use std::fmt::Write as _;

use novaobs_logql::{Answer, Query, QueryError, QueryLimits, Value};
use novaobs_logql_parser::parse;
use novaobs_model::Labels;
use novaobs_model::logs::{LogSource, LogStream, PairLists, Strings, Tenant};
use novaobs_model::select::QueryControl;

/// One command of a file.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// Lines that are passed on: blank ones and comments.
    Other(String),
    /// Forgets all streams.
    Clear,
    /// A stream.
    Load { source: Vec<String>, stream: LogStream },
    /// A query and what it must give.
    Eval { head: String, case: Case, expected: Vec<String> },
}

/// A query.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) query: String,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) step: i64,
    pub(crate) log: bool,
    pub(crate) newest_first: bool,
    pub(crate) limit: usize,
    pub(crate) interval: i64,
    pub(crate) max_series: usize,
}

/// Seconds, with an optional fraction and `s`, in nanoseconds.
fn time(text: &str) -> i64 {
    let number: f64 = text.trim_end_matches('s').parse().unwrap_or_else(|_| panic!("{text} is no time"));
    (number * 1e9).round() as i64
}

/// `{a="b"}` with Go's quotes; values may be empty.
fn pairs(text: &str) -> Vec<(String, String)> {
    let mut rest =
        text.trim().strip_prefix('{').and_then(|t| t.strip_suffix('}')).expect("labels in braces").trim();
    let mut out = Vec::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").expect("name=\"value\"");
        let end = after.find('"').expect("a closing quote");
        out.push((name.trim().to_owned(), after[..end].to_owned()));
        rest = after[end + 1..].trim_start_matches([',', ' ']);
    }
    out
}

/// Reads a file.
pub(crate) fn read(text: &str) -> Vec<Command> {
    let mut commands = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        at += 1;
        let mut body = Vec::new();
        if line.starts_with("load ") || line.starts_with("eval ") {
            while at < lines.len() && lines[at].starts_with("  ") {
                body.push(lines[at].to_owned());
                at += 1;
            }
        }
        if let Some(labels) = line.strip_prefix("load ") {
            let stream = load(labels, &body);
            let source = std::iter::once(line.to_owned()).chain(body).collect();
            commands.push(Command::Load { source, stream });
        } else if let Some(head) = line.strip_prefix("eval ") {
            commands.push(Command::Eval { head: line.to_owned(), case: eval(head), expected: body });
        } else if line == "clear" {
            commands.push(Command::Clear);
        } else {
            assert!(line.is_empty() || line.starts_with('#'), "what is {line:?}?");
            commands.push(Command::Other(line.to_owned()));
        }
    }
    commands
}

fn load(labels: &str, rows: &[String]) -> LogStream {
    let mut stream = LogStream { labels: Labels::from_pairs(pairs(labels)), ..LogStream::default() };
    let (mut lines, mut metadata) = (Strings::default(), PairLists::default());
    for row in rows {
        let (head, line) = row.trim_start().split_once("| ").expect("`time | line`");
        let (when, pairs_text) = match head.find('{') {
            Some(brace) => (head[..brace].trim(), Some(head[brace..].trim())),
            None => (head.trim(), None),
        };
        // `0s+10sx5`: from 0s on, every 10s, five times; `$i` is the number of the row.
        let (first, every, count) = match when.split_once('+') {
            Some((first, rest)) => {
                let (every, count) = rest.split_once('x').expect("`first+everyxcount`");
                (time(first), time(every), count.parse().unwrap())
            }
            None => (time(when), 0, 1),
        };
        for i in 0..count {
            let number = i.to_string();
            stream.timestamps.push(first + every * i);
            lines.push(&line.replace("$i", &number).replace("\\n", "\n"));
            let own = pairs_text.map(|text| pairs(&text.replace("$i", &number))).unwrap_or_default();
            metadata.push(own.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        }
    }
    (stream.lines, stream.metadata) = (lines, metadata);
    stream
}

fn eval(head: &str) -> Case {
    let (options, query) = head.split_once(": ").expect("`eval how: query`");
    let words: Vec<&str> = options.split_whitespace().collect();
    let mut case = Case {
        query: query.to_owned(),
        start: 0,
        end: 0,
        step: 0,
        log: false,
        newest_first: true,
        limit: 100,
        interval: 0,
        max_series: 0,
    };
    let after = |name: &str| words.iter().position(|word| *word == name).map(|at| words[at + 1]);
    match words[0] {
        "instant" => {
            case.start = time(words[1]);
            case.end = case.start;
        }
        "range" => {
            (case.start, case.end, case.step) = (time(words[1]), time(words[2]), time(words[3]));
        }
        "log" => {
            case.log = true;
            (case.start, case.end) = (time(words[1]), time(words[2]));
        }
        other => panic!("what is eval {other}?"),
    }
    case.newest_first = !words.contains(&"forward");
    case.limit = after("limit").map_or(case.limit, |limit| limit.parse().unwrap());
    case.interval = after("interval").map_or(0, time);
    case.max_series = after("max_series").map_or(0, |limit| limit.parse().unwrap());
    case
}

/// How a query is run.
pub(crate) type Run = fn(&dyn LogSource, &Query, &QueryControl) -> Result<Answer, QueryError>;

/// What a case gives, as the lines a file has.
pub(crate) fn answer(case: &Case, source: &dyn LogSource, run: Run) -> Vec<String> {
    let expr = match parse(&case.query) {
        Ok(expr) => expr,
        Err(error) => return error_lines(&error.to_string()),
    };
    let query = Query {
        tenant: Tenant::new("fake"),
        expr,
        start: case.start,
        end: case.end,
        step: case.step,
        interval: case.interval,
        limit: case.limit,
        newest_first: case.newest_first,
        limits: QueryLimits { max_series: case.max_series, max_bytes_read: 0 },
    };
    match run(source, &query, &QueryControl::unlimited()) {
        Err(error) => error_lines(&error.to_string()),
        Ok(answer) => value_lines(&answer.value, &query),
    }
}

fn error_lines(text: &str) -> Vec<String> {
    // The first line tells; the advice behind it is always the same.
    vec![format!("  error {}", text.lines().next().unwrap_or(""))]
}

/// Labels as they are written in a file; empty values are shown.
fn show(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

fn number(value: f64) -> String {
    if value.is_infinite() {
        format!("{}Inf", if value > 0.0 { "+" } else { "-" })
    } else {
        format!("{value}")
    }
}

fn value_lines(value: &Value, query: &Query) -> Vec<String> {
    let mut out = Vec::new();
    match value {
        Value::Scalar(value) => out.push(format!("  scalar {}", number(*value))),
        Value::Vector(series) => {
            for one in series {
                let (_, value) = one.points[0];
                out.push(format!("  {} {}", show(&one.labels), number(value)));
            }
        }
        Value::Matrix(series) => {
            for one in series {
                let mut line = format!("  {}", show(&one.labels));
                let mut points = one.points.iter().peekable();
                let mut step = query.start;
                while step <= query.end {
                    let mut here = Vec::new();
                    while let Some((_, value)) = points.next_if(|(time, _)| *time == step) {
                        here.push(number(*value));
                    }
                    let _ =
                        write!(line, " {}", if here.is_empty() { "_".to_owned() } else { here.join("&") });
                    step += query.step;
                }
                assert!(points.next().is_none(), "a point that is not at a step");
                out.push(line);
            }
        }
        Value::Streams(streams) => {
            for stream in streams {
                let sets = [&stream.labels, &stream.metadata, &stream.parsed].map(show);
                for entry in &stream.entries {
                    let time = entry.timestamp as f64 / 1e9;
                    let line = entry.line.replace('\n', "\\n");
                    out.push(format!("  {} {time}s | {line}", sets.join(" ")));
                }
            }
        }
    }
    out
}
