//! Columns of text: many strings in one buffer.

/// A list of strings in one buffer, at most 4 GiB of text. Adding one allocates only when the buffer grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strings {
    text: String,
    ends: Vec<u32>,
}

impl Strings {
    /// Room for `rows` strings of `bytes` together.
    pub fn with_capacity(rows: usize, bytes: usize) -> Self {
        Strings { text: String::with_capacity(bytes), ends: Vec::with_capacity(rows) }
    }

    /// The strings that `text` is cut into; string `i` ends at `ends[i]`. `None` when the ends do not ascend
    /// to the end of the text, or one is inside a character.
    pub fn from_parts(text: String, ends: Vec<u32>) -> Option<Self> {
        let cut = ends.is_sorted() && ends.iter().all(|end| text.is_char_boundary(*end as usize));
        (cut && ends.last().copied().unwrap_or(0) as usize == text.len()).then_some(Strings { text, ends })
    }

    /// Adds a string at the end.
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.end_row();
    }

    /// Adds a string that `write` appends to the buffer it is given; it must not remove from it.
    pub fn push_with(&mut self, write: impl FnOnce(&mut String)) {
        write(&mut self.text);
        self.end_row();
    }

    fn end_row(&mut self) {
        crate::always!(u32::try_from(self.text.len()).is_ok(), "a text column over 4 GiB");
        self.ends.push(self.text.len() as u32);
    }

    /// How many strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The string of a row, empty past the end.
    pub fn get(&self, row: usize) -> &str {
        let start = match row.checked_sub(1) {
            Some(before) => self.ends.get(before).copied().unwrap_or(0),
            None => 0,
        };
        let end = self.ends.get(row).copied().unwrap_or(start);
        self.text.get(start as usize..end as usize).unwrap_or("")
    }

    /// All strings in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        (0..self.len()).map(|row| self.get(row))
    }

    /// All text, without boundaries; row `i` ends at `ends()[i]`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where each string ends in [`Strings::text`].
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Forgets all strings and keeps the buffers.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// Bytes of memory the buffers hold.
    pub fn memory(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<u32>()
    }
}

impl<'a> FromIterator<&'a str> for Strings {
    fn from_iter<I: IntoIterator<Item = &'a str>>(items: I) -> Self {
        let mut strings = Strings::default();
        items.into_iter().for_each(|item| strings.push(item));
        strings
    }
}

/// For each row a list of name and value pairs, in two buffers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairLists {
    /// Names and values in turn.
    strings: Strings,
    /// How many pairs all rows up to and with this one have.
    ends: Vec<u32>,
}

impl PairLists {
    /// Lists for `rows` rows without pairs.
    pub fn empty_rows(rows: usize) -> Self {
        PairLists { strings: Strings::default(), ends: vec![0; rows] }
    }

    /// Adds a pair to the row being built, which [`PairLists::end_row`] ends.
    pub fn pair(&mut self, name: &str, value: &str) {
        self.strings.push(name);
        self.strings.push(value);
    }

    /// Ends a row.
    pub fn end_row(&mut self) {
        self.ends.push((self.strings.len() / 2) as u32);
    }

    /// Adds a row of pairs.
    pub fn push<'a>(&mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) {
        pairs.into_iter().for_each(|(name, value)| self.pair(name, value));
        self.end_row();
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether no row has a pair.
    pub fn no_pairs(&self) -> bool {
        self.strings.is_empty()
    }

    /// The pairs of a row, none past the end.
    pub fn get(&self, row: usize) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        let start = match row.checked_sub(1) {
            Some(before) => self.ends.get(before).copied().unwrap_or(0),
            None => 0,
        };
        let end = self.ends.get(row).copied().unwrap_or(start) as usize;
        (start as usize..end).map(|pair| (self.strings.get(2 * pair), self.strings.get(2 * pair + 1)))
    }

    /// All rows in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = impl ExactSizeIterator<Item = (&str, &str)> + Clone> {
        (0..self.len()).map(|row| self.get(row))
    }

    /// Bytes of all names and values.
    pub fn text_bytes(&self) -> usize {
        self.strings.text().len()
    }

    /// Forgets all rows and keeps the buffers.
    pub fn clear(&mut self) {
        self.strings.clear();
        self.ends.clear();
    }

    /// Bytes of memory the buffers hold.
    pub fn memory(&self) -> usize {
        self.strings.memory() + self.ends.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_went_in() {
        let strings: Strings = ["a", "", "héllo"].into_iter().collect();
        assert_eq!(strings.iter().collect::<Vec<_>>(), ["a", "", "héllo"]);
        assert_eq!(strings.get(3), "");

        let mut pairs = PairLists::default();
        pairs.push([("trace_id", "1"), ("user", "x")]);
        pairs.push([]);
        pairs.push([("user", "")]);
        let rows: Vec<Vec<_>> = pairs.iter().map(|row| row.collect()).collect();
        assert_eq!(rows, [vec![("trace_id", "1"), ("user", "x")], vec![], vec![("user", "")]]);
        assert_eq!(pairs.get(3).len(), 0);
    }
}
