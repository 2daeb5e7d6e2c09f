//! Private things that a device sends in clear, where everybody on the way can read them.
//!
//! Enters: notes of the leak detector's rules ([`crate::leaks`]), which know that something was there and not what. Leaves: one evidence per kind of
//! thing and receiver, on the device that sent it; for positions also on the receiver, as Slips does. Prevents: the leak itself ending up in our logs.

use super::{About, Context, Entry, Finding, Hook, Key, Kind, Module, Needs};
use crate::config::Config;
use crate::evidence::ThreatLevel;
use crate::input::note::{Leak, LeakKind};
use crate::input::{Note, NoteBody};
use crate::profile::Role;

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "leak_detector",
    purpose: "Tells when a device sends private things in clear: where it is, passwords, card numbers, addresses, keys.",
    hears: &[Hook::Note],
    kinds: &[POSITION, CREDENTIALS, CARD, EMAIL, PHONE, TOKEN, IMEI, DATA],
};

const POSITION: Kind = Kind {
    name: "network_gps_location_leaked",
    needs: &[Needs::Payload],
    rule: "Latitude and longitude with at least two decimals in what a device sends in clear: as parameters within 300 bytes, or as a pair. One evidence per receiver.",
    level: ThreatLevel::Low,
    level_note: "a second evidence, high, on the receiver",
    confidence: "0.9",
    keys: &["[leakdetector] bytes_per_direction"],
    source: "Slips 1.1.21, leak detector; rule our own (models/leaks/position.yar)",
    proof: "tests/cases: leak-position, leak-position-not",
};

const CREDENTIALS: Kind = Kind {
    name: "network_credentials_leaked",
    rule: "A password in clear: HTTP Basic, a form field, FTP or POP3 (not anonymous), IMAP LOGIN, SMTP AUTH PLAIN. One evidence per receiver.",
    level: ThreatLevel::Medium,
    level_note: "",
    source: "own (models/leaks/credentials.yar)",
    proof: "tests/cases: leak-credentials, leak-credentials-not",
    ..POSITION
};

const CARD: Kind = Kind {
    name: "network_card_number_leaked",
    rule: "A field with the number of a payment card: 13 to 19 digits, first digit 3 to 6, check digit right (Luhn). One evidence per receiver.",
    level: ThreatLevel::High,
    source: "own (models/leaks/cards.yar); check digit of ISO/IEC 7812",
    proof: "tests/cases: leak-card, leak-card-not",
    ..CREDENTIALS
};

const EMAIL: Kind = Kind {
    name: "network_email_address_leaked",
    rule: "A field with an e-mail address, not on the ports of mail. One evidence per receiver.",
    level: ThreatLevel::Low,
    source: "own (models/leaks/contact.yar)",
    proof: "tests/cases: leak-contact, leak-contact-not",
    ..CREDENTIALS
};

const PHONE: Kind = Kind {
    name: "network_phone_number_leaked",
    rule: "A field with a phone number in international form. One evidence per receiver.",
    ..EMAIL
};

const TOKEN: Kind = Kind {
    name: "network_token_leaked",
    rule: "A private key, an access token of a well-known service, a JWT, a bearer token or an API key of at least 16 characters. One evidence per receiver.",
    source: "own (models/leaks/tokens.yar); forms as their issuers publish them",
    proof: "tests/cases: leak-token, leak-token-not",
    ..CREDENTIALS
};

const IMEI: Kind = Kind {
    name: "network_imei_leaked",
    rule: "A field with an IMEI: 15 digits, check digit right. One evidence per receiver.",
    level: ThreatLevel::Low,
    source: "own (models/leaks/device.yar); check digit of 3GPP TS 23.003",
    proof: "tests/cases: leak-imei, leak-imei-not",
    ..CREDENTIALS
};

const DATA: Kind = Kind {
    name: "network_data_leaked",
    rule: "A rule of the user's folder matched. One evidence per rule and receiver.",
    keys: &["[leakdetector] yara_rules_folder", "[leakdetector] bytes_per_direction"],
    source: "own",
    proof: "tests/cases: leak-own-rule, leak-position-not",
    ..CREDENTIALS
};

struct LeakDetector;

fn make(_: &Config) -> Result<Box<dyn Module>, String> {
    Ok(Box::new(LeakDetector))
}

const fn kind(leak: LeakKind) -> &'static Kind {
    match leak {
        LeakKind::Position => &POSITION,
        LeakKind::Credentials => &CREDENTIALS,
        LeakKind::Card => &CARD,
        LeakKind::Email => &EMAIL,
        LeakKind::Phone => &PHONE,
        LeakKind::Token => &TOKEN,
        LeakKind::Imei => &IMEI,
        LeakKind::Data => &DATA,
    }
}

impl Module for LeakDetector {
    fn note(&self, note: &Note, ctx: &mut Context<'_>) {
        if let NoteBody::Leak(leak) = &note.body
            && ctx.subject.role == Role::Client
        {
            found(leak, ctx);
        }
    }
}

fn found(leak: &Leak, ctx: &mut Context<'_>) {
    let Some(peer) = ctx.subject.peer else { return };
    let kind = kind(leak.kind);
    let text = format!(
        "{} sent {} in clear to {} (port {}); others on the way can read it",
        ctx.profile.addr,
        leak.says,
        ctx.site.show(peer),
        leak.port,
    );
    // Rules of one kind are one thing; rules of the user's are as many things as there are rules.
    let rule = if leak.kind == LeakKind::Data { Some(leak.rule.clone()) } else { None };
    let key = Key { addr: Some(peer), number: u64::from(leak.port), text: rule };
    let finding =
        Finding { confidence: 0.9, port: Some(leak.port), ..ctx.finding(kind, key.clone(), text.clone()) };
    let there =
        ctx.finding_on_peer(kind, key, text).filter(|_| leak.kind == LeakKind::Position).map(|finding| {
            Finding { level: ThreatLevel::High, confidence: 0.9, port: Some(leak.port), ..finding }
        });
    ctx.raise(finding);
    if let Some(there) = there {
        ctx.raise(there);
    }
}
