//! Keys that are accepted and mean nothing here: which ones, why, and what their values must look like.
//!
//! The table is `without_effect.txt` beside this file. A section's reader takes the keys it acts on and hands
//! the rest to [`WithoutEffect::take_rest`]; what is then still left is unknown.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use novaobs_config::{Cursor, Node, Section, Value, value};
use novaobs_tenants::value as scalars;

/// The table as text; see its head for the format.
const TABLE: &str = include_str!("without_effect.txt");

/// The table as read, once for all configurations.
static BLOCKS: LazyLock<Vec<Block>> = LazyLock::new(read_table);

/// What a key holds.
#[derive(Clone, Debug)]
enum Keys {
    /// A value of one kind.
    Value(Kind),
    /// Further keys.
    Map(BTreeMap<&'static str, Keys>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Boolean,
    Number,
    Duration,
    Text,
    List,
    Mapping,
    Anything,
}

/// Keys of a section that share a reason.
#[derive(Debug)]
struct Block {
    section: &'static str,
    reason: &'static str,
    quiet: bool,
    keys: BTreeMap<&'static str, Keys>,
}

/// What has been met of the table while a configuration is read.
#[derive(Debug, Default)]
pub(super) struct WithoutEffect {
    quiet: RefCell<Vec<String>>,
    /// Sections and reasons that were warned about: a list of like sections gets one line.
    said: RefCell<BTreeSet<(&'static str, &'static str)>>,
}

impl WithoutEffect {
    /// Takes the keys of `section` that the table has, checks their values and warns once for each reason.
    pub(super) fn take_rest(&self, map: &mut Section<'_>, section: &str) {
        for block in BLOCKS.iter().filter(|block| block.section == section) {
            let mut written: Vec<(&'static str, Cursor<'_>)> = Vec::new();
            for (key, keys) in &block.keys {
                if let Some(at) = map.take(key) {
                    check(&at, keys);
                    written.push((key, at));
                }
            }
            if block.quiet {
                let path =
                    |key| if section.is_empty() { String::from(key) } else { format!("{section}.{key}") };
                self.quiet.borrow_mut().extend(written.iter().map(|(key, _)| path(*key)));
                continue;
            }
            written.retain(|(_, at)| !holds_nothing(at.node()));
            let line = |(_, at): &&(&str, Cursor<'_>)| at.position().span.line;
            if let Some((_, first)) = written.iter().min_by_key(line)
                && self.said.borrow_mut().insert((block.section, block.reason))
            {
                let names: Vec<&str> = written.iter().map(|(key, _)| *key).collect();
                first.warn(format!("without effect: {}: {}", names.join(", "), block.reason));
            }
        }
    }

    /// Warns once of everything quiet that was met.
    pub(super) fn finish(&self, at: &Cursor<'_>) {
        let mut met = self.quiet.take();
        met.sort();
        met.dedup();
        if !met.is_empty() {
            at.warn(format!(
                "without effect: {}: one process stores and answers, without rings, caches, queues or chunks to tune",
                met.join(", ")
            ));
        }
    }
}

/// Whether a value asks for nothing: empty or switched off, whatever keys it has.
pub(super) fn holds_nothing(node: &Node) -> bool {
    match &node.value {
        Value::Mapping(entries) => entries.iter().all(|entry| holds_nothing(&entry.value)),
        _ => node.is_empty(),
    }
}

/// Reads the text: blocks that are shared, then sections.
fn read_table() -> Vec<Block> {
    let mut shared: BTreeMap<&str, BTreeMap<&'static str, Keys>> = BTreeMap::new();
    let mut blocks: Vec<Block> = Vec::new();
    // Shared blocks may name each other, to a depth of two.
    for _ in 0..3 {
        let before = shared.clone();
        for paragraph in paragraphs(TABLE) {
            if let Some((head, rows)) = paragraph.split_first()
                && let Some(name) = head.strip_prefix('@')
            {
                shared.insert(name, read_rows(rows, &|name| before.get(name).cloned()));
            }
        }
    }
    for paragraph in paragraphs(TABLE) {
        if let Some((head, rows)) = paragraph.split_first()
            && let Some((section, reason)) = head.strip_prefix('[').and_then(|head| head.split_once("] "))
        {
            let quiet = reason.strip_prefix("quiet: ");
            let keys = read_rows(rows, &|name| shared.get(name).cloned());
            blocks.push(Block { section, reason: quiet.unwrap_or(reason), quiet: quiet.is_some(), keys });
        }
    }
    blocks
}

fn paragraphs(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.split("\n\n")
        .map(|part| {
            part.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect::<Vec<_>>()
        })
        .filter(|lines| !lines.is_empty())
}

/// Rows of `kind path path…`; `shared` looks up the blocks that rows name.
fn read_rows(
    rows: &[&'static str],
    shared: &dyn Fn(&str) -> Option<BTreeMap<&'static str, Keys>>,
) -> BTreeMap<&'static str, Keys> {
    let mut keys = BTreeMap::new();
    for row in rows {
        let mut words = row.split_whitespace();
        let Some(kind) = words.next() else { continue };
        let value = match kind.strip_prefix('@') {
            Some(name) => Keys::Map(shared(name).unwrap_or_default()),
            None => Keys::Value(Kind::of(kind)),
        };
        for path in words {
            insert(&mut keys, path, value.clone());
        }
    }
    keys
}

fn insert(keys: &mut BTreeMap<&'static str, Keys>, path: &'static str, value: Keys) {
    match path.split_once('.') {
        None => {
            keys.insert(path, value);
        }
        Some((first, rest)) => {
            let inner = keys.entry(first).or_insert_with(|| Keys::Map(BTreeMap::new()));
            if let Keys::Map(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

impl Kind {
    fn of(letter: &str) -> Kind {
        match letter {
            "b" => Kind::Boolean,
            "n" => Kind::Number,
            "d" => Kind::Duration,
            "s" => Kind::Text,
            "l" => Kind::List,
            "m" => Kind::Mapping,
            _ => Kind::Anything,
        }
    }

    fn check(self, at: &Cursor<'_>) {
        match self {
            Kind::Boolean => drop(value::boolean(at)),
            Kind::Number => {
                let text = matches!(&at.node().value, Value::Scalar { text, .. } if scalars::ByteSize::parse(text).is_some());
                if !text {
                    value::f64(at);
                }
            }
            // A number without a unit is nanoseconds to the peer, and of no use here.
            Kind::Duration => {
                if !matches!(&at.node().value, Value::Scalar { text, plain: true } if text.parse::<u64>().is_ok())
                {
                    scalars::duration(at);
                }
            }
            Kind::Text => drop(value::string(at)),
            Kind::List => {
                if !matches!(at.node().value, Value::Scalar { .. }) {
                    at.items();
                }
            }
            Kind::Mapping => drop(at.entries()),
            Kind::Anything => {}
        }
    }
}

fn check(at: &Cursor<'_>, keys: &Keys) {
    match keys {
        _ if at.is_null() => {}
        Keys::Value(kind) => kind.check(at),
        Keys::Map(keys) => {
            let mut map = at.mapping();
            for (key, inner) in keys {
                if let Some(at) = map.take(key) {
                    check(&at, inner);
                }
            }
            map.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_only_kinds_and_blocks_that_exist() {
        let mut named = 0;
        for paragraph in paragraphs(TABLE) {
            let head = paragraph[0];
            assert!(head.starts_with('@') || (head.starts_with('[') && head.contains("] ")), "{head}");
            for row in &paragraph[1..] {
                let kind = row.split_whitespace().next().unwrap();
                match kind.strip_prefix('@') {
                    Some(name) => {
                        named += 1;
                        let wanted = format!("@{name}");
                        assert!(TABLE.lines().any(|line| line == wanted), "{row}");
                    }
                    None => assert!("bndslma".contains(kind) && kind.len() == 1, "{row}"),
                }
            }
        }
        assert!(named > 20);
    }

    #[test]
    fn shared_blocks_are_put_in_place() {
        let ingester = BLOCKS.iter().find(|block| block.section == "ingester").unwrap();
        let Keys::Map(lifecycler) = &ingester.keys["lifecycler"] else { panic!("{ingester:?}") };
        let Keys::Map(ring) = &lifecycler["ring"] else { panic!("{lifecycler:?}") };
        let Keys::Map(kvstore) = &ring["kvstore"] else { panic!("{ring:?}") };
        let Keys::Map(consul) = &kvstore["consul"] else { panic!("{kvstore:?}") };
        assert!(matches!(consul["host"], Keys::Value(Kind::Text)));
    }
}
