//! Expressions that are looked for without running them, as the peer takes them apart.
//!
//! The peer reduces alternations of texts and `text.*` to searches of plain texts. For label filters that
//! shows in results: what was anchored may then stand anywhere in the value (`a=~"err.*"` lets `xerr` pass,
//! and so does `a=~"POST|PUT"` with `POSTS`, because the parser of its expressions factors the `P` out). So
//! the reduction here follows the peer's, from the factoring on.

use memchr::memmem::Finder;
use regex_syntax::ast::{self, Ast, GroupKind, RepetitionKind};

/// What is looked for in place of an expression.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// Anything.
    All,
    /// At least one byte.
    NonEmpty,
    /// The text alone.
    Equal(String),
    /// The text anywhere.
    Contains(Box<Finder<'static>>),
    /// Any of these.
    Any(Vec<Shape>),
}

/// What is looked for, and whether without regard to case (of ASCII letters; the texts are in lower case).
#[derive(Clone, Debug)]
pub(crate) struct Simple {
    pub shape: Shape,
    pub folds: bool,
}

impl Simple {
    /// Whether it is found.
    pub(crate) fn finds(&self, text: &str) -> bool {
        if self.folds { self.shape.finds(&text.to_ascii_lowercase()) } else { self.shape.finds(text) }
    }

    /// The texts any of which is looked for, when that is all.
    pub(crate) fn texts(&self) -> Option<Vec<&str>> {
        fn collect<'s>(shape: &'s Shape, texts: &mut Vec<&'s str>) -> Option<()> {
            match shape {
                Shape::All => texts.push(""),
                Shape::Contains(finder) => texts.push(std::str::from_utf8(finder.needle()).ok()?),
                Shape::Any(shapes) => shapes.iter().try_for_each(|shape| collect(shape, texts))?,
                Shape::NonEmpty | Shape::Equal(_) => return None,
            }
            Some(())
        }
        let mut texts = Vec::new();
        (!self.folds).then(|| collect(&self.shape, &mut texts)).flatten().map(|()| texts)
    }
}

impl Shape {
    fn finds(&self, text: &str) -> bool {
        match self {
            Shape::All => true,
            Shape::NonEmpty => !text.is_empty(),
            Shape::Equal(one) => one == text,
            Shape::Contains(finder) => finder.find(text.as_bytes()).is_some(),
            Shape::Any(shapes) => shapes.iter().any(|shape| shape.finds(text)),
        }
    }

    fn contains(text: &str) -> Shape {
        if text.is_empty() { Shape::All } else { Shape::Contains(Box::new(Finder::new(text).into_owned())) }
    }

    /// Either. What matches anything is left out of an alternation, as the peer has it.
    fn or(self, other: Shape) -> Shape {
        match (self, other) {
            (Shape::All, one) | (one, Shape::All) => one,
            (Shape::Any(mut all), one) => {
                all.push(one);
                Shape::Any(all)
            }
            (one, other) => Shape::Any(vec![one, other]),
        }
    }
}

/// What is looked for in place of `source`; none when it must be run. `whole`: a plain text must be the
/// whole value, as in label filters.
pub(crate) fn simplify(source: &str, whole: bool) -> Option<Simple> {
    let (source, folds) = match source.strip_prefix("(?i)") {
        Some(rest) => (rest.to_ascii_lowercase(), true),
        None => (source.to_owned(), false),
    };
    if folds && (!source.is_ascii() || source.contains('\\')) {
        return None;
    }
    let parsed = ast::parse::ParserBuilder::new().nest_limit(50).build().parse(&source).ok()?;
    Some(Simple { shape: shape(&node(&parsed), whole)?, folds })
}

/// An expression as far as it matters here.
#[derive(Clone, Debug)]
enum Node {
    Empty,
    Text(String),
    AnyTimes,
    AtLeastOnce,
    Concat(Vec<Node>),
    Either(Vec<Node>),
    Group(Box<Node>),
    /// One character of several, or anything else that must be run.
    Other,
}

fn node(ast: &Ast) -> Node {
    match ast {
        Ast::Empty(_) => Node::Empty,
        Ast::Literal(literal) => Node::Text(literal.c.to_string()),
        Ast::Group(group) => match &group.kind {
            GroupKind::NonCapturing(flags) if flags.items.is_empty() => node(&group.ast),
            GroupKind::NonCapturing(_) => Node::Other,
            _ => Node::Group(Box::new(node(&group.ast))),
        },
        Ast::Repetition(repetition) if matches!(*repetition.ast, Ast::Dot(_)) => match repetition.op.kind {
            RepetitionKind::ZeroOrMore => Node::AnyTimes,
            RepetitionKind::OneOrMore => Node::AtLeastOnce,
            _ => Node::Other,
        },
        Ast::Concat(concat) => {
            let mut parts: Vec<Node> = Vec::new();
            for part in &concat.asts {
                match (node(part), parts.last_mut()) {
                    (Node::Text(text), Some(Node::Text(before))) => before.push_str(&text),
                    (part, _) => parts.push(part),
                }
            }
            concat_of(parts)
        }
        Ast::Alternation(alternation) => either_of(factored(alternation.asts.iter().map(node).collect())),
        _ => Node::Other,
    }
}

fn concat_of(mut parts: Vec<Node>) -> Node {
    match parts.len() {
        0 => Node::Empty,
        1 => parts.pop().unwrap_or(Node::Empty),
        _ => Node::Concat(parts),
    }
}

fn either_of(mut parts: Vec<Node>) -> Node {
    if parts.len() == 1 { parts.pop().unwrap_or(Node::Empty) } else { Node::Either(parts) }
}

/// The text an alternative begins with.
fn leading(node: &Node) -> &str {
    match node {
        Node::Text(text) => text,
        Node::Concat(parts) => match parts.first() {
            Some(Node::Text(text)) => text,
            _ => "",
        },
        _ => "",
    }
}

/// An alternative without the first `length` bytes of the text it begins with.
fn without_leading(node: Node, length: usize) -> Node {
    let cut = |text: String| text.get(length..).unwrap_or("").to_owned();
    match node {
        Node::Text(text) if text.len() > length => Node::Text(cut(text)),
        Node::Concat(mut parts) if !parts.is_empty() => {
            if let Node::Text(text) = parts.remove(0)
                && text.len() > length
            {
                parts.insert(0, Node::Text(cut(text)));
            }
            concat_of(parts)
        }
        _ => Node::Empty,
    }
}

fn common<'t>(a: &'t str, b: &str) -> &'t str {
    let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum();
    a.get(..same).unwrap_or("")
}

/// Alternatives with texts that neighbours begin with put before them, and neighbours of one character each
/// made one.
fn factored(alternatives: Vec<Node>) -> Vec<Node> {
    let mut out: Vec<Node> = Vec::new();
    let mut run: Vec<Node> = Vec::new();
    let mut prefix = String::new();
    for alternative in alternatives {
        let shared = common(&prefix, leading(&alternative)).to_owned();
        if run.is_empty() || shared.is_empty() {
            close_run(&mut out, std::mem::take(&mut run), &prefix);
            leading(&alternative).clone_into(&mut prefix);
        } else {
            prefix = shared;
        }
        run.push(alternative);
    }
    close_run(&mut out, run, &prefix);
    let mut merged: Vec<Node> = Vec::new();
    let is_one = |node: &Node| matches!(node, Node::Text(text) if text.chars().count() == 1);
    for one in out {
        match (merged.last_mut(), one) {
            (Some(last), one) if is_one(last) && is_one(&one) => *last = Node::Other,
            (Some(Node::Empty), Node::Empty) => {}
            (_, one) => merged.push(one),
        }
    }
    merged
}

fn close_run(out: &mut Vec<Node>, run: Vec<Node>, prefix: &str) {
    if run.len() < 2 {
        return out.extend(run);
    }
    let rest = run.into_iter().map(|node| without_leading(node, prefix.len())).collect();
    out.push(Node::Concat(vec![Node::Text(prefix.to_owned()), either_of(factored(rest))]));
}

fn shape(node: &Node, whole: bool) -> Option<Shape> {
    match node {
        Node::Empty | Node::AnyTimes => Some(Shape::All),
        Node::AtLeastOnce => Some(Shape::NonEmpty),
        Node::Text(text) if whole => Some(Shape::Equal(text.clone())),
        Node::Text(text) => Some(Shape::contains(text)),
        Node::Group(inner) => shape(inner, whole),
        Node::Either(all) => {
            let (first, others) = all.split_first()?;
            others.iter().try_fold(shape(first, whole)?, |sum, one| Some(sum.or(shape(one, whole)?)))
        }
        Node::Concat(parts) => concat_shape(parts, None),
        Node::Other => None,
    }
}

/// A sequence of at most one text, alternatives of what follows it, and `.*`: behind `base`, if given.
fn concat_shape(parts: &[Node], base: Option<&str>) -> Option<Shape> {
    let bare = |node: &Node| -> Node {
        match node {
            Node::Group(inner) => (**inner).clone(),
            other => other.clone(),
        }
    };
    let parts: Vec<Node> = parts.iter().map(bare).filter(|node| !matches!(node, Node::Empty)).collect();
    if parts.len() > 3 {
        return None;
    }
    let (mut base, mut texts, mut found): (_, _, Option<Shape>) = (base.map(str::to_owned), 0, None);
    for part in &parts {
        match (part, &mut base) {
            (Node::Text(text), base) if texts == 0 => {
                base.get_or_insert_default().push_str(text);
                texts += 1;
            }
            (Node::Either(all), Some(base)) => {
                for one in all {
                    let shape = match one {
                        Node::Empty | Node::AnyTimes => Shape::contains(base),
                        Node::Text(text) => Shape::contains(&format!("{base}{text}")),
                        Node::Concat(parts) => concat_shape(parts, Some(base))?,
                        _ => return None,
                    };
                    found = Some(match found {
                        Some(sum) => sum.or(shape),
                        None => shape,
                    });
                }
            }
            (Node::AnyTimes, _) => {}
            _ => return None,
        }
    }
    found.or_else(|| base.as_deref().map(Shape::contains))
}
