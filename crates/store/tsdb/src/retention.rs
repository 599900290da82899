//! Deleting what is too old or too much: whole parts, oldest first.

use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::compaction::remove_files;
use crate::part::reader::Part;
use crate::store::Store;

impl Store {
    /// Deletes the parts that retention does not keep.
    pub(crate) fn enforce_retention(&self) -> io::Result<()> {
        let _one_at_a_time = self.merging.lock();
        let settings = *self.settings.read();
        let view = self.snapshot();
        // Data from the future must not expire what is current.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
        let newest = self.writer.lock().newest.min(now);
        let oldest_kept = settings.retention_time.map(|keep| newest.saturating_sub(keep.as_millis() as i64));

        let mut parts: Vec<Arc<Part>> = view.parts.to_vec();
        parts.sort_by_key(|part| part.footer().last);
        let expired =
            oldest_kept.map_or(0, |oldest| parts.partition_point(|part| part.footer().last < oldest));
        let mut size = self.log_bytes() + parts.iter().skip(expired).map(|part| part.bytes()).sum::<u64>();
        let mut delete = expired;
        for part in parts.iter().skip(expired) {
            if settings.retention_size.is_none_or(|limit| size <= limit) {
                break;
            }
            size -= part.bytes();
            delete += 1;
        }
        if delete == 0 {
            return Ok(());
        }
        self.metrics.time_retentions.inc_by(u64::from(expired > 0));
        self.metrics.size_retentions.inc_by(u64::from(delete > expired));
        parts.truncate(delete);
        tracing::info!(folder = %self.folder.display(), parts = delete, expired, "retention deletes the oldest parts");
        if self.replace_parts(&parts, Vec::new(), None).is_ok() {
            remove_files(&parts);
            return Ok(());
        }
        // A full disk cannot take a new manifest: make room first. A listed part that is missing is
        // dropped at the next start, so this order is safe too.
        remove_files(&parts);
        self.replace_parts(&parts, Vec::new(), None)
    }
}
