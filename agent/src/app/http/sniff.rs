//! Media type of a body by its first bytes.
//!
//! Enters: the first bytes of a response body. Leaves: the type, where the bytes have a signature that cannot be mistaken:
//! what a server calls its malware does not matter. Names as Zeek gives them.

/// Bytes that tell the type of a body if any do.
pub const ENOUGH: usize = 16;

/// Signatures at the start of a body.
const STARTS: [(&[u8], &str); 28] = [
    (b"MZ", "application/x-dosexec"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"Rar!\x1a\x07", "application/x-rar"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"\x1f\x8b", "application/x-gzip"),
    (b"BZh", "application/x-bzip2"),
    (b"\xfd7zXZ\0", "application/x-xz"),
    (b"MSCF", "application/vnd.ms-cab-compressed"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/msword"),
    (b"{\\rtf", "text/rtf"),
    (b"\xca\xfe\xba\xbe", "application/x-java-applet"),
    (b"\xcf\xfa\xed\xfe", "application/x-mach-o-executable"),
    (b"\xce\xfa\xed\xfe", "application/x-mach-o-executable"),
    (b"dex\n035\0", "application/vnd.android.dex"),
    (b"FWS", "application/x-shockwave-flash"),
    (b"CWS", "application/x-shockwave-flash"),
    (b"ZWS", "application/x-shockwave-flash"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"\0\0\x01\0", "image/x-icon"),
    (b"wOFF", "application/font-woff"),
    (b"OggS", "application/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"FLV\x01", "video/x-flv"),
];

/// The type of a body that begins with these bytes, if they tell.
pub fn media_type(body: &[u8]) -> Option<&'static str> {
    if let Some((_, kind)) = STARTS.iter().find(|(start, _)| body.starts_with(start)) {
        return Some(kind);
    }
    if body.starts_with(b"\x7fELF") {
        // e_type tells programs, libraries, dumps and objects apart, in the byte order of EI_DATA.
        let kind = match (body.get(5), body.get(16), body.get(17)) {
            (Some(2), _, Some(kind)) | (_, Some(kind), _) => *kind,
            _ => 2,
        };
        return Some(match kind {
            1 => "application/x-object",
            3 => "application/x-sharedlib",
            4 => "application/x-coredump",
            _ => "application/x-executable",
        });
    }
    if body.get(4..8) == Some(b"ftyp") {
        return Some("video/mp4");
    }
    if body.starts_with(b"RIFF") && body.get(8..12) == Some(b"WEBP") {
        return Some("image/webp");
    }
    if let Some(rest) = body.strip_prefix(b"#!") {
        let line = rest.split(|c| *c == b'\n').next().unwrap_or(rest);
        let has = |word: &[u8]| memchr::memmem::find(line, word).is_some();
        return Some(if has(b"python") {
            "text/x-python"
        } else if has(b"perl") {
            "text/x-perl"
        } else if has(b"php") {
            "text/x-php"
        } else if has(b"ruby") {
            "text/x-ruby"
        } else {
            "text/x-shellscript"
        });
    }
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    let begins = |word: &[u8]| text.get(..word.len()).is_some_and(|t| t.eq_ignore_ascii_case(word));
    if begins(b"<!doctype html")
        || begins(b"<html")
        || begins(b"<head")
        || begins(b"<title")
        || begins(b"<body")
    {
        return Some("text/html");
    }
    if begins(b"<?xml") {
        return Some("application/xml");
    }
    None
}

/// Whether a body looks like text: no control characters but white space.
pub fn texty(body: &[u8]) -> bool {
    let head = body.get(..256).unwrap_or(body);
    !head.is_empty()
        && head.iter().all(|c| *c >= 0x20 && *c != 0x7f || matches!(c, b'\t' | b'\r' | b'\n' | 0x0c | 0x1b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bytes_say_counts() {
        assert_eq!(media_type(b"MZ\x90\0"), Some("application/x-dosexec"));
        assert_eq!(
            media_type(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0"),
            Some("application/x-sharedlib")
        );
        assert_eq!(
            media_type(b"\x7fELF\x01\x02\x01\0\0\0\0\0\0\0\0\0\0\x02"),
            Some("application/x-executable")
        );
        assert_eq!(media_type(b"#!/usr/bin/env python3\n"), Some("text/x-python"));
        assert_eq!(media_type(b"\r\n <HTML>"), Some("text/html"));
        assert_eq!(media_type(b"plain"), None);
        assert_eq!(media_type(b""), None);
        assert!(texty(b"body { color: red }\n") && !texty(b"\0\x01") && !texty(b""));
    }
}
