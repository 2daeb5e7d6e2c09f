//! Databases of countries that anybody may have: public-domain builds on the npm registry.
//!
//! Enters: the name of a package. Leaves: its database in the data folder, when the package has the checksum that the registry names and the
//! database passes the reader's own check of its whole structure. Databases of networks (ASN) have no free build there: GeoLite2-ASN or
//! DB-IP's are named in `[geoip] databases`.

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha512};

use super::fetch::{Fetched, Request, Trouble, fetch};
use super::state::Record;
use super::update::News;
use crate::http::Client;

/// A package with a database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Database {
    /// Name of its record.
    pub id: &'static str,
    /// Name for people.
    pub name: &'static str,
    /// Where the registry tells of its latest version.
    pub url: String,
    /// Seconds between two looks.
    pub period_s: u64,
}

/// Ids of all databases.
pub const DATABASES: [&str; 1] = ["geo-country"];

/// The databases of `registry`, `https://registry.npmjs.org`.
#[must_use]
pub fn databases(registry: &str) -> Vec<Database> {
    vec![Database {
        id: DATABASES[0],
        name: "Countries (geo-whois-asn-country, CC0)",
        url: format!("{registry}/@ip-location-db/geo-whois-asn-country-mmdb/latest"),
        period_s: 7 * 86_400,
    }]
}

/// Largest answer of the registry about a package.
const MAX_ABOUT: u64 = 1 << 20;

/// Brings the database in `folder` up to date.
///
/// # Errors
/// One clause; the database at hand stays.
pub fn update(
    client: &Client,
    database: &Database,
    folder: &Path,
    record: &mut Record,
    max_bytes: u64,
) -> Result<News, Trouble> {
    let path = folder.join(format!("{}.mmdb", database.id));
    let at = |extension: &str| path.with_extension(extension);
    let about = at("about");
    let request = Request {
        url: &database.url,
        etag: None,
        last_modified: None,
        max_bytes: MAX_ABOUT,
        abuse_key: None,
    };
    fetch(client, &request, &at("about-part"), &about)?;
    let text = std::fs::read(&about).unwrap_or_default();
    let _ = std::fs::remove_file(&about);
    let about: serde_json::Value =
        serde_json::from_slice(&text).map_err(|_| "the registry does not answer in JSON".to_owned())?;
    let told = |pointer: &str| about.pointer(pointer).and_then(serde_json::Value::as_str).map(str::to_owned);
    let (Some(tarball), Some(sum)) = (told("/dist/tarball"), told("/dist/integrity")) else {
        return Err("the registry names no package with a checksum".to_owned().into());
    };
    if path.exists() && record.etag.as_ref() == Some(&sum) {
        return Ok(News::Unchanged);
    }
    if database.url.starts_with("https://") && !tarball.starts_with("https://") {
        return Err("the registry names a package without encryption".to_owned().into());
    }
    let request = Request { url: &tarball, etag: None, last_modified: None, max_bytes, abuse_key: None };
    // The package is unpacked on the way, but the checksum is of the packed one.
    let packed = at("tgz");
    let got = super::fetch::fetch_raw(client, &request, &at("part"), &packed)?;
    debug_assert!(matches!(got, Fetched::New { .. }));
    let result = install(&packed, &sum, &path, max_bytes);
    let _ = std::fs::remove_file(&packed);
    let entries = result?;
    record.etag = Some(sum);
    (record.entries, record.bytes) = (entries, path.metadata().map_or(0, |meta| meta.len()));
    Ok(News::Fresh(entries))
}

fn install(packed: &Path, sum: &str, path: &Path, max_bytes: u64) -> Result<u64, Trouble> {
    let bytes = std::fs::read(packed).map_err(|e| crate::output::reason(&e))?;
    let wanted = sum.strip_prefix("sha512-").unwrap_or_default();
    if STANDARD.encode(Sha512::digest(&bytes)) != wanted {
        return Err("the package does not have the checksum that the registry names".to_owned().into());
    }
    drop(bytes);
    let file = File::open(packed).map_err(|e| crate::output::reason(&e))?;
    let unpacked = GzDecoder::new(BufReader::new(file)).take(max_bytes);
    let database = member(unpacked, ".mmdb")
        .map_err(|e| format!("the package cannot be unpacked: {}", crate::output::reason(&e)))?;
    let Some(database) = database else { return Err("the package holds no database".to_owned().into()) };
    let reader =
        maxminddb::Reader::from_source(&database).map_err(|e| format!("the database is damaged: {e}"))?;
    reader.verify().map_err(|e| format!("the database is damaged: {e}"))?;
    let count = reader.metadata().node_count;
    super::update::replace(path, &database)?;
    Ok(count.into())
}

/// The first file of a tar archive (ustar) whose name ends so.
fn member(mut tar: impl std::io::Read, end: &str) -> std::io::Result<Option<Vec<u8>>> {
    let mut header = [0; 512];
    loop {
        if tar.read_exact(&mut header).is_err() || header == [0; 512] {
            return Ok(None);
        }
        let text = |from: usize, to: usize| {
            let bytes = header.get(from..to).unwrap_or_default();
            let bytes = bytes.split(|b| *b == 0).next().unwrap_or_default();
            String::from_utf8_lossy(bytes).trim().to_owned()
        };
        let size = u64::from_str_radix(&text(124, 136), 8)
            .map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, "it is no tar archive"))?;
        let mut content = tar.by_ref().take(size);
        if text(0, 100).ends_with(end) {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            let complete = bytes.len() as u64 == size;
            return if complete { Ok(Some(bytes)) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) };
        }
        std::io::copy(&mut content, &mut std::io::sink())?;
        let rest = size.next_multiple_of(512) - size;
        std::io::copy(&mut tar.by_ref().take(rest), &mut std::io::sink())?;
    }
}
