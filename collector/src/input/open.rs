//! Which reader a file or folder of flows is for: by `--format`, else by what its first line looks like.

use std::path::Path;

use slips_agent::cli::nearest;

use super::argus::{Argus, is_argus};
use super::stream::Stream;
use super::suricata::{Suricata, is_event};
use super::zeek::Zeek;
use super::{Error, Source};

/// Formats by the name they have for `--format`.
const FORMATS: &[&str] = &["zeek", "suricata", "argus"];

/// Opens `path`; `-` is standard input.
///
/// # Errors
/// There is no such format, or the file holds nothing of it.
pub fn open(path: &Path, format: Option<&str>) -> Result<Box<dyn Source>, Error> {
    if path.is_dir() && !matches!(format, Some("suricata" | "argus")) {
        return Ok(Box::new(Zeek::open(path)?));
    }
    let mut stream = Stream::open(path)?;
    let recognised = match format {
        Some(format) => {
            FORMATS.iter().copied().find(|name| *name == format.to_ascii_lowercase()).ok_or_else(|| {
                let hint = nearest(format, FORMATS.iter().copied());
                let hint = hint.map_or_else(|| FORMATS.join(", "), |name| format!("did you mean {name}?"));
                Error::new("--format", format!("unknown format {format}, {hint}"))
            })?
        }
        None => {
            let start = stream.peek(64 * 1024);
            let line =
                start.split(|b| *b == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
            match line {
                line if is_event(line) => "suricata",
                line if is_argus(line) => "argus",
                _ => "zeek",
            }
        }
    };
    Ok(match recognised {
        "suricata" => Box::new(Suricata::over(stream, (path.as_os_str() != "-").then_some(path))?),
        "argus" => Box::new(Argus::over(stream, None)?),
        _ => Box::new(Zeek::over(stream)?),
    })
}
