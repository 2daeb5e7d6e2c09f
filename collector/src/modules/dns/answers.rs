//! What single replies and bursts of questions tell: names that do not exist, texts that are no language, private addresses for
//! public names, names asked of a whole address range.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use slips_agent::app::record::{AnswerData, Dns};

use super::domain;
use super::{ARPA_SCAN, DGA_NXDOMAINS, HIGH_ENTROPY, INVALID_RESOLUTION, is_unicast};
use crate::evidence::ThreatLevel;
use crate::input::Text;
use crate::modules::{Context, Count, Finding};
use crate::profile::addr;

/// NXDOMAIN (RFC 1035).
const NXDOMAIN: u8 = 3;
/// Names told apart in a window; more make no difference to the confidence.
const MAX_NXDOMAINS: usize = 1024;

/// Names of this window that do not exist.
#[derive(Default)]
struct Missing(BTreeSet<Box<str>>);

/// Counts names that do not exist.
pub fn missing(dns: &Dns<Text>, ctx: &mut Context<'_>) {
    let name = &*dns.query;
    if dns.rcode != Some(NXDOMAIN) || !is_unicast(dns) || !could_be_generated(name) {
        return;
    }
    let least = ctx.site.limits().nxdomains;
    let names = &mut ctx.window_state::<Missing>().0;
    if names.len() >= MAX_NXDOMAINS || !names.insert(name.into()) || names.len() < least {
        return;
    }
    let count = names.len();
    let description = format!(
        "{} asked for {count} different names that do not exist, as programs do that compute the names of their servers; the last one \
         was {name}",
        ctx.profile.addr
    );
    #[allow(clippy::cast_precision_loss, reason = "1024 at most")]
    let confidence = count as f64 / 100.0;
    ctx.raise(Finding {
        confidence,
        count: Count::Total(count as u64),
        victim: None,
        ..ctx.finding(&DGA_NXDOMAINS, (), description)
    });
}

/// Not what a home asks in vain: reverse names, home names, service labels, proxy discovery, black lists of addresses, names of
/// the large organisations (blocked by a filter), and full names with the search domain of the network behind them.
fn could_be_generated(name: &str) -> bool {
    let mut labels = name.split('.');
    let first = labels.next().unwrap_or_default();
    let numeric =
        |label: &str| !label.is_empty() && label.len() <= 3 && label.bytes().all(|b| b.is_ascii_digit());
    let black_list = name.split('.').take(4).filter(|label| numeric(label)).count() == 4;
    let sub = domain::parts(name).sub;
    // `www.example.com.corp.example.net`: what was asked for, and the search domain.
    let ends = sub.match_indices('.').map(|(at, _)| at).chain([sub.len()]);
    let search_domain = ends.filter_map(|end| sub.get(..end)).any(domain::is_public);
    !domain::is_reverse(name)
        && !domain::is_home(name)
        && !first.starts_with('_')
        && !matches!(first, "wpad" | "isatap")
        && !black_list
        && !search_domain
        && !domain::of_organisation(name)
}

/// Texts that are no language. What keys, policies and proofs of ownership have to look like is understood.
pub fn coded(dns: &Dns<Text>, ctx: &mut Context<'_>) {
    const TXT: u16 = 16;
    let query = &*dns.query;
    let by_design = query.contains("._domainkey.")
        || query.starts_with("_dmarc.")
        || query.starts_with("_acme-challenge.")
        || query.contains(".dnscrypt-cert.");
    if by_design {
        return;
    }
    let home = !is_unicast(dns) || domain::is_home(query);
    // One evidence for a domain: a channel has a new name for each answer.
    let key = if home { query } else { domain::parts(query).registered };
    for answer in dns.answers.iter().filter(|a| a.rtype == TXT) {
        let AnswerData::Text(text) = &answer.data else { continue };
        let bits = domain::entropy(text.as_bytes());
        let known = ["v=DKIM1", "v=spf1", "v=DMARC1", "v=STSv1", "-verification=", "MS=ms"];
        if bits < ctx.site.limits().entropy_bits || known.iter().any(|part| text.contains(part)) {
            continue;
        }
        let shown: String = text.chars().take(60).collect();
        let description = format!(
            "The answer to a question of {} for {query} looks like coded data ({bits:.2} bits in each character): {shown}",
            ctx.profile.addr
        );
        if home {
            // What devices of the home say of themselves is long and mixed, too.
            let finding = ctx.finding(&HIGH_ENTROPY, key, description);
            ctx.raise(Finding { level: ThreatLevel::Info, confidence: 0.6, ..finding });
            continue;
        }
        let server = ctx.finding_on_peer(&HIGH_ENTROPY, key, description.clone());
        ctx.raise(Finding { confidence: 0.6, ..ctx.finding(&HIGH_ENTROPY, key, description) });
        if let Some(server) = server {
            ctx.raise(Finding { confidence: 0.6, level: ThreatLevel::Medium, ..server });
        }
    }
}

/// Private addresses for names of the internet.
pub fn private(dns: &Dns<Text>, ctx: &mut Context<'_>) {
    let query = &*dns.query;
    if !is_unicast(dns) || domain::is_home(query) || domain::is_reverse(query) {
        return;
    }
    for answer in &dns.answers {
        let AnswerData::Addr(given) = answer.data else { continue };
        if !(addr::is_private(given) || given.is_loopback() || given.is_unspecified()) {
            continue;
        }
        let why = if given.is_private_use() { "" } else { "; a filter against advertising does that, too" };
        let description = format!(
            "{} asked for {query} and was given {given}, an address that is not of the internet{why}",
            ctx.profile.addr
        );
        let finding = ctx.finding(&INVALID_RESOLUTION, given, description);
        ctx.raise(Finding { confidence: 0.8, victim: Some(query.to_owned()), ..finding });
    }
}

trait PrivateUse {
    /// Of home and company networks, as opposed to addresses that lead nowhere.
    fn is_private_use(&self) -> bool;
}

impl PrivateUse for IpAddr {
    fn is_private_use(&self) -> bool {
        addr::is_private(*self)
    }
}

/// Reverse names remembered of the last seconds; more make no difference.
const MAX_BURST: usize = 1024;

/// Reverse names asked of late, with the time of the question.
#[derive(Default)]
struct Reverse {
    order: VecDeque<(u64, Box<str>)>,
    /// How often each is in `order`.
    names: BTreeMap<Box<str>, u32>,
}

impl Reverse {
    /// Adds one and forgets what is too old. How many different names there are now.
    fn add(&mut self, ts_us: u64, within_us: u64, name: &str) -> usize {
        while let Some((first_us, _)) = self.order.front()
            && (self.order.len() >= MAX_BURST || first_us.saturating_add(within_us) < ts_us)
            && let Some((_, old)) = self.order.pop_front()
        {
            if let Some(times) = self.names.get_mut(&old) {
                *times -= 1;
                if *times == 0 {
                    self.names.remove(&old);
                }
            }
        }
        self.order.push_back((ts_us, name.into()));
        *self.names.entry(name.into()).or_default() += 1;
        self.names.len()
    }
}

/// Whether a whole range of addresses is asked for its names.
pub fn reverse(dns: &Dns<Text>, ts_us: u64, ctx: &mut Context<'_>) {
    const PTR: u16 = 12;
    let name = &*dns.query;
    let of_address = name.ends_with(".in-addr.arpa") || name.ends_with(".ip6.arpa");
    if !is_unicast(dns) || dns.qtype != PTR || !of_address {
        return;
    }
    let (least, seconds) = (ctx.site.limits().reverse_names, ctx.site.limits().reverse_seconds);
    let count = ctx.window_state::<Reverse>().add(ts_us, seconds * 1_000_000, name);
    if count < least {
        return;
    }
    let description = format!(
        "{} asked for the names of {count} addresses within {seconds} s: it looks for the hosts of a network",
        ctx.profile.addr
    );
    let finding = ctx.finding(&ARPA_SCAN, (), description);
    ctx.raise(Finding { confidence: 0.7, count: Count::Total(count as u64), victim: None, ..finding });
}
