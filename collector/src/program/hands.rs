//! What viewers ask for, carried out: who is blocked, and what is never reported.
//!
//! Enters: commands that viewers left in the store. Leaves: a wish for the analysis of the site, a longer whitelist, or one sentence
//! why nobody can. Never blocks by itself: a decision of the analysis does, and whoever carries those out. A whitelist entry goes to the end of
//! the owner's file where there is one, so that it holds after a restart too. Prevents: a command that seems to be obeyed and does nothing.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::config::Config;
use crate::engine::inbox::Wish;
use crate::evidence::whitelist::{Shared, Whitelist, mac};
use crate::fleet::Blockers;
use crate::store::{self, Command, Taken};

/// Who carries out what is decided about blocking.
pub(super) enum Carriers {
    /// Nobody, and why.
    Nobody(&'static str),
    /// The packet filter of this machine.
    Here,
    /// Agents of the site, where one may block.
    Agents(Blockers),
}

/// See the head of the file.
struct Hands {
    carriers: Carriers,
    list: Shared,
    file: Option<PathBuf>,
    /// Entries by viewers where there is no file.
    own: Mutex<String>,
}

/// Hands of a program with this configuration.
pub(super) fn hands(config: &Config, carriers: Carriers) -> store::Hands {
    let (list, file) = (config.whitelist.clone(), config.whitelist_path.clone());
    let hands = Hands { carriers, list, file, own: Mutex::default() };
    Box::new(move |site, command| hands.take(site, command))
}

impl Hands {
    fn take(&self, site: &str, command: &Command) -> Result<Taken, String> {
        let addr = || {
            command.subject.parse().map_err(|_| format!("{:?} is not an address", shown(&command.subject)))
        };
        let why = shown(&command.why);
        match command.verb.as_str() {
            "block" => {
                self.carriers.able(site)?;
                Ok(Taken::Wish(Wish::Block { addr: addr()?, why }))
            }
            "unblock" => {
                self.carriers.able(site)?;
                Ok(Taken::Wish(Wish::Unblock { addr: addr()?, why }))
            }
            "whitelist" => self.whitelist(&command.subject, &why).map(Taken::Done),
            verb => {
                Err(format!("nobody knows what {:?} is: expected block, unblock or whitelist", shown(verb)))
            }
        }
    }

    /// From now on no evidence about `subject` is told or counted.
    fn whitelist(&self, subject: &str, why: &str) -> Result<String, String> {
        let kind = if subject.parse::<crate::config::Network>().is_ok() {
            "ip"
        } else if mac(subject).is_ok() {
            "mac"
        } else {
            "domain"
        };
        let subject = subject.trim();
        let line = format!("{kind},{subject},both,alerts\n");
        // One line that is understood, and nothing else, whatever the subject is.
        let (one, bad) = Whitelist::parse("", &line);
        if one.len() != 1 || !bad.is_empty() || line.lines().count() != 1 {
            return Err(format!(
                "{:?} is neither an address, a range, a hardware address nor a name",
                shown(subject)
            ));
        }
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let (list, place) = match &self.file {
            Some(path) => {
                let fail = |what: &str, e: &std::io::Error| {
                    format!("the whitelist {} cannot be {what}: {}", path.display(), crate::output::reason(e))
                };
                let before = std::fs::read_to_string(path).map_err(|e| fail("read", &e))?;
                if before.lines().any(|known| known.trim() == line.trim()) {
                    return Ok(format!("{subject} is on the whitelist {} already", path.display()));
                }
                let gap = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
                let note = if why.is_empty() { String::new() } else { format!("; {why}\n") };
                let mut file =
                    std::fs::OpenOptions::new().append(true).open(path).map_err(|e| fail("written", &e))?;
                file.write_all(format!("{gap}{note}{line}").as_bytes()).map_err(|e| fail("written", &e))?;
                (Whitelist::load(path)?.0, format!("in {}", path.display()))
            }
            None => {
                if !own.lines().any(|known| known == line.trim()) {
                    own.push_str(&line);
                }
                let place =
                    "until this program ends: name a file in [whitelists] local_whitelist_path to keep it";
                (Whitelist::parse("", &own).0, place.to_owned())
            }
        };
        self.list.replace(list);
        Ok(format!("{subject} is on the whitelist {place}"))
    }
}

impl Carriers {
    /// Whether a decision about an address of the site is carried out.
    fn able(&self, site: &str) -> Result<(), String> {
        match self {
            Self::Here => Ok(()),
            Self::Nobody(why) => Err((*why).to_owned()),
            Self::Agents(blockers) if blockers.any(site) => Ok(()),
            Self::Agents(_) => Err(format!(
                "no agent of {site} may block: start one with --blocking on (or dry-run, to see what it would do)"
            )),
        }
    }
}

/// Text of a viewer on one line, and not too long for a sentence.
fn shown(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(200).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(hands: &store::Hands, verb: &str, subject: &str, why: &str) -> Result<Taken, String> {
        let command = Command {
            verb: verb.to_owned(),
            subject: subject.to_owned(),
            why: why.to_owned(),
            ..Command::default()
        };
        hands("home", &command)
    }

    #[test]
    fn who_cannot_block_says_so() {
        let reads = hands(&Config::default(), Carriers::Nobody("it only reads a file"));
        assert_eq!(ask(&reads, "block", "10.0.0.5", ""), Err("it only reads a file".to_owned()));
        let blockers = Blockers::default();
        let agents = hands(&Config::default(), Carriers::Agents(blockers.clone()));
        assert!(
            ask(&agents, "unblock", "10.0.0.5", "").unwrap_err().starts_with("no agent of home may block")
        );
        blockers.set("home", true);
        let addr = [10, 0, 0, 5].into();
        let want = Wish::Unblock { addr, why: "it is mine".to_owned() };
        assert_eq!(ask(&agents, "unblock", "10.0.0.5", "it is\nmine"), Ok(Taken::Wish(want)));
        assert_eq!(ask(&agents, "block", "me", ""), Err("\"me\" is not an address".to_owned()));
        assert!(ask(&agents, "dance", "", "").unwrap_err().contains("\"dance\""));
        blockers.set("home", false);
        assert!(ask(&agents, "block", "10.0.0.5", "").is_err());
    }

    #[test]
    fn an_entry_goes_into_the_file_and_is_in_force() {
        let path = std::env::temp_dir().join(format!("slips-hands-{}", std::process::id()));
        std::fs::write(&path, "ip,10.0.0.1,both,both").unwrap();
        let config = Config { whitelist_path: Some(path.clone()), ..Config::default() };
        let hands = hands(&config, Carriers::Here);
        let entries = || config.whitelist.get().0.len();
        for (subject, total) in [
            ("10.0.0.5", 2),
            ("10.0.0.5", 2),
            ("fd00::/8", 3),
            ("cam.home.test", 4),
            ("02:00:00:aa:bb:cc", 5),
        ] {
            assert!(
                ask(&hands, "whitelist", subject, "a camera\nip,0.0.0.0/0,both,both").is_ok(),
                "{subject}"
            );
            assert_eq!(entries(), total, "{subject}");
        }
        for bad in ["10.0.0.5\nip,0.0.0.0/0", "a,b", "", "10.0.0.0/40", "two words"] {
            assert!(ask(&hands, "whitelist", bad, "").is_err(), "{bad}");
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text.lines().take(3).collect::<Vec<_>>(),
            ["ip,10.0.0.1,both,both", "; a camera ip,0.0.0.0/0,both,both", "ip,10.0.0.5,both,alerts"]
        );
        std::fs::remove_file(&path).unwrap();
        assert!(ask(&hands, "whitelist", "10.0.0.9", "").unwrap_err().contains("there is no such file"));
    }

    #[test]
    fn without_a_file_an_entry_holds_while_the_program_runs() {
        let config = Config::default();
        let hands = hands(&config, Carriers::Here);
        for subject in ["10.0.0.5", "10.0.0.6", "10.0.0.6"] {
            let Ok(Taken::Done(said)) = ask(&hands, "whitelist", subject, "") else { panic!() };
            assert!(said.contains("until this program ends"), "{said}");
        }
        assert_eq!(config.whitelist.get().0.len(), 2);
    }
}
