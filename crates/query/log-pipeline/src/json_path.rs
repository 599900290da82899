//! Paths into JSON: `a.b["c d"][0]`, and looking many of them up in one walk through a line.

use crate::json::{self, JsonError, Kind, Value};

/// A step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// A piece of a path's text.
#[derive(Debug)]
enum Token {
    Open,
    Close,
    Dot,
    Name(String),
    Text(String),
    Index(usize),
    /// Also where a character is none of the others: the reason.
    End(Option<String>),
}

impl Token {
    fn name(&self) -> &'static str {
        match self {
            Token::Open => "LSB",
            Token::Close => "RSB",
            Token::Dot => "DOT",
            Token::Name(_) => "FIELD",
            Token::Text(_) => "STRING",
            Token::Index(_) => "INDEX",
            Token::End(_) => "$end",
        }
    }
}

const SPACE: [char; 3] = [' ', '\t', '\n'];

/// The first token, and what follows it.
fn token(text: &str) -> (Token, &str) {
    let text = text.trim_start_matches(SPACE);
    let Some(first) = text.chars().next() else { return (Token::End(None), "") };
    let rest = text.get(first.len_utf8()..).unwrap_or("");
    let until = |end: fn(char) -> bool| text.split_at(text.find(end).unwrap_or(text.len()));
    match first {
        '[' => (Token::Open, rest),
        ']' => (Token::Close, rest),
        '.' => (Token::Dot, rest),
        'a'..='z' | 'A'..='Z' | '_' => {
            let (name, rest) = until(|c| !(c.is_ascii_alphanumeric() || c == '_'));
            (Token::Name(name.to_owned()), rest)
        }
        '"' => {
            let (text, rest) = rest.split_at(rest.find(['"', ']']).unwrap_or(rest.len()));
            (Token::Text(text.to_owned()), rest.get(1..).unwrap_or(""))
        }
        '0'..='9' => {
            let (digits, rest) = until(|c| !c.is_ascii_digit());
            let ends = rest.starts_with(']') || rest.starts_with(SPACE);
            match digits.parse() {
                Ok(index) if ends => (Token::Index(index), rest),
                _ => (Token::End(Some("cannot use float as array index".to_owned())), ""),
            }
        }
        c => (Token::End(Some(format!("unexpected char {c}"))), ""),
    }
}

/// Reads a path.
///
/// # Errors
/// The peer's text.
pub(crate) fn parse(path: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = path;
    let mut next = || {
        let (token, after) = token(rest);
        rest = after;
        token
    };
    loop {
        match next() {
            Token::Open => {
                steps.push(match next() {
                    Token::Text(key) => Step::Key(key),
                    Token::Index(index) => Step::Index(index),
                    other => return Err(unexpected(&other, Some("STRING or INDEX"))),
                });
                match next() {
                    Token::Close => {}
                    other => return Err(unexpected(&other, Some("RSB"))),
                }
            }
            Token::Dot if !steps.is_empty() => match next() {
                Token::Name(name) => steps.push(Step::Key(name)),
                other => return Err(unexpected(&other, Some("FIELD"))),
            },
            Token::Name(name) if steps.is_empty() => steps.push(Step::Key(name)),
            Token::End(None) if !steps.is_empty() => return Ok(steps),
            Token::End(Some(reason)) if !steps.is_empty() => return Err(reason),
            other => return Err(unexpected(&other, steps.is_empty().then_some("LSB or FIELD"))),
        }
    }
}

/// Says what is there and, when that is little, what should be.
fn unexpected(token: &Token, expected: Option<&str>) -> String {
    match expected {
        Some(expected) => format!("syntax error: unexpected {}, expecting {expected}", token.name()),
        None => format!("syntax error: unexpected {}", token.name()),
    }
}

/// What was found for the path of a number, or what was wrong there.
pub(crate) type Found<'a> = Result<Value<'a>, JsonError>;

/// Looks for all paths in one walk. The first value of each path counts; a path may lead through another.
/// The walk ends silently where the line is broken.
pub(crate) fn find<'a>(line: &'a str, paths: &[Vec<Step>], mut each: impl FnMut(Option<usize>, Found<'a>)) {
    let mut walk = Walk { line, paths, done: vec![false; paths.len()], broken: 0, each: &mut each };
    walk.run();
}

/// A walk ends behind this many arrays that are broken, lest it reads the line once for each.
const MAX_BROKEN: usize = 64;

struct Walk<'a, 'w> {
    line: &'a str,
    paths: &'w [Vec<Step>],
    done: Vec<bool>,
    /// Arrays on a path with a broken value. To see that a bracket never closes takes the rest of the line.
    broken: usize,
    each: &'w mut dyn FnMut(Option<usize>, Found<'a>),
}

impl<'a> Walk<'a, '_> {
    fn is_complete(&self) -> bool {
        self.done.iter().all(|done| *done)
    }

    /// Goes over all tokens. Brackets only count levels, so a broken line is read on as far as strings end.
    fn run(&mut self) -> Option<()> {
        let bytes = self.line.as_bytes();
        let longest = self.paths.iter().map(Vec::len).max().unwrap_or(0);
        // The last key of each level.
        let mut way: Vec<String> = Vec::new();
        let (mut level, mut at) = (0i64, 0usize);
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' => {
                    let (end, escaped) = json::string_end(bytes, at + 1)?;
                    let next = json::token(bytes, end + 1)?;
                    if bytes.get(next) != Some(&b':') {
                        at = next;
                        continue;
                    }
                    let raw = self.line.get(at + 1..end).unwrap_or("");
                    at = next + 1;
                    if self.key(&mut way, level, longest, (raw, escaped), at)? {
                        return Some(());
                    }
                    continue;
                }
                b'{' => level += 1,
                b'}' | b']' => level -= 1,
                b'[' => {
                    let Ok(depth) = usize::try_from(level) else {
                        (self.each)(None, Err(JsonError::Json));
                        return None;
                    };
                    if way.len() < depth && depth <= longest {
                        way.resize(depth, String::new());
                    }
                    let on_way = way.get(..depth).filter(|on_way| self.leads_into_array(on_way));
                    let Some(on_way) = on_way.map(<[String]>::to_vec) else {
                        at = json::block_end(bytes, at, b'[', b']')?;
                        continue;
                    };
                    level += 1;
                    at = self.array(&on_way, at);
                    if self.is_complete() || self.broken > MAX_BROKEN {
                        return Some(());
                    }
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        Some(())
    }

    /// Takes a key whose value begins at `at`; whether all is found then. None: the walk ends here.
    fn key(
        &mut self,
        way: &mut Vec<String>,
        level: i64,
        longest: usize,
        (raw, escaped): (&str, bool),
        at: usize,
    ) -> Option<bool> {
        let mut key = String::new();
        if escaped && !json::unescape(&mut key, raw) {
            return None;
        }
        if level < 1 {
            (self.each)(None, Err(JsonError::Json));
            return None;
        }
        let depth = usize::try_from(level).ok()?;
        if depth > longest {
            return Some(false);
        }
        if !escaped {
            key.push_str(raw);
        }
        if way.len() < depth {
            way.resize(depth, String::new());
        }
        if let Some(last) = way.get_mut(depth - 1) {
            *last = key;
        }
        self.at_key(way.get(..depth)?, at);
        Some(self.is_complete())
    }

    fn at_key(&mut self, way: &[String], at: usize) {
        for (i, path) in self.paths.iter().enumerate() {
            let is_here =
                path.len() == way.len() && path.iter().zip(way).all(|(step, key)| is_key(step, key));
            if is_here && !self.done.get(i).copied().unwrap_or(true) {
                set(&mut self.done, i);
                (self.each)(Some(i), json::value(self.line, at).map(|(value, _)| value));
            }
        }
    }

    fn leads_into_array(&self, way: &[String]) -> bool {
        self.paths.iter().zip(&self.done).any(|(path, done)| !done && index_behind(path, way).is_some())
    }

    /// Takes what paths want of the array that opens at `at`; where it closes or is broken.
    fn array(&mut self, way: &[String], at: usize) -> usize {
        let bytes = self.line.as_bytes();
        let mut at = json::token(bytes, at + 1).unwrap_or(at + 1);
        if bytes.get(at) == Some(&b']') {
            return at;
        }
        for index in 0.. {
            let Ok((value, end)) = json::value(self.line, at) else {
                self.broken += 1;
                return at;
            };
            for (i, path) in self.paths.iter().enumerate() {
                if self.done.get(i).copied().unwrap_or(true) || index_behind(path, way) != Some(index) {
                    continue;
                }
                set(&mut self.done, i);
                if let Some(found) = lookup(value, path.get(way.len() + 1..).unwrap_or(&[])) {
                    (self.each)(Some(i), found);
                }
            }
            match json::token(bytes, end) {
                Some(next) if bytes.get(next) == Some(&b',') => at = next + 1,
                Some(next) => return next,
                None => return end,
            }
        }
        at
    }
}

fn set(done: &mut [bool], at: usize) {
    if let Some(flag) = done.get_mut(at) {
        *flag = true;
    }
}

fn is_key(step: &Step, key: &str) -> bool {
    matches!(step, Step::Key(wanted) if wanted == key)
}

/// The index a path has behind these keys.
fn index_behind(path: &[Step], way: &[String]) -> Option<usize> {
    let (head, rest) = path.split_at_checked(way.len())?;
    match rest.first() {
        Some(Step::Index(index)) if head.iter().zip(way).all(|(step, key)| is_key(step, key)) => Some(*index),
        _ => None,
    }
}

/// What a path leads to inside a value; none when nothing is there.
fn lookup<'a>(value: Value<'a>, path: &[Step]) -> Option<Found<'a>> {
    let Some((step, rest)) = path.split_first() else { return Some(Ok(value)) };
    let mut found = None;
    match (step, value.kind) {
        (Step::Key(_), Kind::Object) => {
            let one = [vec![step.clone()]];
            find(value.text, &one, |_, value| found = Some(value));
        }
        (Step::Index(_), Kind::Array) => {
            let one = [vec![step.clone()]];
            find(value.text, &one, |_, value| found = Some(value));
        }
        _ => {}
    }
    match found? {
        Ok(value) => lookup(value, rest),
        Err(error) => Some(Err(error)),
    }
}
