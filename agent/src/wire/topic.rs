//! Names of sites and sensors, and the MQTT topics made of them.
//!
//! `slips/v1/<partition>/<site>/<sensor>/<kind>`. The partition spreads sites over brokers and collectors.

use core::fmt;

use super::Kind;

/// Longest name of a site or sensor, bytes.
pub const MAX_NAME: usize = 64;

/// What every topic begins with.
pub const ROOT: &str = "slips/v1";

/// Whether `name` can name a site or sensor: 1 to 64 of `A–Z a–z 0–9 . _ -`, the first one a letter or digit. Such a name
/// is safe in a topic, a folder and a sentence.
#[must_use]
pub fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Partition of a site: FNV-1a of 32 bits over the bytes of its name, its four bytes folded by exclusive or.
#[must_use]
pub fn partition(site: &str) -> u8 {
    let mut h: u32 = 0x811c_9dc5;
    for b in site.bytes() {
        h = (h ^ u32::from(b)).wrapping_mul(0x0100_0193);
    }
    let [a, b, c, d] = h.to_be_bytes();
    a ^ b ^ c ^ d
}

/// One topic of one sensor; `Display` writes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Topic<'a> {
    /// Name of the site.
    pub site: &'a str,
    /// Name of the sensor.
    pub sensor: &'a str,
    /// What is said there.
    pub kind: Kind,
}

impl Kind {
    /// Last level of the topic.
    #[must_use]
    pub const fn level(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Status => "status",
            Self::Stored => "stored",
            Self::Command => "command",
        }
    }
}

impl fmt::Display for Topic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let partition = partition(self.site);
        write!(f, "{ROOT}/{partition:02x}/{}/{}/{}", self.site, self.sensor, self.kind.level())
    }
}

impl<'a> Topic<'a> {
    /// Reads a topic. `None` for anything that [`Topic`] would not write, a wrong partition included.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut levels = text.strip_prefix(ROOT)?.strip_prefix('/')?.split('/');
        let (part, site, sensor, kind) = (levels.next()?, levels.next()?, levels.next()?, levels.next()?);
        let kind = [Kind::Report, Kind::Status, Kind::Stored, Kind::Command]
            .into_iter()
            .find(|k| k.level() == kind)?;
        let lower_hex = part.len() == 2 && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let right = u8::from_str_radix(part, 16).ok()? == partition(site);
        let whole = levels.next().is_none() && is_name(site) && is_name(sensor);
        (lower_hex && right && whole).then_some(Self { site, sensor, kind })
    }
}
