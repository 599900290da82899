//! The kinds of service discovery: their configs, one file each, and the list of those not built yet.

mod dns;
mod file;
mod groups;
mod http;
mod statics;

use std::future::Future;
use std::pin::Pin;

use novaobs_config::{Cursor, Fields, Node, Position, Section, ToNode, Value};
use novaobs_model::Labels;

pub use dns::{DnsSdConfig, RecordType};
pub use file::FileSdConfig;
pub use http::HttpSdConfig;
pub use statics::StaticConfig;

use crate::manager::Publisher;

/// Targets that share labels and come from one place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetGroup {
    /// Where the group comes from, unique within its config: an update with the same source replaces it.
    pub source: String,
    /// The targets' own labels, `__address__` among them.
    pub targets: Vec<Labels>,
    /// Labels that all targets have unless they set them themselves.
    pub labels: Labels,
}

/// One entry of a job's `*_sd_configs`.
#[derive(Clone, Debug, PartialEq)]
pub enum SdConfig {
    /// All of `static_configs`.
    Static(Vec<StaticConfig>),
    /// An entry of `file_sd_configs`.
    File(FileSdConfig),
    /// An entry of `http_sd_configs`.
    Http(Box<HttpSdConfig>),
    /// An entry of `dns_sd_configs`.
    Dns(DnsSdConfig),
    /// An entry of a kind that this release does not have.
    NotBuilt(NotBuilt),
}

/// A discovery that is understood but not built: the job says so by name, and what else it has runs.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "{position}: {kind}_sd_configs is not supported by this release: use file_sd_configs or http_sd_configs for these targets"
)]
pub struct NotBuilt {
    /// The kind, such as `kubernetes`.
    pub kind: String,
    /// Where it is written.
    pub position: Position,
    /// What is written, to be shown again.
    written: Node,
}

/// The kinds of Prometheus that are not built.
const NOT_BUILT: [&str; 29] = [
    "aws",
    "azure",
    "consul",
    "digitalocean",
    "docker",
    "dockerswarm",
    "ec2",
    "eureka",
    "gce",
    "hetzner",
    "ionos",
    "kubernetes",
    "kuma",
    "lightsail",
    "linode",
    "marathon",
    "nerve",
    "nomad",
    "oci",
    "openstack",
    "outscale",
    "ovhcloud",
    "puppetdb",
    "scaleway",
    "serverset",
    "stackit",
    "triton",
    "uyuni",
    "vultr",
];

/// Takes every discovery key out of a job's mapping. The caller finishes the mapping.
pub fn read_inline(map: &mut Section<'_>) -> Vec<SdConfig> {
    let mut configs = Vec::new();
    let statics = map.list("static_configs", StaticConfig::read);
    if !statics.is_empty() {
        configs.push(SdConfig::Static(statics));
    }
    configs.extend(map.list("file_sd_configs", FileSdConfig::read).into_iter().map(SdConfig::File));
    configs.extend(
        map.list("http_sd_configs", HttpSdConfig::read).into_iter().map(Box::new).map(SdConfig::Http),
    );
    configs.extend(map.list("dns_sd_configs", DnsSdConfig::read).into_iter().map(SdConfig::Dns));
    let kind_of = |key: &str| {
        key.strip_suffix("_sd_configs").filter(|kind| NOT_BUILT.contains(kind)).map(str::to_owned)
    };
    for (key, at) in map.take_matching(|key| kind_of(key).is_some()) {
        let kind = kind_of(key).unwrap_or_default();
        let one = |item: Cursor<'_>| {
            SdConfig::NotBuilt(NotBuilt {
                kind: kind.clone(),
                position: item.position(),
                written: item.node().clone(),
            })
        };
        configs.extend(at.items().unwrap_or_default().into_iter().map(one));
    }
    configs
}

/// The keys that stand for `configs`, to be inlined into a job's.
pub fn to_node(configs: &[SdConfig]) -> Node {
    let of = |wanted: &str| {
        let nodes = configs.iter().filter(|config| config.kind() == wanted).flat_map(|config| match config {
            SdConfig::Static(groups) => groups.iter().map(ToNode::to_node).collect(),
            SdConfig::File(config) => vec![config.to_node()],
            SdConfig::Http(config) => vec![config.to_node()],
            SdConfig::Dns(config) => vec![config.to_node()],
            SdConfig::NotBuilt(config) => vec![redacted(&config.written)],
        });
        Node::sequence(nodes)
    };
    let mut fields = Fields::new()
        .nonempty("static_configs", &of("static"))
        .nonempty("file_sd_configs", &of("file"))
        .nonempty("http_sd_configs", &of("http"))
        .nonempty("dns_sd_configs", &of("dns"));
    for kind in NOT_BUILT {
        fields = fields.nonempty(&format!("{kind}_sd_configs"), &of(kind));
    }
    fields.node()
}

/// A copy of what was written without what looks like a secret: its schema is not known here.
fn redacted(node: &Node) -> Node {
    let secret = |key: &str| {
        let named = ["password", "secret", "token", "credential", "key", "bearer"]
            .iter()
            .any(|word| key.contains(word));
        named && !key.ends_with("_file") && !key.ends_with("_url")
    };
    let value = match &node.value {
        Value::Sequence(items) => Value::Sequence(items.iter().map(redacted).collect()),
        Value::Mapping(entries) => Value::Mapping(
            entries
                .iter()
                .map(|entry| {
                    let mut copy = entry.clone();
                    let hide = secret(&entry.key) && matches!(entry.value.value, Value::Scalar { .. });
                    copy.value = if hide {
                        Node::text(novaobs_config::Secret::HIDDEN)
                    } else {
                        redacted(&entry.value)
                    };
                    copy
                })
                .collect(),
        ),
        other => other.clone(),
    };
    Node { value, span: node.span }
}

/// A provider's work: it publishes until it is dropped.
pub(crate) type Run = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a config turns into.
pub(crate) enum Provider {
    /// Groups that never change.
    Fixed(Vec<TargetGroup>),
    /// A task to be run.
    Running(Box<dyn FnOnce(Publisher) -> Run>),
    /// Nothing, for this reason.
    Failed(String),
}

impl SdConfig {
    /// The kind's name, as in `<kind>_sd_configs`.
    pub fn kind(&self) -> &str {
        match self {
            SdConfig::Static(_) => "static",
            SdConfig::File(_) => "file",
            SdConfig::Http(_) => "http",
            SdConfig::Dns(_) => "dns",
            SdConfig::NotBuilt(config) => &config.kind,
        }
    }

    pub(crate) fn provider(&self) -> Provider {
        match self {
            SdConfig::Static(groups) => Provider::Fixed(statics::groups(groups)),
            SdConfig::File(config) => file::provider(config.clone()),
            SdConfig::Http(config) => http::provider(config),
            SdConfig::Dns(config) => dns::provider(config.clone()),
            SdConfig::NotBuilt(config) => Provider::Failed(config.to_string()),
        }
    }
}
