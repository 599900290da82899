//! The shapes of a part's lines and metadata: what stands between the values, and where each value is kept.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hashbrown::HashMap;
use novaobs_model::logs::Structure;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::bits::{put_text, put_uint, take_text, take_uint};
use crate::shred::HoleKind;

/// The number of the shape of lines that are kept whole.
pub(crate) const TEXT: u32 = 0;
/// The number of the shape of rows without structured metadata.
pub(crate) const NO_METADATA: u32 = 1;
/// The number of the shape of metadata whose names are kept with the values.
pub(crate) const NAMED_METADATA: u32 = 2;
/// Shapes a part has at most, when it is written of lines; a line of a further one is text.
pub(crate) const MOST_SHAPES: usize = 4096;

/// Where a value is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// In the column of this number.
    Column(u16),
    /// With the others that have no column.
    Rest,
    /// Nowhere: it is the row's own time, with this many digits behind the second.
    OwnTime(u8),
}

/// What a shape is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Of {
    Text = 0,
    Json = 1,
    Logfmt = 2,
    Metadata = 3,
    NamedMetadata = 4,
}

/// A value's place in a shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ShapeHole {
    /// The field's name in LogQL; in metadata the name as it came.
    pub(crate) name: Arc<str>,
    pub(crate) kind: HoleKind,
    pub(crate) place: Place,
}

/// A line without its values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    pub(crate) of: Of,
    /// One more than holes; for metadata none.
    pub(crate) literals: Vec<String>,
    pub(crate) holes: Vec<ShapeHole>,
}

impl Shape {
    fn bare(of: Of) -> Self {
        Shape { of, literals: Vec::new(), holes: Vec::new() }
    }

    /// How the contract calls it.
    pub(crate) fn structure(&self) -> Structure {
        match self.of {
            Of::Json => Structure::Json,
            Of::Logfmt => Structure::Logfmt,
            Of::Text | Of::Metadata | Of::NamedMetadata => Structure::Text,
        }
    }

    /// Bytes of all literals.
    pub(crate) fn literal_bytes(&self) -> usize {
        self.literals.iter().map(String::len).sum()
    }

    /// The hole of a field that LogQL knows by this name.
    pub(crate) fn hole_of(&self, name: &str) -> Option<&ShapeHole> {
        self.holes.iter().find(|hole| hole.kind != HoleKind::JsonArray && *hole.name == *name)
    }

    /// Whether any value is kept in the rest.
    pub(crate) fn has_rest(&self) -> bool {
        self.of == Of::NamedMetadata || self.holes.iter().any(|hole| hole.place == Place::Rest)
    }

    fn key(&self) -> u64 {
        let mut hasher = Xxh3::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

/// All shapes of a part.
#[derive(Clone, Debug)]
pub(crate) struct Shapes {
    all: Vec<Shape>,
    numbers: HashMap<u64, Vec<u32>>,
}

impl Default for Shapes {
    fn default() -> Self {
        let mut shapes = Shapes { all: Vec::new(), numbers: HashMap::new() };
        for of in [Of::Text, Of::Metadata, Of::NamedMetadata] {
            shapes.number(Shape::bare(of));
        }
        shapes
    }
}

impl Shapes {
    /// The number of a shape, which is added if it is new.
    pub(crate) fn number(&mut self, shape: Shape) -> u32 {
        let numbers = self.numbers.entry(shape.key()).or_default();
        if let Some(number) = numbers.iter().find(|number| self.all.get(**number as usize) == Some(&shape)) {
            return *number;
        }
        let number = self.all.len() as u32;
        numbers.push(number);
        self.all.push(shape);
        number
    }

    /// The shape of a number.
    pub(crate) fn get(&self, number: u32) -> Option<&Shape> {
        self.all.get(number as usize)
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Shape> + Clone {
        self.all.iter()
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        self.all
            .iter()
            .map(|shape| 96 + shape.literal_bytes() + 24 * shape.literals.len() + 56 * shape.holes.len())
            .sum()
    }

    /// The section of a file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut names: HashMap<&str, u64> = HashMap::new();
        let mut texts = Vec::new();
        let mut body = Vec::new();
        put_uint(&mut body, self.all.len() as u64);
        for shape in &self.all {
            body.push(shape.of as u8);
            put_uint(&mut body, shape.holes.len() as u64);
            for hole in &shape.holes {
                let next = names.len() as u64;
                let number = *names.entry(&hole.name).or_insert_with(|| {
                    put_text(&mut texts, hole.name.as_bytes());
                    next
                });
                put_uint(&mut body, number);
                body.push(hole.kind as u8);
                put_uint(
                    &mut body,
                    match hole.place {
                        Place::Rest => 0,
                        Place::OwnTime(digits) => 1 + u64::from(digits),
                        Place::Column(column) => 16 + u64::from(column),
                    },
                );
            }
            for literal in &shape.literals {
                put_text(&mut body, literal.as_bytes());
            }
        }
        let mut out = Vec::new();
        put_uint(&mut out, names.len() as u64);
        out.extend(texts);
        out.extend(body);
        out
    }

    /// Reads the section of a file with this many columns.
    pub(crate) fn decode(mut data: &[u8], columns: usize) -> Option<Self> {
        let data = &mut data;
        let mut names: Vec<Arc<str>> = Vec::new();
        for _ in 0..take_uint(data)? {
            names.push(text(data)?.into());
        }
        let count = take_uint(data)?;
        let mut shapes = Shapes { all: Vec::new(), numbers: HashMap::new() };
        for _ in 0..count {
            let of = match take_byte(data)? {
                0 => Of::Text,
                1 => Of::Json,
                2 => Of::Logfmt,
                3 => Of::Metadata,
                4 => Of::NamedMetadata,
                _ => return None,
            };
            let holes = take_uint(data)?;
            let mut shape = Shape::bare(of);
            for _ in 0..holes {
                let name = names.get(usize::try_from(take_uint(data)?).ok()?)?.clone();
                let kind = HoleKind::from_code(take_byte(data)?)?;
                let place = match take_uint(data)? {
                    0 => Place::Rest,
                    code @ 1..=10 => Place::OwnTime(code as u8 - 1),
                    code @ 16.. if code - 16 < columns as u64 => Place::Column((code - 16) as u16),
                    _ => return None,
                };
                shape.holes.push(ShapeHole { name, kind, place });
            }
            if matches!(of, Of::Json | Of::Logfmt) {
                for _ in 0..=holes {
                    shape.literals.push(text(data)?.to_owned());
                }
            }
            shapes.number(shape);
        }
        (data.is_empty() && shapes.all.len() as u64 == count && count >= 3).then_some(shapes)
    }
}

fn take_byte(data: &mut &[u8]) -> Option<u8> {
    let (byte, rest) = data.split_first()?;
    *data = rest;
    Some(*byte)
}

fn text<'a>(data: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(take_text(data)?).ok()
}

/// A quick key of a line's shape before places are known: equal for equal literals and kinds.
pub(crate) fn line_key(line: &str, holes: &[crate::shred::Hole]) -> u64 {
    let bytes = line.as_bytes();
    let (mut key, mut from) = (holes.len() as u64, 0);
    for (kind, range) in holes {
        let literal = bytes.get(from..range.start as usize).unwrap_or_default();
        key = (key ^ xxh3_64(literal)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) ^ *kind as u64;
        from = range.end as usize;
    }
    (key ^ xxh3_64(bytes.get(from..).unwrap_or_default())).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
