//! Opening Initial packets: their keys follow from what stands in the packet itself (RFC 9001, 5.2; RFC 9369 for version 2),
//! so every observer has them.
//!
//! Enters: one protected packet, the destination connection identifier that its keys come from, and who sent it. Leaves: the
//! frames, but only if the packet's tag is right: what authenticates is QUIC for certain, and nothing else is ever parsed.

use aes_gcm::aead::AeadInOut as _;
use aes_gcm::aes::Aes128;
use aes_gcm::aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use aes_gcm::{Aes128Gcm, Nonce, Tag};
use hkdf::Hkdf;
use sha2::Sha256;

use super::packet::Long;
use crate::app::scratch::Scratch;

const KEY: usize = 16;
const IV: usize = 12;
const TAG: usize = 16;
const SAMPLE: usize = 16;
const MAX_PACKET_NUMBER: usize = 4;

/// What the versions differ in.
struct Recipe {
    salt: [u8; 20],
    labels: [&'static [u8]; 3],
}

const LABELS_V1: [&[u8]; 3] = [b"quic key", b"quic iv", b"quic hp"];

/// QUIC version 1 and its drafts 33 and 34.
const V1: Recipe = Recipe {
    salt: [
        0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc,
        0xbb, 0x7f, 0x0a,
    ],
    labels: LABELS_V1,
};
const V2: Recipe = Recipe {
    salt: [
        0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9,
        0xbd, 0x2e, 0xd9,
    ],
    labels: [b"quicv2 key", b"quicv2 iv", b"quicv2 hp"],
};
const DRAFT_29: Recipe = Recipe {
    salt: [
        0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97, 0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0, 0x43,
        0x90, 0xa8, 0x99,
    ],
    labels: LABELS_V1,
};
const DRAFT_23: Recipe = Recipe {
    salt: [
        0xc3, 0xee, 0xf7, 0x12, 0xc7, 0x2e, 0xbb, 0x5a, 0x11, 0xa7, 0xd2, 0x43, 0x2b, 0xb4, 0x63, 0x65, 0xbe,
        0xf9, 0xf5, 0x02,
    ],
    labels: LABELS_V1,
};
const DRAFT_22: Recipe = Recipe {
    salt: [
        0x7f, 0xbc, 0xdb, 0x0e, 0x7c, 0x66, 0xbb, 0xe9, 0x19, 0x3a, 0x96, 0xcd, 0x21, 0x51, 0x9e, 0xbd, 0x7a,
        0x02, 0x64, 0x4a,
    ],
    labels: LABELS_V1,
};

/// Version 1 as on the wire.
pub const VERSION_1: u32 = 1;
/// Version 2 as on the wire.
pub const VERSION_2: u32 = 0x6b33_43cf;

const fn recipe(version: u32) -> Option<&'static Recipe> {
    match version {
        VERSION_1 | 0xff00_0021..=0xff00_0022 => Some(&V1),
        VERSION_2 => Some(&V2),
        0xff00_001d..=0xff00_0020 => Some(&DRAFT_29),
        // The last two are Facebook's.
        0xff00_0017..=0xff00_001c | 0xface_b002 | 0xface_b00e => Some(&DRAFT_23),
        0xff00_0016 | 0xface_b001 => Some(&DRAFT_22),
        _ => None,
    }
}

/// Whether Initial packets of this version can be opened.
#[must_use]
pub const fn is_known(version: u32) -> bool {
    recipe(version).is_some()
}

struct Keys {
    key: [u8; KEY],
    iv: [u8; IV],
    mask: [u8; KEY],
}

fn keys(version: u32, connection: &[u8], from_client: bool) -> Option<Keys> {
    let Recipe { salt, labels: [key, iv, mask] } = recipe(version)?;
    let initial = Hkdf::<Sha256>::new(Some(salt), connection);
    let mut secret = [0; 32];
    expand(&initial, if from_client { b"client in" } else { b"server in" }, &mut secret)?;
    let secret = Hkdf::<Sha256>::from_prk(&secret).ok()?;
    let mut keys = Keys { key: [0; KEY], iv: [0; IV], mask: [0; KEY] };
    expand(&secret, key, &mut keys.key)?;
    expand(&secret, iv, &mut keys.iv)?;
    expand(&secret, mask, &mut keys.mask)?;
    Some(keys)
}

/// HKDF-Expand-Label of TLS 1.3 with an empty context.
fn expand(secret: &Hkdf<Sha256>, label: &[u8], out: &mut [u8]) -> Option<()> {
    const PREFIX: &[u8] = b"tls13 ";
    let len = u16::try_from(out.len()).ok()?.to_be_bytes();
    let label_len = u8::try_from(PREFIX.len() + label.len()).ok()?;
    let mut info = heapless::Vec::<u8, 32>::new();
    for piece in [&len[..], &[label_len], PREFIX, label, &[0]] {
        info.extend_from_slice(piece).ok()?;
    }
    secret.expand(&info, out).ok()
}

/// Frames of an Initial packet. `None` if it does not authenticate with keys from this connection identifier.
pub fn open<'a>(
    packet: &Long<'_>,
    connection: &[u8],
    from_client: bool,
    scratch: &mut Scratch<'a>,
) -> Option<&'a [u8]> {
    if packet.bytes.len() > scratch.free() {
        return None;
    }
    let keys = keys(packet.version, connection, from_client)?;

    // The first byte and the packet number are masked by a sample of what follows the longest possible number.
    let protected = packet.bytes.get(packet.number_at..)?;
    let sample: [u8; SAMPLE] = *protected.get(MAX_PACKET_NUMBER..)?.first_chunk()?;
    let mut mask = sample.into();
    Aes128::new(&keys.mask.into()).encrypt_block(&mut mask);
    let [first_mask, number_mask @ ..] = <[u8; SAMPLE]>::from(mask);

    let room = scratch.take(packet.bytes.len())?;
    room.copy_from_slice(packet.bytes);
    let first = room.first_mut()?;
    *first ^= first_mask & 0x0f;
    let number_len = usize::from(*first & 3) + 1;
    let (header, sealed) = room.split_at_mut_checked(packet.number_at + number_len)?;
    let mut number: u32 = 0;
    for (byte, mask) in header.get_mut(packet.number_at..)?.iter_mut().zip(number_mask) {
        *byte ^= mask;
        number = number << 8 | u32::from(*byte);
    }

    // Initial packets are few, so their number is never longer than what is sent of it.
    let mut nonce = keys.iv;
    for (byte, number) in nonce.iter_mut().rev().zip(number.to_le_bytes()) {
        *byte ^= number;
    }
    let (frames, tag) = sealed.split_at_mut_checked(sealed.len().checked_sub(TAG)?)?;
    let tag = Tag::from(*tag.first_chunk::<TAG>()?);
    Aes128Gcm::new(&keys.key.into())
        .decrypt_inout_detached(&Nonce::from(nonce), header, (&mut *frames).into(), &tag)
        .ok()?;
    Some(frames)
}
