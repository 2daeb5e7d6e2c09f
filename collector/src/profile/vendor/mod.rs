//! Who made a device, by its hardware address.
//!
//! The registry is that of the IEEE: blocks of 24, 28 and 36 bits (MA-L, MA-M, MA-S). It is compiled in, packed (`vendors.txt.gz`, made by
//! `make` beside it from the npm package oui-data, which is BSD-2-Clause), and unpacked at the first question: about 2 MB. Blocks of a newer
//! list that `slips update` fetched count before it. Addresses that a
//! device has made up itself (locally administered: phones do that for privacy) say nothing about a maker.

use std::io::Read as _;
use std::sync::LazyLock;

use slips_agent::record::Mac;

use super::newer::newer;
use crate::feeds::known::MAKERS;

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let mut text = String::new();
    let packed: &[u8] = include_bytes!("vendors.txt.gz");
    // A part of the program: that it can be unpacked is tested, and without it nothing is known.
    let _ = flate2::read::GzDecoder::new(packed).read_to_string(&mut text);
    Registry::parse(text)
});

static NEWER: LazyLock<Registry> =
    LazyLock::new(|| newer(MAKERS).map_or_else(Registry::default, Registry::parse));

/// The maker of the device with this address, as the registry writes it.
#[must_use]
pub fn vendor(mac: Mac) -> Option<&'static str> {
    if is_made_up(mac) { None } else { NEWER.find(mac).or_else(|| REGISTRY.find(mac)) }
}

/// Whether a device has made its address up, rather than got it from its maker.
#[must_use]
pub const fn is_made_up(mac: Mac) -> bool {
    let [first, ..] = mac.0;
    first & 2 != 0
}

/// The registry, by block.
#[derive(Debug, Default)]
struct Registry {
    text: String,
    /// Length of a block in bits, its first bits, and where in the text its maker stands; sorted.
    blocks: Vec<(u8, u64, u32)>,
}

impl Registry {
    /// Lines of a name, a TAB, and blocks in hexadecimal. Lines and blocks that are not understood are left out.
    fn parse(text: String) -> Self {
        let mut blocks = Vec::new();
        let mut at = 0_u32;
        for line in text.split_inclusive('\n') {
            if let Some((_, list)) = line.trim_end().split_once('\t') {
                blocks.extend(list.split(' ').filter_map(|block| {
                    let bits =
                        u8::try_from(4 * block.len()).ok().filter(|bits| [24, 28, 36].contains(bits))?;
                    Some((bits, u64::from_str_radix(block, 16).ok()?, at))
                }));
            }
            at = at.saturating_add(u32::try_from(line.len()).unwrap_or(u32::MAX));
        }
        blocks.sort_unstable();
        Self { text, blocks }
    }

    fn find(&self, mac: Mac) -> Option<&str> {
        let whole = mac.0.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        // The smaller block is cut from the larger one, which belongs to the registry itself.
        [36_u8, 28, 24].into_iter().find_map(|bits| {
            let wanted = (bits, whole >> (48 - bits));
            let at = self.blocks.binary_search_by_key(&wanted, |(bits, block, _)| (*bits, *block)).ok()?;
            let (_, _, start) = self.blocks.get(at)?;
            self.text.get(usize::try_from(*start).ok()?..)?.split('\t').next()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<&'static str> {
        let bytes: Vec<u8> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        vendor(Mac(bytes.try_into().unwrap()))
    }

    #[test]
    fn blocks_of_all_three_sizes() {
        assert_eq!(of("b8:27:eb:01:02:03"), Some("Raspberry Pi Foundation"));
        assert_eq!(of("3c:22:fb:00:00:00"), Some("Apple, Inc."));
        assert_eq!(of("c8:5c:e2:7a:bc:de"), Some("SYNERGY SYSTEMS AND SOLUTIONS"), "28 bits");
        let small = REGISTRY.blocks.iter().filter(|(bits, ..)| *bits == 36).count();
        assert!(small > 7000 && REGISTRY.blocks.len() > 53_000);
        assert_eq!(of("02:00:00:aa:bb:cc"), None, "made up");
        assert_eq!(of("fc:ff:ff:ff:ff:ff"), None);
    }

    #[test]
    fn the_smaller_block_counts_and_bad_ones_are_left_out() {
        let registry =
            Registry::parse("# head\nBig\t0CEFAF\nSmall\t0CEFAF1 0CEFAF123\nBad\t12 zzzzzz\n".to_owned());
        let find = |last: u8| registry.find(Mac([0x0c, 0xef, 0xaf, last, 0x30, 0]));
        assert_eq!([find(0x12), find(0x1f), find(0x20)], [Some("Small"), Some("Small"), Some("Big")]);
        assert_eq!(registry.blocks.len(), 3);
    }
}
