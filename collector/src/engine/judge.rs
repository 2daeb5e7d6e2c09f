//! The judge: puts the events of all shards in order, keeps the book of evidence, and writes what is decided.
//!
//! Enters: the outcomes of all shards for one round. Leaves: evidence and alerts with their numbers, window files, the folder's
//! refresh. Alone in this: everything that must be in one order for a whole site is decided here.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::grid::Grid;
use super::inbox::{Outcome as Answered, Wish};
use super::round::{Ask, Asked, Draft, Event, Outcome, What};
use super::site::Named;
use super::stored::{self, News};
use crate::evidence::blocking::{Decision, Shield};
use crate::evidence::{Alert, Book, Evidence, Herald, Where};
use crate::modules::{Finding, external};
use crate::output::{Counts, Error, Folder, Summary, WindowView};
use crate::store::{Channel, Notice, Row, Tap};

/// What the judge is told about a round besides the outcomes.
pub struct Head {
    /// Clock of the site at its end.
    pub end_us: u64,
    /// What the front wants.
    pub ask: Ask,
    /// What the site stage has counted.
    pub counts: Counts,
    /// Names that became known.
    pub named: Vec<Named>,
    /// Names for the store, and what is known of addresses.
    pub names: Vec<Row>,
    /// Way out to the internet, if it is known.
    pub gateway: Option<IpAddr>,
    /// What others ask for.
    pub asked: Vec<Asked>,
    /// What modules in other languages hear of this round.
    pub notices: Vec<Notice>,
}

/// See the head of the file.
pub struct Judge {
    grid: Grid,
    book: Book,
    folder: Arc<Folder>,
    /// Texts of windows that their shards have closed, until no evidence can come any more.
    closed: BTreeMap<(i64, IpAddr), String>,
    tap: Tap,
    news: News,
}

impl Judge {
    pub fn new(grid: Grid, book: Book, folder: Arc<Folder>, tap: Tap) -> Self {
        Self { grid, book, folder, closed: BTreeMap::new(), tap, news: News::default() }
    }

    /// One round. Gives back a summary when one was asked for, and what could not be written.
    pub fn round(&mut self, mut head: Head, outcomes: Vec<Outcome>) -> Option<(Summary, Option<Error>)> {
        let mut events = Vec::new();
        let mut drafts = Vec::new();
        let mut counts = head.counts.clone();
        let mut rows = Vec::new();
        for mut outcome in outcomes {
            events.append(&mut outcome.events);
            drafts.append(&mut outcome.drafts);
            rows.append(&mut outcome.rows);
            counts.profiles += outcome.tally.profiles;
            counts.windows += outcome.tally.windows;
            for (country, flows) in outcome.tally.countries {
                *counts.countries.entry(country.to_string()).or_default() += flows;
            }
            for (reason, lost) in outcome.tally.losses {
                *counts.losses.entry(reason).or_default() += lost;
            }
        }
        // Each shard's events are in order already, so this merges.
        events.sort_by_key(|event: &Event| event.order);
        let new_profiles = self.tap.wants(Channel::NewProfile);
        for event in events {
            self.unblock(event.order.clock_us.min(head.end_us));
            if new_profiles && matches!(event.what, What::Created { .. }) {
                let (addr, ts_us) = (event.order.profile, event.order.clock_us);
                head.notices.push(Notice::Profile { addr, ts_us });
            }
            self.event(event);
        }
        self.unblock(head.end_us);
        for asked in head.asked {
            let Asked { wish, answer, shield, refused } = asked;
            answer.give(match refused {
                Some(why) => Err(why.to_owned()),
                None => self.asked(wish, shield, head.end_us),
            });
        }
        self.folder.named(&head.named);
        if self.tap.on() {
            rows.iter_mut().for_each(|row| stored::number(row, &mut self.book));
            rows.extend(head.names);
            self.news.rows(self.grid, &mut self.book, &mut rows);
            self.tap.give_with(rows, head.notices);
        }
        let ended = head.ask == Ask::Finish;
        self.close_until(if ended { None } else { Some(head.end_us) });
        if head.ask == Ask::Nothing {
            return None;
        }
        for draft in drafts {
            self.draft(&draft);
        }
        if self.book.refused() > 0 {
            *counts.losses.entry("evidence_refused".to_owned()).or_default() += self.book.refused();
        }
        let written = if ended { self.folder.finish(&counts) } else { self.folder.report(&counts) };
        let (summary, trouble) = match written {
            Ok(summary) => (summary, None),
            Err(error) => (self.folder.current(&counts), Some(error)),
        };
        self.tap.report(&summary, head.end_us, counts.first_us, head.gateway);
        Some((summary, trouble))
    }

    fn event(&mut self, event: Event) {
        let profile = event.order.profile;
        match event.what {
            What::Created { window } => self.book.created(profile, window),
            What::Forgotten => self.book.forgotten(profile),
            What::Closed { window, text, letters, early } => {
                if !letters.is_empty() {
                    let number = self.book.number(profile, window);
                    self.folder.letters(profile, number, &letters);
                }
                match text {
                    // Texts of forgotten profiles must not wait for the end of the window: a flood makes millions.
                    Some(text) if early => self.draft(&Draft { profile, window, text }),
                    Some(text) => {
                        self.closed.insert((window, profile), text);
                    }
                    None => {}
                }
            }
            What::Found { finding, window, module, now_us, shield } => {
                let start_us = self.grid.start_us(window);
                let place = Where { now_us, window, start_us, module, shield };
                let mut news = self.tap.on().then_some(&mut self.news);
                if let Some(news) = &mut news {
                    news.touched.insert((window, finding.profile));
                }
                self.book.take(*finding, place, &mut Told(&self.folder, news));
            }
        }
    }

    /// What somebody outside asks for, at the end of a round.
    fn asked(&mut self, wish: Wish, shield: Option<Shield>, now_us: u64) -> Answered {
        if now_us == 0 {
            return Err("there was no traffic yet".to_owned());
        }
        let news = self.tap.on().then_some(&mut self.news);
        match wish {
            Wish::Block { addr, why } => {
                self.book.block(addr, now_us, &why, shield, &mut Told(&self.folder, news))
            }
            Wish::Unblock { addr, why } => {
                self.book.unblock(addr, now_us, &why, &mut Told(&self.folder, news))
            }
            Wish::Evidence(finding) => self.evidence(*finding, shield, now_us),
        }
    }

    /// What another program found. It counts in the window of its time, while that is open.
    fn evidence(&mut self, mut finding: Finding, shield: Option<Shield>, now_us: u64) -> Answered {
        if finding.ts_us == 0 {
            finding.ts_us = now_us;
        }
        let window = self.grid.index(finding.ts_us);
        if window > self.grid.index(now_us) {
            return Err("its time is ahead of the traffic".to_owned());
        }
        if window < self.grid.first_open(now_us) {
            return Err("it comes too late: its window is closed".to_owned());
        }
        let mut news = self.tap.on().then_some(&mut self.news);
        if let Some(news) = &mut news {
            news.touched.insert((window, finding.profile));
        }
        let place =
            Where { now_us, window, start_us: self.grid.start_us(window), module: external::NAME, shield };
        let refused = self.book.refused();
        self.book.take(finding, place, &mut Told(&self.folder, news));
        if self.book.refused() > refused {
            return Err("there is too much evidence of its kind".to_owned());
        }
        Ok("counted".to_owned())
    }

    /// Ends the blocks that are over at a time.
    fn unblock(&mut self, now_us: u64) {
        let news = self.tap.on().then_some(&mut self.news);
        self.book.advance(now_us, &mut Told(&self.folder, news));
    }

    /// Settles and writes the windows that close up to a time, or all.
    fn close_until(&mut self, now_us: Option<u64>) {
        loop {
            let written = self.closed.first_key_value().map(|((window, _), _)| *window);
            let Some(window) = [written, self.book.oldest()].into_iter().flatten().min() else { break };
            if now_us.is_some_and(|now_us| self.grid.closes_us(window) > now_us) {
                break;
            }
            while let Some(entry) = self.closed.first_entry().filter(|entry| entry.key().0 == window) {
                let ((window, profile), text) = entry.remove_entry();
                self.draft(&Draft { profile, window, text });
            }
            self.book.close(window, &mut Told(&self.folder, None));
        }
    }

    fn draft(&mut self, draft: &Draft) {
        let number = self.book.number(draft.profile, draft.window);
        let (evidence, blocked) = self.book.page(draft.profile, draft.window);
        self.folder.window(&WindowView {
            profile: draft.profile,
            number,
            start_us: self.grid.start_us(draft.window),
            blocked,
            evidence: &evidence,
            text: &draft.text,
        });
    }
}

/// Folder and store hear what the book decides.
struct Told<'a>(&'a Folder, Option<&'a mut News>);

impl Herald for Told<'_> {
    fn raise(&mut self, evidence: &Evidence) {
        self.0.raise(evidence);
        if let Some(news) = &mut self.1 {
            news.evidence.insert(evidence.id, evidence.into());
        }
    }

    fn update(&mut self, evidence: &Evidence) {
        self.0.update(evidence);
        if let Some(news) = &mut self.1 {
            news.evidence.insert(evidence.id, evidence.into());
        }
    }

    fn settle(&mut self, id: u64) {
        self.0.settle(id);
    }

    fn alert(&mut self, alert: &Alert) {
        self.0.alert(alert);
        if let Some(news) = &mut self.1 {
            news.alerts.push(alert.into());
        }
    }

    fn decide(&mut self, decision: &Decision) {
        self.0.decide(decision);
        if let Some(news) = &mut self.1 {
            news.blocks.extend(stored::block(decision));
        }
    }
}
