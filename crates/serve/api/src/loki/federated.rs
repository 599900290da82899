//! Several tenants read as one: the label `__tenant_id__` says whose a stream is, and matchers can choose.

use novaobs_model::logs::{LogBatch, LogStats, ScanStats};
use novaobs_model::{
    Labels, LabelsBuilder, LogCursor, LogScan, LogSource, Matcher, QueryControl, SelectError, Tenant,
};

use super::tenancy::each_of;

/// The label of the tenant.
pub(super) const TENANT: &str = "__tenant_id__";
/// Where a stream's own label of that name goes.
const ORIGINAL: &str = "original___tenant_id__";

/// Reads tenants whose names are joined by `|` from another source.
pub(super) struct Federated<'s>(pub(super) &'s dyn LogSource);

fn split<'m>(matchers: &'m [Matcher], tenant: &Tenant) -> (bool, Vec<Matcher>) {
    let (own, others): (Vec<&'m Matcher>, Vec<&'m Matcher>) =
        matchers.iter().partition(|matcher| matcher.name == TENANT);
    let wanted = own.iter().all(|matcher| matcher.matches(tenant.as_str()));
    (wanted, others.into_iter().cloned().collect())
}

fn mark(labels: &Labels, tenant: &Tenant) -> Labels {
    let mut builder = LabelsBuilder::from_labels(labels);
    let original = builder.get(TENANT).to_owned();
    builder.set(ORIGINAL, &original);
    builder.set(TENANT, tenant.as_str());
    builder.build()
}

impl LogSource for Federated<'_> {
    fn scan<'a>(
        &'a self,
        scan: &LogScan,
        control: &'a QueryControl,
    ) -> Result<Box<dyn LogCursor + 'a>, SelectError> {
        let mut cursors = Vec::new();
        for tenant in each_of(&scan.tenant) {
            let (wanted, matchers) = split(&scan.matchers, &tenant);
            if wanted {
                let scan = LogScan { tenant: tenant.clone(), matchers, ..scan.clone() };
                cursors.push((tenant, self.0.scan(&scan, control)?));
            }
        }
        Ok(Box::new(FederatedCursor { cursors, at: 0 }))
    }

    fn streams(
        &self,
        tenant: &Tenant,
        selectors: &[Vec<Matcher>],
        start: i64,
        end: i64,
        control: &QueryControl,
        each: &mut dyn FnMut(&Labels, LogStats),
    ) -> Result<(), SelectError> {
        for tenant in each_of(tenant) {
            let mut own = Vec::new();
            for selector in selectors {
                let (wanted, matchers) = split(selector, &tenant);
                if wanted {
                    own.push(matchers);
                }
            }
            if own.is_empty() && !selectors.is_empty() {
                continue;
            }
            let mut marked = |labels: &Labels, stats: LogStats| each(&mark(labels, &tenant), stats);
            self.0.streams(&tenant, &own, start, end, control, &mut marked)?;
        }
        Ok(())
    }
}

/// The scans of all tenants, one after the other.
struct FederatedCursor<'a> {
    cursors: Vec<(Tenant, Box<dyn LogCursor + 'a>)>,
    at: usize,
}

impl LogCursor for FederatedCursor<'_> {
    fn next(&mut self) -> Result<Option<LogBatch>, SelectError> {
        while let Some((tenant, cursor)) = self.cursors.get_mut(self.at) {
            if let Some(mut batch) = cursor.next()? {
                for run in &mut batch.streams {
                    run.labels = mark(&run.labels, tenant);
                }
                return Ok(Some(batch));
            }
            self.at += 1;
        }
        Ok(None)
    }

    fn bound(&mut self, start: i64, end: i64) {
        self.cursors.iter_mut().for_each(|(_, cursor)| cursor.bound(start, end));
    }

    fn stats(&self) -> ScanStats {
        let mut sum = ScanStats::default();
        for (_, cursor) in &self.cursors {
            let one = cursor.stats();
            sum.parts += one.parts;
            sum.parts_skipped += one.parts_skipped;
            sum.blocks += one.blocks;
            sum.blocks_skipped += one.blocks_skipped;
            sum.rows += one.rows;
            sum.bytes += one.bytes;
            sum.bytes_read += one.bytes_read;
            sum.memory_rows += one.memory_rows;
            sum.memory_bytes += one.memory_bytes;
        }
        sum
    }
}
