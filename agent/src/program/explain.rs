//! `slips-agent --explain`: what leaves the house with this configuration, in clear words, and what the owner agrees to.
//!
//! The text is made of the job that would run, so that it cannot say anything else than what happens. A change that lets more leave the
//! house needs another [`VERSION`], to which the owner has to agree anew.

use std::fmt::Write as _;

use super::args::{Blocking, Job};
use crate::wire::Detail;

/// Version of what the owner agrees to.
pub(super) const VERSION: u64 = 1;

pub(super) fn page(job: &Job) -> String {
    let mut out = String::new();
    let mut say = |text: &str| {
        // Writing into a String cannot fail.
        let _ = writeln!(out, "{text}");
    };
    let privacy = &job.privacy;
    say(&format!("What leaves this house (agreement, version {VERSION})\n"));
    let how = if job.broker.is_encrypted() {
        "encrypted, and only after its certificate was verified"
    } else if job.broker.is_local() {
        "on this very machine: from here it leaves only if something else sends it on"
    } else {
        "NOT ENCRYPTED: anyone on the way can read and change it"
    };
    say(&format!(
        "slips-agent watches {} and reports as {}/{} to the broker {}, {how}.",
        job.source(),
        job.site,
        job.sensor,
        job.broker
    ));
    say("\nIt reports:");
    let devices = if privacy.pseudonyms {
        "your devices under invented addresses, always the same for the same device; the key to them stays here. The maker \
         of a device can still be told"
    } else {
        "your devices by their own addresses, network cards (MAC) included"
    };
    if job.detail == Detail::Features || job.most_detail == Detail::Features {
        say(
            "- for each device and hour sums only: with which addresses and ports it spoke, how often and how much",
        );
    } else {
        say(
            "- each connection: from which address and port to which, when, how long, how many packets and bytes, how it ended",
        );
        say("- announcements of addresses in the network (ARP)");
        match (privacy.application, privacy.names) {
            (false, _) => say("- nothing of what is said inside connections"),
            (true, false) => say(
                "- of what is said inside connections: versions, sizes, codes and fingerprints of programs; no names of sites, \
                 pages, people or devices, and no DNS",
            ),
            (true, true) => {
                say(
                    "- names that your devices ask for (DNS) and speak to (TLS), with certificates and fingerprints of programs",
                );
                say(
                    "- of connections without encryption: addresses of pages (HTTP), senders and recipients (mail), user and file names (FTP), \
                     user names of log-ins",
                );
                say("- names that devices give themselves (DHCP), and versions of programs (SSH, HTTP)");
            }
        }
    }
    say(&format!("- {devices}"));
    say("- how the agent is: version, counters, losses, and whom it blocks");
    say(
        "\nIt never reports passwords, the contents of pages, mails, files or calls, or anything inside encrypted connections. It keeps nothing of \
         what passes.",
    );
    say("\nThe collector may:");
    if job.most_detail == Detail::Flows {
        say("- ask for connections or for sums only");
    } else {
        say("- not ask for more than sums");
    }
    match job.blocking {
        Blocking::Off => say("- not block anything here"),
        Blocking::DryRun => say("- say whom it would block; nothing is blocked"),
        Blocking::On => say(
            "- have addresses blocked on this machine, for a time, never this machine, its gateway, DNS servers and broker, and \
             never what never_block lists; all blocks end when it falls silent",
        ),
    }
    say(
        "\nLess leaves with these keys of the configuration: addresses = pseudonyms, names = no, application = no, most_detail = features.",
    );
    say("None of them can be changed from outside.");
    say(&match job.agreed {
        Some(version) if version >= VERSION => format!("\nYou have agreed to version {version}."),
        _ => format!(
            "\nIf you agree, write agreed_version = {VERSION} into the section [privacy], or give --agreed-version {VERSION}."
        ),
    });
    out
}
