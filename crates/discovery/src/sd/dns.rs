//! dns_sd_configs: targets from SRV, A, AAAA, MX or NS records.

use std::time::Duration;

use hickory_resolver::config::ResolveHosts;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType as Wire};
use hickory_resolver::proto::{ProtoError, ProtoErrorKind};
use hickory_resolver::{ResolveError, TokioResolver};
use novaobs_config::{Cursor, Fields, Node, ToNode, value};
use novaobs_model::Labels;

use super::{Provider, TargetGroup};
use crate::manager::Publisher;

/// One entry of dns_sd_configs.
#[derive(Clone, Debug, PartialEq)]
pub struct DnsSdConfig {
    /// The names looked up.
    pub names: Vec<String>,
    /// The records asked for. Default SRV.
    pub kind: RecordType,
    /// The port of the targets; SRV records bring their own.
    pub port: u16,
    /// How often the names are looked up. Default 30s.
    pub refresh_interval: Duration,
}

/// The records that name targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordType {
    /// Services: host and port.
    Srv,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Mail exchangers.
    Mx,
    /// Name servers.
    Ns,
}

const TYPES: [(&str, RecordType); 5] = [
    ("SRV", RecordType::Srv),
    ("A", RecordType::A),
    ("AAAA", RecordType::Aaaa),
    ("MX", RecordType::Mx),
    ("NS", RecordType::Ns),
];

impl DnsSdConfig {
    /// Reads one entry.
    pub fn read(at: &Cursor<'_>) -> Option<DnsSdConfig> {
        let mut map = at.mapping();
        let names = map.or("names", value::list(value::string), Vec::new());
        if names.is_empty() {
            map.error("DNS-SD config must contain at least one SRV record name");
        }
        let kind = map.or("type", record_type, RecordType::Srv);
        let port = map.or("port", value::u16, 0);
        if kind != RecordType::Srv && port == 0 {
            map.error("a port is required in DNS-SD configs for all record types except SRV");
        }
        let refresh_interval = map.or("refresh_interval", value::duration, Duration::from_secs(30));
        if refresh_interval.is_zero() {
            map.error_at("refresh_interval", "must be longer than zero");
        }
        map.finish();
        Some(DnsSdConfig { names, kind, port, refresh_interval })
    }
}

/// Types may be written in any case.
fn record_type(at: &Cursor<'_>) -> Option<RecordType> {
    let text = value::string(at)?;
    let found = TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(&text)).map(|(_, kind)| *kind);
    found.or_else(|| {
        at.error(format!("invalid DNS-SD records type {text}: write one of SRV, A, AAAA, MX, NS"))
    })
}

impl ToNode for DnsSdConfig {
    fn to_node(&self) -> Node {
        let kind = TYPES.iter().find(|(_, kind)| *kind == self.kind).map_or("", |(name, _)| name);
        Fields::new()
            .field("names", &self.names)
            .field("refresh_interval", &self.refresh_interval)
            .field("type", kind)
            .field("port", &self.port)
            .node()
    }
}

pub(super) fn provider(config: DnsSdConfig) -> Provider {
    let resolver = TokioResolver::builder_tokio().map(|mut builder| {
        let options = builder.options_mut();
        // As the peer asks: the servers themselves, each time.
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        builder.build()
    });
    match resolver {
        Ok(resolver) => {
            Provider::Running(Box::new(move |publisher| Box::pin(run(config, resolver, publisher))))
        }
        Err(error) => Provider::Failed(format!(
            "dns_sd_configs {}: cannot read the system's resolver config: {error}",
            config.names.join(", ")
        )),
    }
}

async fn run(config: DnsSdConfig, resolver: TokioResolver, publisher: Publisher) {
    let mut ticks = tokio::time::interval(config.refresh_interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let mut lookups = tokio::task::JoinSet::new();
        for name in config.names.clone() {
            let (resolver, config, publisher) = (resolver.clone(), config.clone(), publisher.clone());
            lookups.spawn(async move {
                publisher.metrics.dns_lookups.inc();
                match look_up(&config, &resolver, &name).await {
                    Ok(group) => publisher.publish(vec![group]).await,
                    // The last good answer stays.
                    Err(error) => {
                        publisher.metrics.dns_lookup_failures.inc();
                        publisher.failed("dns", &error);
                    }
                }
            });
        }
        while lookups.join_next().await.is_some() {}
    }
}

/// The group of one name; a name without records has no targets.
async fn look_up(config: &DnsSdConfig, resolver: &TokioResolver, name: &str) -> Result<TargetGroup, String> {
    let kind = match config.kind {
        RecordType::Srv => Wire::SRV,
        RecordType::A => Wire::A,
        RecordType::Aaaa => Wire::AAAA,
        RecordType::Mx => Wire::MX,
        RecordType::Ns => Wire::NS,
    };
    let mut group = TargetGroup { source: name.to_owned(), ..TargetGroup::default() };
    let lookup = match resolver.lookup(name, kind).await {
        Ok(lookup) => lookup,
        Err(error) if is_empty_answer(&error) => return Ok(group),
        Err(error) => return Err(format!("could not resolve {name:?}: {error}")),
    };
    group.targets = lookup.iter().filter_map(|record| target(record, name, config.port)).collect();
    Ok(group)
}

/// Whether the server said that there are no such records, as opposed to failing.
fn is_empty_answer(error: &ResolveError) -> bool {
    match error.proto().map(ProtoError::kind) {
        Some(ProtoErrorKind::NoRecordsFound { response_code, .. }) => {
            matches!(response_code, ResponseCode::NoError | ResponseCode::NXDomain)
        }
        _ => false,
    }
}

/// The target of one record; records on the way to the answer (CNAME) are none.
fn target(record: &RData, name: &str, port: u16) -> Option<Labels> {
    let named = |host: &Name| host.to_ascii().trim_end_matches('.').to_owned();
    let host_port = |host: &str, port: u16| {
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    };
    let mut labels = vec![("__meta_dns_name", name.to_owned())];
    let address = match record {
        RData::SRV(srv) => {
            labels.push(("__meta_dns_srv_record_target", srv.target().to_ascii()));
            labels.push(("__meta_dns_srv_record_port", srv.port().to_string()));
            host_port(&named(srv.target()), srv.port())
        }
        RData::MX(mx) => {
            labels.push(("__meta_dns_mx_record_target", mx.exchange().to_ascii()));
            host_port(&named(mx.exchange()), port)
        }
        RData::NS(ns) => {
            labels.push(("__meta_dns_ns_record_target", ns.0.to_ascii()));
            host_port(&named(&ns.0), port)
        }
        RData::A(address) => host_port(&address.to_string(), port),
        RData::AAAA(address) => host_port(&address.to_string(), port),
        _ => return None,
    };
    labels.push(("__address__", address));
    Some(Labels::from_pairs(labels))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::str::FromStr as _;

    use hickory_resolver::config::{NameServerConfig, ResolverConfig};
    use hickory_resolver::name_server::TokioConnectionProvider;
    use hickory_resolver::proto::op::{Message, MessageType};
    use hickory_resolver::proto::rr::{Record, rdata};
    use hickory_resolver::proto::xfer::Protocol;
    use tokio::net::UdpSocket;

    use super::*;

    /// A name server in this process with one zone, `test.`; `broken.test.` fails.
    async fn name_server() -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
                let query = Message::from_vec(&buffer[..length]).unwrap();
                let question = query.queries()[0].clone();
                let name = question.name().clone();
                let host = |text: &str| Name::from_str(text).unwrap();
                let data: Vec<RData> = match (name.to_ascii().as_str(), question.query_type()) {
                    ("svc.test.", Wire::SRV) => vec![
                        RData::SRV(rdata::SRV::new(1, 1, 9100, host("a.test."))),
                        RData::SRV(rdata::SRV::new(1, 1, 9200, host("b.test."))),
                    ],
                    ("a.test.", Wire::A) => vec![RData::A("10.0.0.1".parse().unwrap())],
                    ("a.test.", Wire::AAAA) => vec![RData::AAAA("fd00::1".parse().unwrap())],
                    ("test.", Wire::MX) => vec![RData::MX(rdata::MX::new(10, host("mail.test.")))],
                    ("test.", Wire::NS) => vec![RData::NS(rdata::NS(host("ns.test.")))],
                    _ => Vec::new(),
                };
                let mut answer = Message::new();
                answer.set_id(query.id()).set_message_type(MessageType::Response).add_query(question);
                answer.set_recursion_available(true);
                answer.set_response_code(match name.to_ascii().as_str() {
                    "gone.test." => ResponseCode::NXDomain,
                    "broken.test." => ResponseCode::ServFail,
                    _ => ResponseCode::NoError,
                });
                for record in data {
                    answer.add_answer(Record::from_rdata(name.clone(), 30, record));
                }
                socket.send_to(&answer.to_vec().unwrap(), peer).await.unwrap();
            }
        });
        address
    }

    async fn found(kind: RecordType, name: &str) -> String {
        let address = name_server().await;
        let mut servers = ResolverConfig::new();
        servers.add_name_server(NameServerConfig::new(address, Protocol::Udp));
        let mut builder = TokioResolver::builder_with_config(servers, TokioConnectionProvider::default());
        builder.options_mut().attempts = 0;
        let resolver = builder.build();
        let config = DnsSdConfig {
            names: vec![name.to_owned()],
            kind,
            port: 80,
            refresh_interval: Duration::from_secs(30),
        };
        match look_up(&config, &resolver, name).await {
            Ok(group) => {
                let mut targets: Vec<String> = group.targets.iter().map(Labels::to_string).collect();
                targets.sort_unstable();
                format!("{}: {}", group.source, targets.join(" "))
            }
            Err(error) => error.split(": ").next().unwrap().to_owned(),
        }
    }

    #[tokio::test]
    async fn records_become_targets() {
        assert_eq!(
            found(RecordType::Srv, "svc.test").await,
            r#"svc.test: {__address__="a.test:9100", __meta_dns_name="svc.test", __meta_dns_srv_record_port="9100", __meta_dns_srv_record_target="a.test."} {__address__="b.test:9200", __meta_dns_name="svc.test", __meta_dns_srv_record_port="9200", __meta_dns_srv_record_target="b.test."}"#
        );
        assert_eq!(
            found(RecordType::A, "a.test").await,
            r#"a.test: {__address__="10.0.0.1:80", __meta_dns_name="a.test"}"#
        );
        assert_eq!(
            found(RecordType::Aaaa, "a.test").await,
            r#"a.test: {__address__="[fd00::1]:80", __meta_dns_name="a.test"}"#
        );
        assert_eq!(
            found(RecordType::Mx, "test").await,
            r#"test: {__address__="mail.test:80", __meta_dns_mx_record_target="mail.test.", __meta_dns_name="test"}"#
        );
        assert_eq!(
            found(RecordType::Ns, "test").await,
            r#"test: {__address__="ns.test:80", __meta_dns_name="test", __meta_dns_ns_record_target="ns.test."}"#
        );
    }

    #[tokio::test]
    async fn no_records_is_an_answer_and_a_failure_is_not() {
        assert_eq!(found(RecordType::A, "none.test").await, "none.test: ");
        assert_eq!(found(RecordType::A, "gone.test").await, "gone.test: ");
        assert_eq!(found(RecordType::A, "broken.test").await, "could not resolve \"broken.test\"");
    }
}
