//! What was received and what was left out, under Loki's names.

use novaobs_model::Tenant;
use prometheus::{IntCounterVec, Opts, Registry};

use crate::push::Format;

/// Counters of one [`Push`](crate::Push).
pub(crate) struct Metrics {
    lines: IntCounterVec,
    bytes: IntCounterVec,
    metadata_bytes: IntCounterVec,
    discarded_samples: IntCounterVec,
    discarded_bytes: IntCounterVec,
    mutated_samples: IntCounterVec,
    mutated_bytes: IntCounterVec,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let received = ["tenant", "retention_hours", "is_internal_stream", "policy", "format"];
        let discarded = ["reason", "tenant", "retention_hours", "policy", "format"];
        Ok(Metrics {
            lines: counter(
                "loki_distributor_lines_received_total",
                "Lines received, before limits.",
                &["tenant", "is_internal_stream", "policy", "format"],
            )?,
            bytes: counter(
                "loki_distributor_bytes_received_total",
                "Unpacked bytes of lines and structured metadata received, before limits.",
                &received,
            )?,
            metadata_bytes: counter(
                "loki_distributor_structured_metadata_bytes_received_total",
                "Unpacked bytes of structured metadata received, before limits.",
                &received,
            )?,
            discarded_samples: counter(
                "loki_discarded_samples_total",
                "Lines that were left out, by reason.",
                &discarded,
            )?,
            discarded_bytes: counter(
                "loki_discarded_bytes_total",
                "Bytes of lines and structured metadata that were left out, by reason.",
                &discarded,
            )?,
            mutated_samples: counter(
                "loki_mutated_samples_total",
                "Lines that were kept in another form, by reason.",
                &["reason", "truncated"],
            )?,
            mutated_bytes: counter(
                "loki_mutated_bytes_total",
                "Bytes that were cut off lines, by reason.",
                &["reason", "truncated"],
            )?,
        })
    }

    pub(crate) fn received(&self, tenant: &Tenant, format: Format, lines: u64, bytes: u64, metadata: u64) {
        let (tenant, format) = (tenant.as_str(), format.as_str());
        self.lines.with_label_values(&[tenant, "false", "", format]).inc_by(lines);
        self.bytes.with_label_values(&[tenant, "", "false", "", format]).inc_by(bytes + metadata);
        self.metadata_bytes.with_label_values(&[tenant, "", "false", "", format]).inc_by(metadata);
    }

    pub(crate) fn discarded(&self, reason: &str, tenant: &Tenant, format: Format, lines: u64, bytes: u64) {
        let labels = [reason, tenant.as_str(), "", "", format.as_str()];
        self.discarded_samples.with_label_values(&labels).inc_by(lines);
        self.discarded_bytes.with_label_values(&labels).inc_by(bytes);
    }

    pub(crate) fn body_too_large(&self, tenant: &Tenant, format: Format, bytes: u64) {
        let labels = ["request_body_too_large", tenant.as_str(), "", "", format.as_str()];
        self.discarded_bytes.with_label_values(&labels).inc_by(bytes);
    }

    pub(crate) fn truncated(&self, tenant: &Tenant, lines: u64, bytes: u64) {
        self.mutated_samples.with_label_values(&["line_too_long", tenant.as_str()]).inc_by(lines);
        self.mutated_bytes.with_label_values(&["line_too_long", tenant.as_str()]).inc_by(bytes);
    }
}
