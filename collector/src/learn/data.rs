//! Labelled captures, as lists that say what is malicious in each.
//!
//! Enters: a list (tab-separated, see [`List::read`]) of captures in any format that Slips reads, with their truth. Leaves:
//! flows and strings of letters with their truth. A capture belongs wholly to one [`Split`]; nothing here mixes captures, so
//! that nothing of a test can have been seen in training.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use slips_agent::record::{FlowKind, FlowRecord, Uid};

use crate::input::{self, Intake, Job, NoteBody, Record, Wish};
use crate::profile::letters::{Letters, Tuple};
use crate::profile::{Role, tuple};

/// What a capture is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Weights are fitted to it.
    Train,
    /// Decides when training stops, and the threshold.
    Validate,
    /// Measures; nothing is decided by it.
    Test,
}

/// One capture of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Capture {
    /// Its name in reports.
    pub name: String,
    /// File or folder.
    pub path: PathBuf,
    /// Strings of letters instead of traffic.
    pub letters: bool,
    /// What it is for.
    pub split: Split,
    malicious: Pattern,
    benign: Pattern,
}

/// Which labels mean something.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Pattern {
    All,
    None,
    /// Labels that hold this word, compared without case.
    Word(String),
}

impl Pattern {
    fn of(text: &str) -> Self {
        match text {
            "*" => Self::All,
            "-" | "" => Self::None,
            word => Self::Word(word.to_ascii_lowercase()),
        }
    }

    fn holds(&self, label: &str) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Word(word) => label.to_ascii_lowercase().contains(word),
        }
    }
}

/// Captures with their truth.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct List(pub Vec<Capture>);

/// The columns of a list, in order.
pub const COLUMNS: &str = "split\tname\tpath\tkind\tmalicious\tbenign";
const MAX_LIST: u64 = 16 << 20;

impl List {
    /// Reads a list: one line a capture, with tabs between split (train, validate, test), name, path (beginning at `root`, or beside
    /// the list), kind (`flows` or `letters`), and two patterns for labels: which are malicious, which benign. A pattern is `*` for the
    /// whole capture, `-` for nothing, or a word that the label or its detail contains. What is neither is left out. Lines
    /// that begin with `#` are comments.
    ///
    /// # Errors
    /// One sentence with file and line.
    pub fn read(path: &Path, root: Option<&Path>) -> Result<Self, String> {
        let place = path.display();
        let about = fs::metadata(path).map_err(|e| format!("{place}: cannot be read: {e}"))?;
        if about.len() > MAX_LIST {
            return Err(format!("{place}: has {} bytes, a list has at most {MAX_LIST}", about.len()));
        }
        let text = fs::read_to_string(path).map_err(|e| format!("{place}: cannot be read: {e}"))?;
        let beside = root.or(path.parent()).unwrap_or(Path::new(""));
        let mut list = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let place = format!("{place}:{}", number + 1);
            let cells: Vec<&str> = line.split('\t').collect();
            let [split, name, file, kind, malicious, benign] = cells[..] else {
                return Err(format!(
                    "{place}: has {} columns, expected 6: {}",
                    cells.len(),
                    COLUMNS.replace('\t', ", ")
                ));
            };
            let split = match split {
                "train" => Split::Train,
                "validate" => Split::Validate,
                "test" => Split::Test,
                other => {
                    return Err(format!("{place}: {other} is no split, expected train, validate or test"));
                }
            };
            let letters = match kind {
                "flows" => false,
                "letters" => true,
                other => return Err(format!("{place}: {other} is no kind, expected flows or letters")),
            };
            list.push(Capture {
                name: name.to_owned(),
                path: beside.join(file),
                letters,
                split,
                malicious: Pattern::of(malicious),
                benign: Pattern::of(benign),
            });
        }
        Ok(Self(list))
    }
}

/// A flow with its truth.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Labelled {
    /// The flow; final ones only.
    pub flow: FlowRecord,
    /// Whether it is malicious; `None` when nobody says.
    pub malicious: Option<bool>,
    /// The detail of its label, or the label; empty without one.
    pub label: String,
}

/// A string of letters with its truth: one tuple in one window.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sequence {
    /// The profile; unspecified where only strings are known.
    pub profile: IpAddr,
    /// Window.
    pub window: i64,
    /// The tuple; its protocol is always known.
    pub tuple: Tuple,
    /// The letters.
    pub letters: String,
    /// Flows.
    pub flows: usize,
    /// Start of each flow in µs and total bytes of it; empty where only strings are known.
    pub contacts: Vec<(u64, u64)>,
    /// Whether it is malicious.
    pub malicious: bool,
    /// The detail of the label of the first flow that decided it, or the label; empty when the whole capture is one kind.
    pub label: String,
}

/// Flows and labels of one source.
#[derive(Default)]
struct Keep {
    flows: Vec<FlowRecord>,
    /// Label and detail.
    labels: BTreeMap<Uid, (String, String)>,
    full: bool,
}

/// Flows held of one capture: above this, memory is better spent on more captures.
const MAX_FLOWS: usize = 5_000_000;

impl Intake for Keep {
    fn take(&mut self, record: Record) {
        match record {
            Record::Flow(flow) if flow.kind != FlowKind::Ongoing => {
                if self.flows.len() < MAX_FLOWS {
                    self.flows.push(*flow);
                } else {
                    self.full = true;
                }
            }
            Record::Note(note) => {
                if let (NoteBody::Label(label), Some(uid)) = (&note.body, note.uid)
                    && self.labels.len() < MAX_FLOWS
                {
                    self.labels.insert(uid, (label.label.to_string(), label.detail.to_string()));
                }
            }
            _ => {}
        }
    }
}

impl Capture {
    /// The truth of a label.
    fn truth(&self, label: &str) -> Option<bool> {
        if self.malicious.holds(label) {
            Some(true)
        } else if self.benign.holds(label) {
            Some(false)
        } else {
            None
        }
    }

    /// Its final flows in order.
    ///
    /// # Errors
    /// One sentence with the place: it cannot be read, or is too large.
    pub fn flows(&self) -> Result<Vec<Labelled>, String> {
        let stop = AtomicBool::new(false);
        let mut keep = Keep::default();
        let wish = Wish::default();
        let mut source = input::open(&self.path, &wish).map_err(|e| e.to_string())?;
        source
            .read(&mut keep, Job { stop: &stop, progress: &|_| {}, say: &|_| {} })
            .map_err(|e| e.to_string())?;
        if keep.full {
            return Err(format!("{}: more than {MAX_FLOWS} flows: split the capture", self.path.display()));
        }
        let Keep { flows, labels, .. } = keep;
        let labelled = flows.into_iter().map(|flow| {
            let (label, detail) =
                labels.get(&flow.uid).map_or(("", ""), |(label, detail)| (label.as_str(), detail.as_str()));
            let malicious = self.truth(&format!("{label} {detail}"));
            let said = if detail.is_empty() || detail.starts_with(['(', '-']) { label } else { detail };
            Labelled { flow, malicious, label: said.to_owned() }
        });
        Ok(labelled.collect())
    }

    /// Its strings of letters: of the tuples that a host opens, in windows of `width_us`. A tuple with one malicious flow is
    /// malicious; one without any flow of known truth is left out.
    ///
    /// # Errors
    /// As [`Capture::flows`].
    pub fn sequences(&self, width_us: u64) -> Result<Vec<Sequence>, String> {
        if self.letters {
            return self.strings();
        }
        let mut open: BTreeMap<(IpAddr, i64, Tuple), Opened> = BTreeMap::new();
        for Labelled { flow, malicious, label } in self.flows()? {
            let key = tuple(Role::Client, &flow);
            let window = i64::try_from(flow.start_us / width_us.max(1)).unwrap_or_default();
            let entry = open.entry((flow.tuple.orig_addr, window, key)).or_insert_with(|| Opened {
                letters: Letters::new(key),
                contacts: Vec::new(),
                truth: None,
                label: String::new(),
            });
            entry.letters.add(flow.start_us, flow.duration_us, flow.payload_bytes());
            entry.contacts.push((flow.start_us, flow.payload_bytes()));
            if malicious.is_some() && entry.truth != Some(true) && entry.truth != malicious {
                (entry.truth, entry.label) = (malicious, label);
            }
        }
        let made = open.into_iter().filter_map(
            |((profile, window, tuple), Opened { letters, contacts, truth, label })| {
                let letters = letters.text().to_owned();
                let flows = contacts.len();
                truth.map(|malicious| Sequence {
                    profile,
                    window,
                    tuple,
                    letters,
                    flows,
                    contacts,
                    malicious,
                    label,
                })
            },
        );
        Ok(made.collect())
    }

    /// Lines of the letter data sets of Slips: fields separated by `|`, the label in one of them, the letters in the last;
    /// colours of a terminal stand around the tuple.
    fn strings(&self) -> Result<Vec<Sequence>, String> {
        let place = self.path.display();
        let text = fs::read_to_string(&self.path).map_err(|e| format!("{place}: cannot be read: {e}"))?;
        let mut made = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let mut cells = line.rsplit('|').map(str::trim);
            let Some(letters) = cells.next() else { continue };
            let label: Vec<&str> = cells.collect();
            let label = label.join(" ");
            let (Some(malicious), Some(proto)) = (self.truth(&label), protocol(&label)) else { continue };
            if super::alphabet::tokens(proto, letters).is_none() {
                continue;
            }
            let unspecified = IpAddr::from([0, 0, 0, 0]);
            made.push(Sequence {
                profile: unspecified,
                window: i64::try_from(number).unwrap_or_default(),
                tuple: Tuple { outgoing: true, peer: unspecified, port: 0, proto },
                letters: letters.to_owned(),
                flows: letters.bytes().filter(|b| b.is_ascii_alphanumeric() && *b != b'0').count(),
                contacts: Vec::new(),
                malicious,
                label: label
                    .split_whitespace()
                    .find(|word| word.contains('-'))
                    .unwrap_or_default()
                    .to_owned(),
            });
        }
        if made.is_empty() {
            return Err(format!("{place}: no line with a label, a protocol and letters"));
        }
        Ok(made)
    }
}

/// A tuple whose letters are being made.
struct Opened {
    letters: Letters,
    contacts: Vec<(u64, u64)>,
    truth: Option<bool>,
    label: String,
}

/// `From-Botnet-TCP-…`, `…-udp`.
fn protocol(label: &str) -> Option<u8> {
    let label = label.to_ascii_lowercase();
    if label.contains("tcp") {
        Some(slips_agent::record::proto::TCP)
    } else if label.contains("udp") {
        Some(slips_agent::record::proto::UDP)
    } else {
        None
    }
}
