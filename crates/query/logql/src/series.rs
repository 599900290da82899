//! Series by number: label sets met while scanning, and fast maps to find them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashTable;
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

/// Texts with a number each; 0 is the empty text. They stand in one buffer, and the table has a part of
/// each hash: a look-up reads little memory.
#[derive(Debug)]
pub(crate) struct Interner {
    table: HashTable<(u32, u32)>,
    text: String,
    ends: Vec<usize>,
}

impl Interner {
    /// Knows the empty text only.
    pub(crate) fn new() -> Self {
        let mut interner = Interner { table: HashTable::new(), text: String::new(), ends: Vec::new() };
        interner.number("");
        interner
    }

    /// The number of a text, a new one when it was not met before.
    pub(crate) fn number(&mut self, text: &str) -> u32 {
        let hash = xxh3_64(text.as_bytes());
        // Not the bits the table itself goes by.
        let tag = (hash >> 16) as u32;
        let is = |(known, number): &(u32, u32)| *known == tag && at(&self.text, &self.ends, *number) == text;
        if let Some((_, number)) = self.table.find(hash, is) {
            return *number;
        }
        let number = self.ends.len() as u32;
        self.text.push_str(text);
        self.ends.push(self.text.len());
        let (texts, ends) = (&self.text, &self.ends);
        self.table
            .insert_unique(hash, (tag, number), |(_, number)| xxh3_64(at(texts, ends, *number).as_bytes()));
        number
    }

    /// The text of a number.
    pub(crate) fn text(&self, number: u32) -> &str {
        at(&self.text, &self.ends, number)
    }

    /// Bytes of memory it holds, about.
    pub(crate) fn memory(&self) -> usize {
        self.text.len() + 24 * self.ends.len()
    }
}

fn at<'t>(text: &'t str, ends: &[usize], number: u32) -> &'t str {
    let number = number as usize;
    let start = number.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
    let end = ends.get(number).copied().unwrap_or(start);
    text.get(start..end).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_keep_their_numbers() {
        let mut interner = Interner::new();
        assert_eq!(interner.number(""), 0);
        let numbers: Vec<u32> = (0..5000).map(|i| interner.number(&format!("user-{i}"))).collect();
        for (i, number) in numbers.iter().enumerate() {
            assert_eq!(interner.number(&format!("user-{i}")), *number);
            assert_eq!(interner.text(*number), format!("user-{i}"));
        }
        assert_eq!(interner.text(9999), "");
    }
}
