//! The tree a configuration file is read into and written from.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use novaobs_model::{GoRegex, Labels, duration};

use crate::{Secret, size};

/// Where a node begins: line and column, both counted from one, columns in characters. Zero means that the
/// node was not read from a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Line, from one.
    pub line: usize,
    /// Column, from one.
    pub column: usize,
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What was written.
    pub value: Value,
    /// Where.
    pub span: Span,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// A scalar as written. `plain` says that it had no quotes, so it may be a number or a boolean.
    Scalar {
        /// The text, escapes and folding already undone.
        text: String,
        /// Whether it stood without quotes or block style.
        plain: bool,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values in the order of the file, merge keys already resolved.
    Mapping(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key's text.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// A node that holds nothing.
    pub fn null() -> Node {
        Node { value: Value::Null, span: Span::default() }
    }

    /// A text; [`emit`](crate::emit) quotes it where YAML would take it for something else.
    pub fn text(text: impl Into<String>) -> Node {
        Node { value: Value::Scalar { text: text.into(), plain: false }, span: Span::default() }
    }

    /// A number, boolean or the like, written without quotes.
    pub fn plain(text: impl ToString) -> Node {
        Node { value: Value::Scalar { text: text.to_string(), plain: true }, span: Span::default() }
    }

    /// A list.
    pub fn sequence(items: impl IntoIterator<Item = Node>) -> Node {
        Node { value: Value::Sequence(items.into_iter().collect()), span: Span::default() }
    }

    /// The value under `key`, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Mapping(entries) => entries.iter().find(|e| e.key == key).map(|e| &e.value),
            _ => None,
        }
    }

    /// Whether this is what the peers leave out of a printed config: nothing, an empty text, list or
    /// mapping, zero or false.
    pub fn is_empty(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::Scalar { text, plain: false } => text.is_empty(),
            Value::Scalar { text, plain: true } => matches!(text.as_str(), "" | "0" | "false" | "0s"),
            Value::Sequence(items) => items.is_empty(),
            Value::Mapping(entries) => entries.is_empty(),
        }
    }

    /// How the value is called in an error.
    pub(crate) fn kind(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Scalar { text, plain: true } => format!("{text:?}"),
            Value::Scalar { text, plain: false } => format!("the quoted text {text:?}"),
            Value::Sequence(_) => "a list".to_owned(),
            Value::Mapping(_) => "a mapping".to_owned(),
        }
    }
}

/// Builds a mapping node key by key.
///
/// ```
/// use novaobs_config::{Fields, emit};
/// let node = Fields::new().field("job_name", "api").nonempty("params", "").field("honor_labels", &true).node();
/// assert_eq!(emit(&node), "job_name: api\nhonor_labels: true\n");
/// ```
#[derive(Debug, Default)]
pub struct Fields {
    entries: Vec<Entry>,
}

impl Fields {
    /// No keys yet.
    pub fn new() -> Fields {
        Fields::default()
    }

    /// Adds a key whatever its value.
    pub fn field<T: ToNode + ?Sized>(mut self, key: &str, value: &T) -> Fields {
        self.entries.push(Entry { key: key.to_owned(), key_span: Span::default(), value: value.to_node() });
        self
    }

    /// Adds a key unless its value [is empty](Node::is_empty), as Go's `omitempty` does.
    pub fn nonempty<T: ToNode + ?Sized>(mut self, key: &str, value: &T) -> Fields {
        let value = value.to_node();
        if !value.is_empty() {
            self.entries.push(Entry { key: key.to_owned(), key_span: Span::default(), value });
        }
        self
    }

    /// Adds all keys of another mapping, as Go's `inline` does.
    pub fn inline<T: ToNode + ?Sized>(mut self, value: &T) -> Fields {
        if let Value::Mapping(entries) = value.to_node().value {
            self.entries.extend(entries);
        }
        self
    }

    /// The mapping.
    pub fn node(self) -> Node {
        Node { value: Value::Mapping(self.entries), span: Span::default() }
    }
}

/// Something that can be written into a config.
pub trait ToNode {
    /// The node that stands for it, with defaults filled in and secrets hidden.
    fn to_node(&self) -> Node;
}

impl ToNode for Node {
    fn to_node(&self) -> Node {
        self.clone()
    }
}

impl ToNode for str {
    fn to_node(&self) -> Node {
        Node::text(self)
    }
}

impl ToNode for String {
    fn to_node(&self) -> Node {
        Node::text(self.as_str())
    }
}

impl ToNode for PathBuf {
    fn to_node(&self) -> Node {
        Node::text(self.display().to_string())
    }
}

impl ToNode for Duration {
    fn to_node(&self) -> Node {
        Node::plain(duration::format(*self))
    }
}

impl ToNode for size::Bytes {
    fn to_node(&self) -> Node {
        if self.0 == 0 { Node::plain(0) } else { Node::plain(self) }
    }
}

impl ToNode for Secret {
    fn to_node(&self) -> Node {
        if self.is_empty() { Node::null() } else { Node::text(Secret::HIDDEN) }
    }
}

impl ToNode for GoRegex {
    fn to_node(&self) -> Node {
        Node::text(self.source())
    }
}

impl ToNode for url::Url {
    fn to_node(&self) -> Node {
        let mut shown = self.clone();
        if shown.password().is_some() {
            // A URL that cannot hold a password has none to hide.
            let _ = shown.set_password(Some("xxxxx"));
        }
        Node::text(shown.as_str())
    }
}

impl ToNode for Labels {
    fn to_node(&self) -> Node {
        self.iter().fold(Fields::new(), |fields, (name, value)| fields.field(name, value)).node()
    }
}

macro_rules! plain_to_node {
    ($($kind:ty),*) => {$(
        impl ToNode for $kind {
            fn to_node(&self) -> Node {
                Node::plain(self)
            }
        }
    )*};
}
plain_to_node!(bool, u16, u32, u64, usize, i64, f64);

impl<T: ToNode> ToNode for Option<T> {
    fn to_node(&self) -> Node {
        self.as_ref().map_or_else(Node::null, ToNode::to_node)
    }
}

impl<T: ToNode> ToNode for Vec<T> {
    fn to_node(&self) -> Node {
        Node::sequence(self.iter().map(ToNode::to_node))
    }
}

impl<T: ToNode> ToNode for BTreeMap<String, T> {
    fn to_node(&self) -> Node {
        self.iter().fold(Fields::new(), |fields, (key, value)| fields.field(key, value)).node()
    }
}
