//! What a source says besides flows and their application events: its own findings, side logs and labels.
//!
//! Zeek's notice, weird, software, files, tunnel and known_services logs, Suricata's alerts and anomalies, and the labels
//! of evaluation data have no place in the sensor's record types, and need none there. Each becomes a typed [`Note`] whose
//! texts are cut at [`MAX_TEXT`] bytes, so that no line of a log can grow the collector's memory.

use std::net::IpAddr;

use slips_agent::app::record::MAX_TEXT;
use slips_agent::record::{FiveTuple, Uid};

use super::Text;

/// One statement of a source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// The flow it is about, where the source names one.
    pub uid: Option<Uid>,
    /// That flow's five-tuple, originator first, where the source tells it.
    pub tuple: Option<FiveTuple>,
    /// Traffic time of what is stated, µs.
    pub ts_us: u64,
    /// The statement.
    pub body: NoteBody,
}

/// The statement itself.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum NoteBody {
    /// A signature of an intrusion detection system fired.
    Signature(Signature),
    /// A notice of Zeek.
    Notice(Notice),
    /// Something that breaks a protocol's rules: Zeek's weird, Suricata's anomaly.
    Weird(Weird),
    /// A program seen on a host.
    Software(Software),
    /// A file that crossed the network.
    File(File),
    /// A tunnel was found, or ended.
    Tunnel(Tunnel),
    /// A host answers on a port.
    Service(KnownService),
    /// A message of an MQTT session.
    Mqtt(Mqtt),
    /// Something private was sent in clear; the note's originator sent it.
    Leak(Leak),
    /// What somebody says a flow is; for evaluation only, never for detection. Comes just before its flow.
    Label(Label),
}

/// A signature that fired.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signature {
    /// Sender of the packet that matched, which need not be the flow's originator.
    pub src: IpAddr,
    /// Receiver of that packet.
    pub dst: IpAddr,
    /// Receiver's port; `None` for protocols without ports.
    pub dst_port: Option<u16>,
    /// Generator number.
    pub generator: u32,
    /// Number of the signature.
    pub id: u64,
    /// Revision of the signature.
    pub revision: u32,
    /// Its message.
    pub message: Text,
    /// Its class in words; empty if none.
    pub category: Text,
    /// 1 is the most severe; 3 by default, as Suricata has it.
    pub severity: u8,
    /// The source dropped or rejected the traffic itself.
    pub blocked: bool,
}

/// A notice of Zeek.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// Type with its name space, `Scan::Port_Scan`.
    pub name: Text,
    /// The sentence.
    pub message: Text,
    /// Further detail; empty if none.
    pub detail: Text,
    /// Who did it.
    pub src: Option<IpAddr>,
    /// To whom.
    pub dst: Option<IpAddr>,
    /// On which port.
    pub port: Option<u16>,
    /// How many, where the notice counts something.
    pub count: Option<u64>,
}

/// A protocol's rules were broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Weird {
    /// Name the source gives it, `unknown_HTTP_method`.
    pub name: Text,
    /// Further detail; empty if none.
    pub detail: Text,
}

/// A program seen on a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Software {
    /// Where it runs.
    pub host: IpAddr,
    /// The port it serves; `None` for clients.
    pub port: Option<u16>,
    /// What it is, `SSH::CLIENT`.
    pub kind: Text,
    /// Name of the program.
    pub name: Text,
    /// First number of its version.
    pub major: Option<u32>,
    /// Second number of its version.
    pub minor: Option<u32>,
    /// The text it was recognised by.
    pub banner: Text,
}

/// A file that crossed the network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Who sent it.
    pub sender: Option<IpAddr>,
    /// Who got it.
    pub receiver: Option<IpAddr>,
    /// Protocol it came by, as the source writes it.
    pub source: Text,
    /// Media type; empty if unknown.
    pub mime: Text,
    /// Its name; empty if none.
    pub name: Text,
    /// Bytes seen.
    pub bytes: u64,
    /// MD5 of the content.
    pub md5: Option<[u8; 16]>,
    /// SHA-1 of the content.
    pub sha1: Option<[u8; 20]>,
    /// SHA-256 of the content.
    pub sha256: Option<[u8; 32]>,
}

/// A tunnel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tunnel {
    /// `Tunnel::GRE`.
    pub kind: Text,
    /// `Tunnel::DISCOVER`, `Tunnel::CLOSE`, `Tunnel::EXPIRE`.
    pub action: Text,
}

/// A host answers on a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownService {
    /// The host.
    pub host: IpAddr,
    /// Its port.
    pub port: u16,
    /// IP protocol number.
    pub proto: u8,
    /// Service names, separated by commas; empty if unknown.
    pub names: Text,
}

/// A message of an MQTT session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mqtt {
    /// `connect`, `connack`, `publish`, `subscribe` …
    pub message: Text,
    /// Client identifier; empty if not in this message.
    pub client: Text,
    /// User name; empty if not in this message. Passwords are never kept.
    pub username: Text,
    /// Topic, or the first of several; empty if none.
    pub topic: Text,
    /// Return or reason code of an acknowledgement.
    pub code: Option<u16>,
}

/// Something private in clear. What it was is not kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leak {
    /// What kind of thing.
    pub kind: LeakKind,
    /// The rule that found it.
    pub rule: Text,
    /// In words, `an e-mail address`.
    pub says: Text,
    /// The server's port.
    pub port: u16,
}

/// What can leak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeakKind {
    /// Latitude and longitude.
    Position,
    /// A password, with or without a name.
    Credentials,
    /// Number of a payment card.
    Card,
    /// E-mail address.
    Email,
    /// Phone number.
    Phone,
    /// Key or access token.
    Token,
    /// Number of a phone.
    Imei,
    /// What a rule of the user's looks for.
    Data,
}

impl LeakKind {
    /// By its name in a rule; [`LeakKind::Data`] for any other.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "position" => Self::Position,
            "credentials" => Self::Credentials,
            "card" => Self::Card,
            "email" => Self::Email,
            "phone" => Self::Phone,
            "token" => Self::Token,
            "imei" => Self::Imei,
            _ => Self::Data,
        }
    }
}

/// What somebody says a flow is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Label {
    /// `Malicious`, `Benign`, `Background` …, as written.
    pub label: Text,
    /// The finer label; empty if none.
    pub detail: Text,
}

/// A text for a record: cut at [`MAX_TEXT`] bytes, on a character's border.
#[must_use]
pub fn bounded(text: &str) -> Text {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_on_the_border_of_a_character() {
        let long = "é".repeat(MAX_TEXT);
        let cut = bounded(&long);
        assert_eq!(cut.len(), MAX_TEXT);
        let odd = format!("a{long}");
        assert_eq!(bounded(&odd).len(), MAX_TEXT - 1);
        assert_eq!(&*bounded("short"), "short");
    }
}
