//! Internal addresses and devices under other names, always the same ones, with a key that stays on the site.
//!
//! Enters: addresses. Leaves: pseudonyms that keep what networks are made of: two addresses that share their first n bits share them
//! afterwards (after Xu, Fan, Ammar, Moon: "Prefix-preserving IP address anonymization", 2002), and a private address stays in its private
//! range, so that local stays local for every detection. The broadcast address of a network stays the last one of its network.
//! Addresses of the internet are not changed: they are what threats are known by. A hardware address keeps its maker. The mapping can
//! be undone here, with the key, for blocks that the collector orders; nowhere else.
//!
//! What it does not hide: how many devices there are, and what they do.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sha2::{Digest as _, Sha256};

use crate::network::Network;
use crate::record::Mac;

/// Length of the key.
pub const KEY_BYTES: usize = 32;

/// Private ranges, and how many of their first bits stay as they are.
const PRIVATE: [(&str, u8); 7] = [
    ("10.0.0.0/8", 8),
    ("172.16.0.0/12", 12),
    ("192.168.0.0/16", 16),
    ("100.64.0.0/10", 10),
    ("169.254.0.0/16", 16),
    ("fc00::/7", 8),
    ("fe80::/10", 64),
];

/// See the head of the file.
pub struct Pseudonyms {
    key: [u8; KEY_BYTES],
    /// Ranges that are internal, with the bits that stay. Longer ones first.
    internal: Vec<(Network, u8)>,
    /// Networks whose first and last address stay first and last.
    own: Vec<Network>,
}

impl fmt::Debug for Pseudonyms {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pseudonyms").field("own", &self.own).finish_non_exhaustive()
    }
}

/// The bits of an address, left-aligned in 128, and how many there are.
fn bits(addr: IpAddr) -> (u128, u8) {
    match addr {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

fn addr(bits: u128, len: u8) -> IpAddr {
    // The upper 32 bits of 128.
    if len == 32 {
        IpAddr::V4(Ipv4Addr::from_bits((bits >> 96) as u32))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits(bits))
    }
}

/// The first `n` bits set.
const fn first(n: u8) -> u128 {
    match u128::MAX.checked_shl(128 - n as u32) {
        Some(mask) => mask,
        None => 0,
    }
}

impl Pseudonyms {
    /// With this key, on a site with these networks beside the private ranges.
    #[must_use]
    pub fn new(key: [u8; KEY_BYTES], own: &[Network]) -> Self {
        let private = PRIVATE.iter().filter_map(|(range, keep)| Some((range.parse().ok()?, *keep)));
        let given = own.iter().filter(|network| network.prefix > 0).map(|network| (*network, network.prefix));
        let mut internal: Vec<(Network, u8)> = private.collect();
        // A network inside a private range adds nothing: its number is hidden as well.
        let outside: Vec<_> = given
            .filter(|(network, _)| !internal.iter().any(|(range, _)| range.contains(network.addr)))
            .collect();
        internal.extend(outside);
        Self { key, internal, own: own.to_vec() }
    }

    /// The bits that stay, if the address is internal.
    fn kept(&self, addr: IpAddr) -> Option<u8> {
        self.internal.iter().find(|(range, _)| range.contains(addr)).map(|(_, keep)| *keep)
    }

    /// Whether the address is exchanged.
    #[must_use]
    pub fn is_internal(&self, addr: IpAddr) -> bool {
        self.kept(addr.to_canonical()).is_some()
    }

    /// The pseudonym of an internal address; any other address is itself.
    #[must_use]
    pub fn alias(&self, address: IpAddr) -> IpAddr {
        let address = address.to_canonical();
        let Some(keep) = self.kept(address) else { return address };
        let (from, len) = bits(address);
        let step = |bits| self.permute(bits, keep, len);
        addr(walk(from, step(from), self.host_bits(address, keep), step), len)
    }

    /// The address behind a pseudonym.
    #[must_use]
    pub fn real(&self, alias: IpAddr) -> IpAddr {
        let alias = alias.to_canonical();
        let Some(keep) = self.kept(alias) else { return alias };
        let (from, len) = bits(alias);
        let step = |bits| self.restore(bits, keep, len);
        // The bits of the network are right in any case.
        let found = step(from);
        addr(walk(from, found, self.host_bits(addr(found, len), keep), step), len)
    }

    /// Words in which internal addresses may stand, with their pseudonyms.
    #[must_use]
    pub fn in_words(&self, text: &str) -> String {
        let words: Vec<String> = text
            .split(' ')
            .map(|word| {
                let bare = word.trim_end_matches([',', ':', ';', '.']);
                let rest = word.get(bare.len()..).unwrap_or_default();
                match bare.parse::<IpAddr>() {
                    Ok(addr) => format!("{}{rest}", self.alias(addr)),
                    Err(_) => word.to_owned(),
                }
            })
            .collect();
        words.join(" ")
    }

    /// The pseudonym of a device. It keeps its maker, or with an address that it gave itself the first byte.
    #[must_use]
    pub fn mac(&self, mac: Mac) -> Mac {
        let [a, b, c, d, e, f] = mac.0;
        if a & 1 != 0 || mac.0 == [0; 6] {
            return mac;
        }
        let whole = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        let free = if a & 2 == 0 { 24 } else { 40 };
        let mask = (1_u64 << free) - 1;
        let kept = whole & !mask;
        let [_, _, a, b, c, d, e, f] = (kept | self.shuffle(whole & mask, free, kept)).to_be_bytes();
        Mac([a, b, c, d, e, f])
    }

    /// Another number for a number, that nobody without the key can tell from chance.
    #[must_use]
    pub fn number(&self, number: u64) -> u64 {
        self.draw(b'u', &number.to_be_bytes())
    }

    /// Feistel network of four rounds over `width` bits (even).
    fn shuffle(&self, value: u64, width: u32, context: u64) -> u64 {
        let half = width / 2;
        let mask = (1_u64 << half) - 1;
        let (mut left, mut right) = (value >> half & mask, value & mask);
        for round in 0..4_u64 {
            let mut input = [0; 24];
            for (slot, part) in input.chunks_exact_mut(8).zip([context, right, round]) {
                slot.copy_from_slice(&part.to_be_bytes());
            }
            (left, right) = (right, left ^ self.draw(b'm', &input) & mask);
        }
        left << half | right
    }

    /// One block of SHA-256 over key, purpose and at most 24 bytes: with inputs of fixed length for each purpose, a pseudo-random
    /// function.
    fn draw(&self, purpose: u8, input: &[u8]) -> u64 {
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update([purpose]);
        hash.update(input);
        let out = hash.finalize();
        out.first_chunk::<8>().map_or(0, |eight| u64::from_be_bytes(*eight))
    }

    /// Whether bit `at` is turned behind these first bits.
    fn turned(&self, before: u128, at: u8, len: u8) -> bool {
        let mut input = [0; 18];
        if let Some((bits, rest)) = input.split_first_chunk_mut::<16>() {
            *bits = (before & first(at)).to_be_bytes();
            rest.copy_from_slice(&[at, len]);
        }
        self.draw(b'a', &input) & 1 == 1
    }

    fn permute(&self, from: u128, keep: u8, len: u8) -> u128 {
        (keep..len).fold(from, |out, at| {
            let bit = 1_u128 << (127 - at);
            if self.turned(from, at, len) { out ^ bit } else { out }
        })
    }

    fn restore(&self, alias: u128, keep: u8, len: u8) -> u128 {
        (keep..len).fold(alias, |out, at| {
            let bit = 1_u128 << (127 - at);
            if self.turned(out, at, len) { out ^ bit } else { out }
        })
    }

    /// The bits that number the hosts of the network of ours that holds the address; 0 if there is none whose ends mean anything.
    fn host_bits(&self, address: IpAddr, keep: u8) -> u128 {
        let own = |n: &&Network| n.addr.is_ipv4() && n.prefix < 31 && n.prefix >= keep && n.contains(address);
        self.own.iter().find(own).map_or(0, |network| !first(network.prefix) & first(32))
    }
}

/// A permutation of the hosts of a network that leaves its first and last number where they are: from any other number on, the given
/// one is followed until it is outside of those two (cycle walking). `to` is its first step from `from`.
fn walk(from: u128, mut to: u128, host: u128, step: impl Fn(u128) -> u128) -> u128 {
    let is_end = |bits: u128| bits & host == 0 || bits & host == host;
    if host == 0 {
        return to;
    }
    if is_end(from) {
        return to & !host | from & host;
    }
    while is_end(to) {
        // The same network again, with the number that was reached.
        to = step(from & !host | to & host);
    }
    to
}
