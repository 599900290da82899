//! Reading config structs out of a document, collecting every problem on the way.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::node::{Entry, Node, Span, Value};
use crate::parse;
use crate::problem::{ConfigError, Loaded, Position, Problem};

/// A configuration file as a tree.
#[derive(Clone, Debug)]
pub struct Document {
    file: Arc<str>,
    base: PathBuf,
    root: Node,
    second: Option<Span>,
}

/// What an unknown key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownKeys {
    /// A warning: prometheus.yml and alertmanager.yml.
    Warn,
    /// An error: rule files, where a mistyped key would change what pages.
    Refuse,
}

impl Document {
    /// Parses `text`; `file` is the name that errors show, and relative paths in it start at its folder.
    ///
    /// # Errors
    /// [`ConfigError`] when the text is not YAML, repeats a key, nests too deep or is an alias bomb.
    pub fn parse(file: &str, text: &str) -> Result<Document, ConfigError> {
        let name: Arc<str> = Arc::from(file);
        let base = Path::new(file).parent().map(Path::to_path_buf).unwrap_or_default();
        match parse::parse(text) {
            Ok((root, second)) => Ok(Document { file: name, base, root, second }),
            Err(error) => Err(ConfigError {
                problems: vec![Problem {
                    position: Position { file: name, span: error.span, path: String::new() },
                    message: error.message,
                }],
            }),
        }
    }

    /// Reads and parses a file.
    ///
    /// # Errors
    /// As [`Document::parse`], and when the file cannot be read or is not UTF-8.
    pub fn load(path: &Path) -> Result<Document, ConfigError> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path)
            .map_err(|error| ConfigError::of_file(&name, format!("cannot read the file: {error}")))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            ConfigError::of_file(&name, format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
        })?;
        Document::parse(&name, &text)
    }

    /// The whole tree.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// Reads a value from the top of the document.
    ///
    /// # Errors
    /// Every error found, in the order of the file.
    pub fn read<T>(
        &self,
        unknown: UnknownKeys,
        read: impl FnOnce(&Cursor<'_>) -> Option<T>,
    ) -> Result<Loaded<T>, ConfigError> {
        let report = Report {
            file: self.file.clone(),
            base: self.base.clone(),
            unknown,
            errors: RefCell::default(),
            warnings: RefCell::default(),
        };
        let cursor = Cursor { node: &self.root, path: String::new(), report: &report };
        if let Some(span) = self.second {
            let position = Position { file: self.file.clone(), span, path: String::new() };
            let message = "only the first document of the file is read: this one is ignored".to_owned();
            report.warnings.borrow_mut().push(Problem { position, message });
        }
        let value = read(&cursor);
        if value.is_none() && report.errors.borrow().is_empty() {
            novaobs_model::never!("a config reader gave up without saying why");
            cursor.error::<()>("not valid");
        }
        let by_place = |problem: &Problem| (problem.position.span.line, problem.position.span.column);
        let mut problems = report.errors.into_inner();
        problems.sort_by_key(by_place);
        problems.dedup();
        let mut warnings = report.warnings.into_inner();
        warnings.sort_by_key(by_place);
        warnings.dedup();
        match value {
            Some(value) if problems.is_empty() => Ok(Loaded { value, warnings }),
            _ => Err(ConfigError { problems }),
        }
    }
}

/// What is collected while a document is read.
struct Report {
    file: Arc<str>,
    base: PathBuf,
    unknown: UnknownKeys,
    errors: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
}

/// A node on its way to becoming a value: it knows its path and where to report to.
#[derive(Clone)]
pub struct Cursor<'a> {
    node: &'a Node,
    path: String,
    report: &'a Report,
}

impl<'a> Cursor<'a> {
    /// The node itself.
    pub fn node(&self) -> &'a Node {
        self.node
    }

    /// Whether nothing was written here.
    pub fn is_null(&self) -> bool {
        self.node.value == Value::Null
    }

    /// Where this node stands, to keep for later messages.
    pub fn position(&self) -> Position {
        Position { file: self.report.file.clone(), span: self.node.span, path: self.path.clone() }
    }

    /// The folder that relative paths start at.
    pub fn base_dir(&self) -> &Path {
        &self.report.base
    }

    /// Reports an error here. Answers `None`, so that a reader can end with it.
    pub fn error<T>(&self, message: impl Into<String>) -> Option<T> {
        self.report.errors.borrow_mut().push(Problem { position: self.position(), message: message.into() });
        None
    }

    /// Reports a warning here.
    pub fn warn(&self, message: impl Into<String>) {
        self.report
            .warnings
            .borrow_mut()
            .push(Problem { position: self.position(), message: message.into() });
    }

    /// The keys of this node; no keys when nothing was written. Anything but a mapping is an error.
    pub fn mapping(&self) -> Section<'a> {
        let (entries, broken) = match &self.node.value {
            Value::Mapping(entries) => (entries.as_slice(), false),
            Value::Null => (&[] as &[Entry], false),
            _ => {
                self.error::<()>(format!("expected a mapping of keys to values, found {}", self.node.kind()));
                (&[] as &[Entry], true)
            }
        };
        Section {
            cursor: self.clone(),
            entries,
            broken,
            taken: vec![false; entries.len()],
            known: Vec::new(),
        }
    }

    /// The items of this node; none when nothing was written. Anything but a list is an error.
    pub fn items(&self) -> Option<Vec<Cursor<'a>>> {
        match &self.node.value {
            Value::Sequence(items) => Some(
                items
                    .iter()
                    .enumerate()
                    .map(|(i, node)| Cursor {
                        node,
                        path: format!("{}[{i}]", self.path),
                        report: self.report,
                    })
                    .collect(),
            ),
            Value::Null => Some(Vec::new()),
            _ => self.error(format!("expected a list (lines that begin with -), found {}", self.node.kind())),
        }
    }

    /// All keys and values of a mapping whose keys are free (labels, headers).
    pub fn entries(&self) -> Option<Vec<(&'a str, Cursor<'a>)>> {
        match &self.node.value {
            Value::Mapping(entries) => {
                Some(entries.iter().map(|e| (e.key.as_str(), self.child(e))).collect())
            }
            Value::Null => Some(Vec::new()),
            _ => self.error(format!("expected a mapping of keys to values, found {}", self.node.kind())),
        }
    }

    fn child(&self, entry: &'a Entry) -> Cursor<'a> {
        let path =
            if self.path.is_empty() { entry.key.clone() } else { format!("{}.{}", self.path, entry.key) };
        Cursor { node: &entry.value, path, report: self.report }
    }
}

/// A mapping whose keys are known: ask for each, then [`finish`](Section::finish).
pub struct Section<'a> {
    cursor: Cursor<'a>,
    entries: &'a [Entry],
    broken: bool,
    taken: Vec<bool>,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The value under `key`, or `None` when it is absent, null, or wrong (then it is reported).
    pub fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Cursor<'a>) -> Option<T>,
    ) -> Option<T> {
        let cursor = self.take(key)?;
        if cursor.is_null() { None } else { read(&cursor) }
    }

    /// The value under `key`, or `default`.
    pub fn or<T>(&mut self, key: &'static str, read: impl FnOnce(&Cursor<'a>) -> Option<T>, default: T) -> T {
        self.optional(key, read).unwrap_or(default)
    }

    /// The value under `key`; absent is an error.
    pub fn required<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Cursor<'a>) -> Option<T>,
    ) -> Option<T> {
        match self.take(key) {
            Some(cursor) if !cursor.is_null() => read(&cursor),
            _ if self.broken => None,
            _ => self.cursor.error(format!("the key {key} is missing")),
        }
    }

    /// The list under `key`, empty when absent. A null item is an error.
    pub fn list<T>(&mut self, key: &'static str, mut read: impl FnMut(&Cursor<'a>) -> Option<T>) -> Vec<T> {
        let Some(cursor) = self.take(key) else { return Vec::new() };
        let items = cursor.items().unwrap_or_default();
        let one =
            |item: &Cursor<'a>| if item.is_null() { item.error("empty or null item") } else { read(item) };
        items.iter().filter_map(one).collect()
    }

    /// Warns when `key` is there, saying why it has no effect.
    pub fn obsolete(&mut self, key: &'static str, reason: &str) {
        if let Some(entry) = self.entry(key) {
            self.key_cursor(entry).warn(format!("{key} is ignored: {reason}"));
        }
    }

    /// Whether `key` is written, even as null. Does not count as asking for it.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|e| e.key == key)
    }

    /// A cursor at the value of `key`.
    pub fn take(&mut self, key: &'static str) -> Option<Cursor<'a>> {
        let entry = self.entry(key)?;
        Some(self.cursor.child(entry))
    }

    /// Takes every key not asked for so far that `wanted` says yes to.
    pub fn take_matching(&mut self, wanted: impl Fn(&str) -> bool) -> Vec<(&'a str, Cursor<'a>)> {
        let mut found = Vec::new();
        for (entry, taken) in self.entries.iter().zip(&mut self.taken) {
            if !*taken && wanted(&entry.key) {
                *taken = true;
                found.push((entry.key.as_str(), self.cursor.child(entry)));
            }
        }
        found
    }

    /// The cursor of the mapping itself.
    pub fn cursor(&self) -> &Cursor<'a> {
        &self.cursor
    }

    /// Reports an error about the mapping as a whole.
    pub fn error(&self, message: impl Into<String>) {
        self.cursor.error::<()>(message);
    }

    /// Reports an error at the value of `key`, or at the mapping when it is not written.
    pub fn error_at(&self, key: &str, message: impl Into<String>) {
        match self.entries.iter().find(|e| e.key == key) {
            Some(entry) => drop(self.cursor.child(entry).error::<()>(message)),
            None => self.error(message),
        }
    }

    /// Reports every key that was not asked for: a warning, or an error where keys are strict.
    pub fn finish(self) {
        for (entry, _) in self.entries.iter().zip(&self.taken).filter(|(_, taken)| !**taken) {
            let cursor = self.key_cursor(entry);
            let hint = match nearest(&entry.key, &self.known) {
                Some(known) => format!(": did you mean {known}?"),
                None => String::new(),
            };
            match cursor.report.unknown {
                UnknownKeys::Warn => cursor.warn(format!("unknown key {:?} is ignored{hint}", entry.key)),
                UnknownKeys::Refuse => {
                    let place = if self.cursor.path.is_empty() { "the file" } else { &self.cursor.path };
                    cursor.error::<()>(format!("field {} not found in {place}{hint}", entry.key));
                }
            }
        }
    }

    fn entry(&mut self, key: &'static str) -> Option<&'a Entry> {
        self.known.push(key);
        let at = self.entries.iter().position(|e| e.key == key)?;
        if let Some(taken) = self.taken.get_mut(at) {
            *taken = true;
        }
        self.entries.get(at)
    }

    /// A cursor that reports at the key rather than at its value.
    fn key_cursor(&self, entry: &'a Entry) -> KeyCursor<'a> {
        let path = self.cursor.child(entry).path;
        let file = self.cursor.report.file.clone();
        KeyCursor { position: Position { file, span: entry.key_span, path }, report: self.cursor.report }
    }
}

struct KeyCursor<'a> {
    position: Position,
    report: &'a Report,
}

impl KeyCursor<'_> {
    fn error<T>(&self, message: String) -> Option<T> {
        self.report.errors.borrow_mut().push(Problem { position: self.position.clone(), message });
        None
    }

    fn warn(&self, message: String) {
        self.report.warnings.borrow_mut().push(Problem { position: self.position.clone(), message });
    }
}

/// The known key that differs least from `key`, if it differs little.
pub(crate) fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let allowed = (key.chars().count() / 3).clamp(1, 3);
    let (distance, best) = known.iter().map(|k| (edit_distance(key, k), *k)).min()?;
    (distance <= allowed).then_some(best)
}

/// Insertions, deletions, changes and swaps of neighbours that turn `a` into `b`.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |line: &[usize], k: usize| line.get(k).copied().unwrap_or(usize::MAX / 2);
            let mut best =
                (at(&previous, j) + usize::from(x != y)).min(at(&previous, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = previous;
        previous = row;
    }
    previous.last().copied().unwrap_or(0)
}
