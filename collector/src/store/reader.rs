//! Reading a store, typed: for Kalipso, `slips db`, and everything else that shows what was found.
//!
//! Every call answers one screen: it reads at most the rows that it gives back, by an index. The store may be written
//! meanwhile, or be replaced: a call gives what is there now.

use std::net::IpAddr;

use super::query::{EvidenceFilter, EvidenceOrder, ProfileOrder, Query};
use super::row::{
    Alert, Block, Command, Evidence, Features, Info, Line, Loss, Name, Profile, Row, Run, RunId, Sample,
    Sensor, Window,
};
use super::{Access, Address, Error, Store, wall_us};

/// See the head of the file.
pub struct Reader(Box<dyn Store>);

/// Keeps the rows of one type.
macro_rules! only {
    ($rows:expr, $kind:ident) => {
        $rows.into_iter().filter_map(|row| if let Row::$kind(one) = row { Some(one) } else { None })
    };
}

type Result<T> = std::result::Result<T, Error>;

impl Reader {
    /// Opens a store that is there.
    ///
    /// # Errors
    /// It is not there, or is none.
    pub fn open(address: &Address) -> Result<Self> {
        address.open(Access::Read).map(Self)
    }

    /// Reads a store that is open.
    #[must_use]
    pub fn of(store: Box<dyn Store>) -> Self {
        Self(store)
    }

    /// Another number when something was written meanwhile. Cheap: for asking several times a second.
    ///
    /// # Errors
    /// The store cannot be read, as with all that follows.
    pub fn version(&mut self) -> Result<u64> {
        self.0.version()
    }

    /// Runs of all sites, newest first.
    ///
    /// # Errors
    /// See [`Reader::version`].
    pub fn runs(&mut self) -> Result<Vec<Run>> {
        Ok(only!(self.0.read(&Query::Runs)?, Run).collect())
    }

    /// Sensors of a site by name.
    ///
    /// # Errors
    /// See [`Reader::version`].
    pub fn sensors(&mut self, run: RunId) -> Result<Vec<Sensor>> {
        Ok(only!(self.0.read(&Query::Sensors(run))?, Sensor).collect())
    }

    /// A page of profiles behind `after`. `text`: part of an address, hardware address or host name; empty for all.
    ///
    /// # Errors
    /// See [`Reader::version`].
    pub fn profiles(
        &mut self,
        run: RunId,
        order: ProfileOrder,
        text: &str,
        after: Option<IpAddr>,
        limit: usize,
    ) -> Result<Vec<Profile>> {
        let query = Query::Profiles { run, order, text: text.to_owned(), after, limit };
        Ok(only!(self.0.read(&query)?, Profile).collect())
    }

    /// One profile.
    ///
    /// # Errors
    /// See [`Reader::version`].
    pub fn profile(&mut self, run: RunId, addr: IpAddr) -> Result<Option<Profile>> {
        Ok(only!(self.0.read(&Query::Profile(run, addr))?, Profile).next())
    }

    /// A page of windows of a profile, latest first, with numbers below `before`.
    ///
    /// # Errors
    /// See [`Reader::version`].
    pub fn windows(
        &mut self,
        run: RunId,
        addr: IpAddr,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Window>> {
        Ok(only!(self.0.read(&Query::Windows { run, addr, before, limit })?, Window).collect())
    }

    /// Features and letters of a window.
    ///
    /// # Errors
    /// See [`Reader::version`].
    pub fn features(&mut self, run: RunId, addr: IpAddr, window: i64) -> Result<Option<Features>> {
        Ok(only!(self.0.read(&Query::Features(run, addr, window))?, Features).next())
    }

    /// Lines of the timeline of a window from line `from` (0 is the first) on.
    ///
    /// # Errors
    /// See [`Reader::version`].
    pub fn timeline(
        &mut self,
        run: RunId,
        addr: IpAddr,
        window: i64,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Line>> {
        let query = Query::Lines { run, addr, number: window, from, limit };
        Ok(only!(self.0.read(&query)?, Lines).next().map(|lines| lines.lines).unwrap_or_default())
    }

    /// A page of evidence behind `after`.
    ///
    /// # Errors
    /// See [`Reader::version`].
    pub fn evidence(
        &mut self,
        run: RunId,
        filter: &EvidenceFilter,
        order: EvidenceOrder,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Evidence>> {
        let query = Query::Evidence { run, filter: filter.clone(), order, after, limit };
        Ok(only!(self.0.read(&query)?, Evidence).collect())
    }

    /// Evidence by id, such as that of an alert.
    ///
    /// # Errors
    /// See [`Reader::version`].
    pub fn evidence_of(&mut self, run: RunId, ids: &[u64]) -> Result<Vec<Evidence>> {
        Ok(only!(self.0.read(&Query::EvidenceOf(run, ids.to_vec()))?, Evidence).collect())
    }

    /// A page of alerts, latest first, with ids below `before`; those of one profile if it is given.
    ///
    /// # Errors
    /// See [`Reader::version`].
    pub fn alerts(
        &mut self,
        run: RunId,
        profile: Option<IpAddr>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Alert>> {
        Ok(only!(self.0.read(&Query::Alerts { run, profile, before, limit })?, Alert).collect())
    }

    /// Names of an address, latest first.
    ///
    /// # Errors
    /// See [`Reader::version`].
    pub fn names(&mut self, run: RunId, addr: IpAddr) -> Result<Vec<Name>> {
        Ok(only!(self.0.read(&Query::Names(run, addr))?, Name).collect())
    }

    /// Names of several addresses in one round trip: of each in turn, latest first.
    ///
    /// # Errors
    /// See [`Reader::version`].
    pub fn names_of(&mut self, run: RunId, addrs: &[IpAddr]) -> Result<Vec<Name>> {
        Ok(only!(self.0.read(&Query::NamesOf(run, addrs.to_vec()))?, Name).collect())
    }

    /// Addresses that a name stood for.
    ///
    /// # Errors
    /// See [`Reader::version`].
    pub fn addresses(&mut self, run: RunId, name: &str) -> Result<Vec<Name>> {
        Ok(only!(self.0.read(&Query::Addresses(run, name.to_lowercase()))?, Name).collect())
    }

    /// What is known of an address or name from outside, by kind; also what has expired.
    ///
    /// # Errors
    /// See [`Reader::version`].
    pub fn info(&mut self, subject: &str) -> Result<Vec<Info>> {
        Ok(only!(self.0.read(&Query::Info(subject.to_owned()))?, Info).collect())
    }

    /// [`Reader::info`] of several subjects in one round trip: of each in turn.
    ///
    /// # Errors
    /// See [`Reader::version`].
    pub fn info_of(&mut self, subjects: &[String]) -> Result<Vec<Info>> {
        Ok(only!(self.0.read(&Query::InfoOf(subjects.to_vec()))?, Info).collect())
    }

    /// Blocks, latest first.
    ///
    /// # Errors
    /// See [`Reader::version`].
    pub fn blocks(&mut self, run: RunId) -> Result<Vec<Block>> {
        Ok(only!(self.0.read(&Query::Blocks(run))?, Block).collect())
    }

    /// Commands of viewers, oldest first.
    ///
    /// # Errors
    /// See [`Reader::version`].
    pub fn commands(&mut self, run: RunId) -> Result<Vec<Command>> {
        Ok(only!(self.0.read(&Query::Commands { run, open: false })?, Command).collect())
    }

    /// Asks the program that analyses this run to do something; gives the number under which [`Reader::commands`] tells what
    /// became of it. Answered within about a second while the program runs; otherwise never.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn ask(&mut self, run: RunId, verb: &str, subject: &str, why: &str) -> Result<u64> {
        let command = Command {
            run,
            verb: verb.to_owned(),
            subject: subject.to_owned(),
            why: why.to_owned(),
            made_wall_us: wall_us(),
            ..Command::default()
        };
        self.0.ask(&command)
    }

    /// Throughput and memory from a wall clock on, oldest first.
    ///
    /// # Errors
    /// See [`Reader::version`].
    pub fn samples(&mut self, run: RunId, from_wall_us: u64, limit: usize) -> Result<Vec<Sample>> {
        Ok(only!(self.0.read(&Query::Samples { run, from_wall_us, limit })?, Sample).collect())
    }

    /// What was lost, by reason.
    ///
    /// # Errors
    /// See [`Reader::version`].
    pub fn losses(&mut self, run: RunId) -> Result<Vec<Loss>> {
        Ok(only!(self.0.read(&Query::Losses(run))?, Loss).collect())
    }
}
