//! Remote write requests: what is encoded decodes, and no bytes do harm.

use novaobs_model::{Labels, METRIC_NAME, Metadata, MetricType};
use novaobs_wire::remote_write::{BatchSample, decode, decompress, encode};
use proptest::prelude::*;

proptest! {
    #[test]
    fn what_is_encoded_decodes(
        series in proptest::collection::vec(
            (".{1,8}", ".{0,8}", proptest::collection::vec((any::<i64>(), any::<f64>()), 1..4)), 0..5),
        help in ".{0,20}",
    ) {
        let series: Vec<(Labels, Vec<(i64, f64)>)> = series
            .into_iter()
            .map(|(name, value, samples)| (Labels::from_pairs([(METRIC_NAME, &*name), ("a", &*value)]), samples))
            .collect();
        let metadata = [("m".to_owned(), Metadata { kind: MetricType::Summary, help, unit: "s".into() })];
        let packed = encode(series.iter().map(|(l, s)| (l, s.as_slice())), &metadata).unwrap();
        let batch = decode(&decompress(&packed, 1 << 20).unwrap()).unwrap();
        prop_assert_eq!(&batch.metadata[..], &metadata[..]);
        prop_assert_eq!(batch.invalid_series, 0);
        let labels: Vec<Labels> = series.iter().map(|(l, _)| l.clone()).collect();
        prop_assert_eq!(&batch.series, &labels);
        let bits = |s: &BatchSample| (s.series, s.timestamp, s.value.to_bits());
        let sent: Vec<_> = series
            .iter()
            .zip(0u32..)
            .flat_map(|((_, samples), at)| samples.iter().map(move |(t, v)| (at, *t, v.to_bits())))
            .collect();
        prop_assert_eq!(batch.samples.iter().map(bits).collect::<Vec<_>>(), sent);
    }

    #[test]
    fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(batch) = decode(&body) {
            prop_assert!(batch.samples.len() * 2 <= body.len());
        }
        if let Ok(message) = decompress(&body, 1 << 20) {
            prop_assert!(message.len() <= 1 << 20);
        }
    }
}
