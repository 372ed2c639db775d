//! Microversions: which are served, how they are asked for, and the one table of what each brought.

use super::errors::Fault;
use http::{HeaderMap, HeaderValue, header};

/// Oldest compute version, as the minor number after `2.`.
pub(super) const COMPUTE_MIN: u16 = 1;
/// Newest compute version.
pub(super) const COMPUTE_MAX: u16 = 72;
/// Newest volume version, as the minor number after `3.`.
pub(super) const VOLUME_MAX: u16 = 59;

/// What each compute version brought, of that which this node has.
pub(super) mod since {
    /// Server attributes: host name, reservation, user data, root device.
    pub(in super::super) const EXTENDED_ATTRIBUTES: u16 = 3;
    /// Consoles are asked for in one way; the single actions end with the version before.
    pub(in super::super) const REMOTE_CONSOLES: u16 = 6;
    /// `locked` on servers.
    pub(in super::super) const LOCKED: u16 = 9;
    /// Key pairs have a type.
    pub(in super::super) const KEYPAIR_TYPE: u16 = 2;
    /// Key pairs have an owner.
    pub(in super::super) const KEYPAIR_USER: u16 = 10;
    /// `host_status` on servers.
    pub(in super::super) const HOST_STATUS: u16 = 16;
    /// `description` on servers.
    pub(in super::super) const DESCRIPTION: u16 = 19;
    /// Server tags.
    pub(in super::super) const TAGS: u16 = 26;
    /// `cpu_info` is an object.
    pub(in super::super) const CPU_INFO_OBJECT: u16 = 28;
    /// Hypervisors are paged.
    pub(in super::super) const HYPERVISOR_PAGING: u16 = 33;
    /// Proxies of the network service are gone from limits and quotas.
    pub(in super::super) const NO_NETWORK_PROXY: u16 = 36;
    /// `networks` must be said at create; `auto` and `none` are words.
    pub(in super::super) const NETWORKS_MANDATORY: u16 = 37;
    /// Images carry no metadata limit.
    pub(in super::super) const NO_IMAGE_METADATA: u16 = 39;
    /// Images made from servers come back in the body.
    pub(in super::super) const NO_FLOATING_LIMITS: u16 = 57;
    /// The flavor of a server is shown whole.
    pub(in super::super) const EMBEDDED_FLAVOR: u16 = 47;
    /// Diagnostics have one form.
    pub(in super::super) const STANDARD_DIAGNOSTICS: u16 = 48;
    /// Events of actions are shown to everybody.
    pub(in super::super) const ACTION_EVENTS: u16 = 51;
    /// Tags may be given at create.
    pub(in super::super) const TAGS_AT_CREATE: u16 = 52;
    /// Hypervisors and services have UUIDs.
    pub(in super::super) const HYPERVISOR_UUID: u16 = 53;
    /// `description` on flavors.
    pub(in super::super) const FLAVOR_DESCRIPTION: u16 = 55;
    /// Actions tell when they were updated.
    pub(in super::super) const ACTION_UPDATED: u16 = 58;
    /// `extra_specs` on flavors.
    pub(in super::super) const FLAVOR_EXTRA_SPECS: u16 = 61;
    /// Events of actions tell their host.
    pub(in super::super) const ACTION_HOST: u16 = 62;
    /// Trusted image certificates.
    pub(in super::super) const TRUSTED_CERTIFICATES: u16 = 63;
    /// Server groups' policy has a singular form.
    pub(in super::super) const SERVER_GROUPS: u16 = 71;
    /// Attachments of volumes and ports carry tags.
    pub(in super::super) const ATTACHMENT_TAG: u16 = 70;
    /// Services may be forced down.
    pub(in super::super) const SERVICE_FORCED_DOWN: u16 = 11;
}

/// Services with versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Versioned {
    /// The word in the header.
    pub(super) service: &'static str,
    major: u16,
    min: u16,
    max: u16,
    legacy_header: Option<&'static str>,
}

/// Nova.
pub(super) const COMPUTE: Versioned =
    Versioned { service: "compute", major: 2, min: COMPUTE_MIN, max: COMPUTE_MAX, legacy_header: Some("x-openstack-nova-api-version") };
/// Cinder.
pub(super) const VOLUME: Versioned = Versioned { service: "volume", major: 3, min: 0, max: VOLUME_MAX, legacy_header: None };

const HEADER: &str = "openstack-api-version";

impl Versioned {
    /// The minor version that a request asks for; the oldest where it says nothing.
    ///
    /// # Errors
    /// 400 where it is no version, 406 where it is not served.
    pub(super) fn of(&self, headers: &HeaderMap) -> Result<u16, Fault> {
        let Some(text) = self.asked(headers)? else { return Ok(self.min) };
        if text == "latest" {
            return Ok(self.max);
        }
        let is_number = |part: &str| {
            !part.is_empty() && part.len() <= 5 && part.bytes().all(|b| b.is_ascii_digit()) && !(part.len() > 1 && part.starts_with('0'))
        };
        let parts = text.split_once('.').filter(|(major, minor)| is_number(major) && is_number(minor));
        let Some((major, minor)) = parts else {
            let shown: String = text.chars().take(40).collect();
            return Err(Fault::bad_request(format!(
                "API Version String {shown} is of invalid format. Must be of format MajorNum.MinorNum."
            )));
        };
        match (major.parse::<u16>(), minor.parse::<u16>()) {
            (Ok(major), Ok(minor)) if major == self.major && (self.min..=self.max).contains(&minor) => Ok(minor),
            _ => {
                let Self { major: m, min, max, .. } = self;
                Err(Fault::new(406, format!("Version {text} is not supported by the API. Minimum is {m}.{min} and maximum is {m}.{max}.")))
            }
        }
    }

    fn asked(&self, headers: &HeaderMap) -> Result<Option<String>, Fault> {
        let malformed = || Fault::bad_request(format!("The header {HEADER} must be of the form '{} X.Y'.", self.service));
        for value in headers.get_all(HEADER) {
            let text = value.to_str().map_err(|_| malformed())?;
            for part in text.split(',') {
                match part.split_whitespace().collect::<Vec<_>>()[..] {
                    [service, version] if service.eq_ignore_ascii_case(self.service) => return Ok(Some(version.to_ascii_lowercase())),
                    [service, _] if !service.is_empty() => {}
                    _ => return Err(malformed()),
                }
            }
        }
        let legacy = self.legacy_header.and_then(|name| headers.get(name));
        legacy.map(|value| value.to_str().map(|text| text.trim().to_ascii_lowercase()).map_err(|_| malformed())).transpose()
    }

    /// Says in an answer which version it is of.
    pub(super) fn echo(&self, minor: u16, headers: &mut HeaderMap) {
        let version = format!("{}.{minor}", self.major);
        if let Ok(value) = HeaderValue::from_str(&format!("{} {version}", self.service)) {
            headers.insert(HEADER, value);
        }
        headers.append(header::VARY, HeaderValue::from_static("OpenStack-API-Version"));
        if let (Some(name), Ok(value)) = (self.legacy_header, HeaderValue::from_str(&version)) {
            headers.insert(name, value);
            headers.append(header::VARY, HeaderValue::from_static("X-OpenStack-Nova-API-Version"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(pairs: &[(&'static str, &str)]) -> Result<u16, u16> {
        let headers = pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect();
        COMPUTE.of(&headers).map_err(|fault| fault.status)
    }

    #[test]
    fn a_version_is_found_in_either_header_and_bounded() {
        assert_eq!(ask(&[]), Ok(1));
        assert_eq!(ask(&[("openstack-api-version", "compute 2.72")]), Ok(72));
        assert_eq!(ask(&[("openstack-api-version", "volume 3.1, compute 2.26")]), Ok(26));
        assert_eq!(ask(&[("openstack-api-version", "compute latest")]), Ok(72));
        assert_eq!(ask(&[("openstack-api-version", "volume 3.1")]), Ok(1));
        assert_eq!(ask(&[("x-openstack-nova-api-version", "2.3")]), Ok(3));
        for text in ["2.0", "2.73", "2.9999", "3.1", "1.1"] {
            assert_eq!(ask(&[("x-openstack-nova-api-version", text)]), Err(406), "{text}");
        }
        for text in ["2", "2.", ".1", "a.b", "2.1.1", "-2.1", "2.01", "", "2.999999"] {
            assert_eq!(ask(&[("x-openstack-nova-api-version", text)]), Err(400), "{text}");
        }
        assert_eq!(ask(&[("openstack-api-version", "2.1")]), Err(400));
    }
}
