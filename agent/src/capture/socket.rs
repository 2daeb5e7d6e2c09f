//! The four system calls of a packet socket that no safe crate offers.
//!
//! Enters: an open `AF_PACKET` socket and a buffer. Leaves: a packet with what the kernel knows beside its bytes, and the
//! socket's counters. It exists because pnet's own receiver asks the kernel for the bytes alone. Then the 802.1Q tag is
//! gone (the kernel takes it off every frame), a packet that does not fit has a wrong length, every packet on loopback
//! counts twice, the time is the one of reading, and nobody learns what was dropped. It takes a packet in no more time
//! than pnet's receiver (`tests/bench/packet.rs` measures both).
//!
//! # Proof
//! Unsafe are only the calls themselves. Each gets pointers to live local variables or to the caller's slices, together
//! with those very sizes, and the kernel writes no more than the size it was given and keeps no pointer beyond the call.
//! All out-structures are plain integers, for which zero is a value. What the kernel wrote is read as bytes, in safe code
//! ([`Notes`]), up to the length it reported or the buffer's, whichever is less.
#![allow(unsafe_code, reason = "see the proof above")]

use std::io;
use std::mem::{size_of, size_of_val, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::from_mut;

/// Linux: `linux/if_packet.h`, `asm-generic/socket.h`.
mod kernel {
    pub(super) const SOL_PACKET: i32 = 263;
    pub(super) const PACKET_STATISTICS: i32 = 6;
    pub(super) const PACKET_AUXDATA: i32 = 8;
    /// Two 64-bit numbers on every architecture; kernels since 5.1 have it.
    pub(super) const SO_TIMESTAMPNS_NEW: i32 = 64;
    pub(super) const TP_STATUS_VLAN_VALID: u32 = 1 << 4;
    pub(super) const TP_STATUS_VLAN_TPID_VALID: u32 = 1 << 6;
}

/// Room for what the kernel says beside a packet: at most 56 bytes of it are asked for.
const NOTES: usize = 256;

/// Bytes aligned as the kernel aligns its notes.
#[repr(align(8))]
struct Aligned([u8; NOTES]);

/// A packet as the kernel handed it out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Received {
    /// Bytes in the buffer.
    pub(super) captured: usize,
    /// Bytes that the packet had.
    pub(super) wire_len: usize,
    /// When the kernel saw it, since 1970; `None` if the kernel keeps no time.
    pub(super) ts_us: Option<u64>,
    /// The 802.1Q tag it was carried with: protocol and control information.
    pub(super) tag: Option<(u16, u16)>,
    /// Network protocol, an EtherType.
    pub(super) protocol: u16,
    /// Index of the interface.
    pub(super) interface: i32,
    /// `ARPHRD_…` of the interface.
    pub(super) hardware: u16,
    /// 0 to us, 1 broadcast, 2 multicast, 3 to others, 4 from us.
    pub(super) direction: u8,
    /// Sender's hardware address, and how much of it is used.
    pub(super) address: ([u8; 8], u8),
}

/// Packets that arrived at a socket, dropped ones included, and the dropped ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Statistics {
    pub(super) arrived: u32,
    pub(super) dropped: u32,
}

/// Asks for tags, lengths and times beside the packets. A kernel without times is no error.
pub(super) fn annotate(socket: BorrowedFd<'_>) -> io::Result<()> {
    let _ = set(socket, libc::SOL_SOCKET, kernel::SO_TIMESTAMPNS_NEW);
    set(socket, kernel::SOL_PACKET, kernel::PACKET_AUXDATA)
}

fn set(socket: BorrowedFd<'_>, level: i32, option: i32) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: `on` lives through the call and has the size that is passed.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The counters since the last call: reading sets them back.
pub(super) fn statistics(socket: BorrowedFd<'_>) -> io::Result<Statistics> {
    let mut counters = [0u32; 2];
    let mut len = size_of_val(&counters) as libc::socklen_t;
    // SAFETY: `counters` and `len` live through the call; `len` is the size of `counters`, which is what the kernel's
    // `struct tpacket_stats` has: two 32-bit counters.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            kernel::SOL_PACKET,
            kernel::PACKET_STATISTICS,
            counters.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    let [arrived, dropped] = counters;
    if result == 0 { Ok(Statistics { arrived, dropped }) } else { Err(io::Error::last_os_error()) }
}

/// `ARPHRD_…` of the interface that the socket is bound to.
pub(super) fn hardware(socket: BorrowedFd<'_>) -> io::Result<u16> {
    // SAFETY: integers and an array of bytes, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    let mut len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: `address` and `len` live through the call, and `len` is the size of `address`.
    let result =
        unsafe { libc::getsockname(socket.as_raw_fd(), from_mut(&mut address).cast(), &raw mut len) };
    if result == 0 { Ok(address.sll_hatype) } else { Err(io::Error::last_os_error()) }
}

/// Takes the next packet, without waiting for one.
pub(super) fn receive(socket: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<Received> {
    let mut notes = Aligned([0; NOTES]);
    // SAFETY: as in `hardware`; `msghdr` has pointers beside integers, for which null is a value.
    let (mut from, mut message): (libc::sockaddr_ll, libc::msghdr) = unsafe { (zeroed(), zeroed()) };
    let mut part = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    message.msg_name = from_mut(&mut from).cast();
    message.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = notes.0.as_mut_ptr().cast();
    message.msg_controllen = NOTES as _;
    // SAFETY: `message` and everything it points to live through the call, each with its own size beside it: `from`, the
    // one `part` over the caller's exclusive `buf`, and `notes`.
    let result =
        unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT | libc::MSG_TRUNC) };
    // Negative exactly when the call failed.
    let Ok(wire_len) = usize::try_from(result) else { return Err(io::Error::last_os_error()) };
    let mut received = Received {
        captured: wire_len.min(buf.len()),
        wire_len,
        protocol: u16::from_be(from.sll_protocol),
        interface: from.sll_ifindex,
        hardware: from.sll_hatype,
        direction: from.sll_pkttype,
        address: (from.sll_addr, from.sll_halen),
        ..Received::default()
    };
    #[allow(clippy::unnecessary_cast, reason = "32 bits with musl, a word with glibc")]
    let said = notes.0.get(..(message.msg_controllen as usize).min(NOTES)).unwrap_or(&[]);
    for (level, kind, note) in Notes(said) {
        match (level, kind) {
            (kernel::SOL_PACKET, kernel::PACKET_AUXDATA) => received.auxiliary(note),
            (libc::SOL_SOCKET, kernel::SO_TIMESTAMPNS_NEW) => received.time(note),
            _ => {}
        }
    }
    Ok(received)
}

impl Received {
    /// `struct tpacket_auxdata`.
    fn auxiliary(&mut self, note: &[u8]) {
        let Some(&[s0, s1, s2, s3, l0, l1, l2, l3, _, _, _, _, _, _, _, _, c0, c1, p0, p1]) =
            note.first_chunk::<20>()
        else {
            return;
        };
        let status = u32::from_ne_bytes([s0, s1, s2, s3]);
        let len = u32::from_ne_bytes([l0, l1, l2, l3]);
        self.wire_len = self.wire_len.max(len as usize);
        if status & kernel::TP_STATUS_VLAN_VALID != 0 {
            let protocol = if status & kernel::TP_STATUS_VLAN_TPID_VALID != 0 {
                u16::from_ne_bytes([p0, p1])
            } else {
                0x8100
            };
            self.tag = Some((protocol, u16::from_ne_bytes([c0, c1])));
        }
    }

    /// `struct __kernel_timespec`.
    fn time(&mut self, note: &[u8]) {
        let Some((seconds, rest)) = note.split_first_chunk::<8>() else { return };
        let Some(nanos) = rest.first_chunk::<8>() else { return };
        let (seconds, nanos) = (i64::from_ne_bytes(*seconds), i64::from_ne_bytes(*nanos));
        if let (Ok(seconds), Ok(nanos)) = (u64::try_from(seconds), u64::try_from(nanos)) {
            self.ts_us = Some(seconds.saturating_mul(1_000_000).saturating_add(nanos / 1000));
        }
    }
}

/// The kernel's control messages: length (of head and body, one machine word), level, kind, body; each aligned to a word.
struct Notes<'a>(&'a [u8]);

impl<'a> Iterator for Notes<'a> {
    type Item = (i32, i32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        const WORD: usize = size_of::<usize>();
        const HEAD: usize = (WORD + 8).next_multiple_of(WORD);
        let (len, rest) = self.0.split_first_chunk::<WORD>()?;
        let (level, rest) = rest.split_first_chunk::<4>()?;
        let kind = rest.first_chunk::<4>()?;
        let len = usize::from_ne_bytes(*len);
        let body = self.0.get(HEAD..len)?;
        self.0 = self.0.get(len.next_multiple_of(WORD)..).unwrap_or(&[]);
        Some((i32::from_ne_bytes(*level), i32::from_ne_bytes(*kind), body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(level: i32, kind: i32, body: &[u8]) -> Vec<u8> {
        let len = size_of::<usize>() + 8 + body.len();
        let mut out = [&len.to_ne_bytes()[..], &level.to_ne_bytes(), &kind.to_ne_bytes(), body].concat();
        out.resize(out.len().next_multiple_of(size_of::<usize>()), 0xee);
        out
    }

    #[test]
    fn notes_end_with_their_bytes() {
        let all = [note(1, 64, &[1; 16]), note(263, 8, &[2; 20])].concat();
        let got: Vec<_> = Notes(&all).collect();
        assert_eq!(got, [(1, 64, &[1; 16][..]), (263, 8, &[2; 20][..])]);
        for cut in 0..all.len() {
            assert!(Notes(&all[..cut]).count() <= 2);
        }
        let mut lie = all;
        lie[..size_of::<usize>()].copy_from_slice(&usize::MAX.to_ne_bytes());
        assert_eq!(Notes(&lie).count(), 0);
        lie[..size_of::<usize>()].fill(0);
        assert_eq!(Notes(&lie).count(), 0, "a length of nothing ends the list");
    }

    #[test]
    fn tag_time_and_length_are_taken_from_the_notes() {
        let mut r = Received { wire_len: 60, ..Received::default() };
        let status = kernel::TP_STATUS_VLAN_VALID | kernel::TP_STATUS_VLAN_TPID_VALID;
        let mut aux = [0u8; 20];
        aux[..4].copy_from_slice(&status.to_ne_bytes());
        aux[4..8].copy_from_slice(&1500u32.to_ne_bytes());
        aux[16..18].copy_from_slice(&0x2064u16.to_ne_bytes());
        aux[18..20].copy_from_slice(&0x88a8u16.to_ne_bytes());
        r.auxiliary(&aux);
        assert_eq!((r.wire_len, r.tag), (1500, Some((0x88a8, 0x2064))));
        r.time(&[1_700_000_000i64.to_ne_bytes(), 123_456_789i64.to_ne_bytes()].concat());
        assert_eq!(r.ts_us, Some(1_700_000_000_123_456));
        r.time(&[0; 15]);
        r.auxiliary(&[0; 19]);
        assert_eq!(
            (r.ts_us, r.tag),
            (Some(1_700_000_000_123_456), Some((0x88a8, 0x2064))),
            "cut notes say nothing"
        );
    }
}
