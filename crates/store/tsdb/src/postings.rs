//! Which series have a label: sorted numbers, in the head and, as bytes, in parts.

use roaring::RoaringBitmap;

use crate::codec::bytes::{Reader, put_uint};

/// Up to this many numbers are kept plain: a bitmap's fixed cost would be most of it.
const FEW: usize = 16;

/// A set of series numbers.
#[derive(Clone, Debug)]
pub(crate) enum Postings {
    /// Sorted.
    Few(Vec<u32>),
    Many(RoaringBitmap),
}

impl Default for Postings {
    fn default() -> Self {
        Postings::Few(Vec::new())
    }
}

impl Postings {
    pub(crate) fn insert(&mut self, number: u32) {
        match self {
            Postings::Few(few) => match few.binary_search(&number) {
                Ok(_) => {}
                Err(_) if few.len() >= FEW => {
                    let mut many: RoaringBitmap = few.iter().copied().collect();
                    many.insert(number);
                    *self = Postings::Many(many);
                }
                Err(at) => few.insert(at, number),
            },
            Postings::Many(many) => {
                many.insert(number);
            }
        }
    }

    pub(crate) fn remove(&mut self, number: u32) {
        match self {
            Postings::Few(few) => few.retain(|n| *n != number),
            Postings::Many(many) => {
                many.remove(number);
            }
        }
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Postings::Few(few) => few.len() as u64,
            Postings::Many(many) => many.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds all numbers to `set`.
    pub(crate) fn add_to(&self, set: &mut RoaringBitmap) {
        match self {
            Postings::Few(few) => set.extend(few.iter().copied()),
            Postings::Many(many) => *set |= many,
        }
    }

    /// Whether any number is also in `set`.
    pub(crate) fn intersects(&self, set: &RoaringBitmap) -> bool {
        match self {
            Postings::Few(few) => few.iter().any(|n| set.contains(*n)),
            Postings::Many(many) => !many.is_disjoint(set),
        }
    }

    /// Appends the set: how many plain numbers and their distances, or 0 and a portable roaring bitmap.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Postings::Few(few) => {
                put_uint(out, few.len() as u64);
                let mut before = 0;
                for number in few {
                    put_uint(out, u64::from(number - before));
                    before = *number;
                }
            }
            Postings::Many(many) => {
                put_uint(out, 0);
                // Writing to memory cannot fail.
                let written = many.serialize_into(&mut *out);
                novaobs_model::always!(written.is_ok(), "a bitmap was not written to memory");
            }
        }
    }

    /// Reads a set written by [`Postings::encode`].
    pub(crate) fn decode(bytes: &[u8]) -> Option<Postings> {
        let mut reader = Reader::new(bytes);
        let count = reader.count()?;
        if count == 0 {
            if reader.is_empty() {
                return Some(Postings::default());
            }
            return RoaringBitmap::deserialize_from(reader.rest()).ok().map(Postings::Many);
        }
        let mut few = Vec::with_capacity(count.min(FEW));
        let mut number = 0u32;
        for _ in 0..count {
            number = number.checked_add(reader.uint32()?)?;
            few.push(number);
        }
        Some(Postings::Few(few))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sets_come_back(numbers in prop::collection::btree_set(0u32..100_000, 0..60)) {
            let mut postings = Postings::default();
            for number in &numbers {
                postings.insert(*number);
            }
            let mut bytes = Vec::new();
            postings.encode(&mut bytes);
            let mut back = RoaringBitmap::new();
            Postings::decode(&bytes).unwrap().add_to(&mut back);
            prop_assert_eq!(back.iter().collect::<Vec<_>>(), numbers.iter().copied().collect::<Vec<_>>());
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Some(postings) = Postings::decode(&bytes) {
                postings.add_to(&mut RoaringBitmap::new());
            }
        }
    }
}
