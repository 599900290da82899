//! Sets of evaluation steps: which of a row's values exist.

/// A set of step numbers below a fixed length, one bit each.
///
/// Presence is kept apart from the values because NaN is a value: `0/0` exists, a stale series does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Steps {
    words: Vec<u64>,
    length: usize,
}

impl Steps {
    /// No step out of `length`.
    pub(crate) fn none(length: usize) -> Self {
        Steps { words: vec![0; length.div_ceil(64)], length }
    }

    /// All `length` steps.
    pub(crate) fn all(length: usize) -> Self {
        let mut steps = Steps::none(length);
        steps.fill();
        steps
    }

    /// Empties the set and gives it a new length, keeping its memory.
    pub(crate) fn reset(&mut self, length: usize) {
        self.words.clear();
        self.words.resize(length.div_ceil(64), 0);
        self.length = length;
    }

    /// Adds every step.
    pub(crate) fn fill(&mut self) {
        self.words.fill(u64::MAX);
        let spare = self.length % 64;
        if spare != 0
            && let Some(last) = self.words.last_mut()
        {
            *last = (1 << spare) - 1;
        }
    }

    /// Makes this set equal to `other`, keeping its memory.
    pub(crate) fn copy_from(&mut self, other: &Steps) {
        self.words.clone_from(&other.words);
        self.length = other.length;
    }

    /// Adds `step`; one out of range is ignored.
    pub(crate) fn insert(&mut self, step: usize) {
        if let Some(word) = self.words.get_mut(step / 64) {
            *word |= 1 << (step % 64);
        }
    }

    /// Removes `step`.
    #[cfg(test)]
    pub(crate) fn remove(&mut self, step: usize) {
        if let Some(word) = self.words.get_mut(step / 64) {
            *word &= !(1 << (step % 64));
        }
    }

    /// Whether `step` is in the set.
    pub(crate) fn contains(&self, step: usize) -> bool {
        self.words.get(step / 64).is_some_and(|word| word >> (step % 64) & 1 == 1)
    }

    /// How many steps are in the set.
    pub(crate) fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether no step is in the set.
    pub(crate) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Whether every step is in the set.
    pub(crate) fn is_full(&self) -> bool {
        self.count() == self.length
    }

    /// Keeps only the steps that are also in `other`.
    pub(crate) fn intersect(&mut self, other: &Steps) {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a &= b);
    }

    /// Adds the steps of `other`.
    pub(crate) fn union(&mut self, other: &Steps) {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a |= b);
    }

    /// Removes the steps of `other`.
    pub(crate) fn subtract(&mut self, other: &Steps) {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a &= !b);
    }

    /// The first step in both sets.
    pub(crate) fn first_common(&self, other: &Steps) -> Option<usize> {
        self.words.iter().zip(&other.words).enumerate().find_map(|(index, (a, b))| {
            let both = a & b;
            (both != 0).then(|| index * 64 + both.trailing_zeros() as usize)
        })
    }

    /// The steps in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(index, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros() as usize;
                    rest &= rest - 1;
                    index * 64 + bit
                })
            })
        })
    }

    /// Removes the steps for which `keep` says no.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        for (index, word) in self.words.iter_mut().enumerate() {
            let mut rest = *word;
            while rest != 0 {
                let bit = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                if !keep(index * 64 + bit) {
                    *word &= !(1 << bit);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_behave_across_word_borders() {
        let mut steps = Steps::none(130);
        for step in [0, 63, 64, 129, 500] {
            steps.insert(step);
        }
        assert_eq!(steps.iter().collect::<Vec<_>>(), [0, 63, 64, 129]);
        assert!(!steps.is_full() && Steps::all(130).is_full() && Steps::all(64).is_full());
        steps.retain(|step| step >= 64);
        let mut other = Steps::all(130);
        other.remove(64);
        assert_eq!(steps.first_common(&other), Some(129));
        other.subtract(&steps);
        assert_eq!(other.count(), 128);
        other.union(&steps);
        assert!(other.is_full() && other.contains(64));
    }
}
