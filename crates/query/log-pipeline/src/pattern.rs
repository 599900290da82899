//! The pattern language of `| pattern` and `|>`: text with captures, `<name>` or `<_>`.

use memchr::memmem::Finder;

/// A part of a pattern.
#[derive(Debug)]
enum Part {
    Text(Box<Finder<'static>>),
    /// A capture; none: `<_>`.
    Capture(Option<String>),
}

fn parse(source: &str) -> Result<Vec<Part>, String> {
    if source.is_empty() {
        return Err("syntax error: unexpected $end, expecting IDENTIFIER or LITERAL".to_owned());
    }
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        if let Some((name, after)) = capture(rest) {
            if !text.is_empty() {
                parts.push(Part::Text(Box::new(Finder::new(&std::mem::take(&mut text)).into_owned())));
            }
            parts.push(Part::Capture((name != "_").then(|| name.to_owned())));
            rest = after;
        } else {
            text.push(c);
            rest = rest.get(c.len_utf8()..).unwrap_or("");
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(Box::new(Finder::new(&text).into_owned())));
    }
    Ok(parts)
}

/// Refuses captures with nothing between them: where one ends is not known.
fn check_apart(parts: &[Part]) -> Result<(), String> {
    let shown = |part: &Part| match part {
        Part::Capture(name) => Some(name.as_deref().unwrap_or("_").to_owned()),
        Part::Text(_) => None,
    };
    for pair in parts.windows(2) {
        if let [a, b] = pair
            && let (Some(a), Some(b)) = (shown(a), shown(b))
        {
            return Err(format!("found consecutive capture '<{a}><{b}>': invalid expression"));
        }
    }
    Ok(())
}

/// A capture at the start of `text`: its name and what follows.
fn capture(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix('<')?.split_once('>')?;
    let mut bytes = name.bytes();
    let begins = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    (begins && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')).then_some((name, after))
}

/// A pattern that extracts.
#[derive(Debug)]
pub(crate) struct CapturePattern {
    parts: Vec<Part>,
}

impl CapturePattern {
    /// # Errors
    /// The peer's text.
    pub(crate) fn new(source: &str) -> Result<Self, String> {
        let parts = parse(source)?;
        if !parts.iter().any(|part| matches!(part, Part::Capture(Some(_)))) {
            return Err("at least one capture is required".to_owned());
        }
        check_apart(&parts)?;
        let mut names: Vec<&str> = Vec::new();
        for part in &parts {
            if let Part::Capture(Some(name)) = part {
                if names.contains(&name.as_str()) {
                    return Err(format!("duplicate capture name ({name}): invalid expression"));
                }
                names.push(name);
            }
        }
        Ok(CapturePattern { parts })
    }

    /// Calls `each` with name and value of each capture, until it says no. What a capture takes ends where
    /// the text behind it is found first; when that is nowhere, it takes the rest and is the last.
    pub(crate) fn captures<'a>(&'a self, line: &'a str, mut each: impl FnMut(&'a str, &'a str) -> bool) {
        if line.is_empty() {
            return;
        }
        let mut rest = line;
        let mut parts = self.parts.as_slice();
        if let [Part::Text(head), others @ ..] = parts {
            let Some(after) = rest.as_bytes().strip_prefix(head.needle()) else { return };
            rest = rest.get(rest.len() - after.len()..).unwrap_or("");
            parts = others;
        }
        while let [Part::Capture(name), others @ ..] = parts {
            let found = match others.first() {
                Some(Part::Text(text)) => text.find(rest.as_bytes()).map(|at| (at, at + text.needle().len())),
                _ => None,
            };
            let (end, next) = found.unwrap_or((rest.len(), rest.len()));
            if let Some(name) = name
                && !each(name, rest.get(..end).unwrap_or(""))
            {
                return;
            }
            if found.is_none() {
                return;
            }
            rest = rest.get(next..).unwrap_or("");
            parts = others.get(1..).unwrap_or(&[]);
        }
    }
}

/// A pattern that only tests.
#[derive(Debug)]
pub(crate) struct LinePattern {
    parts: Vec<Part>,
}

impl LinePattern {
    /// # Errors
    /// The peer's text.
    pub(crate) fn new(source: &str) -> Result<Self, String> {
        let parts = if source.is_empty() { Vec::new() } else { parse(source)? };
        check_apart(&parts)?;
        let named = parts.iter().find_map(|part| match part {
            Part::Capture(name) => name.as_deref(),
            Part::Text(_) => None,
        });
        match named {
            Some(name) => Err(format!("named captures are not allowed: found '<{name}>'")),
            None => Ok(LinePattern { parts }),
        }
    }

    /// Whether the line is the pattern from end to end. Captures take at least one byte; a leading text may
    /// stand anywhere. The empty pattern is the empty line.
    pub(crate) fn matches(&self, line: &str) -> bool {
        let Some(last) = self.parts.last() else { return line.is_empty() };
        if line.is_empty() {
            return false;
        }
        let mut rest = line.as_bytes();
        for (i, part) in self.parts.iter().enumerate() {
            let Part::Text(text) = part else { continue };
            match text.find(rest) {
                None => return false,
                Some(0) if i > 0 => return false,
                Some(at) => rest = rest.get(at + text.needle().len()..).unwrap_or(&[]),
            }
        }
        matches!(last, Part::Capture(_)) != rest.is_empty()
    }
}
