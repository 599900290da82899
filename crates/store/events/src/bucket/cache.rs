//! A bounded cache in memory of pages of remote objects.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

/// Bytes of a page: one request for it costs about what its bytes cost to send.
pub(super) const PAGE: u64 = 256 << 10;

/// Pages by object and number; the least recently used go first.
pub(super) struct PageCache {
    limit: u64,
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    by_place: HashMap<(Arc<str>, u64), (Bytes, u64)>,
    by_use: BTreeMap<u64, (Arc<str>, u64)>,
    clock: u64,
    bytes: u64,
}

impl PageCache {
    pub(super) fn new(limit: u64) -> Self {
        PageCache { limit, pages: Mutex::default() }
    }

    pub(super) fn get(&self, key: &Arc<str>, page: u64) -> Option<Bytes> {
        let mut pages = self.pages.lock();
        let pages = &mut *pages;
        let (bytes, used) = pages.by_place.get_mut(&(key.clone(), page))?;
        pages.clock += 1;
        let place = pages.by_use.remove(used)?;
        *used = pages.clock;
        pages.by_use.insert(pages.clock, place);
        Some(bytes.clone())
    }

    pub(super) fn put(&self, key: &Arc<str>, page: u64, bytes: Bytes) {
        let mut pages = self.pages.lock();
        let pages = &mut *pages;
        pages.clock += 1;
        let place = (key.clone(), page);
        pages.bytes += bytes.len() as u64;
        if let Some((old, used)) = pages.by_place.insert(place.clone(), (bytes, pages.clock)) {
            pages.bytes -= old.len() as u64;
            pages.by_use.remove(&used);
        }
        pages.by_use.insert(pages.clock, place);
        while pages.bytes > self.limit {
            let Some((_, place)) = pages.by_use.pop_first() else { break };
            if let Some((old, _)) = pages.by_place.remove(&place) {
                pages.bytes -= old.len() as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_page_goes_first() {
        let cache = PageCache::new(20);
        let key: Arc<str> = "a".into();
        cache.put(&key, 0, Bytes::from_static(b"0123456789"));
        cache.put(&key, 1, Bytes::from_static(b"0123456789"));
        assert!(cache.get(&key, 0).is_some());
        cache.put(&key, 2, Bytes::from_static(b"0123456789"));
        assert!(cache.get(&key, 1).is_none());
        assert!(cache.get(&key, 0).is_some() && cache.get(&key, 2).is_some());
    }
}
