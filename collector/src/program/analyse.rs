//! From inputs to a folder and a summary.
//!
//! Everything that can be refused is refused before the folder is made. Ctrl-C ends like the end of the input: the folder is
//! complete.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use slips_agent::capture::filter::Filter;
use slips_agent::capture::live;

use super::args::{Analysis, Input};
use super::blocking::Blocking;
use super::console::Console;
use super::hands::{Carriers, hands};
use super::kalipso::Beside;
use super::reload::Reload;
use super::story::{SHOWN, story};
use super::{Failure, exports, interrupted, say, store};
use crate::config::{Config, Network};
use crate::engine::{Engine, Refresh};
use crate::input::live::Live;
use crate::input::merge::Merged;
use crate::input::packets::{Packets, Watched};
use crate::input::{self, Error as InputError, Job, Source};
use crate::leaks::{self, Limits};
use crate::modules::Modules;
use crate::output::{Folder, Summary};
use crate::store::{Notify, Run, Writer};

/// Said to who asks for a block that nobody would carry out.
const NOBODY: &str = "this analysis blocks nobody: watch an interface with -i and -p for that";

pub(super) fn run(mut analysis: Analysis) -> Result<(), Failure> {
    // First, so that Ctrl-C while a large list is read is heard too.
    let stop = interrupted()?;
    let config = &mut analysis.config;
    let console = Console::new(analysis.json, config.verbose);
    if analysis.gui {
        console.hold();
    }
    config.watch = console.watch();
    config.open().map_err(Failure::usage)?;
    // A file is never a reason to ask anybody, and --check touches nothing.
    let live = analysis.inputs.iter().any(Input::is_live) && !analysis.check;
    if live {
        let notes = console.clone();
        let told: crate::lookups::Say = Arc::new(move |text: &str| notes.note(text));
        config.open_desk(&told).map_err(Failure::usage)?;
    }
    let modules = Modules::new(config).map_err(Failure::usage)?;
    for (_, module) in modules.iter() {
        module.notes().iter().for_each(|note| console.note(note));
    }
    let modules = Arc::new(modules);
    let notes = console.clone();
    let _reload = Reload::start(config, &modules, live, Arc::new(move |text: &str| notes.note(text)))?;
    let receivers = exports::open(config, &console)?;
    let (sources, names) = open(&analysis.inputs, config, &console)?;
    let dir = dir(analysis.out.as_deref(), config.create_log_files)?;
    if analysis.check {
        for name in &names {
            say(&format!("ready: {name}\n"));
        }
        return Ok(());
    }
    let store = store::given(config).map_err(Failure::usage)?;
    let running = exports::start(receivers, config, &console)?;
    // Before the folder, which keeps the listeners.
    let blocking = if analysis.block { Some(Blocking::start(config, &console)?) } else { None };
    let folder = Folder::create(&dir, config).map_err(|error| Failure::usage(error.to_string()))?;
    let folder = Arc::new(folder);
    let told = console.clone();
    let notify: Notify = Arc::new(move |text: &str| told.note(text));
    let carriers = match blocking {
        Some(_) => Carriers::Here,
        None => Carriers::Nobody(NOBODY),
    };
    let writer = store::start(store, config, &dir, notify, hands(config, carriers), &modules)?;
    if let Some(writer) = &writer {
        let run = Run::now(config, "local", names.join(", "));
        config.tap = writer.begin(run, !config.delete_previous).map_err(|e| Failure::run(e.to_string()))?;
    }
    let beside = if analysis.gui { Some(Beside::start(config, &dir, &stop)?) } else { None };
    if config.verbose >= 3 {
        for name in &names {
            console.line(&format!("Reading {name}"));
        }
    }
    if config.debug >= 1 {
        console.note(&format!("modules: {modules:?}, threads: {}", crate::engine::threads(config)));
    }
    if config.debug >= 2 {
        config.effective().lines().for_each(|line| console.note(line));
    }
    let engine = Engine::with_modules(config, Arc::clone(&folder), modules);
    let source: Box<dyn Source> = match <[_; 1]>::try_from(sources) {
        Ok([source]) => source,
        Err(sources) => Box::new(Merged::new(sources)),
    };
    let fed = feed(engine, source, &folder, &console, &stop, config);
    if let Some(blocking) = blocking {
        blocking.end();
    }
    let stored = writer.map_or(Ok(()), Writer::finish);
    exports::finish(running, config, &console);
    let shown = beside.map_or(Ok(()), Beside::finish);
    console.done();
    let (waiting, dropped) = (config.desk.waiting(), config.desk.dropped());
    if waiting > 0 || dropped > 0 {
        console.note(&format!(
            "{waiting} questions to services were not answered before the end, {dropped} were given up for more interesting ones"
        ));
    }
    let (read, summary) = fed?;
    if analysis.json {
        let text = serde_json::to_string(&summary).map_err(|e| Failure::run(e.to_string()))?;
        say(&format!("{text}\n"));
    } else {
        let findings = folder.findings(SHOWN + 1);
        say(&story(&summary, &findings, &names, config.create_log_files.then_some(dir.as_path())));
    }
    stored.map_err(|error| Failure::run(error.to_string()))?;
    shown?;
    read.map_err(|error| Failure { text: error.to_string(), code: if error.usage { 2 } else { 1 } })
}

/// Reads to the end. What could not be read is told after the summary of what could.
fn feed(
    mut engine: Engine,
    mut source: Box<dyn Source>,
    folder: &Arc<Folder>,
    console: &Console,
    stop: &AtomicBool,
    config: &Config,
) -> Result<(Result<(), InputError>, Summary), Failure> {
    let refresh = engine.refresh();
    let every = Duration::from_secs(config.log_report_time_s);
    let (running, ended) = channel::<()>();
    let read = std::thread::scope(|scope| {
        scope.spawn(move || {
            tick(&refresh, every, &ended, &|| {
                if let Some(text) = folder.complaint() {
                    console.note(&text);
                }
            });
        });
        let progress = |progress: input::Progress<'_>| {
            console.progress(&progress);
            if let Some(totals) = progress.totals {
                folder.input(totals.clone());
            }
            if config.debug >= 3 {
                console.note(&format!("{progress:?}"));
            }
        };
        let job = Job { stop, progress: &progress, say: &|text| console.note(text) };
        let read = source.read(&mut engine, job);
        drop(running);
        read
    });
    if let Ok(totals) = &read {
        folder.input(totals.clone());
    }
    let (summary, trouble) = engine.finish().map_err(|error| Failure::run(error.to_string()))?;
    if let Some(error) = trouble {
        console.done();
        return Err(Failure::run(error.to_string()));
    }
    Ok((read.map(|_| ()), summary))
}

/// Asks for a refresh every `every` until the reading has ended.
fn tick(refresh: &Refresh, every: Duration, ended: &std::sync::mpsc::Receiver<()>, complain: &dyn Fn()) {
    while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
        complain();
        refresh.ask();
    }
}

/// Inputs that are open, with a name for people for each.
type Opened = (Vec<Box<dyn Source>>, Vec<String>);

fn open(inputs: &[Input], config: &mut Config, console: &Console) -> Result<Opened, Failure> {
    let (mut sources, mut names) = (Vec::new(), Vec::new());
    let filter = match config.pcapfilter.as_str() {
        "" => None,
        text => Some(Filter::parse(text).map_err(|error| Failure::usage(error.to_string()))?),
    };
    let leaks = watched(inputs, config, console)?;
    for input in inputs {
        let refused = |error: InputError| Failure::usage(error.to_string());
        let (name, source): (String, Box<dyn Source>) = match input {
            Input::Packets(path) => {
                let source = Packets::open(path).map_err(refused)?.filtered(filter.as_ref()).watched(&leaks);
                (shown(path), Box::new(source))
            }
            Input::Interface(name) => {
                let source = Live::open(name, filter.clone()).map_err(refused)?.watched(&leaks);
                for (addr, prefix) in live::addresses(name) {
                    config.own_addresses.push(addr);
                    config.interface_networks.extend(Network::new(addr, prefix));
                }
                (name.clone(), Box::new(source))
            }
            Input::Netflow(address) => {
                (address.clone(), Box::new(input::netflow::Netflow::open(address).map_err(refused)?))
            }
            Input::Flows(path, format, follow) => {
                let wish = input::Wish {
                    format: *format,
                    time_format: config.timestamp_format.as_deref(),
                    filter: filter.as_ref(),
                    follow: follow.on,
                    positions: follow.positions.as_deref(),
                    leaks: Some(&leaks),
                };
                (shown(path), input::open(path, &wish).map_err(refused)?)
            }
        };
        names.push(format!("{name} ({})", source.describe()));
        sources.push(source);
    }
    Ok((sources, names))
}

/// The rules of the leak detector, where anything with packets is read.
fn watched(inputs: &[Input], config: &Config, console: &Console) -> Result<Watched, Failure> {
    if inputs.iter().all(|input| matches!(input, Input::Netflow(_))) {
        return Ok(None);
    }
    let (rules, notes) = leaks::load(config).map_err(Failure::usage)?;
    notes.iter().for_each(|note| console.note(note));
    Ok(rules.map(|rules| (rules, Limits { bytes: config.leak_bytes, ..Limits::default() })))
}

fn shown(path: &Path) -> String {
    if path.as_os_str() == "-" { "standard input".to_owned() } else { path.display().to_string() }
}

/// The folder to write to. One that holds something already is refused: two runs in one folder could not be told apart.
fn dir(out: Option<&Path>, files: bool) -> Result<PathBuf, Failure> {
    let Some(out) = out else {
        return Ok(jiff::ZonedDateTime::now().strftime("%Y-%m-%d--%H:%M:%S").to_string().into());
    };
    let entries = std::fs::read_dir(out);
    if let Err(error) = &entries
        && error.kind() == std::io::ErrorKind::NotADirectory
    {
        return Err(Failure::usage(format!(
            "{}: is a file, a folder to write to is expected",
            out.display()
        )));
    }
    if files && entries.is_ok_and(|entries| entries.count() > 0) {
        let text = format!("{}: the folder is not empty, choose another one with -o", out.display());
        return Err(Failure::usage(text));
    }
    Ok(out.to_owned())
}
