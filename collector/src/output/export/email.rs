//! E-mail through a command that takes a whole message on its standard input, as `sendmail -t` does.
//!
//! At most one mail in [`EVERY`]; what was found in between goes together. No shell is involved: the command is split at blanks. Text of
//! traffic stands in the body only, never in a header.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::item::Item;
use super::receivers::{Pace, Receive, Trouble};
use crate::config::export::Export;
use crate::output::uuid::Uuid;

/// Least time between two mails.
const EVERY: Duration = Duration::from_secs(60);
/// What the command may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a line; RFC 5322 allows 998.
const LINE: usize = 900;
/// Lines of a mail. With [`LINE`] less than a pipe holds, so that writing cannot wait for the command.
const LINES: usize = 60;

/// E-mail.
#[derive(Debug)]
pub struct Email {
    sensor: Arc<str>,
    to: String,
    from: String,
    program: String,
    args: Vec<String>,
    sent: u64,
}

impl Email {
    pub fn new(export: &Export, sensor: Arc<str>) -> Result<Self, String> {
        let mut words = export.sendmail_command.split_whitespace().map(str::to_owned);
        let program = words.next().ok_or("[exporting_alerts] sendmail_command is empty")?;
        let (to, from) = (export.email_to.clone(), export.email_from.clone());
        for text in [&to, &from] {
            if !text.is_ascii() || text.chars().any(char::is_control) {
                return Err(format!("[exporting_alerts] {text}: an e-mail address in ASCII was expected"));
            }
        }
        Ok(Self { sensor, to, from, program, args: words.collect(), sent: 0 })
    }

    fn message(&self, batch: &[Arc<Item>]) -> String {
        let worst = batch.iter().map(|item| item.level()).max();
        let subject = match batch {
            [_] => format!("Slips on {}: {}", self.sensor, worst.map_or("", |level| level.name())),
            _ => {
                let worst = worst.map_or("", |level| level.name());
                format!("Slips on {}: {} messages, the worst {worst}", self.sensor, batch.len())
            }
        };
        let now = jiff::ZonedDateTime::now();
        let stamp = now.timestamp().as_microsecond().to_string();
        let id = Uuid::of(&["mail", &self.sensor, &stamp, &self.sent.to_string()]);
        let mut text = String::new();
        if !self.from.is_empty() {
            let _ = writeln!(text, "From: {}", self.from);
        }
        let _ = write!(
            text,
            "To: {}\nSubject: {}\nDate: {}\nMessage-ID: <{id}@slips.invalid>\nAuto-Submitted: auto-generated\n\
             MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n",
            self.to,
            encoded(&subject),
            now.strftime("%a, %d %b %Y %H:%M:%S %z"),
        );
        for item in batch {
            // With a blank in front no line is a lone dot, which ends a mail.
            let _ = writeln!(text, "- {}\n", item.line(LINE));
        }
        text
    }
}

impl Receive for Email {
    fn name(&self) -> &'static str {
        "email"
    }

    fn pace(&self) -> Pace {
        Pace { most: LINES, every: EVERY }
    }

    fn sensor(&self) -> &Arc<str> {
        &self.sensor
    }

    fn send(&mut self, batch: &[Arc<Item>]) -> Result<(), Trouble> {
        let message = self.message(batch);
        self.sent += 1;
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        match run(command, &self.program, message.as_bytes(), PATIENCE) {
            Outcome::Done => Ok(()),
            Outcome::Failed(why) | Outcome::Missing(why) => Err(Trouble::later(why)),
        }
    }
}

/// A header's text: ASCII as it is, everything else as an encoded word (RFC 2047).
fn encoded(text: &str) -> String {
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return text.to_owned();
    }
    // Words of at most 75 characters: 45 bytes become 60.
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        if word.len() + c.len_utf8() > 45 {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    words.push(word);
    let words: Vec<_> = words.iter().map(|word| format!("=?utf-8?B?{}?=", base64(word.as_bytes()))).collect();
    words.join("\n ")
}

/// Base64 (RFC 4648).
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut three = [0; 3];
        three.iter_mut().zip(group).for_each(|(to, from)| *to = *from);
        let bits = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
        for at in 0..4 {
            let digit = DIGITS.get((bits >> (18 - 6 * at) & 63) as usize).copied().unwrap_or(b'=');
            out.push(if at <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

/// How a command ended.
pub enum Outcome {
    /// Well.
    Done,
    /// Not well: one clause.
    Failed(String),
    /// There is no such command: one clause.
    Missing(String),
}

/// Runs a command with `input` on its standard input. `input` is less than a pipe holds.
pub fn run(mut command: Command, name: &str, input: &[u8], patience: Duration) -> Outcome {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(e) => return Outcome::Missing(format!("{name} cannot be run: {}", crate::output::reason(&e))),
    };
    if let Some(mut pipe) = child.stdin.take() {
        // A command that reads nothing says why by its exit code.
        let _ = pipe.write_all(input);
    }
    let end = Instant::now() + patience;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Outcome::Failed(format!("{name} did not end within {} s", patience.as_secs()));
            }
            Err(e) => return Outcome::Failed(format!("{name} is lost: {e}")),
        }
    };
    if status.success() {
        return Outcome::Done;
    }
    let mut said = [0; 200];
    let count = child.stderr.take().and_then(|mut pipe| pipe.read(&mut said).ok()).unwrap_or(0);
    let said = String::from_utf8_lossy(said.get(..count).unwrap_or_default()).into_owned();
    let line: String = said.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
    let code = status.code().map_or_else(|| "by a signal".to_owned(), |code| format!("with code {code}"));
    let colon = if line.is_empty() { "" } else { ": " };
    Outcome::Failed(format!("{name} ended {code}{colon}{line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_ascii() {
        assert_eq!(encoded("Slips on house: high"), "Slips on house: high");
        assert_eq!(encoded("Haus Grün"), "=?utf-8?B?SGF1cyBHcsO8bg==?=");
        let long = encoded(&"ü".repeat(40));
        assert!(long.lines().count() == 2 && long.lines().all(|line| line.trim().len() <= 75), "{long}");
        assert_eq!([b"".as_slice(), b"f", b"fo", b"foo"].map(base64), ["", "Zg==", "Zm8=", "Zm9v"]);
    }

    #[test]
    fn a_command_that_hangs_is_ended() {
        let mut command = Command::new("sleep");
        command.arg("60");
        let started = Instant::now();
        let Outcome::Failed(why) = run(command, "sleep", b"", Duration::from_millis(200)) else { panic!() };
        assert!(why.contains("did not end") && started.elapsed() < Duration::from_secs(10), "{why}");
    }
}
