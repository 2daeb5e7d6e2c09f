//! What agent and collector share of a connection to a broker: its address, the limits that are set explicitly, and what an
//! error of the client library means in words.
//!
//! Prevents: a default of a library or broker that silently drops what is larger than expected.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode};
use rumqttc::v5::mqttbytes::{self, QoS};
use rumqttc::v5::{ConnectionError, MqttOptions, StateError};
use rumqttc::{TlsConfiguration, TlsError, Transport};
use rustls::ClientConfig;

use super::tls::{self, Files};

use crate::wire::MAX_REPORT;

/// Every publication and subscription.
pub const QOS: QoS = QoS::AtLeastOnce;
/// Largest MQTT packet: the largest report, and room for topic and header. rumqttc's own limit is 10 KiB.
#[allow(clippy::cast_possible_truncation, reason = "a constant of 257 KiB")]
pub const MAX_PACKET: u32 = MAX_REPORT as u32 + 1024;
/// Seconds of silence after which the other side is asked for a sign of life.
pub const KEEP_ALIVE_S: u64 = 30;
/// Seconds that opening a connection may take.
pub const CONNECT_S: u64 = 10;

/// Where the broker is: `mqtts://host[:port]`, or without encryption `mqtt://[user[:password]@]host[:port]`.
#[derive(Clone)]
pub struct Broker {
    /// Name or address; IPv6 in brackets.
    host: String,
    port: u16,
    login: Option<(String, String)>,
    /// The address says `mqtts`.
    encrypted: bool,
    tls: Option<Arc<ClientConfig>>,
}

impl Broker {
    /// Reads an address.
    ///
    /// # Errors
    /// What was found and what was expected. A password is not repeated.
    pub fn parse(url: &str) -> Result<Self, String> {
        let expected = "expected mqtts://host, mqtts://host:port or the same with mqtt://";
        let (encrypted, rest) = match url.split_once("://") {
            Some(("mqtt", rest)) => (false, rest),
            Some(("mqtts", rest)) => (true, rest),
            Some((scheme, _)) => return Err(format!("{scheme}:// is not supported, {expected}")),
            None => return Err(format!("no address of a broker, {expected}")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                (Some((user.to_owned(), password.to_owned())), place)
            }
            None => (None, rest),
        };
        let (host, port) = match place.rfind(':') {
            Some(colon) if !place.ends_with(']') => {
                let (host, port) = place.split_at(colon);
                let port = port.trim_start_matches(':');
                let number = port.parse().ok().filter(|n| *n > 0);
                (host, number.ok_or_else(|| format!("{port} is no port, expected 1 to 65535"))?)
            }
            _ => (place, if encrypted { 8883 } else { 1883 }),
        };
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let good = match bare {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty()
                    && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
            }
        };
        if !good {
            return Err(format!("{host:?} is no host name or address, {expected}"));
        }
        if encrypted && bare.is_some() {
            return Err(format!(
                "{host}: TLS needs the host name that the broker's certificate is for, or an IPv4 address"
            ));
        }
        Ok(Self { host: host.to_owned(), port, login, encrypted, tls: None })
    }

    /// Reads what protects the connection.
    ///
    /// # Errors
    /// A file cannot be used, or it is for TLS and the address is not: one sentence.
    pub fn protect(mut self, files: &Files) -> Result<Self, String> {
        if self.encrypted {
            self.tls = Some(files.config()?);
        } else if files.protects() {
            return Err(
                "certificates are for mqtts://, and the broker's address begins with mqtt://".to_owned()
            );
        }
        if let Some(login) = files.login()? {
            self.login = Some(login);
        }
        Ok(self)
    }

    /// Host without brackets, and port.
    #[must_use]
    pub fn place(&self) -> (String, u16) {
        (self.host.trim_start_matches('[').trim_end_matches(']').to_owned(), self.port)
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Whether files protect the connection, which may be others by now.
    #[must_use]
    pub const fn has_files(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether the broker is on this very machine, so that nobody else can read along.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|addr| addr.is_loopback())
    }

    /// Refuses an open connection over a network unless the owner has asked for it.
    ///
    /// # Errors
    /// One sentence that says so.
    pub fn allow(&self, insecure: bool) -> Result<(), String> {
        if self.encrypted || insecure || self.is_local() {
            return Ok(());
        }
        Err(format!(
            "the broker {self} is on another machine and mqtt:// is not encrypted: anyone on the way can read and change \
             what is sent; use mqtts://, or --insecure if the way is protected otherwise"
        ))
    }

    /// Options of a connection with every limit set: packet sizes, publications in flight each way, keep-alive, how long
    /// the broker keeps the session (and what it could not deliver) after a disconnect.
    #[must_use]
    pub fn options(&self, client_id: &str, in_flight: u16, session_s: u32) -> MqttOptions {
        let mut options = MqttOptions::new(client_id, self.host.clone(), self.port);
        options.set_keep_alive(std::time::Duration::from_secs(KEEP_ALIVE_S));
        options.set_connection_timeout(CONNECT_S);
        options.set_clean_start(false);
        options.set_session_expiry_interval(Some(session_s));
        options.set_max_packet_size(Some(MAX_PACKET));
        options.set_receive_maximum(Some(in_flight));
        options.set_outgoing_inflight_upper_limit(in_flight);
        options.set_topic_alias_max(None);
        if let Some(tls) = &self.tls {
            options.set_transport(Transport::Tls(TlsConfiguration::Rustls(Arc::clone(tls))));
        }
        if let Some((user, password)) = &self.login {
            options.set_credentials(user.clone(), password.clone());
        }
        options
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What an error of the connection means, as the end of a sentence that begins with the broker.
#[must_use]
pub fn explain(error: &ConnectionError) -> String {
    match error {
        ConnectionError::Io(error) | ConnectionError::MqttState(StateError::Io(error)) => io_error(error),
        // TLS that ends behind the handshake: a broker refuses our certificate only then.
        ConnectionError::MqttState(StateError::Deserialization(mqttbytes::Error::Io(error)))
            if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) =>
        {
            io_error(error)
        }
        ConnectionError::Tls(TlsError::Io(error)) => io_error(error),
        ConnectionError::Tls(TlsError::TLS(error)) => tls::explain(error),
        ConnectionError::Timeout(_) => format!("does not answer within {CONNECT_S} s"),
        ConnectionError::ConnectionRefused(code) => match code {
            ConnectReturnCode::NotAuthorized | ConnectReturnCode::Banned => {
                "does not let us in: not authorised".to_owned()
            }
            ConnectReturnCode::BadUserNamePassword => {
                "does not let us in: wrong user name or password".to_owned()
            }
            ConnectReturnCode::UnsupportedProtocolVersion => "does not speak MQTT 5".to_owned(),
            ConnectReturnCode::ServerBusy | ConnectReturnCode::ServerUnavailable => "is too busy".to_owned(),
            other => format!("refuses the connection: {other:?}"),
        },
        ConnectionError::NotConnAck(_) | ConnectionError::MqttState(StateError::Deserialization(_)) => {
            "does not speak MQTT 5".to_owned()
        }
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => match reason_code {
            DisconnectReasonCode::SessionTakenOver => {
                "has another client with our name: two agents with the same site and sensor, or two collectors \
                 with the same folder?"
                    .to_owned()
            }
            DisconnectReasonCode::ServerShuttingDown => "is shutting down".to_owned(),
            other => format!("ended the session: {other:?}"),
        },
        ConnectionError::MqttState(StateError::ConnectionAborted) => "closed the connection".to_owned(),
        ConnectionError::MqttState(StateError::AwaitPingResp) => "no longer answers".to_owned(),
        ConnectionError::MqttState(StateError::OutgoingPacketTooLarge { pkt_size, max }) => {
            format!("takes packets of at most {max} bytes and this one has {pkt_size}: raise its max_packet_size")
        }
        other => format!("failed: {other}"),
    }
}

fn io_error(error: &io::Error) -> String {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return tls::explain(error);
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "refuses the connection; is it running, and is the port right?".to_owned()
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
            "closed the connection".to_owned()
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "cannot be reached".to_owned(),
        io::ErrorKind::TimedOut => "does not answer".to_owned(),
        _ => {
            let text = error.to_string();
            if text.contains("lookup address") || text.contains("not known") {
                "cannot be found: the host name is unknown".to_owned()
            } else {
                format!("failed: {}", text.split(" (os error").next().unwrap_or(&text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let good = |url: &str| {
            let broker = Broker::parse(url).unwrap();
            (broker.to_string(), broker.is_local(), broker.login)
        };
        let login = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(good("mqtt://localhost"), ("localhost:1883".to_owned(), true, None));
        assert_eq!(good("mqtt://127.0.0.2:99/"), ("127.0.0.2:99".to_owned(), true, None));
        assert_eq!(good("mqtt://[::1]:1884"), ("[::1]:1884".to_owned(), true, None));
        assert_eq!(good("mqtt://[2001:db8::1]"), ("[2001:db8::1]:1883".to_owned(), false, None));
        assert_eq!(
            good("mqtt://u:p:@q@broker.lan"),
            ("broker.lan:1883".to_owned(), false, login("u", "p:@q"))
        );
        let bad = |url: &str| Broker::parse(url).unwrap_err();
        assert_eq!(
            bad("localhost"),
            "no address of a broker, expected mqtts://host, mqtts://host:port or the same with mqtt://"
        );
        assert_eq!(
            bad("http://x"),
            "http:// is not supported, expected mqtts://host, mqtts://host:port or the same with mqtt://"
        );
        assert_eq!(bad("mqtt://x:0"), "0 is no port, expected 1 to 65535");
        assert_eq!(bad("mqtt://x:y"), "y is no port, expected 1 to 65535");
        for url in ["mqtt://", "mqtt://a b", "mqtt://[::1", "mqtt://u:secret@a/b", "mqtt://[x]"] {
            let text = bad(url);
            assert!(text.contains("is no ") && !text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn an_open_connection_over_a_network_needs_the_owners_word() {
        let broker = Broker::parse("mqtt://192.0.2.1").unwrap();
        assert!(broker.allow(false).unwrap_err().contains("--insecure"));
        assert_eq!(broker.allow(true), Ok(()));
        assert_eq!(Broker::parse("mqtt://127.0.0.1").unwrap().allow(false), Ok(()));
        let broker = Broker::parse("mqtts://broker.lan").unwrap();
        assert_eq!((broker.to_string(), broker.allow(false)), ("broker.lan:8883".to_owned(), Ok(())));
        assert!(
            broker.protect(&Files::default()).unwrap_err().contains("--ca"),
            "never without verification"
        );
        let files = Files { ca: Some("ca.pem".into()), ..Files::default() };
        let text = Broker::parse("mqtt://127.0.0.1").unwrap().protect(&files).unwrap_err();
        assert!(text.contains("begins with mqtt://"), "{text}");
    }

    #[test]
    fn every_limit_is_ours() {
        let options = Broker::parse("mqtt://localhost").unwrap().options("slips", 8, 3600);
        assert_eq!(options.max_packet_size(), Some(263_168));
        assert_eq!(options.receive_maximum(), Some(8));
        assert_eq!(options.get_outgoing_inflight_upper_limit(), Some(8));
        assert_eq!(options.session_expiry_interval(), Some(3600));
        assert_eq!(options.keep_alive().as_secs(), 30);
        assert_eq!(options.connection_timeout(), 10);
        assert!(!options.clean_start() && !options.manual_acks());
    }
}
