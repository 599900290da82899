//! static_configs: targets written into the config itself.

use novaobs_config::{Cursor, Fields, Node, ToNode, value};
use novaobs_model::Labels;

use super::TargetGroup;
use super::groups::address_set;

/// One entry: addresses with the labels they share.
#[derive(Clone, Debug, PartialEq)]
pub struct StaticConfig {
    /// Addresses, `host:port` or `host`.
    pub targets: Vec<String>,
    /// Labels of all of them.
    pub labels: Labels,
}

impl StaticConfig {
    /// Reads one entry.
    pub fn read(at: &Cursor<'_>) -> Option<StaticConfig> {
        let mut map = at.mapping();
        let targets = map.or("targets", value::list(address), Vec::new());
        let labels = map.or("labels", value::labels, Labels::empty());
        map.finish();
        Some(StaticConfig { targets, labels })
    }
}

/// An address has no scheme and no path: those are keys of the job.
fn address(at: &Cursor<'_>) -> Option<String> {
    let text = value::string(at)?;
    if text.contains('/') {
        return at.error(format!(
            "{text:?} is not a valid hostname: write host:port, and use scheme and metrics_path for the rest"
        ));
    }
    Some(text)
}

/// The groups of all entries; the source is the entry's place.
pub(super) fn groups(configs: &[StaticConfig]) -> Vec<TargetGroup> {
    let group = |(i, config): (usize, &StaticConfig)| TargetGroup {
        // Sorted as text by the merger: padded, so that the order of the file stays.
        source: format!("{i:06}"),
        targets: config.targets.iter().map(|address| address_set(address)).collect(),
        labels: config.labels.clone(),
    };
    configs.iter().enumerate().map(group).collect()
}

impl ToNode for StaticConfig {
    fn to_node(&self) -> Node {
        Fields::new().field("targets", &self.targets).nonempty("labels", &self.labels).node()
    }
}
