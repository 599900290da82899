//! The syntax tree of a template. Its printed form is what error texts quote, as Go prints it.

use std::fmt;
use std::sync::Arc;

/// One parsed template: the body of a file or of a `define`.
#[derive(Debug)]
pub(crate) struct Tree {
    /// Its name.
    pub name: String,
    /// The file it was parsed from, for error texts.
    pub file: Arc<str>,
    /// The text of that file, for line and column of errors.
    pub source: Arc<str>,
    /// Its body.
    pub root: Vec<Node>,
}

/// Byte offset in the source.
pub(crate) type Pos = usize;

/// A piece of a body.
#[derive(Debug)]
pub(crate) enum Node {
    Text(Arc<str>),
    Action { pos: Pos, pipe: Pipe },
    If { pos: Pos, pipe: Pipe, then: Vec<Node>, otherwise: Option<Vec<Node>> },
    With { pos: Pos, pipe: Pipe, then: Vec<Node>, otherwise: Option<Vec<Node>> },
    Range { pos: Pos, pipe: Pipe, body: Vec<Node>, otherwise: Option<Vec<Node>> },
    Template { pos: Pos, name: String, pipe: Option<Pipe> },
    Break,
    Continue,
}

/// Commands joined by `|`, with the variables their value is assigned to.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub pos: Pos,
    /// `$x`, or `$i, $e` in a range.
    pub variables: Vec<String>,
    /// `=` instead of `:=`.
    pub assigns: bool,
    pub commands: Vec<Command>,
}

/// An operand and its arguments. Never empty.
#[derive(Debug)]
pub(crate) struct Command {
    pub args: Vec<Operand>,
    pub pos: Pos,
}

/// An operand with its place.
#[derive(Debug)]
pub(crate) struct Operand {
    pub pos: Pos,
    pub kind: OperandKind,
}

/// The kinds of operands.
#[derive(Debug)]
pub(crate) enum OperandKind {
    Dot,
    Nil,
    Bool(bool),
    Number {
        text: String,
        number: Number,
    },
    String {
        quoted: String,
        text: Arc<str>,
    },
    /// `.A.B`
    Field(Vec<String>),
    /// `$x.A.B`, the name with its dollar sign.
    Variable(String, Vec<String>),
    /// The name of a function.
    Identifier(String),
    Pipe(Box<Pipe>),
    /// `(pipe).A.B` or `function.A`
    Chain(Box<Operand>, Vec<String>),
}

/// A numeric constant under the types that can hold it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Number {
    pub int: Option<i64>,
    pub float: Option<f64>,
    /// Written as a float: without a type asked for it is one.
    pub is_float: bool,
}

fn fields(f: &mut fmt::Formatter<'_>, names: &[String]) -> fmt::Result {
    names.iter().try_for_each(|name| write!(f, ".{name}"))
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            OperandKind::Dot => f.write_str("."),
            OperandKind::Nil => f.write_str("nil"),
            OperandKind::Bool(b) => write!(f, "{b}"),
            OperandKind::Number { text, .. } => f.write_str(text),
            OperandKind::String { quoted, .. } => f.write_str(quoted),
            OperandKind::Field(names) => fields(f, names),
            OperandKind::Variable(name, names) => {
                f.write_str(name)?;
                fields(f, names)
            }
            OperandKind::Identifier(name) => f.write_str(name),
            OperandKind::Pipe(pipe) => write!(f, "{pipe}"),
            OperandKind::Chain(base, names) => {
                if matches!(base.kind, OperandKind::Pipe(_)) {
                    write!(f, "({base})")?
                } else {
                    write!(f, "{base}")?
                }
                fields(f, names)
            }
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, arg) in self.args.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            if matches!(arg.kind, OperandKind::Pipe(_)) { write!(f, "({arg})")? } else { write!(f, "{arg}")? }
        }
        Ok(())
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            f.write_str(&self.variables.join(", "))?;
            f.write_str(if self.assigns { " = " } else { " := " })?;
        }
        for (i, command) in self.commands.iter().enumerate() {
            if i > 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{command}")?;
        }
        Ok(())
    }
}

/// Whether a body holds nothing but white space: such a definition does not replace an earlier one.
pub(crate) fn is_blank(body: &[Node]) -> bool {
    body.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}

/// Collects the names of all fields of the dot (`.a.b` gives `a` and `b`) in these nodes.
pub(crate) fn named_fields<'t>(nodes: &'t [Node], names: &mut Vec<&'t str>) {
    for node in nodes {
        match node {
            Node::Action { pipe, .. } => pipe_fields(pipe, names),
            Node::If { pipe, then: body, otherwise, .. }
            | Node::With { pipe, then: body, otherwise, .. }
            | Node::Range { pipe, body, otherwise, .. } => {
                pipe_fields(pipe, names);
                named_fields(body, names);
                named_fields(otherwise.as_deref().unwrap_or(&[]), names);
            }
            _ => {}
        }
    }
}

fn pipe_fields<'t>(pipe: &'t Pipe, names: &mut Vec<&'t str>) {
    for operand in pipe.commands.iter().flat_map(|command| &command.args) {
        match &operand.kind {
            OperandKind::Field(path) => names.extend(path.iter().map(String::as_str)),
            OperandKind::Pipe(pipe) => pipe_fields(pipe, names),
            _ => {}
        }
    }
}
