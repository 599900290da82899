//! The metrics store: head, write-ahead log, blocks, compaction, retention.
