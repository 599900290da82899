//! The list of a partition's parts, as it is written to the bucket.

use std::collections::BTreeMap;

use novaobs_parts::PartInfo;

use crate::wal::Position;

const HEADER: &str = "novaobs logs manifest 1\n";

/// What a partition consists of after a commit. Layout in `docs/formats/logs-manifest.md`.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Manifest {
    /// Who committed.
    pub writer: String,
    /// Makes every commit's bytes its own.
    pub nonce: u64,
    /// Per writer: all its rows of this partition logged before are in parts, or were deleted.
    pub covered: BTreeMap<String, Position>,
    pub parts: Vec<PartEntry>,
    /// Ids of parts that failed their checks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantined: Vec<String>,
    /// An earlier manifest was damaged: files that this one does not list are kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_files: bool,
}

/// One part.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct PartEntry {
    pub id: String,
    pub info: PartInfo,
    /// Whether it is in the cold bucket.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cold: bool,
    /// Ids of deletes that it no longer has rows of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub applied: Vec<String>,
}

impl Manifest {
    /// Up to where parts have the rows of `writer`.
    pub(crate) fn covered(&self, writer: &str) -> Position {
        self.covered.get(writer).copied().unwrap_or_default()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let json = match serde_json::to_string(self) {
            Ok(json) => json,
            Err(error) => {
                novaobs_model::never!("a manifest is always JSON: {error}");
                String::new()
            }
        };
        let copy = format!("crc32 {:08x}\n{json}\n", crc32fast::hash(json.as_bytes()));
        // The empty line keeps a damaged end of the first copy away from the second.
        format!("{HEADER}{copy}\n{copy}").into_bytes()
    }

    /// Reads either copy; `None` when both are damaged.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Manifest> {
        // By lines, and whatever damage did to the rest: a damaged byte may be a line's end.
        let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        lines.windows(2).find_map(|pair| {
            let [crc, json] = pair else { return None };
            let crc = std::str::from_utf8(crc.strip_prefix(b"crc32 ")?).ok()?;
            let crc = u32::from_str_radix(crc, 16).ok()?;
            (crc == crc32fast::hash(json)).then(|| serde_json::from_slice(json).ok())?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        Manifest {
            writer: "w".to_owned(),
            nonce: u64::MAX,
            covered: [("w".to_owned(), Position(3, 77))].into(),
            parts: vec![PartEntry {
                id: "p".to_owned(),
                info: PartInfo { rows: 3, first: i64::MIN, last: i64::MAX, ..PartInfo::default() },
                cold: true,
                applied: vec!["d".to_owned()],
            }],
            quarantined: vec!["q".to_owned()],
            keep_files: true,
        }
    }

    #[test]
    fn no_damaged_byte_loses_anything() {
        let bytes = sample().encode();
        assert_eq!(Manifest::decode(&bytes), Some(sample()));
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff, bytes[at] ^ b'\n'] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                assert_eq!(Manifest::decode(&damaged), Some(sample()), "byte {at} ^ {flip}");
            }
        }
        assert_eq!(Manifest::decode(&bytes[..bytes.len() / 3]), None);
        assert_eq!(Manifest::decode(b""), None);
    }

    #[test]
    fn a_manifest_of_version_1_still_opens() {
        let json = r#"{"writer":"w","nonce":1,"covered":{"w":[2,30]},"parts":[{"id":"a","info":{"rows":1,"raw_bytes":2,"first":3,"last":4,"streams":1,"file_bytes":9}}]}"#;
        let text = format!("{HEADER}crc32 {:08x}\n{json}\n", crc32fast::hash(json.as_bytes()));
        let manifest = Manifest::decode(text.as_bytes()).unwrap();
        assert_eq!((manifest.covered("w"), manifest.parts[0].info.file_bytes), (Position(2, 30), 9));
    }
}
