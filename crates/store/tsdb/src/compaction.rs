//! Which parts are merged, and when: small ones of the running range in eights, all of a range once it is
//! complete, ranges three by three up to the largest.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::limits::{RANGE_FACTOR, SMALL_PARTS, SMALLEST_RANGE_MS, SPLIT_AT_MOST};
use crate::merge::{MergeError, merge};
use crate::names::Name;
use crate::part::reader::Part;
use crate::store::Store;

/// What the planner knows of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Candidate {
    number: u64,
    first: i64,
    last: i64,
    bytes: u64,
}

impl Store {
    /// Merges until nothing is due. Stops quietly when the store closes.
    pub(crate) fn compact(&self) -> io::Result<()> {
        let _one_at_a_time = self.merging.lock();
        loop {
            self.set_broken_aside()?;
            let view = self.snapshot();
            let candidates: Vec<Candidate> = view
                .parts
                .iter()
                .map(|part| {
                    let footer = part.footer();
                    Candidate {
                        number: part.number,
                        first: footer.first,
                        last: footer.last,
                        bytes: part.bytes(),
                    }
                })
                .collect();
            // Ranges the head still writes to are not complete.
            let head = [Some(view.active), view.sealed.map(|s| s.samples)];
            let head_first =
                head.iter().flatten().filter_map(|s| s.buffers.read().range).map(|(first, _)| first).min();
            let newest = self.writer.lock().newest;
            let complete = head_first.unwrap_or(newest).min(newest);
            let largest = self.settings.read().largest_range_ms();
            let Some(chosen) = plan(&candidates, complete, largest) else { return Ok(()) };
            let parts: Vec<Arc<Part>> =
                view.parts.iter().filter(|p| chosen.contains(&p.number)).cloned().collect();
            if self.is_closing() || !self.merge_parts(&parts)? {
                return Ok(());
            }
        }
    }

    /// Replaces `parts` by one; `false` when that was not possible now.
    fn merge_parts(&self, parts: &[Arc<Part>]) -> io::Result<bool> {
        let number = self.new_part_number();
        let path = Name::Part(number).path(&self.folder);
        match merge(parts, &path, || self.is_closing()) {
            Ok(()) => {}
            Err(MergeError::Stopped) => return Ok(false),
            // The damaged part is set aside before the next attempt.
            Err(MergeError::Damaged(_)) => return Ok(true),
            Err(MergeError::Io(error)) => {
                self.metrics.compactions_failed.inc();
                return Err(error);
            }
        }
        let merged = Arc::new(Part::open(number, &path)?);
        if let Err(error) = self.replace_parts(parts, vec![merged.clone()], None) {
            self.metrics.compactions_failed.inc();
            remove_files(&[merged]);
            return Err(error);
        }
        self.metrics.compactions.inc();
        // Reads that began before have the files mapped: their content stays until they end.
        remove_files(parts);
        Ok(true)
    }

    /// Takes parts that a read found damaged out of service.
    fn set_broken_aside(&self) -> io::Result<()> {
        let broken: Vec<Arc<Part>> =
            self.view.read().parts.iter().filter(|p| p.is_broken()).cloned().collect();
        if broken.is_empty() {
            return Ok(());
        }
        self.replace_parts(&broken, Vec::new(), None)?;
        broken.iter().for_each(|part| crate::store::set_aside(part.path(), &self.metrics));
        Ok(())
    }
}

/// Removes the files of parts no manifest lists.
pub(crate) fn remove_files(parts: &[Arc<Part>]) {
    for part in parts {
        if let Err(error) = std::fs::remove_file(part.path()) {
            tracing::warn!(part = %part.path().display(), "cannot remove a part that is no longer needed: {error}");
        }
    }
}

/// The ranges blocks are aligned to, smallest first.
fn ranges(largest: i64) -> impl Iterator<Item = i64> {
    let next = |range: &i64| range.checked_mul(RANGE_FACTOR);
    std::iter::successors(Some(SMALLEST_RANGE_MS), next).take_while(move |range| *range <= largest)
}

/// The start of the window of `range` that holds all of the part.
fn window(part: &Candidate, range: i64) -> Option<i64> {
    let start = part.first.div_euclid(range);
    (start == part.last.div_euclid(range)).then(|| start.saturating_mul(range))
}

/// The parts to merge next. Samples before `complete` do not come any more, or rarely.
fn plan(parts: &[Candidate], complete: i64, largest: i64) -> Option<Vec<u64>> {
    let largest = ranges(largest).last()?;
    for range in ranges(largest) {
        let mut windows: BTreeMap<i64, Vec<Candidate>> = BTreeMap::new();
        for part in parts {
            if let Some(start) = window(part, range) {
                windows.entry(start).or_default().push(*part);
            }
        }
        for (start, mut inside) in windows {
            if start.saturating_add(range) > complete {
                // Only those that no smaller window holds are this range's to merge.
                inside.retain(|part| {
                    range == SMALLEST_RANGE_MS || window(part, range / RANGE_FACTOR).is_none()
                });
                if inside.len() < SMALL_PARTS {
                    continue;
                }
                inside.sort_by_key(|part| part.bytes);
                let crowded = inside.len() >= 2 * SMALL_PARTS;
                inside.truncate(SMALL_PARTS);
                let total: u64 = inside.iter().map(|part| part.bytes).sum();
                let largest = inside.last().map_or(0, |part| part.bytes);
                if crowded || largest.saturating_mul(2) <= total {
                    return Some(numbers(&inside));
                }
                continue;
            }
            let total: u64 = inside.iter().map(|part| part.bytes).sum();
            let biggest = inside.iter().map(|part| part.bytes).max().unwrap_or(0);
            // A few late samples are no reason to write a large block again.
            let worth = (total - biggest).saturating_mul(8) >= biggest || inside.len() >= SMALL_PARTS;
            if inside.len() >= 2 && worth {
                return Some(numbers(&inside));
            }
        }
    }
    None
}

fn numbers(parts: &[Candidate]) -> Vec<u64> {
    parts.iter().map(|part| part.number).collect()
}

/// The inclusive stretches of time a flush of samples in `range` is split into: at the borders of the
/// smallest range if these are few, otherwise at those of the largest.
pub(crate) fn stretches((first, last): (i64, i64), largest: i64) -> Vec<(i64, i64)> {
    let windows = last.div_euclid(SMALLEST_RANGE_MS).saturating_sub(first.div_euclid(SMALLEST_RANGE_MS));
    let few = windows < SPLIT_AT_MOST;
    let step = if few { SMALLEST_RANGE_MS } else { ranges(largest).last().unwrap_or(SMALLEST_RANGE_MS) };
    let mut found = Vec::new();
    let mut from = first;
    // A wild mix of times does not make thousands of files: the last stretch takes the rest.
    while found.len() < 64 {
        let end = from.div_euclid(step).saturating_add(1).saturating_mul(step).saturating_sub(1);
        if end >= last {
            break;
        }
        found.push((from, end));
        from = end + 1;
    }
    found.push((from, last));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: i64 = 3_600_000;

    fn part(number: u64, first: i64, last: i64, bytes: u64) -> Candidate {
        Candidate { number, first, last, bytes }
    }

    #[test]
    fn merges_eights_then_windows_then_threes() {
        let small: Vec<_> = (0..8).map(|n| part(n, n as i64, n as i64, 10)).collect();
        assert_eq!(plan(&small[..7], H, 36 * H), None);
        assert_eq!(plan(&small, H, 36 * H), Some((0..8).collect()));
        assert_eq!(plan(&small[..2], 2 * H, 36 * H), Some(vec![0, 1]));
        let blocks = [part(1, 0, H, 9), part(2, 2 * H, 3 * H, 9), part(3, 4 * H, 5 * H, 9)];
        assert_eq!(plan(&blocks, 5 * H, 36 * H), None);
        assert_eq!(plan(&blocks, 6 * H, 36 * H), Some(vec![1, 2, 3]));
        assert_eq!(plan(&blocks, 6 * H, 2 * H), None);
        let late = [part(1, 0, H, 900), part(2, H, H, 1)];
        assert_eq!(plan(&late, 9 * H, 36 * H), None);
    }

    #[test]
    fn splits_at_range_borders() {
        assert_eq!(stretches((H, 3 * H), 36 * H), [(H, 2 * H - 1), (2 * H, 3 * H)]);
        assert_eq!(stretches((0, 40 * H), 20 * H), [(0, 18 * H - 1), (18 * H, 36 * H - 1), (36 * H, 40 * H)]);
        assert_eq!(stretches((i64::MIN, i64::MAX), 20 * H).len(), 65);
    }
}
