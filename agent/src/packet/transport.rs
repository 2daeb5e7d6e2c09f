//! Layer 4: TCP, UDP, ICMP, ICMPv6, SCTP.
//!
//! Enters: the body of an IP packet or of a datagram put together from fragments. Leaves: ports, flags and the captured
//! part of the payload, with its length on the wire. It never looks into the payload. A header that the capture cut is
//! truncated; one that does not fit its own packet is malformed, as the receiving host would find it.

use super::bytes::{Rest, be16, be32};
use super::{Drop, Icmp, Sctp, Tcp, Transport, Udp};
use crate::record::proto;

/// Decodes layer 4 of a whole datagram.
#[inline(always)]
pub(super) fn decode(protocol: u8, rest: Rest<'_>) -> Result<Transport<'_>, Drop> {
    match protocol {
        proto::TCP => tcp(rest).map(Transport::Tcp),
        proto::UDP => udp(rest).map(Transport::Udp),
        proto::ICMP | proto::ICMPV6 => icmp(protocol, rest).map(Transport::Icmp),
        proto::SCTP => sctp(rest).map(Transport::Sctp),
        _ => Ok(Transport::Other),
    }
}

/// The fixed part of a header: malformed if the packet itself is shorter, truncated if only the capture is.
fn header<'a, const N: usize>(rest: &mut Rest<'a>) -> Result<&'a [u8; N], Drop> {
    if rest.wire_len < N as u32 {
        return Err(Drop::TransportMalformed);
    }
    rest.take::<N>().ok_or(Drop::TransportTruncated)
}

#[inline(always)]
fn tcp(mut rest: Rest<'_>) -> Result<Tcp<'_>, Drop> {
    let &[s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3, offset, flags, w0, w1, ..] =
        header::<20>(&mut rest)?;
    let options = (u32::from(offset >> 4) * 4).checked_sub(20).ok_or(Drop::TransportMalformed)?;
    let payload_len = rest.wire_len.checked_sub(options).ok_or(Drop::TransportMalformed)?;
    Ok(Tcp {
        src_port: be16(s0, s1),
        dst_port: be16(d0, d1),
        seq: be32(q0, q1, q2, q3),
        ack: be32(a0, a1, a2, a3),
        flags,
        window: be16(w0, w1),
        // Options that the capture cut leave no payload.
        payload: rest.bytes.get(options as usize..).unwrap_or(&[]),
        payload_len,
    })
}

#[inline(always)]
fn udp(mut rest: Rest<'_>) -> Result<Udp<'_>, Drop> {
    let body_len = rest.wire_len;
    let &[s0, s1, d0, d1, l0, l1, _, _] = header::<8>(&mut rest)?;
    // Zero: offload or a jumbogram, so the whole body belongs to the datagram.
    let len = match be16(l0, l1) {
        0 => body_len,
        n => u32::from(n),
    };
    if len < 8 || len > body_len {
        return Err(Drop::TransportMalformed);
    }
    rest.limit(len - 8);
    Ok(Udp {
        src_port: be16(s0, s1),
        dst_port: be16(d0, d1),
        payload: rest.bytes,
        payload_len: rest.wire_len,
    })
}

fn icmp(protocol: u8, mut rest: Rest<'_>) -> Result<Icmp<'_>, Drop> {
    let &[kind, code, _, _, i0, i1, _, _] = header::<8>(&mut rest)?;
    let has_id = match protocol {
        // Echo, timestamp, information and mask, each with its reply.
        proto::ICMP => matches!(kind, 0 | 8 | 13..=18),
        _ => matches!(kind, 128 | 129),
    };
    Ok(Icmp {
        kind,
        code,
        id: if has_id { be16(i0, i1) } else { 0 },
        payload: rest.bytes,
        payload_len: rest.wire_len,
    })
}

fn sctp(mut rest: Rest<'_>) -> Result<Sctp<'_>, Drop> {
    let &[s0, s1, d0, d1, ..] = header::<12>(&mut rest)?;
    Ok(Sctp {
        src_port: be16(s0, s1),
        dst_port: be16(d0, d1),
        first_chunk: rest.bytes.first().copied().unwrap_or(255),
        payload: rest.bytes,
        payload_len: rest.wire_len,
    })
}
