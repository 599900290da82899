//! From YAML text to nodes: one document, bounded in depth and in what aliases may blow up to.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use crate::node::{Entry, Node, Span, Value};
use crate::scalar;

/// Deeper nesting is refused: no config needs it, and readers walk the tree by recursion.
const MAX_DEPTH: usize = 100;
/// Bytes of nodes that anchors and aliases may copy, in total: an alias bomb ends here.
const MAX_COPIED: usize = 32 << 20;
/// What one copied node counts for beside its text.
const NODE_COST: usize = 64;

/// A fault of the YAML itself, with its place.
pub(crate) struct SyntaxError {
    pub(crate) span: Span,
    pub(crate) message: String,
}

/// Reads the first document of `text`. The span is where a second document begins, if there is one: Go's
/// readers ignore all but the first.
pub(crate) fn parse(text: &str) -> Result<(Node, Option<Span>), SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder::default();
    while let Some(event) = parser.next_event() {
        let (event, place) = event
            .map_err(|error| SyntaxError { span: span_of(error.marker()), message: explain(text, &error) })?;
        let span = span_of(&place.start);
        if builder.step(event, span)? == Step::DocumentDone {
            break;
        }
    }
    let more = loop {
        match parser.next_event() {
            Some(Ok((Event::DocumentStart(_), place))) => break Some(span_of(&place.start)),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => break None,
        }
    };
    let root = builder.root.unwrap_or(Node { value: Value::Null, span: Span { line: 1, column: 1 } });
    Ok((root, more))
}

fn span_of(marker: &Marker) -> Span {
    Span { line: marker.line().max(1), column: marker.col() + 1 }
}

/// The parser's message, or a clearer one for the commonest fault: a tab in the indentation.
fn explain(text: &str, error: &saphyr_parser::ScanError) -> String {
    let line = error.marker().line();
    let near = [line, line + 1, line.saturating_sub(1)];
    for number in near {
        let content = text.lines().nth(number.saturating_sub(1)).unwrap_or("");
        let indent: String = content.chars().take_while(|c| c.is_whitespace()).collect();
        if indent.contains('\t') {
            return format!("line {number} is indented with a tab: YAML wants spaces");
        }
    }
    format!("invalid YAML: {}", error.info())
}

#[derive(PartialEq)]
enum Step {
    More,
    DocumentDone,
}

/// A collection whose end has not come yet.
struct Open {
    anchor: usize,
    span: Span,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<Entry>, seen: HashSet<String>, merges: Vec<Node>, key: Option<Key> },
}

enum Key {
    Named(String, Span),
    Merge,
}

#[derive(Default)]
struct Builder {
    stack: Vec<Open>,
    /// Anchored nodes with their cost of copying and their depth.
    anchors: HashMap<usize, (Node, usize, usize)>,
    copied: usize,
    root: Option<Node>,
}

impl Builder {
    fn step(&mut self, event: Event<'_>, span: Span) -> Result<Step, SyntaxError> {
        match event {
            Event::DocumentEnd => return Ok(Step::DocumentDone),
            Event::Scalar(text, style, anchor, tag) => {
                let plain = is_plain(style, tag.as_deref());
                if self.wants_key() {
                    let merge = plain && text == "<<";
                    return self.key(text.into_owned(), merge, span).map(|()| Step::More);
                }
                let value = if plain && scalar::is_null(&text) {
                    Value::Null
                } else {
                    Value::Scalar { text: text.into_owned(), plain }
                };
                let node = Node { value, span };
                self.remember(anchor, &node);
                self.place(node)?;
            }
            Event::SequenceStart(anchor, _) => self.open(anchor, span, Content::Sequence(Vec::new()))?,
            Event::MappingStart(anchor, _) => {
                let content = Content::Mapping {
                    entries: Vec::new(),
                    seen: HashSet::new(),
                    merges: Vec::new(),
                    key: None,
                };
                self.open(anchor, span, content)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close()?,
            Event::Alias(anchor) => self.alias(anchor, span)?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => {}
        }
        Ok(Step::More)
    }

    fn wants_key(&self) -> bool {
        matches!(self.stack.last(), Some(Open { content: Content::Mapping { key: None, .. }, .. }))
    }

    fn key(&mut self, text: String, merge: bool, span: Span) -> Result<(), SyntaxError> {
        if let Some(Open { content: Content::Mapping { key, seen, .. }, .. }) = self.stack.last_mut() {
            if merge {
                *key = Some(Key::Merge);
                return Ok(());
            }
            if !seen.insert(text.clone()) {
                return fail(
                    span,
                    format!("the key {text:?} is already set in this mapping: remove one of them"),
                );
            }
            *key = Some(Key::Named(text, span));
        }
        Ok(())
    }

    fn open(&mut self, anchor: usize, span: Span, content: Content) -> Result<(), SyntaxError> {
        if self.wants_key() {
            return fail(span, "a key must be a text, not a list or a mapping".to_owned());
        }
        if self.stack.len() >= MAX_DEPTH {
            return fail(span, format!("nested deeper than {MAX_DEPTH} levels"));
        }
        self.stack.push(Open { anchor, span, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), SyntaxError> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        let value = match open.content {
            Content::Sequence(items) => Value::Sequence(items),
            Content::Mapping { mut entries, mut seen, merges, .. } => {
                for merged in merges {
                    merge(&mut entries, &mut seen, merged)?;
                }
                Value::Mapping(entries)
            }
        };
        let node = Node { value, span: open.span };
        self.remember(open.anchor, &node);
        self.place(node)
    }

    fn remember(&mut self, anchor: usize, node: &Node) {
        if anchor > 0 {
            let (cost, depth) = measure(node);
            self.copied = self.copied.saturating_add(cost);
            if self.copied <= MAX_COPIED {
                self.anchors.insert(anchor, (node.clone(), cost, depth));
            }
        }
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), SyntaxError> {
        let Some((node, cost, depth)) = self.anchors.get(&anchor) else {
            return fail(span, "this alias refers to itself or to an anchor that is too large".to_owned());
        };
        self.copied = self.copied.saturating_add(*cost);
        if self.copied > MAX_COPIED {
            return fail(span, "aliases expand to too much: write the sections out".to_owned());
        }
        if self.stack.len() + depth > MAX_DEPTH {
            return fail(span, format!("nested deeper than {MAX_DEPTH} levels"));
        }
        let node = node.clone();
        if self.wants_key() {
            return match node.value {
                Value::Scalar { text, .. } => self.key(text, false, span),
                _ => fail(span, "a key must be a text, not a list or a mapping".to_owned()),
            };
        }
        self.place(node)
    }

    fn place(&mut self, node: Node) -> Result<(), SyntaxError> {
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Open { content: Content::Sequence(items), .. }) => items.push(node),
            Some(Open { content: Content::Mapping { entries, merges, key, .. }, .. }) => match key.take() {
                Some(Key::Named(key, key_span)) => entries.push(Entry { key, key_span, value: node }),
                Some(Key::Merge) => merges.push(node),
                None => return fail(node.span, "a value without a key".to_owned()),
            },
        }
        Ok(())
    }
}

/// Adds the entries of a merged mapping (or of each of a list) that the mapping does not set itself.
fn merge(entries: &mut Vec<Entry>, seen: &mut HashSet<String>, merged: Node) -> Result<(), SyntaxError> {
    match merged.value {
        Value::Mapping(more) => {
            for entry in more {
                if seen.insert(entry.key.clone()) {
                    entries.push(entry);
                }
            }
            Ok(())
        }
        Value::Sequence(all) if all.iter().all(|one| matches!(one.value, Value::Mapping(_))) => {
            all.into_iter().try_for_each(|one| merge(entries, seen, one))
        }
        _ => fail(merged.span, "a merge key (<<) wants a mapping or a list of mappings".to_owned()),
    }
}

/// The cost of copying a node, and its depth.
fn measure(node: &Node) -> (usize, usize) {
    match &node.value {
        Value::Null => (NODE_COST, 0),
        Value::Scalar { text, .. } => (NODE_COST + text.len(), 0),
        Value::Sequence(items) => items
            .iter()
            .map(measure)
            .fold((NODE_COST, 1), |(cost, depth), (c, d)| (cost.saturating_add(c), depth.max(d + 1))),
        Value::Mapping(entries) => entries.iter().fold((NODE_COST, 1), |(cost, depth), entry| {
            let (c, d) = measure(&entry.value);
            (cost.saturating_add(c + entry.key.len() + NODE_COST), depth.max(d + 1))
        }),
    }
}

/// Whether a scalar may be a number, boolean or null. `!!str` and the bare `!` make a text of it, another
/// tag of the core schema undoes quotes.
fn is_plain(style: ScalarStyle, tag: Option<&Tag>) -> bool {
    match tag {
        Some(tag) if tag.suffix == "str" || tag.handle.is_empty() => false,
        Some(tag) if tag.is_yaml_core_schema() => true,
        _ => style == ScalarStyle::Plain,
    }
}

fn fail<T>(span: Span, message: String) -> Result<T, SyntaxError> {
    Err(SyntaxError { span, message })
}
