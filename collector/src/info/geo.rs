//! Country and autonomous system of an address, from databases in MaxMind's format.
//!
//! Enters: the paths of any such databases (GeoLite2-ASN, -Country, -City, DB-IP, the `@ip-location-db` builds). Leaves: a
//! [`Place`], borrowed from the mapped file: a look-up copies nothing, so no cache is needed in front of it (`cargo bench --bench
//! knowledge`). Which fields a database has is learned from its first records when it is opened. A damaged database is refused when
//! it is opened, or answers nothing for the record that is damaged; it never ends the program. Prevents: an answer for an address that
//! nobody on the internet has (private, documentation …), which some databases give.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use maxminddb::{Reader, WithinOptions, path};
use serde::Deserialize;

use crate::mapped::{Mapped, Stamp};
use crate::profile::addr;

/// Two letters of ISO 3166-1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Country([u8; 2]);

impl Country {
    /// `None` unless `text` is two letters.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let code: [u8; 2] = text.as_bytes().try_into().ok()?;
        code.iter().all(u8::is_ascii_alphabetic).then(|| Self(code.map(|b| b.to_ascii_uppercase())))
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b] = self.0.map(char::from);
        write!(f, "{a}{b}")
    }
}

/// What the databases say of an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Place<'a> {
    /// Number of its autonomous system.
    pub asn: Option<u32>,
    /// Who runs that.
    pub organisation: Option<&'a str>,
    /// Where the address is used, or else registered.
    pub country: Option<Country>,
}

impl Place<'_> {
    /// Nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Place::default()
    }
}

/// `Google LLC, US`; without an organisation `AS15169, US`.
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        match (self.organisation, self.asn) {
            (Some(name), _) => {
                name.chars().try_for_each(|c| write!(f, "{}", if c.is_control() { '?' } else { c }))?;
                comma = ", ";
            }
            (None, Some(asn)) => {
                write!(f, "AS{asn}")?;
                comma = ", ";
            }
            (None, None) => {}
        }
        self.country.map_or(Ok(()), |country| write!(f, "{comma}{country}"))
    }
}

/// Where a database keeps the country.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Layout {
    /// `country.iso_code`, else `registered_country.iso_code`: MaxMind, DB-IP.
    Iso,
    /// `country_code`: `@ip-location-db`.
    Code,
}

#[derive(Deserialize)]
struct Network<'a> {
    autonomous_system_number: Option<Number>,
    #[serde(borrow)]
    autonomous_system_organization: Option<&'a str>,
}

/// A whole number of any width: the format has several, and builders take the shortest that fits.
#[derive(Clone, Copy)]
struct Number(u32);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl serde::de::Visitor<'_> for Any {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Number, E> {
                u32::try_from(number).map(Number).map_err(E::custom)
            }
            fn visit_u32<E: serde::de::Error>(self, number: u32) -> Result<Number, E> {
                Ok(Number(number))
            }
            fn visit_u16<E: serde::de::Error>(self, number: u16) -> Result<Number, E> {
                Ok(Number(number.into()))
            }
        }
        from.deserialize_any(Any)
    }
}

/// One database.
#[derive(Debug)]
struct Database {
    reader: Reader<Mapped>,
    network: bool,
    country: Option<Layout>,
}

/// Records that are looked at to learn the fields of a database.
const SAMPLE: usize = 256;

impl Database {
    fn open(path: &Path) -> Result<Self, String> {
        let fail = |why: String| format!("{}: the database cannot be used: {why}", path.display());
        let mapped = Mapped::open(path).map_err(|e| fail(crate::output::reason(&e)))?;
        let reader = Reader::from_source(mapped).map_err(|e| fail(e.to_string()))?;
        let (mut network, mut country) = (false, None);
        let records =
            reader.networks(WithinOptions::default().skip_empty_values()).map_err(|e| fail(e.to_string()))?;
        for record in records.take(SAMPLE) {
            let record = record.map_err(|e| fail(e.to_string()))?;
            network |=
                record.decode_path::<Number>(&path!["autonomous_system_number"]).is_ok_and(|n| n.is_some());
            if record.decode_path::<&str>(&path!["country_code"]).is_ok_and(|c| c.is_some()) {
                country = Some(Layout::Code);
            }
            let iso = |key| record.decode_path::<&str>(&path![key, "iso_code"]).is_ok_and(|c| c.is_some());
            if iso("country") || iso("registered_country") {
                country = Some(Layout::Iso);
            }
            if network && country.is_some() {
                break;
            }
        }
        if !network && country.is_none() {
            return Err(fail("it holds neither networks (ASN) nor countries".to_owned()));
        }
        Ok(Self { reader, network, country })
    }

    /// Adds what this one knows and `place` lacks.
    fn add<'a>(&'a self, addr: IpAddr, place: &mut Place<'a>) {
        let network = self.network && place.asn.is_none();
        let country = self.country.filter(|_| place.country.is_none());
        if !network && country.is_none() {
            return;
        }
        // What is damaged answers nothing.
        let Ok(found) = self.reader.lookup(addr) else { return };
        if network && let Ok(Some(record)) = found.decode::<Network<'a>>() {
            place.asn = record.autonomous_system_number.map(|n| n.0).filter(|n| *n > 0);
            place.organisation = record.autonomous_system_organization.filter(|name| !name.is_empty());
        }
        let text = match country {
            Some(Layout::Code) => found.decode_path::<&str>(&path!["country_code"]).ok().flatten(),
            Some(Layout::Iso) => {
                let iso = |key| found.decode_path::<&str>(&path![key, "iso_code"]).ok().flatten();
                iso("country").or_else(|| iso("registered_country"))
            }
            None => None,
        };
        place.country = place.country.or_else(|| text.and_then(Country::new));
    }
}

/// The databases that `slips update --geo` has put into the data folder, in order of their names.
#[must_use]
pub fn fetched(data_folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data_folder.join("geo")).into_iter().flatten().flatten();
    let mut paths: Vec<_> =
        entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "mmdb")).collect();
    paths.sort();
    paths
}

/// Databases that are open, in the order in which they are asked. Immutable.
#[derive(Debug, Default)]
pub struct Databases(Vec<Database>);

impl Databases {
    /// Nothing is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is known of an address; of one that is not public, nothing.
    #[must_use]
    pub fn place(&self, addr: IpAddr) -> Place<'_> {
        let mut place = Place::default();
        if self.0.is_empty() || !addr::is_public(addr) {
            return place;
        }
        for database in &self.0 {
            database.add(addr, &mut place);
        }
        place
    }
}

/// The databases of a configuration, exchanged whole when a file was replaced. A handle: clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Geo(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    paths: Vec<PathBuf>,
    open: ArcSwap<Databases>,
    stamps: Mutex<Vec<Option<Stamp>>>,
}

impl Geo {
    /// Opens the databases.
    ///
    /// # Errors
    /// One sentence about the first one that cannot be used.
    pub fn open(paths: &[PathBuf]) -> Result<Self, String> {
        let stamps = paths.iter().map(|path| Stamp::of(path)).collect();
        let open = paths.iter().map(|path| Database::open(path)).collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(Inner {
            paths: paths.to_owned(),
            open: ArcSwap::from_pointee(Databases(open)),
            stamps: Mutex::new(stamps),
        })))
    }

    /// The databases as they are now; what holds them keeps them.
    #[must_use]
    pub fn now(&self) -> Arc<Databases> {
        self.0.open.load_full()
    }

    /// Whether `held` is what [`Geo::now`] gives: cheap enough for each round.
    #[must_use]
    pub fn is_now(&self, held: &Arc<Databases>) -> bool {
        std::ptr::eq(Arc::as_ptr(held), Arc::as_ptr(&self.0.open.load()))
    }

    /// Looks whether a file was replaced, and if so opens all again. A file that cannot be used leaves everything as it was. The
    /// sentence says what happened; `None` when nothing did.
    pub fn reload(&self) -> Option<String> {
        let mut stamps = self.0.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        let now: Vec<_> = self.0.paths.iter().map(|path| Stamp::of(path)).collect();
        if *stamps == now {
            return None;
        }
        *stamps = now;
        let open: Result<Vec<_>, _> = self.0.paths.iter().map(|path| Database::open(path)).collect();
        Some(match open {
            Ok(open) => {
                self.0.open.store(Arc::new(Databases(open)));
                "the databases of addresses were replaced and are used from now on".to_owned()
            }
            Err(why) => format!("{why}; the databases read before stay in use"),
        })
    }
}

impl PartialEq for Geo {
    fn eq(&self, other: &Self) -> bool {
        self.0.paths == other.0.paths
    }
}

#[cfg(test)]
pub(crate) mod tests;
