//! Keeps feeds, databases and their index fresh: what is due is fetched, checked, put in place, compiled.
//!
//! Enters: the list of feeds, the data folder, the time. Leaves: `feeds/<id>.list` and its place in `feeds/state.json` for each feed,
//! `geo/*.mmdb`, and what is compiled of the feeds in `indicators/` and `known/`, each replaced by renaming a finished file. A feed that turned empty, or holds less than half of what it
//! held, is refused and said so: the old one stays. One update at a time (a lock); a running `slips` notices the new files by itself.

use std::fs::{DirBuilder, File, TryLockError};
use std::hash::{BuildHasher as _, RandomState};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::catalog::{Feed, Use};
use super::fetch::{Fetched, Request, Trouble, fetch};
use super::geo::{self, Database};
use super::lists::compiled;
use super::state::{Record, State};
use super::{Builder, Hint, Index, Indicator, Listed, Outcome, known, parse, taxii};
use crate::http::Client;
use crate::profile::addr;

/// What an update is to do.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// All feeds.
    pub feeds: &'a [Feed],
    /// Databases, if they are wanted.
    pub databases: &'a [Database],
    /// Everything, not only what is due.
    pub now: bool,
    /// Bytes of one download, packed and unpacked.
    pub max_bytes: u64,
    /// The owner's key of abuse.ch, whose feeds may ask for one.
    pub abuse_key: Option<&'a str>,
}

/// What became of one thing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// It is not due.
    NotDue,
    /// It is the newest already.
    Unchanged,
    /// It was replaced; it holds so many indicators or records now.
    Fresh(u64),
    /// It was not: one clause.
    Failed(String),
}

/// An update in its folder.
#[derive(Debug)]
pub struct Updater<'a> {
    folder: PathBuf,
    client: &'a Client,
    state: State,
    now_s: u64,
    _lock: File,
}

impl<'a> Updater<'a> {
    /// Takes the data folder, made if there is none. `now_s` is the time, s since 1970.
    ///
    /// # Errors
    /// One sentence: the folder cannot be used, or another update runs.
    pub fn open(data_folder: &Path, client: &'a Client, now_s: u64) -> Result<Self, String> {
        let folder = data_folder.join("feeds");
        for dir in
            [&folder, &data_folder.join("indicators"), &known::folder(data_folder), &data_folder.join("geo")]
        {
            DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(dir)
                .map_err(|e| format!("{} cannot be made: {}", dir.display(), crate::output::reason(&e)))?;
        }
        let path = folder.join("lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock =
            lock.map_err(|e| format!("{} cannot be made: {}", path.display(), crate::output::reason(&e)))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(format!("another update is running in {}", data_folder.display()));
            }
            Err(TryLockError::Error(e)) => {
                return Err(format!("{} cannot be locked: {}", path.display(), crate::output::reason(&e)));
            }
        }
        let state = State::load(&folder);
        Ok(Self { folder: data_folder.to_owned(), client, state, now_s, _lock: lock })
    }

    /// Fetches what is due, tells of each thing, and compiles what changed. True if everything that was tried worked.
    ///
    /// # Errors
    /// One sentence: something cannot be written here.
    pub fn run(&mut self, wish: &Wish<'_>, tell: &mut dyn FnMut(&str, &News)) -> Result<bool, String> {
        self.forget(wish)?;
        let (mut worked, mut tried) = (0, 0);
        for feed in wish.feeds {
            let news = self.thing(&feed.id(), &feed.url, feed.period_s, wish, |updater, record| {
                updater.feed(feed, record, wish)
            })?;
            tried += usize::from(news != News::NotDue);
            worked += usize::from(matches!(news, News::Fresh(_) | News::Unchanged));
            tell(&feed.name, &news);
        }
        for database in wish.databases {
            let news =
                self.thing(database.id, &database.url, database.period_s, wish, |updater, record| {
                    geo::update(updater.client, database, &updater.folder.join("geo"), record, wish.max_bytes)
                })?;
            tried += usize::from(news != News::NotDue);
            worked += usize::from(matches!(news, News::Fresh(_) | News::Unchanged));
            tell(database.name, &news);
        }
        for (purpose, _, name) in Use::ALL {
            self.compile(wish.feeds, purpose, name)?;
        }
        Ok(worked == tried)
    }

    /// Feeds that are not in the list any more go.
    fn forget(&mut self, wish: &Wish<'_>) -> Result<(), String> {
        let known = |id: &str| wish.feeds.iter().any(|f| f.id() == id) || geo::DATABASES.contains(&id);
        let gone: Vec<String> = self.state.0.keys().filter(|id| !known(id)).cloned().collect();
        for id in gone {
            self.state.0.remove(&id);
            let _ = std::fs::remove_file(self.list(&id));
        }
        self.save()
    }

    fn save(&self) -> Result<(), String> {
        self.state.save(&self.folder.join("feeds"))
    }

    fn list(&self, id: &str) -> PathBuf {
        self.folder.join("feeds").join(format!("{id}.list"))
    }

    /// One thing, with its record kept whatever happens.
    fn thing(
        &mut self,
        id: &str,
        url: &str,
        period_s: u64,
        wish: &Wish<'_>,
        update: impl FnOnce(&Self, &mut Record) -> Result<News, Trouble>,
    ) -> Result<News, String> {
        let mut record = self.state.0.get(id).cloned().unwrap_or_default();
        if record.url != url {
            record = Record { url: url.to_owned(), entries: record.entries, ..Record::default() };
        }
        if !wish.now && !record.is_due(self.now_s) {
            return Ok(News::NotDue);
        }
        let random = RandomState::new().hash_one(id);
        let news = match update(self, &mut record) {
            Ok(news) => {
                record.succeeded(self.now_s, period_s, random);
                if matches!(news, News::Fresh(_)) {
                    record.fetched_s = self.now_s;
                }
                news
            }
            Err(trouble) => {
                record.failed(trouble.why.clone(), trouble.wait, self.now_s, period_s, random);
                News::Failed(trouble.why)
            }
        };
        self.state.0.insert(id.to_owned(), record);
        self.save()?;
        Ok(news)
    }

    fn feed(&self, feed: &Feed, record: &mut Record, wish: &Wish<'_>) -> Result<News, Trouble> {
        let max_bytes = wish.max_bytes;
        let list = self.list(&feed.id());
        let (part, new) = (list.with_extension("part"), list.with_extension("new"));
        // Marks of a copy that is gone would bring "unchanged" for ever.
        let have = list.exists();
        let (etag, last_modified) = match feed.url.strip_prefix("taxii+") {
            Some(url) => {
                taxii::fetch(self.client, url, &new, max_bytes)?;
                (None, None)
            }
            None => {
                let request = Request {
                    url: &feed.url,
                    etag: record.etag.as_deref().filter(|_| have),
                    last_modified: record.last_modified.as_deref().filter(|_| have),
                    max_bytes,
                    abuse_key: wish.abuse_key,
                };
                match fetch(self.client, &request, &part, &new)? {
                    Fetched::Unchanged => return Ok(News::Unchanged),
                    Fetched::New { etag, last_modified } => (etag, last_modified),
                }
            }
        };
        let outcome = read(&new, feed, &mut |_, _| {})
            .map_err(|e| format!("what came cannot be read: {}", crate::output::reason(&e)))?;
        let refuse = |why: String| {
            let _ = std::fs::remove_file(&new);
            Err(Trouble::from(why))
        };
        if outcome.entries == 0 {
            return refuse("holds no indicator now, the list before stays in use".to_owned());
        }
        if have && outcome.entries < record.entries.div_ceil(2) {
            return refuse(format!(
                "shrank from {} to {} indicators, which is not believed: the list before stays in use",
                record.entries, outcome.entries
            ));
        }
        record.bytes = new.metadata().map_or(0, |meta| meta.len());
        std::fs::rename(&new, &list)
            .map_err(|e| format!("{} cannot be replaced: {}", list.display(), crate::output::reason(&e)))?;
        (record.etag, record.last_modified, record.entries) = (etag, last_modified, outcome.entries);
        Ok(News::Fresh(outcome.entries))
    }

    /// Makes the index or the text of one use from the lists at hand, unless it is of these already.
    fn compile(&self, feeds: &[Feed], purpose: Use, name: &str) -> Result<(), String> {
        let path = if purpose.is_index() {
            compiled(&self.folder, name)
        } else {
            known::folder(&self.folder).join(name)
        };
        let lists: Vec<(&Feed, PathBuf)> = feeds
            .iter()
            .filter(|feed| feed.purpose == purpose)
            .map(|feed| (feed, self.list(&feed.id())))
            .filter(|(_, list)| list.exists())
            .collect();
        let mut crc = flate2::Crc::new();
        for (feed, list) in &lists {
            crc.update(format!("{feed:?} {:?}\n", crate::mapped::Stamp::of(list)).as_bytes());
        }
        let digest = u64::from(crc.sum());
        if lists.is_empty() && !path.exists() {
            return Ok(());
        }
        if !purpose.is_index() {
            return self.text(&lists, purpose, digest, &path);
        }
        if Index::open(&path).is_ok_and(|index| index.digest() == digest) {
            return Ok(());
        }
        let mut builder = Builder::default();
        for (feed, list) in lists {
            read(&list, feed, &mut |what, listed| builder.add(&what, &listed))
                .map_err(|e| format!("{}: {}", list.display(), crate::output::reason(&e)))?;
        }
        replace_with(&path, |file| builder.write(digest, file))
    }

    /// The same for lists of what is ordinary; without any, those that come with the program count again.
    fn text(&self, lists: &[(&Feed, PathBuf)], purpose: Use, digest: u64, path: &Path) -> Result<(), String> {
        let head = format!("# made by slips update {digest:08x}\n");
        if lists.is_empty() {
            return std::fs::remove_file(path)
                .map_err(|e| format!("{} cannot be removed: {}", path.display(), crate::output::reason(&e)));
        }
        if known::text(path).is_some_and(|text| text.starts_with(&head)) {
            return Ok(());
        }
        let mut compiled = known::Compiled::default();
        for (_, list) in lists {
            compiled
                .add(purpose, list)
                .map_err(|e| format!("{}: {}", list.display(), crate::output::reason(&e)))?;
        }
        replace(path, (head + &compiled.text()).as_bytes())
    }
}

/// Reads a list of a feed: what every home has, and addresses that are nobody's, are left out.
fn read(list: &Path, feed: &Feed, take: super::Take<'_>) -> std::io::Result<Outcome> {
    if !feed.purpose.is_index() {
        return known::Compiled::default().add(feed.purpose, list);
    }
    let source = feed.source();
    let hint = Hint { name: &feed.id(), ..Hint::default() };
    let mut left_out = 0;
    let mut outcome = parse(list, &hint, &mut |what, mut listed: Listed| {
        if let Indicator::Network(network) = &what
            && !addr::is_public(network.addr)
        {
            left_out += 1;
            return;
        }
        listed.level = listed.level.or(Some(feed.level));
        listed.sources = vec![source.clone()];
        listed.tags.extend(feed.tags.iter().cloned());
        take(what, listed);
    })?;
    outcome.entries -= left_out;
    Ok(outcome)
}

/// Puts a finished file in the place of `path`.
///
/// # Errors
/// One sentence: it cannot be written.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), String> {
    replace_with(path, |file| std::io::Write::write_all(file, bytes))
}

/// The same with what `fill` writes.
fn replace_with(path: &Path, fill: impl FnOnce(&mut File) -> std::io::Result<()>) -> Result<(), String> {
    let new = path.with_extension("tmp");
    let write = || {
        let mut file = File::create(&new)?;
        fill(&mut file)?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    write().map_err(|e: std::io::Error| {
        format!("{} cannot be written: {}", path.display(), crate::output::reason(&e))
    })
}
