//! Pushes of Loki written and read back; labels as text; hostile bodies.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use novaobs_model::logs::PairLists;
use novaobs_model::{Labels, LogStream};
use novaobs_wire::encoding::{Encoding, EncodingError, unpack};
use novaobs_wire::loki_push::{
    DecodeError, PushStream, decode_json, decode_legacy_json, decode_protobuf, encode_json, encode_protobuf,
    parse_labels,
};
use proptest::prelude::*;

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![".{0,20}", "[\\x00-\\x7f]{0,20}", "\\PC{0,8}"]
}

fn any_stream() -> impl Strategy<Value = LogStream> {
    let labels = prop::collection::btree_map("[a-zA-Z_][a-zA-Z0-9_]{0,6}", any_text(), 1..4);
    let pairs = prop::collection::vec((any_text(), any_text()), 0..3);
    let rows = prop::collection::vec((any::<i32>(), any_text(), pairs), 1..5);
    (labels, rows).prop_map(|(labels, rows)| {
        let mut metadata = PairLists::default();
        rows.iter().for_each(|(_, _, pairs)| metadata.push(pairs.iter().map(|(n, v)| (&**n, &**v))));
        LogStream {
            labels: Labels::from_pairs(labels),
            timestamps: rows.iter().map(|(at, ..)| i64::from(*at) * 1_000_000_007).collect(),
            lines: rows.iter().map(|(_, line, _)| &**line).collect(),
            metadata,
        }
    })
}

/// What was sent, with the labels read.
fn read(streams: Vec<PushStream>) -> Vec<LogStream> {
    let read = |stream: PushStream| LogStream {
        labels: Labels::from_pairs(parse_labels(&stream.labels).unwrap()),
        timestamps: stream.timestamps,
        lines: stream.lines,
        metadata: stream.metadata,
    };
    streams.into_iter().map(read).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn protobuf_reads_back(streams in prop::collection::vec(any_stream(), 0..4)) {
        let packed = encode_protobuf(&streams).unwrap();
        let message = unpack(&packed, Encoding::Snappy, 1 << 20).unwrap();
        prop_assert_eq!(read(decode_protobuf(&message, 1 << 20).unwrap()), streams);
    }

    #[test]
    fn json_reads_back(streams in prop::collection::vec(any_stream(), 0..4)) {
        let body = encode_json(&streams);
        prop_assert_eq!(read(decode_json(body.as_bytes(), 1 << 20).unwrap()), streams);
    }

    #[test]
    fn damaged_bodies_are_answered(streams in prop::collection::vec(any_stream(), 1..3), at in 0usize..200, byte: u8) {
        let mut body = encode_json(&streams).into_bytes();
        let at = at % body.len();
        body[at] = byte;
        for decoded in [decode_json(&body, 1 << 20), decode_json(&body[..at], 1 << 20)] {
            match decoded {
                Ok(streams) => prop_assert!(streams.iter().all(|s| s.lines.len() == s.timestamps.len())),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
        let packed = encode_protobuf(&streams).unwrap();
        let mut message = unpack(&packed, Encoding::Snappy, 1 << 20).unwrap().into_owned();
        let at = at % message.len();
        message[at] = byte;
        for stream in decode_protobuf(&message, 1 << 20).unwrap_or_default() {
            prop_assert_eq!(stream.lines.len(), stream.timestamps.len());
            prop_assert_eq!(stream.metadata.len(), stream.timestamps.len());
        }
    }

    #[test]
    fn any_bytes_are_answered(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_json(&body, 1 << 20);
        let _ = decode_legacy_json(&body, 1 << 20);
        let _ = decode_protobuf(&body, 1 << 20);
        let _ = parse_labels(&String::from_utf8_lossy(&body));
        for encoding in [Encoding::Snappy, Encoding::Gzip, Encoding::Deflate, Encoding::Lz4, Encoding::Zstd] {
            let _ = unpack(&body, encoding, 1 << 20);
        }
    }
}

#[test]
fn labels_are_sorted_and_empty_ones_left_out() {
    let f = |text: &str, want: &[(&str, &str)]| {
        let read = parse_labels(text).unwrap();
        let read: Vec<(&str, &str)> = read.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(read, want, "{text}");
    };
    f("", &[]);
    f("{}", &[]);
    f("foo", &[("__name__", "foo")]);
    f("foo:bar{b='1', a=`2\\n`,}", &[("__name__", "foo:bar"), ("a", "2\\n"), ("b", "1")]);
    f("{\"m\", \"x.y\"=\"z\"}", &[("__name__", "m"), ("x.y", "z")]);
    f("{z=\"\", a=\"\\u00e9\\x41\\101\\t\"} # end", &[("a", "éAA\t")]);
    f("{a=\"1\", a=\"2\"}", &[("a", "1"), ("a", "2")]);
    let places = ["{a=\"b\",\n c}", "{a=\"\\", "{a=\"\\xzz\"}", "{a=\"b\n\"}", "}", "{a!b}"];
    let told = places.map(|text| parse_labels(text).unwrap_err().to_string());
    assert_eq!(
        told,
        [
            "2:3: parse error: unexpected \"}\" in label set, expected \"=\"",
            "1:4: parse error: escape sequence not terminated",
            "1:4: parse error: illegal character U+007A 'z' in escape sequence",
            "1:4: parse error: unterminated quoted string",
            "1:1: parse error: unexpected right brace '}'",
            "1:3: parse error: unexpected character after '!' inside braces: 'b'",
        ]
    );
}

#[test]
fn memory_is_bounded() {
    let many = format!("{{\"streams\":[{}]}}", vec!["{\"values\":[[],[],[]]}"; 1000].join(","));
    let refused = decode_json(many.as_bytes(), 100_000).unwrap_err();
    assert_eq!(refused, DecodeError::TooLarge { limit: 100_000 });
    assert_eq!(decode_json(many.as_bytes(), 10_000_000).unwrap().len(), 1000);
    let empty_entries = [&[0x0a, 100][..], &[0x12, 0].repeat(50)].concat().repeat(100);
    assert!(matches!(decode_protobuf(&empty_entries, 10_000), Err(DecodeError::TooLarge { .. })));
    let one_stream = format!("{{\"streams\":[{{\"values\":[{}]}}]}}", vec!["[]"; 100_000].join(","));
    assert!(matches!(decode_json(one_stream.as_bytes(), 100_000), Err(DecodeError::TooLarge { .. })));
    let one_stream = format!("{{\"streams\":[{{\"entries\":[{}]}}]}}", vec!["{}"; 100_000].join(","));
    assert!(matches!(decode_legacy_json(one_stream.as_bytes(), 100_000), Err(DecodeError::TooLarge { .. })));
    let deep = format!("{{\"x\":{}}}", "[".repeat(20_000));
    assert!(decode_json(deep.as_bytes(), 1 << 20).unwrap_err().to_string().contains("exceeded max depth"));

    let bomb = snap::raw::Encoder::new().compress_vec(&vec![0; 1 << 20]).unwrap();
    let refused = unpack(&bomb, Encoding::Snappy, 1 << 16).unwrap_err();
    assert_eq!(refused, EncodingError::TooLarge { size: 1 << 20, limit: 1 << 16 });
}
