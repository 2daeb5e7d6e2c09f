//! http.log, ssh.log, smtp.log, ftp.log.

use slips_agent::app::record::{App, Ftp, Http, Smtp, Ssh};

use super::{Said, app_tcp};
use crate::input::Text;
use crate::input::note::bounded;
use crate::input::text::Bad;
use crate::input::text::row::{Cell, Row, columns};

columns! { HTTP:
    _TS = 0 "ts";
    _UID = 1 "uid";
    _ORIG_H = 2 "id.orig_h";
    _ORIG_P = 3 "id.orig_p";
    _RESP_H = 4 "id.resp_h";
    _RESP_P = 5 "id.resp_p";
    DEPTH = 6 "trans_depth";
    METHOD = 7 "method";
    HOST = 8 "host";
    URI = 9 "uri";
    REFERRER = 10 "referrer";
    VERSION = 11 "version";
    USER_AGENT = 12 "user_agent";
    REQUEST_LEN = 13 "request_body_len";
    RESPONSE_LEN = 14 "response_body_len";
    STATUS = 15 "status_code";
    STATUS_MSG = 16 "status_msg";
    USERNAME = 17 "username";
    MIME = 18 "resp_mime_types";
}

/// A request with its response.
pub fn http(row: &Row<'_>) -> Result<(u64, Said), Bad> {
    app_tcp(
        row,
        App::Http(Http {
            depth: row.small(DEPTH)?.unwrap_or_default(),
            method: row.text(METHOD),
            host: host(row.cell(HOST)),
            uri: row.text(URI),
            referrer: row.text(REFERRER),
            user_agent: row.text(USER_AGENT),
            version: row.text(VERSION),
            username: row.text(USERNAME),
            request_body_len: row.count(REQUEST_LEN)?.unwrap_or_default(),
            response_body_len: row.count(RESPONSE_LEN)?.unwrap_or_default(),
            status_code: row.small(STATUS)?.unwrap_or_default(),
            status_msg: row.text(STATUS_MSG),
            resp_mime: row.cell(MIME).list().next().map(Cell::owned).unwrap_or_default(),
        }),
    )
}

/// A Host header without port.
#[must_use]
pub fn host(cell: Cell<'_>) -> Text {
    let text = cell.text();
    match text.rsplit_once(':') {
        Some((host, port))
            if !port.is_empty()
                && port.bytes().all(|b| b.is_ascii_digit())
                && (!host.contains(':') || host.ends_with(']')) =>
        {
            bounded(host)
        }
        _ => bounded(&text),
    }
}

columns! { SSH:
    _S_TS = 0 "ts";
    _S_UID = 1 "uid";
    _S_ORIG_H = 2 "id.orig_h";
    _S_ORIG_P = 3 "id.orig_p";
    _S_RESP_H = 4 "id.resp_h";
    _S_RESP_P = 5 "id.resp_p";
    S_VERSION = 6 "version";
    AUTH_SUCCESS = 7 "auth_success";
    AUTH_ATTEMPTS = 8 "auth_attempts";
    CLIENT = 9 "client";
    SERVER = 10 "server";
    HASSH = 11 "hassh";
    HASSH_SERVER = 12 "hasshServer" | "hassh_server";
}

/// A session.
pub fn ssh(row: &Row<'_>) -> Result<(u64, Said), Bad> {
    let (client, server) = (row.text(CLIENT), row.text(SERVER));
    let version = row.small(S_VERSION)?.unwrap_or_else(|| {
        let old = |banner: &str| banner.starts_with("SSH-1.") && !banner.starts_with("SSH-1.99");
        if old(&client) || old(&server) { 1 } else { 2 }
    });
    app_tcp(
        row,
        App::Ssh(Ssh {
            version,
            client,
            server,
            hassh: row.hash(HASSH),
            hassh_server: row.hash(HASSH_SERVER),
            auth_success: row.truth(AUTH_SUCCESS),
            auth_attempts: row.small(AUTH_ATTEMPTS)?.unwrap_or_default(),
        }),
    )
}

columns! { SMTP:
    _M_TS = 0 "ts";
    _M_UID = 1 "uid";
    _M_ORIG_H = 2 "id.orig_h";
    _M_ORIG_P = 3 "id.orig_p";
    _M_RESP_H = 4 "id.resp_h";
    _M_RESP_P = 5 "id.resp_p";
    HELO = 6 "helo";
    MAIL_FROM = 7 "mailfrom";
    RCPT_TO = 8 "rcptto";
    LAST_REPLY = 9 "last_reply";
    TLS = 10 "tls";
}

/// A mail transaction.
pub fn smtp(row: &Row<'_>) -> Result<(u64, Said), Bad> {
    let last_reply = row.text(LAST_REPLY);
    app_tcp(
        row,
        App::Smtp(Smtp {
            helo: row.text(HELO),
            mail_from: row.text(MAIL_FROM),
            rcpt_to: row.cell(RCPT_TO).list().next().map(Cell::owned).unwrap_or_default(),
            auth_failed: smtp_auth_failed(&last_reply),
            last_reply,
            tls: row.truth(TLS).unwrap_or_default(),
        }),
    )
}

/// Whether a reply refuses a log-in: 534, 535, 538 (RFC 4954), or any refusal that names SMTP-AUTH, as some servers answer.
#[must_use]
pub fn smtp_auth_failed(reply: &str) -> bool {
    let code = reply.get(..3).unwrap_or_default();
    matches!(code, "534" | "535" | "538")
        || (code.starts_with(['4', '5']) && reply.to_ascii_lowercase().contains("smtp-auth"))
}

columns! { FTP:
    _F_TS = 0 "ts";
    _F_UID = 1 "uid";
    _F_ORIG_H = 2 "id.orig_h";
    _F_ORIG_P = 3 "id.orig_p";
    _F_RESP_H = 4 "id.resp_h";
    _F_RESP_P = 5 "id.resp_p";
    USER = 6 "user";
    COMMAND = 7 "command";
    ARG = 8 "arg";
    REPLY_CODE = 9 "reply_code";
    REPLY_MSG = 10 "reply_msg";
}

/// A command with its reply.
pub fn ftp(row: &Row<'_>) -> Result<(u64, Said), Bad> {
    let command = row.text(COMMAND);
    let arg = if command.eq_ignore_ascii_case("PASS") { Text::default() } else { row.text(ARG) };
    app_tcp(
        row,
        App::Ftp(Ftp {
            user: row.text(USER),
            command,
            arg,
            reply_code: row.small(REPLY_CODE)?.unwrap_or_default(),
            reply_msg: row.text(REPLY_MSG),
        }),
    )
}
