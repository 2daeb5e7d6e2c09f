//! TLS, QUIC and SSH handshakes of real captures, compared with what other programs say about the same captures.

mod dtls;
mod facts;
mod ja4;
mod replay;
mod ssh;
mod suricata;
mod zeek;

use std::path::Path;

use slips_agent::app::quic::QuicParser;
use slips_agent::app::record::{App, Tls};
use slips_agent::app::tls::TlsParser;

use self::replay::{Ends, datagrams, streams};

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// All TLS and QUIC handshakes of a capture.
fn handshakes(path: &Path) -> Vec<(Ends, Tls<Box<str>>)> {
    let said = streams::<TlsParser>(path, true).into_iter().chain(datagrams::<QuicParser>(path));
    said.filter_map(|said| match said.record {
        Some(App::Tls(tls)) => Some((said.ends, tls)),
        _ => None,
    })
    .collect()
}
