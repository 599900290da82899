//! From matchers to sets of series, over any index that knows labels' values and their postings.

use novaobs_model::{MatchOp, Matcher};
use roaring::RoaringBitmap;

use crate::postings::Postings;

/// An index of series: the head's or a part's. `Err` is an index that cannot be read.
pub(crate) trait Lookup {
    type Error;

    /// All series.
    fn all(&self) -> RoaringBitmap;

    /// The series whose label `name` is `value` (not empty), if any.
    fn equal(&self, name: &str, value: &str) -> Result<Option<std::borrow::Cow<'_, Postings>>, Self::Error>;

    /// Adds to `set` the series of each value of `name` that begins with `prefix` and that `wanted` takes.
    fn add_values(
        &self,
        name: &str,
        prefix: &str,
        wanted: &mut dyn FnMut(&str) -> bool,
        set: &mut RoaringBitmap,
    ) -> Result<(), Self::Error>;
}

/// The series all of `matchers` hold for.
pub(crate) fn resolve<L: Lookup>(index: &L, matchers: &[Matcher]) -> Result<RoaringBitmap, L::Error> {
    let mut found: Option<RoaringBitmap> = None;
    for matcher in matchers.iter().filter(|m| !m.matches_empty()) {
        let mut set = RoaringBitmap::new();
        add_holding(index, matcher, &mut set)?;
        if let Some(found) = &found {
            set &= found;
        }
        if set.is_empty() {
            return Ok(set);
        }
        found = Some(set);
    }
    let mut found = found.unwrap_or_else(|| index.all());
    // A matcher that also holds without the label only excludes.
    for matcher in matchers.iter().filter(|m| m.matches_empty()) {
        let mut excluded = RoaringBitmap::new();
        add_failing(index, matcher, &mut excluded)?;
        found -= excluded;
    }
    Ok(found)
}

/// Adds the series that have the label with a value `matcher` holds for.
fn add_holding<L: Lookup>(index: &L, matcher: &Matcher, set: &mut RoaringBitmap) -> Result<(), L::Error> {
    let name = matcher.name.as_str();
    match (matcher.op, matcher.regex()) {
        (MatchOp::Equal, _) => add_equal(index, name, &matcher.value, set),
        (MatchOp::Match, Some(regex)) => match regex.alternatives() {
            Some(values) => values.iter().try_for_each(|value| add_equal(index, name, value, set)),
            None => index.add_values(name, regex.prefix(), &mut |value| regex.is_match(value), set),
        },
        _ => index.add_values(name, "", &mut |value| matcher.matches(value), set),
    }
}

/// Adds the series that have the label with a value `matcher` does not hold for.
fn add_failing<L: Lookup>(index: &L, matcher: &Matcher, set: &mut RoaringBitmap) -> Result<(), L::Error> {
    let name = matcher.name.as_str();
    match (matcher.op, matcher.regex()) {
        (MatchOp::NotEqual, _) => add_equal(index, name, &matcher.value, set),
        (MatchOp::Match, Some(regex)) if regex.matches_all() => Ok(()),
        (MatchOp::NotMatch, Some(regex)) => match regex.alternatives() {
            Some(values) => values.iter().try_for_each(|value| add_equal(index, name, value, set)),
            None => index.add_values(name, regex.prefix(), &mut |value| regex.is_match(value), set),
        },
        _ => index.add_values(name, "", &mut |value| !matcher.matches(value), set),
    }
}

fn add_equal<L: Lookup>(index: &L, name: &str, value: &str, set: &mut RoaringBitmap) -> Result<(), L::Error> {
    if let Some(postings) = index.equal(name, value)? {
        postings.add_to(set);
    }
    Ok(())
}
