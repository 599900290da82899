//! Who to talk to: service discovery and relabelling.
