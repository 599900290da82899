//! The decoders of what is on disk, behind their checksums, for fuzz targets and hostile tests.

use novaobs_model::Matcher;

use crate::codec::values;
use crate::head::index::SeriesIndex;
use crate::matching::resolve;
use crate::part::index::PartIndex;
use crate::part::page::PageTable;
use crate::part::{Footer, SECTIONS, Section};
use crate::wal::Replay;
use crate::{catalog, wal};

struct Counter(u64);

impl Replay for Counter {
    fn segment(&mut self) {}
    fn newest(&mut self, _: u32, _: u32, _: i64, _: u64) {
        self.0 += 1;
    }
    fn sample(&mut self, _: u32, _: i64, _: u64) {
        self.0 += 1;
    }
}

/// Reads `payload` as a record of the sample log and returns how many samples it held.
pub fn log_record(payload: &[u8]) -> u64 {
    let mut counter = Counter(0);
    // Refusing is as good as reading here.
    let _ = wal::replay_record(payload, &mut counter);
    counter.0
}

/// Reads `payload` as a record of the catalogue and returns how many series it added.
pub fn catalog_record(payload: &[u8]) -> usize {
    let mut index = SeriesIndex::default();
    let _ = catalog::apply(payload, &mut index, &mut 1);
    index.len()
}

/// Reads `bytes` as the index of a part of `series` series: five equally long sections, or as `lengths`
/// says. Returns how many pages it lists.
pub fn part_index(bytes: &[u8], lengths: Option<[u64; SECTIONS]>, series: u32) -> usize {
    let lengths = lengths.unwrap_or([bytes.len() as u64 / SECTIONS as u64; SECTIONS]);
    let mut footer = Footer { series, ..Footer::default() };
    let mut offset = 0;
    for (section, length) in footer.sections.iter_mut().zip(lengths) {
        *section = Section { offset, length, checksum: 0 };
        offset += length;
    }
    let Some(index) = PartIndex::new(bytes, &footer) else { return 0 };
    for name in ["", "job", "__name__"] {
        let _ = resolve(&index, &[Matcher::equal(name, "a")]);
        let _ = index.pairs_of(name);
    }
    for pair in 0..index.pairs().min(1000) {
        let _ = (index.value(pair), index.name_of(pair), index.postings(pair));
    }
    let mut pages = 0;
    for group in (0..index.groups().min(1000)).filter_map(|number| index.group(number)) {
        pages += group.pages.len();
        let mut labels = group.labels();
        for _ in 0..group.series.min(1000) {
            if labels.next().is_none() {
                break;
            }
        }
    }
    pages
}

/// Reads `bytes` as a page of four series, and as a stream of `count` values.
pub fn page(bytes: &[u8], count: usize) -> usize {
    let _ = PageTable::decode(bytes, 1 << 40, 4).map(|table| table.row(3));
    let mut out = Vec::new();
    let _ = values::decode(bytes, count, &mut Vec::new(), &mut out);
    out.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::reader::Part;
    use crate::part::writer::PartWriter;
    use novaobs_model::Samples;
    use proptest::prelude::*;

    /// The index sections of a small real part, and their lengths.
    fn real_index() -> (Vec<u8>, [u64; SECTIONS]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        let pairs = [("__name__", "a"), ("__name__", "b"), ("job", "x"), ("job", "y")];
        let mut writer = PartWriter::create(&path, pairs.into_iter()).unwrap();
        for name in [0u32, 1] {
            writer.begin_group([[name, 2], [name, 3]].iter().map(<[u32; 2]>::as_slice));
            let samples = Samples { timestamps: vec![1, 2, 3], values: vec![1.0, 2.5, 7.0] };
            writer.page(&[samples.clone(), samples]).unwrap();
        }
        writer.finish().unwrap();
        let part = Part::open(1, &path).unwrap();
        let sections = part.footer().sections;
        let bytes = std::fs::read(&path).unwrap();
        let (start, end) = (sections[0].offset as usize, (sections[4].offset + sections[4].length) as usize);
        (bytes[start..end].to_vec(), sections.map(|section| section.length))
    }

    proptest! {
        #[test]
        fn a_garbled_index_never_panics(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)) {
            let (mut bytes, lengths) = real_index();
            prop_assert_eq!(part_index(&bytes, Some(lengths), 4), 2);
            for (at, byte) in flips {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            part_index(&bytes, Some(lengths), 4);
        }

        #[test]
        fn hostile_records_and_pages_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..150), count in 0usize..2000) {
            log_record(&bytes);
            prop_assert!(catalog_record(&bytes) <= bytes.len());
            page(&bytes, count);
            part_index(&bytes, None, count as u32);
        }
    }
}
