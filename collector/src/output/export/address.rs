//! The parts of a URL that people may see, and whether what is sent there can be read on the way.

use std::fmt;
use std::net::IpAddr;

/// A URL of http or https. Shown by its host alone: the rest may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    /// As written.
    pub text: String,
    /// Host and port.
    pub host: String,
    encrypted: bool,
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({})", self.host)
    }
}

impl Url {
    /// Checks its form.
    ///
    /// # Errors
    /// One clause, without the URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || "a URL that begins with https:// (or http://) was expected".to_owned();
        let (scheme, rest) = text.split_once("://").ok_or_else(expected)?;
        let encrypted = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(expected()),
        };
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default();
        if host.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(expected());
        }
        Ok(Self { text: text.to_owned(), host: host.to_owned(), encrypted })
    }

    /// A sentence when it is unencrypted and leaves this machine.
    pub fn unprotected(&self, who: &str) -> Option<String> {
        let host = self.host.rsplit_once(':').map_or(self.host.as_str(), |(host, _)| host);
        let host = host.trim_matches(['[', ']']);
        let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        (!self.encrypted && !here).then(|| {
            format!("export to {who}: http:// is not encrypted, others on the way can read what is sent")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_is_shown() {
        let url = Url::parse("https://user:word@hooks.example:8443/services/T0/SECRET?x").unwrap();
        assert_eq!(
            (url.host.as_str(), format!("{url:?}").as_str()),
            ("hooks.example:8443", "Url(hooks.example:8443)")
        );
        for bad in ["hooks.example", "ftp://x", "https://", "https:///a", "https://a b", "https://a\nb"] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_can_be_read_on_the_way_is_told() {
        let told = |text: &str| Url::parse(text).unwrap().unprotected("x").is_some();
        assert!(told("http://10.0.0.7/") && told("http://hooks.example:80/"));
        assert!(!told("https://hooks.example/") && !told("http://127.0.0.1:5/") && !told("http://[::1]:5/"));
    }
}
