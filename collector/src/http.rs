//! The one HTTP client: requests with limits, answers that are judged the same way everywhere.
//!
//! Enters: a URL, headers, a body. Leaves: status, what the server asks for (`Retry-After`), the first [`MAX_BODY`] bytes of the
//! answer. It blocks for at most [`Limits::whole`], so it belongs on a thread that may wait. It follows no redirect: a token must
//! not travel to a host that nobody wrote down. Its errors never contain the URL, which may be a secret. TLS is always verified.

use slips_agent::uplink::tls;
use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{HeaderMap, Response};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

/// Bytes of an answer that are read.
pub const MAX_BODY: u64 = 1 << 20;

/// The longest wait that a server can ask for.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// Time that a request may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Until connected.
    pub connect: Duration,
    /// In all.
    pub whole: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), whole: Duration::from_secs(30) }
    }
}

/// See the head of the file. Clones share connections.
#[derive(Clone, Debug)]
pub struct Client(Agent);

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// How long the server asks to be left alone, at most an hour.
    pub retry_after: Option<Duration>,
    /// The first [`MAX_BODY`] bytes.
    pub body: Vec<u8>,
}

/// An answer whose body is still to come.
pub struct Stream {
    /// HTTP status.
    pub status: u16,
    headers: HeaderMap,
    /// The body; it fails when it is cut or takes too long.
    pub body: Box<dyn std::io::Read>,
}

impl Stream {
    /// The value of a header, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim)
    }

    /// How long the server asks to be left alone, at most an hour.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers)
    }
}

/// No answer: one clause that follows the name of the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure(pub String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl Client {
    /// A client that trusts the roots of the web, or only the certificates of `ca_file` (PEM).
    ///
    /// # Errors
    /// One sentence: the file cannot be read, or holds no certificate.
    pub fn new(limits: Limits, ca_file: Option<&Path>) -> Result<Self, String> {
        Self::through(limits, ca_file, None)
    }

    /// The same through a proxy, `http://[user:password@]host:port`. Without one those of the environment (`HTTPS_PROXY` …) are not used:
    /// what leaves and by which way stands in the configuration only.
    ///
    /// # Errors
    /// As [`Client::new`], or the proxy is not understood.
    pub fn through(limits: Limits, ca_file: Option<&Path>, proxy: Option<&str>) -> Result<Self, String> {
        let proxy = proxy
            .map(|text| ureq::Proxy::new(text).map_err(|_| format!("{text} is no proxy")))
            .transpose()?;
        let roots = ca_file.map(certificates).transpose()?.unwrap_or(RootCerts::WebPki);
        let tls = TlsConfig::builder()
            .root_certs(roots)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(proxy)
            .timeout_connect(Some(limits.connect))
            .timeout_global(Some(limits.whole))
            .user_agent(concat!("slips/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self(config.new_agent()))
    }

    /// GET.
    ///
    /// # Errors
    /// There was no answer.
    pub fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<Answer, Failure> {
        let mut request = self.0.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.call().map_err(|error| failure(&error)).and_then(answer)
    }

    /// GET whose answer is read by the caller, piece by piece, within [`Limits::whole`].
    ///
    /// # Errors
    /// There was no answer.
    pub fn open(&self, url: &str, headers: &[(&str, &str)]) -> Result<Stream, Failure> {
        let mut request = self.0.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, body) = request.call().map_err(|error| failure(&error))?.into_parts();
        Ok(Stream { status: head.status.as_u16(), headers: head.headers, body: Box::new(body.into_reader()) })
    }

    /// POST.
    ///
    /// # Errors
    /// There was no answer.
    pub fn post(&self, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, Failure> {
        let mut request = self.0.post(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send(body).map_err(|error| failure(&error)).and_then(answer)
    }
}

/// Text for a query or a form: everything but letters, digits and `-._~` as percent and two digits (RFC 3986, 2.1).
#[must_use]
pub fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn certificates(path: &Path) -> Result<RootCerts, String> {
    let place = path.display();
    let bytes = std::fs::read(path)
        .map_err(|e| format!("{place}: the certificates cannot be read: {}", crate::output::reason(&e)))?;
    let found: Vec<_> = parse_pem(&bytes)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        return Err(format!("{place}: holds no certificate in PEM"));
    }
    Ok(RootCerts::new_with_certs(&found))
}

fn answer(response: Response<Body>) -> Result<Answer, Failure> {
    let (head, body) = response.into_parts();
    let mut bytes = Vec::new();
    // The status says enough, also when the text behind it does not come.
    let _ = body.into_reader().take(MAX_BODY).read_to_end(&mut bytes);
    Ok(Answer { status: head.status.as_u16(), retry_after: retry_after(&head.headers), body: bytes })
}

/// Seconds, or a date in the future of the date that the server itself tells, so that our clock does not matter.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let asked = text("retry-after")?;
    if let Ok(seconds) = asked.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(MAX_WAIT));
    }
    let date = |text: &str| jiff::fmt::rfc2822::parse(text).ok().map(|t| t.timestamp().as_second());
    let wait = date(asked)? - text("date").and_then(date)?;
    Some(Duration::from_secs(u64::try_from(wait).unwrap_or(0)).min(MAX_WAIT))
}

/// Also what is said where there is no network at all.
const NO_ADDRESS: &str = "its name has no address";

fn failure(error: &ureq::Error) -> Failure {
    Failure(match error {
        ureq::Error::HostNotFound => NO_ADDRESS.to_owned(),
        ureq::Error::Timeout(_) => "did not answer in time".to_owned(),
        ureq::Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(error) => tls::explain(error),
            // The standard library has no kind for it.
            None if error.to_string().starts_with("failed to lookup address") => NO_ADDRESS.to_owned(),
            None => format!("cannot be reached: {}", crate::output::reason(error)),
        },
        ureq::Error::ConnectionFailed => "cannot be reached".to_owned(),
        ureq::Error::Rustls(error) => tls::explain(error),
        ureq::Error::Tls(what) => format!("cannot be trusted: {what}"),
        ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => "does not speak HTTP".to_owned(),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => "its URL is not understood".to_owned(),
        // The rest may quote the URL.
        _ => "the request failed".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_to_wait() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            pairs.iter().for_each(|(k, v)| drop(map.insert(*k, v.parse().unwrap())));
            retry_after(&map)
        };
        assert_eq!(headers(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(headers(&[("retry-after", "999999999")]), Some(MAX_WAIT));
        let dates =
            [("date", "Fri, 31 Dec 1999 23:59:00 GMT"), ("retry-after", "Sat, 01 Jan 2000 00:00:30 GMT")];
        assert_eq!(headers(&dates), Some(Duration::from_secs(90)));
        assert_eq!(headers(&[("retry-after", "soon")]), None);
        assert_eq!(headers(&[]), None);
    }

    #[test]
    fn a_name_without_an_address_is_said_plainly() {
        let client = Client::new(Limits::default(), None).unwrap();
        let failure = client.get("http://no-such-host.invalid/", &[]).unwrap_err();
        assert_eq!(failure.0, NO_ADDRESS);
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let path = std::env::temp_dir().join(format!("slips-http-{}.pem", std::process::id()));
        std::fs::write(&path, "-----BEGIN NOTHING-----\n").unwrap();
        let refused = Client::new(Limits::default(), Some(&path)).unwrap_err();
        assert!(refused.ends_with("holds no certificate in PEM"), "{refused}");
        std::fs::remove_file(&path).unwrap();
    }
}
