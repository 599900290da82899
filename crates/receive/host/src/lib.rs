//! The host exporter: node_* metrics of this machine.
