//! Quantiles and fractions of classic histograms, from their cumulative buckets.

use crate::functions::float::is_quantile;

/// Relative difference of neighbouring counts that is taken for float noise.
const SMALL_DIFFERENCE: f64 = 1e-12;

/// One cumulative bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bucket {
    /// The value of `le`.
    pub(crate) upper: f64,
    /// Observations up to it.
    pub(crate) count: f64,
}

/// What had to be changed to make counts ascend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Repair {
    /// Lowest repaired upper bound.
    pub(crate) lowest: f64,
    /// Highest repaired upper bound.
    pub(crate) highest: f64,
    /// Largest decrease between neighbours.
    pub(crate) difference: f64,
}

/// The `q`-quantile by linear interpolation within a bucket.
///
/// NaN without a `+Inf` bucket, with fewer than two buckets or no observation; a quantile in the highest
/// bucket is the bound below it; the lowest bucket starts at 0 if its bound is positive.
pub(crate) fn quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<Repair>) {
    if !is_quantile(q) {
        let value = if q.is_nan() { f64::NAN } else { f64::INFINITY.copysign(q) };
        return (value, None);
    }
    if !tidy(buckets) {
        return (f64::NAN, None);
    }
    let repair = make_monotonic(buckets);
    (interpolated_quantile(q, buckets), repair)
}

fn interpolated_quantile(q: f64, buckets: &[Bucket]) -> f64 {
    let [finite @ .., highest] = buckets else { return f64::NAN };
    let (Some(last_finite), Some(lowest)) = (finite.last(), finite.first()) else { return f64::NAN };
    if highest.count == 0.0 {
        return f64::NAN;
    }
    let rank = q * highest.count;
    let place = finite
        .partition_point(|bucket| !bucket.count.partial_cmp(&rank).is_some_and(std::cmp::Ordering::is_ge));
    let Some(bucket) = finite.get(place) else { return last_finite.upper };
    if place == 0 && lowest.upper <= 0.0 {
        return lowest.upper;
    }
    let below = place.checked_sub(1).and_then(|below| finite.get(below));
    let (start, before) = below.map_or((0.0, 0.0), |below| (below.upper, below.count));
    start + (bucket.upper - start) * ((rank - before) / (bucket.count - before))
}

/// The fraction of observations between `lower` and `upper`.
pub(crate) fn fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if !tidy(buckets) {
        return f64::NAN;
    }
    let total = buckets.last().map_or(0.0, |bucket| bucket.count);
    if total == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    (rank_of(upper, buckets, total) - rank_of(lower, buckets, total)) / total
}

/// How many observations are below `value`, at most `total`.
fn rank_of(value: f64, buckets: &[Bucket], total: f64) -> f64 {
    let mut start = match buckets.first() {
        Some(lowest) if lowest.upper <= 0.0 => f64::NEG_INFINITY,
        _ => 0.0,
    };
    let mut rank = 0.0;
    for bucket in buckets {
        if start >= value {
            break;
        }
        if bucket.upper > value {
            // A bucket without a lower bound cannot be interpolated: it counts as a whole.
            rank = if start == f64::NEG_INFINITY {
                bucket.count
            } else {
                rank + (bucket.count - rank) * (value - start) / (bucket.upper - start)
            };
            return clamp(rank, total);
        }
        rank = bucket.count;
        start = bucket.upper;
    }
    if start >= value { clamp(rank, total) } else { total }
}

fn clamp(rank: f64, total: f64) -> f64 {
    if rank > total { total } else { rank }
}

/// Sorts buckets and adds up those with the same bound; `false` if the highest is not `+Inf`.
fn tidy(buckets: &mut Vec<Bucket>) -> bool {
    buckets.sort_by(|a, b| a.upper.partial_cmp(&b.upper).unwrap_or(std::cmp::Ordering::Equal));
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
    buckets.last().is_some_and(|bucket| bucket.upper == f64::INFINITY)
}

/// Makes counts ascend: noise is ignored silently, real decreases are levelled and reported.
fn make_monotonic(buckets: &mut [Bucket]) -> Option<Repair> {
    let mut repair: Option<Repair> = None;
    let mut counts = buckets.iter_mut();
    let mut previous = counts.next()?.count;
    for bucket in counts {
        if bucket.count == previous {
            continue;
        }
        if almost_equal(previous, bucket.count, SMALL_DIFFERENCE) {
            bucket.count = previous;
        } else if bucket.count < previous {
            let difference = previous - bucket.count;
            bucket.count = previous;
            let so_far = repair.unwrap_or(Repair {
                lowest: f64::INFINITY,
                highest: f64::NEG_INFINITY,
                difference: 0.0,
            });
            repair = Some(Repair {
                lowest: so_far.lowest.min(bucket.upper),
                highest: so_far.highest.max(bucket.upper),
                difference: so_far.difference.max(difference),
            });
        } else {
            previous = bucket.count;
        }
    }
    repair
}

/// Whether two values differ by less than `epsilon`, relative to their size.
pub(crate) fn almost_equal(a: f64, b: f64, epsilon: f64) -> bool {
    if a.is_nan() && b.is_nan() {
        return true;
    }
    if a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < epsilon * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < epsilon
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(pairs: &[(f64, f64)]) -> Vec<Bucket> {
        pairs.iter().map(|(upper, count)| Bucket { upper: *upper, count: *count }).collect()
    }

    #[test]
    fn quantiles_interpolate_within_a_bucket() {
        let f = |q: f64, pairs: &[(f64, f64)]| quantile(q, &mut buckets(pairs)).0;
        let inf = f64::INFINITY;
        assert_eq!(f(0.5, &[(1.0, 2.0), (2.0, 4.0), (inf, 4.0)]), 1.0);
        assert_eq!(f(0.75, &[(2.0, 4.0), (1.0, 2.0), (inf, 4.0)]), 1.5);
        assert_eq!(f(0.99, &[(1.0, 2.0), (inf, 4.0)]), 1.0);
        assert_eq!(f(0.1, &[(-1.0, 2.0), (inf, 4.0)]), -1.0);
        assert_eq!((f(-0.1, &[]), f(1.1, &[])), (-inf, inf));
        assert!(f(0.5, &[(1.0, 2.0)]).is_nan() && f(0.5, &[(inf, 2.0)]).is_nan());
        assert!(f(0.5, &[(1.0, 0.0), (inf, 0.0)]).is_nan() && f(f64::NAN, &[(1.0, 2.0)]).is_nan());
    }

    #[test]
    fn decreasing_counts_are_levelled_and_reported() {
        let mut given = buckets(&[(1.0, 5.0), (2.0, 3.0), (3.0, 6.0), (f64::INFINITY, 6.0 - 1e-13)]);
        let (_, repair) = quantile(0.5, &mut given);
        assert_eq!(repair, Some(Repair { lowest: 2.0, highest: 2.0, difference: 2.0 }));
        assert_eq!(given.last().map(|bucket| bucket.count), Some(6.0));
    }

    #[test]
    fn fractions_interpolate_at_both_ends() {
        let pairs = [(1.0, 2.0), (2.0, 4.0), (f64::INFINITY, 8.0)];
        let f = |lower: f64, upper: f64| fraction(lower, upper, &mut buckets(&pairs));
        assert_eq!((f(0.0, 1.0), f(0.5, 1.5), f(1.0, 5.0)), (0.25, 0.25, 0.25));
        assert_eq!((f(f64::NEG_INFINITY, f64::INFINITY), f(2.0, 1.0)), (1.0, 0.0));
        assert!(f(f64::NAN, 1.0).is_nan());
    }
}
