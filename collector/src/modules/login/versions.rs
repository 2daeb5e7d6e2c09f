//! SSH software that has another version than before: another program, or another machine, behind the same address.

use std::collections::BTreeMap;

use super::MULTIPLE_SSH_VERSIONS;
use crate::input::note::Software;
use crate::modules::{Context, Finding, Key};

/// What the source's software log says the profile's SSH client is.
#[derive(Default)]
pub struct Banner {
    pub client: Option<Box<str>>,
}

/// Versions by name of the program and port; port 0 for clients.
#[derive(Default)]
struct Versions(BTreeMap<(u16, Box<str>), (u32, u32)>);

/// Programs told apart of one profile.
const MAX_PROGRAMS: usize = 64;

/// A line of Zeek's software log.
pub fn software(software: &Software, ctx: &mut Context<'_>) {
    let port = match &*software.kind {
        "SSH::CLIENT" => None,
        "SSH::SERVER" => Some(software.port.unwrap_or(22)),
        _ => return,
    };
    if port.is_none() && !software.banner.is_empty() {
        ctx.profile_state::<Banner>().client = Some(software.banner.clone());
    }
    if let Some(major) = software.major {
        seen(&software.name, (major, software.minor.unwrap_or(0)), port, ctx);
    }
}

/// `SSH-2.0-OpenSSH_9.1p1 Debian-1`: name and version, if it has both.
fn parse(banner: &str) -> Option<(&str, (u32, u32))> {
    let program = banner.strip_prefix("SSH-")?.split_once('-')?.1;
    let program = program.split([' ', '\r', '\n']).next()?;
    let digit = |at: usize| program.as_bytes().get(at + 1).is_some_and(u8::is_ascii_digit);
    let start = program.match_indices(['_', '-', '/']).map(|(at, _)| at).find(|at| digit(*at))?;
    let (name, version) = (program.get(..start)?, program.get(start + 1..)?);
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    let major = numbers.next()?.parse().ok()?;
    let minor = version.contains('.').then(|| numbers.next()?.parse().ok()).flatten().unwrap_or(0);
    (!name.is_empty()).then_some((name, (major, minor)))
}

/// A banner of the profile; `port` where it is the server.
pub fn banner(banner: &str, port: Option<u16>, ctx: &mut Context<'_>) {
    if let Some((name, version)) = parse(banner) {
        seen(name, version, port, ctx);
    }
}

fn seen(name: &str, version: (u32, u32), port: Option<u16>, ctx: &mut Context<'_>) {
    let name = name.to_ascii_lowercase();
    let known = &mut ctx.profile_state::<Versions>().0;
    let key = (port.unwrap_or(0), Box::from(name.as_str()));
    if known.len() >= MAX_PROGRAMS && !known.contains_key(&key) {
        return;
    }
    let Some(before) = known.insert(key, version).filter(|before| *before != version) else { return };
    let role = port.map_or_else(|| "client".to_owned(), |port| format!("server on port {port}"));
    let description = format!(
        "The SSH {role} of {} is {name} {}.{} now and was {name} {}.{} before",
        ctx.site.show(ctx.profile.addr),
        version.0,
        version.1,
        before.0,
        before.1
    );
    let finding = ctx.finding(&MULTIPLE_SSH_VERSIONS, Key::from(u64::from(port.unwrap_or(0))), description);
    ctx.raise(Finding { confidence: 0.9, victim: None, port, ..finding });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banners_of_the_wild() {
        for (banner, expected) in [
            ("SSH-2.0-OpenSSH_9.1p1 Debian-1", Some(("OpenSSH", (9, 1)))),
            ("SSH-2.0-libssh2_1.10.0", Some(("libssh2", (1, 10)))),
            ("SSH-2.0-PuTTY_Release_0.78", Some(("PuTTY_Release", (0, 78)))),
            ("SSH-1.99-Cisco-1.25", Some(("Cisco", (1, 25)))),
            ("SSH-2.0-Go", None),
            ("OpenSSH_9.1", None),
            ("", None),
        ] {
            assert_eq!(parse(banner), expected, "{banner}");
        }
    }
}
