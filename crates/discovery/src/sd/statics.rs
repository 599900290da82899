//! static_configs: targets written into the config itself.

use novaobs_config::{Cursor, Fields, Node, ToNode, value};
use novaobs_model::Labels;

use super::TargetGroup;
use super::groups::address_set;

/// One entry: addresses with the labels they share.
#[derive(Clone, Debug, PartialEq)]
pub struct StaticConfig {
    /// Addresses, `host:port` or `host`; whatever relabelling makes addresses of, such as the URLs of probes.
    pub targets: Vec<String>,
    /// Labels of all of them.
    pub labels: Labels,
}

impl StaticConfig {
    /// Reads one entry.
    pub fn read(at: &Cursor<'_>) -> Option<StaticConfig> {
        let mut map = at.mapping();
        let targets = map.or("targets", value::list(value::string), Vec::new());
        let labels = map.or("labels", value::labels, Labels::empty());
        map.finish();
        Some(StaticConfig { targets, labels })
    }
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
