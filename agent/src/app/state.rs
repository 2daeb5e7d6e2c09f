//! What a slot is doing: recognising, or reading one protocol.

use super::stream::StreamParser;

/// The parser of a flow with its state.
#[derive(Clone, Copy, Default, Debug)]
pub enum State {
    /// The first bytes are collected until they show what they are.
    #[default]
    Recognise,
    /// TLS.
    Tls(super::tls::TlsParser),
    /// SSH.
    Ssh(super::ssh::SshParser),
    /// QUIC.
    Quic(super::quic::QuicParser),
    /// DTLS.
    Dtls(super::tls::dtls::DtlsParser),
    /// DNS in datagrams: queries that wait for their reply.
    Dns(super::dns::Pending),
    /// DNS in a byte stream.
    DnsStream(super::dns::Stream),
    /// HTTP/1.
    Http(super::http::Http),
    /// SMTP.
    Smtp(super::smtp::Smtp),
    /// Control connection of FTP.
    Ftp(super::ftp::Ftp),
    /// Telnet, rlogin, rsh.
    Login(super::login::Login),
    /// Protocols of which only the service and a change to TLS are read.
    Plain(super::starttls::Plain),
}

impl State {
    /// The parser, if it is one over a byte stream.
    pub fn stream(&mut self) -> Option<&mut dyn StreamParser> {
        match self {
            Self::DnsStream(p) => Some(p),
            Self::Http(p) => Some(p),
            Self::Smtp(p) => Some(p),
            Self::Ftp(p) => Some(p),
            Self::Login(p) => Some(p),
            Self::Plain(p) => Some(p),
            Self::Recognise | Self::Dns(_) | Self::Tls(_) | Self::Ssh(_) | Self::Quic(_) | Self::Dtls(_) => {
                None
            }
        }
    }
}
