//! Series by number: label sets met while scanning, and fast maps to find them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use novaobs_model::Labels;
use xxhash_rust::xxh3::xxh3_64;

/// Hashes with xxh3; keys come one piece at a time.
#[derive(Clone, Copy, Default)]
pub(crate) struct FastHasher(u64);

impl Hasher for FastHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = self.0.rotate_left(29) ^ xxh3_64(bytes);
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0.rotate_left(23) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A map with the fast hasher.
pub(crate) type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<FastHasher>>;

/// Label sets with a number each, in the order they were met.
#[derive(Debug, Default)]
pub(crate) struct SeriesTable {
    numbers: FastMap<Labels, u32>,
    labels: Vec<Labels>,
    bytes: usize,
}

impl SeriesTable {
    /// The number of a label set, a new one when it was not met before.
    pub(crate) fn number(&mut self, labels: Labels) -> u32 {
        if let Some(number) = self.numbers.get(&labels) {
            return *number;
        }
        let number = self.labels.len() as u32;
        self.bytes += labels.heap_bytes() + 64;
        self.labels.push(labels.clone());
        self.numbers.insert(labels, number);
        number
    }

    /// Bytes of memory it holds, about.
    pub(crate) fn memory(&self) -> usize {
        self.bytes
    }

    /// The label sets by number.
    pub(crate) fn into_labels(self) -> Vec<Labels> {
        self.labels
    }
}

/// Texts with a number each; 0 is the empty text.
#[derive(Debug)]
pub(crate) struct Interner {
    numbers: FastMap<Box<str>, u32>,
    texts: Vec<Box<str>>,
    bytes: usize,
}

impl Interner {
    /// Knows the empty text only.
    pub(crate) fn new() -> Self {
        let mut interner = Interner { numbers: FastMap::default(), texts: Vec::new(), bytes: 0 };
        interner.number("");
        interner
    }

    /// The number of a text, a new one when it was not met before.
    pub(crate) fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.texts.len() as u32;
        self.bytes += 2 * text.len() + 64;
        self.texts.push(text.into());
        self.numbers.insert(text.into(), number);
        number
    }

    /// The text of a number.
    pub(crate) fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("", |text| text)
    }

    /// Bytes of memory it holds, about.
    pub(crate) fn memory(&self) -> usize {
        self.bytes
    }
}
