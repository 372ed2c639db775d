//! Which machines may be talked to: a guard against callers who reach through this host into networks they have no business in.
//!
//! A host written as an address is checked where it is written, a name is checked after it was resolved, and both again on every redirect.
//! The address that was checked is the one that is connected to, so a name cannot change its mind in between.

use crate::config::ImageConfig;
use hvnode_core::error::Detail;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::{Action, Attempt, Policy};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Redirects followed.
const REDIRECTS_MAX: usize = 5;

/// Why a server is not talked to. Travels inside reqwest's errors; found again by downcast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Its address is special.
    PrivateAddress(String),
    /// A redirect to a scheme that is not allowed.
    Scheme(String),
    /// Too many redirects.
    Redirects,
}

impl Refused {
    /// In both languages; `field` is what the caller called it.
    pub(crate) fn detail(&self, field: &str) -> Detail {
        match self {
            Self::PrivateAddress(host) => Detail::both(
                format!("{field}: {host} is a private address and the configuration does not allow those"),
                format!("{field}: {host} 是内网地址, 配置不允许访问"),
            ),
            Self::Scheme(scheme) => Detail::both(
                format!("{field}: redirected to {scheme}:, which is not allowed"),
                format!("{field}: 重定向到不允许的 {scheme}:"),
            ),
            Self::Redirects => {
                Detail::both(format!("{field}: more than {REDIRECTS_MAX} redirects"), format!("{field}: 重定向超过 {REDIRECTS_MAX} 次"))
            }
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail("url").en)
    }
}

impl std::error::Error for Refused {}

/// Refuses a host that is written as a special address. Names pass: [`Guard`] looks at what they resolve to.
pub(crate) fn check_host(config: &ImageConfig, url: &Url) -> Result<(), Refused> {
    // The URL parser has brought every spelling of an IPv4 address into the dotted one.
    let host = url.host_str().unwrap_or_default();
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) if !config.allow_private_addresses && is_special(address) => Err(Refused::PrivateAddress(host.to_owned())),
        _ => Ok(()),
    }
}

/// May a redirect be followed?
fn check_hop(config: &ImageConfig, hops: usize, next: &Url) -> Result<(), Refused> {
    if hops > REDIRECTS_MAX {
        return Err(Refused::Redirects);
    }
    let is_allowed = match next.scheme() {
        "http" => config.allow_http,
        "https" => config.allow_https,
        _ => false,
    };
    if !is_allowed {
        return Err(Refused::Scheme(next.scheme().to_owned()));
    }
    check_host(config, next)
}

/// The redirect policy.
pub(crate) fn redirects(config: &ImageConfig) -> Policy {
    let config = config.clone();
    Policy::custom(move |attempt: Attempt<'_>| -> Action {
        match check_hop(&config, attempt.previous().len(), attempt.url()) {
            Ok(()) => attempt.follow(),
            Err(refused) => attempt.error(refused),
        }
    })
}

/// Resolves names and lets through only addresses that may be talked to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guard {
    pub(crate) allow_private_addresses: bool,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let allows_all = self.allow_private_addresses;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<_> = found.filter(|address| allows_all || !is_special(address.ip())).collect();
            if allowed.is_empty() {
                return Err(Refused::PrivateAddress(name.as_str().to_owned()).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Anything but an ordinary public unicast address.
fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_special_v4(address),
        IpAddr::V6(address) => is_special_v6(address),
    }
}

fn is_special_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation()
        || a == 0
        // Multicast, reserved, broadcast.
        || a >= 224
        // Carrier-grade NAT, benchmarks, protocol assignments, old 6to4 relays.
        || (a == 100 && (64..128).contains(&b))
        || (a == 198 && (18..20).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
}

fn is_special_v6(address: Ipv6Addr) -> bool {
    let [a, b, .., g, h] = address.segments();
    let last = Ipv4Addr::from((u32::from(g) << 16) | u32::from(h));
    // Addresses that carry an IPv4 address are as good as that one: mapped, compatible, NAT64.
    if address.to_ipv4().is_some() || (a == 0x64 && b == 0xff9b) {
        return is_special_v4(last);
    }
    // Only 2000::/3 is public; out of it: documentation, Teredo and other assignments (2001::/23), 6to4 of anything.
    a & 0xe000 != 0x2000 || (a == 0x2001 && b < 0x200) || (a == 0x2001 && b == 0xdb8) || (a == 0x3fff && b < 0x1000) || a == 0x2002
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_told_from_public_ones() {
        let special = [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:192.168.0.1",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd00::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
            "fec0::1",
        ];
        for text in special {
            assert!(is_special(text.parse().unwrap()), "{text}");
        }
        for text in ["1.1.1.1", "100.128.0.1", "172.32.0.1", "198.20.0.1", "2606:4700::1111", "2a00:1450::1", "64:ff9b::1.1.1.1"] {
            assert!(!is_special(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_redirect_is_followed_only_to_where_a_url_could_point() {
        let config = ImageConfig { allow_http: false, ..ImageConfig::default() };
        let hop = |url: &str| check_hop(&config, 1, &Url::parse(url).unwrap());
        assert_eq!(hop("https://example.org/"), Ok(()));
        assert_eq!(hop("http://example.org/"), Err(Refused::Scheme("http".into())));
        assert_eq!(hop("file:///etc/shadow"), Err(Refused::Scheme("file".into())));
        assert_eq!(hop("https://[::1]/"), Err(Refused::PrivateAddress("[::1]".into())));
        assert_eq!(check_hop(&config, 6, &Url::parse("https://example.org/").unwrap()), Err(Refused::Redirects));
    }

    #[tokio::test]
    async fn a_name_of_this_machine_does_not_resolve_unless_allowed() {
        let resolve = |allow_private_addresses| async move {
            Guard { allow_private_addresses }.resolve("localhost".parse().unwrap()).await.map(Iterator::count)
        };
        let error = resolve(false).await.unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Refused::PrivateAddress("localhost".into())));
        assert!(resolve(true).await.unwrap() > 0);
    }
}
