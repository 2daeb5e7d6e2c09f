//! Data carried inside DNS: up in the names that are asked for, down in the answers.
//!
//! Judged per registered domain and window, by what a channel cannot do without: ever new names (a repeated one is answered from a
//! cache), and much in each of them. Memory: at most [`MAX_DOMAINS`] domains a window, the one with the fewest questions goes first.

use std::collections::{BTreeMap, BTreeSet};

use slips_agent::app::record::{AnswerData, Dns};

use super::domain;
use super::{DNS_TUNNEL, is_unicast};
use crate::config::Thresholds;
use crate::input::Text;
use crate::modules::{Context, Count, Finding};

/// Domains told apart in a window.
const MAX_DOMAINS: usize = 512;
/// Different names of one domain that are told apart; more are counted as they come.
const MAX_NAMES: usize = 1024;
/// Symbols told apart: letters, digits, hyphen, underscore, the rest.
const SYMBOLS: usize = 39;

/// Share of such record types.
const ODD_SHARE: f64 = 0.3;
/// The same for names as no service has so many of.
const BITS_MANY: f64 = 60.0;
const MANY: u32 = 200;
/// Bytes carried that are certain to be no accident.
const CERTAIN_BYTES: f64 = 10_000.0;

/// Questions of a window by registered domain.
#[derive(Default)]
struct Domains(BTreeMap<Box<str>, Seen>);

/// What was asked below one domain.
#[derive(Clone)]
struct Seen {
    questions: u32,
    hashes: BTreeSet<u64>,
    names: u32,
    characters: u64,
    symbols: [u32; SYMBOLS],
    odd: u32,
    down_bytes: u64,
    down_answers: u32,
    /// Answered with an address of 127/8, as services do that are asked about the reputation of addresses and files.
    verdicts: u32,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            questions: 0,
            hashes: BTreeSet::new(),
            names: 0,
            characters: 0,
            symbols: [0; SYMBOLS],
            odd: 0,
            down_bytes: 0,
            down_answers: 0,
            verdicts: 0,
        }
    }
}

fn symbol(byte: u8) -> usize {
    usize::from(match byte {
        b'a'..=b'z' => byte - b'a',
        b'A'..=b'Z' => byte - b'A',
        b'0'..=b'9' => byte - b'0' + 26,
        b'-' => 36,
        b'_' => 37,
        _ => 38,
    })
}

/// FNV-1a: a name that collides is one name less.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

impl Seen {
    fn add(&mut self, sub: &str, dns: &Dns<Text>) {
        self.questions = self.questions.saturating_add(1);
        // A, PTR, AAAA, SRV, SVCB, HTTPS; NS and SOA are asked about the domain itself.
        self.odd += u32::from(!matches!(dns.qtype, 1 | 2 | 6 | 12 | 28 | 33 | 64 | 65));
        let new = self.hashes.len() >= MAX_NAMES || self.hashes.insert(hash(sub));
        if !new {
            return;
        }
        self.names = self.names.saturating_add(1);
        for byte in sub.bytes().filter(|b| *b != b'.') {
            self.characters += 1;
            if let Some(count) = self.symbols.get_mut(symbol(byte)) {
                *count = count.saturating_add(1);
            }
        }
        let mut down = 0;
        for answer in &dns.answers {
            match &answer.data {
                AnswerData::Text(text) => down += text.len() as u64,
                AnswerData::Addr(a) if a.is_ipv4() && a.is_loopback() => self.verdicts += 1,
                AnswerData::Addr(_) | AnswerData::Name(_) => {}
            }
        }
        if down > 0 {
            self.down_bytes += down;
            self.down_answers += 1;
        }
    }

    /// Bits in a name, on average: characters by the entropy of all of them.
    fn bits(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "an average")]
        let characters = self.characters as f64 / f64::from(self.names.max(1));
        characters * domain::entropy_of(&self.symbols)
    }

    /// Bytes carried, if it is a channel.
    fn channel(&self, limits: &Thresholds) -> Option<(f64, f64)> {
        if self.names < limits.tunnel_names.min(limits.tunnel_text_names)
            || self.verdicts.saturating_mul(2) > self.names
        {
            return None;
        }
        let new = self.names.saturating_mul(2) >= self.questions;
        let odd = f64::from(self.odd) / f64::from(self.questions.max(1));
        let bits = self.bits();
        let up = new
            && self.names >= limits.tunnel_names
            && (bits >= limits.tunnel_bits
                || (odd >= ODD_SHARE && bits >= limits.tunnel_bits_rare)
                || (self.names >= MANY && bits >= BITS_MANY));
        let down = self.down_answers >= limits.tunnel_text_names
            && self.down_bytes / u64::from(self.down_answers.max(1)) >= limits.tunnel_text_bytes;
        #[allow(clippy::cast_precision_loss, reason = "an amount for a sentence")]
        (up || down).then(|| (f64::from(self.names) * bits / 8.0, self.down_bytes as f64))
    }
}

/// One question with its answer, if it came.
pub fn question(dns: &Dns<Text>, ctx: &mut Context<'_>) {
    let name = &*dns.query;
    if !is_unicast(dns) || domain::is_reverse(name) || domain::is_home(name) || domain::of_organisation(name)
    {
        return;
    }
    let parts = domain::parts(name);
    if parts.sub.is_empty() {
        return;
    }
    let limits = ctx.site.limits();
    let domains = &mut ctx.window_state::<Domains>().0;
    if domains.len() >= MAX_DOMAINS && !domains.contains_key(parts.registered) {
        let least = domains.iter().min_by_key(|(_, seen)| seen.questions).map(|(name, _)| name.clone());
        if let Some(least) = least {
            domains.remove(&least);
        }
    }
    let seen = domains.entry(parts.registered.into()).or_default();
    seen.add(parts.sub, dns);
    let Some((up, down)) = seen.channel(limits) else { return };
    let names = u64::from(seen.names);
    let length = seen.characters / names.max(1);
    let place = match parts.registered {
        "" => "names without a top-level domain".to_owned(),
        registered => format!("names below {registered}"),
    };
    let description = format!(
        "{} seems to send data inside DNS: it asked for {names} different {place}, {length} characters long on average, that hold about \
         {:.0} bytes, and got {down:.0} bytes of text back",
        ctx.profile.addr, up
    );
    let victim = (!parts.registered.is_empty()).then(|| parts.registered.to_owned());
    ctx.raise(Finding {
        confidence: 0.5 + 0.5 * ((up + down) / CERTAIN_BYTES).min(1.0),
        count: Count::Total(names),
        victim,
        ..ctx.finding(&DNS_TUNNEL, parts.registered, description)
    });
}
