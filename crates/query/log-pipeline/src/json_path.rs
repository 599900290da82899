//! Paths into JSON: `a.b["c d"][0]`, and looking many of them up in one walk through a line.

use crate::json::{self, JsonError, Kind, Value};

/// A step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// Reads a path.
///
/// # Errors
/// The peer's text.
pub(crate) fn parse(path: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = path.trim_start_matches(SPACE);
    loop {
        let Some(c) = rest.chars().next() else { break };
        match c {
            '[' => {
                let (step, after) = bracket(rest.get(1..).unwrap_or("").trim_start_matches(SPACE))?;
                steps.push(step);
                rest = after;
            }
            '.' if !steps.is_empty() => {
                let name = rest.get(1..).unwrap_or("").trim_start_matches(SPACE);
                rest = field(name, &mut steps)?;
            }
            _ if steps.is_empty() => rest = field(rest, &mut steps)?,
            _ => return Err(unexpected(rest, "$end, DOT or LSB")),
        }
        rest = rest.trim_start_matches(SPACE);
    }
    if steps.is_empty() {
        return Err("syntax error: unexpected $end, expecting LSB or FIELD".to_owned());
    }
    Ok(steps)
}

const SPACE: [char; 3] = [' ', '\t', '\n'];

fn field<'a>(text: &'a str, steps: &mut Vec<Step>) -> Result<&'a str, String> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(unexpected(text, "FIELD"));
    }
    steps.push(Step::Key(name.to_owned()));
    Ok(rest)
}

/// What stands in brackets, and what follows them.
fn bracket(text: &str) -> Result<(Step, &str), String> {
    let (step, rest) = if let Some(quoted) = text.strip_prefix('"') {
        let end = quoted.find(['"', ']']).unwrap_or(quoted.len());
        let (key, rest) = quoted.split_at(end);
        (Step::Key(key.to_owned()), rest.get(1..).unwrap_or(""))
    } else {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, rest) = text.split_at(end);
        match rest.chars().next() {
            _ if digits.is_empty() => return Err(unexpected(text, "STRING or INDEX")),
            Some('.') => return Err("cannot use float as array index".to_owned()),
            Some(c) if c != ']' && !SPACE.contains(&c) => return Err(format!("non-integer value: {c}")),
            _ => {}
        }
        let index = digits.parse().map_err(|_| {
            let quoted = novaobs_model::labels::go_quote(digits);
            format!("strconv.Atoi: parsing {quoted}: value out of range")
        })?;
        (Step::Index(index), rest)
    };
    let rest = rest.trim_start_matches(SPACE);
    match rest.strip_prefix(']') {
        Some(rest) => Ok((step, rest)),
        None => Err(unexpected(rest, "RSB")),
    }
}

fn unexpected(rest: &str, expected: &str) -> String {
    let token = match rest.chars().next() {
        None => "$end",
        Some('[') => "LSB",
        Some(']') => "RSB",
        Some('.') => "DOT",
        Some('"') => "STRING",
        Some(c) if c.is_ascii_digit() => "INDEX",
        Some(c) if c.is_ascii_alphabetic() || c == '_' => "FIELD",
        Some(c) => return format!("unexpected char {c}"),
    };
    format!("syntax error: unexpected {token}, expecting {expected}")
}

/// What was found for the path of a number, or what was wrong there.
pub(crate) type Found<'a> = Result<Value<'a>, JsonError>;

/// Looks for all paths in one walk. The first value of each path counts; a path may lead through another.
/// The walk ends silently where the line is broken.
pub(crate) fn find<'a>(line: &'a str, paths: &[Vec<Step>], mut each: impl FnMut(Option<usize>, Found<'a>)) {
    let mut walk = Walk { line, paths, done: vec![false; paths.len()], each: &mut each };
    walk.run();
}

struct Walk<'a, 'w> {
    line: &'a str,
    paths: &'w [Vec<Step>],
    done: Vec<bool>,
    each: &'w mut dyn FnMut(Option<usize>, Found<'a>),
}

impl<'a> Walk<'a, '_> {
    fn is_complete(&self) -> bool {
        self.done.iter().all(|done| *done)
    }

    /// Goes over all tokens. The keys on the way are known by level, so an object that no path leads into
    /// costs a scan of its tokens only.
    fn run(&mut self) -> Option<()> {
        let bytes = self.line.as_bytes();
        let longest = self.paths.iter().map(Vec::len).max().unwrap_or(0);
        let mut way: Vec<String> = Vec::new();
        let (mut level, mut at) = (0usize, 0usize);
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
                    let mut key = String::new();
                    if escaped && !json::unescape(&mut key, raw) {
                        return None;
                    }
                    let key = if escaped { key } else { raw.to_owned() };
                    at = next + 1;
                    if level <= longest {
                        if level < 1 {
                            (self.each)(None, Err(JsonError::Json));
                            return None;
                        }
                        way.truncate(level - 1);
                        way.resize(level - 1, String::new());
                        way.push(key);
                        self.at_key(&way, at);
                        if self.is_complete() {
                            return Some(());
                        }
                    }
                    continue;
                }
                b'{' => level += 1,
                b'}' if level == 0 => return self.below(at),
                b'}' => level -= 1,
                b'[' => {
                    let end = json::block_end(bytes, at, b'[', b']')?;
                    let on_way = way.get(..level.min(way.len())).unwrap_or(&[]);
                    if way.len() >= level && self.leads_into_array(on_way) {
                        self.array(on_way.to_vec(), at);
                        if self.is_complete() {
                            return Some(());
                        }
                    }
                    at = end;
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        Some(())
    }

    /// More objects were closed than opened: the next key is an error.
    fn below(&mut self, at: usize) -> Option<()> {
        let bytes = self.line.as_bytes();
        let mut at = at + 1;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' => {
                    let (end, _) = json::string_end(bytes, at + 1)?;
                    at = json::token(bytes, end + 1)?;
                    if bytes.get(at) == Some(&b':') {
                        break;
                    }
                }
                b'[' => break,
                _ => at += 1,
            }
        }
        if at < bytes.len() {
            (self.each)(None, Err(JsonError::Json));
        }
        None
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

    /// Takes what paths want of the array at `at`.
    fn array(&mut self, way: Vec<String>, at: usize) {
        let mut index = 0;
        let mut at = at + 1;
        while let Ok((value, end)) = json::value(self.line, at) {
            for (i, path) in self.paths.iter().enumerate() {
                if self.done.get(i).copied().unwrap_or(true) || index_behind(path, &way) != Some(index) {
                    continue;
                }
                set(&mut self.done, i);
                if let Some(found) = lookup(value, path.get(way.len() + 1..).unwrap_or(&[])) {
                    (self.each)(Some(i), found);
                }
            }
            index += 1;
            match json::token(self.line.as_bytes(), end) {
                Some(next) if self.line.as_bytes().get(next) == Some(&b',') => at = next + 1,
                _ => return,
            }
        }
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
