//! A TAXII 2.1 client: the indicators of one collection, page by page.
//!
//! Enters: the address of a collection's objects (`https://[user:password@]host/api/collections/<id>/objects/`). Leaves: a file with one envelope a
//! line, which [`super::parse`] reads. A collection has an end: pages, bytes and time are limited, and a server that gives the same page again is not
//! followed.

use std::fs::File;
use std::io::{BufWriter, Read as _, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::fetch::Trouble;
use crate::http::{Client, encoded};

/// The media type of TAXII 2.1.
const MEDIA: &str = "application/taxii+json;version=2.1";
/// Objects asked for at a time.
const LIMIT: usize = 1000;
/// Pages of one collection.
const MAX_PAGES: usize = 10_000;

/// Fetches all indicators of a collection into `to`.
///
/// # Errors
/// One clause; what was written of `to` is removed.
pub fn fetch(client: &Client, url: &str, to: &Path, max_bytes: u64) -> Result<(), Trouble> {
    let done = pages(client, url, to, max_bytes);
    if done.is_err() {
        let _ = std::fs::remove_file(to);
    }
    done
}

fn pages(client: &Client, url: &str, to: &Path, max_bytes: u64) -> Result<(), Trouble> {
    let unwritten =
        |e: std::io::Error| format!("{} cannot be written: {}", to.display(), crate::output::reason(&e));
    let (url, login) = without_login(url);
    let joint = if url.contains('?') { '&' } else { '?' };
    let mut out = BufWriter::new(File::create(to).map_err(unwritten)?);
    let (mut next, mut bytes) = (String::new(), 0);
    for _ in 0..MAX_PAGES {
        let page = format!(
            "{url}{joint}match[type]=indicator&limit={LIMIT}{}{}",
            if next.is_empty() { "" } else { "&next=" },
            encoded(&next)
        );
        let mut headers = vec![("accept", MEDIA)];
        headers.extend(login.as_deref().map(|login| ("authorization", login)));
        let stream = client.open(&page, &headers).map_err(|failure| failure.0)?;
        if stream.status != 200 {
            let why = match stream.status {
                401 | 403 => "does not let us in",
                404 => "has no such collection",
                429 => "was asked too often",
                _ => "gives an unexpected answer",
            };
            return Err(Trouble {
                why: format!("{why} (HTTP {})", stream.status),
                wait: stream.retry_after(),
            });
        }
        if !stream.header("content-type").is_some_and(|media| media.starts_with("application/taxii+json")) {
            return Err("does not answer as a TAXII 2.1 server".to_owned().into());
        }
        let mut body = Vec::new();
        let left = max_bytes - bytes;
        stream
            .body
            .take(left + 1)
            .read_to_end(&mut body)
            .map_err(|e| format!("the answer is not complete: {}", crate::output::reason(&e)))?;
        bytes += body.len() as u64;
        if bytes > max_bytes {
            return Err(format!("is larger than the limit of {} MB", max_bytes / 1_000_000).into());
        }
        let envelope: serde_json::Value =
            serde_json::from_slice(&body).map_err(|_| "does not answer in JSON".to_owned())?;
        writeln!(out, "{envelope}").map_err(unwritten)?;
        let more = envelope.get("more").and_then(serde_json::Value::as_bool).unwrap_or(false);
        let following = envelope.get("next").and_then(serde_json::Value::as_str).unwrap_or_default();
        if !more || following.is_empty() || following == next {
            out.flush().map_err(unwritten)?;
            return Ok(());
        }
        following.clone_into(&mut next);
    }
    Err("has more pages than anybody has".to_owned().into())
}

/// The address without user and password, and these as a header.
fn without_login(url: &str) -> (String, Option<String>) {
    let Some((scheme, rest)) = url.split_once("://") else { return (url.to_owned(), None) };
    let host_end = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at_checked(host_end).unwrap_or((rest, ""));
    match host.rsplit_once('@') {
        Some((login, host)) => {
            (format!("{scheme}://{host}{path}"), Some(format!("Basic {}", STANDARD.encode(login))))
        }
        None => (url.to_owned(), None),
    }
}
