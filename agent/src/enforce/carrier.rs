//! The thread that carries blocks out: orders in, rules in the kernel, and one sentence about each thing that happened.
//!
//! Looks every few seconds whether the rules are still there while anybody is blocked: a firewall that was reloaded, or a person
//! who flushed it, gets them back, and it is said. An order that cannot be carried out changes nothing and is answered with its
//! reason. Never waits for the network except to resolve the broker's name.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::keep;
use super::never::{self, Never};
use super::nft::Firewall;
use super::{Blocks, Held, Limits};

/// How often the kernel is asked whether the rules are still there.
const LOOK: Duration = Duration::from_secs(5);
/// Orders that may wait.
const WAITING: usize = 64;
/// An element about to end may be gone when the kernel is asked.
const ALMOST_OVER_S: u32 = 10;

/// How blocking is done.
pub struct Options {
    /// Bounds.
    pub limits: Limits,
    /// Who is never blocked.
    pub never: Never,
    /// Nothing is dropped, everything else happens.
    pub dry_run: bool,
    /// Where blocks are remembered over a restart; nowhere if `None`.
    pub keep: Option<PathBuf>,
    /// Orders come from this very process: it lives as long as the thread does.
    pub local: bool,
}

/// What became of an order: carried out or not, and in words.
pub type Answer = Result<String, String>;

/// Hears what became of an order.
pub type Reply = Box<dyn FnOnce(Answer) + Send>;

enum Order {
    Block { addr: IpAddr, seconds: u32, why: String, reply: Reply },
    Unblock { addr: IpAddr, reply: Reply },
    Heard,
    Never(Never),
    End,
}

/// What is in force, as the carrier last left it.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// By address.
    pub blocks: Vec<Held>,
    /// UTC at which their times were left, µs.
    pub utc_us: u64,
    /// The latest thing that happened, in words.
    pub latest: String,
}

/// A running carrier. When it goes, the thread ends; what is in the kernel stays only where it is kept over restarts.
pub struct Carrier {
    orders: SyncSender<Order>,
    standing: Arc<Mutex<Standing>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Carrier {
    /// Starts the thread. What was in force before a restart is again, where it was kept; else the table is emptied. `say` hears
    /// everything that happens unasked.
    ///
    /// # Errors
    /// The packet filter cannot be used, or the system gives no thread: one sentence.
    pub fn start(
        mut firewall: impl Firewall + Send + 'static,
        options: Options,
        say: impl Fn(&str) + Send + 'static,
    ) -> Result<Self, String> {
        if !options.dry_run {
            // Of an earlier run, which we know nothing of.
            firewall.apply(&[])?;
        }
        let standing = Arc::new(Mutex::new(Standing::default()));
        let (orders, receive) = sync_channel(WAITING);
        let blocks = Blocks::new(options.limits, 0);
        let mut worker = Worker {
            firewall: Box::new(firewall),
            blocks,
            options,
            say: Box::new(say),
            standing: Arc::clone(&standing),
            started: Instant::now(),
            looked: Instant::now(),
            applied_us: 0,
        };
        worker.recall();
        let thread = std::thread::Builder::new()
            .name("blocking".to_owned())
            .spawn(move || worker.run(&receive))
            .map_err(|e| format!("the system gives no thread: {e}"))?;
        Ok(Self { orders, standing, thread: Mutex::new(Some(thread)) })
    }

    /// Asks for an address to be blocked.
    pub fn block(&self, addr: IpAddr, seconds: u32, why: &str, reply: Reply) {
        self.give(Order::Block { addr, seconds, why: why.to_owned(), reply });
    }

    /// Asks for an address to be released.
    pub fn unblock(&self, addr: IpAddr, reply: Reply) {
        self.give(Order::Unblock { addr, reply });
    }

    /// The collector lives: what is blocked may stay.
    pub fn heard(&self) {
        // Full: the next sign of life does as well.
        let _ = self.orders.try_send(Order::Heard);
    }

    /// Others are never blocked from now on. Who is blocked and must not be any longer is released.
    pub fn set_never(&self, never: Never) {
        let _ = self.orders.send(Order::Never(never));
    }

    /// What is in force.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn give(&self, order: Order) {
        let refused = match self.orders.try_send(order) {
            Ok(()) => return,
            Err(TrySendError::Full(order) | TrySendError::Disconnected(order)) => order,
        };
        if let Order::Block { reply, .. } | Order::Unblock { reply, .. } = refused {
            reply(Err("too many orders wait already".to_owned()));
        }
    }
}

impl Carrier {
    /// Ends the thread and waits for it: everything is released, unless it is kept over restarts.
    pub fn end(&self) {
        let _ = self.orders.send(Order::End);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.end();
    }
}

struct Worker {
    firewall: Box<dyn Firewall + Send>,
    blocks: Blocks,
    options: Options,
    say: Box<dyn Fn(&str) + Send>,
    standing: Arc<Mutex<Standing>>,
    started: Instant,
    looked: Instant,
    /// When the kernel's time-outs were last set.
    applied_us: u64,
}

impl Worker {
    fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let wait = match self.blocks.due_us() {
                None => Duration::from_secs(60),
                Some(due) => Duration::from_micros(due.saturating_sub(self.now_us())).min(LOOK),
            };
            match orders.recv_timeout(wait) {
                Ok(Order::Block { addr, seconds, why, reply }) => {
                    let answer = self.block(addr, seconds, &why);
                    reply(answer);
                }
                Ok(Order::Unblock { addr, reply }) => {
                    let answer = self.unblock(addr);
                    reply(answer);
                }
                Ok(Order::Heard) => self.blocks.heard(self.now_us()),
                Ok(Order::Never(never)) => self.spare(never),
                Ok(Order::End) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.tick();
        }
        if self.options.keep.is_none() && !self.blocks.is_empty() && !self.options.dry_run {
            let _ = self.firewall.apply(&[]);
        }
    }

    fn block(&mut self, addr: IpAddr, seconds: u32, why: &str) -> Answer {
        if let Some(reason) = self.options.never.why(addr) {
            return self.note(Err(format!("{addr} is not blocked: it {reason}")));
        }
        let (now, before) = (self.now_us(), self.blocks.clone());
        // Who orders is alive.
        self.blocks.heard(now);
        let result = self
            .blocks
            .block(now, addr, never::device(addr), seconds, why)
            .and_then(|seconds| self.apply().map(|()| seconds));
        let answer = match result {
            Ok(seconds) => {
                let how = if self.options.dry_run { "would be blocked (dry run)" } else { "is blocked" };
                Ok(format!("{addr} {how} for {seconds} s: {why}"))
            }
            Err(text) => {
                self.blocks = before;
                Err(format!("{addr} is not blocked: {text}"))
            }
        };
        self.changed();
        self.note(answer)
    }

    fn unblock(&mut self, addr: IpAddr) -> Answer {
        let (now, before) = (self.now_us(), self.blocks.clone());
        self.blocks.heard(now);
        let answer = if self.blocks.unblock(addr) {
            match self.apply() {
                Ok(()) => Ok(format!("{addr} is released as ordered")),
                Err(text) => {
                    self.blocks = before;
                    Err(format!("{addr} is not released: {text}"))
                }
            }
        } else {
            Ok(format!("{addr} was not blocked"))
        };
        self.changed();
        self.note(answer)
    }

    /// Who must not be blocked any longer is released.
    fn spare(&mut self, never: Never) {
        if self.options.never == never {
            return;
        }
        self.options.never = never;
        let now = self.now_us();
        let freed: Vec<(IpAddr, &str)> = self
            .blocks
            .held(now)
            .filter_map(|held| Some((held.addr, self.options.never.why(held.addr)?)))
            .collect();
        for (addr, _) in &freed {
            self.blocks.unblock(*addr);
        }
        if freed.is_empty() {
            return;
        }
        let result = self.apply();
        for (addr, why) in freed {
            let text = match &result {
                Ok(()) => format!("{addr} is released: it {why}"),
                Err(text) => format!("{addr} should be released, since it {why}: {text}"),
            };
            (self.say)(&text);
            let _ = self.note(Ok(text));
        }
        self.changed();
    }

    /// Remembers what happened for the status.
    fn note(&mut self, answer: Answer) -> Answer {
        let (Ok(text) | Err(text)) = &answer;
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).latest.clone_from(text);
        answer
    }

    fn tick(&mut self) {
        let now = self.now_us();
        if self.options.local {
            self.blocks.heard(now);
        }
        let said = self.blocks.tick(now);
        if !said.is_empty() {
            if let Err(text) = self.apply() {
                (self.say)(&format!("blocks that have ended stay for now: {text}"));
            }
            self.changed();
        }
        for text in said {
            (self.say)(&text);
            let _ = self.note(Ok(text));
        }
        if self.blocks.is_empty() || self.options.dry_run {
            return;
        }
        // Prolongs what the kernel would forget because it does not know that the collector has spoken since.
        if now.saturating_sub(self.applied_us) >= self.options.limits.silence_us / 4
            && let Err(text) = self.apply()
        {
            (self.say)(&format!("blocks cannot be prolonged: {text}"));
        }
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            self.look(now);
        }
    }

    /// Are the rules still there?
    fn look(&mut self, now: u64) {
        let wanted: BTreeSet<IpAddr> = self
            .blocks
            .entries(now)
            .iter()
            .filter(|entry| entry.timeout_s > ALMOST_OVER_S)
            .map(|entry| entry.addr)
            .collect();
        let text = match self.firewall.present() {
            Ok(there) if wanted.is_subset(&there) => return,
            Ok(_) => match self.apply() {
                Ok(()) => {
                    let count = self.blocks.len();
                    format!("the firewall was reloaded; its {count} blocks are set again")
                }
                Err(text) => format!("the firewall was reloaded and the blocks are gone: {text}"),
            },
            Err(text) => format!("the firewall cannot be looked at: {text}"),
        };
        (self.say)(&text);
        let _ = self.note(Ok(text));
    }

    fn apply(&mut self) -> Result<(), String> {
        if self.options.dry_run {
            return Ok(());
        }
        let now = self.now_us();
        self.firewall.apply(&self.blocks.entries(now))?;
        self.applied_us = now;
        Ok(())
    }

    /// The list is another one: shown, and kept.
    fn changed(&mut self) {
        let held: Vec<Held> = self.blocks.held(self.now_us()).collect();
        if let Some(path) = &self.options.keep
            && let Err(error) = keep::write(path, held.iter().cloned(), utc_s())
        {
            (self.say)(&format!("{}: blocks cannot be kept over a restart: {error}", path.display()));
        }
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        (standing.blocks, standing.utc_us) = (held, utc_s().saturating_mul(1_000_000));
    }

    /// What was in force before a restart.
    fn recall(&mut self) {
        let Some(path) = self.options.keep.clone() else { return };
        let kept = match keep::read(&path, utc_s()) {
            Ok(kept) => kept,
            Err(error) => {
                (self.say)(&format!("{}: earlier blocks cannot be read: {error}", path.display()));
                return;
            }
        };
        let now = self.now_us();
        for held in kept {
            // The network may be another one since.
            if self.options.never.why(held.addr).is_none() {
                let _ = self.blocks.block(now, held.addr, held.mac, held.left_s, &held.why);
            }
        }
        if self.blocks.is_empty() {
            return;
        }
        let text = match self.apply() {
            Ok(()) => format!("{} blocks from before the restart are in force again", self.blocks.len()),
            Err(text) => format!("blocks from before the restart cannot be set: {text}"),
        };
        (self.say)(&text);
        let _ = self.note(Ok(text));
        self.changed();
    }
}

fn utc_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
