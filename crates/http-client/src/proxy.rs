//! Which proxy a request goes through, if any.

use std::net::IpAddr;

use novaobs_config::{Fields, Node, Secret, Section, ToNode, value};
use url::Url;

/// The proxy keys of an http_config block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProxyConfig {
    /// The proxy for all requests.
    pub url: Option<Url>,
    /// Hosts reached directly: a comma-separated list of names, `.suffixes`, addresses and networks.
    pub no_proxy: String,
    /// Whether `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` decide.
    pub from_environment: bool,
    /// Headers of the CONNECT request.
    pub connect_headers: Vec<(String, Vec<Secret>)>,
}

impl ProxyConfig {
    /// Takes the proxy keys out of the mapping around them.
    pub fn read_inline(map: &mut Section<'_>) -> ProxyConfig {
        let config =
            ProxyConfig {
                url: map.optional("proxy_url", |at| {
                    if value::string(at)?.is_empty() { None } else { value::url(at) }
                }),
                no_proxy: map.or("no_proxy", value::string, String::new()),
                from_environment: map.or("proxy_from_environment", value::boolean, false),
                connect_headers: map.or(
                    "proxy_connect_header",
                    value::map(value::list(value::secret)),
                    Vec::new(),
                ),
            };
        if config.from_environment && config.url.is_some() {
            map.error_at(
                "proxy_url",
                "if proxy_from_environment is configured, proxy_url must not be configured",
            );
        }
        if config.from_environment && !config.no_proxy.is_empty() {
            map.error_at(
                "no_proxy",
                "if proxy_from_environment is configured, no_proxy must not be configured",
            );
        }
        if config.url.is_none() && !config.from_environment && !config.no_proxy.is_empty() {
            map.error_at("no_proxy", "if no_proxy is configured, proxy_url must also be configured");
        }
        if !config.connect_headers.is_empty() && !config.from_environment && config.url.is_none() {
            map.error_at(
                "proxy_connect_header",
                "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured",
            );
        }
        config
    }

    /// The rule that this config stands for; the environment is read now.
    pub(crate) fn rule(&self) -> ProxyRule {
        let variable = |upper: &str| {
            let lower = upper.to_ascii_lowercase();
            std::env::var(upper)
                .ok()
                .filter(|v| !v.is_empty())
                .or_else(|| std::env::var(lower).ok())
                .unwrap_or_default()
        };
        if self.from_environment {
            let proxy = |name| parse_lenient(&variable(name));
            let no_proxy = variable("NO_PROXY");
            return ProxyRule {
                http: proxy("HTTP_PROXY"),
                https: proxy("HTTPS_PROXY"),
                direct: Some(no_proxy),
            };
        }
        let direct = (!self.no_proxy.is_empty()).then(|| self.no_proxy.clone());
        ProxyRule { http: self.url.clone(), https: self.url.clone(), direct }
    }
}

/// A proxy of the environment may be written without its scheme.
fn parse_lenient(text: &str) -> Option<Url> {
    match Url::parse(text) {
        Ok(url) if url.has_host() => Some(url),
        _ => Url::parse(&format!("http://{text}")).ok(),
    }
}

impl ToNode for ProxyConfig {
    fn to_node(&self) -> Node {
        let headers =
            self.connect_headers.iter().fold(Fields::new(), |f, (name, values)| f.field(name, values));
        Fields::new()
            .nonempty("proxy_url", &self.url)
            .nonempty("no_proxy", &self.no_proxy)
            .nonempty("proxy_from_environment", &self.from_environment)
            .nonempty("proxy_connect_header", &headers.node())
            .node()
    }
}

/// Decides per request.
#[derive(Clone, Debug)]
pub(crate) struct ProxyRule {
    http: Option<Url>,
    https: Option<Url>,
    /// Hosts reached directly. When there is such a list (even an empty one from the environment), this
    /// machine is reached directly too, as in Go.
    direct: Option<String>,
}

impl ProxyRule {
    /// The proxy for a server, or `None` to go there directly.
    pub(crate) fn proxy_for(&self, https: bool, host: &str, port: u16) -> Option<&Url> {
        let proxy = if https { self.https.as_ref() } else { self.http.as_ref() }?;
        match &self.direct {
            Some(list) if goes_direct(list, host, port) => None,
            _ => Some(proxy),
        }
    }
}

/// Whether a `no_proxy` list names the host.
fn goes_direct(list: &str, host: &str, port: u16) -> bool {
    let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || address.is_some_and(|ip| ip.is_loopback()) {
        return true;
    }
    list.split(',').map(|item| item.trim().to_ascii_lowercase()).filter(|item| !item.is_empty()).any(|item| {
        if item == "*" {
            return true;
        }
        if let (Some((network, bits)), Some(ip)) = (item.split_once('/'), address) {
            return in_network(ip, network, bits);
        }
        let (name, wanted_port) = match item.rsplit_once(':') {
            Some((name, p)) if !name.contains(':') || name.ends_with(']') => (name, p.parse::<u16>().ok()),
            _ => (item.as_str(), None),
        };
        if wanted_port.is_some_and(|p| p != port) {
            return false;
        }
        let name = name.trim_matches(['[', ']']);
        if let Ok(ip) = name.parse::<IpAddr>() {
            return address == Some(ip);
        }
        match name.strip_prefix('*').unwrap_or(name).strip_prefix('.') {
            Some(suffix) => host.strip_suffix(suffix).is_some_and(|head| head.ends_with('.')),
            None => host == name || host.strip_suffix(name).is_some_and(|head| head.ends_with('.')),
        }
    })
}

fn in_network(ip: IpAddr, network: &str, bits: &str) -> bool {
    let Ok(bits) = bits.parse::<u32>() else { return false };
    let same = |a: u128, b: u128, width: u32| bits <= width && (bits == 0 || (a ^ b) >> (width - bits) == 0);
    match (ip, network.parse()) {
        (IpAddr::V4(a), Ok(IpAddr::V4(b))) => same(u32::from(a).into(), u32::from(b).into(), 32),
        (IpAddr::V6(a), Ok(IpAddr::V6(b))) => same(a.into(), b.into(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_lists() {
        let f = |list: &str, host: &str, port: u16, want: bool| {
            assert_eq!(goes_direct(list, host, port), want, "{list} {host}:{port}");
        };
        f("", "example.com", 80, false);
        f("", "localhost", 80, true);
        f("", "127.0.0.1", 80, true);
        f("", "[::1]", 80, true);
        f("*", "example.com", 80, true);
        f("example.com", "example.com", 80, true);
        f("example.com", "a.example.com", 80, true);
        f("example.com", "badexample.com", 80, false);
        f(".example.com", "example.com", 80, false);
        f(".example.com", "a.example.com", 80, true);
        f("example.com:8080", "example.com", 80, false);
        f("example.com:80", "example.com", 80, true);
        f("other, 10.0.0.0/8", "10.1.2.3", 80, true);
        f("10.0.0.0/8", "11.1.2.3", 80, false);
        f("10.0.0.1", "10.0.0.1", 80, true);
        f("fd00::/8", "[fd00::1]", 80, true);
    }
}
