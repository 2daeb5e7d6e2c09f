//! TLS, QUIC and SSH handshakes of real captures, compared with what other programs say about the same captures.

mod facts;
mod replay;

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
