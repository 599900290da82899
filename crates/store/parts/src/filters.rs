//! Which words and which three-byte pieces of words a block of rows has, so that searches leave blocks out.
//!
//! A *word* is a run of letters and digits of ASCII, `_`, and bytes of other letters. Words are kept in a
//! split-block Bloom filter (Putze, Sanders, Singler, "Cache-, Hash- and Space-Efficient Bloom Filters",
//! 2007; eight bits in one 32-byte block, as Parquet's), pieces as bits of a hashed bitmap.

use novaobs_model::logs::Strings;
use xxhash_rust::xxh3::xxh3_64;

use crate::kinds::Kind;

/// Bits of the word filter for each distinct word: 0.6 % of absent words are not told apart.
const BITS_PER_WORD: usize = 12;
/// Bytes of a block of the word filter.
const LANE_BYTES: usize = 32;
/// Bits of the piece bitmap at most, and bits for each distinct piece.
const MOST_PIECE_BITS: usize = 1 << 16;
const LEAST_PIECE_BITS: usize = 1 << 8;
const BITS_PER_PIECE: usize = 6;
/// Odd factors that choose the eight bits, those of Parquet's filter.
const SALTS: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// Whether each byte belongs to a word.
#[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
const WORD_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'_' || byte >= 0x80;
        byte += 1;
    }
    table
};

/// Whether a byte belongs to a word.
pub(crate) fn is_word_byte(byte: u8) -> bool {
    WORD_BYTES.get(usize::from(byte)).copied().unwrap_or(false)
}

/// The runs of word bytes of a text, with their places.
pub(crate) fn words(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..)?;
        let start = at + rest.iter().position(|byte| is_word_byte(*byte))?;
        let tail = text.get(start..)?;
        let length = tail.iter().position(|byte| !is_word_byte(*byte)).unwrap_or(tail.len());
        at = start + length;
        Some((start, tail.get(..length)?))
    })
}

fn piece_hash(piece: &[u8]) -> usize {
    let [a, b, c] = piece else { return 0 };
    let number = u32::from(*a) | u32::from(*b) << 8 | u32::from(*c) << 16;
    (number.wrapping_mul(0x9e37_79b1) >> 16) as usize
}

/// The words of many texts with their hashes, for texts that go into the filters of several blocks.
#[derive(Default)]
pub(crate) struct Words {
    /// Hash, and where the word stands in the buffer of all texts.
    words: Vec<(u64, u32, u32)>,
    /// How many words all texts up to and with each have.
    ends: Vec<u32>,
}

impl Words {
    /// The words of each of `texts`; `hidden` for [`FilterBuilder::add_hidden`].
    pub(crate) fn new(texts: &Strings, hidden: bool) -> Self {
        let mut out = Words { words: Vec::with_capacity(texts.len()), ends: Vec::with_capacity(texts.len()) };
        let (all, mut from) = (texts.text().as_bytes(), 0);
        for end in texts.ends() {
            for (at, word) in words(all.get(from..*end as usize).unwrap_or_default()) {
                let hash = if hidden { whole_hash(word) } else { xxh3_64(word) };
                let start = from + at;
                out.words.push((hash, start as u32, (start + word.len()) as u32));
            }
            out.ends.push(out.words.len() as u32);
            from = *end as usize;
        }
        out
    }

    fn of(&self, text: usize) -> &[(u64, u32, u32)] {
        let start = text.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(text).copied().unwrap_or(start);
        self.words.get(start as usize..end as usize).unwrap_or_default()
    }
}

/// What goes into the filters of one block.
pub(crate) struct FilterBuilder {
    /// Hashes, open addressing, 0 is free.
    table: Vec<u64>,
    count: usize,
    pieces: Vec<u64>,
}

impl Default for FilterBuilder {
    fn default() -> Self {
        FilterBuilder { table: vec![0; 1024], count: 0, pieces: vec![0; MOST_PIECE_BITS / 64] }
    }
}

impl FilterBuilder {
    /// Adds the words of a text of lines, and their pieces.
    pub(crate) fn add_text(&mut self, text: &[u8]) {
        for (_, word) in words(text) {
            if self.add_hash(xxh3_64(word)) {
                self.add_pieces(word);
            }
        }
    }

    /// Adds one of the texts whose words are known; `all` is their buffer, empty for hidden ones, which have
    /// no pieces.
    pub(crate) fn add_known(&mut self, known: &Words, text: usize, all: &[u8]) {
        for (hash, start, end) in known.of(text) {
            if self.add_hash(*hash) {
                self.add_pieces(all.get(*start as usize..*end as usize).unwrap_or_default());
            }
        }
    }

    fn add_pieces(&mut self, word: &[u8]) {
        for piece in word.windows(3) {
            let bit = piece_hash(piece);
            if let Some(lane) = self.pieces.get_mut(bit / 64) {
                *lane |= 1 << (bit % 64);
            }
        }
    }

    /// Adds a whole word without pieces.
    pub(crate) fn add_word(&mut self, word: &[u8]) {
        // Told apart from the word with pieces, or its pieces could be left out when it comes in a text.
        self.add_hash(whole_hash(word));
    }

    /// Adds the words of a value that lines do not show: without pieces.
    pub(crate) fn add_hidden(&mut self, text: &[u8]) {
        words(text).for_each(|(_, word)| self.add_word(word));
    }

    /// Whether it is new.
    fn add_hash(&mut self, hash: u64) -> bool {
        let hash = hash.max(1);
        if self.count * 2 >= self.table.len() {
            let old = std::mem::take(&mut self.table);
            self.table = vec![0; old.len() * 2];
            self.count = 0;
            old.into_iter().filter(|hash| *hash != 0).for_each(|hash| {
                self.add_hash(hash);
            });
        }
        let mask = self.table.len() - 1;
        let mut at = hash as usize & mask;
        while let Some(slot) = self.table.get_mut(at) {
            if *slot == hash {
                return false;
            }
            if *slot == 0 {
                *slot = hash;
                self.count += 1;
                return true;
            }
            at = (at + 1) & mask;
        }
        false
    }

    /// Appends the filter of words to `words` and the bitmap of pieces to `pieces`, and starts anew.
    pub(crate) fn finish(&mut self, words: &mut Vec<u8>, pieces: &mut Vec<u8>) {
        let lanes = (self.count * BITS_PER_WORD).div_ceil(LANE_BYTES * 8).max(1);
        let mut filter = vec![[0u32; 8]; lanes];
        for hash in self.table.iter().copied().filter(|hash| *hash != 0) {
            if let Some(lane) = filter.get_mut(lane_of(hash, lanes)) {
                for (word, salt) in lane.iter_mut().zip(SALTS) {
                    *word |= 1 << ((hash as u32).wrapping_mul(salt) >> 27);
                }
            }
        }
        words.extend(filter.iter().flatten().flat_map(|word| word.to_le_bytes()));

        let set: usize = self.pieces.iter().map(|lane| lane.count_ones() as usize).sum();
        let bits = (set * BITS_PER_PIECE).next_power_of_two().clamp(LEAST_PIECE_BITS, MOST_PIECE_BITS);
        let (kept, folded) = self.pieces.split_at(bits / 64);
        let mut bitmap = kept.to_vec();
        for chunk in folded.chunks(bits / 64) {
            bitmap.iter_mut().zip(chunk).for_each(|(to, from)| *to |= from);
        }
        pieces.extend(bitmap.iter().flat_map(|lane| lane.to_le_bytes()));

        self.table.fill(0);
        self.pieces.fill(0);
        self.count = 0;
    }
}

fn lane_of(hash: u64, lanes: usize) -> usize {
    (((hash >> 32) * lanes as u64) >> 32) as usize
}

fn whole_hash(word: &[u8]) -> u64 {
    xxh3_64(word) ^ 0x5851_f42d_4c95_7f2d
}

/// Whether the filter of words may have a hash.
fn filter_has(filter: &[u8], hash: u64) -> bool {
    let hash = hash.max(1);
    let at = lane_of(hash, filter.len() / LANE_BYTES) * LANE_BYTES;
    let Some(lane) = filter.get(at..at + LANE_BYTES) else { return true };
    lane.chunks_exact(4).zip(SALTS).all(|(word, salt)| {
        let word = word.try_into().map_or(u32::MAX, u32::from_le_bytes);
        word & (1 << ((hash as u32).wrapping_mul(salt) >> 27)) != 0
    })
}

/// A text that must be in a block's lines, cut into words.
#[derive(Clone, Debug)]
pub(crate) struct Needle {
    parts: Vec<NeedlePart>,
}

#[derive(Clone, Debug)]
struct NeedlePart {
    word: Vec<u8>,
    /// Whether the text shows where the word begins and ends, so that it is whole in any line.
    whole: bool,
    text_hash: u64,
    whole_hash: u64,
    pieces: Vec<usize>,
    /// Whether a number or time could have it.
    in_numbers: bool,
    in_times: bool,
    in_hex: bool,
}

/// What kinds of columns a part has whose values are not in the filters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unfiltered {
    pub(crate) numbers: bool,
    pub(crate) times: bool,
    /// Digits of its columns of hexadecimal text.
    pub(crate) hex_digits: Vec<usize>,
}

impl Unfiltered {
    /// Counts a column in.
    pub(crate) fn add(&mut self, kind: Kind) {
        match kind {
            Kind::Text => {}
            Kind::Number { .. } => self.numbers = true,
            Kind::Time { .. } => self.times = true,
            Kind::Hex { bytes } => self.hex_digits.push(2 * usize::from(bytes)),
        }
    }
}

impl Needle {
    /// A text that is somewhere in a line.
    pub(crate) fn inside(text: &str) -> Self {
        let bytes = text.as_bytes();
        Needle::new(text, |start, end| start > 0 && end < bytes.len())
    }

    /// A text that is the whole of a value.
    pub(crate) fn whole(text: &str) -> Self {
        Needle::new(text, |_, _| true)
    }

    fn new(text: &str, whole: impl Fn(usize, usize) -> bool) -> Self {
        let parts = words(text.as_bytes()).map(|(start, word)| NeedlePart {
            whole: whole(start, start + word.len()),
            text_hash: xxh3_64(word),
            whole_hash: whole_hash(word),
            pieces: word.windows(3).map(piece_hash).collect(),
            in_numbers: word.iter().all(u8::is_ascii_digit),
            in_times: word.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'T' | b'Z')),
            in_hex: word.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
            word: word.to_vec(),
        });
        Needle { parts: parts.collect() }
    }

    /// Whether the lines of a block may have it. `filter` gives the filter of words, which is larger and
    /// asked last.
    pub(crate) fn may_be_in<E>(
        &self,
        other: &Unfiltered,
        pieces: &[u8],
        mut filter: impl FnMut() -> Result<bytes::Bytes, E>,
    ) -> Result<bool, E> {
        let mut loaded: Option<bytes::Bytes> = None;
        for part in &self.parts {
            if (other.numbers && part.in_numbers) || (other.times && part.in_times) {
                continue;
            }
            let in_pieces = part.pieces.iter().all(|hash| bitmap_has(pieces, *hash));
            let longer_hex = part.in_hex && other.hex_digits.iter().any(|digits| *digits > part.word.len());
            let same_hex = part.in_hex && other.hex_digits.contains(&part.word.len());
            if longer_hex && !part.whole {
                continue;
            }
            if !part.whole && in_pieces {
                continue;
            }
            if !in_pieces && !same_hex {
                return Ok(false);
            }
            let filter = match &loaded {
                Some(filter) => filter,
                None => loaded.insert(filter()?),
            };
            let as_text = part.whole && in_pieces && filter_has(filter, part.text_hash);
            let as_whole = same_hex && filter_has(filter, part.whole_hash);
            if !as_text && !as_whole {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a value of a block may be it, in a line or in metadata.
    pub(crate) fn may_be_value(&self, other: &Unfiltered, filter: &[u8]) -> bool {
        self.parts.iter().all(|part| {
            (other.numbers && part.in_numbers)
                || (other.times && part.in_times)
                || filter_has(filter, part.text_hash)
                || filter_has(filter, part.whole_hash)
        })
    }

    /// Whether there is any word to look for.
    pub(crate) fn is_blind(&self) -> bool {
        self.parts.is_empty()
    }
}

fn bitmap_has(bitmap: &[u8], hash: usize) -> bool {
    let bit = hash & (bitmap.len() * 8).wrapping_sub(1);
    bitmap.get(bit / 8).is_none_or(|byte| byte & (1 << (bit % 8)) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_block_is_found_and_most_else_is_not() {
        let mut builder = FilterBuilder::default();
        for row in 0..2000 {
            builder.add_text(format!("request {row} of user_{row} handled, größe").as_bytes());
        }
        builder.add_word(b"00ff00ff00ff00ff");
        builder.add_hidden(b"hidden value");
        let (mut words, mut pieces) = (Vec::new(), Vec::new());
        builder.finish(&mut words, &mut pieces);
        let words = bytes::Bytes::from(words);
        let mut other = Unfiltered::default();
        other.add(Kind::Hex { bytes: 8 });
        let has =
            |text: &str| Needle::inside(text).may_be_in::<()>(&other, &pieces, || Ok(words.clone())).unwrap();
        for text in ["quest", " 1999 of", "user_77", "größe", "00ff00ff00ff00ff", "ff00", "", ", "] {
            assert!(has(text), "{text}");
        }
        for text in ["xyzzy", " absent ", "11ff00ff00ff00ff"] {
            assert!(!has(text), "{text}");
        }
        assert!(Needle::whole("hidden value").may_be_value(&other, &words));
        assert!(!Needle::whole("hidden").may_be_value(&other, &[0; 32]));
        let wrong = (0..10_000).filter(|n| has(&format!(" {} ", n + 5_000_000))).count();
        assert!(wrong < 300, "{wrong} of 10000 absent words found");
    }
}
