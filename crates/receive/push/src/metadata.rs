//! Structured metadata on its way in: names made plain, values made readable, empty ones left out.

use std::borrow::Cow;

use novaobs_model::logs::PairLists;

/// Why a name cannot be kept; the texts are Loki's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    #[error("label name is empty")]
    Empty,
    #[error("normalization for label name \"{name}\" resulted in invalid name \"{plain}\"")]
    OnlyUnderscores { name: String, plain: String },
}

/// A name as a label may have it: runs of other characters than letters and digits become one `_`, a digit
/// in front gets `key_`; `__name__` keeps its underscores.
pub(crate) fn plain_name(name: &str) -> Result<Cow<'_, str>, NameError> {
    if is_plain(name) {
        return Ok(Cow::Borrowed(name));
    }
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    let reserved = name.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"));
    let mut plain = String::with_capacity(name.len() + 4);
    let mut after_underscore = false;
    for c in reserved.unwrap_or(name).chars() {
        if c.is_ascii_alphanumeric() {
            plain.push(c);
        } else if !after_underscore {
            plain.push('_');
        }
        after_underscore = !c.is_ascii_alphanumeric();
    }
    if reserved.is_some() {
        plain = format!("__{plain}__");
    }
    if plain.starts_with(|c: char| c.is_ascii_digit()) {
        plain.insert_str(0, "key_");
    }
    if plain.bytes().all(|byte| byte == b'_') {
        return Err(NameError::OnlyUnderscores { name: name.to_owned(), plain });
    }
    Ok(Cow::Owned(plain))
}

fn is_plain(name: &str) -> bool {
    let mut before = b'0';
    let mut plain = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    for byte in name.bytes() {
        plain &= byte.is_ascii_alphanumeric() || (byte == b'_' && before != b'_');
        before = byte;
    }
    plain
}

/// Collects the metadata of one row, of a repeated name the last value, one that needed renaming before one
/// that did not.
#[derive(Default)]
pub(crate) struct MetadataRow<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> MetadataRow<'a> {
    /// Reads a row.
    ///
    /// # Errors
    /// [`NameError`] of the first name that cannot be kept.
    pub(crate) fn read(&mut self, row: impl Iterator<Item = (&'a str, &'a str)>) -> Result<(), NameError> {
        self.pairs.clear();
        for (name, value) in row {
            let name = plain_name(name)?;
            let value = if value.contains('\u{fffd}') {
                Cow::Owned(value.replace('\u{fffd}', " "))
            } else {
                Cow::Borrowed(value)
            };
            match self.pairs.iter_mut().find(|(known, _)| *known == name) {
                Some(pair) if matches!(name, Cow::Owned(_)) || matches!(pair.0, Cow::Borrowed(_)) => {
                    *pair = (name, value);
                }
                Some(_) => {}
                None => self.pairs.push((name, value)),
            }
        }
        self.pairs.retain(|(_, value)| !value.is_empty());
        Ok(())
    }

    /// The value of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// Replaces a value that is there.
    pub(crate) fn set(&mut self, name: &str, value: String) {
        if let Some(pair) = self.pairs.iter_mut().find(|(known, _)| known == name) {
            pair.1 = Cow::Owned(value);
        }
    }

    /// Writes the pairs of the row, without ending it.
    pub(crate) fn write(&self, out: &mut PairLists) {
        self.pairs.iter().for_each(|(name, value)| out.pair(name, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_plain() {
        let f = |name: &str, want: &str| assert_eq!(plain_name(name).unwrap(), want, "{name}");
        f("a_b", "a_b");
        f("a.b", "a_b");
        f("a__b", "a_b");
        f("a..b", "a_b");
        f("a-é-b", "a_b");
        f("1a", "key_1a");
        f("_c", "_c");
        f("__d", "_d");
        f("__e__", "__e__");
        f("__e.f__", "__e_f__");
        assert_eq!(plain_name("").unwrap_err().to_string(), "label name is empty");
        let error = plain_name("é").unwrap_err().to_string();
        assert_eq!(error, "normalization for label name \"é\" resulted in invalid name \"_\"");
    }
}
