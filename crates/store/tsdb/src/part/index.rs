//! A part's index: label names and values, postings, groups. Read in place, nothing is loaded.

use std::borrow::Cow;

use roaring::RoaringBitmap;

use super::Footer;
use crate::codec::bytes::Reader;
use crate::matching::Lookup;
use crate::postings::Postings;

/// The sections of a mapped part's index. All answers are `None` where the bytes make no sense.
#[derive(Clone, Copy)]
pub(crate) struct PartIndex<'a> {
    names: &'a [u8],
    values: &'a [u8],
    postings: &'a [u8],
    groups: &'a [u8],
    details: &'a [u8],
    name_count: u32,
    pair_count: u32,
    series: u32,
}

/// One page of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// Its place among all pages of the part.
    pub number: u32,
    pub first: i64,
    pub last: i64,
    pub offset: u64,
    pub length: usize,
    pub samples: u64,
    pub checksum: u32,
}

/// Up to 128 series of one metric.
#[derive(Clone)]
pub(crate) struct Group<'a> {
    /// Number in the part of its first series.
    pub first: u32,
    pub series: u32,
    pub pages: Vec<Page>,
    labels: Reader<'a>,
}

/// Bytes that make no sense, in a section whose checksum may be good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Garbled;

const GROUP_ROW: usize = 12;

fn u32_at(bytes: &[u8], index: usize) -> Option<u32> {
    bytes.get(index.checked_mul(4)?..)?.first_chunk::<4>().map(|b| u32::from_le_bytes(*b))
}

impl<'a> PartIndex<'a> {
    /// The index of a part with this content.
    pub(crate) fn new(file: &'a [u8], footer: &Footer) -> Option<Self> {
        let mut sections = footer.sections.iter().map(|section| {
            let start = usize::try_from(section.offset).ok()?;
            file.get(start..start.checked_add(usize::try_from(section.length).ok()?)?)
        });
        let mut next = || sections.next()?;
        let (names, values, postings, groups, details) = (next()?, next()?, next()?, next()?, next()?);
        let name_count = u32_at(names, 0)?;
        let pair_count = u32_at(names, 1 + 2 * name_count as usize)?;
        let pair_offsets = 4 * (pair_count as usize + 1);
        if values.len() < pair_offsets || postings.len() < pair_offsets {
            return None;
        }
        let series = footer.series;
        Some(PartIndex { names, values, postings, groups, details, name_count, pair_count, series })
    }

    /// The label name at `place` and its pairs.
    pub(crate) fn name(&self, place: u32) -> Option<(&'a str, std::ops::Range<u32>)> {
        let at = 1 + 2 * place as usize;
        let texts = 4 * (1 + 2 * (self.name_count as usize + 1));
        let pairs = u32_at(self.names, at)?..u32_at(self.names, at + 2)?;
        let from = texts + u32_at(self.names, at + 1)? as usize;
        let to = texts + u32_at(self.names, at + 3)? as usize;
        let valid = pairs.start <= pairs.end && pairs.end <= self.pair_count;
        Some((std::str::from_utf8(self.names.get(from..to)?).ok()?, pairs)).filter(|_| valid)
    }

    /// Number of label names.
    pub(crate) fn names(&self) -> u32 {
        self.name_count
    }

    /// Number of pairs of label name and value.
    pub(crate) fn pairs(&self) -> u32 {
        self.pair_count
    }

    /// The value of a pair.
    pub(crate) fn value(&self, pair: u32) -> Option<&'a str> {
        let texts = 4 * (self.pair_count as usize + 1);
        let from = texts + u32_at(self.values, pair as usize)? as usize;
        let to = texts + u32_at(self.values, pair as usize + 1)? as usize;
        std::str::from_utf8(self.values.get(from..to)?).ok()
    }

    /// The name of the pair.
    pub(crate) fn name_of(&self, pair: u32) -> Option<&'a str> {
        let place = partition_point(0..self.name_count, |place| Some(self.name(place)?.1.end <= pair))?;
        Some(self.name(place)?.0)
    }

    /// The series that have a pair.
    pub(crate) fn postings(&self, pair: u32) -> Option<Postings> {
        let sets = 4 * (self.pair_count as usize + 1);
        let from = sets + u32_at(self.postings, pair as usize)? as usize;
        let to = sets + u32_at(self.postings, pair as usize + 1)? as usize;
        Postings::decode(self.postings.get(from..to)?)
    }

    /// The pairs of the label `name`.
    pub(crate) fn pairs_of(&self, name: &str) -> Option<std::ops::Range<u32>> {
        let place = partition_point(0..self.name_count, |place| Some(self.name(place)?.0 < name))?;
        if place == self.name_count {
            return Some(0..0);
        }
        let (found, pairs) = self.name(place)?;
        Some(if found == name { pairs } else { 0..0 })
    }

    /// The first of `pairs` (of one name) whose value is not below `value`.
    fn first_at_least(&self, pairs: std::ops::Range<u32>, value: &str) -> Option<u32> {
        partition_point(pairs, |pair| Some(self.value(pair)? < value))
    }

    /// Number of groups.
    pub(crate) fn groups(&self) -> u32 {
        (self.groups.len() / GROUP_ROW) as u32
    }

    fn group_row(&self, group: u32, column: usize) -> Option<u32> {
        u32_at(self.groups, group as usize * 3 + column)
    }

    /// The group a series is in.
    pub(crate) fn group_of(&self, series: u32) -> Option<u32> {
        partition_point(0..self.groups(), |group| Some(self.group_row(group, 0)? <= series))?.checked_sub(1)
    }

    /// A group's series and pages.
    pub(crate) fn group(&self, group: u32) -> Option<Group<'a>> {
        let first = self.group_row(group, 0)?;
        let end = if group + 1 < self.groups() { self.group_row(group + 1, 0)? } else { self.series };
        let number = self.group_row(group, 1)?;
        let mut reader = Reader::new(self.details.get(self.group_row(group, 2)? as usize..)?);
        let count = reader.count()?;
        let mut pages = Vec::with_capacity(count.min(1024));
        for place in 0..count {
            let first = reader.int()?;
            pages.push(Page {
                number: number.checked_add(place as u32)?,
                first,
                last: first.wrapping_add(reader.uint()? as i64),
                offset: reader.uint()?,
                length: usize::try_from(reader.uint()?).ok()?,
                samples: reader.uint()?,
                checksum: reader.u32()?,
            });
        }
        Some(Group { first, series: end.checked_sub(first)?, pages, labels: reader })
    }
}

impl<'a> Group<'a> {
    /// Steps through the series' pairs, first to last.
    pub(crate) fn labels(&self) -> GroupLabels<'a> {
        GroupLabels { reader: self.labels, pairs: Vec::new() }
    }
}

/// The pairs of a group's series, one series after the other.
#[derive(Clone)]
pub(crate) struct GroupLabels<'a> {
    reader: Reader<'a>,
    pairs: Vec<u32>,
}

impl GroupLabels<'_> {
    /// The next series' pairs in order of name.
    pub(crate) fn next(&mut self) -> Option<&[u32]> {
        let shared = usize::try_from(self.reader.uint()?).ok()?;
        let count = self.reader.count()?;
        if shared > self.pairs.len() {
            return None;
        }
        self.pairs.truncate(shared);
        for _ in 0..count {
            self.pairs.push(self.reader.uint32()?);
        }
        Some(&self.pairs)
    }
}

/// The first of `range` that `below` says no to.
fn partition_point(range: std::ops::Range<u32>, below: impl Fn(u32) -> Option<bool>) -> Option<u32> {
    let (mut low, mut high) = (range.start, range.end);
    while low < high {
        let middle = low + (high - low) / 2;
        if below(middle)? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Some(low)
}

impl Lookup for PartIndex<'_> {
    type Error = Garbled;

    fn all(&self) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..self.series);
        all
    }

    fn equal(&self, name: &str, value: &str) -> Result<Option<Cow<'_, Postings>>, Garbled> {
        let pairs = self.pairs_of(name).ok_or(Garbled)?;
        let pair = self.first_at_least(pairs.clone(), value).ok_or(Garbled)?;
        if pair >= pairs.end || self.value(pair).ok_or(Garbled)? != value {
            return Ok(None);
        }
        self.postings(pair).map(|postings| Some(Cow::Owned(postings))).ok_or(Garbled)
    }

    fn add_values(
        &self,
        name: &str,
        prefix: &str,
        wanted: &mut dyn FnMut(&str) -> bool,
        set: &mut RoaringBitmap,
    ) -> Result<(), Garbled> {
        let pairs = self.pairs_of(name).ok_or(Garbled)?;
        for pair in self.first_at_least(pairs.clone(), prefix).ok_or(Garbled)?..pairs.end {
            let value = self.value(pair).ok_or(Garbled)?;
            if !value.starts_with(prefix) {
                break;
            }
            if wanted(value) {
                self.postings(pair).ok_or(Garbled)?.add_to(set);
            }
        }
        Ok(())
    }
}
