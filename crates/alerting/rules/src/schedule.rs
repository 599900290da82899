//! When groups are evaluated: at multiples of their interval, moved by a hash so that not all come at once.
//! Times are Unix milliseconds.

use novaobs_model::Labels;

/// The last slot of a group at or before `now`.
pub(crate) fn slot(name: &str, file: &str, interval: i64, now: i64) -> i64 {
    let interval = interval.max(1);
    let hash = Labels::from_pairs([("name", name), ("file", file)]).stable_hash();
    let offset = i64::try_from(hash % interval.unsigned_abs()).unwrap_or(0);
    let moved = now - offset;
    moved - moved.rem_euclid(interval) + offset
}

/// The slot to evaluate after `last` when it is `now`, and how many in between were missed.
pub(crate) fn next(last: i64, interval: i64, now: i64) -> (i64, i64) {
    let interval = interval.max(1);
    let missed = ((now - last) / interval - 1).max(0);
    (last + (missed + 1) * interval, missed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_aligned_and_never_ahead() {
        for now in [0, 1, 59_999, 60_000, 1_700_000_123_456] {
            let at = slot("g", "f", 60_000, now);
            assert!(at <= now && now - at < 60_000, "{now}: {at}");
            assert_eq!(slot("g", "f", 60_000, at), at);
            assert_eq!(slot("g", "f", 60_000, at + 60_000), at + 60_000);
        }
        assert_ne!(slot("g", "f", 60_000, 1_700_000_000_000), slot("h", "f", 60_000, 1_700_000_000_000));
    }

    #[test]
    fn slow_evaluations_skip_slots() {
        assert_eq!(next(1_000, 100, 1_100), (1_100, 0));
        assert_eq!(next(1_000, 100, 1_199), (1_100, 0));
        assert_eq!(next(1_000, 100, 1_250), (1_200, 1));
        assert_eq!(next(1_000, 100, 1_000), (1_100, 0), "a clock set back");
    }
}
